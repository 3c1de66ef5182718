"""Unreal Engine: x forward, y right, z up, in centimetres and degrees; here as OpenCV: x right, y down, z forward."""

from __future__ import annotations

import numpy as np

from harmonize.readers.fields import Floats

BODY_TO_SCENE = np.diag([1.0, -1.0, -1.0])
"""From the axes of a body model (y up, face to +z) to OpenCV's; its yaw in the scene comes on top, less 90 degrees."""


def opencv_m(unreal_cm: tuple[float, float, float]) -> Floats:
    """A place in OpenCV axes, metres (3,)."""
    x, y, z = unreal_cm
    return np.array([y, -z, x]) / 100.0


def rotation_x(degrees: float) -> Floats:
    """(3, 3) about OpenCV's x."""
    c, s = _cos_sin(degrees)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def rotation_y(degrees: float) -> Floats:
    """(3, 3) about OpenCV's y."""
    c, s = _cos_sin(degrees)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def rotation_z(degrees: float) -> Floats:
    """(3, 3) about OpenCV's z: positive turns a picture clockwise."""
    c, s = _cos_sin(degrees)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def body_to_scene(yaw_deg: float) -> Floats:
    """(3, 3) from the frame of a body's parameters to the scene, for the yaw that the scene gives it."""
    return np.asarray(rotation_y(yaw_deg - 90.0) @ BODY_TO_SCENE)


def _cos_sin(degrees: float) -> tuple[float, float]:
    return float(np.cos(np.deg2rad(degrees))), float(np.sin(np.deg2rad(degrees)))
