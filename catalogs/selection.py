"""`Selection`: the mixture that was asked for. All that passes from choosing to training.

A selection says how many samples of each dataset and split an epoch draws, under which repeat cap, why, and from
exactly which shards. It is a file of canonical JSON whose every field is hashed, so an edited selection is refused, by
name of the field. Weights are requests; `num_draws` are the integers that an epoch draws; they add up to the budget.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from catalogs.apportion import apportion
from harmonize.errors import DataError, UsageError

FORMAT_VERSION = 2
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One split of one dataset with `num_available` samples to draw from."""

    dataset: str
    split: str
    num_available: int

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.split}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ShardRef:
    """A shard as it was when the selection was made: its name and the plan digest of its manifest."""

    shard: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What can be chosen from: the sources of a store and the shards that hold them."""

    sources: tuple[Source, ...]
    shards: tuple[ShardRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a selection may spend: draws in an epoch, and how often an epoch may draw the same sample (None: any)."""

    draws_per_epoch: int
    repeat_cap: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.draws_per_epoch >= 1, "draws_per_epoch", "at least 1", self.draws_per_epoch)
        _require(self.repeat_cap is None or self.repeat_cap >= 1, "repeat_cap", "at least 1 or none", self.repeat_cap)
        _require(self.seed >= 0, "seed", "0 or more", self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One source of a mixture: requested weight, integer draws of an epoch, and the reason in words."""

    dataset: str
    split: str
    weight: float
    num_available: int
    num_draws: int
    reason: str

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.split}"

    @property
    def num_distinct(self) -> int:
        """Different samples among an epoch's draws: every sample is drawn before any is drawn again."""
        return min(self.num_available, self.num_draws)

    @property
    def num_repeats(self) -> float:
        """How often an epoch draws each of its samples, on average: below 1 where not all are drawn."""
        return self.num_draws / self.num_available


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A mixture, checked when it is made.

    sample_keys: when given, only these samples are drawn from; `num_available` counts them. reasons: what was decided
    about the mixture as a whole, such as which datasets were left out, and why. residuals: what the method could not
    reach or does not know, by name (a distance that no mixture closes, the error of a fitted law).

    Raises:
        UsageError: a field is out of range, the weights do not add up to 1, draws do not add up to the budget, or the
            budget cannot be met under the repeat cap; the message names the field and says what is feasible.
    """

    members: tuple[Member, ...]
    draws_per_epoch: int
    repeat_cap: int | None
    seed: int
    method: str
    shards: tuple[ShardRef, ...]
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    sample_keys: tuple[str, ...] | None = None
    reasons: tuple[str, ...] = ()
    residuals: Mapping[str, Scalar] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _require(self.format_version == FORMAT_VERSION, "format_version", str(FORMAT_VERSION), self.format_version)
        Budget(draws_per_epoch=self.draws_per_epoch, repeat_cap=self.repeat_cap, seed=self.seed)
        names = [member.name for member in self.members]
        _require(bool(names), "members", "at least one", 0)
        _require(names == sorted(set(names)), "members", "sorted, each once", names)
        refs = [ref.shard for ref in self.shards]
        _require(refs == sorted(set(refs)), "shards", "sorted, each once", refs)
        for i, member in enumerate(self.members):
            _check_member(member, f"members[{i}]", self.draws_per_epoch)
        total = math.fsum(member.weight for member in self.members)
        _require(abs(total - 1) <= 1e-9, "members.weight", "a sum of 1", total)
        for name, value in [*self.parameters.items(), *self.residuals.items()]:
            is_finite = not isinstance(value, float) or math.isfinite(value)
            _require(is_finite, name, "a finite number", value)
        drawn = sum(member.num_draws for member in self.members)
        _require(drawn == self.draws_per_epoch, "members.num_draws", f"a sum of {self.draws_per_epoch}", drawn)
        _check_feasible(self)
        if self.sample_keys is not None:
            _require(list(self.sample_keys) == sorted(set(self.sample_keys)), "sample_keys", "sorted, each once", "not")
            expected = sum(member.num_available for member in self.members)
            _require(len(self.sample_keys) == expected, "sample_keys", f"{expected} keys", len(self.sample_keys))

    @property
    def content_hash(self) -> str:
        """sha256 over the hashes of all fields."""
        return _digest(_field_hashes(_plain(self)))

    def save(self, path: Path) -> None:
        """Write canonical JSON: the fields, one hash per field, and the content hash. Same selection, same bytes."""
        content = _plain(self)
        hashes = _field_hashes(content)
        document = {**content, "hashes": hashes, "content_hash": _digest(hashes)}
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Selection:
        """Read and check a saved selection.

        Raises:
            UsageError: there is no such file.
            DataError: not a selection, of another format version, or altered; the message names the field.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}", fix="ehps propose ...") from error
        except ValueError as error:
            raise DataError(f"{path}: expected a selection in JSON, found {error}", fix="ehps propose ...") from error
        version = document.get("format_version", FORMAT_VERSION) if isinstance(document, dict) else FORMAT_VERSION
        if version != FORMAT_VERSION:
            raise DataError(
                f"{path}: format_version: expected {FORMAT_VERSION}, found {version}; no other is read",
                fix="make the selection again with `ehps propose`",
                path=path,
            )
        names = {entry.name for entry in fields(cls)}
        found = set(document) if isinstance(document, dict) else set()
        if wrong := (names | {"hashes", "content_hash"}) ^ found:
            raise DataError(f"{path}: missing or unknown fields: {', '.join(sorted(wrong))}", path=path)
        content = {name: document[name] for name in names}
        expected = _field_hashes(content)
        stored = document["hashes"] if isinstance(document["hashes"], dict) else {}
        altered = sorted(name for name in names if stored.get(name) != expected[name])
        if not altered and document["content_hash"] != _digest(expected):
            altered = ["content_hash"]
        if altered:
            raise DataError(
                f"{path}: {', '.join(altered)}: expected the values that were hashed when the selection was made, "
                "found others",
                fix="make the selection again; edit the request, not the file",
                path=path,
                altered=altered,
            )
        try:
            keys = content.pop("sample_keys")
            members = tuple(Member(**member) for member in content.pop("members"))
            shards = tuple(ShardRef(**ref) for ref in content.pop("shards"))
            keys = None if keys is None else tuple(keys)
            reasons = tuple(content.pop("reasons"))
            return cls(**content, members=members, shards=shards, sample_keys=keys, reasons=reasons)
        except (TypeError, UsageError) as error:
            raise DataError(f"{path}: not a valid selection: {error}", path=path) from error


def select(
    pool: Pool,
    weights: Sequence[float],
    budget: Budget,
    *,
    method: str,
    reasons: Sequence[str],
    parameters: Mapping[str, Scalar] | None = None,
    sample_keys: Iterable[str] | None = None,
    overall: Sequence[str] = (),
    residuals: Mapping[str, Scalar] | None = None,
) -> Selection:
    """The selection that draws from `pool.sources` in proportion to `weights` (any positive sum).

    reasons: one a source. overall: `Selection.reasons`. sample_keys: in any order; `num_available` must count them.

    Raises:
        UsageError: see `Selection`; also when the pool is empty or a weight is negative or not finite.
    """
    _require(bool(pool.sources), "pool", "at least one source", 0)
    for source, weight in zip(pool.sources, weights, strict=True):
        _require(
            math.isfinite(weight) and weight >= 0, f"{source.name}: weight", "a finite number of 0 or more", weight
        )
    total = math.fsum(weights)
    _require(total > 0, "weights", "a positive sum", total)
    shares = [weight / total for weight in weights]
    cap = budget.repeat_cap
    room = None if cap is None else [cap * source.num_available for source in pool.sources]
    draws = apportion(shares, budget.draws_per_epoch, room)
    members = (
        Member(
            dataset=source.dataset,
            split=source.split,
            weight=share,
            num_available=source.num_available,
            num_draws=num_draws,
            reason=reason,
        )
        for source, share, num_draws, reason in zip(pool.sources, shares, draws, reasons, strict=True)
    )
    return Selection(
        members=tuple(sorted(members, key=lambda member: member.name)),
        draws_per_epoch=budget.draws_per_epoch,
        repeat_cap=budget.repeat_cap,
        seed=budget.seed,
        method=method,
        parameters=dict(parameters or {}),
        shards=tuple(sorted(pool.shards)),
        sample_keys=None if sample_keys is None else tuple(sorted(sample_keys)),
        reasons=tuple(overall),
        residuals=dict(residuals or {}),
    )


def _require(is_met: bool, name: str, expected: str, found: object) -> None:
    if not is_met:
        raise UsageError(f"selection: {name}: expected {expected}, found {found}", field=name)


def _check_member(member: Member, where: str, draws_per_epoch: int) -> None:
    name = f"{where} ({member.name})"
    _require(math.isfinite(member.weight) and member.weight >= 0, f"{name}.weight", "0 or more", member.weight)
    _require(member.num_available >= 1, f"{name}.num_available", "at least 1", member.num_available)
    quota = member.weight * draws_per_epoch
    is_near = member.num_draws >= 0 and abs(member.num_draws - quota) <= 1 + 1e-6
    _require(is_near, f"{name}.num_draws", f"within 1 of {quota:g}", member.num_draws)


def _check_feasible(selection: Selection) -> None:
    cap = selection.repeat_cap
    if cap is None:
        return
    over = [member for member in selection.members if member.num_draws > cap * member.num_available]
    if not over:
        return
    most = min(int(cap * m.num_available / m.weight) for m in selection.members if m.weight > 0)
    most_of_all = cap * sum(member.num_available for member in selection.members)
    details = "; ".join(
        f"{m.name} would be drawn {m.num_draws} times, its {m.num_available} samples at most {cap} times each "
        f"allow {cap * m.num_available}"
        for m in over
    )
    raise UsageError(
        f"selection: draws_per_epoch: {selection.draws_per_epoch} is not feasible under repeat_cap {cap}: {details}",
        fix=f"ask for at most {most} draws with these weights (at most {most_of_all} with any), raise the cap, "
        "or use the method repeat_capped",
        field="draws_per_epoch",
        feasible=most,
        feasible_with_any_weights=most_of_all,
    )


def _plain(selection: Selection) -> dict[str, Any]:
    content: dict[str, Any] = asdict(selection)
    # Through JSON once, so that what is hashed when saving is what is hashed when loading.
    plain: dict[str, Any] = json.loads(_canonical(content))
    return plain


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _digest(value: object) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


def _field_hashes(content: Mapping[str, Any]) -> dict[str, str]:
    return {name: _digest(content[name]) for name in sorted(content)}
