"""AGORA's cameras: pinholes in Unreal's world, most of them known by a part of the picture's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

Floats = npt.NDArray[np.floating[Any]]

WIDTH_PX = 1280
"""Width of the small release's pictures."""
_SENSOR_WIDTH_MM = 36.0


def unreal_to_opencv(position_cm: Floats) -> Floats:
    """Unreal (x forward, y right, z up, cm) to OpenCV axes in metres."""
    x, y, z = np.moveaxis(position_cm / 100.0, -1, 0)
    return np.stack([y, -z, x], -1)


@dataclass(frozen=True, slots=True)
class UnrealCamera:
    """Position in Unreal's centimetres, yaw and pitch in degrees, offset of the ground in OpenCV metres."""

    focal_mm: float
    position_cm: tuple[float, float, float]
    yaw_deg: float
    pitch_deg: float
    ground_m: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def rotmat(self) -> Floats:
        """(3, 3): world (OpenCV axes) to camera."""
        pitch = Rotation.from_euler("x", self.pitch_deg, degrees=True)
        return np.asarray((pitch * Rotation.from_euler("y", -self.yaw_deg, degrees=True)).as_matrix())

    @property
    def position_m(self) -> Floats:
        """(3,): world (OpenCV axes)."""
        return unreal_to_opencv(np.array(self.position_cm)) + self.ground_m

    @property
    def focal_px(self) -> Floats:
        """(2,) pixels of the small pictures."""
        return np.full(2, self.focal_mm / _SENSOR_WIDTH_MM * WIDTH_PX)


NAMED = {
    "hdri_50mm": UnrealCamera(50, (0, 0, 170), 0, 0),
    "archviz_5_10_cam00": UnrealCamera(18, (400, -275, 265), 135, 30),
    "archviz_5_10_cam01": UnrealCamera(18, (400, 225, 265), -135, 30),
    "archviz_5_10_cam02": UnrealCamera(18, (-490, 170, 265), -45, 30),
    "archviz_5_10_cam03": UnrealCamera(18, (-490, -275, 265), 45, 30),
    "ag2_5_10": UnrealCamera(28, (0, 0, 170), 0, 15),
}
"""Part of the picture's name: the camera that the name alone selects."""

FOREST = UnrealCamera(28, (-120.0, 240.0, 35.0), 63.0, 0, (0.0, -1.7, 0.0))
"""A camera whose position and yaw stand in the frame only; it hangs 1.7 m above the position stated."""
