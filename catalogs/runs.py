"""Training runs, their errors, and selections as rows: the folders and files that `ehps train`, `ehps proxy` and
`ehps propose` leave behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from catalogs.insert import insert
from catalogs.selection import Selection
from harmonize.errors import EhpsError

RUNS, SELECTIONS = "runs", "selections"
"""Folders of a store in which both are looked for."""

_RUN, _SELECTION, _TABLE = "run.json", "selection.json", "runs.parquet"
_TABLES = """
CREATE TABLE runs (
    run VARCHAR, folder VARCHAR, selection VARCHAR, is_standin BOOLEAN, num_draws BIGINT, num_distinct BIGINT,
    num_parameters BIGINT, first_loss DOUBLE, last_loss DOUBLE, recipe VARCHAR
);
CREATE TABLE run_errors (
    folder VARCHAR, run_id VARCHAR, dataset VARCHAR, benchmark VARCHAR, metric VARCHAR, error_mm DOUBLE,
    low_mm DOUBLE, high_mm DOUBLE, seed BIGINT, architecture VARCHAR, draws BIGINT
);
CREATE TABLE selections (
    selection VARCHAR, path VARCHAR, method VARCHAR, draws_per_epoch BIGINT, repeat_cap BIGINT, seed BIGINT,
    dataset VARCHAR, split VARCHAR, weight DOUBLE, num_available BIGINT, num_draws BIGINT, reason VARCHAR
);
"""
_ERRORS = """
INSERT INTO run_errors
SELECT
    $folder || '/' || run_id, run_id, dataset, benchmark, metric, error_mm, low_mm, high_mm, seed, architecture, draws
FROM read_parquet($table)
"""


def create_tables(
    con: duckdb.DuckDBPyConnection, stores: Sequence[Path], runs: Sequence[Path], selections: Sequence[Path]
) -> list[str]:
    """Tables `runs` (one row a run), `run_errors` (one row of a run table, docs/runs.md; its folder is that of the run
    in `runs`) and `selections` (one row a member); returns what could not be read, and why.

    runs: run folders, or folders of them, such as those of `ehps proxy`, which have a run table, or folders of such;
    selections: files, or folders of them; in addition to those of the stores.
    """
    con.execute(_TABLES)
    notes: list[str] = []
    places = [*runs, *(store / RUNS for store in stores)]
    folders = _found(places, _RUN, depth=2)
    run_rows = []
    for folder in folders:
        try:
            run_rows.append(_run(folder))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            notes.append(f"{folder / _RUN}: not in `runs`, because it cannot be read ({type(error).__name__}: {error})")
    insert(con, RUNS, run_rows)
    for folder in _found(places, _TABLE, depth=1):
        try:
            con.execute(_ERRORS, {"folder": str(folder), "table": str(folder / _TABLE)})
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            notes.append(f"{folder / _TABLE}: not in `run_errors`, because it cannot be read ({reason})")
    files = _selection_files([*selections, *(store / SELECTIONS for store in stores)])
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for path in [*files, *(folder / _SELECTION for folder in folders)]:
        try:
            found = _selection(path)
        except EhpsError as error:
            notes.append(f"{path}: not in `selections`, because it cannot be read ({error})")
        else:
            rows.setdefault(found[0][0], found)  # a run has a copy of its selection
    insert(con, SELECTIONS, [row for found in rows.values() for row in found])
    return notes


def _found(places: Sequence[Path], name: str, depth: int) -> list[Path]:
    """Folders that hold a file of this name: each place itself, or those up to `depth` levels below it."""
    folders: list[Path] = []
    for place in places:
        if (place / name).is_file():
            folders.append(place)
        else:
            below = [f"{'*/' * level}{name}" for level in range(1, depth + 1)]
            folders += sorted(path.parent for pattern in below for path in place.glob(pattern))
    return folders


def _selection_files(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        yield from [place] if place.is_file() else sorted(place.glob("*.json"))


def _run(folder: Path) -> tuple[Any, ...]:
    run = json.loads((folder / _RUN).read_bytes())
    mixture = run["mixture"]
    return (
        *(folder.name, str(folder), run["selection"], run["is_standin"]),
        *(sum(int(one["num_draws"]) for one in mixture), sum(int(one["num_distinct"]) for one in mixture)),
        *(run["num_parameters"], run["first_loss"], run["last_loss"]),
        json.dumps(run["recipe"], sort_keys=True),
    )


def _selection(path: Path) -> list[tuple[Any, ...]]:
    found = Selection.load(path)
    head = (found.content_hash, str(path), found.method, found.draws_per_epoch, found.repeat_cap, found.seed)
    return [
        (*head, one.dataset, one.split, one.weight, one.num_available, one.num_draws, one.reason)
        for one in found.members
    ]
