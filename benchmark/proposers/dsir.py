"""Samples that are as common in a benchmark as in the sources: importance resampling over binned attributes.

Each attribute is binned and counted on its own, so a sample's importance is the product over attributes of how much
more common its bin is in the benchmark than in the sources. Samples are drawn without replacement in proportion to it
(Gumbel top-k): plain top-k would take the same few kinds again and again.

S. M. Xie, S. Santurkar, T. Ma, P. Liang: Data selection for language models via importance resampling. NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from benchmark.limits import Floats
from benchmark.problem import Problem, Samples
from benchmark.quotas import allowed, joined, quotas
from catalogs.apportion import apportion
from catalogs.selection import Selection
from harmonize.errors import UsageError

Ints = npt.NDArray[np.int64]


def dsir(
    problem: Problem,
    *,
    samples: Mapping[str, Samples],
    targets: Mapping[str, Samples],
    num: int,
    smoothing: float = 1.0,
    clip_percent: float = 1.0,
) -> Selection:
    """Chooses `num` samples, an equal number for each benchmark.

    samples: by source name, targets: by benchmark; values (N, F) are integer bins, a negative one for "unknown", which
    is a bin of its own. smoothing: pseudo-count of every bin. clip_percent: log importances beyond this percentile and
    its opposite are set to them, or a few samples dominate.

    Raises:
        UsageError: no target, a source without rows, values that are no bins, num out of range, or no choice obeys the
            constraints.
    """
    if not (smoothing > 0 and 0 <= clip_percent < 50):
        raise UsageError(
            f"dsir: smoothing {smoothing} (above 0) or clip_percent {clip_percent} (0 to 50) is out of range"
        )
    if not targets or not all(len(one.keys) for one in targets.values()):
        raise UsageError("dsir: no samples of a benchmark to choose for", fix="name a described one: --for BENCHMARK")
    rows = allowed(problem, samples, "dsir")
    keys, values, owner = joined(rows)
    bins = _bins(values)
    # Noise belongs to a key, wherever its source stands: draw it in the order of all keys.
    order = np.argsort(np.array(keys), kind="stable")
    rng = np.random.default_rng([problem.seed, 0xD51])
    scores = {}
    for name in sorted(targets):
        log_ratio = log_importance(bins, _bins(targets[name].values), smoothing=smoothing)
        low, high = np.percentile(log_ratio, [clip_percent, 100 - clip_percent])
        noise = np.empty(len(keys))
        noise[order] = rng.gumbel(size=len(keys))
        scores[name] = np.clip(log_ratio, low, high) + noise
    free = _take(scores, num, np.full(len(problem.names), num), owner, keys) if num <= len(keys) else []
    wanted = np.bincount(owner[free], minlength=len(problem.names)).astype(np.float64) if free else np.ones(len(rows))
    most = quotas(problem, wanted.tolist(), num, [len(one.keys) for one in rows.values()], "dsir")
    taken = _take(scores, num, np.array(most), owner, keys)
    chosen = {name: [keys[i] for i in taken if owner[i] == place] for place, name in enumerate(rows)}
    importance = np.mean(
        [np.exp(log_importance(bins, _bins(one.values), smoothing=smoothing)) for one in targets.values()], axis=0
    )
    why = {
        name: f"{len(chosen[name])} of {len(one.keys)} samples; mean importance {importance[owner == place].mean():.3g}"
        for place, (name, one) in enumerate(rows.items())
        if len(one.keys)
    }
    return problem.select_samples(
        chosen,
        method="dsir",
        why=why,
        parameters={"num": num, "smoothing": smoothing, "clip_percent": clip_percent, "seed": problem.seed},
        residuals={
            f"divergence-bits/{name}": _divergence(bins[taken], _bins(targets[name].values)) for name in sorted(targets)
        }
        | {
            f"divergence-bits-of-all/{name}": _divergence(bins, _bins(targets[name].values)) for name in sorted(targets)
        },
    )


def log_importance(raw: Ints, target: Ints, *, smoothing: float) -> Floats:
    """(N,) log of p_target / p_raw of each row of raw (N, F), attributes taken as independent; target (M, F)."""
    if raw.shape[1] != target.shape[1]:
        raise UsageError(f"dsir: sources have {raw.shape[1]} attributes, a benchmark has {target.shape[1]}")
    total = np.zeros(len(raw))
    for ours, theirs in zip(raw.T, target.T, strict=True):
        size = int(max(ours.max(initial=0), theirs.max(initial=0))) + 1
        p_raw = np.bincount(ours, minlength=size) + smoothing
        p_target = np.bincount(theirs, minlength=size) + smoothing
        ratio = np.log(p_target / p_target.sum()) - np.log(p_raw / p_raw.sum())
        total += ratio[ours]
    return total


def gumbel_top_k(log_weights: Floats, k: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """k positions drawn without replacement in proportion to exp(log_weights), ascending (Vieira 2014)."""
    noisy = log_weights + rng.gumbel(size=len(log_weights))
    return np.sort(np.argsort(-noisy, kind="stable")[:k])


def _take(
    scores: Mapping[str, Floats], num: int, most: Ints, owner: npt.NDArray[np.intp], keys: tuple[str, ...]
) -> list[int]:
    """The best `num` positions, an equal part by each benchmark's scores, at most most[i] of source i."""
    parts = apportion([1.0] * len(scores), num)
    orders = {name: iter(np.lexsort((np.array(keys), -values)).tolist()) for name, values in scores.items()}
    left, taken = most.astype(int).copy(), set()
    for name, part in zip(scores, parts, strict=True):
        while part:
            i = next(orders[name], None)
            if i is None:
                break
            if i not in taken and left[owner[i]]:
                taken.add(i)
                left[owner[i]] -= 1
                part -= 1
    return sorted(taken)


def _divergence(ours: Ints, theirs: Ints) -> float:
    """Jensen-Shannon divergence in bits, the mean over attributes; 0 to 1."""
    found = []
    for one, other in zip(ours.T, theirs.T, strict=True):
        size = int(max(one.max(initial=0), other.max(initial=0))) + 1
        p, q = (np.bincount(column, minlength=size) / max(len(column), 1) for column in (one, other))
        middle = (p + q) / 2
        parts = [np.sum(side[side > 0] * np.log2(side[side > 0] / middle[side > 0])) for side in (p, q)]
        found.append(float(sum(parts)) / 2)
    return float(np.mean(found))


def _bins(values: npt.NDArray[np.generic]) -> Ints:
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise UsageError(f"dsir: expected bins (N, F) of integers, found {values.dtype} {values.shape}")
    return np.maximum(values.astype(np.int64), -1) + 1
