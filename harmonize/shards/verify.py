"""Everything in a store, read again.

Every file must belong to a shard or be made from one (attributes), every shard to a complete split made from one plan,
and every byte be what was written. Damage never raises: it is a finding that says which shard, which sample, which
field. Attributes of a shard that was made again since are stale, which is no damage and listed apart. The catalog file
is a cache, which who opens it checks: it is left aside.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmonize.errors import StoreError, UsageError
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.manifest import Manifest, check_layout, read_manifest
from harmonize.shards.names import (
    ASIDE,
    FAILED,
    INDEX,
    MANIFEST,
    SUFFIXES,
    TEMPORARY,
    parse_shard_name,
    shard_name,
    split_file_name,
)
from harmonize.shards.summary import duplicate_keys
from harmonize.shards.verify_attributes import ATTRIBUTES, check_attributes
from harmonize.shards.verify_shard import Finding, Shard, check_shard_files

__all__ = ["Finding", "VerifyReport", "verify"]

_CATALOG = re.compile(r"(\.tmp-)?catalog\.duckdb(\..+)?")
"""The catalog file at the root of a store, its lock, its log, and what is being made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was found wrong, and how much was looked at. stale: sound attributes of what is no longer so."""

    findings: tuple[Finding, ...]
    stale: tuple[Finding, ...]
    num_shards: int
    num_samples: int
    num_bytes: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify(store: Path, on_progress: Callable[[int], None] | None = None, *, decode: bool = False) -> VerifyReport:
    """Check a whole store. `on_progress` is told how many more bytes were read; `decode` also decodes every picture.

    Raises:
        UsageError: the store is not a folder.
    """
    store = Path(store).absolute()
    if not store.is_dir():
        raise UsageError(f"{store} is not a folder", fix="give the folder that `ehps ingest --store` wrote to")
    findings: list[Finding] = []
    num_bytes = 0

    def tell(number: int) -> None:
        nonlocal num_bytes
        num_bytes += number
        if on_progress is not None:
            on_progress(number)

    names, attributes, strays = _walk(store)
    findings += strays
    shards: list[Shard] = []
    for path, suffixes in names.items():
        found, problems = _open_shard(store, path, suffixes)
        findings += problems
        if found is not None:
            shards.append(found)
    if not shards and not findings:
        findings.append(Finding(path=".", problem="there is no shard in this store"))
    findings += _check_splits(store, shards)
    for shard in shards:
        findings += check_shard_files(shard, decode_pictures=decode, on_progress=tell)
    findings += _check_keys(shards)
    beside = check_attributes(store, attributes, names, shards, tell)
    return VerifyReport(
        findings=(*findings, *beside.findings),
        stale=tuple(beside.stale),
        num_shards=len(shards),
        num_samples=sum(shard.manifest.num_samples for shard in shards),
        num_bytes=num_bytes,
    )


def _walk(store: Path) -> tuple[dict[Path, set[str]], list[Path], list[Finding]]:
    """The shards that have files, by folder and name, with the suffixes that are there; the folders of attributes; and
    what belongs to neither."""
    names: dict[Path, set[str]] = defaultdict(set)
    attributes: list[Path] = []
    strays: list[Finding] = []

    def stray(path: Path, problem: str) -> None:
        strays.append(Finding(path=path.relative_to(store).as_posix(), problem=problem))

    for folder, folders, files in os.walk(store):
        here = Path(folder)
        if here == store:
            folders[:] = [name for name in folders if name not in ASIDE and not _CATALOG.fullmatch(name)]
            files = [name for name in files if not _CATALOG.fullmatch(name)]
        for name in sorted(folders):
            if (here / name).is_symlink():
                stray(here / name, "a link to another folder")
            elif name.startswith(TEMPORARY):
                folders.remove(name)
                stray(here / name, "left by an ingest that is running or was killed; the next run removes it")
            elif name == ATTRIBUTES and len(here.relative_to(store).parts) in (0, 2):
                folders.remove(name)
                attributes.append(here / name)
        folders.sort()
        for name in sorted(files):
            shard, suffix = split_file_name(name) or ("", "")
            parsed = parse_shard_name(shard)
            is_ours = parsed is not None and parsed[:2] == here.relative_to(store).parts
            if is_ours and not (here / name).is_symlink():
                names[here / shard].add(suffix)
            elif name.startswith(FAILED):
                stray(here / name, "people of a task that was refused as a whole; see it, then run `ehps ingest` again")
            else:
                stray(here / name, "belongs to no shard")
    return names, attributes, strays


def _open_shard(store: Path, path: Path, suffixes: set[str]) -> tuple[Shard | None, list[Finding]]:
    name = path.name

    def finding(suffix: str, problem: str, field: str = "") -> Finding:
        file = path.with_name(name + suffix).relative_to(store).as_posix()
        return Finding(path=file, shard=name, field=field, problem=problem)

    problems = [finding(suffix, "missing") for suffix in SUFFIXES if suffix not in suffixes]
    if MANIFEST not in suffixes:
        return None, problems
    file = path.with_name(name + MANIFEST)
    try:
        manifest = read_manifest(file)
        check_layout(manifest, file)
    except StoreError as error:
        return None, [*problems, finding(MANIFEST, str(error).replace(f"{store}/", ""))]
    stated = manifest.name
    if stated != name:
        problems.append(finding(MANIFEST, f"is the manifest of {stated}", field="shard"))
        return None, problems
    return (None if problems else Shard(store=store, path=path, manifest=manifest)), problems


def _check_splits(store: Path, shards: list[Shard]) -> Iterator[Finding]:
    """Each split must have all its shards, made from one plan."""
    splits: dict[Path, list[Manifest]] = defaultdict(list)
    for shard in shards:
        splits[shard.path.parent].append(shard.manifest)
    for folder, manifests in splits.items():
        path = folder.relative_to(store).as_posix()
        digests = sorted({manifest.plan_digest for manifest in manifests})
        if len(digests) > 1:
            plans = ", ".join(digest[:12] for digest in digests)
            yield Finding(path=path, field="plan_digest", problem=f"shards of {len(digests)} plans ({plans})")
        expected = max(manifest.num_shards for manifest in manifests)
        for number in sorted(set(range(expected)) - {manifest.shard for manifest in manifests}):
            name = shard_name(manifests[0].dataset, manifests[0].split, number)
            yield Finding(path=path, shard=name, problem=f"not complete: the split has {expected} shards")
        for manifest in manifests:
            if manifest.shard >= manifest.num_shards:
                name = manifest.name
                yield Finding(path=path, shard=name, problem=f"beyond the {manifest.num_shards} shards of its split")


def _check_keys(shards: list[Shard]) -> Iterator[Finding]:
    """A key names one sample of a dataset."""
    datasets: dict[str, dict[str, Any]] = defaultdict(dict)
    for shard in shards:
        try:
            column = read_table(shard.file(INDEX), INDEX_SCHEMA, ["key"]).column("key")
        except StoreError:
            continue  # found already, by the check of the shard itself
        datasets[shard.manifest.dataset][shard.path.name] = column
    for columns in datasets.values():
        for key, names in duplicate_keys(columns):
            problem = f"the key is used more than once: in {', '.join(names)}"
            yield Finding(path=f"{names[0]}{INDEX}", shard=names[0], sample=key, field="key", problem=problem)
