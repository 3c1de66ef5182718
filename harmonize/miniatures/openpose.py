"""OpenPose's detections of an invented person: 25 body, 2 x 21 hand and 70 face points, zeros where nothing is seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harmonize.keypoints import convention
from harmonize.miniatures.points import Floats, body_joint, is_inside

_PARTS = {"body": 25, "left_hand": 21, "right_hand": 21, "face": 70}
"""In the order of the convention's names."""


def detect(
    rng: np.random.Generator, joint_names: Sequence[str], joints_px: Floats, size: tuple[int, int], noise_px: float
) -> dict[str, Floats]:
    """(K, 3) x, y, confidence of each part. Points off the picture, or without a joint to lie next to, are zero."""
    at = {name: row for row, name in enumerate(joint_names)}
    names = (body_joint(name.removesuffix("_unused")) for name in convention("openpose_137").names)
    points = np.array([joints_px[at[name]] if name in at else (np.nan, np.nan) for name in names])
    points = points + rng.normal(0.0, noise_px, points.shape)
    confidence = rng.uniform(0.5, 0.95, len(points)) * is_inside(points, size) * (rng.random(len(points)) > 0.04)
    found = np.column_stack([np.where(confidence[:, None] > 0, points, 0.0), confidence])
    return dict(zip(_PARTS, np.split(found, np.cumsum(list(_PARTS.values()))[:-1]), strict=True))


def openpose_json(people: Sequence[dict[str, Floats]]) -> dict[str, object]:
    """The file of a picture."""
    return {
        "version": 1.1,
        "people": [
            {
                "pose_keypoints_2d": found["body"].round(3).ravel().tolist(),
                "face_keypoints_2d": found["face"].round(3).ravel().tolist(),
                "hand_left_keypoints_2d": found["left_hand"].round(3).ravel().tolist(),
                "hand_right_keypoints_2d": found["right_hand"].round(3).ravel().tolist(),
            }
            for found in people
        ],
    }
