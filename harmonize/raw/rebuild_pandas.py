"""pandas frames in pickles, as written by pandas 1.x, 2.x and 3.x.

No method of pandas sees what the file says: blocks, axes and string columns are turned into checked numpy arrays
here, and the frame is made from those by pandas' public constructor. Columns may be numbers, objects and strings, which
is all that the datasets have; other extension types (dates, categories, intervals) are refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.raw.depth import check_depth
from harmonize.raw.guard import Refused
from harmonize.raw.rebuild import fields_of
from harmonize.raw.values import Admitted, Inner, Pending, Table

_OFFSETS = {"string": "<i4", "utf8": "<i4", "large_string": "<i8", "large_utf8": "<i8"}


@dataclass(frozen=True, slots=True)
class _Strings(Inner):
    """A column of text; missing entries are NaN, as pandas has them."""

    values: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Index(Inner):
    values: npt.NDArray[Any] | range
    name: Any = None


@dataclass(frozen=True, slots=True)
class _Block(Inner):
    """`values` (num_columns, num_rows) of the columns at `places`."""

    values: npt.NDArray[Any]
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Blocks(Inner):
    blocks: tuple[_Block, ...]
    columns: _Index
    rows: _Index


@dataclass(frozen=True, slots=True)
class _ArrowType(Inner):
    name: str


@dataclass(frozen=True, slots=True)
class _StringType(Inner):
    pass


def _class(*_: Any) -> Any:
    raise Refused("a pandas object without its state")


def _arrow_type(name: Any) -> _ArrowType:
    if name not in _OFFSETS:
        raise Refused(f"an Arrow column of type {name!r}"[:200])
    return _ArrowType(name)


def _buffer(data: Any) -> Any:
    if not isinstance(data, (bytes, bytearray)):
        raise Refused("an Arrow buffer without its bytes")
    return data


def _arrow_array(parts: Any) -> _Strings:
    """Text from Arrow's layout: validity bits, offsets, characters."""
    kind, count, _num_missing, offset, buffers, children, dictionary = parts
    if not isinstance(kind, _ArrowType) or children or dictionary is not None or len(buffers) != 3:
        raise Refused("an Arrow column that is not plain text")
    if not all(type(number) is int and number >= 0 for number in (count, offset)):
        raise Refused("an Arrow column of an unknown form")
    validity, offsets, characters = buffers
    values: npt.NDArray[Any] = np.full(min(count, len(offsets or b"")), np.nan, object)
    if len(values) != count:
        raise Refused(f"an Arrow column of {count} entries without their offsets")
    if count:
        bounds = np.frombuffer(offsets, _OFFSETS[kind.name])[offset : offset + count + 1]
        if (
            len(bounds) != count + 1
            or bounds[0] < 0
            or np.any(np.diff(bounds) < 0)
            or bounds[-1] > len(characters or b"")
        ):
            raise Refused("an Arrow column whose offsets do not fit its text")
        if validity is None:
            is_valid = np.ones(count, bool)
        else:
            is_valid = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")[offset : offset + count] > 0
        for at in np.flatnonzero(is_valid):
            values[at] = bytes(characters[bounds[at] : bounds[at + 1]]).decode()
    return _Strings(values)


def _chunks(chunks: Any, _kind: Any = None) -> _Strings:
    if type(chunks) is not list or not chunks or not all(isinstance(chunk, _Strings) for chunk in chunks):
        raise Refused("an Arrow column of an unknown form")
    return _Strings(np.concatenate([chunk.values for chunk in chunks]))


class _PendingArrowStrings(Pending):
    def build(self, state: Any) -> _Strings:
        fields = fields_of(state)
        strings = fields.get("_pa_array", fields.get("_data"))
        if not isinstance(strings, _Strings):
            raise Refused("a text column without its text")
        return strings


class _PendingObjectStrings(Pending):
    def build(self, state: Any) -> _Strings:
        arrays = [part for part in state if isinstance(part, np.ndarray) and part.dtype == object and part.ndim == 1]
        if len(arrays) != 1 or not all(isinstance(text, (str, float, type(None))) for text in arrays[0]):
            raise Refused("a text column without its text")
        return _Strings(arrays[0])


def _arrow_strings(*_: Any) -> Pending:
    return _PendingArrowStrings()


def _object_strings(*_: Any) -> Pending:
    return _PendingObjectStrings()


def _ndarray_backed(cls: Any, _checksum: Any, state: Any) -> Pending:
    if not isinstance(cls, Admitted) or cls.rebuild is not _object_strings or state is not None:
        raise Refused(f"a pandas column of type {getattr(cls, 'name', cls)}"[:200])
    return _PendingObjectStrings()


def _new_index(cls: Any, fields: Any) -> _Index:
    if not isinstance(cls, Admitted) or cls.rebuild is not _class:
        raise Refused("a pandas index of an unknown form")
    if cls.name.endswith(".RangeIndex"):
        bounds = [fields[name] for name in ("start", "stop", "step")]
        if not all(type(bound) is int for bound in bounds):
            raise Refused("a pandas index of an unknown form")
        return _Index(range(*bounds), fields["name"])
    return _Index(_row(fields["data"]), fields["name"])


def _row(data: Any) -> npt.NDArray[Any]:
    values = data.values if isinstance(data, _Strings) else data
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise Refused("a pandas index that is not a row of values")
    return values


def _block(values: Any, places: Any, _ndim: Any = 2) -> _Block:
    array = _row(values)[None] if isinstance(values, _Strings) else values
    if not isinstance(array, np.ndarray) or array.ndim != 2:
        raise Refused("a pandas block that is not a table")
    if isinstance(places, slice):
        first, stop, step = places.start or 0, places.stop, places.step or 1
        if not (0 <= first <= stop and step > 0):
            raise Refused("a pandas block with columns out of range")
        columns = range(first, stop, step)
    else:
        columns = _row(places).tolist()
    if len(columns) != len(array):
        raise Refused(f"a pandas block of {len(array)} columns for {len(columns)} places")
    return _Block(array, tuple(columns))


class _PendingBlocks(Pending):
    """pandas before 1.3: the blocks are in the fourth part of the state."""

    def build(self, state: Any) -> _Blocks:
        form = state[3]["0.14.1"]
        return _checked(tuple(_block(block["values"], block["mgr_locs"]) for block in form["blocks"]), form["axes"])


def _block_manager(*parts: Any) -> _Blocks | Pending:
    return _checked(*parts) if parts else _PendingBlocks()


def _checked(blocks: Any, axes: Any) -> _Blocks:
    if not all(isinstance(block, _Block) for block in blocks) or not all(isinstance(axis, _Index) for axis in axes):
        raise Refused("a pandas frame of an unknown form")
    columns, rows = axes
    places = [place for block in blocks for place in block.places]
    if sorted(places) != list(range(len(places))) or len(places) != len(columns.values):
        raise Refused(f"a pandas frame of {len(columns.values)} columns with blocks for {places[:50]}")
    if not blocks or any(block.values.shape[1] != len(rows.values) for block in blocks):
        raise Refused(f"a pandas frame whose blocks do not have its {len(rows.values)} rows")
    return _Blocks(blocks, columns, rows)


class _PendingFrame(Pending):
    def build(self, state: Any) -> Any:
        fields = fields_of(state)
        blocks = fields.get("_mgr", fields.get("_data"))
        if not isinstance(blocks, _Blocks):
            raise Refused("a pandas frame without its blocks")
        return _frame(blocks)


def _frame(table: _Blocks) -> Any:
    """The `pandas.DataFrame`; columns of text and objects have dtype object whichever pandas wrote or reads them."""
    import pandas

    columns: dict[int, Any] = {}
    for block in table.blocks:
        for place, values in zip(block.places, block.values, strict=True):
            check_depth(values)
            columns[place] = pandas.Series(values, dtype=values.dtype, copy=False)
    frame = pandas.DataFrame(dict(sorted(columns.items())), copy=False)
    frame.columns = _labels(table.columns)
    frame.index = _labels(table.rows)
    return frame


def _labels(index: _Index) -> Any:
    import pandas

    if isinstance(index.values, range):
        return pandas.RangeIndex(index.values, name=index.name)
    if not all(isinstance(label, (str, int, float, type(None))) for label in index.values.tolist()):
        raise Refused("a pandas index whose labels are not names or numbers")
    return pandas.Index(index.values, dtype=index.values.dtype, name=index.name)


_INDEXES = (
    ("pandas", "Index"),
    ("pandas", "RangeIndex"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
    ("pandas.core.indexes.numeric", "Int64Index"),
    ("pandas.core.indexes.numeric", "Float64Index"),
)
PANDAS: Table = {
    **{(module, "DataFrame"): lambda *_: _PendingFrame() for module in ("pandas", "pandas.core.frame")},
    **{(f"pandas.core.internals{module}", "BlockManager"): _block_manager for module in ("", ".managers")},
    ("pandas._libs.internals", "_unpickle_block"): _block,
    ("pandas.core.indexes.base", "_new_Index"): _new_index,
    **dict.fromkeys(_INDEXES, _class),
    **{
        (module, "ArrowStringArray"): _arrow_strings
        for module in ("pandas.arrays", "pandas.core.arrays.string_arrow", "pandas.core.arrays.string_")
    },
    **{(module, "StringArray"): _object_strings for module in ("pandas.arrays", "pandas.core.arrays.string_")},
    **{(module, "StringDtype"): lambda *_: _StringType() for module in ("pandas", "pandas.core.arrays.string_")},
    ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): _ndarray_backed,
    ("pyarrow.lib", "_restore_array"): _arrow_array,
    ("pyarrow.lib", "chunked_array"): _chunks,
    ("pyarrow.lib", "type_for_alias"): _arrow_type,
    ("pyarrow.lib", "py_buffer"): _buffer,
}
