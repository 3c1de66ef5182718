"""MPI-INF-3DHP as the site ships it: `annot.mat` and `camera.calibration` of a training sequence, `annot_data.mat` of a
test sequence.

Joints are millimetres of the camera that they are listed under: extrinsics must not be applied to them again (issues of
anibali/margipose and xingyizhou/pose-hg-3d tell of those who did).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.geometry.cameras import opencv_distortion, project
from harmonize.raw.guard import Refused, one_error
from harmonize.raw.mat import load_mat
from harmonize.raw.paths import checked_size
from harmonize.readers.fields import (
    Floats,
    MalformedRecord,
    concerns_file,
    field,
    listing,
    require_keys,
    shaped,
)
from harmonize.readers.kept import keep_last
from harmonize.readers.world_fits import MM, WorldCamera
from harmonize.record import Camera

NUM_CAMERAS = 14
MAX_CALIBRATION_BYTES = 1 << 20
MAX_PUBLISHED_ERROR_PX = 1.0
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class TrainSequence:
    """Of each camera: pixels (F, 28, 2) and joints in the camera (F, 28, 3) in metres."""

    pixels: list[Floats]
    joints_cam_m: list[Floats]


@dataclass(frozen=True, slots=True)
class ScoredSequence:
    """pixels (F, 17, 2), joints in the camera (F, 17, 3) in metres, whether a frame is scored (F,), and the camera."""

    pixels: Floats
    joints_cam_m: Floats
    is_valid: Floats
    camera: Camera


@keep_last
def train_sequence(path: Path) -> TrainSequence:
    """The joints of `annot.mat`.

    Raises:
        RawFileError: the file is damaged, or its cells are not 14 arrays of 56 and 84 columns with as many rows.
    """
    variables = load_mat(path)
    require_keys(variables, ("annot2", "annot3"), str(path))
    with concerns_file(path):
        pixels, joints = (
            [shaped(cell, name, -1, 28, size) for cell in listing(variables, name)]
            for name, size in (("annot2", 2), ("annot3", 3))
        )
        if len(pixels) != NUM_CAMERAS or [len(one) for one in pixels] != [len(one) for one in joints]:
            raise MalformedRecord(f"fields annot2 and annot3: expected {NUM_CAMERAS} cells of as many frames each")
    return TrainSequence(pixels, [one / MM for one in joints])


@keep_last
def calibration(path: Path) -> tuple[list[WorldCamera], list[tuple[int, int]]]:
    """Cameras and picture sizes of `camera.calibration`, by number of the camera.

    Lines end in spaces, or not: they are split on white space.

    Raises:
        RawFileError: the file is damaged, or its 14 cameras lack a line.
    """
    checked_size(path, MAX_CALIBRATION_BYTES)
    with one_error(path, f"the calibration of {NUM_CAMERAS} cameras"):
        counts = {"size": 2, "intrinsic": 16, "extrinsic": 16, "radial": 1}
        found: dict[str, list[Floats]] = {key: [] for key in counts}
        for line in path.read_text(encoding="ascii").splitlines():
            key, *words = line.split() or [""]
            if key not in found:
                continue
            if len(words) != counts[key] or not all(_NUMBER.fullmatch(word) for word in words):
                raise Refused(f"{line[:80]!r} where {counts[key]} numbers must be")
            found[key].append(np.array([float(word) for word in words]))
        if {len(lines) for lines in found.values()} != {NUM_CAMERAS}:
            raise Refused(", ".join(f"{len(lines)} lines {key!r}" for key, lines in found.items()))
        if any(radial[0] != 0 for radial in found["radial"]):
            raise Refused("radial distortion, which the release has for no camera")
        cameras = []
        for inside, outside in zip(found["intrinsic"], found["extrinsic"], strict=True):
            lens, place = inside.reshape(4, 4), outside.reshape(4, 4)
            cameras.append(WorldCamera(place[:3, :3], place[:3, 3] / MM, lens[[0, 1], [0, 1]], lens[:2, 2]))
        return cameras, [(int(size[0]), int(size[1])) for size in found["size"]]


def scored_sequence(path: Path, number: int) -> ScoredSequence:
    """The joints of `annot_data.mat` of TS<number>, with the camera that projects them.

    Raises:
        RawFileError: the file is damaged, its arrays differ in length, or no camera can be found.
    """
    variables = load_mat(path)
    require_keys(variables, ("annot2", "annot3", "valid_frame"), str(path))
    with concerns_file(path):
        # MATLAB's order of axes is the reverse of the file's, and axes of length one are gone.
        pixels, joints = (
            shaped(np.asarray(field(variables, name)).T, name, -1, 17, size)
            for name, size in (("annot2", 2), ("annot3", 3))
        )
        is_valid = shaped(field(variables, "valid_frame"), "valid_frame", -1)
        if not len(pixels) == len(joints) == len(is_valid):
            raise MalformedRecord(
                f"fields annot2, annot3, valid_frame: expected as many frames, found {len(pixels)}, {len(joints)} and "
                f"{len(is_valid)}"
            )
        joints = joints / MM
        return ScoredSequence(pixels, joints, is_valid, _test_camera(pixels, joints, number))


def _test_camera(pixels: Floats, joints_cam_m: Floats, number: int) -> Camera:
    """The published camera, where it projects the joints onto their pixels; else the pinhole that does.

    The arrays hold no camera. The readme's (sensor sizes, focal lengths and offsets in millimetres, as posepile copies
    it) has a lens for TS5 and TS6; open-mmlab/mmpose fits a pinhole to the same pairs. Both are tried.
    """
    published, fitted = _published(number), _fitted(pixels, joints_cam_m)
    return published if _error_px(published, pixels, joints_cam_m) <= MAX_PUBLISHED_ERROR_PX else fitted


def _published(number: int) -> Camera:
    if number <= 4:
        width, sensor, focal, aspect, offset = 2048, (10.0, 10.0), 7.32506, 1.00044, (-0.0322884, 0.0929296)
        lens = np.zeros(12)
    else:
        width, sensor, focal, aspect, offset = (
            1920,
            (10.0, 5.625),
            8.770747185,
            0.993236423,
            (-0.104908645, 0.104899704),
        )
        lens = opencv_distortion((-0.276859611, 0.131125256, -0.000360494, -0.001149441, -0.049318332))
    scale = width / sensor[0]
    # posepile scales the centre's y with the aspect too, which moves it by 4 px from where mmpose's fits put it.
    return Camera(
        focal_px=np.array([focal * scale, focal * scale * aspect], np.float32),
        principal_point_px=((np.array(sensor) / 2 + offset) * scale).astype(np.float32),
        distortion=lens.astype(np.float32),
        has_intrinsics=True,
        is_calibrated=True,
    )


def _fitted(pixels: Floats, joints_cam_m: Floats) -> Camera:
    """The pinhole with the least squared distances, one axis at a time: u = f x / z + c.

    Raises:
        MalformedRecord: there are too few joints before the camera, or no positive focal length fits them.
    """
    points, places = pixels.reshape(-1, 2), joints_cam_m.reshape(-1, 3)
    usable = np.isfinite(points).all(axis=1) & np.isfinite(places).all(axis=1) & (places[:, 2] > 0)
    focal, centre = np.zeros(2), np.zeros(2)
    for axis in (0, 1):
        rays = places[usable, axis] / places[usable, 2]
        if len(rays) < 4 or np.ptp(rays) == 0:
            raise MalformedRecord("field 'annot3': expected joints before the camera, found too few to place it")
        design = np.column_stack([rays, np.ones(len(rays))])
        focal[axis], centre[axis] = np.linalg.lstsq(design, points[usable, axis], rcond=None)[0]
    if not (focal > 0).all():
        raise MalformedRecord.of("annot2", "projections of annot3", focal)
    return Camera(
        focal_px=focal.astype(np.float32),
        principal_point_px=centre.astype(np.float32),
        has_intrinsics=True,
        is_calibrated=True,
    )


def _error_px(camera: Camera, pixels: Floats, joints_cam_m: Floats) -> float:
    projected: Any = project(joints_cam_m, camera.focal_px, camera.principal_point_px, camera.distortion)
    distance = np.linalg.norm(projected - pixels, axis=-1)
    return float(np.median(distance[np.isfinite(distance)])) if np.isfinite(distance).any() else np.inf
