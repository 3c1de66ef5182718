"""2D labels of invented people: points under a convention's names, tight boxes, COCO-WholeBody lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.keypoints import convention

Floats = npt.NDArray[np.floating[Any]]

_WHOLEBODY_LISTS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
"""The five lists of COCO-WholeBody, in the order of its 133 points."""


def body_joint(name: str) -> str:
    """The joint of the body models that an annotator's or detector's point of that name lies next to."""
    if name.endswith("_hand_root"):
        return name.replace("_hand_root", "_wrist")
    return name.removesuffix("_extra").removesuffix("_openpose")


def pick(names: Sequence[str], joint_names: Sequence[str], joints: Floats) -> Floats:
    """(len(names), D): for each name the row of `joints` whose joint it lies next to."""
    at = {name: row for row, name in enumerate(joint_names)}
    return joints[[at[body_joint(name)] for name in names]]


def is_inside(points_px: Floats, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(N,): whether each point lies in the picture of (width, height)."""
    return np.asarray(((points_px >= 0) & (points_px <= np.array(size) - 1)).all(1))


def tight_box(points_px: Floats, size: tuple[int, int] | None = None) -> Floats:
    """(4,) x, y, w, h around the points (N, 2), clipped to the picture when its size is given."""
    low, high = points_px.min(0), points_px.max(0)
    if size is not None:
        low, high = (corner.clip(0, np.array(size) - 1) for corner in (low, high))
    return np.concatenate([low, high - low])


def padded(box_xywh: Floats, factor: float) -> Floats:
    """(4,): the box scaled about its centre."""
    grow = box_xywh[2:] * (factor - 1.0)
    return np.concatenate([box_xywh[:2] - grow / 2, box_xywh[2:] + grow])


def wholebody_points(
    rng: np.random.Generator,
    joint_names: Sequence[str],
    joints_px: Floats,
    size: tuple[int, int],
    noise_px: float,
) -> dict[str, Floats]:
    """The five lists, each (K, 3) x, y, v, with noise of `noise_px`; all zero for points off the picture."""
    points = pick(convention("coco_wholebody_133").names, joint_names, joints_px)
    points = points + rng.normal(0.0, noise_px, points.shape)
    labelled = np.concatenate([points, np.full((len(points), 1), 2.0)], 1)
    labelled[~is_inside(points, size)] = 0.0
    stops = np.cumsum(list(_WHOLEBODY_LISTS.values()))[:-1]
    return dict(zip(_WHOLEBODY_LISTS, np.split(labelled, stops), strict=True))


def part_box(points_xyv: Floats) -> Floats:
    """(4,): tight box of the labelled points of a part, zeros when none is labelled."""
    labelled = points_xyv[points_xyv[:, 2] > 0, :2]
    return tight_box(labelled) if len(labelled) else np.zeros(4)
