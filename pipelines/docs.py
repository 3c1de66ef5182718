"""Writes the generated parts of the pages under docs/: tables of what the code says of itself. `make docs` runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from catalogs.attributes import FAMILIES
from catalogs.attributes.family import Attribute, Family
from harmonize.layout import LAYOUT_HASH, LAYOUT_VERSION, VECTOR_SIZE, layout_table

DOCS = Path(__file__).resolve().parents[1] / "docs"


def layout_markdown() -> str:
    """The layout as a Markdown table, one line a field."""
    head = f"Layout version {LAYOUT_VERSION}, {VECTOR_SIZE} values, hash `{LAYOUT_HASH[:16]}`.\n"
    columns = "| field | slice | shape | unit | frame | valid when | values and notes |"
    return "\n".join([head, columns, "|" + "---|" * 7, *(_field_line(row) for row in layout_table())])


def attributes_markdown() -> str:
    """The families as Markdown, one table each, one line an attribute."""
    return "\n\n".join(_family_table(FAMILIES[name]) for name in sorted(FAMILIES))


SECTIONS: dict[str, tuple[str, Callable[[], str]]] = {
    "format.md": ("layout", layout_markdown),
    "attributes.md": ("attributes", attributes_markdown),
}
"""Page -> the name of its marks, and what stands between them."""


def renewed(page: str, name: str, content: str) -> str:
    """The page with what stands between its two marks written anew.

    Raises:
        ValueError: a mark is missing.
    """
    begin, end = f"<!-- {name}: written by `make docs` -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"expected {begin} and {end} in the page")
    return f"{before}{begin}\n{content}\n{mark}{after}"


def write_pages() -> None:
    """Renew every page."""
    for page, (name, write) in SECTIONS.items():
        path = DOCS / page
        path.write_text(renewed(path.read_text(), name, write()))


def _field_line(row: Mapping[str, Any]) -> str:
    part = row["field"].split(".")[0]
    shape = "x".join(str(size) for size in row["shape"]) or row["kind"]
    valid = f"{part}.{row['flag']}" if row["flag"] else ""
    notes = "; ".join(filter(None, [", ".join(f"{i} {code}" for i, code in enumerate(row["codes"])), row["doc"]]))
    return f"| {row['field']} | {row['slice']} | {shape} | {row['unit']} | {row['frame']} | {valid} | {notes} |"


def _family_table(family: Family) -> str:
    lines = [f"### {family.name}\n", f"{family.doc}\n", "| attribute | kind | unit | definition |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {_kind(one)} | {one.unit} | {one.doc} |" for one in family.attributes]
    return "\n".join(lines)


def _kind(attribute: Attribute) -> str:
    return f"{attribute.kind} ({attribute.size})" if attribute.size else attribute.kind


if __name__ == "__main__":
    write_pages()
