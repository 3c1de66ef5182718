"""Writes the generated part of docs/format.md: the table of the sample vector. `make docs` runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmonize.layout import LAYOUT_HASH, LAYOUT_VERSION, VECTOR_SIZE, layout_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "format.md"
BEGIN = "<!-- layout: written by `make docs` -->"
END = "<!-- end of layout -->"


def layout_markdown() -> str:
    """The layout as a Markdown table, one line a field."""
    head = f"Layout version {LAYOUT_VERSION}, {VECTOR_SIZE} values, hash `{LAYOUT_HASH[:16]}`.\n"
    columns = "| field | slice | shape | unit | frame | valid when | values and notes |"
    return "\n".join([head, columns, "|" + "---|" * 7, *(_line(row) for row in layout_table())])


def _line(row: Mapping[str, Any]) -> str:
    part = row["field"].split(".")[0]
    shape = "x".join(str(size) for size in row["shape"]) or row["kind"]
    valid = f"{part}.{row['flag']}" if row["flag"] else ""
    notes = "; ".join(filter(None, [", ".join(f"{i} {code}" for i, code in enumerate(row["codes"])), row["doc"]]))
    return f"| {row['field']} | {row['slice']} | {shape} | {row['unit']} | {row['frame']} | {valid} | {notes} |"


def with_layout(page: str) -> str:
    """The page with the table between its two marks written anew.

    Raises:
        ValueError: a mark is missing.
    """
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"expected {BEGIN} and {END} in the page")
    return f"{before}{BEGIN}\n{layout_markdown()}\n{mark}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_layout(PAGE.read_text()))
