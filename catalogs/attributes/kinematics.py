"""Where the 22 body joints are, from their rotations: forward kinematics of all rows at once.

Frame: body axes, x left, y up, z front, pelvis at the origin, global orientation removed. A joint lies where its bone
ends after the rotations of all joints above it (Loper et al. 2015, eq. 3-4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes.family import Rows
from catalogs.attributes.rest_body import RestBody
from catalogs.attributes.rotations import product, turned

Floats = npt.NDArray[np.floating[Any]]

BODY_JOINTS = (
    *("left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle", "spine3"),
    *("left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
"""The 21 joints of `body_pose`, in its order. Joint k of it is joint k + 1 of the skeleton; joint 0 is the pelvis."""

NUM_BODY = 22


READS = ("body_betas", "body_has_betas", "body_expression", "body_has_expression")
"""What `bones` reads."""


def bones(rest: RestBody, rows: Rows) -> Floats:
    """Each joint's offset from its parent at rest (3, 22, N) in metres, float32; the pelvis' is zero.

    Of each person's own betas and expression; where they are unknown the mean shape and a neutral face count.
    """
    above = rest.parents[1:NUM_BODY]
    offsets = np.zeros((NUM_BODY, 3))
    offsets[1:] = rest.joints_m[1:NUM_BODY] - rest.joints_m[above]
    moved = np.concatenate([rest.joints_per_beta_m, rest.joints_per_expression_m], axis=2)
    directions = np.zeros((3, NUM_BODY, moved.shape[2]), np.float32)
    directions[:, 1:] = (moved[1:NUM_BODY] - moved[above]).transpose(1, 0, 2)
    known = [
        np.where(rows.array(f"body_has_{name}")[:, None], rows.array(f"body_{name}"), 0)
        for name in ("betas", "expression")
    ]
    shaped = directions.reshape(3 * NUM_BODY, -1) @ np.concatenate(known, axis=1).T
    shaped += offsets.T.reshape(-1, 1).astype(np.float32)
    return np.asarray(shaped.reshape(3, NUM_BODY, len(rows)))


def forward(parents: Sequence[int], turns: Floats, offsets: Floats) -> tuple[Floats, Floats]:
    """Places (3, 22, N) in metres and rotations (3, 3, 22, N) of the joints in body axes.

    turns: rotation of each of the 21 joints against its parent (3, 3, 21, N); offsets: see `bones`.
    """
    places = np.zeros_like(offsets)
    whole = np.empty((3, 3, *offsets.shape[1:]), turns.dtype)
    whole[:, :, 0] = np.eye(3, dtype=turns.dtype)[:, :, None]
    for joints, above in _levels(parents):
        before = [joint - 1 for joint in joints]
        if above == [0] * len(joints):
            places[:, joints], whole[:, :, joints] = offsets[:, joints], turns[:, :, before]
            continue
        carrier = whole[:, :, above]
        places[:, joints] = places[:, above] + turned(carrier, offsets[:, joints])
        whole[:, :, joints] = product(carrier, turns[:, :, before])
    return places, whole


def is_placed(parents: Sequence[int], is_known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether every rotation above a joint is known (22, N): its place is, then. is_known (21, N)."""
    placed = np.ones((NUM_BODY, is_known.shape[1]), bool)
    for joint in range(1, NUM_BODY):
        above = parents[joint]
        if above > 0:
            placed[joint] = placed[above] & is_known[above - 1]
    return placed


def _levels(parents: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Joints at each distance from the pelvis, nearest first, and the parent of each."""
    depth = [0] * NUM_BODY
    for joint in range(1, NUM_BODY):
        depth[joint] = depth[parents[joint]] + 1
    levels = [[joint for joint, at in enumerate(depth) if at == level] for level in range(1, max(depth) + 1)]
    return [(joints, [int(parents[joint]) for joint in joints]) for joints in levels]
