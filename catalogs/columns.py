"""Which columns the catalog keeps of each sample, and what those of attribute families are called beside them."""

from __future__ import annotations

from collections.abc import Sequence

from harmonize.layout import LAYOUT, TEXT_FIELDS

LONGEST = 10
"""Arrays of more numbers than this are left in the index files: nobody filters or groups by them."""

_PLACES = (
    *("sample_offset", "sample_size"),
    *(f"{member}_{item}" for member in ("npy", "json", "picture") for item in ("offset", "size", "sha256")),
)
_LONG = tuple(
    column.name.replace(".", "_")
    for column in LAYOUT
    if column.spec.kind == "array" and column.stop - column.start > LONGEST
)
RECORDS_ONLY = (*_LONG, *_PLACES)
"""Columns of the index that only the view `records` has: long arrays, and where the bytes of a sample lie."""

IDENTITY = ("key", "dataset", "split")
"""What every table of attributes begins with."""

_INDEX = frozenset(
    ["key", *TEXT_FIELDS, "extra_names", "shard", *(column.name.replace(".", "_") for column in LAYOUT)],
)


def beside(family: str, column: str) -> str:
    """The name that a family's column has among those of the index: `orientation_azimuth_deg`.

    Two underscores where one would give the name of a column of the index: `label__origin`.
    """
    plain = f"{family}_{column}"
    return plain if plain not in _INDEX else f"{family}__{column}"


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Sequence[str]) -> str:
    """Names as a SQL list of columns."""
    return ", ".join(map(quoted, names))
