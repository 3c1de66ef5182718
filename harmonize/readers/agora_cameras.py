"""The cameras of AGORA's renderer, and the way of a scan from its own frame into one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from harmonize.annotation import RigidTransform
from harmonize.readers.unreal import body_to_scene, opencv_m, rotation_x, rotation_y


@dataclass(frozen=True, slots=True)
class SceneCamera:
    """A camera of the renderer. position_cm is Unreal's; ground_offset_m is added to the position in OpenCV axes."""

    focal_mm: float
    position_cm: tuple[float, float, float]
    yaw_deg: float
    pitch_deg: float
    ground_offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


CAMERA_RULES: tuple[tuple[str, SceneCamera], ...] = (
    ("hdri", SceneCamera(50.0, (0.0, 0.0, 170.0), 0.0, 0.0)),
    ("cam00", SceneCamera(18.0, (400.0, -275.0, 265.0), 135.0, 30.0)),
    ("cam01", SceneCamera(18.0, (400.0, 225.0, 265.0), -135.0, 30.0)),
    ("cam02", SceneCamera(18.0, (-490.0, 170.0, 265.0), -45.0, 30.0)),
    ("cam03", SceneCamera(18.0, (-490.0, -275.0, 265.0), 45.0, 30.0)),
    ("ag2", SceneCamera(28.0, (0.0, 0.0, 170.0), 0.0, 15.0)),
)
"""Substring of the file name -> camera; first match wins (agora_evaluation/projection.py)."""


def scene_camera(image_name: str, position_cm: tuple[float, float, float], yaw_deg: float) -> SceneCamera:
    """The camera of a picture, by the first rule that its file name matches, else at the row's own position and yaw."""
    name = PurePosixPath(image_name).name
    for mark, camera in CAMERA_RULES:
        if mark in name:
            return camera
    return SceneCamera(28.0, position_cm, yaw_deg, 0.0, ground_offset_m=(0.0, -1.7, 0.0))


def scan_to_cam(camera: SceneCamera, position_cm: tuple[float, float, float], yaw_deg: float) -> RigidTransform:
    """From a scan's own frame to the OpenCV camera, metres.

    A = Rx(pitch) Ry(-camera yaw) Ry(scan yaw - 90) diag(1, -1, -1), b = Rx(pitch) Ry(-camera yaw) (P - C): the steps of
    agora_evaluation/projection.py as one map. The 90 degrees are the turn of the scans.
    """
    view = rotation_x(camera.pitch_deg) @ rotation_y(-camera.yaw_deg)
    camera_m = opencv_m(camera.position_cm) + np.array(camera.ground_offset_m)
    return RigidTransform(rotmat=view @ body_to_scene(yaw_deg), transl_m=view @ (opencv_m(position_cm) - camera_m))
