"""Ranking, the first part of the report on choosing: what models trained on one dataset each achieve."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark.rankings.agreement import agreement
from benchmark.rankings.published import PROXIES, published_ranking
from benchmark.rankings.runs import Run, RunErrors, load_runs, mean_half_widths, run_errors
from benchmark.rankings.scores import SCORES, Ranking, rank_by
from benchmark.rankings.tables import compare_rows, run_table
from harmonize.errors import UsageError
from pipelines.proxying import RECORD, read_record
from pipelines.study_figures import ranking_figure
from pipelines.study_page import Html, Section, chart, details, heading, interval_text, missing, notes, paragraph, table

ANCHOR, TITLE = "ranking", "1. Ranking"


def ranking(proxies: Path | None, store: Path) -> Section:
    """proxies: a run table, or the folder of `ehps proxy` that holds one.

    Raises:
        UsageError, DataError: see `benchmark.rankings.runs.load_runs` and `run_errors`.
    """
    if proxies is None:
        what = "No trainings of one dataset each were given. Make them, and give their folder with --proxies:"
        return missing(ANCHOR, TITLE, what, [f"ehps proxy {store} -o proxies"])
    runs = load_runs(proxies)
    blocks: list[Html] = [paragraph(_INTRODUCTION)]
    headlines = []
    groups = sorted({(run.architecture, run.draws) for run in runs})
    for architecture, draws in groups:
        errors = run_errors(runs, architecture, draws=draws)
        if len(groups) > 1:
            blocks.append(heading(f"{architecture}, {draws:,} draws"))
        blocks += _blocks(errors, [run for run in runs if (run.architecture, run.draws) == (architecture, draws)])
        best = rank_by(errors.table, "mean", with_in_domain=False)
        if best.datasets:
            headlines.append(
                f"{best.datasets[0]} first of {len(best.datasets)} by the mean error, {best.scores[0]:.1f} mm"
            )
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        headline="; ".join(headlines) or "no dataset has all the results that a score needs",
        blocks=tuple(blocks),
        is_standin=_is_standin(proxies),
    )


_INTRODUCTION = (
    "Each dataset, or mixture, by itself trained one small network, or several with different seeds, at the same "
    "budget; lower is better. A cell is in-domain (*) where the dataset is, by its card, the training split of the "
    "benchmark: scores are given with these cells in and out. Nothing is filled in: a dataset that lacks a result has "
    "no place by the scores that need it. Intervals (±, 95 %) are over seeds."
)


def _blocks(errors: RunErrors, runs: Sequence[Run]) -> Iterator[Html]:
    found = run_table(errors, in_domain=(False, True))
    yield table(
        _scores(errors),
        f"{errors.architecture}, {errors.draws:,} draws each: scores and their places (#), in-domain cells out and in",
    )
    caption = (
        "Left: the mean error of each dataset over the benchmarks without in-domain cells (filled, with its interval "
        "where there are several seeds) and with them (hollow). Right: the error on each benchmark in mm, dark where "
        "it is low within the benchmark; * in-domain."
    )
    yield chart(ranking_figure(errors), "Mean errors of datasets, and their errors on each benchmark", caption)
    yield table(_cells(errors), "Error on each benchmark in mm, mean over seeds")
    yield notes(found.notes)
    yield heading("Agreement with the published ranking")
    yield from _agreement(rank_by(errors.table, "mean", with_in_domain=False))
    yield details(f"All {len(runs)} results, with intervals over test sequences", [table(_results(runs))])


def _scores(errors: RunErrors) -> list[dict[str, Any]]:
    """A row a dataset, best first by the mean without in-domain cells."""
    rankings = {
        (score, is_in): rank_by(errors.table, score, with_in_domain=is_in)
        for is_in in (False, True)
        for score in SCORES
    }
    widths = {is_in: mean_half_widths(errors, with_in_domain=is_in) for is_in in (False, True)}
    first = rankings["mean", False]
    rows = []
    for name in [*first.datasets, *sorted(first.unranked)]:
        row: dict[str, Any] = {"dataset": name, "seeds": len(errors.seed_errors[name])}
        for (score, is_in), one in rankings.items():
            known = dict(zip(one.datasets, one.scores, strict=True))
            width = widths[is_in].get(name) if score == "mean" else None
            text = _plus_minus(known.get(name), width)
            row[f"{_NAMES[score]}, {'in' if is_in else 'out'}"] = text and f"{text} #{one.ranks[name]:g}"
        rows.append(row)
    return rows


_NAMES = {"mean": "mean mm", "normalised": "normalised mean", "mean_rank": "mean place"}


def _cells(errors: RunErrors) -> list[dict[str, Any]]:
    of, widths = errors.table, errors.half_width_mm
    order = rank_by(of, "mean", with_in_domain=True)
    rows = []
    for name in [*order.datasets, *sorted(order.unranked)]:
        at = of.datasets.index(name)
        row: dict[str, Any] = {"dataset": name}
        for column, benchmark in enumerate(of.benchmarks):
            text = _plus_minus(float(of.error_mm[at, column]), None if widths is None else float(widths[at, column]))
            row[benchmark] = f"{text} *" if text and of.is_in_domain[at, column] else text
        rows.append(row)
    return rows


def _agreement(own: Ranking) -> Iterator[Html]:
    rows, problems = [], []
    for proxy, (_, name) in PROXIES.items():
        try:
            found = agreement(own, published_ranking(proxy))
        except UsageError as error:
            problems.append(f"{name}: {str(error).splitlines()[0]}")
            continue
        rows += [
            {
                "published": name,
                "datasets in both": found.num_datasets,
                "measure": one["measure"],
                "value": interval_text(one["value"], one["low"], one["high"]),
                "by chance": one["by_chance"],
                "p": one["p"],
                "which": one["detail"],
            }
            for one in compare_rows(found)
        ]
    if rows:
        yield table(
            rows, "SMPLer-X's places of the datasets that are in both rankings (intervals: bootstrap over datasets)"
        )
    yield notes(problems)


def _results(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [
        {
            "run": run.run_id,
            "dataset": run.dataset,
            "seed": run.seed,
            "benchmark": run.benchmark,
            "metric": run.metric,
            "error mm": interval_text(run.error_mm, run.low_mm, run.high_mm),
        }
        for run in sorted(runs, key=lambda run: (run.dataset, run.seed, run.benchmark, run.metric))
    ]


def _plus_minus(value: float | None, width: float | None) -> str | None:
    if value is None or math.isnan(value):
        return None
    return f"{value:.3g}" if width is None or math.isnan(width) else f"{value:.3g} ± {width:.2g}"


def _is_standin(proxies: Path) -> bool:
    """Whether any training says that it was made with the stand-in; a bare run table says nothing."""
    return any(
        (read_record(path.parent) or {}).get("is_standin", False) for path in sorted(proxies.glob(f"*/{RECORD}"))
    )
