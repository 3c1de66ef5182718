"""From a stored picture and its record to what a network sees and what it should answer.

Positions are continuous: a pixel covers [i, i + 1). One affine map (scale and shift) leads from the stored picture to
the crop; picture and keypoints go through the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from harmonize.errors import DataError
from harmonize.geometry.cameras import project_with
from harmonize.geometry.rotations import aa_to_rotmat
from harmonize.record import Array, Instance

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSize:
    """The network's input, and how much larger than the person box it is."""

    height_px: int = 128
    width_px: int = 96
    padding: float = 1.2


@dataclass(frozen=True, slots=True)
class ToCrop:
    """crop_xy = (stored_xy - origin_px) * scale."""

    origin_px: tuple[float, float]
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the record says of a crop, as arrays; a lowered flag means that the numbers beside it mean nothing.

    rotmat: (22, 3, 3) global_orient (camera frame) and body_pose (parent joint); has_rotation: (22,). betas: (10,).
    weak_camera: (3,) scale, x, y: positions in the crop, in units of half its height from its centre, are
    scale * (X, Y) + (x, y) for joints (X, Y) in metres from the pelvis.
    """

    rotmat: Array
    betas: Array
    weak_camera: Array
    has_rotation: npt.NDArray[np.bool_]
    has_betas: bool
    has_camera: bool


def to_crop(instance: Instance, size: CropSize) -> ToCrop:
    """The map that puts the padded person box, widened or heightened to the crop's shape, into the crop.

    Raises:
        DataError: the record has no person box.
    """
    x, y, width, height, confidence = instance.boxes.person_xywh_px.tolist()
    if not (confidence > 0 and width > 0 and height > 0):
        raise DataError(
            f"{instance.key}: expected a person box to crop by, found none", fix="leave the sample out of the selection"
        )
    scale = 1 / (size.padding * max(width / size.width_px, height / size.height_px))
    origin = (x + width / 2 - size.width_px / scale / 2, y + height / 2 - size.height_px / scale / 2)
    return ToCrop(origin, scale)


def warp(pixels: Pixels, crop: ToCrop, size: CropSize) -> Pixels:
    """The crop (height, width, 3) of a picture (H, W, 3); black outside the picture.

    A picture that is larger than needed is first averaged over whole pixels, so that fine texture does not alias.
    """
    picture = Picture.fromarray(pixels)
    factor = max(1, int(1 / crop.scale))
    if factor > 1:
        picture = picture.reduce(factor)
    step = 1 / (crop.scale * factor)
    inverse = (step, 0, crop.origin_px[0] / factor, 0, step, crop.origin_px[1] / factor)
    out = (size.width_px, size.height_px)
    return np.asarray(picture.transform(out, Picture.Transform.AFFINE, inverse, Picture.Resampling.BILINEAR))


def target(instance: Instance, crop: ToCrop, size: CropSize) -> Target:
    """What the network should answer for a crop of this person."""
    body = instance.body
    weak_camera = fit_weak_camera(instance, crop, size)
    return Target(
        rotmat=aa_to_rotmat(np.vstack([body.global_orient_aa[None], body.body_pose_aa])).astype(np.float32),
        betas=body.betas,
        weak_camera=np.zeros(3, np.float32) if weak_camera is None else weak_camera,
        has_rotation=body.has_body & np.append(True, body.known_body_joints > 0),
        has_betas=body.has_betas,
        has_camera=weak_camera is not None,
    )


def fit_weak_camera(instance: Instance, crop: ToCrop, size: CropSize) -> Array | None:
    """The least-squares weak camera (3,) of the 3D joints against their own projection; None without either."""
    joints_m = instance.keypoints.joints3d_cam_m.astype(np.float64)
    camera = instance.camera
    if not camera.has_intrinsics or joints_m[0, 3] <= 0:
        return None
    seen = (joints_m[:, 3] > 0) & (joints_m[:, 2] > 0)
    pixels = project_with(camera, joints_m[seen, :3])
    half = size.height_px / 2
    in_crop = ((pixels - crop.origin_px) * crop.scale - (size.width_px / 2, half)) / half
    xy_m = joints_m[seen, :2] - joints_m[0, :2]
    centred_m, centred = xy_m - xy_m.mean(axis=0), in_crop - in_crop.mean(axis=0)
    spread = float((centred_m**2).sum())
    if not (len(xy_m) >= 2 and spread > 1e-6 and np.isfinite(in_crop).all()):
        return None
    scale = float((centred_m * centred).sum()) / spread
    return np.array([scale, *(in_crop.mean(axis=0) - scale * xy_m.mean(axis=0))], np.float32)
