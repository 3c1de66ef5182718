"""Arithmetic on what is known only: numbers under weight 0 may be anything, NaN too, and reach neither value nor
gradient. Dimension letters: B batch, ... entries of a sample, D numbers of an entry."""

from __future__ import annotations

import torch
from torch import Tensor


def difference(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """predicted - target (B, ..., D) where weight (B, ...) is positive, else 0."""
    is_known = (weight > 0).view(*weight.shape, *[1] * (predicted.ndim - weight.ndim))
    zero = torch.zeros_like(target)
    return torch.where(is_known, predicted - torch.where(is_known, target, zero), torch.zeros_like(predicted))


def mean_over_known(error: Tensor, weight: Tensor) -> Tensor:
    """(B,): of each sample the sum of weight * error over how many of its entries have a positive weight.

    error (B, ..., D...) finite, averaged over the numbers of an entry; weight (B, ...). A sample without known entries
    gets 0, and unknown entries do not thin out the known ones. Dividing by the count, not by the sum of the weights,
    lets a gate of 0.1 on all entries mean a tenth of the term.
    """
    per_entry = error.flatten(weight.ndim).mean(dim=-1) if error.ndim > weight.ndim else error
    count = (weight > 0)[:, None].flatten(1).sum(dim=1).clamp(min=1)
    return (per_entry * weight)[:, None].flatten(1).sum(dim=1) / count
