"""What a network is told and taught of a sample: the record's numbers, in the frame and the crop that it is shown.

Augmentation that turns or mirrors the crop does the same to the camera frame about its optical axis: `spin` (3, 3).
Points of the frame then still lie on their pixels, exactly, because `to_crop` is the crop's map of the pixels the real
camera gives, with `spin` taken back first. The lens is not part of that map: points that were marked in a distorted
picture are moved to where a pinhole camera would see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from harmonize.geometry.rotations import aa_to_rotmat
from harmonize.keypoints import SMPLX_144, convention
from harmonize.record import NUM_JOINTS
from train.data.batch import Batch, Observed, Truth
from train.data.crops import CropSize, Floats, Pixels
from train.data.lens import undistorted_rays
from train.data.records import Records, places_of
from train.models.prediction import NUM_BETAS, NUM_EXPRESSION, NUM_ROTATIONS

Singles = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

MIN_DEPTH_M = 0.1
"""Joints nearer to the camera than this have no place in the crop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The arrays behind a batch, allocated once and written row by row. Shapes as in `train.data.batch`, but `crop` is
    (B, height, width, 3)."""

    crop: Pixels
    to_crop: Singles
    has_intrinsics: Flags
    observed_px: Singles
    rotmat: Singles
    has_rotation: Flags
    betas: Singles
    has_betas: Flags
    expression: Singles
    has_expression: Flags
    pelvis_m: Singles
    has_pelvis: Flags
    joints_m: Singles
    keypoints_px: Singles

    def __getitem__(self, at: slice) -> Rows:
        """Views of some rows."""
        return Rows(**{item.name: getattr(self, item.name)[at] for item in fields(self)})

    def batch(self, keys: Sequence[str], sources: Sequence[tuple[str, str]]) -> Batch:
        """The batch whose memory these arrays are; its crop is (B, 3, height, width) with channels last in memory."""
        tensor = torch.from_numpy
        return Batch(
            observed=Observed(
                crop=tensor(self.crop).permute(0, 3, 1, 2),
                to_crop=tensor(self.to_crop),
                has_intrinsics=tensor(self.has_intrinsics),
                keypoints_px=tensor(self.observed_px),
            ),
            truth=Truth(
                rotmat=tensor(self.rotmat),
                has_rotation=tensor(self.has_rotation),
                betas=tensor(self.betas),
                has_betas=tensor(self.has_betas),
                expression=tensor(self.expression),
                has_expression=tensor(self.has_expression),
                pelvis_m=tensor(self.pelvis_m),
                has_pelvis=tensor(self.has_pelvis),
                joints_m=tensor(self.joints_m),
                keypoints_px=tensor(self.keypoints_px),
            ),
            keys=tuple(keys),
            sources=tuple(sources),
        )


def allocate(num: int, size: CropSize) -> Rows:
    """Rows for `num` samples, not yet written."""

    def floats(*shape: int) -> Singles:
        return np.empty((num, *shape), np.float32)

    def flags(*shape: int) -> Flags:
        return np.empty((num, *shape), np.bool_)

    return Rows(
        crop=np.empty((num, size.height_px, size.width_px, 3), np.uint8),
        to_crop=floats(2, 3),
        has_intrinsics=flags(),
        observed_px=floats(NUM_JOINTS, 3),
        rotmat=floats(NUM_ROTATIONS, 3, 3),
        has_rotation=flags(NUM_ROTATIONS),
        betas=floats(NUM_BETAS),
        has_betas=flags(),
        expression=floats(NUM_EXPRESSION),
        has_expression=flags(),
        pelvis_m=floats(3),
        has_pelvis=flags(),
        joints_m=floats(NUM_JOINTS, 4),
        keypoints_px=floats(NUM_JOINTS, 3),
    )


def write_targets(rows: Rows, records: Records, maps: Floats, spin: Floats, is_mirrored: Flags) -> None:
    """Write everything but `crop` and `observed_px` of N samples.

    maps: (N, 2, 3) from stored pixels to the crop. spin: (N, 3, 3) what was done to the camera frame: a rotation about
    the optical axis after a mirror (x to -x) where `is_mirrored` (N,), which also swaps left and right.
    """
    intrinsics = _intrinsics(records)
    rows.has_intrinsics[:] = records.has("camera.has_intrinsics")
    to_pixels = maps @ intrinsics
    rows.to_crop[:] = to_pixels @ spin.swapaxes(1, 2)
    _write_body(rows, records, spin, is_mirrored)
    joints_m = _write_joints(rows, records, spin, is_mirrored)
    _write_keypoints(rows, records, joints_m, intrinsics, to_pixels, is_mirrored)


def _intrinsics(records: Records) -> Floats:
    """Camera matrices (N, 3, 3) of the stored pictures; where none is known, that of a camera whose focal length is the
    diagonal of the whole source picture and which looks at its centre."""
    is_known = records.has("camera.has_intrinsics")[:, None]
    # A record without source size was ingested whole.
    stored, source = (records.vectors[:, at].astype(np.float64) for at in (_STORED_SIZE, _SOURCE_SIZE))
    whole = np.where(source > 0, source, stored)
    diagonal = np.hypot(whole[:, :1], whole[:, 1:])
    matrices = np.zeros((len(records), 3, 3))
    matrices[:, (0, 1), (0, 1)] = np.where(is_known, records["camera.focal_px"], diagonal)
    corner = records.vectors[:, _CORNER]
    matrices[:, :2, 2] = np.where(is_known, records["camera.principal_point_px"], whole / 2 - corner)
    matrices[:, 2, 2] = 1
    return matrices


def _write_body(rows: Rows, records: Records, spin: Floats, is_mirrored: Flags) -> None:
    pose_aa = records.vectors[:, _POSE].reshape(len(records), NUM_ROTATIONS, 3)
    rotmat = aa_to_rotmat(np.nan_to_num(pose_aa))
    has_rotation = np.repeat(records.vectors[:, _HAS_POSE] != 0, (22, 1, 15, 15), axis=1)
    has_rotation[:, 1:22] &= records["body.known_body_joints"] > 0
    if is_mirrored.any():
        rotmat[is_mirrored] = mirror_rotations(rotmat[is_mirrored])
        has_rotation[is_mirrored] = has_rotation[is_mirrored][:, MIRRORED_ROTATIONS]
    # A mirrored frame has mirrored the rotation already; what is left of `spin` is a rotation.
    turn = np.where(is_mirrored[:, None, None], spin * _MIRROR, spin)
    rotmat[:, 0] = turn @ rotmat[:, 0]
    rows.rotmat[:], rows.has_rotation[:] = rotmat, has_rotation
    rows.betas[:], rows.has_betas[:] = records["body.betas"], records.has("body.has_betas")
    rows.expression[:], rows.has_expression[:] = records["body.expression"], records.has("body.has_expression")


def _write_joints(rows: Rows, records: Records, spin: Floats, is_mirrored: Flags) -> Floats:
    """Writes pelvis and joints; returns the record's joints (N, 144, 4) with confidence 0 where they have no place."""
    joints_m = records["keypoints.joints3d_cam_m"].astype(np.float64)
    points = np.where(joints_m[..., 3:] > 0, joints_m[..., :3], 0.0) @ spin.swapaxes(1, 2)
    confidence = joints_m[..., 3].copy()
    if is_mirrored.any():
        points[is_mirrored] = points[is_mirrored][:, MIRRORED_JOINTS]
        confidence[is_mirrored] = confidence[is_mirrored][:, MIRRORED_JOINTS]
    has_pelvis = confidence[:, 0] > 0
    rows.joints_m[..., :3] = points - points[:, :1]
    rows.joints_m[..., 3] = np.where(has_pelvis[:, None], confidence, 0.0)
    rows.pelvis_m[:] = points[:, 0]
    is_measured = records.says("keypoints.joints3d_origin", "measured")
    rows.has_pelvis[:] = has_pelvis & (is_measured | records.has("body.is_transl_metric"))
    is_placed = is_measured | records.has("body.has_transl")
    joints_m[..., 3] *= is_placed[:, None] & (joints_m[..., 2] > MIN_DEPTH_M)
    return joints_m


def _write_keypoints(
    rows: Rows,
    records: Records,
    joints_m: Floats,
    intrinsics: Floats,
    to_pixels: Floats,
    is_mirrored: Flags,
) -> None:
    """The dataset's own points, else the projected joints; where both lack, confidence 0."""
    marked = records["keypoints.joints2d_px"].astype(np.float64)
    has_marks = marked[..., 2] > 0
    focal_px, centre_px = intrinsics[:, None, (0, 1), (0, 1)], intrinsics[:, None, :2, 2]
    rays = np.where(has_marks[..., None], (marked[..., :2] - centre_px) / focal_px, 0.0)
    lenses = records["camera.distortion"].astype(np.float64)
    bent = rows.has_intrinsics & lenses.any(axis=1)
    if bent.any():
        rays[bent] = undistorted_rays(rays[bent], lenses[bent])
    has_joint = rows.has_intrinsics[:, None] & (joints_m[..., 3] > 0)
    depth = np.where(has_joint, joints_m[..., 2], 1.0)
    rays = np.where(has_marks[..., None], rays, joints_m[..., :2] / depth[..., None])
    confidence = np.where(has_marks, marked[..., 2], np.where(has_joint, joints_m[..., 3], 0.0))
    confidence = np.where(np.isfinite(rays).all(axis=-1), confidence, 0.0)
    rays = np.where(confidence[..., None] > 0, rays, 0.0)
    if is_mirrored.any():
        rays[is_mirrored] = rays[is_mirrored][:, MIRRORED_JOINTS]
        confidence[is_mirrored] = confidence[is_mirrored][:, MIRRORED_JOINTS]
    rows.keypoints_px[..., :2] = rays @ to_pixels[:, :, :2].swapaxes(1, 2) + to_pixels[:, None, :, 2]
    rows.keypoints_px[..., 2] = confidence


def mirror_rotations(rotmat: Floats) -> Floats:
    """Rotations (N, 53, 3, 3) of the mirrored body: left and right swapped, each rotation R turned into F R F with
    F = diag(-1, 1, 1)."""
    return np.asarray(rotmat[:, MIRRORED_ROTATIONS] * _MIRROR[:, None] * _MIRROR, np.float64)


def _swapped(num: int, pairs: Sequence[tuple[int, int]]) -> npt.NDArray[np.intp]:
    order = np.arange(num)
    for one, other in pairs:
        order[one], order[other] = other, one
    return order


def _rotation_pairs() -> list[tuple[int, int]]:
    """Pairs of `train.models.prediction`'s rotations, which are the first 55 joints without the eyes."""
    chain = [name for name in SMPLX_144[:55] if "eyeball" not in name]
    place = {name: i for i, name in enumerate(chain)}
    return [(i, place[name.replace("left_", "right_")]) for name, i in place.items() if name.startswith("left_")]


_MIRROR = np.array([-1.0, 1.0, 1.0])
_POSE = places_of(
    "body.global_orient_aa",
    "body.body_pose_aa",
    "body.jaw_pose_aa",
    "body.left_hand_pose_aa",
    "body.right_hand_pose_aa",
)
_HAS_POSE = places_of("body.has_body", "body.has_jaw", "body.has_left_hand", "body.has_right_hand")
_STORED_SIZE = places_of("image.width_px", "image.height_px")
_SOURCE_SIZE = places_of("image.source_width_px", "image.source_height_px")
_CORNER = places_of("image.crop_x_px", "image.crop_y_px")
MIRRORED_JOINTS = _swapped(NUM_JOINTS, convention("smplx_144").flip_pairs)
"""joints[MIRRORED_JOINTS]: the 144 joints with left and right swapped."""
MIRRORED_ROTATIONS = _swapped(NUM_ROTATIONS, _rotation_pairs())
"""The same for the 53 rotations."""
