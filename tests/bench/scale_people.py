"""Draws the people of one shard of a synthetic dataset, all at once: columns of the index as numpy arrays.

The geometry is that of the record: a body seen from an azimuth and elevation gets the `global_orient` that says so, the
joints follow from the pose along a skeleton with SMPL-X's tree and round lengths, and pixels follow from the camera.
Points lie on a grid (1 px, 1/256 m), and of the 144 only the 55 with a rotation are there: millions of rows must fit on
a disk. The source's own pose stays zero for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scale_worlds import Floats, World, choose

from harmonize.geometry.rotations import aa_to_rotmat, rotmat_to_aa
from harmonize.record import NUM_JOINTS

Columns = dict[str, Any]

NUM_POINTS = 55
_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
_REST_M = np.array(
    [
        *((0, 0, 0), (0.06, -0.09, 0), (-0.06, -0.09, 0), (0, 0.12, -0.02), (0.1, -0.47, 0), (-0.1, -0.47, 0)),
        *((0, 0.25, -0.02), (0.09, -0.87, -0.03), (-0.09, -0.87, -0.03), (0, 0.31, 0), (0.12, -0.93, 0.09)),
        *((-0.12, -0.93, 0.09), (0, 0.46, -0.02), (0.05, 0.4, -0.01), (-0.05, 0.4, -0.01), (0, 0.62, 0.02)),
        *((0.17, 0.41, -0.02), (-0.17, 0.41, -0.02), (0.42, 0.4, -0.03), (-0.42, 0.4, -0.03), (0.67, 0.41, -0.03)),
        (-0.67, 0.41, -0.03),
    ]
)
_RELAXED_AA = (0.1, 0.05, 0.35)
_GRID_M, _LENGTH_PER_BETA = 256, 0.03


def draw(world: World, shard: int, first_row: int, num: int) -> Columns:
    """The people of one shard. Pictures are whole: everyone of a picture is in the same shard.

    first_row: rows of the dataset in the shards before, so that names differ from theirs.
    """
    rng = np.random.default_rng([world.seed, shard, *world.name.encode()])
    columns = _pictures(world, rng, first_row, num)
    columns |= _body(world, rng, num)
    rotmats = aa_to_rotmat(columns["body_body_pose_aa"].reshape(num, 21, 3))
    joints_m = _joints(columns.pop("rotmat"), rotmats, columns["body_betas"][:, 0])
    columns |= _camera(world, rng, columns)
    columns |= _points(world, columns, joints_m)
    return columns | _labels(world, rng, num)


def _pictures(world: World, rng: Any, first_row: int, num: int) -> Columns:
    starts = np.cumsum(1 + rng.poisson(world.others_in_picture, num))
    picture = np.searchsorted(starts, np.arange(num), side="right")
    person = np.arange(num) - np.where(picture > 0, starts[np.maximum(picture - 1, 0)], 0)
    size = np.array(world.sizes_px)[rng.integers(len(world.sizes_px), size=num)][picture]
    return {
        "picture": first_row + picture,
        "person": person,
        "image_sha256": rng.bytes(32 * num),
        "content": rng.bytes(64 * num),
        **{f"image_{kind}width_px": size[:, 0] for kind in ("", "source_")},
        **{f"image_{kind}height_px": size[:, 1] for kind in ("", "source_")},
        "image_orientation": np.ones(num, np.int32),
    }


def _body(world: World, rng: Any, num: int) -> Columns:
    azimuth, azimuth_spread, elevation, elevation_spread = world.views[choose(rng, world.view_weights, num)].T
    azimuth = azimuth + azimuth_spread * rng.normal(size=num)
    elevation = np.clip(elevation + elevation_spread * rng.normal(size=num), -85, 85)
    rotmat = looking_from(azimuth, elevation, world.roll_spread_deg * rng.normal(size=num))
    pose = world.poses[choose(rng, world.pose_weights, num)]
    hands = {}
    for side, sign in (("left", -1), ("right", 1)):
        reach = world.hand_scale * rng.gamma(2.0, 0.5, (num, 1, 1))
        hands[f"body_{side}_hand_pose_aa"] = (
            np.array(_RELAXED_AA) * (1, 1, sign) + reach * rng.normal(size=(num, 15, 3)) * (0.2, 0.2, 1)
        ).reshape(num, 45)
    return {
        "rotmat": rotmat,
        "body_global_orient_aa": rotmat_to_aa(rotmat),
        "body_body_pose_aa": (pose + world.pose_spread_rad * rng.normal(size=pose.shape)).reshape(num, 63),
        "body_known_body_joints": np.ones((num, 21)),
        "body_betas": world.betas_mean + 0.8 * rng.normal(size=(num, 10)),
        "body_expression": 0.6 * rng.normal(size=(num, 10)),
        "body_jaw_pose_aa": np.abs(rng.normal(0, 0.12, (num, 1))) * (1, 0, 0),
        **hands,
    }


def looking_from(azimuth_deg: Floats, elevation_deg: Floats, roll_deg: Floats) -> Floats:
    """`global_orient` (N, 3, 3) of upright bodies that a camera sees from there; angles as `rotations.sql` has them."""
    azimuth, elevation, roll = np.radians([azimuth_deg, elevation_deg, roll_deg])
    zero = np.zeros_like(azimuth)
    right = np.stack([np.cos(azimuth), zero, -np.sin(azimuth)], axis=1)
    forward = -np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], axis=1
    )
    down = np.cross(forward, right)
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([cos * right - sin * down, sin * right + cos * down, forward], axis=1)


def _joints(root: Floats, rotmats: Floats, beta: npt.NDArray[Any]) -> Floats:
    """(N, 55, 3) metres, turned like the camera, pelvis at zero; the first beta makes a body taller."""
    num = len(root)
    joints, turned = np.zeros((num, NUM_POINTS, 3)), [root]
    for i, parent in enumerate(_PARENTS[1:], 1):
        joints[:, i] = joints[:, parent] + turned[parent] @ (_REST_M[i] - _REST_M[parent])
        turned.append(turned[parent] @ rotmats[:, i - 1])
    for wrist, first, side in ((20, 25, 1), (21, 40, -1)):
        spread = np.stack([np.tile([0.08, 0.11, 0.13], 5) * side, np.zeros(15), np.repeat(np.arange(-2, 3), 3) * 0.02])
        joints[:, first : first + 15] = joints[:, wrist, None] + np.swapaxes(turned[wrist] @ spread, 1, 2)
    face = np.array([[0, 0.02, 0.06], [0.03, 0.08, 0.08], [-0.03, 0.08, 0.08]])
    joints[:, 22:25] = joints[:, 15, None] + np.swapaxes(turned[15] @ face.T, 1, 2)
    return np.asarray(joints * (1 + _LENGTH_PER_BETA * beta)[:, None, None])


def _camera(world: World, rng: Any, columns: Mapping[str, Any]) -> Columns:
    width, height = columns["image_width_px"], columns["image_height_px"]
    num = len(width)
    fov = np.radians(np.clip(world.vertical_fov_deg + rng.normal(0, 3, num), 10, 100))
    focal = height / 2 / np.tan(fov / 2)
    depth = world.distance_m * np.exp(rng.normal(0, 0.35, num)) + 0.8
    aside = rng.normal(0, [0.22, 0.12], (num, 2)) * np.stack([width, height], axis=1) * (depth / focal)[:, None]
    return {
        "camera_focal_px": np.stack([focal, focal], axis=1),
        "camera_principal_point_px": np.stack([width, height], axis=1) / 2,
        "body_transl_m": np.column_stack([aside, depth]),
    }


def _points(world: World, columns: Mapping[str, Any], joints_m: Floats) -> Columns:
    num = len(joints_m)
    joints_m = np.round((joints_m + columns["body_transl_m"][:, None]) * _GRID_M) / _GRID_M
    pixels = np.round(
        joints_m[..., :2] / np.maximum(joints_m[..., 2:], 0.1) * columns["camera_focal_px"][:, None]
        + columns["camera_principal_point_px"][:, None]
    )
    size = np.stack([columns["image_width_px"], columns["image_height_px"]], axis=1)[:, None]
    is_inside = ((pixels >= 0) & (pixels < size)).all(axis=2)
    joints2d, joints3d = np.zeros((num, NUM_JOINTS, 3), np.float32), np.zeros((num, NUM_JOINTS, 4), np.float32)
    joints2d[:, :NUM_POINTS, :2] = np.where(is_inside[..., None], pixels, 0)
    joints2d[:, :NUM_POINTS, 2] = is_inside
    joints3d[:, :NUM_POINTS, :3], joints3d[:, :NUM_POINTS, 3] = joints_m, 1
    spans = {"person": slice(None), "left_hand": slice(25, 40), "right_hand": slice(40, 55), "face": slice(22, 25)}
    boxes = {}
    for part, span in spans.items():
        low, high = pixels[:, span].min(axis=1), pixels[:, span].max(axis=1)
        boxes[f"boxes_{part}_xywh_px"] = np.column_stack([low, np.maximum(high - low, 1), np.ones(num)])
    return {"keypoints_joints2d_px": joints2d, "keypoints_joints3d_cam_m": joints3d, **boxes}


def _labels(world: World, rng: Any, num: int) -> Columns:
    card = world.card
    has_hands, has_face = (rng.random(num) < world.part_share[part] for part in ("hands", "face"))
    origins = np.array(card.labels.origins)[rng.integers(len(card.labels.origins), size=num)]
    is_exact = origins == "synthetic"
    reprojection = np.where(is_exact, np.nan, world.reprojection_px * np.exp(rng.normal(0, 0.6, num)))
    is_refitted = card.body.model != "smplx" or "neutral" not in card.body.genders
    return {
        "label_origin": origins,
        "gender": np.array(card.body.genders)[rng.integers(len(card.body.genders), size=num)],
        "body_has_body": rng.random(num) < 0.995,
        "body_has_betas": rng.random(num) < 0.98,
        **dict.fromkeys(("body_has_left_hand", "body_has_right_hand"), has_hands),
        **dict.fromkeys(("body_has_jaw", "body_has_expression"), has_face),
        **dict.fromkeys(("body_has_transl", "camera_has_intrinsics"), np.ones(num, np.bool_)),
        "body_is_transl_metric": np.full(num, card.camera.is_metric),
        "camera_is_calibrated": np.full(num, card.camera.kind == "calibrated"),
        "source_body_is_present": np.full(num, is_refitted),
        "source_body_is_rebuildable": np.full(num, is_refitted),
        "source_body_fit_error_mm": np.where(is_refitted, world.fit_error_mm * np.exp(rng.normal(0, 0.4, num)), 0),
        "evidence_reprojection_px": reprojection,
        "evidence_reprojection_share": reprojection / 400,
        "evidence_exact_px": np.where(is_exact, 1e-4 * rng.random(num), np.nan),
    }
