"""What an attribute family is: named columns that one pure function computes from the rows of a shard.

A family is one file in this package with a `FAMILY` (or, where it depends on a choice such as a backbone, a function
that returns one). Its values lie in `<split>/attributes/<family>/<shard>.parquet`, one row a sample in the order of the
shard's index: `key`, `dataset`, `split`, then the family's own columns. See `files` for what binds them to the shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harmonize.layout import LAYOUT

Kind = Literal["number", "double", "count", "flag", "text", "vector", "half"]
Values = Any
"""numpy array, numpy masked array or Arrow array: N values, or (N, size) for vectors. NaN and masked become null."""

IDENTITY = ("key", "dataset", "split")
"""What every attribute table begins with."""

_SHAPES = {column.name.replace(".", "_"): column.spec.shape for column in LAYOUT}
_TYPES = {
    "number": pa.float32(),
    "double": pa.float64(),
    "count": pa.int32(),
    "flag": pa.bool_(),
    "text": pa.string(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One column. doc: its definition in one or two sentences, with the source of a formula; null where unknown.

    kind: number (float32), double, count (int32), flag, text, vector (`size` float32) or half (`size` float16).
    """

    name: str
    unit: str
    doc: str
    kind: Kind = "number"
    size: int = 0

    @property
    def arrow_type(self) -> Any:
        """The type of the column in the file."""
        if self.kind in ("vector", "half"):
            item = pa.float32() if self.kind == "vector" else pa.float16()
            return pa.list_(pa.field("item", item, nullable=False), self.size)
        return _TYPES[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What `prepare` may look at: the store, which bodies its shards were made with, and the stores' finished shards.

    body_models: as `BodyModels.open` takes it. shards: name -> folder of the split, for reading attributes of families
    that this one follows (`files.read_attributes`).
    """

    store: Path
    body_models: str | None
    shards: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What all shards of a family share, made once and sent to every worker: it must be picklable.

    facts: what it was made from (hash of a body model, of a basis, of weights, ...): part of every shard's manifest, so
    a change of any of them makes the values stale.
    """

    value: Any = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of one shard, as `compute` sees them.

    table: `IDENTITY` and the family's `reads`. people: for families that read everyone in the same pictures, one row a
    person of the split whose picture is also in this shard (columns `people.COLUMNS`). families: the tables of the
    families that this one follows. open_pictures: row number, file content and extension of each stored picture, in
    order.
    """

    shard: str
    table: Any
    people: Any = None
    families: Mapping[str, Any] = field(default_factory=dict)
    open_pictures: Callable[[], Iterator[tuple[int, bytes, str]]] = lambda: iter(())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def array(self, name: str) -> npt.NDArray[Any]:
        """A column of the index as numpy: (N, *shape) float32 for fields of the record, else (N,); null is NaN."""
        return to_numpy(self.table.column(name), _SHAPES.get(name, ()))

    def texts(self, name: str) -> npt.NDArray[np.str_]:
        """A column of strings (N,)."""
        return np.array(self.table.column(name).to_pylist(), dtype=np.str_)

    def of(self, family: str, name: str) -> npt.NDArray[Any]:
        """A column of a family that this one follows: (N,) or (N, size); null is NaN (a row of NaN for vectors)."""
        return to_numpy(self.families[family].column(name), None)


Columns = Mapping[str, Values]


def nothing(scope: Scope) -> Prepared:
    """For families whose shards share nothing."""
    return Prepared()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family: its columns, what it reads, and the pure function from rows to columns.

    reads: index columns. follows: families whose values it reads. is_wide: vectors that the catalog leaves in Parquet.
    compute(rows, prepared.value) returns every attribute by name; it is picklable (a module's function or a
    `functools.partial` of one).
    """

    name: str
    doc: str
    attributes: Sequence[Attribute]
    reads: Sequence[str]
    compute: Callable[[Rows, Any], Columns]
    prepare: Callable[[Scope], Prepared] = nothing
    follows: Sequence[str] = ()
    reads_pictures: bool = False
    reads_people: bool = False
    is_wide: bool = False

    @property
    def schema(self) -> Any:
        """The columns of the family's files."""
        identity = [pa.field(name, pa.string(), nullable=False) for name in IDENTITY]
        return pa.schema([*identity, *(pa.field(one.name, one.arrow_type) for one in self.attributes)])


def to_numpy(column: Any, shape: tuple[int, ...] | None) -> npt.NDArray[Any]:
    """An Arrow column as numpy. shape: of one value; None takes it from the column. Null is NaN."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        if column.null_count:
            flat = column.flatten().to_numpy(zero_copy_only=False)
            out = np.full((len(column), size), np.nan, flat.dtype)
            out[np.asarray(column.is_valid())] = flat.reshape(-1, size)
        else:
            out = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
        return out.reshape(len(column), *shape) if shape else out
    return np.asarray(column.to_numpy(zero_copy_only=False))


def to_table(family: Family, rows: Rows, columns: Columns) -> Any:
    """The family's table: identity from the rows, then the columns. NaN and masked values become null.

    Raises:
        ValueError: a column is missing, unknown, or of another length or width: a bug of the family.
    """
    names = [attribute.name for attribute in family.attributes]
    if set(columns) != set(names):
        raise ValueError(f"{family.name}: expected the columns {names}, found {sorted(columns)}")
    arrays = [rows.table.column(name).combine_chunks() for name in IDENTITY]
    arrays += [_to_arrow(columns[attribute.name], attribute, len(rows)) for attribute in family.attributes]
    return pa.Table.from_arrays(arrays, schema=family.schema)


def _to_arrow(values: Values, attribute: Attribute, num_rows: int) -> Any:
    if isinstance(values, pa.Array):
        array = values.cast(attribute.arrow_type)
    elif attribute.kind in ("vector", "half"):
        array = _vectors(np.ma.filled(values.astype(np.float32), np.nan), attribute)
    else:
        mask = np.ma.getmaskarray(values)
        plain = np.ma.getdata(values)
        if plain.dtype.kind == "f":
            mask = mask | np.isnan(plain)
        if attribute.kind == "count":
            plain = np.where(mask, 0, plain).astype(np.int32)
        array = pa.array(plain, attribute.arrow_type, mask=mask)
    if len(array) != num_rows:
        raise ValueError(f"{attribute.name}: expected {num_rows} values, found {len(array)}")
    return array


def _vectors(values: npt.NDArray[np.float32], attribute: Attribute) -> Any:
    if values.shape[1:] != (attribute.size,):
        raise ValueError(f"{attribute.name}: expected (N, {attribute.size}), found {values.shape}")
    invalid: npt.NDArray[np.bool_] = np.asarray(np.isnan(values).any(axis=1))
    item = np.float32 if attribute.kind == "vector" else np.float16
    flat = np.ascontiguousarray(np.where(invalid[:, None], 0, values).astype(item)).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=attribute.arrow_type, mask=pa.array(invalid))
