"""What proposers of samples look at, read from a catalog: bins, points of a space, or joints in the order of time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from catalogs import store as catalog
from catalogs.columns import quoted
from harmonize.errors import UsageError

if TYPE_CHECKING:
    import duckdb

    from benchmark.problem import Samples
    from benchmark.spaces import Kind

NUM_BODY_JOINTS = 22
_DIGITS = re.compile(r"(\d+)")


def bins(store: Path, sources: Iterable[str], spaces: list[str] | None = None) -> dict[str, Samples]:
    """For each source the cells of its samples in every space that has cells, -1 where unknown.

    Raises:
        UsageError: no such space with cells, or none was computed.
    """
    from benchmark.problem import Samples
    from benchmark.spaces import kinds_in

    with catalog.open(store) as con:
        kinds = [kind for kind in kinds_in(con, spaces) if kind.cells is not None]
        if not kinds:
            raise UsageError("dsir: none of these spaces has cells", fix="leave --space out, or ehps describe STORE")
        found = {}
        for source in sources:
            columns = [_rows(con, kind, source) for kind in kinds]
            cells = [
                np.nan_to_num(kind.cells(values), nan=-1)
                for kind, (_, values) in zip(kinds, columns, strict=True)
                if kind.cells
            ]
            found[source] = Samples(keys=columns[0][0], values=np.stack(cells, axis=1).astype(np.int64))
    return found


def points(store: Path, sources: Iterable[str], space: str) -> dict[str, Samples]:
    """For each source the vectors of its samples in a space, as they are; samples without one are left out.

    Raises:
        UsageError: no such space, or it was not computed.
    """
    from benchmark.problem import Samples
    from benchmark.spaces import kinds_in

    with catalog.open(store) as con:
        (kind,) = kinds_in(con, [space])
        found = {}
        for source in sources:
            keys, values = _rows(con, kind, source)
            vectors = np.asarray(kind.vectors(values), np.float64)
            known = np.flatnonzero(np.isfinite(vectors).all(axis=1))
            found[source] = Samples(keys=tuple(keys[i] for i in known), values=vectors[known])
    return found


def joints(store: Path, sources: Iterable[str]) -> dict[str, Samples]:
    """For each source the body's joints relative to the pelvis (N, 22 * 3), in m, by recording in the order of time.

    Samples without 3D joints are left out.
    """
    from benchmark.problem import Samples

    found = {}
    sql = (
        "SELECT key, sequence, frame, person, keypoints_joints3d_cam_m FROM records "
        "WHERE dataset = $dataset AND split = $split AND keypoints_joints3d_cam_m IS NOT NULL"
    )
    with catalog.open(store) as con:
        for source in sources:
            dataset, split = source.split("/")
            rows = catalog.query(con, sql, {"dataset": dataset, "split": split}).rows
            values = np.array([row[4] for row in rows], np.float64).reshape(len(rows), -1, 4)[:, :NUM_BODY_JOINTS]
            known = np.atleast_1d((values[..., 3] > 0).all(axis=1) & np.isfinite(values).all(axis=(1, 2)))
            order = [i for i in sorted(range(len(rows)), key=lambda i: _moment(rows[i])) if known[i]]
            relative = values[order, :, :3] - values[order, :1, :3]
            found[source] = Samples(
                keys=tuple(rows[i][0] for i in order),
                values=relative.reshape(len(order), NUM_BODY_JOINTS * 3),
                sequences=tuple(f"{rows[i][1]}:{rows[i][3]}" for i in order),
            )
    return found


def _moment(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sorts frames by the numbers in their names: frame 99 is before frame 100."""
    parts = _DIGITS.split(str(row[2]))
    return (row[1], str(row[3]), [(int(part), "") if part.isdigit() else (-1, part) for part in parts], row[0])


def _rows(
    con: duckdb.DuckDBPyConnection, kind: Kind, source: str
) -> tuple[tuple[str, ...], dict[str, npt.NDArray[Any]]]:
    """Keys of a source's samples, sorted, and the columns that a kind of space reads; NaN where null."""
    dataset, split = source.split("/")
    columns = ", ".join(map(quoted, kind.columns))
    sql = f"SELECT key, {columns} FROM {quoted(kind.view)} WHERE dataset = $dataset AND split = $split ORDER BY key"
    rows = catalog.query(con, sql, {"dataset": dataset, "split": split}).rows
    values = {name: _column([row[i] for row in rows]) for i, name in enumerate(kind.columns, 1)}
    return tuple(row[0] for row in rows), values


def _column(cells: list[Any]) -> npt.NDArray[Any]:
    width = next((len(cell) for cell in cells if isinstance(cell, list | tuple)), None)
    if width is None:
        return np.array([np.nan if cell is None else float(cell) for cell in cells])
    return np.array([[np.nan] * width if cell is None else cell for cell in cells], np.float64)
