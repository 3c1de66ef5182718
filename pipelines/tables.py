"""Tables of a command: aligned text for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document instead of a table.")]


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, title: str | None = None) -> None:
    """Print rows (same keys in each) on stdout. JSON is a list of objects, whatever the number of rows."""
    if as_json:
        show_json(list(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    columns = list(rows[0]) if rows else []
    for name in columns:
        is_number = all(isinstance(row[name], int | float | None) and not isinstance(row[name], bool) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    # A log or a pipe has no width: 80 columns would fold every line of a wide table.
    console = Console(markup=False, width=None if sys.stdout.isatty() else 200)
    with console.capture() as text:  # printed by us: rich would leave by itself when the reader of our output has gone
        console.print(table if rows else "no rows")
    print(text.get(), end="")


def show_json(document: Any) -> None:
    """Print one JSON document on stdout; values JSON does not know (paths, dates) as strings."""
    print(json.dumps(document, ensure_ascii=False, default=str))


def size_text(num_bytes: int | None) -> str | None:
    """Bytes for people: 12 MB."""
    if num_bytes is None:
        return None
    size, units = float(num_bytes), ["B", "KB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.3g} {units[0]}"


def duration_text(seconds: float | None) -> str | None:
    """A time for people: 2 h 05 min."""
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
