"""What each dataset adds, from trainings on subsets: a dataset-level datamodel.

The error after training on a subset is fitted as a sum of effects of the datasets in it. Train on random halves: then
the effects are marginal ones, with redundancy between datasets averaged in, which a ranking of single datasets lacks.

A. Ilyas, S. Park, L. Engstrom, G. Leclerc, A. Madry: Datamodels: predicting predictions from training data. ICML 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from benchmark.limits import Floats
from benchmark.problem import Problem, Run
from benchmark.ridge import lasso, lasso_slopes, ridge
from benchmark.run_table import run_table
from catalogs.selection import Scalar, Selection
from harmonize.errors import UsageError

LEVEL = 0.9
NUM_RESAMPLES = 200


def datamodel(problem: Problem, *, runs: Sequence[Run], penalty: Literal["ridge", "lasso"] = "ridge") -> Selection:
    """The same weight for each dataset whose effect on the mean error is below 0; the best one if there is none.

    The reasons have each effect in mm with a 90% interval, from refits to runs drawn anew (bootstrap) at the penalty
    chosen on all. The residuals have the law's leave-one-out error beside the spread of the runs.

    Raises:
        UsageError: fewer than 8 runs, a dataset that is in all of them or in none, or see `run_table`.
    """
    if penalty not in ("ridge", "lasso"):
        raise UsageError(f"datamodel: penalty: expected ridge or lasso, found {penalty!r}")
    table = run_table(problem, runs, "datamodel", least=8)
    inclusion = (table.weights > 0).astype(np.float64)
    size = len(problem.names)
    if constant := [
        name for name, share in zip(table.names[:size], inclusion.mean(axis=0), strict=False) if share in (0, 1)
    ]:
        raise UsageError(
            f"datamodel: {', '.join(constant)}: in all runs or in none, so their effect cannot be known",
            fix="train on random halves of the datasets, or exclude these",
        )
    errors = table.errors.mean(axis=1)
    effects, low, high, error = effects_of(inclusion, errors, penalty, problem.seed)
    helps = effects[:size] < 0
    weights = helps.astype(np.float64) if helps.any() else (effects[:size] == effects[:size].min()).astype(np.float64)
    reasons = [
        f"effect {effects[i]:+.2f} mm (90%: {low[i]:+.2f} to {high[i]:+.2f})"
        + ("" if low[i] * high[i] > 0 else ", which may be none")
        for i in range(size)
    ]
    residuals: dict[str, Scalar] = {"held-out-error-mm": error, "spread-of-runs-mm": float(errors.std())}
    residuals |= {f"effect-mm/{name}": float(effects[i]) for i, name in enumerate(table.names[:size])}
    parameters: dict[str, Scalar] = {"penalty": penalty, "num_runs": len(runs), "seed": problem.seed}
    return problem.select(weights, method="datamodel", reasons=reasons, parameters=parameters, residuals=residuals)


def effects_of(
    inclusion: Floats, errors: Floats, penalty: Literal["ridge", "lasso"], seed: int
) -> tuple[Floats, Floats, Floats, float]:
    """Effects (p,) of inclusion (R, p), 0 or 1, on errors (R,); their 90% intervals; the leave-one-out error."""
    law = ridge(inclusion, errors) if penalty == "ridge" else lasso(inclusion, errors)
    rng = np.random.default_rng([seed, 0xDA7A])
    drawn = []
    for _ in range(NUM_RESAMPLES):
        at = rng.integers(len(errors), size=len(errors))
        if penalty == "ridge":
            drawn.append(ridge(inclusion[at], errors[at], law.penalty).slopes)
        else:
            drawn.append(lasso_slopes(inclusion[at], errors[at], law.penalty))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.array(drawn), [tail, 1 - tail], axis=0)
    # Shrinkage and resampling both pull towards 0; an interval must hold its own estimate.
    return law.slopes, np.minimum(low, law.slopes), np.maximum(high, law.slopes), law.error
