"""The best mixture of a law fitted to proxy runs: regression over mixtures.

Q. Liu et al.: RegMix: data mixture as regression for language model pre-training (ICLR 2025). Beside its boosted trees
there are laws of few parameters, because tens of runs are what a pose benchmark can pay for; as there, the rank
correlation on held-out runs says which law is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmark.laws import LAWS, has_trees, held_out
from benchmark.limits import Floats
from benchmark.problem import Problem, Run
from benchmark.run_table import RunTable, random_mixtures, run_table
from catalogs.selection import Scalar, Selection
from harmonize.errors import UsageError

NUM_RANDOM, NUM_BEST = 20_000, 128


def regmix(
    problem: Problem, *, runs: Sequence[Run], law: str | None = None, groups: Mapping[str, str] | None = None
) -> Selection:
    """Fits a law to each benchmark, scores 20,000 random mixtures with it and averages the best 128.

    law: one of `laws.LAWS`; None takes that with the highest rank correlation on held-out runs, to two decimals, and
    among equals that with the smallest held-out error; without scikit-learn there are no boosted trees to take.

    groups: by source name, a group each, for fewer parameters: the law sees the groups' shares, and inside a group
    shares follow the numbers of samples.

    A law is not trusted, uniform is returned and the reasons say so, when the predicted gain of its best mixture over
    uniform is smaller than its held-out error, or its held-out rank correlation is below 2 / sqrt(R - 1) for R runs,
    twice the deviation of that of rankings by chance.

    Raises:
        UsageError: fewer than 10 runs, no such law or not here, a candidate without a group, or see `run_table`.
    """
    table = run_table(problem, runs, "regmix", least=10)
    if law is not None and law not in LAWS:
        raise UsageError(f"regmix: no law {law!r}", fix=f"choose among {', '.join(LAWS)}")
    if law == "boosted" and not has_trees():
        raise UsageError("regmix: boosted trees need scikit-learn", fix="pip install scikit-learn, or another --law")
    gather = _gathering(problem, table, groups)
    features = table.weights @ gather
    mean = table.errors.mean(axis=1)
    open_laws = [name for name in LAWS if name != "boosted" or has_trees()] if law is None else [law]
    tried = {name: held_out(LAWS[name], features, mean, problem.seed) for name in open_laws}
    taken = min(tried, key=lambda name: (-round(tried[name].rank_correlation, 2), tried[name].rms_mm, name))
    laws = [LAWS[taken](features, column) for column in table.errors.T]
    limits, counts = problem.limits, problem.counts
    start = problem.feasible(np.ones(len(counts)))
    mixtures = random_mixtures(np.random.default_rng([problem.seed, 0x5EED]), counts, limits, NUM_RANDOM)
    if groups is not None:
        mixtures = np.concatenate([_inside(mixtures, counts, gather), start[None]])
        mixtures = mixtures[limits.holds(mixtures)]
    scores = predict(laws, table.widened(mixtures) @ gather)
    best = mixtures[np.argsort(scores, kind="stable")[:NUM_BEST]].mean(axis=0)
    ours, theirs = (float(predict(laws, table.widened(one) @ gather)) for one in (best, start))
    rms = tried[taken].rms_mm
    chance = 2 / np.sqrt(len(runs) - 1)
    is_large, is_ranking = theirs - ours > rms, tried[taken].rank_correlation > chance
    is_trusted = is_large and is_ranking
    overall = [
        f"law {name}: rank correlation {one.rank_correlation:.2f} on held-out runs, error {one.rms_mm:.2f} mm"
        + (", taken" if name == taken else "")
        for name, one in tried.items()
    ]
    overall += [f"law {taken}: predicted {ours:.2f} mm, uniform {theirs:.2f} mm, held-out error {rms:.2f} mm"]
    if not is_large:
        overall.append("the predicted gain is smaller than the held-out error: the uniform mixture is kept")
    elif not is_ranking:
        overall.append(f"held-out runs are ranked no better than by chance ({chance:.2f}): the uniform mixture is kept")
    shares = best if is_trusted else start
    residuals: dict[str, Scalar] = {
        f"held-out-rank-correlation/{name}": of.rank_correlation for name, of in tried.items()
    }
    residuals |= {"held-out-error-mm": rms, "predicted-mm": ours, "predicted-of-uniform-mm": theirs}
    for name, column in zip(table.benchmarks, table.errors.T, strict=True):
        residuals[f"rank-correlation/{name}"] = held_out(LAWS[taken], features, column, problem.seed).rank_correlation
    seen = table.weights[:, : len(counts)]
    reasons = [
        f"{share:.2%} in the best predicted mixture; {int((column > 0).sum())} runs had it, up to {column.max():.1%}"
        for share, column in zip(best.tolist(), seen.T, strict=True)
    ]
    return problem.select(
        shares,
        method="regmix",
        reasons=reasons,
        parameters={"law": taken, "num_runs": len(runs), "is_grouped": groups is not None, "seed": problem.seed},
        residuals=residuals,
        overall=overall,
    )


def predict(laws: Sequence[object], features: Floats) -> Floats:
    """Mean over benchmarks of the predicted errors of mixtures (..., p)."""
    return np.asarray(np.mean([law(features) for law in laws if callable(law)], axis=0))


def _gathering(problem: Problem, table: RunTable, groups: Mapping[str, str] | None) -> Floats:
    """(p, G) of 0 and 1: which group each source is in; without groups each source is its own."""
    if groups is None:
        return np.eye(len(table.names))
    if missing := [name for name in table.names if name not in groups]:
        raise UsageError(f"regmix: no group of {', '.join(missing)}", fix="give every source a group")
    labels = sorted({groups[name] for name in table.names})
    return np.array([[float(groups[name] == label) for label in labels] for name in table.names])


def _inside(mixtures: Floats, counts: npt.NDArray[np.int64], gather: Floats) -> Floats:
    """Mixtures with the same shares of groups, divided inside each by numbers of samples."""
    own = gather[: len(counts)]
    sizes = own * counts[:, None]
    inner = sizes / np.maximum(sizes.sum(axis=0), 1e-12)
    return np.asarray((mixtures @ own) @ inner.T)
