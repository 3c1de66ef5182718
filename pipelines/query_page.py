"""Writes docs/queries.md: every question of `pipelines.questions` with its answer on the store that `ehps demo` makes.

python -m pipelines.query_page [STORE]       STORE: a demo store that is described; default: made in a temporary folder
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from catalogs import store as catalog
from catalogs.store import Table
from harmonize.bodies.models import STANDIN
from harmonize.readers import splits_of
from harmonize.shards.plan import IngestJob
from pipelines.demo import DATASETS
from pipelines.describe import Request, describe_store
from pipelines.ingest import ingest
from pipelines.miniatures import write_miniatures
from pipelines.questions import PYTHON, QUESTIONS, Question

PAGE = Path(__file__).resolve().parents[1] / "docs" / "queries.md"
NUM_PEOPLE = 16
"""What `ehps demo` gives each dataset unless asked otherwise."""

_HEAD = """# Twenty questions

Each with the SQL that answers it, and the answer for the store that `ehps demo` makes. Its people are made up: the
numbers show what an answer looks like and say nothing about the datasets. Ask your own store with

    ehps query STORE "SELECT ..."        or a named query: ehps query STORE @orientation

after `ehps describe STORE` has computed the attributes. `attributes.md` defines every column; `ehps query STORE` lists
the named queries. This page is written by `make docs`.
"""


def page(con: duckdb.DuckDBPyConnection) -> str:
    """The whole page, with the answers of this catalog."""
    parts = [_HEAD]
    for number, question in enumerate(QUESTIONS, 1):
        parts.append(section(number, question, catalog.query(con, question.sql)))
    python = f"## From Python\n\n```python\n{PYTHON.strip()}\n```\n"
    return "\n".join([*parts, python])


def section(number: int, question: Question, answer: Table) -> str:
    """One question: its text, its SQL, its answer as a table, and how to read it."""
    title, sql = f"## {number}. {question.text}", f"```sql\n{question.sql.strip()}\n```"
    return f"{title}\n\n{sql}\n\n{markdown(answer)}\n\n{question.note}\n"


def markdown(answer: Table) -> str:
    """A table of Markdown; `no rows` where there are none."""
    rows = [f"| {' | '.join(map(_cell, row))} |" for row in answer.rows]
    head = [f"| {' | '.join(answer.columns)} |", "|" + "---|" * len(answer.columns)]
    return "\n".join([*head, *rows]) if rows else "\n".join([*head, "", "No rows."])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def demo_store(folder: Path, num_workers: int) -> Path:
    """The store of the demo with all its attributes."""
    store = folder / "store"
    write_miniatures(folder / "raw", DATASETS, NUM_PEOPLE, num_workers)
    jobs = [
        IngestJob(reader=name, root=folder / "raw" / name, split=split, store=store, body_models=STANDIN)
        for name in DATASETS
        for split in splits_of(name)
    ]
    ingest(jobs, runner="local", num_workers=num_workers)
    describe_store(Request(store=store, num_workers=num_workers))
    return store


def main(arguments: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(arguments[0]) if arguments else demo_store(Path(folder), os.cpu_count() or 1)
        with catalog.open(store) as con:
            PAGE.write_text(page(con), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
