"""The keypoint arrays of a HumanData file, compressed by a mask or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonize.annotation import NamedPoints
from harmonize.keypoints import SMPLX_144, convention
from harmonize.readers.fields import MalformedRecord, numbers
from harmonize.record import Array, PointOrigin

KEYS_2D = ("keypoints2d", "keypoints2d_smplx", "keypoints2d_smpl", "keypoints2d_original")
KEYS_3D = ("keypoints3d_cam", "keypoints3d", "keypoints3d_smplx", "keypoints3d_smpl", "keypoints3d_original")
"""First present wins, in the order of SMPLer-X's loader."""
MASKS = ("mask", *(f"{key}_mask" for key in (*KEYS_2D, *KEYS_3D)))


@dataclass(frozen=True, slots=True)
class Points:
    """The points of all rows: values (N, K, 3 | 4), the last column a confidence between 0 and 1."""

    names: tuple[str, ...]
    values: Array
    origin: PointOrigin
    is_exact: bool

    def row(self, row: int) -> NamedPoints:
        """The points of one person."""
        return NamedPoints(names=self.names, values=self.values[row], origin=self.origin, is_exact=self.is_exact)


def read_points(
    data: Mapping[str, Any], key: str, columns: int, num_rows: int, *, origin: PointOrigin, is_exact: bool
) -> Points:
    """The points under a key that the file's mask provides; columns: 3 for 2D, 4 for 3D, with the confidence.

    Raises:
        MalformedRecord: the points are no numbers, or their shape fits neither the rows nor the mask.
    """
    found = numbers(data[key], key)
    mask = _mask(data, key, found.shape[1] if found.ndim == 3 else 0)
    if (
        found.ndim != 3
        or len(found) != num_rows
        or found.shape[1] not in (len(mask), mask.sum())
        or found.shape[2] < columns - 1
    ):
        expected = f"({num_rows}, {len(mask)} or {mask.sum()}, {columns})"
        raise MalformedRecord(f"field {key!r}: expected shape {expected}, found {found.shape}")
    values = np.asarray(found[:, mask] if found.shape[1] == len(mask) else found, np.float32)
    if values.shape[2] == columns - 1:
        values = np.concatenate([values, np.ones_like(values[..., :1])], axis=2)
    values = np.concatenate([values[..., : columns - 1], np.clip(values[..., -1:], 0.0, 1.0)], axis=2)
    names = np.array(convention("human_data_190").names if len(mask) == 190 else SMPLX_144)
    return Points(names=tuple(names[mask]), values=values, origin=origin, is_exact=is_exact)


def _mask(data: Mapping[str, Any], key: str, num_columns: int) -> Any:
    generic = f"{key.split('_')[0]}_mask"
    for name in (f"{key}_mask", generic, "mask"):
        if name in data and np.size(data[name]) in (144, 190):
            return np.ravel(numbers(data[name], name)) == 1
    if num_columns not in (144, 190):
        raise MalformedRecord(f"field '{key}_mask': expected 190 entries, found none")
    return np.ones(num_columns, bool)
