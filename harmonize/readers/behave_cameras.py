"""BEHAVE's Kinects: intrinsics with a lens, and a pose that maps from the camera to the world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmonize.annotation import RigidTransform
from harmonize.geometry.cameras import opencv_distortion
from harmonize.raw.jsons import load_json
from harmonize.readers.fields import concerns_file, entries, floats, number, size_px
from harmonize.readers.rigid import inverse, rigid
from harmonize.record import Camera


@dataclass(frozen=True, slots=True)
class View:
    """A Kinect of a sequence; `camera` has the extrinsics."""

    number: int
    camera: Camera
    size_px: tuple[int, int]
    from_world: RigidTransform


def load_view(kinect: int, intrinsics: Path, config: Path) -> View:
    """A Kinect from its intrinsics (the same for all dates) and its pose on a date.

    Raises:
        RawFileError: one of the files is missing or damaged.
    """
    record = load_json(intrinsics)
    with concerns_file(intrinsics):
        color = entries(record, "color")
        focal, centre = ([number(color, key) for key in keys] for keys in (("fx", "fy"), ("cx", "cy")))
        size = size_px(color)
        distortion = opencv_distortion(floats(color, "opencv", 12)[4:])
    pose = load_json(config)
    with concerns_file(config):
        matrix = np.column_stack([floats(pose, "rotation", 3, 3), floats(pose, "translation", 3)])
        from_world = inverse(rigid(matrix, "rotation, translation"))
    camera = Camera(
        focal_px=np.array(focal, np.float32),
        principal_point_px=np.array(centre, np.float32),
        distortion=distortion.astype(np.float32),
        world_to_cam_rotmat=from_world.rotmat.astype(np.float32),
        world_to_cam_transl_m=from_world.transl_m.astype(np.float32),
        has_intrinsics=True,
        is_calibrated=True,
        has_extrinsics=True,
    )
    return View(kinect, camera, size, from_world)
