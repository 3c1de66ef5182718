"""Fine-tuning to one benchmark: its own training data and four companions, as SMPLer-X's six released specialists.

How the authors chose the companions is not published. Here they are the datasets nearest to the benchmark in a given
distance; `agreement_with_release` says how many of the released companions a distance would have found.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from benchmark.smplerx.mixtures import SPECIALIST, SPECIALIST_DRAWS_PER_EPOCH, mixture, mixture_names
from catalogs.cards import Card, cards
from harmonize.errors import UsageError

NUM_COMPANIONS = 4

TARGETS: Mapping[str, str] = {
    "3DPW": "pw3d",
    "AGORA": "agora",
    "ARCTIC": "arctic",
    "EgoBody": "egobody",
    "RenBody": "dna_rendering_hires",
    "UBody": "ubody",
}
"""SMPLer-X's name of a specialist -> the benchmark it is for, as cards call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Datasets to fine-tune with: `own` are training splits of the benchmark; `reasons`: dataset -> why.

    too_far: the datasets that were not taken, nearest first. draws_per_epoch: those of the released specialists.
    """

    benchmark: str
    own: tuple[str, ...]
    companions: tuple[str, ...]
    reasons: Mapping[str, str]
    too_far: tuple[str, ...]
    draws_per_epoch: int = SPECIALIST_DRAWS_PER_EPOCH

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(sorted((*self.own, *self.companions)))


def released_for(benchmark: str) -> tuple[str, ...]:
    """The datasets of the released specialist for a benchmark, sorted.

    Raises:
        UsageError: none was released for it.
    """
    for name, target in TARGETS.items():
        if target == benchmark:
            return mixture(f"{SPECIALIST}{name}").datasets
    raise UsageError(f"no specialist for {benchmark!r} was released; there are {', '.join(sorted(TARGETS.values()))}")


def own_training_sets(benchmark: str, candidates: Collection[str]) -> tuple[str, ...]:
    """Of the candidates, those with a training split that their card calls in-domain for a benchmark; sorted."""
    return tuple(
        card.name
        for card in cards()
        if card.name in candidates and _is_trainable(card) and benchmark in {one.benchmark for one in card.in_domain}
    )


def recommend(
    benchmark: str,
    distances: Mapping[str, float],
    *,
    num_companions: int = NUM_COMPANIONS,
    own: Collection[str] | None = None,
) -> Recommendation:
    """The benchmark's own training sets, and the nearest other datasets up to `num_companions` + 1 in all.

    distances: candidate dataset -> its distance to the benchmark, smaller is nearer, all by one measure; it may be
    negative, as an unbiased MMD² is. own: the benchmark's training sets; default: by the cards. Where it has none, as
    EHF, all are companions. Ties by name.

    Raises:
        UsageError: a distance is missing or not finite, a dataset is nothing but a benchmark, or there are too few.
    """
    if wrong := sorted(name for name, value in distances.items() if not math.isfinite(value)):
        raise UsageError(f"{benchmark}: expected a distance for each dataset, found none for {', '.join(wrong)}")
    tests = [card.name for card in cards() if card.name in distances and card.in_domain and not _is_trainable(card)]
    if tests:
        raise UsageError(
            f"{benchmark}: {', '.join(tests)}: the test data of a benchmark, not for training",
            fix="leave it out of the distances",
        )
    ours = own_training_sets(benchmark, distances) if own is None else tuple(sorted(own))
    if unknown := sorted(set(ours) - set(distances)):
        raise UsageError(f"{benchmark}: expected distances of its training sets, found none of {', '.join(unknown)}")
    others = sorted((name for name in distances if name not in ours), key=lambda name: (distances[name], name))
    num_needed = max(num_companions + 1 - len(ours), 0)
    if len(others) < num_needed:
        raise UsageError(f"{benchmark}: expected {num_needed} datasets beside its own, found {len(others)}")
    companions = others[:num_needed]
    reasons = dict.fromkeys(ours, f"training data of {benchmark} itself")
    reasons |= {
        name: f"number {place} of {len(others)} by distance to {benchmark}: {distances[name]:.4g}"
        for place, name in enumerate(companions, 1)
    }
    return Recommendation(
        benchmark=benchmark,
        own=ours,
        companions=tuple(companions),
        reasons=reasons,
        too_far=tuple(others[num_needed:]),
    )


def agreement_with_release(distances: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[int, int, float]]:
    """Benchmark -> how many companions a distance shares with the released specialist, of how many, and by chance.

    distances: benchmark -> (dataset -> distance); benchmarks without a released specialist are left out. Chance: the
    number that companions picked at random among the same candidates would share.
    """
    found = {}
    released = {TARGETS[name.removeprefix(SPECIALIST)] for name in mixture_names() if name.startswith(SPECIALIST)}
    for benchmark in sorted(released & set(distances)):
        table = distances[benchmark]
        theirs = set(released_for(benchmark))
        ours = own_training_sets(benchmark, table)
        wanted = theirs - set(ours)
        if missing := sorted(theirs - set(table)):
            raise UsageError(f"{benchmark}: expected distances of the released members, none of {', '.join(missing)}")
        chosen = recommend(benchmark, table, own=ours, num_companions=len(wanted) + len(ours) - 1)
        chance = len(wanted) ** 2 / (len(table) - len(ours))
        found[benchmark] = (len(wanted & set(chosen.companions)), len(wanted), chance)
    return found


def _is_trainable(card: Card) -> bool:
    return any(split.role == "train" for split in card.splits)
