"""What the manifests of a shard and of its attributes say: read for shards that the catalog file does not know."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from catalogs.stamps import ATTRIBUTES, OnDisk, Stamp
from harmonize.errors import StoreError
from harmonize.shards.manifest import canonical, check_layout, digest, read_manifest
from harmonize.shards.names import INDEX, MANIFEST, TAR


class FamilyFacts(NamedTuple):
    """One family of one shard. made_by: short hash of the code and of all that the shards of the family share.

    is_bound: made from today's index, pictures and followed families, and its table is there.
    """

    stamp: Stamp
    is_bound: bool
    made_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFacts:
    """A finished shard and its attributes."""

    shard: str
    on_disk: OnDisk
    num_samples: int
    num_rejects: int
    num_skipped: int
    num_bytes: int
    is_standin: bool
    plan_digest: str
    families: Mapping[str, FamilyFacts]


def facts_of(store: Path, seen: Mapping[str, OnDisk], known: Mapping[str, ShardFacts]) -> dict[str, ShardFacts]:
    """The facts of the shards that were seen; those that are as they were known are not read again.

    A shard whose manifest has gone since it was seen is being made anew: it is not finished, and left out.

    Raises:
        StoreError: see `read_facts`.
    """
    found = {}
    for shard, on_disk in seen.items():
        old = known.get(shard)
        if old is not None and old.on_disk == on_disk:
            found[shard] = old
            continue
        try:
            found[shard] = read_facts(store, shard, on_disk)
        except StoreError:
            if (store / on_disk.folder / f"{shard}{MANIFEST}").exists():
                raise
    return found


def read_facts(store: Path, shard: str, on_disk: OnDisk) -> ShardFacts:
    """The facts of a shard. A damaged manifest of attributes counts as stale: `ehps describe` makes it again.

    Raises:
        StoreError: the manifest of the shard is damaged, of another layout, or that of another shard.
    """
    path = store / on_disk.folder / f"{shard}{MANIFEST}"
    manifest = read_manifest(path)
    check_layout(manifest, path)
    stated = manifest.name
    if stated != shard:
        raise StoreError(
            f"{path}: expected the manifest of this shard, found that of {stated}",
            fix="run `ehps ingest` again for this split",
        )
    hashes = {"index": manifest.files[INDEX].sha256, "tar": manifest.files[TAR].sha256}
    return ShardFacts(
        shard=shard,
        on_disk=on_disk,
        num_samples=manifest.num_samples,
        num_rejects=manifest.num_rejects,
        num_skipped=manifest.num_skipped,
        num_bytes=sum(file.size for file in manifest.files.values()),
        is_standin=manifest.is_standin,
        plan_digest=manifest.plan_digest,
        families=_families(store, shard, on_disk, hashes, manifest.num_samples) if on_disk.families else {},
    )


def _families(
    store: Path, shard: str, on_disk: OnDisk, hashes: dict[str, str], num_samples: int
) -> dict[str, FamilyFacts]:
    from catalogs.attributes import files  # pyarrow, which a store without attributes does not need

    folders = {family: store / on_disk.folder / ATTRIBUTES / family for family in on_disk.families}
    manifests: dict[str, files.AttributeManifest] = {}
    for family, folder in folders.items():
        try:
            found = files.read_manifest(folder, shard)
        except StoreError:
            continue
        if found is not None:
            manifests[family] = found
    known = hashes | {f"{ATTRIBUTES}/{family}": manifest.sha256 for family, manifest in manifests.items()}
    stale = {family for family in on_disk.families if family not in manifests}
    for family, manifest in manifests.items():
        of_today = {name: known.get(name) for name in manifest.inputs if name != "people"}
        made_from = {name: value for name, value in manifest.inputs.items() if name != "people"}
        table = folders[family] / f"{shard}{files.TABLE}"
        is_there = table.is_file() and table.stat().st_size == manifest.size
        if made_from != of_today or manifest.num_rows != num_samples or not is_there:
            stale.add(family)
    while more := {  # what was made from stale values is stale
        family
        for family, manifest in manifests.items()
        if family not in stale and any(f"{ATTRIBUTES}/{other}" in manifest.inputs for other in stale)
    }:
        stale |= more
    made_by = {
        family: digest({"code": manifest.code_sha256, "facts": canonical(manifest.facts).decode()})[:16]
        for family, manifest in manifests.items()
    }
    return {
        family: FamilyFacts(stamp, family not in stale, made_by.get(family, ""))
        for family, stamp in on_disk.families.items()
    }


def makers(shards: Iterable[ShardFacts]) -> dict[str, str]:
    """By family: who made the values of most shards. Values made by others are stale: versions are never mixed."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for shard in shards:
        for family, facts in shard.families.items():
            counts[family][facts.made_by] += facts.is_bound
    return {family: max(sorted(found), key=found.__getitem__) for family, found in counts.items()}


def current_families(shard: ShardFacts, makers: Mapping[str, str]) -> frozenset[str]:
    """The families of a shard whose values can be shown."""
    return frozenset(
        family for family, facts in shard.families.items() if facts.is_bound and facts.made_by == makers[family]
    )
