"""What `ehps evaluate` does: one model's predictions on several benchmarks, and the files and tables of the results.

A file of predictions is measured here, a network in `evaluate_checkpoint`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark.detections import load_detections
from benchmark.evaluation import STANDIN_NOTE, Evaluation, Figure, Summary, evaluate
from benchmark.normalised import KINDS, Normalised, evaluate_people
from benchmark.predictions import Predictions, check_keys, open_predictions
from benchmark.protocols import MPE_BENCHMARKS, MeanPrimaryError, mean_primary_error, protocol
from benchmark.truths import Chosen, choose
from harmonize.bodies import BodyModels
from harmonize.errors import UsageError
from harmonize.shards.read import open_store
from pipelines.progress import Meter

SUMMARY = "summary.json"
SHOWN_PARTS = ("all", "body", "hands", "face")
"""Columns of the table; left and right hand are in the files."""
PEOPLE_BENCHMARK = "agora"
"""The only benchmark of whole pictures."""


def evaluate_file(
    store: Path,
    path: Path,
    names: Sequence[str],
    *,
    every: int | None,
    num_draws: int,
    seed: int,
    device: str,
    body_models: str | None,
) -> dict[str, Evaluation]:
    """The benchmarks' evaluations, in the order given; everything about keys is checked before a mesh is made.

    Raises:
        UsageError: no or unknown benchmarks, a negative number of draws, or as `benchmark.evaluation.evaluate`.
        DataError, RawFileError, StoreError: as `benchmark.predictions` and `benchmark.evaluation.evaluate`.
    """
    if num_draws < 0:
        raise UsageError(f"--bootstrap: expected 0 or more draws, found {num_draws}")
    chosen = choose_all(store, names, every=every)
    predictions = open_predictions(path)
    allowed = frozenset[str]().union(*(one.keys_of_split for one in chosen.values()))
    wanted = frozenset[str]().union(*(one.wanted for one in chosen.values()))
    check_keys(str(path), predictions.keys, wanted=wanted, allowed=allowed)
    models = models_for(store, chosen, body_models)
    return {
        name: _evaluation(store, predictions, models, name, one, every, num_draws, seed, device, allowed)
        for name, one in chosen.items()
    }


def choose_all(store: Path, names: Sequence[str], *, every: int | None = None) -> dict[str, Chosen]:
    """What each benchmark measures on in a store, in the order given.

    Raises:
        UsageError: no or unknown benchmarks, or as `benchmark.truths.choose`. StoreError: the store is damaged.
    """
    protocols = [protocol(name) for name in dict.fromkeys(names)]
    if not protocols:
        raise UsageError("evaluate: expected a benchmark, found none", fix="--benchmark NAME ...")
    opened = open_store(store)
    return {one.name: choose(opened, one, every=every) for one in protocols}


def models_for(store: Path, chosen: Mapping[str, Chosen], spec: str | None) -> BodyModels:
    """The body models given, or the stand-in where the store was made with it.

    Raises:
        UsageError: some of the splits were made with the stand-in and some not. MissingBodyModelError: no such folder.
    """
    kinds = {one.is_standin for one in chosen.values()}
    if len(kinds) > 1:
        raise UsageError(
            f"{store}: expected benchmarks made with the same body models, found the stand-in and real ones",
            fix="evaluate them one by one",
        )
    return BodyModels.open_like(kinds == {True}, spec)


def evaluate_people_file(
    store: Path, path: Path, detections: Path, *, num_draws: int, seed: int, body_models: str | None
) -> Normalised:
    """AGORA's figures of people found in whole pictures.

    Raises:
        UsageError, DataError, RawFileError, StoreError: as `benchmark.normalised.evaluate_people`.
    """
    of = protocol(PEOPLE_BENCHMARK)
    predictions = open_predictions(path)
    models = models_for(store, choose_all(store, [of.name], every=1), body_models)
    return evaluate_people(
        store,
        of,
        predictions,
        lambda pictures: load_detections(detections, predictions.keys, pictures),
        models,
        num_draws=num_draws,
        seed=seed,
    )


def people_rows(found: Normalised) -> list[dict[str, Any]]:
    """One row a kind of error, figures side by side; those divided by F1 are NMVE and NMJE."""
    return [
        {"mm": kind}
        | {
            one.figure: "" if one.value_mm is None else _interval_text(one.value_mm, one.low_mm, one.high_mm, ".1f")
            for one in found.figures
            if one.kind == kind
        }
        for kind in KINDS
    ]


def people_line(found: Normalised) -> str:
    """The counts in words."""
    of = found.detection
    return (
        f"F1 {of.f1:.2f}, precision {of.precision:.2f}, recall {of.recall:.2f}: {of.num_matched} people matched, "
        f"{of.num_missed} missed, {of.num_false} false positives in {found.num_pictures} pictures"
    )


def write_people(found: Normalised, folder: Path) -> Path:
    """`agora_people.json` with everything.

    Raises:
        UsageError: the folder cannot be written.
    """
    path = folder / f"{PEOPLE_BENCHMARK}_people.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found.document(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error}", fix="-o another folder") from error
    return path


def mpe(found: dict[str, Evaluation]) -> MeanPrimaryError | None:
    """The mean primary error of what was evaluated as the protocols say; None where none of its benchmarks was."""
    primary = {}
    for name, one in found.items():
        mean = one.summary.figure(one.summary.primary).mean_mm
        if mean is not None and one.summary.is_as_stated:
            primary[name] = mean
    if not set(primary) & set(MPE_BENCHMARKS):
        return None
    return mean_primary_error(primary, allow_missing=True)


def rows(found: dict[str, Evaluation]) -> list[dict[str, Any]]:
    """One row a benchmark and kind of error, means and intervals of the parts side by side; the primary is marked."""
    table = []
    for name, one in found.items():
        by_metric = {figure.metric: figure for figure in one.summary.figures}
        for kind in dict.fromkeys(metric.rpartition("_")[0] for metric in by_metric if metric.endswith("_body")):
            row: dict[str, Any] = {"benchmark": name, "mm": kind}
            for part in SHOWN_PARTS:
                figure = by_metric.get(f"{kind}_{part}")
                row[part] = "" if figure is None else _text(figure, is_primary=figure.metric == one.summary.primary)
            counted = by_metric[one.summary.primary]
            unit = one.summary.protocol["unit"]
            row["instances"] = counted.num_instances
            row["drawn"] = f"{counted.num_groups} {unit}{'' if counted.num_groups == 1 else 's'}"
            table.append(row)
    return table


def document(found: dict[str, Evaluation], model: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All summaries, and MPE, for programs. model: which network it was, where it was one of this project's."""
    mean = mpe(found)
    return ({} if model is None else {"model": dict(model)}) | {
        "benchmarks": {name: one.summary.document() for name, one in found.items()},
        "mpe": None if mean is None else asdict(mean),
    }


def notes(found: dict[str, Evaluation]) -> list[str]:
    """What the numbers must be read with."""
    lines = [STANDIN_NOTE] if any(one.summary.is_standin for one in found.values()) else []
    lines += [f"{name}: {note}" for name, one in found.items() for note in one.summary.notes if note != STANDIN_NOTE]
    mean = mpe(found)
    if mean is not None and mean.missing:
        lacking, five = ", ".join(mean.missing), ", ".join(MPE_BENCHMARKS)
        lines.append(f"no MPE, which is the mean over {five}: {lacking} not evaluated as the protocol says")
    return lines


def mpe_line(found: dict[str, Evaluation]) -> str | None:
    """MPE in words, None without all of its benchmarks."""
    mean = mpe(found)
    if mean is None or mean.missing:
        return None
    return f"MPE {mean.value_mm:.2f} mm, the mean primary error (*) of {', '.join(mean.benchmarks)}"


def write(found: dict[str, Evaluation], folder: Path, model: Mapping[str, Any] | None = None) -> list[Path]:
    """`<benchmark>.parquet` with the errors of each instance, and `summary.json`; returns the files.

    model: see `document`.

    Raises:
        UsageError: the folder cannot be written.
    """
    import pyarrow.parquet as pq

    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, one in found.items():
            paths.append(folder / f"{name}.parquet")
            pq.write_table(one.errors, paths[-1], compression="zstd")
        paths.append(folder / SUMMARY)
        paths[-1].write_text(json.dumps(document(found, model), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error}", fix="-o another folder") from error
    return paths


def write_csv(found: dict[str, Evaluation], path: Path) -> None:
    """One line a benchmark and metric.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["benchmark", "metric", "is_primary", "mean_mm", "low_mm", "high_mm", "instances", "groups", "unit"]
            )
            for name, one in found.items():
                writer.writerows(_csv_rows(name, one.summary))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error}", fix="--csv another file") from error


def _csv_rows(name: str, summary: Summary) -> list[list[Any]]:
    return [
        [
            *(name, one.metric, one.metric == summary.primary, one.mean_mm, one.low_mm, one.high_mm),
            *(one.num_instances, one.num_groups, summary.protocol["unit"]),
        ]
        for one in summary.figures
    ]


def _evaluation(
    store: Path,
    predictions: Predictions,
    models: BodyModels,
    name: str,
    chosen: Chosen,
    every: int | None,
    num_draws: int,
    seed: int,
    device: str,
    allowed: frozenset[str],
) -> Evaluation:
    with Meter(name, len(chosen.wanted), "people") as meter:
        return evaluate(
            store,
            protocol(name),
            predictions.batches(),
            models,
            device=device,
            every=every,
            num_draws=num_draws,
            seed=seed,
            also_allowed=allowed,
            on_progress=meter.add,
        )


def _text(figure: Figure, *, is_primary: bool) -> str:
    if figure.mean_mm is None:
        return ""
    return _interval_text(figure.mean_mm, figure.low_mm, figure.high_mm, ".2f", mark="*" if is_primary else "")


def _interval_text(value_mm: float, low_mm: float | None, high_mm: float | None, form: str, mark: str = "") -> str:
    interval = "" if low_mm is None else f" [{low_mm:.1f}, {high_mm:.1f}]"
    return f"{value_mm:{form}}{mark}{interval}"
