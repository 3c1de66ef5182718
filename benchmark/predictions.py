"""Predictions of any model, by sample key: a Parquet or npz file of SMPL-X parameters or of vertices.

The layout is described in docs/predictions.md. Files come from elsewhere: nothing in them is unpickled, sizes are
checked before anything is read, and rows are read a few at a time. Every error names the first keys it is about.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.bodies import BodyBatch
from harmonize.errors import DataError, RawFileError, UsageError
from harmonize.raw.npz import load_npz, npz_blocks, npz_header

Floats = npt.NDArray[np.floating[Any]]

BATCH_ROWS = 64
MAX_KEY_BYTES = 1 << 30
MAX_FILE_BYTES = 1 << 40
NAMED_KEYS = 5
NUM_VERTICES = 10475

KEY, VERTICES = "key", "vertices_m"
_REQUIRED = {
    "global_orient_aa": (3,),
    "body_pose_aa": (21, 3),
    "betas": (10,),
    "left_hand_pose_aa": (15, 3),
    "right_hand_pose_aa": (15, 3),
    "jaw_pose_aa": (3,),
    "expression": (10,),
}
_OPTIONAL = {"transl_m": (3,), "leye_pose_aa": (3,), "reye_pose_aa": (3,)}
_SHAPES: Mapping[str, tuple[int, ...]] = {VERTICES: (NUM_VERTICES, 3), **_REQUIRED, **_OPTIONAL}
_ORDER = ("global_orient_aa", "body_pose_aa", "jaw_pose_aa", "leye_pose_aa", "reye_pose_aa")
_HANDS = ("left_hand_pose_aa", "right_hand_pose_aa")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionBatch:
    """Predictions of some samples: either meshes (N, 10475, 3) in metres or neutral SMPL-X bodies with absolute hands,
    both in axes of the camera."""

    keys: tuple[str, ...]
    vertices_m: Floats | None = None
    bodies: BodyBatch | None = None

    def __post_init__(self) -> None:
        given = [len(one) for one in (self.vertices_m, self.bodies) if one is not None]
        if given != [len(self.keys)]:
            raise ValueError(f"expected {len(self.keys)} meshes or bodies, found {given}")

    def rows(self, at: Sequence[int]) -> PredictionBatch:
        """Some of the samples, in the order given."""
        some, bodies = list(at), self.bodies
        return PredictionBatch(
            keys=tuple(self.keys[row] for row in some),
            vertices_m=None if self.vertices_m is None else self.vertices_m[some],
            bodies=None
            if bodies is None
            else BodyBatch(
                pose_aa=bodies.pose_aa[some],
                betas=bodies.betas[some],
                transl_m=bodies.transl_m[some],
                expression=None if bodies.expression is None else bodies.expression[some],
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """A file of predictions whose names, shapes and keys have been checked; `batches` reads it, as often as wanted."""

    path: Path
    keys: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def layout(self) -> str:
        """ "vertices" or "parameters"."""
        return "vertices" if VERTICES in self.columns else "parameters"

    def batches(self) -> Iterator[PredictionBatch]:
        """The predictions in the order of the file, at most BATCH_ROWS at a time.

        Raises:
            RawFileError: the file is damaged.
            DataError: a value is NaN, infinite or missing; the message names keys.
        """
        read = _npz_arrays if self.path.suffix == ".npz" else _parquet_arrays
        start = 0
        for arrays in read(self.path, self.columns):
            num = len(next(iter(arrays.values())))
            keys = self.keys[start : start + num]
            start += num
            yield _batch(self.path, keys, arrays)
        if start != len(self.keys):
            raise RawFileError(f"{self.path}: expected {len(self.keys)} rows, found {start}")


def open_predictions(path: Path) -> Predictions:
    """A file of predictions, `.parquet` or `.npz`; checked but for its values, which `batches` checks.

    Raises:
        UsageError: no such file, or another kind.
        RawFileError: it is damaged, or its columns, shapes or types are not those described.
        DataError: no predictions, a key that is no text or that occurs twice.
    """
    if path.suffix not in (".npz", ".parquet"):
        raise UsageError(f"{path}: expected a name ending in .parquet or .npz", fix="see docs/predictions.md")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file", fix="give the file of predictions")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise RawFileError(f"{path}: expected at most {MAX_FILE_BYTES} bytes, found {path.stat().st_size}")
    keys, columns = (_open_npz if path.suffix == ".npz" else _open_parquet)(path)
    if not keys:
        raise DataError(f"{path}: expected predictions, found none")
    if "" in keys:
        raise DataError(f"{path}: expected a key in every row, found an empty one in row {keys.index('')}")
    seen: set[str] = set()
    twice = sorted({key for key in keys if key in seen or seen.add(key)})  # type: ignore[func-returns-value]
    if twice:
        raise DataError(
            f"{path}: expected every key once, found duplicate keys: {named(twice)}",
            fix="keep one prediction a sample",
            keys=twice,
        )
    return Predictions(path=path, keys=tuple(keys), columns=columns)


def check_keys(where: str, found: Collection[str], *, wanted: Collection[str], allowed: Collection[str]) -> None:
    """Every wanted sample is predicted, and nothing that no evaluated split holds.

    Raises:
        DataError: keys are missing or unknown; the message names the first and says how many.
    """
    unknown = sorted(set(found) - set(allowed))
    if unknown:
        raise DataError(
            f"{where}: expected keys of the evaluated splits, found {len(unknown)} unknown: {named(unknown)}",
            fix='see the keys with ehps query STORE "SELECT key FROM instances WHERE split = ..."',
            keys=unknown,
        )
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise DataError(
            f"{where}: expected predictions of {len(wanted)} samples, {len(missing)} are missing: {named(missing)}",
            fix="predict these samples too: an error over the others would compare with nothing",
            keys=missing,
        )


def named(keys: Sequence[str]) -> str:
    """The first few keys, and how many more."""
    more = f" and {len(keys) - NAMED_KEYS} more" if len(keys) > NAMED_KEYS else ""
    return ", ".join(keys[:NAMED_KEYS]) + more


def _check_columns(path: Path, found: Sequence[str]) -> tuple[str, ...]:
    """The columns to read; refuses unknown, missing and mixed ones."""
    if KEY not in found:
        raise RawFileError(f"{path}: expected {KEY}, found {', '.join(sorted(found)) or 'nothing'}")
    unknown = sorted(set(found) - {KEY, *_SHAPES})
    if unknown:
        raise RawFileError(
            f"{path}: expected {KEY} and some of {', '.join(_SHAPES)}; found {', '.join(unknown)}",
            fix="see docs/predictions.md",
        )
    columns = tuple(name for name in _SHAPES if name in found)
    parameters = [name for name in columns if name != VERTICES]
    if VERTICES in columns and parameters:
        raise RawFileError(
            f"{path}: expected {VERTICES} or parameters, found mixed layouts: {VERTICES} with {', '.join(parameters)}",
            fix="write vertices and parameters into files of their own",
        )
    missing = [name for name in _REQUIRED if name not in columns]
    if VERTICES not in columns and missing:
        raise RawFileError(
            f"{path}: expected {VERTICES} or all of {', '.join(_REQUIRED)}; {', '.join(missing)} is missing",
            fix="see docs/predictions.md",
        )
    return columns


def _open_npz(path: Path) -> tuple[list[str], tuple[str, ...]]:
    headers = npz_header(path, max_bytes=MAX_FILE_BYTES)
    columns = _check_columns(path, list(headers))
    shape, dtype = headers[KEY]
    if len(shape) != 1 or dtype.kind != "U":
        raise RawFileError(
            f"{path}: {KEY}: expected text (N,), found {dtype}{shape}", fix="numpy.array(keys, dtype=str)"
        )
    if shape[0] * dtype.itemsize > MAX_KEY_BYTES:
        raise RawFileError(f"{path}: {KEY}: expected at most {MAX_KEY_BYTES} bytes, found {shape[0] * dtype.itemsize}")
    for name in columns:
        of, kind = headers[name]
        wanted = _SHAPES[name]
        if kind not in (np.dtype(np.float32), np.dtype(np.float64)) or of not in (
            (shape[0], *wanted),
            (shape[0], int(np.prod(wanted))),
        ):
            raise RawFileError(
                f"{path}: {name}: expected float32 or float64 {(shape[0], *wanted)} (or flat), found {kind}{of}"
            )
        if _is_fortran(path, name):
            raise RawFileError(
                f"{path}: {name}: expected C order, in which a row lies together, found Fortran order",
                fix="numpy.ascontiguousarray before saving",
            )
    return [str(key) for key in _npz_keys(path)], columns


def _npz_keys(path: Path) -> npt.NDArray[Any]:
    """The keys alone: the limit of `load_npz` is on the whole file, that of the keys is checked from their header."""
    return load_npz(path, [KEY], max_bytes=MAX_FILE_BYTES)[KEY]


def _is_fortran(path: Path, name: str) -> bool:
    """Whether an array, whose header has been checked, lies in Fortran order: it could only be read as a whole."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, is_fortran, _ = read(file)
        return bool(is_fortran)


def _npz_arrays(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Floats]]:
    headers = npz_header(path, max_bytes=MAX_FILE_BYTES)
    blocks = [
        npz_blocks(
            path,
            name,
            block_bytes=BATCH_ROWS * headers[name][1].itemsize * int(np.prod(_SHAPES[name])),
            max_bytes=MAX_FILE_BYTES,
        )
        for name in columns
    ]
    for some in zip(*blocks, strict=True):
        yield {name: block.reshape(len(block), *_SHAPES[name]) for name, block in zip(columns, some, strict=True)}


def _open_parquet(path: Path) -> tuple[list[str], tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, groups = file.schema_arrow, file.metadata
            columns = _check_columns(path, schema.names)
            if len(set(schema.names)) != len(schema.names):
                raise RawFileError(f"{path}: expected every column once, found {', '.join(schema.names)}")
            if not (pa.types.is_string(schema.field(KEY).type) or pa.types.is_large_string(schema.field(KEY).type)):
                raise RawFileError(f"{path}: {KEY}: expected text, found {schema.field(KEY).type}")
            for name in columns:
                kind = schema.field(name).type
                is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
                if not is_list or kind.value_type not in (pa.float32(), pa.float64()):
                    size = int(np.prod(_SHAPES[name]))
                    raise RawFileError(f"{path}: {name}: expected lists of {size} float32 or float64, found {kind}")
            at = schema.names.index(KEY)
            num_bytes = sum(
                groups.row_group(i).column(j).total_uncompressed_size
                for i in range(groups.num_row_groups)
                for j in range(groups.num_columns)
                if groups.row_group(i).column(j).path_in_schema == schema.names[at]
            )
            if num_bytes > MAX_KEY_BYTES:
                raise RawFileError(f"{path}: {KEY}: expected at most {MAX_KEY_BYTES} bytes, found {num_bytes}")
            column = file.read([KEY]).column(KEY)
            keys = column.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RawFileError(f"{path}: not a readable Parquet file: {error}", path=str(path)) from error
    if column.null_count:
        raise DataError(f"{path}: expected a key in every row, found {column.null_count} rows without one")
    return keys, columns


def _parquet_arrays(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Floats]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=[KEY, *columns]):
                keys = batch.column(KEY).to_pylist()
                yield {name: _listed(path, name, batch.column(name), keys) for name in columns}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RawFileError(f"{path}: not a readable Parquet file: {error}", path=str(path)) from error


def _listed(path: Path, name: str, column: Any, keys: Sequence[str]) -> Floats:
    """A column of lists as an array (N, ...)."""
    import pyarrow.compute as pc

    size = int(np.prod(_SHAPES[name]))
    absent = [key for key, is_there in zip(keys, column.is_valid().to_pylist(), strict=True) if not is_there]
    if absent:
        raise DataError(f"{path}: {name}: expected a value in every row, found none for {named(absent)}", keys=absent)
    lengths = pc.list_value_length(column).to_pylist()
    wrong = [f"{length} for {key}" for key, length in zip(keys, lengths, strict=True) if length != size]
    if wrong:
        raise DataError(f"{path}: {name}: expected {size} numbers in every row, found {named(wrong)}")
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(keys), *_SHAPES[name])


def _batch(path: Path, keys: tuple[str, ...], arrays: Mapping[str, Floats]) -> PredictionBatch:
    for name, values in arrays.items():
        bad = ~np.isfinite(values.reshape(len(keys), -1)).all(axis=1)
        if bad.any():
            of = [keys[row] for row in np.flatnonzero(bad).tolist()]
            raise DataError(
                f"{path}: {name}: expected finite numbers, found NaN or infinity for {named(of)}",
                fix="predict these samples again",
                keys=of,
            )
    if VERTICES in arrays:
        return PredictionBatch(keys=keys, vertices_m=arrays[VERTICES])
    zeros = np.zeros((len(keys), 3))
    pose = [arrays.get(name, zeros).reshape(len(keys), -1, 3) for name in (*_ORDER, *_HANDS)]
    bodies = BodyBatch(
        pose_aa=np.concatenate(pose, axis=1),
        betas=arrays["betas"],
        transl_m=arrays.get("transl_m", zeros),
        expression=arrays["expression"],
    )
    return PredictionBatch(keys=keys, bodies=bodies)
