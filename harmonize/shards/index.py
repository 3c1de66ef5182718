"""The tables of a shard: the index, one row a sample, and the rejects, one row a person that did not become one.

Columns of the index, in this order:

    key                                 name of the sample
    dataset .. licence, extra_names     the strings of the record (`Provenance`, names of the extra keypoints)
    image_width_px .. boxes_...         every field of `layout.LAYOUT`: `part.field` becomes `part_field`; arrays are
                                        flat fixed-size lists, codes their strings
    evidence_*                          how well the body agrees with the dataset's own points; null: nothing to compare
    picture_extension, picture_method, picture_detail    how the picture was stored
    sample_offset, sample_size          the sample's bytes in the tar: one `pread`
    {npy,json,picture}_{offset,size,sha256}              each member's content in the tar

Same rows, same bytes: fixed order, one compression, no times. Pages carry checksums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from harmonize.annotation import Reject
from harmonize.errors import StoreError
from harmonize.evidence import Evidence
from harmonize.layout import LAYOUT, LAYOUT_HASH, TEXT_FIELDS, VECTOR_SIZE, Column
from harmonize.readers.base import make_key
from harmonize.shards.tars import Member

MEMBERS = ("npy", "json", "picture")
"""What a sample consists of, in the order of the tar; a member of size 0 and offset 0 is not there."""

PLACE_COLUMNS = [
    *("key", "picture_extension", "sample_offset", "sample_size"),
    *(f"{member}_{item.name}" for member in MEMBERS for item in fields(Member)),
]
"""The columns that `places_of` needs."""

_NO_MEMBER = Member(offset=0, size=0, sha256="")
_TYPES = {"number": pa.float32(), "count": pa.int32(), "flag": pa.bool_(), "code": pa.string()}
_EVIDENCE = tuple(item.name for item in fields(Evidence))
_COMPRESSION = {"compression": "zstd", "compression_level": 3}
_ROW_GROUP = 4096


def column_name(column: Column) -> str:
    """The index column of a field of the layout."""
    return column.name.replace(".", "_")


def _type(column: Column) -> Any:
    if column.spec.kind == "array":
        return pa.list_(pa.field("item", pa.float32(), nullable=False), column.stop - column.start)
    return _TYPES[column.spec.kind]


def _required(name: str, kind: Any) -> Any:
    return pa.field(name, kind, nullable=False)


_TEXTS = pa.list_(pa.field("item", pa.string(), nullable=False))
INDEX_SCHEMA = pa.schema(
    [
        *(_required(name, pa.string()) for name in ("key", *TEXT_FIELDS)),
        _required("extra_names", _TEXTS),
        *(_required(column_name(column), _type(column)) for column in LAYOUT),
        *(pa.field(f"evidence_{name}", pa.float64()) for name in _EVIDENCE),
        *(_required(f"picture_{name}", pa.string()) for name in ("extension", "method", "detail")),
        *(_required(f"sample_{name}", pa.int64()) for name in ("offset", "size")),
        *(
            _required(f"{member}_{item.name}", pa.string() if item.name == "sha256" else pa.int64())
            for member in MEMBERS
            for item in fields(Member)
        ),
    ],
    metadata={"ehps_layout": LAYOUT_HASH},
)
REJECTS_SCHEMA = pa.schema(
    [
        *(_required(name, pa.string()) for name in ("key", *TEXT_FIELDS, "stage", "reason", "detail")),
        _required("numbers", pa.map_(pa.string(), pa.float64())),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample of the index, but for its vector."""

    strings: Mapping[str, Any]
    evidence: Evidence
    picture_extension: str
    picture_method: str
    picture_detail: str
    offset: int
    size: int
    members: Mapping[str, Member]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedReject:
    """A reject and who refused it: `dataset` (the reader, on the dataset's word), `convert`, `gate` or `image`."""

    stage: str
    reject: Reject


def index_table(rows: Sequence[Row], vectors: npt.NDArray[np.float32]) -> Any:
    """The index table. vectors: (N, VECTOR_SIZE), in the order of the rows."""
    columns: list[Any] = [[row.strings[name] for row in rows] for name in ("key", *TEXT_FIELDS, "extra_names")]
    columns += [_values(vectors[:, column.start : column.stop], column) for column in LAYOUT]
    for name in _EVIDENCE:
        values = [float(getattr(row.evidence, name)) for row in rows]
        columns.append([None if math.isnan(value) else value for value in values])
    columns += [[getattr(row, f"picture_{name}") for row in rows] for name in ("extension", "method", "detail")]
    columns += [[row.offset for row in rows], [row.size for row in rows]]
    for name in MEMBERS:
        members = [row.members.get(name, _NO_MEMBER) for row in rows]
        columns += [[getattr(member, item.name) for member in members] for item in fields(Member)]
    arrays = [_array(values, item.type) for values, item in zip(columns, INDEX_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA)


def _array(values: Any, kind: Any) -> Any:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def _values(block: npt.NDArray[np.float32], column: Column) -> Any:
    spec = column.spec
    if spec.kind == "array":
        flat = pa.array(np.ascontiguousarray(block).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, type=_type(column))
    scalars = block[:, 0]
    if spec.kind == "code":
        return pa.array([spec.codes[int(value)] for value in scalars], pa.string())
    if spec.kind == "flag":
        return pa.array(scalars != 0)
    return pa.array(scalars.astype(np.int32) if spec.kind == "count" else np.ascontiguousarray(scalars))


def vectors_of(table: Any) -> npt.NDArray[np.float32]:
    """The vectors (N, VECTOR_SIZE) that the columns of an index describe.

    Raises:
        ValueError: a code is not in its list.
    """
    vectors = np.zeros((table.num_rows, VECTOR_SIZE), np.float32)
    for column in LAYOUT:
        array = table.column(column_name(column)).combine_chunks()
        width = column.stop - column.start
        if column.spec.kind == "array":
            values = array.flatten().to_numpy(zero_copy_only=False)
        elif column.spec.kind == "code":
            values = np.array([column.spec.codes.index(code) for code in array.to_pylist()], np.float32)
        else:
            values = array.to_numpy(zero_copy_only=False)
        vectors[:, column.start : column.stop] = values.reshape(table.num_rows, width)
    return vectors


def strings_of(table: Any) -> list[dict[str, Any]]:
    """The strings of each row, as `layout.encode` makes them, without the layout version."""
    rows: list[dict[str, Any]] = table.select(["key", *TEXT_FIELDS, "extra_names"]).to_pylist()
    return rows


def places_of(table: Any) -> Iterator[tuple[str, int, int, dict[str, Member]]]:
    """Key, offset, size, and members by extension, of each row."""
    for row in table.select(PLACE_COLUMNS).to_pylist():
        members = {}
        for name in MEMBERS:
            member = Member(**{item.name: row[f"{name}_{item.name}"] for item in fields(Member)})
            if member != _NO_MEMBER:
                members[row["picture_extension"] if name == "picture" else name] = member
        yield row["key"], row["sample_offset"], row["sample_size"], members


def rejects_table(rejects: Sequence[StagedReject]) -> Any:
    """The reject table, sorted, so that the order of reading does not show."""
    rows = [
        {
            "key": make_key(staged.reject.provenance),
            **{name: getattr(staged.reject.provenance, name) for name in TEXT_FIELDS},
            "stage": staged.stage,
            "reason": staged.reject.reason,
            "detail": staged.reject.detail,
            "numbers": sorted((name, float(value)) for name, value in staged.reject.numbers.items()),
        }
        for staged in rejects
    ]
    rows.sort(key=lambda row: [str(row[name]) for name in REJECTS_SCHEMA.names])
    return pa.Table.from_pylist(rows, schema=REJECTS_SCHEMA)


def to_parquet(table: Any) -> bytes:
    """The bytes of a table's file."""
    sink = pa.BufferOutputStream()
    texts = [item.name for item in table.schema if item.type == pa.string()]
    pq.write_table(
        table, sink, row_group_size=_ROW_GROUP, use_dictionary=texts, write_page_checksum=True, **_COMPRESSION
    )
    return bytes(sink.getvalue())


def read_table(path: Path, schema: Any, columns: Sequence[str] | None = None) -> Any:
    """The table in a file, or some of its columns.

    Raises:
        StoreError: it is damaged, or its columns are not those of `schema`; the message says which.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            found = file.schema_arrow
            if not found.equals(schema) or found.metadata != schema.metadata:
                raise StoreError(f"{path}: {_schema_difference(found, schema)}", path=str(path))
            table = file.read(columns=columns)
            table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        raise StoreError(f"{path}: not a readable parquet file ({error})", path=str(path)) from error
    nulls = [name for name in table.column_names if table.column(name).null_count and not name.startswith("evidence_")]
    if nulls:
        raise StoreError(f"{path}: expected values everywhere, found nulls in {', '.join(nulls)}", path=str(path))
    return table


def _schema_difference(found: Any, expected: Any) -> str:
    if found.equals(expected):
        return f"expected metadata {expected.metadata}, found {found.metadata}"
    ours = {item.name: item.type for item in expected}
    theirs = {item.name: item.type for item in found}
    wrong = [name for name in ours if theirs.get(name) != ours[name]] + sorted(set(theirs) - set(ours))
    return f"the columns {', '.join(wrong) or '(order, nullability)'} are not those of layout {LAYOUT_HASH[:12]}"


def damaged_columns(path: Path, schema: Any) -> list[str]:
    """Columns that cannot be read while others can; empty when the file as a whole cannot be opened."""
    damaged = []
    for name in schema.names:
        try:
            read_table(path, schema, [name])
        except StoreError:
            damaged.append(name)
    return damaged if len(damaged) < len(schema.names) else []
