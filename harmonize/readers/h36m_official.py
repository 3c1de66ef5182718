"""Human3.6M as the site ships it: `metadata.xml` (names, cameras) and the poses in CDF files.

`w0` of the metadata holds 300 numbers: for each of 4 cameras and 11 subjects three Euler angles (intrinsic x-y-z) of
the world-to-camera rotation and the camera's centre in millimetres, then for each camera f(2), c(2), k(3), p(2) in the
lens model that `imar_distortion` explains (anibali/h36m-fetch metadata.py; checked against the matrices that other
projects publish).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.geometry.cameras import imar_distortion
from harmonize.raw.cdf import load_cdf
from harmonize.raw.xmls import load_xml
from harmonize.readers.fields import Floats, MalformedRecord, concerns_file, shaped
from harmonize.readers.kept import keep_last
from harmonize.readers.world_fits import MM, WorldCamera

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
ROWS_17 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Of the 32 stored joints, those that are measured: pelvis, right leg, left leg, spine, neck, nose, head top, left arm,
right arm, which is the order of h36m_mmpose_17. The others repeat them, or are toes and thumbs."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """cameras: by subject number and name of the camera; lenses: OpenCV coefficients (12,) by name of the camera."""

    cameras: dict[tuple[int, str], WorldCamera]
    lenses: dict[str, Floats]


@keep_last
def metadata(path: Path) -> Metadata:
    """The cameras of `metadata.xml`.

    Raises:
        RawFileError: the file is damaged, or has other than 300 camera numbers or 4 cameras.
    """
    root = load_xml(path)
    with concerns_file(path, "take metadata.xml from the code release (Release-v1.2)"):
        names = [item.text or "" for item in root.findall("dbcameras/index2id/item")]
        if len(names) != 4 or len(set(names)) != 4:
            raise MalformedRecord.of("dbcameras/index2id", "four names of cameras", names)
        values = _numbers(root.findtext("w0") or "")
    places, lenses = values[:264].reshape(4, 11, 6), values[264:].reshape(4, 9)
    cameras = {}
    for row, name in enumerate(names):
        for subject in range(11):
            rotmat = _rotation(places[row, subject, :3])
            cameras[subject + 1, name] = WorldCamera(
                rotmat, -rotmat @ places[row, subject, 3:] / MM, lenses[row, :2], lenses[row, 2:4]
            )
    return Metadata(
        cameras, {name: imar_distortion(lenses[row, 4:7], lenses[row, 7:]) for row, name in enumerate(names)}
    )


def positions(path: Path, size: int) -> Floats:
    """(F, 17, size) of a pose file: metres for size 3, pixels for size 2.

    Raises:
        RawFileError: the file is damaged, or `Pose` is not (1, F, 32 * size).
    """
    values = load_cdf(path, "Pose")
    with concerns_file(path):
        if values.ndim < 2 or values.shape[-1] != 32 * size:
            raise MalformedRecord(f"field 'Pose': expected shape (1, F, {32 * size}), found {values.shape}")
        points = shaped(values, "Pose", -1, 32, size)[:, ROWS_17]
    return points / MM if size == 3 else points


def _numbers(text: str) -> Floats:
    try:
        values = np.array([float(word) for word in text.strip().strip("[]").split()])
    except ValueError:
        values = np.empty(0)
    if len(values) != 300 or not np.isfinite(values).all():
        raise MalformedRecord.of("w0", "300 numbers in brackets", text[:60])
    return values


def _rotation(angles: Floats) -> Floats:
    """R = Rx(a) Ry(b) Rz(c)."""
    (a, b, c), rotmat = angles, np.eye(3)
    for axis, angle in zip((0, 1, 2), (a, b, c), strict=True):
        turn: Any = np.eye(3)
        i, j = [n for n in range(3) if n != axis]
        sign = -1.0 if axis == 1 else 1.0
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -sign * math.sin(angle), sign * math.sin(angle)
        rotmat = rotmat @ turn
    return np.asarray(rotmat)
