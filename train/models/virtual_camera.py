"""SMPLer-X's camera: a focal length of 5000 px in the crop whatever the lens, and a predicted translation.

What is right about such a camera is where the pelvis is seen and how large a metre is there; that is the weak camera of
`train.models.prediction`, from which `train.camera` finds the depth under the true lens.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FOCAL_PX = 5000.0
_PERSON_M = 2.5
"""A person this large fills the crop at the greatest depth that can be said."""


def translation_m(numbers: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Translation (B, 3) in metres of three outputs (B, 3): x and y as they are, depth through a sigmoid.

    The greatest depth is that at which `_PERSON_M` squared covers the area of the crop: 56.4 m for 256 x 192 px.
    """
    farthest = FOCAL_PX * _PERSON_M / math.sqrt(size_px[0] * size_px[1])
    return torch.cat([numbers[..., :2], farthest * numbers[..., 2:].sigmoid()], dim=-1)


def weak_from_virtual(pelvis_m: Tensor, size_px: tuple[int, int]) -> Tensor:
    """The weak camera (B, 3) under which a pelvis (B, 3), in front of the virtual camera, is seen where and as large as
    there. The principal point is the crop's centre: with h half its height, scale = f / (Z h) and x, y = scale (X, Y).
    """
    scale = FOCAL_PX / (pelvis_m[..., 2:] * (size_px[0] / 2))
    return torch.cat([scale, scale * pelvis_m[..., :2]], dim=-1)


def depth_number(scale: Tensor, size_px: tuple[int, int]) -> Tensor:
    """The third output under which the weak camera has this scale."""
    return torch.logit(math.sqrt(size_px[0] * size_px[1]) / (_PERSON_M * scale * (size_px[0] / 2)))
