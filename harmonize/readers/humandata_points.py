"""The keypoint arrays of a HumanData file, compressed by a mask or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.annotation import NamedPoints
from harmonize.keypoints import SMPLX_144, convention
from harmonize.raw.npz import Header
from harmonize.readers.fields import MalformedRecord, numbers
from harmonize.readers.humandata_sets import HumanDataSet
from harmonize.record import Array, BodyKind, PointOrigin

KEYS_2D = ("keypoints2d", "keypoints2d_smplx", "keypoints2d_smpl", "keypoints2d_original")
KEYS_3D = ("keypoints3d_cam", "keypoints3d", "keypoints3d_smplx", "keypoints3d_smpl", "keypoints3d_original")
"""First present wins, in the order of SMPLer-X's loader."""
MASKS = ("mask", *(f"{key}_mask" for key in (*KEYS_2D, *KEYS_3D)))

_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


@dataclass(frozen=True, slots=True)
class PointList:
    """Which points an array holds: `columns` of its second axis, their names, and what they are.

    num_values: 3 for 2D, 4 for 3D, with the confidence.
    """

    key: str
    columns: npt.NDArray[np.intp]
    names: tuple[str, ...]
    num_values: int
    origin: PointOrigin
    is_exact: bool

    def packed(self, block: Any) -> Array:
        """(n, K, num_values) float32 of a block of the file's rows; the confidence is between 0 and 1."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = numbers(block, self.key)[:, self.columns, : self.num_values].astype(np.float32)
        if values.shape[2] < self.num_values:
            return np.concatenate([values, np.ones_like(values[..., :1])], axis=2)
        np.clip(values[..., -1], 0.0, 1.0, out=values[..., -1])
        return values

    def of(self, values: Array) -> NamedPoints:
        """The points of one person, (K, num_values)."""
        return NamedPoints(names=self.names, values=values, origin=self.origin, is_exact=self.is_exact)


def point_list(
    header: Mapping[str, Header],
    masks: Mapping[str, Any],
    keys: tuple[str, ...],
    num_rows: int,
    facts: HumanDataSet,
    model: BodyKind | None,
) -> PointList | None:
    """The list under the first of the keys that the file has and that can be used; None where there is none.

    Raises:
        MalformedRecord: its shape fits neither the rows nor the mask.
    """
    key = next((key for key in keys if key in header and key not in facts.ignored), None)
    if key is None:
        return None
    num_values = 4 if keys is KEYS_3D else 3
    shape = header[key][0]
    mask = _mask(masks, key, shape[1] if len(shape) == 3 else 0)
    if len(shape) != 3 or shape[0] < num_rows or shape[1] not in (len(mask), mask.sum()) or shape[2] < num_values - 1:
        expected = f"({num_rows}, {len(mask)} or {mask.sum()}, {num_values})"
        raise MalformedRecord(f"field {key!r}: expected shape {expected}, found {shape}")
    is_made_from_body = model is not None and key.endswith(f"_{model}")
    all_names = np.array(convention("human_data_190").names if len(mask) == 190 else SMPLX_144)[mask]
    columns = np.flatnonzero(mask) if shape[1] == len(mask) else np.arange(int(mask.sum()))
    if not is_made_from_body:
        renamed = [facts.renamed.get(str(name), str(name)) for name in all_names]
        all_names = np.array(
            [new if new not in all_names else old for new, old in zip(renamed, all_names, strict=True)]
        )
    used = np.array([facts.has_finger_points or not _is_finger(str(name)) for name in all_names], bool)
    return PointList(
        key=key,
        columns=columns[used],
        names=tuple(map(str, all_names[used])),
        num_values=num_values,
        origin="measured" if num_values == 4 else "projected" if is_made_from_body else facts.points_origin,
        is_exact=is_made_from_body and facts.are_points_exact,
    )


def _is_finger(name: str) -> bool:
    side, _, rest = name.partition("_")
    return side in ("left", "right") and rest.split("_")[0] in _FINGERS


def _mask(masks: Mapping[str, Any], key: str, num_columns: int) -> npt.NDArray[np.bool_]:
    generic = f"{key.split('_')[0]}_mask"
    for name in (f"{key}_mask", generic, "mask"):
        if name in masks and np.size(masks[name]) in (144, 190):
            return np.asarray(np.ravel(numbers(masks[name], name)) == 1)
    if num_columns not in (144, 190):
        raise MalformedRecord(f"field '{key}_mask': expected 190 entries, found none")
    return np.ones(num_columns, bool)
