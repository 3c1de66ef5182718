"""A selection bound to a store: which samples its members are, and proof that it was made from this store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from catalogs.selection import Selection
from catalogs.store import open as open_catalog
from catalogs.store import query
from harmonize.errors import StoreError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """keys[i]: the sorted sample keys of `selection.members[i]`. is_standin: whether the bodies are stand-ins."""

    keys: tuple[tuple[str, ...], ...]
    is_standin: bool


def bind(store: Path, selection: Selection) -> Members:
    """Find the samples of a selection. Shards that were added to the store later are left out.

    Raises:
        StoreError: a shard of the selection is missing or was made from other inputs, or the samples are not as many as
            the selection says.
        UsageError: stand-in and licensed bodies would be mixed, or a chosen sample is not in its shards.
    """
    with open_catalog(store) as con:
        shards = {row[0]: row[1:] for row in query(con, "SELECT shard, plan_digest, is_standin FROM shards").rows}
        _check_shards(store, selection, shards)
        names = [ref.shard for ref in selection.shards]
        sql = (
            "SELECT dataset, split, key FROM instances WHERE list_contains($shards, shard) ORDER BY dataset, split, key"
        )
        found = query(con, sql, {"shards": names}).rows
    chosen = None if selection.sample_keys is None else set(selection.sample_keys)
    if chosen is not None and (unknown := chosen - {key for _, _, key in found}):
        raise UsageError(
            f"{store}: {len(unknown)} chosen samples are not in the selection's shards, {min(unknown)} first",
            fix="make the selection again on this store",
        )
    groups: dict[tuple[str, str], list[str]] = {}
    for dataset, split, key in found:
        if chosen is None or key in chosen:
            groups.setdefault((dataset, split), []).append(key)
    for member in selection.members:
        expected, num_found = member.num_available, len(groups.get((member.dataset, member.split), ()))
        if num_found != expected:
            raise StoreError(
                f"{store}: {member.name}: expected {expected} samples as in the selection, found {num_found}",
                fix="make the selection again on this store, or run `ehps verify`",
            )
    keys = tuple(tuple(groups[member.dataset, member.split]) for member in selection.members)
    return Members(keys=keys, is_standin=any(shards[name][1] for name in names))


def _check_shards(store: Path, selection: Selection, shards: dict[str, tuple[str, bool]]) -> None:
    for ref in selection.shards:
        digest = shards[ref.shard][0] if ref.shard in shards else None
        if digest != ref.digest:
            found = "no such shard" if digest is None else f"plan {digest[:12]}"
            raise StoreError(
                f"{store}: shard {ref.shard}: expected plan {ref.digest[:12]} as in the selection, found {found}",
                fix="make the selection again on this store",
                shard=ref.shard,
            )
    standin = [ref.shard for ref in selection.shards if shards[ref.shard][1]]
    if standin and len(standin) < len(selection.shards):
        licensed = next(ref.shard for ref in selection.shards if not shards[ref.shard][1])
        raise UsageError(
            f"{store}: stand-in bodies ({standin[0]}) and licensed bodies ({licensed}) must not be mixed in training",
            fix="ingest all datasets with the same body models, or select from one kind only",
        )
