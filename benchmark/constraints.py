"""What a mixture must obey beside its budget: shares, real and synthetic, licences, datasets and samples left out.

    limits = limits_of(pool, budget, constraints)      bounds on shares, repeat caps included
    feasible(weights, pool, budget, constraints)       the nearest mixture that obeys them

Nothing is bent silently: a demand that no mixture meets is refused with the bounds that contradict each other and the
largest budget for which they do not.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmark.limits import Floats, Group, Limits, nearest
from catalogs.cards import Card, Licence, card
from catalogs.selection import Budget, Pool, Source
from harmonize.errors import UsageError
from harmonize.shards.names import parse_shard_name

LICENCES: tuple[str, ...] = Licence.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """min_share, max_share: of the draws, by dataset. synthetic: smallest and largest share of synthetic datasets; one
    whose card says "mixed" counts as real for the smallest and as synthetic for the largest, so both surely hold.
    licences: only these classes (`catalogs.cards`). excluded: datasets. samples: by source name, the only keys that may
    be drawn, for instance the answer to a query; a source that is not named has none.

    Raises:
        UsageError: a share is not within [0, 1], a smallest above its largest, or no such licence class.
    """

    min_share: Mapping[str, float] = field(default_factory=dict)
    max_share: Mapping[str, float] = field(default_factory=dict)
    synthetic: tuple[float, float] = (0.0, 1.0)
    licences: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    samples: Mapping[str, tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        shares = [("min_share", name, value) for name, value in self.min_share.items()]
        shares += [("max_share", name, value) for name, value in self.max_share.items()]
        shares += [("synthetic", "share", value) for value in self.synthetic]
        for what, name, value in shares:
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise UsageError(f"constraints: {what}: {name}: expected a share between 0 and 1, found {value}")
        pairs = [
            (name, self.min_share[name], self.max_share[name]) for name in self.min_share if name in self.max_share
        ]
        for name, low, high in [*pairs, ("synthetic", *self.synthetic)]:
            if low > high:
                raise UsageError(f"constraints: {name}: the smallest share {low:g} is above the largest {high:g}")
        if unknown := sorted(set(self.licences or ()) - set(LICENCES)):
            raise UsageError(
                f"constraints: licences: no class {', '.join(unknown)}", fix=f"choose among {', '.join(LICENCES)}"
            )


def candidates(pool: Pool, constraints: Constraints) -> tuple[Pool, tuple[str, ...]]:
    """What is left to choose from, sources in order of their names, and why each source that is not was left out.

    Raises:
        UsageError: a constraint names a dataset that the pool does not have, or nothing is left.
    """
    if not pool.sources:
        raise UsageError("selection: pool: expected at least one source, found 0", field="pool")
    _check_names(pool, constraints)
    kept: list[Source] = []
    left_out: list[str] = []
    for source in sorted(pool.sources, key=lambda source: source.name):
        why = _why_left_out(source, constraints)
        if why is not None:
            left_out.append(f"{source.name} left out: {why}")
            continue
        keys = None if constraints.samples is None else constraints.samples[source.name]
        num = source.num_available if keys is None else len(keys)
        kept.append(Source(dataset=source.dataset, split=source.split, num_available=num))
    if not kept:
        raise UsageError(
            "constraints: no source is left: " + "; ".join(left_out), fix="allow more licences, datasets or samples"
        )
    names = {(source.dataset, source.split) for source in kept}
    gone = {(source.dataset, source.split) for source in pool.sources} - names
    shards = tuple(ref for ref in pool.shards if (parse_shard_name(ref.shard) or ())[:2] not in gone)
    return Pool(sources=tuple(kept), shards=shards), tuple(left_out)


def limits_of(pool: Pool, budget: Budget, constraints: Constraints, *, with_repeat_cap: bool = True) -> Limits:
    """The bounds on the shares of `pool.sources`; the pool is that of `candidates`.

    Raises:
        UsageError: no mixture obeys them all; the message has the conflict and the largest feasible budget.
    """
    limits = _limits(pool, budget, constraints, with_repeat_cap=with_repeat_cap)
    conflict = limits.conflict()
    if conflict is None:
        return limits
    low, high = 0, budget.draws_per_epoch
    while high - low > 1:
        middle = (low + high) // 2
        smaller = Budget(draws_per_epoch=middle, repeat_cap=budget.repeat_cap, seed=budget.seed)
        if _limits(pool, smaller, constraints, with_repeat_cap=with_repeat_cap).conflict() is None:
            low = middle
        else:
            high = middle
    what = f"{budget.draws_per_epoch} draws are not feasible: {conflict}"
    if low == 0:
        raise UsageError(
            f"constraints: {what}; no budget is feasible under these", fix="relax one of the bounds named", feasible=0
        )
    raise UsageError(
        f"constraints: {what}",
        fix=f"ask for at most {low} draws, raise the repeat cap, or relax one of the bounds named",
        feasible=low,
    )


def feasible(
    weights: Sequence[float] | Floats, pool: Pool, budget: Budget, constraints: Constraints | None = None
) -> Floats:
    """The mixture (n,) nearest to `weights` that obeys constraints and repeat cap (see `benchmark.limits.nearest`).

    Raises:
        UsageError: there is none; see `limits_of`.
    """
    limits = limits_of(pool, budget, constraints or Constraints())
    return nearest(np.asarray(weights, np.float64), limits)


def _limits(pool: Pool, budget: Budget, constraints: Constraints, *, with_repeat_cap: bool) -> Limits:
    sources, draws, cap = pool.sources, budget.draws_per_epoch, budget.repeat_cap
    lower, upper = np.zeros(len(sources)), np.ones(len(sources))
    lower_why, upper_why = ["no bound"] * len(sources), ["no bound"] * len(sources)
    if cap is not None and with_repeat_cap:
        for i, source in enumerate(sources):
            if cap * source.num_available < draws:
                upper[i] = cap * source.num_available / draws
                upper_why[i] = f"limited to {cap} draws of each of its {source.num_available} samples"
    groups = []
    for name in sorted({*constraints.min_share, *constraints.max_share}):
        members = tuple(i for i, source in enumerate(sources) if source.dataset == name)
        low, high = constraints.min_share.get(name, 0.0), constraints.max_share.get(name, 1.0)
        if not members and low == 0:
            continue
        if len(members) != 1:
            groups.append(Group(label=name, members=members, lower=low, upper=high))
            continue
        if low > 0:
            lower[members[0]], lower_why[members[0]] = low, f"smallest share {low:.2%} asked for"
        if high < upper[members[0]]:
            upper[members[0]], upper_why[members[0]] = high, f"largest share {high:.2%} asked for"
    groups += _synthetic(sources, constraints.synthetic)
    return Limits(
        names=tuple(source.name for source in sources),
        lower=lower,
        upper=upper,
        lower_why=tuple(lower_why),
        upper_why=tuple(upper_why),
        groups=tuple(groups),
    )


def _synthetic(sources: Sequence[Source], bounds: tuple[float, float]) -> list[Group]:
    if bounds == (0.0, 1.0):
        return []
    domains = [_card(source.dataset).domain for source in sources]
    surely = tuple(i for i, domain in enumerate(domains) if domain == "synthetic")
    perhaps = tuple(i for i, domain in enumerate(domains) if domain != "real")
    if surely == perhaps:
        return [Group(label="synthetic datasets", members=surely, lower=bounds[0], upper=bounds[1])]
    return [
        Group(label="synthetic datasets", members=surely, lower=bounds[0], upper=1.0),
        Group(label="synthetic and mixed datasets", members=perhaps, lower=0.0, upper=bounds[1]),
    ]


def _why_left_out(source: Source, constraints: Constraints) -> str | None:
    if source.dataset in constraints.excluded:
        return "excluded"
    if constraints.licences is not None and (kind := _card(source.dataset).licence.kind) not in constraints.licences:
        return f"its licence is {kind}, allowed: {', '.join(constraints.licences)}"
    if constraints.samples is not None and not constraints.samples.get(source.name):
        return "none of its samples is allowed"
    if constraints.max_share.get(source.dataset) == 0:
        return "its largest share is 0"
    return None


@functools.cache
def _card(dataset: str) -> Card:
    return card(dataset)


def _check_names(pool: Pool, constraints: Constraints) -> None:
    known = {source.dataset for source in pool.sources}
    asked = {"excluded": constraints.excluded, "min_share": constraints.min_share, "max_share": constraints.max_share}
    for what, names in asked.items():
        for name in sorted(set(names) - known):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(
                f"constraints: {what}: no dataset {name!r} to choose from{hint}",
                fix=f"choose among {', '.join(sorted(known))}",
            )
