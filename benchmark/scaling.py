"""How errors fall with data and model size, and which of the two is the cheaper way to a lower one.

The cost of a training is counted as draws x parameters, to which the operations of a forward and backward pass are
proportional. What it costs to collect data, to hold a model in memory or to run it later is not counted.

A table of trainings (Parquet or CSV) has one row a trained model: `model` (its name), `error_mm`, and some of `draws`
(samples drawn in the whole training), `distinct_samples`, `num_datasets` and `parameters`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.published import instances, table
from benchmark.rankings.runs import read_rows
from benchmark.scaling_laws import LEVEL, Fit, Law, fit_law
from benchmark.smplerx.mixtures import best_k, contributions
from harmonize.errors import DataError, UsageError

DATA = ("draws", "distinct_samples", "num_datasets")
MODEL = "parameters"
VARIABLES = (*DATA, MODEL)
SAME = 0.98
"""Correlation of logarithms from which on two variables are said to rise together."""

STEP = 1.1
"""By how much draws or parameters, and with them the cost, are raised to see which gains more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One trained model; None where a variable is not known. draws: in the whole training."""

    model: str
    error_mm: float
    draws: float | None = None
    distinct_samples: float | None = None
    num_datasets: float | None = None
    parameters: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFit:
    """A fit, and over which trainings: `of` names them."""

    of: str
    fit: Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a target error takes with a model of given size; None: out of reach, whatever the draws.

    cost: draws x parameters. draws_low, draws_high: 95 % interval over resampled laws, None at an end out of reach.
    """

    target_mm: float
    parameters: float
    draws: float | None
    draws_low: float | None
    draws_high: float | None
    cost: float | None
    is_extrapolated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """Two ways to spend a tenth more on a training: what each takes off the error, mm.

    model_share: share of the resampled laws in which the larger model takes off more; None without resamples.
    """

    model: str
    more_draws_mm: float
    larger_model_mm: float
    model_share: float | None

    @property
    def cheaper(self) -> str:
        return "larger model" if self.larger_model_mm > self.more_draws_mm else "more data"


def published_trainings() -> tuple[Training, ...]:
    """The 16 foundation models of SMPLer-X: verified errors (README where printed, else its figure), mm.

    draws: draws an epoch x epochs. distinct_samples: what equal shares show of each dataset; GTA-Human II, whose count
    is not verified, is taken to fill its share. The model that was released again after a fix is left out.
    """
    known, distinct = instances(), {}
    for k in (5, 10, 20, 32):
        mixture = best_k(k)
        distinct[k] = sum(
            mixture.share if one.num_distinct is None else one.num_distinct for one in contributions(mixture, known)
        )
    return tuple(
        Training(
            model=str(row["model"]),
            error_mm=float(row["mpe_readme"] or str(row["mpe_teaser"])),
            draws=_millions(row["instances_per_epoch"]) * int(str(row["epochs"])),
            distinct_samples=distinct[int(str(row["n_datasets"]))],
            num_datasets=int(str(row["n_datasets"])),
            parameters=_millions(row["params"]),
        )
        for row in table("foundation_models")
        if row["mpe_teaser"] is not None
    )


def load_trainings(path: Path) -> tuple[Training, ...]:
    """Read and check a table of trainings; see the module.

    Raises:
        UsageError: there is no such file, or it has none of the variables.
        DataError: a column or value is missing or not a number above 0; the message says where.
    """
    rows = read_rows(path, ("model", "error_mm"))
    present = [name for name in VARIABLES if rows and name in rows[0]]
    if not present:
        raise UsageError(f"{path}: expected trainings with at least one of {', '.join(VARIABLES)}, found none")
    for number, row in enumerate(rows, 1):
        for name in ("error_mm", *present):
            value = row[name]
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not (math.isfinite(value) and value > 0):
                raise DataError(f"{path}: row {number}: {name}: expected a number above 0, found {value!r}", path=path)
    return tuple(
        Training(model=str(row["model"]), error_mm=float(row["error_mm"]), **{n: float(row[n]) for n in present})
        for row in rows
    )


def all_fits(trainings: Sequence[Training], seed: int = 0) -> tuple[list[NamedFit], list[str]]:
    """Every law that the trainings can support, and why others cannot be fitted.

    Each data variable together with model size, over all trainings, where both vary; the one that varies where one
    does; draws alone at each model size, and model size alone at each number of draws.
    """
    fits: list[NamedFit] = []
    refused: list[str] = []

    def add(of: str, members: Sequence[Training], variables: Sequence[str]) -> None:
        try:
            fits.append(NamedFit(of=of, fit=fit(members, variables, seed)))
        except UsageError as error:
            refused.append(f"{of}: {error}")

    has_models = _num_values(trainings, MODEL) > 1
    for name in DATA:
        if _num_values(trainings, name) > 1:
            add(name if not has_models else f"{name} + {MODEL}", trainings, (name, MODEL) if has_models else (name,))
    if has_models and not any(_num_values(trainings, name) > 1 for name in DATA):
        add(MODEL, trainings, (MODEL,))
    for one, other in (("draws", MODEL), (MODEL, "draws")):
        if _num_values(trainings, one) > 1 and _num_values(trainings, other) > 1:
            for value in sorted({_value(training, other) for training in trainings}):
                members = [training for training in trainings if _value(training, other) == value]
                add(f"{one}, {other} {value:,.0f}", members, (one,))
    return fits, refused


def fit(trainings: Sequence[Training], variables: Sequence[str], seed: int = 0) -> Fit:
    """The law of the error in these variables; see `fit_law`.

    Raises:
        UsageError: too few trainings or values, or a training without one of the variables.
    """
    for training in trainings:
        if missing := [name for name in variables if getattr(training, name) is None]:
            raise UsageError(f"scaling: {training.model}: {', '.join(missing)}: expected a value, found none")
    x = [[_value(training, name) for name in variables] for training in trainings]
    return fit_law(variables, np.array(x), np.array([training.error_mm for training in trainings]), seed=seed)


def rising_together(trainings: Sequence[Training]) -> list[tuple[str, str, float]]:
    """Pairs of variables whose effects these trainings cannot tell apart, and the correlation of their logarithms."""
    varying = [name for name in VARIABLES if _num_values(trainings, name) > 1]
    found = []
    for one, other in itertools.combinations(varying, 2):
        logs = np.log([[_value(training, one), _value(training, other)] for training in trainings])
        correlation = float(np.corrcoef(logs.T)[0, 1])
        if abs(correlation) >= SAME:
            found.append((one, other, correlation))
    return found


def draws_needed(law: Law, target_mm: float, parameters: float) -> float:
    """Draws at which a joint law in (draws, parameters) reaches a target; infinite where it never does."""
    rest = target_mm - law.floor - float(law.parts([law.units[0], parameters])[1])
    if rest <= 0:
        return math.inf
    if law.scales[0] == 0:
        return 0.0
    return float(np.exp(math.log(law.units[0]) + (math.log(law.scales[0]) - math.log(rest)) / law.exponents[0]))


def reach(joint: Fit, target_mm: float, parameters: float) -> Reach:
    """What a target takes with a model of a size, by a joint fit in (draws, parameters)."""
    draws = draws_needed(joint.law, target_mm, parameters)
    low = high = math.inf
    if joint.resamples:
        ends = sorted(draws_needed(law, target_mm, parameters) for law in joint.resamples)
        low, high = (ends[round(q * (len(ends) - 1))] for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    is_reached = math.isfinite(draws)
    return Reach(
        target_mm=target_mm,
        parameters=parameters,
        draws=draws if is_reached else None,
        draws_low=low if math.isfinite(low) else None,
        draws_high=high if math.isfinite(high) else None,
        cost=draws * parameters if is_reached else None,
        is_extrapolated=not is_reached or bool(joint.is_extrapolated([draws, parameters])),
    )


def cheapest(joint: Fit, target_mm: float) -> Reach | None:
    """The model size with the least draws x parameters that reaches a target; None where the floor is above it.

    On the curve of equal error the cost is least where a given factor in draws and the same factor in parameters take
    off the same error: b_D a_D D^(−b_D) = b_N a_N N^(−b_N) (Hoffmann et al., arXiv 2203.15556, equation 4).
    """
    law = joint.law
    rest = target_mm - law.floor
    if rest <= 0 or min(law.scales) <= 0:
        return None
    data, model = law.exponents
    part_model = rest * data / (data + model)
    parameters = law.units[1] * math.exp((math.log(law.scales[1]) - math.log(part_model)) / model)
    return reach(joint, target_mm, parameters)


def margin(joint: Fit, training: Training) -> Margin:
    """What a tenth more draws, or a tenth more parameters, would take off a training's error."""
    x = np.array([_value(training, "draws"), _value(training, MODEL)])

    def gains(law: Law) -> tuple[float, float]:
        more = law.parts(x) - law.parts(x * STEP)
        return float(more[0]), float(more[1])

    data, model = gains(joint.law)
    resampled = [gains(law) for law in joint.resamples]
    share = sum(m > d for d, m in resampled) / len(resampled) if resampled else None
    return Margin(model=training.model, more_draws_mm=data, larger_model_mm=model, model_share=share)


def _num_values(trainings: Sequence[Training], name: str) -> int:
    values = [getattr(training, name) for training in trainings]
    return 0 if None in values else len(set(values))


def _value(training: Training, name: str) -> float:
    return float(getattr(training, name))


def _millions(text: str | None) -> float:
    """0.75M -> 750,000."""
    return round(float(str(text).removesuffix("M")) * 1e6)
