"""The single-dataset protocol: for each dataset and seed one small training, all alike but for the data.

SMPLer-X (arXiv 2309.17448) ranks datasets by training the same network on each alone and testing it on all benchmarks.
A small training stands for a large one only if samples are repeated as often in both: with a hundredth of the draws, a
hundredth of the samples (arXiv 2606.07597). Otherwise small datasets look better than they will be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from catalogs.selection import Budget, Pool, Selection, Source, select
from harmonize.errors import UsageError
from harmonize.shards.names import parse_shard_name

METHOD = "single_dataset"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyBudget:
    """draws: of each training. full_draws: of the training that the ranking is for; None keeps all samples, so that
    repeats are those of the small training. seeds: one training of each dataset for each."""

    draws: int
    full_draws: int | None = None
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.full_draws is not None and self.full_draws < self.draws:
            raise UsageError(
                f"proxy: full_draws: expected at least the {self.draws} draws of a proxy, found {self.full_draws}",
                fix="give the draws of the training that the proxies stand for",
            )
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise UsageError(f"proxy: seeds: expected one or more, each once, found {list(self.seeds)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One training to be made: on `dataset` alone, with what `selection` draws."""

    dataset: str
    seed: int
    selection: Selection

    @property
    def name(self) -> str:
        """Of its folder and its run."""
        return f"{self.dataset}-{self.seed}"


def num_kept(num_available: int, budget: ProxyBudget) -> int:
    """Samples of a source that a proxy may draw from: n' = n T' / T, at least one."""
    if budget.full_draws is None:
        return num_available
    return max(1, round(num_available * budget.draws / budget.full_draws))


def proxies(
    pool: Pool,
    keys: Mapping[str, Sequence[str]],
    budget: ProxyBudget,
    *,
    datasets: Sequence[str] | None = None,
) -> tuple[Proxy, ...]:
    """The trainings, by dataset and seed. keys: the samples of each source that may be drawn, such as those that leak
    no evaluation data; a dataset without any is refused. datasets: None for all of the pool.

    Raises:
        UsageError: a dataset is not in the pool or has no sample that may be drawn.
    """
    held = sorted({source.dataset for source in pool.sources})
    wanted = held if datasets is None else list(dict.fromkeys(datasets))
    if unknown := [name for name in wanted if name not in held]:
        raise UsageError(
            f"proxy: no training split of {', '.join(unknown)}", fix=f"choose among {', '.join(held)}, or ingest them"
        )
    return tuple(_proxy(pool, keys, budget, name, seed) for name in wanted for seed in budget.seeds)


def _proxy(pool: Pool, keys: Mapping[str, Sequence[str]], budget: ProxyBudget, dataset: str, seed: int) -> Proxy:
    kept: dict[Source, list[str]] = {}
    for source in pool.sources:
        allowed = keys.get(source.name, ()) if source.dataset == dataset else ()
        if allowed:
            kept[source] = _some(allowed, num_kept(len(allowed), budget), seed)
    if not kept:
        raise UsageError(f"proxy: {dataset}: no sample may be drawn", fix="leave it out with --datasets")
    sources = tuple(replace(source, num_available=len(some)) for source, some in kept.items())
    names = {(source.dataset, source.split) for source in sources}
    shards = tuple(ref for ref in pool.shards if (parse_shard_name(ref.shard) or ())[:2] in names)
    num_samples = sum(source.num_available for source in sources)
    num_before = sum(len(keys[source.name]) for source in sources)
    full_draws = budget.draws if budget.full_draws is None else budget.full_draws
    selection = select(
        Pool(sources=sources, shards=shards),
        [source.num_available for source in sources],
        Budget(draws_per_epoch=budget.draws, seed=seed),
        method=METHOD,
        reasons=[f"{dataset} alone, {source.num_available} of {len(keys[source.name])} samples" for source in sources],
        parameters={"dataset": dataset, "draws": budget.draws, "full_draws": budget.full_draws},
        sample_keys=[key for some in kept.values() for key in some],
        residuals={"repeats": budget.draws / num_samples, "repeats_of_the_full_training": full_draws / num_before},
    )
    return Proxy(dataset=dataset, seed=seed, selection=selection)


def _some(keys: Sequence[str], num: int, seed: int) -> list[str]:
    """`num` of the keys, the same for the same seed whatever else the source holds."""
    return sorted(keys, key=lambda key: (hashlib.sha256(f"{seed} {key}".encode()).digest(), key))[:num]
