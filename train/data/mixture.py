"""The mixture that was trained on, counted from the samples themselves, against the one that was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from catalogs.selection import Selection
from harmonize.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Realised:
    """One source over a run. requested: its draws by weight. max_repeats: most draws of one sample in an epoch."""

    dataset: str
    split: str
    requested: float
    num_draws: int
    num_distinct: int
    max_repeats: int


@dataclass(slots=True)
class MixtureCheck:
    """Counts every global batch of a run as it is trained on; a drift from the selection is an error."""

    selection: Selection
    _names: dict[tuple[str, str], int] = field(init=False)
    _draws: list[int] = field(init=False)
    _distinct: list[set[str]] = field(init=False)
    _max_repeats: list[int] = field(init=False)
    _epoch: list[Counter[str]] = field(init=False)

    def __post_init__(self) -> None:
        members = self.selection.members
        self._names = {(member.dataset, member.split): i for i, member in enumerate(members)}
        self._draws, self._max_repeats = [0] * len(members), [0] * len(members)
        self._distinct = [set() for _ in members]
        self._epoch = [Counter() for _ in members]

    def add(self, keys: Sequence[str], sources: Sequence[tuple[str, str]], *, ends_epoch: bool) -> None:
        """Count one global batch.

        Raises:
            DataError: a sample is of no member, the batch is not the mixture within rounding, a sample came more often
                than the repeat cap allows, or the epoch that ends was not the selection's.
        """
        counts = [0] * len(self.selection.members)
        for key, source in zip(keys, sources, strict=True):
            if source not in self._names:
                raise _drift("/".join(source), "no draws, it is not in the selection", f"sample {key}")
            i = self._names[source]
            counts[i] += 1
            self._draws[i] += 1
            self._epoch[i][key] += 1
            self._distinct[i].add(key)
            self._max_repeats[i] = max(self._max_repeats[i], self._epoch[i][key])
        for i, member in enumerate(self.selection.members):
            quota = len(keys) * member.num_draws / self.selection.draws_per_epoch
            # Rounding moves a count by less than 1, and a short last batch of an epoch by less than 1 more.
            if abs(counts[i] - quota) >= 2:
                raise _drift(member.name, f"{quota:.1f} draws in a batch of {len(keys)}", str(counts[i]))
            cap = self.selection.repeat_cap
            if cap is not None and self._max_repeats[i] > cap:
                raise _drift(member.name, f"at most {cap} draws of a sample in an epoch", str(self._max_repeats[i]))
        if ends_epoch:
            self._end_epoch()

    def realised(self) -> tuple[Realised, ...]:
        """What was counted so far, in the order of the members."""
        total = sum(self._draws)
        return tuple(
            Realised(
                dataset=member.dataset,
                split=member.split,
                requested=total * member.weight,
                num_draws=self._draws[i],
                num_distinct=len(self._distinct[i]),
                max_repeats=self._max_repeats[i],
            )
            for i, member in enumerate(self.selection.members)
        )

    def _end_epoch(self) -> None:
        for member, drawn in zip(self.selection.members, self._epoch, strict=True):
            if (drawn.total(), len(drawn)) != (member.num_draws, member.num_distinct):
                expected = f"{member.num_draws} draws of {member.num_distinct} samples in an epoch"
                raise _drift(member.name, expected, f"{drawn.total()} of {len(drawn)}")
            drawn.clear()


def _drift(name: str, expected: str, found: str) -> DataError:
    return DataError(f"mixture: {name}: expected {expected}, found {found}", source=name)
