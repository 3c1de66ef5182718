"""Between the camera frame and the crop: projection, the predicted camera, and what a network is told of the camera.

`to_crop` (B, 2, 3) maps normalised camera coordinates (X/Z, Y/Z, 1) to crop pixels (`train.data.batch.Observed`).
"""

from __future__ import annotations

import torch
from torch import Tensor

MIN_DEPTH_M = 0.1
"""Nothing is projected from nearer than this, so that a body that reaches behind the camera has finite gradients."""


def project(points_m: Tensor, to_crop: Tensor) -> Tensor:
    """Crop pixels (B, N, 2) of points in the camera frame (B, N, 3) metres."""
    depth = points_m[..., 2:].clamp(min=MIN_DEPTH_M)
    linear = to_crop[:, :, :2].transpose(1, 2)
    found: Tensor = torch.baddbmm(to_crop[:, None, :, 2], points_m[..., :2] / depth, linear)
    return found


def crop_focal_px(to_crop: Tensor) -> Tensor:
    """Focal length in crop pixels (B,): the root of the area that one unit of normalised coordinates covers."""
    area: Tensor = torch.linalg.det(to_crop[:, :, :2])
    return area.abs().sqrt()


def pelvis_from_weak(weak_camera: Tensor, to_crop: Tensor, size_px: tuple[int, int]) -> Tensor:
    """The pelvis in the camera frame (B, 3) metres that a weak camera (B, 3) means.

    size_px: height and width of the crop. With f the focal length in crop pixels and h half the crop's height, one
    metre at depth Z covers f / Z pixels, which the weak camera says are scale * h: Z = f / (scale * h). CLIFF (Li et
    al., ECCV 2022) writes the same for square crops.
    """
    height, width = size_px
    half = height / 2
    depth = crop_focal_px(to_crop)[:, None] / (weak_camera[:, :1] * half)
    seen_px = weak_camera[:, 1:] * half + weak_camera.new_tensor([width / 2, half])
    ray = torch.linalg.solve(to_crop[:, :, :2], (seen_px - to_crop[:, :, 2])[..., None])[..., 0]
    return torch.cat([ray * depth, depth], dim=-1)


def weak_from_pelvis(pelvis_m: Tensor, to_crop: Tensor, size_px: tuple[int, int]) -> Tensor:
    """The weak camera (B, 3) under which `pelvis_from_weak` gives this pelvis (B, 3), which lies before the camera."""
    height, width = size_px
    half = height / 2
    scale = crop_focal_px(to_crop)[:, None] / (pelvis_m[:, 2:] * half)
    seen_px = project(pelvis_m[:, None], to_crop)[:, 0]
    return torch.cat([scale, (seen_px - pelvis_m.new_tensor([width / 2, half])) / half], dim=-1)


def crop_condition(to_crop: Tensor, size_px: tuple[int, int]) -> Tensor:
    """What a network is told of the camera, (B, 3): where the crop's centre lies in normalised camera coordinates, and
    how much of them half its height covers. Of the order of 1; scale and place of the crop in the whole picture, as
    CLIFF's box information, in a form that needs no picture size."""
    height, width = size_px
    centre_px = to_crop.new_tensor([width / 2, height / 2])
    ray = torch.linalg.solve(to_crop[:, :, :2], (centre_px - to_crop[:, :, 2])[..., None])[..., 0]
    return torch.cat([ray, (height / 2) / crop_focal_px(to_crop)[:, None]], dim=-1)
