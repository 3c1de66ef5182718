"""The report on choosing: ranking, distances, proposals, realised mixture and evaluation of a store, on one page.

What is given is read and checked before anything is drawn; what is not given makes a section that says which command
makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catalogs import store as catalog
from catalogs.runs import RUNS, SELECTIONS
from harmonize.errors import StoreError, UsageError
from harmonize.whole import write_whole
from pipelines.proxying import EVALUATION
from pipelines.study_distances import distances
from pipelines.study_evaluations import evaluation, load_evaluated
from pipelines.study_mixtures import realised
from pipelines.study_page import Section, page
from pipelines.study_proposals import load_proposals, proposals
from pipelines.study_ranking import ranking
from pipelines.study_runs import load_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the report is made from, besides the store."""

    proxies: Path | None = None
    selections: tuple[Path, ...] = ()
    runs: tuple[Path, ...] = ()
    evaluations: tuple[Path, ...] = ()

    def filled(self, store: Path) -> Given:
        """With the selections and runs that lie in the store where none are given, and the runs' own evaluations."""
        selections = self.selections or tuple(sorted((store / SELECTIONS).glob("*.json")))
        runs = self.runs or tuple(path.parent for path in sorted((store / RUNS).glob("*/run.json")))
        of_runs = tuple(run / EVALUATION for run in runs if (run / EVALUATION).is_dir())
        return replace(self, selections=selections, runs=runs, evaluations=self.evaluations or of_runs)


def write_study(store: Path, out: Path, given: Given, *, body_models: str | None, num_workers: int = 1) -> None:
    """Write the HTML file; it appears whole or not at all. The same inputs give the same file.

    Raises:
        UsageError: something that is given is not what it should be, or `out` cannot be a file.
        DataError, StoreError: something is damaged, or the file cannot be written.
        MissingBodyModelError: pictures of real bodies need their models.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"{out}: expected a file in an existing folder", fix="change --choosing")
    sections, subtitle = study(store, given.filled(store), body_models=body_models, num_workers=num_workers)
    try:
        write_whole(out, page(f"Choosing data: {store.name}", subtitle, sections).encode())
    except OSError as error:
        raise StoreError(f"{out}: cannot write ({error.strerror})", fix="free space, or change --choosing") from error


def study(store: Path, given: Given, *, body_models: str | None, num_workers: int) -> tuple[Sequence[Section], str]:
    """The sections in the order of the page, and what the store is in a line."""
    with catalog.open(store) as con:
        ((num, datasets, splits, is_standin),) = catalog.query(
            con, "SELECT sum(num_samples), count(DISTINCT dataset), count(*), bool_or(is_standin) FROM datasets"
        ).rows
    found = load_proposals(given.selections)
    runs = [load_run(folder) for folder in dict.fromkeys(given.runs)]
    evaluated = [load_evaluated(folder) for folder in dict.fromkeys(given.evaluations)]
    sections = [
        ranking(given.proxies, store),
        distances(store, body_models, num_workers),
        proposals(found, store),
        realised(runs, found, store),
        evaluation(evaluated, found, store, body_models, num_workers),
    ]
    sections = [replace(one, is_standin=one.is_standin or bool(is_standin)) for one in sections]
    return sections, f"{store}: {num:,} samples of {datasets} datasets in {splits} splits."
