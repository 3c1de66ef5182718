"""Evaluation, the last part of the report on choosing: errors with intervals, their spread, where they are large."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.evaluation import STANDIN_NOTE, Evaluation, Figure, Summary
from harmonize.errors import DataError, UsageError
from pipelines import evaluate as work
from pipelines.atlas import draw
from pipelines.study_evaluation_figures import failure_figure, histogram_figure, primary_figure
from pipelines.study_failures import Failures, failures
from pipelines.study_page import (
    Html,
    Section,
    chart,
    details,
    gallery,
    heading,
    interval_text,
    mark,
    missing,
    notes,
    paragraph,
    table,
)
from pipelines.study_proposals import Proposal

ANCHOR, TITLE = "evaluation", "5. Evaluation"
NUM_WORST = 12
NUM_DRAWN = 6
"""Attributes that are drawn; the table has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """A folder of `ehps evaluate -o`. model: the network that was measured, None for a file of predictions."""

    name: str
    model: Mapping[str, Any] | None
    benchmarks: dict[str, Evaluation]


def load_evaluated(folder: Path) -> Evaluated:
    """Read the summaries and the errors of all instances.

    Raises:
        UsageError: it is no such folder. DataError: a file of it is damaged or missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / work.SUMMARY
    if not path.is_file():
        raise UsageError(
            f"{folder}: expected {work.SUMMARY}, found none", fix="ehps evaluate STORE ... --benchmark NAME -o FOLDER"
        )
    try:
        found, whole = {}, json.loads(path.read_bytes())
        model = None if whole.get("model") is None else dict(whole["model"])
        for name, document in whole["benchmarks"].items():
            figures = tuple(Figure(**one) for one in document["figures"])
            summary = Summary(**{**document, "figures": figures, "notes": tuple(document["notes"])})
            errors = pq.read_table(folder / f"{summary.benchmark}.parquet")
            if summary.benchmark != name or f"{summary.primary}_mm" not in errors.column_names:
                raise ValueError(f"{name}: summary and errors are of different benchmarks")
            found[name] = Evaluation(errors=errors, summary=summary)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: expected what `ehps evaluate` writes, found {error!r}", fix="evaluate again", path=path
        ) from error
    return Evaluated(name=str(folder), model=model, benchmarks=found)


def evaluation(
    found: Sequence[Evaluated], asked: Sequence[Proposal], store: Path, body_models: str | None, num_workers: int
) -> Section:
    """What each folder measured, of which network, and where it is wrong. asked: the proposals on the page.

    Raises:
        StoreError, MissingBodyModelError: see `pipelines.atlas.draw`.
    """
    if not found:
        what = "No evaluation was given. Measure a run or a file of predictions, and give the folder with --evaluation:"
        return missing(ANCHOR, TITLE, what, [f"ehps evaluate {store} run --benchmark ehf pw3d -o results"])
    blocks: list[Html] = [
        paragraph(
            "Errors in mm, with 95 % intervals by drawing whole sequences, subjects or pictures; * is the metric that "
            "is compared."
        )
    ]
    if len(found) > 1:
        named = [(one.name, _primary(one)) for one in found]
        blocks.append(
            chart(primary_figure(named), "Primary errors of the evaluations", "The primary errors side by side.")
        )
    for one in found:
        blocks += [heading(one.name), *_model(one, asked), *_blocks(one, store, body_models, num_workers)]
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        headline="; ".join(_headline(one, with_name=len(found) > 1) for one in found),
        blocks=tuple(blocks),
        is_standin=any(of.summary.is_standin for one in found for of in one.benchmarks.values()),
    )


def _primary(one: Evaluated) -> dict[str, Figure]:
    return {name: of.summary.figure(of.summary.primary) for name, of in one.benchmarks.items()}


def _headline(one: Evaluated, *, with_name: bool) -> str:
    texts = [
        f"{name} {interval_text(of.mean_mm, of.low_mm, of.high_mm)}"
        for name, of in _primary(one).items()
        if of.mean_mm is not None
    ]
    return f"{one.name + ': ' if with_name else ''}{', '.join(texts)} mm"


def _model(one: Evaluated, asked: Sequence[Proposal]) -> Iterator[Html]:
    if one.model is None:
        return
    digest = str(one.model.get("selection"))
    who = f"The network of {one.model.get('run')} after {one.model.get('step')} updates"
    same = next((each for each in asked if each.selection.content_hash == digest), None)
    if same is not None:
        yield mark(f"{who}, trained on the proposal {same.name}.", is_good=True)
    elif asked:
        yield mark(f"{who}, trained on another selection than those shown: {digest}.", is_good=False)
    else:
        yield paragraph(f"{who}, trained on the selection {digest}.")


def _blocks(one: Evaluated, store: Path, body_models: str | None, num_workers: int) -> Iterator[Html]:
    yield table(work.rows(one.benchmarks))
    yield notes([note for note in work.notes(one.benchmarks) if note != STANDIN_NOTE])
    if line := work.mpe_line(one.benchmarks):
        yield paragraph(line)
    spread = {name: (of.summary.primary, _values(of)) for name, of in one.benchmarks.items()}
    if any(values for _, values in spread.values()):
        caption = "How the primary errors are spread over the instances; the line is their mean."
        yield chart(histogram_figure(spread), "Histograms of the primary errors", caption)
    for name, of in one.benchmarks.items():
        yield from _failures(name, of, store, body_models, num_workers)


def _failures(name: str, of: Evaluation, store: Path, body_models: str | None, num_workers: int) -> Iterator[Html]:
    found = failures(store, of.errors, of.summary.primary, NUM_WORST)
    yield heading(f"Where it fails on {name}", 4)
    if found.attributes:
        caption = (
            f"Mean {of.summary.primary} in mm by attribute, those first that tell most of the error apart; the line is "
            "the mean of all. In brackets: share of the errors' variance between the bins, less that of chance. Looked "
            f"at were {len(found.attributes)} attributes: with few instances, some differ by chance."
        )
        drawn = found.attributes[:NUM_DRAWN]
        mean = of.summary.figure(of.summary.primary).mean_mm
        yield chart(failure_figure(drawn, mean), f"Errors on {name} by attribute", caption)
        yield details(f"All {len(found.attributes)} attributes", [table(failure_rows(found, mean))])
    else:
        yield paragraph("No attribute tells its instances apart.", is_quiet=True)
    remarks = [f"not known of this store: {', '.join(found.absent)}; ehps describe {store}"] if found.absent else []
    if found.lost:
        remarks.append(f"{found.lost} measured instances are not in this store and are left out here")
    yield notes(remarks)
    if found.worst:
        pictures = draw(store, sorted(one.key for one in found.worst), body_models, num_workers)
        yield paragraph(f"The worst instances on {name}, with the mesh that was to be found:", is_quiet=True)
        yield gallery([(pictures.get(one.key), (f"{one.error_mm:.1f} mm", one.key, one.group)) for one in found.worst])


def failure_rows(found: Failures, mean_mm: float | None) -> list[dict[str, Any]]:
    """A row a bin of an attribute."""
    return [
        {
            "attribute": one.title,
            "is": f"{each.label} {one.unit}".strip(),
            "instances": each.error.num_instances,
            "mean mm": _with_interval(each.error),
            "to the mean of all": f"{each.error.mean / mean_mm - 1:+.0%}" if mean_mm else "",
            "explains": f"{one.explained:.0%}",
        }
        for one in found.attributes
        for each in one.bins
    ]


def _with_interval(of: Any) -> str:
    has_interval = of.low == of.low
    return interval_text(of.mean, of.low if has_interval else None, of.high if has_interval else None)


def _values(of: Evaluation) -> list[float]:
    column = of.errors.column(f"{of.summary.primary}_mm").to_pylist()
    return [value for value in column if value is not None]
