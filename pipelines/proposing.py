"""From the options of `ehps propose` to the parameters of a proposer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmonize.errors import DataError, UsageError

if TYPE_CHECKING:
    from benchmark.problem import Problem, Run

NEEDS: Mapping[str, tuple[str, ...]] = {
    "natural": (),
    "uniform": (),
    "temperature": ("tau",),
    "repeat_capped": (),
    "explicit_lengths": ("lengths",),
    "top_k": ("ranking", "k"),
    "smplerx_best_k": ("k",),
    "smplerx_concat": (),
    "smplerx_weighted": ("lengths",),
    "smplerx_specialist": ("target",),
    "mean_matching": (),
    "mixmin": ("predictions",),
    "facility_datasets": (),
    "facility_samples": ("num",),
    "dsir": ("num",),
    "motion_frames": (),
    "semantic_dedup": (),
    "datamodel": ("runs",),
    "regmix": ("runs",),
    "bayesian": ("runs",),
}
"""The methods, and the options that each cannot do without."""

MAY_HAVE: Mapping[str, tuple[str, ...]] = {
    "repeat_capped": ("tau",),
    "mean_matching": ("strength", "towards", "space"),
    "facility_datasets": ("k", "space"),
    "facility_samples": ("space",),
    "dsir": ("space",),
    "motion_frames": ("min_move_m",),
    "semantic_dedup": ("space", "epsilon"),
    "datamodel": ("penalty",),
    "regmix": ("law",),
    "bayesian": ("goal",),
}
LOOK_AT_SUMMARIES = ("mean_matching", "facility_datasets", "facility_samples")

_WORDS = {"tau": "temperature"}
_EXAMPLES = {
    "tau": "--tau 2",
    "lengths": "--lengths agora=100000 bedlam=50000",
    "ranking": "--ranking b",
    "k": "--k 10",
    "target": "--target AGORA",
    "predictions": "--predictions FOLDER",
    "num": "--num 100000",
    "runs": "--runs runs.parquet",
}


def check_options(method: str, given: Mapping[str, object]) -> None:
    """Refuse options that a method does not have, and those missing that it needs. given: None where not given.

    Raises:
        UsageError: naming the option.
    """
    known = (*NEEDS[method], *MAY_HAVE.get(method, ()))
    for name, value in given.items():
        option, word = _option(name), _WORDS.get(name, _option(name).removeprefix("--"))
        if value is not None and name not in known:
            raise UsageError(f"{option}: the method {method} has no {word}", fix=f"leave {option} out")
        if value is None and name in NEEDS[method]:
            raise UsageError(f"{option}: the method {method} needs one", fix=f"add {_EXAMPLES[name]}")


def numbers(items: Sequence[str], option: str) -> dict[str, float]:
    """NAME=NUMBER by name.

    Raises:
        UsageError: an item is not of that form, or a name comes twice.
    """
    found: dict[str, float] = {}
    for item in items:
        name, _, text = item.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value) or name in found:
            raise UsageError(
                f"{option}: expected NAME=NUMBER, each name once, found {item!r}", fix=f"{option} bedlam=0.2"
            )
        found[name] = value
    return found


def span(text: str, option: str) -> tuple[float, float]:
    """A share, or two with `..` between.

    Raises:
        UsageError: it is neither.
    """
    low, dots, high = text.partition("..")
    try:
        return float(low or 0), float(high or 1) if dots else float(low)
    except ValueError as error:
        raise UsageError(f"{option}: expected LOW..HIGH, found {text!r}", fix=f"{option} 0.2..0.6") from error


def ranking_of(items: Sequence[str]) -> tuple[str, ...]:
    """Datasets best first: names; s, b or h4w for a published ranking; or a CSV file of `ehps rank --csv`.

    Raises:
        UsageError, DataError: see `benchmark.rankings`.
    """
    from benchmark.rankings.published import PROXIES, published_ranking
    from benchmark.rankings.tables import saved_ranking

    if len(items) == 1:
        for proxy in PROXIES:
            if items[0] == proxy:
                return published_ranking(proxy).datasets
        path, _, column = items[0].partition(":")
        if path.endswith(".csv"):
            if not Path(path).is_file():
                raise UsageError(f"--ranking: {path}: there is no such file", fix="ehps rank --published --csv FILE")
            return saved_ranking(Path(path), column or None).datasets
    return tuple(items)


def runs_of(path: Path, problem: Problem) -> list[Run]:
    """Runs from a run table (docs/runs.md: Parquet, CSV, or a folder with one) or from JSON: a list of {"weights":
    {NAME: SHARE}, "errors": {BENCHMARK: MM}}. Names are `dataset/split`, or `dataset` where the pool has one split.

    Raises:
        UsageError: there is no such file, or a dataset has several splits; or see `load_mixture_runs`.
        DataError: it is not of that form; the message says which run.
    """
    from benchmark.problem import Run
    from benchmark.rankings.mixture_runs import load_mixture_runs

    if path.is_dir() or path.suffix in (".parquet", ".csv"):
        pairs = [(run.weights, run.errors) for run in load_mixture_runs(path)]
    else:
        pairs = _json_runs(path)
    runs = []
    for given, errors in pairs:
        weights: dict[str, float] = {}
        for name, value in given.items():
            source = _source(name, problem)
            weights[source] = weights.get(source, 0.0) + value
        runs.append(Run(weights=weights, errors=errors))
    return runs


def _json_runs(path: Path) -> list[tuple[Mapping[str, float], Mapping[str, float]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--runs: {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: expected runs in JSON, found {error}", path=path) from error
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a list of runs, found {type(content).__name__}", path=path)
    runs: list[tuple[Mapping[str, float], Mapping[str, float]]] = []
    for number, entry in enumerate(content, 1):
        parts = [entry.get(name) for name in ("weights", "errors")] if isinstance(entry, dict) else []
        tables = [part for part in parts if isinstance(part, dict) and all(_is_number(of) for of in part.values())]
        if len(tables) != 2:
            raise DataError(
                f"{path}: run {number}: expected weights and errors by name, found {str(entry)[:80]}", path=path
            )
        weights, errors = ({name: float(value) for name, value in table.items()} for table in tables)
        runs.append((weights, errors))
    return runs


def predictions_of(folder: Path, problem: Problem) -> dict[str, Any]:
    """Cached predictions for `mixmin`: FOLDER/BENCHMARK.npz with `truth` (S, K) and one array (S, K) for each source,
    named `dataset/split` or `dataset`.

    Raises:
        UsageError: the folder holds no such file, or a name is no source.
        RawFileError: a file is damaged.
    """
    from harmonize.raw.npz import load_npz

    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise UsageError(
            f"--predictions: {folder}: expected BENCHMARK.npz, found none", fix="evaluate the models first"
        )
    predictions, truth = {}, {}
    for path in paths:
        arrays = dict(load_npz(path))
        if "truth" not in arrays:
            raise DataError(f"{path}: expected an array `truth`, found {', '.join(sorted(arrays))}", path=path)
        truth[path.stem] = arrays.pop("truth")
        predictions[path.stem] = {_source(name, problem): values for name, values in arrays.items()}
    return {"predictions": predictions, "truth": truth}


def _source(name: str, problem: Problem) -> str:
    found = [source.name for source in problem.pool.sources if name in (source.name, source.dataset)]
    if len(found) > 1:
        raise UsageError(f"{name} has several training splits: {', '.join(found)}", fix="name one of them")
    return found[0] if found else name


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _option(name: str) -> str:
    return "--" + name.removesuffix("_m").replace("_", "-")
