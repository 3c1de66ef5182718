"""SMPLer-X's mixtures over the sources of a store, as proposers: `balance`, `concat` and `weighted`.

A dataset with several training sources shares its part among them by their numbers of samples, as if they were one
list. Draws are whole numbers that add up to the budget: 140,625 of each of 32 datasets for 4,500,000.

A `balance` or `weighted` mixture of SMPLer-X never shows the end of a long list: only the first part of one shuffle.
`first_shares` gives the sample keys of that part, for a selection that is cut in the same way; without them a selection
draws from all samples of a long list in turn, which covers more of it over the epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.rankings.scores import Ranking
from benchmark.smplerx.lengths import SHUFFLE_SEED, list_order
from benchmark.smplerx.mixtures import Mixture
from benchmark.smplerx.mixtures import best_k as released_best_k
from benchmark.smplerx.mixtures import mixture as released
from catalogs.cards import cards
from catalogs.selection import Budget, Pool, Scalar, Selection, Source, select
from harmonize.errors import UsageError


def best_k(pool: Pool, budget: Budget, *, k: int) -> Selection:
    """The released mixture of the k best datasets (5, 10, 20 or 32), each with the same number of draws.

    Raises:
        UsageError: another k, the pool lacks one of its datasets (the message lists them), or the budget is not
            feasible under its repeat cap.
    """
    return _balance(pool, budget, released_best_k(k), method="smplerx_best_k", parameters={"k": k})


def specialist(pool: Pool, budget: Budget, *, target: str) -> Selection:
    """The released mixture for fine-tuning to a target (3DPW, AGORA, ARCTIC, EgoBody, RenBody, UBody).

    Raises:
        UsageError: see `best_k`.
    """
    return _balance(pool, budget, released(f"ft_{target}"), method="smplerx_specialist", parameters={"target": target})


def top_k(pool: Pool, budget: Budget, *, k: int, ranking: Ranking) -> Selection:
    """The k best datasets of a ranking that the pool has, each with the same number of draws.

    Raises:
        UsageError: the pool has fewer than k of the ranked datasets, or see `best_k`.
    """
    has = {source.dataset for source in pool.sources}
    best = [name for name in ranking.datasets if name in has][:k]
    if k < 1 or len(best) < k:
        raise UsageError(
            f"top_k: expected {k} datasets of the ranking {ranking.name}, found {len(best)}: {', '.join(best)}",
            fix=f"ask for k from 1 to {len(best)}" if best else "rank datasets that the store has",
        )
    parts = dict.fromkeys(best, 1.0)
    reasons = {name: f"number {best.index(name) + 1} of {k} by {ranking.name}" for name in best}
    return _select(
        pool,
        budget,
        parts,
        reasons,
        method="top_k",
        parameters={"k": k, "ranking": ranking.name, "best": ",".join(best)},
    )


def concat(pool: Pool, budget: Budget) -> Selection:
    """Every sample once an epoch: each dataset has its own length.

    Raises:
        UsageError: the budget is not the number of samples.
    """
    total = sum(source.num_available for source in pool.sources)
    _is_total(budget, total, "concat: an epoch shows each sample once")
    lengths = _lengths(pool)
    reasons = {name: f"its own length, {length} samples, each once" for name, length in lengths.items()}
    return _select(pool, budget, lengths, reasons, method="smplerx_concat", parameters={})


def weighted(pool: Pool, budget: Budget, *, lengths: Mapping[str, int]) -> Selection:
    """A given number of draws for each dataset.

    Raises:
        UsageError: a length is not a number of draws, the lengths do not add up to the budget, the pool lacks one of
            the datasets, or the budget is not feasible under its repeat cap.
    """
    if wrong := {name: length for name, length in lengths.items() if not (isinstance(length, int) and length >= 1)}:
        raise UsageError(f"weighted: expected lengths of 1 or more, found {wrong}")
    _is_total(budget, sum(lengths.values()), "weighted: the lengths are the draws of an epoch")
    has = _lengths(pool)
    reasons = {
        name: f"given length {length}: {length / has[name]:.3g} draws a sample"
        for name, length in lengths.items()
        if name in has
    }
    return _select(
        pool,
        budget,
        {name: float(length) for name, length in lengths.items()},
        reasons,
        method="smplerx_weighted",
        parameters={f"length_{name}": length for name, length in sorted(lengths.items())},
    )


def first_shares(
    keys: Mapping[str, Sequence[str]], shares: Mapping[str, int], seed: int = SHUFFLE_SEED
) -> dict[str, tuple[str, ...]]:
    """The samples of each dataset that SMPLer-X would ever show: the first `share` of its shuffled list, sorted.

    keys: dataset -> its sample keys in annotation order, after the frame step; a dataset of one annotation file. A list
    no longer than its share is kept whole.
    """
    return {
        name: tuple(sorted(keys[name][i] for i in list_order([len(keys[name])], seed)[: shares[name]].tolist()))
        for name in sorted(keys)
    }


def _balance(
    pool: Pool, budget: Budget, chosen: Mixture, *, method: str, parameters: Mapping[str, Scalar]
) -> Selection:
    has, num = _lengths(pool), len(chosen.datasets)
    share = budget.draws_per_epoch / num
    reasons = {
        name: f"one of {num} in SMPLer-X's mixture {chosen.name}; {share / has[name]:.3g} draws a sample"
        for name in chosen.datasets
        if name in has
    }
    return _select(pool, budget, dict.fromkeys(chosen.datasets, 1.0), reasons, method=method, parameters=parameters)


def _select(
    pool: Pool,
    budget: Budget,
    parts: Mapping[str, float],
    reasons: Mapping[str, str],
    *,
    method: str,
    parameters: Mapping[str, Scalar],
) -> Selection:
    """The selection in which each dataset has its part, and no dataset else is a member."""
    lengths = _lengths(pool)
    if missing := sorted(set(parts) - set(lengths)):
        raise UsageError(
            f"{method}: the store lacks {len(missing)} of {len(parts)} datasets: {', '.join(missing)}",
            fix=f"ehps ingest {missing[0]} --raw DIR --store STORE --split {_training_split(missing[0])}",
            missing=missing,
        )
    sources = tuple(source for source in pool.sources if source.dataset in parts)
    wanted = {(source.dataset, source.split) for source in sources}
    weights = [parts[source.dataset] * source.num_available / lengths[source.dataset] for source in sources]
    return select(
        Pool(sources=sources, shards=tuple(ref for ref in pool.shards if _source_of(ref.shard) in wanted)),
        weights,
        budget,
        method=method,
        reasons=[_reason(source, reasons[source.dataset], lengths) for source in sources],
        parameters=parameters,
    )


def _reason(source: Source, reason: str, lengths: Mapping[str, int]) -> str:
    total = lengths[source.dataset]
    return reason if total == source.num_available else f"{reason}; {source.num_available} of its {total} samples"


def _training_split(dataset: str) -> str:
    known = {card.name: card for card in cards()}
    names = [split.name for split in known[dataset].splits if split.role == "train"] if dataset in known else []
    return names[0] if names else "train"


def _lengths(pool: Pool) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for source in pool.sources:
        lengths[source.dataset] = lengths.get(source.dataset, 0) + source.num_available
    return lengths


def _is_total(budget: Budget, total: int, what: str) -> None:
    if budget.draws_per_epoch != total:
        raise UsageError(f"{what}: {total} draws, found a budget of {budget.draws_per_epoch}", fix=f"--budget {total}")


def _source_of(shard: str) -> tuple[str, str]:
    from harmonize.shards.names import parse_shard_name

    dataset, split = (parse_shard_name(shard) or ("", ""))[:2]
    return dataset, split
