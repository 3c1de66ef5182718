"""Normalisation of feature maps without a look at the other samples of the batch."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

_EPS = 1e-5
_MAX_GROUPS = 32


class StoredBatchNorm(nn.Module):
    """Batch normalisation (B, C, H, W) by the statistics of a finished training; weight and bias may still learn."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(num_channels)), nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + _EPS).rsqrt()
        return x * scale[:, None, None] + (self.bias - self.running_mean * scale)[:, None, None]


def map_norm(num_channels: int, is_stored: bool) -> nn.Module:
    """`StoredBatchNorm` for published weights, else group normalisation (arXiv 1803.08494)."""
    if is_stored:
        return StoredBatchNorm(num_channels)
    return nn.GroupNorm(math.gcd(_MAX_GROUPS, num_channels), num_channels)


def upsampling(channels: tuple[int, ...], is_stored: bool) -> nn.Sequential:
    """Transposed convolutions, each doubling height and width, with norm and ReLU."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers.append(nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1, bias=False))
        layers += [map_norm(after, is_stored), nn.ReLU()]
    return nn.Sequential(*layers)
