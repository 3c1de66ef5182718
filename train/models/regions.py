"""Reading feature maps at points and in boxes, as products with small matrices of interpolation weights.

What torch's grid sampling and a compiled RoIAlign (arXiv 1703.06870) compute, but differentiable as often as wanted,
mapped over samples without loops, and with the same sums in the same order on every run. Coordinates are cells: the
centre of cell i is at i. Dimension letters: B batch, C channels, R boxes, P points.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MAX_SAMPLES = 8  # per bin and axis: enough for boxes of 8 cells per bin, far wider than the map


def at_points(features: Tensor, points: Tensor) -> Tensor:
    """Features (B, P, C) of a map (B, C, H, W) at points (B, P, 2) x, y in cells, zero outside: bilinear."""
    height, width = features.shape[-2:]
    rows = _tents(points[..., 1], height)
    columns = _tents(points[..., 0], width)
    weights = (rows[..., :, None] * columns[..., None, :]).flatten(2)
    return weights @ features.flatten(2).transpose(1, 2)


def in_boxes(features: Tensor, boxes: Tensor, num_bins: int) -> Tensor:
    """Features (B, R, C, num_bins, num_bins) of a map (B, C, H, W) in boxes (B, R, 4) xmin, ymin, xmax, ymax in cells.

    RoIAlign without its half-cell shift, averaging as many samples per bin as the bin has cells, at most eight an axis.
    Boxes are at least one cell wide; samples more than a cell outside the map count as zero.
    """
    height, width = features.shape[-2:]
    rows = _bin_weights(boxes[..., 1], boxes[..., 3], num_bins, height)
    columns = _bin_weights(boxes[..., 0], boxes[..., 2], num_bins, width)
    return rows[:, :, None] @ features[:, None] @ columns[:, :, None].transpose(-1, -2)


def _bin_weights(low: Tensor, high: Tensor, num_bins: int, size: int) -> Tensor:
    """How much each of `size` cells counts in each bin (B, R, num_bins, size) between low and high (B, R)."""
    bin_size = ((high - low).clamp(min=1) / num_bins)[..., None, None]
    num_samples = bin_size.detach().ceil().clamp(1, _MAX_SAMPLES)
    steps = torch.arange(_MAX_SAMPLES, dtype=low.dtype, device=low.device)
    bins = torch.arange(num_bins, dtype=low.dtype, device=low.device)[:, None]
    position = low[..., None, None] + (bins + (steps + 0.5) / num_samples) * bin_size
    counts = (steps < num_samples) & (position >= -1) & (position <= size)
    weights = _tents(position.clamp(0, size - 1), size) * (counts / num_samples)[..., None]
    return weights.sum(-2)


def _tents(position: Tensor, size: int) -> Tensor:
    """Linear interpolation weights (..., size) at positions (...)."""
    cells = torch.arange(size, dtype=position.dtype, device=position.device)
    return (1 - (position[..., None] - cells).abs()).clamp(min=0)
