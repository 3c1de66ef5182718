"""The cameras of a HumanData file: one a row, one for all, or the virtual ones of EFT's fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonize.readers.eft import CROP_FOCAL_PX, CROP_PX
from harmonize.readers.fields import MalformedRecord, numbers, pinhole
from harmonize.readers.humandata_sets import HumanDataSet
from harmonize.record import Array, Camera

Intrinsics = tuple[Array, Array]
"""Focal lengths (N, 2) and principal points (N, 2), pixels."""


@dataclass(frozen=True, slots=True)
class Cameras:
    """intrinsics: None where nothing says them. transl_m: (N, 3) where bodies are placed by these cameras alone."""

    intrinsics: Intrinsics | None
    is_calibrated: bool
    transl_m: Array | None = None

    def of(self, row: int) -> Camera:
        """The camera of a row."""
        if self.intrinsics is None:
            return Camera()
        focal_px, principal_point_px = self.intrinsics
        return pinhole(focal_px[row], principal_point_px[row], is_calibrated=self.is_calibrated)


def read_cameras(
    meta: Mapping[str, Array],
    misc: Mapping[str, Any],
    cam_param: Array | None,
    crop_xywh_px: Array | None,
    facts: HumanDataSet,
    num_rows: int,
    *,
    is_guessed: bool,
) -> Cameras:
    """The cameras that a file states, else those that are known of its dataset.

    cam_param: (N, 4) fx, fy, cx, cy. crop_xywh_px: (N, 5) the squares that `pred_cam` is for.

    Raises:
        MalformedRecord: a focal length or principal point has another size.
    """
    is_calibrated = facts.is_calibrated and not is_guessed
    focal = _stated(meta, misc, num_rows, "focal_length")
    principal = _stated(meta, misc, num_rows, "principal_point", "princpt")
    if focal is not None and principal is not None:
        return Cameras((focal, principal), is_calibrated)
    if cam_param is not None:
        return Cameras((cam_param[:, :2], cam_param[:, 2:]), is_calibrated)
    if "pred_cam" in meta and meta["pred_cam"].shape[1] == 3 and crop_xywh_px is not None:
        return _weak_perspective(meta["pred_cam"], crop_xywh_px)
    if facts.camera_px is not None:
        constant = np.broadcast_to(np.array(facts.camera_px, np.float32), (num_rows, 4))
        return Cameras((constant[:, :2], constant[:, 2:]), is_calibrated)
    return Cameras(None, False)


def _stated(meta: Mapping[str, Array], misc: Mapping[str, Any], num_rows: int, *names: str) -> Array | None:
    """(N, 2) per row from meta, else one constant from misc."""
    for name in names:
        if name in meta:
            rows = meta[name]
            return rows if rows.shape[1] == 2 else np.broadcast_to(rows[:, :1], (num_rows, 2))
        if misc.get(name) is not None:
            constant = numbers(misc[name], f"misc.{name}").ravel()
            if len(constant) not in (1, 2):
                raise MalformedRecord.of(f"misc.{name}", "one number or two", misc[name])
            return np.broadcast_to(constant.astype(np.float32), (num_rows, 2))
    return None


def _weak_perspective(pred_cam: Array, crop_xywh_px: Array) -> Cameras:
    """The virtual pinholes of EFT's fits (see `harmonize.readers.eft`), whose squares are given by corner and height
    (mmhuman3d, tools/vis/visualize_humandata.py)."""
    side = crop_xywh_px[:, 3:4].astype(np.float64)
    scale = pred_cam[:, :1].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = np.where((scale > 0) & (side > 0), scale, np.nan)
        depth = 2 * CROP_FOCAL_PX / (CROP_PX * scale)
        transl = np.concatenate([pred_cam[:, 1:] / scale, depth], axis=1).astype(np.float32)
        focal = np.repeat(CROP_FOCAL_PX * side / CROP_PX, 2, axis=1).astype(np.float32)
        centre = (crop_xywh_px[:, :2] + side / 2).astype(np.float32)
    return Cameras((focal, centre), is_calibrated=False, transl_m=transl)
