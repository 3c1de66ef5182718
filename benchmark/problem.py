"""What a proposer gets, and how its answer becomes a `Selection`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from benchmark.constraints import Constraints, candidates, limits_of
from benchmark.limits import Floats, Limits, nearest
from benchmark.summary import Summary
from catalogs.selection import Budget, Pool, Scalar, Selection, select
from harmonize.errors import UsageError
from harmonize.shards.names import parse_shard_name

Summaries = Mapping[str, Mapping[str, Summary]]
"""By source (or benchmark) and space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What may be chosen from, what may be spent, what must be obeyed, and what is known without training.

    sources: summaries by source name (`dataset/split`) and space; targets: by benchmark and space. seed: of proposers
    that draw at random; that of an epoch's draws is the budget's.
    """

    pool: Pool
    budget: Budget
    constraints: Constraints = field(default_factory=Constraints)
    sources: Summaries = field(default_factory=dict)
    targets: Summaries = field(default_factory=dict)
    seed: int = 0

    @property
    def candidates(self) -> Pool:
        """The pool without what the constraints leave out, in order of names: what weights refer to.

        Raises:
            UsageError: see `constraints.candidates`.
        """
        return candidates(self.pool, self.constraints)[0]

    @property
    def left_out(self) -> tuple[str, ...]:
        """The sources of the pool that are no candidates, each with the reason."""
        return candidates(self.pool, self.constraints)[1]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(source.name for source in self.candidates.sources)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(n,) samples of each candidate."""
        return np.array([source.num_available for source in self.candidates.sources], np.int64)

    @property
    def limits(self) -> Limits:
        """Bounds on the candidates' shares.

        Raises:
            UsageError: no mixture obeys them; see `constraints.limits_of`.
        """
        return limits_of(self.candidates, self.budget, self.constraints)

    def feasible(self, weights: Sequence[float] | Floats) -> Floats:
        """The mixture of the candidates nearest to `weights` that obeys all constraints and the repeat cap."""
        return nearest(np.asarray(weights, np.float64), self.limits)

    def spaces(self) -> tuple[str, ...]:
        """The spaces in which every candidate and every target has a summary, sorted.

        Raises:
            UsageError: there is no target, or no such space.
        """
        if not self.targets:
            raise UsageError("propose: no benchmark to choose for", fix="name one: --for BENCHMARK")
        known = [set(self.targets[name]) for name in self.targets]
        known += [set(self.sources.get(name, ())) for name in self.names]
        shared = set.intersection(*known)
        if not shared:
            lacking = [name for name in self.names if not self.sources.get(name)]
            lacking += [name for name in self.targets if not self.targets[name]]
            raise UsageError(
                "propose: no attribute space is known of all sources and benchmarks"
                + (f"; nothing is known of {', '.join(lacking)}" if lacking else ""),
                fix="ehps describe STORE, or exclude those sources",
            )
        return tuple(sorted(shared))

    def select(
        self,
        weights: Sequence[float] | Floats,
        *,
        method: str,
        reasons: Sequence[str],
        parameters: Mapping[str, Scalar] | None = None,
        residuals: Mapping[str, Scalar] | None = None,
        overall: Sequence[str] = (),
        bends_to_repeat_cap: bool = True,
    ) -> Selection:
        """The mixture nearest to `weights` of the candidates that obeys all constraints, with reasons.

        reasons: one a candidate; the bounds that hold its share are added. bends_to_repeat_cap: False for a method that
        is one exact mixture: where the repeat cap does not allow it, it is refused instead of changed.

        Raises:
            UsageError: no mixture obeys the constraints, or the repeat cap does not allow an exact one.
        """
        pool, left_out = candidates(self.pool, self.constraints)
        limits = limits_of(pool, self.budget, self.constraints, with_repeat_cap=bends_to_repeat_cap)
        wanted = np.asarray(weights, np.float64)
        # `select` refuses weights that are no weights; it names the source.
        is_sound = bool(np.isfinite(wanted).all() and (wanted >= 0).all() and wanted.any())
        shares = nearest(wanted, limits) if is_sound else wanted
        held = _held(wanted / wanted.sum(), shares, limits) if is_sound else [""] * len(shares)
        keys = self.constraints.samples
        return select(
            pool,
            shares.tolist(),
            self.budget,
            method=method,
            reasons=["; ".join(filter(None, both)) for both in zip(reasons, held, strict=True)],
            parameters=parameters,
            sample_keys=None if keys is None else [key for source in pool.sources for key in keys[source.name]],
            overall=[*left_out, *overall],
            residuals=residuals,
        )

    def narrowed(self, names: Sequence[str], samples: Mapping[str, tuple[str, ...]] | None = None) -> Problem:
        """The same problem with these candidates only, and only these samples of them where given."""
        pool = self.candidates
        sources = tuple(source for source in pool.sources if source.name in set(names))
        datasets = {source.dataset for source in sources}
        constraints = replace(
            self.constraints,
            excluded=(),
            samples=self.constraints.samples if samples is None else samples,
            max_share={name: share for name, share in self.constraints.max_share.items() if name in datasets},
        )
        gone = {(source.dataset, source.split) for source in pool.sources} - {(s.dataset, s.split) for s in sources}
        shards = tuple(ref for ref in pool.shards if (parse_shard_name(ref.shard) or ())[:2] not in gone)
        return replace(self, pool=Pool(sources=sources, shards=shards), constraints=constraints)

    def select_samples(
        self,
        chosen: Mapping[str, Sequence[str]],
        *,
        method: str,
        why: Mapping[str, str],
        parameters: Mapping[str, Scalar] | None = None,
        residuals: Mapping[str, Scalar] | None = None,
        overall: Sequence[str] = (),
    ) -> Selection:
        """The selection of these keys by source, each drawn equally often as far as constraints allow.

        why: reason by source. Sources of which nothing is chosen are left out, with their reason.

        Raises:
            UsageError: nothing is chosen, or the chosen samples cannot meet the constraints or the budget under the
                repeat cap.
        """
        members = [name for name in self.names if chosen.get(name)]
        if not members:
            raise UsageError(f"{method}: no sample was chosen", fix="ask for more samples, or relax the constraints")
        unused = [f"{name} left out: {why.get(name, 'none of its samples was chosen')}" for name in self.names]
        unused = [text for name, text in zip(self.names, unused, strict=True) if name not in members]
        narrowed = self.narrowed(members, samples={name: tuple(sorted(chosen[name])) for name in members})
        return narrowed.select(
            [len(chosen[name]) for name in members],
            method=method,
            reasons=[why[name] for name in members],
            parameters=parameters,
            residuals=residuals,
            overall=[*self.left_out, *unused, *overall],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Rows of one source or benchmark: keys (N,), values (N, F), and sequences (N,) where the order is that in time."""

    keys: tuple[str, ...]
    values: npt.NDArray[np.generic]
    sequences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.keys) != len(self.values) or (self.sequences and len(self.sequences) != len(self.keys)):
            raise UsageError(
                f"samples: {len(self.keys)} keys, {len(self.values)} rows, {len(self.sequences)} sequences"
            )
        if len(set(self.keys)) != len(self.keys):
            raise UsageError("samples: a key comes twice")
        if self.values.dtype.kind == "f" and not np.isfinite(self.values).all():
            raise UsageError("samples: expected finite values, found NaN or infinite ones")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training that was made: the shares of its mixture by source name, and its errors by benchmark, in mm."""

    weights: Mapping[str, float]
    errors: Mapping[str, float]


def _held(wanted: Floats, shares: Floats, limits: Limits) -> list[str]:
    """For each candidate the bounds that hold its share, and how far all bounds together moved it."""
    words = []
    for ask, share, why in zip(wanted.tolist(), shares.tolist(), limits.active(shares), strict=True):
        is_moved = abs(ask - share) > 1e-6
        words.append("; ".join(filter(None, [why, f"{ask:.2%} without constraints" if is_moved else ""])))
    return words
