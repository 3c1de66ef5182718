"""All samples but those that look like another one: semantic de-duplication over image or pose features.

Samples are clustered, and inside a cluster one is dropped when an earlier one points nearly the same way. Near copies
on two sides of a border between clusters stay; a few large clusters find more of them than many small ones.

A. Abbas, K. Tirumala, D. Simig, S. Ganguli, A. Morcos: SemDeDup: data-efficient learning at web-scale through semantic
deduplication (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmark.limits import Floats
from benchmark.problem import Problem, Samples
from benchmark.quotas import allowed, joined
from catalogs.attributes.pose_clusters import k_means, nearest_centre
from catalogs.selection import Scalar, Selection
from harmonize.errors import UsageError

_BLOCK = 2048


def semantic_dedup(
    problem: Problem,
    *,
    samples: Mapping[str, Samples],
    epsilon: float = 0.05,
    num_clusters: int = 32,
    keep: Literal["hard", "easy"] = "hard",
) -> Selection:
    """Every sample that is left counts the same. samples: by source name, values (N, d) features, none of them 0.

    A sample is dropped when its cosine to an earlier one of its cluster is above 1 - epsilon, also across sources.
    keep: `hard` puts those far from the cluster's centre first, so that they stay; `easy` the others. The residuals
    hold which sources share near copies.

    Raises:
        UsageError: a source has no rows, a feature is 0, a parameter is out of range, or what is left cannot meet the
            constraints or the budget.
    """
    if not (0 <= epsilon <= 2 and num_clusters >= 1):
        raise UsageError(f"semantic_dedup: epsilon {epsilon} (0 to 2) or num_clusters {num_clusters} is out of range")
    if keep not in ("hard", "easy"):
        raise UsageError(f"semantic_dedup: keep: expected hard or easy, found {keep!r}")
    rows = allowed(problem, samples, "semantic_dedup")
    keys, values, owner = joined(rows)
    units = np.asarray(values, np.float64)
    lengths = np.linalg.norm(units, axis=1)
    if (lengths == 0).any():
        raise UsageError(f"semantic_dedup: {keys[int(np.argmin(lengths))]}: a feature of length 0 points nowhere")
    units = units / lengths[:, None]
    order = np.argsort(np.array(keys), kind="stable")  # clusters must not depend on the order of sources
    centres = k_means(units[order], min(num_clusters, len(keys)), problem.seed)
    cluster = nearest_centre(units, centres)
    twin = np.full(len(keys), -1)
    for number in range(len(centres)):
        at = order[cluster[order] == number]
        away = units[at] @ centres[number]
        at = at[np.argsort(away if keep == "hard" else -away, kind="stable")]
        found = earlier_twin(units[at], epsilon)
        twin[at] = np.where(found >= 0, at[found], -1)
    names = list(rows)
    chosen = {name: [keys[i] for i in np.flatnonzero((owner == p) & (twin < 0))] for p, name in enumerate(names)}
    why = {name: f"{len(chosen[name])} of {len(rows[name].keys)} are no near copy of another sample" for name in names}
    residuals: dict[str, Scalar] = {f"kept/{name}": len(chosen[name]) / max(len(rows[name].keys), 1) for name in names}
    dropped = np.flatnonzero(twin >= 0)
    for one, other in sorted({(names[owner[i]], names[owner[twin[i]]]) for i in dropped if owner[i] != owner[twin[i]]}):
        pairs = (owner[dropped] == names.index(one)) & (owner[twin[dropped]] == names.index(other))
        residuals[f"copies/{one} of {other}"] = int(pairs.sum())
    parameters: dict[str, Scalar] = {
        "epsilon": epsilon,
        "num_clusters": num_clusters,
        "keep": keep,
        "seed": problem.seed,
    }
    return problem.select_samples(chosen, method="semantic_dedup", why=why, parameters=parameters, residuals=residuals)


def earlier_twin(units: Floats, epsilon: float) -> npt.NDArray[np.intp]:
    """(N,) for each unit vector (N, d) the most similar earlier one, if their cosine is above 1 - epsilon; else -1."""
    found = np.full(len(units), -1)
    for start in range(0, len(units), _BLOCK):
        block = units[start : start + _BLOCK]
        cosine = block @ units[: start + len(block)].T
        cosine[np.arange(len(units[: start + len(block)]))[None] >= (start + np.arange(len(block)))[:, None]] = -np.inf
        best = np.argmax(cosine, axis=1)
        is_twin = cosine[np.arange(len(block)), best] > 1 - epsilon
        found[start : start + len(block)] = np.where(is_twin, best, -1)
    return found
