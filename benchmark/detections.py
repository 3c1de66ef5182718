"""Whom a model found in whole pictures: the file beside its predictions that says where in which picture each one is.

The layout is described in docs/predictions.md. Here `key` names a found person, not a sample of a store.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark.metrics.agora import NUM_COMPARED
from benchmark.predictions import named
from benchmark.rankings.runs import read_rows
from harmonize.errors import DataError

COLUMNS = ("key", "picture", "joints_px")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The people found in one picture: keys (P,), and joints_px (P, 24, 2) in pixels of the whole source picture."""

    keys: tuple[str, ...]
    joints_px: npt.NDArray[np.float64]


def load_detections(path: Path, keys: Collection[str], pictures: Collection[str]) -> dict[str, Found]:
    """By picture, in the order of the file; pictures in which nobody was found are not in it.

    keys: of the predictions, each of which must be found once. pictures: `image_path` of the evaluated split.

    Raises:
        UsageError: there is no such file, or it is not Parquet.
        DataError: a column is missing, a value is not of its kind or not finite, a key comes twice or has no
            prediction, a prediction has no row, or a picture is none of the split.
    """
    people: dict[str, list[tuple[str, list[float]]]] = {}
    seen: set[str] = set()
    for number, row in enumerate(read_rows(path, COLUMNS), 1):
        where = f"{path}: row {number}"
        key, picture, joints = (row[name] for name in COLUMNS)
        for name, value in (("key", key), ("picture", picture)):
            if not isinstance(value, str) or not value:
                raise DataError(f"{where}: {name}: expected text, found {value!r}", path=path, row=number)
        numbers = joints if isinstance(joints, list) else []
        if len(numbers) != 2 * NUM_COMPARED or not all(isinstance(one, float) and np.isfinite(one) for one in numbers):
            raise DataError(
                f"{where}: joints_px of {key}: expected {2 * NUM_COMPARED} finite numbers, x and y of "
                f"{NUM_COMPARED} joints; found {len(numbers)}, some not finite, or no list",
                path=path,
                row=number,
            )
        if key in seen:
            raise DataError(f"{where}: expected every key once, found {key} again", path=path, row=number)
        seen.add(key)
        people.setdefault(picture, []).append((key, numbers))
    if unlike := sorted(seen ^ set(keys)):
        raise DataError(
            f"{path}: expected one row for each prediction, found only one of both for {named(unlike)}",
            fix="write the same keys to both files",
            keys=unlike,
        )
    if unknown := sorted(set(people) - set(pictures)):
        raise DataError(
            f"{path}: expected pictures of the evaluated split, found {named(unknown)}",
            fix='see them with ehps query STORE "SELECT DISTINCT image_path FROM instances WHERE split = ..."',
            pictures=unknown,
        )
    return {picture: _found(rows) for picture, rows in people.items()}


def _found(rows: list[tuple[str, list[float]]]) -> Found:
    joints = np.array([numbers for _, numbers in rows], np.float64).reshape(len(rows), NUM_COMPARED, 2)
    return Found(keys=tuple(key for key, _ in rows), joints_px=joints)
