"""Pages of docs/ with a part that a benchmark writes, between two marks."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def put_between_marks(page: str, measured: str) -> str:
    """The page with its measured part replaced.

    Raises:
        ValueError: the page does not have both marks, in order.
    """
    before, found, rest = page.partition(BEGIN)
    _, is_closed, after = rest.partition(END)
    if not found or not is_closed:
        raise ValueError(f"expected a page with {BEGIN} and {END}, found none")
    return f"{before}{BEGIN}\n{measured}{END}{after}"


def write_measured(name: str, measured: str) -> Path:
    """Replaces the measured part of a page of docs/; its path."""
    path = DOCS / name
    path.write_text(put_between_marks(path.read_text(), measured))
    return path
