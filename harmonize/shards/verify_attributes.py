"""What lies beside the shards, read again: attribute tables, and what whole stores were fitted.

    <store>/<dataset>/<split>/attributes/<family>/<shard>.parquet, .json    a table of a shard's samples, its manifest
    <store>/attributes/<name>.parquet, .json                                a table over the store
    <store>/attributes/[<folder>/][<name>-]<hash>.npz                       numbers, named by (the start of) their hash
    <store>/attributes/<folder>/<name>.json                                 which of those numbers are in use

A manifest is canonical JSON with its own hash (`manifest_sha256`), and the `size` and `sha256` of its table; with what
code and facts the table was made is not asked here. A sound table that was made from an index which is no longer the
shard's is not damage: it is stale, nobody reads it, and `ehps describe` makes it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harmonize.shards.manifest import MAX_MANIFEST_BYTES, canonical, digest
from harmonize.shards.names import INDEX, TAR, TEMPORARY, parse_shard_name
from harmonize.shards.verify_shard import Finding, Shard

ATTRIBUTES = "attributes"
"""Folder of what is made from shards, in the folder of a split and at the root of a store."""

_TABLE, _MANIFEST, _NUMBERS = ".parquet", ".json", ".npz"
_HASHED = re.compile(r"(?:.+-)?(?P<hash>[0-9a-f]{12,64})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TYPES = {"name": str, "family": str, "inputs": dict, "num_rows": int, "size": int, "sha256": str}
_CHUNK = 1 << 20
_LEFT = "left by a run that is going on or was killed: if none is going on, remove it"


@dataclass(frozen=True, slots=True)
class AttributeReport:
    """findings: what is wrong. stale: sound tables of what is no longer so."""

    findings: list[Finding] = field(default_factory=list)
    stale: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder of attribute files: its files by stem, with the suffixes that are there."""

    store: Path
    folder: Path
    files: Mapping[str, set[str]]

    def finding(self, name: str, problem: str, *, shard: str = "", field: str = "") -> Finding:
        path = (self.folder / name).relative_to(self.store).as_posix()
        return Finding(path=path, shard=shard, field=field, problem=problem)


def check_attributes(
    store: Path,
    folders: Sequence[Path],
    names: Mapping[Path, set[str]],
    shards: Sequence[Shard],
    tell: Callable[[int], None],
) -> AttributeReport:
    """Everything in the given `attributes` folders. Never raises on damaged content.

    names: the shards that have any file, by folder and name; shards: those with a sound manifest. tell: is told how
    many more bytes of tables were read.
    """
    report = AttributeReport()
    sound = {shard.path: shard for shard in shards}
    for root in folders:
        is_split = root.parent != store
        manifests: dict[tuple[str, str], Mapping[str, Any]] = {}
        for place in _places(store, root, report.findings):
            if is_split and place.folder == root:
                report.findings.extend(
                    place.finding(stem + suffix, "belongs to no family of attributes")
                    for stem, suffixes in place.files.items()
                    for suffix in sorted(suffixes)
                )
            elif is_split:
                for shard, manifest in _check_family(place, root.parent, names, report.findings, tell):
                    manifests[place.folder.name, shard] = manifest
            else:
                report.findings.extend(_check_store_tables(place, tell))
        for (family, name), manifest in manifests.items():
            if root.parent / name in sound:
                _check_inputs(root / family, sound[root.parent / name], manifest, manifests, report)
    return report


def _places(store: Path, root: Path, findings: list[Finding]) -> Iterator[_Place]:
    """The folder itself and those in it; what does not belong there becomes a finding."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        stems: dict[str, set[str]] = defaultdict(set)
        place = _Place(store, here, stems)
        for name in sorted(folders):
            if (here / name).is_symlink():
                findings.append(place.finding(name, "a link to another folder"))
            elif here != root or name.startswith(TEMPORARY):
                findings.append(place.finding(name, _LEFT if name.startswith(TEMPORARY) else "an unknown folder"))
        folders[:] = [name for name in sorted(folders) if here == root and not name.startswith(TEMPORARY)]
        for name in sorted(files):
            stem, suffix = Path(name).stem, Path(name).suffix
            if name.startswith(TEMPORARY):
                findings.append(place.finding(name, _LEFT))
            elif (here / name).is_symlink() or suffix not in (_TABLE, _MANIFEST, _NUMBERS):
                findings.append(place.finding(name, "is no file of attributes"))
            else:
                stems[stem].add(suffix)
        yield place


def _check_family(
    place: _Place,
    split: Path,
    names: Mapping[Path, set[str]],
    findings: list[Finding],
    tell: Callable[[int], None],
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tables of one family of a split; yields the sound manifests by shard."""
    for stem, suffixes in place.files.items():
        if parse_shard_name(stem) is None or _NUMBERS in suffixes:
            findings += [place.finding(stem + suffix, "is no table of a shard") for suffix in sorted(suffixes)]
        elif split / stem not in names:
            findings += [
                place.finding(stem + suffix, "attributes of a shard that does not exist: remove them", shard=stem)
                for suffix in sorted(suffixes)
            ]
        else:
            manifest, problems = _check_pair(place, stem, suffixes, stem, tell)
            findings += problems
            if manifest is not None and manifest["family"] != place.folder.name:
                problem = f"expected {place.folder.name}, found {manifest['family']}"
                findings.append(place.finding(stem + _MANIFEST, problem, shard=stem, field="family"))
            elif manifest is not None:
                yield stem, manifest


def _check_pair(
    place: _Place, stem: str, suffixes: set[str], shard: str, tell: Callable[[int], None]
) -> tuple[Mapping[str, Any] | None, list[Finding]]:
    """A table and its manifest, held against each other; the manifest where it is sound."""
    if _MANIFEST not in suffixes:
        problem = "has no manifest, so it does not count: remove it, or let `ehps describe` make both again"
        return None, [place.finding(stem + _TABLE, problem, shard=shard)]
    content, problem = _read_json(place.folder / (stem + _MANIFEST))
    if not problem:
        problem = _manifest_problem(content, stem)
    if problem:
        return None, [place.finding(stem + _MANIFEST, problem, shard=shard)]
    if _TABLE not in suffixes:
        return content, [place.finding(stem + _TABLE, "missing: `ehps describe` makes it again", shard=shard)]
    problem = _file_problem(place.folder / (stem + _TABLE), content["size"], content["sha256"], tell)
    return content, [place.finding(stem + _TABLE, problem, shard=shard)] if problem else []


def _read_json(path: Path) -> tuple[dict[str, Any], str]:
    """The content of a file that must be canonical JSON and, where it holds its own hash, agree with it; or why not."""
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            return {}, f"larger than {MAX_MANIFEST_BYTES} bytes"
        data = path.read_bytes()
        content = json.loads(data)
        if not isinstance(content, dict) or canonical(content) != data:
            return {}, "altered: it is not the canonical form of what it says"
    except OSError as error:
        return {}, f"cannot be read ({error.strerror})"
    except (ValueError, RecursionError) as error:
        return {}, f"not a manifest ({type(error).__name__}: {error})"
    own_hash = content.pop("manifest_sha256", None)
    if own_hash is not None and own_hash != digest(content):
        return {}, "its own hash does not hold: the manifest was altered"
    return ({**content, "manifest_sha256": own_hash} if own_hash is not None else content), ""


def _manifest_problem(content: Mapping[str, Any], stem: str) -> str:
    if "manifest_sha256" not in content:
        return "expected a manifest with its own hash (manifest_sha256), found none"
    wrong = [name for name, kind in _TYPES.items() if type(content.get(name)) is not kind]
    if wrong:
        return f"malformed: {', '.join(wrong)}"
    return "" if content["name"] == stem else f"is the manifest of {content['name']}"


def _file_problem(path: Path, size: int, sha256: str, tell: Callable[[int], None]) -> str:
    """Why a file is not the one that this size and (start of a) hash are of; empty when it is. size -1: not known."""
    digest, found = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                found += len(chunk)
                tell(len(chunk))
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if size not in (found, -1):
        return f"expected {size} bytes, found {found}"
    if not digest.hexdigest().startswith(sha256):
        return f"altered: expected sha256 {sha256}, found {digest.hexdigest()}"
    return ""


def _check_inputs(
    folder: Path,
    shard: Shard,
    manifest: Mapping[str, Any],
    manifests: Mapping[tuple[str, str], Mapping[str, Any]],
    report: AttributeReport,
) -> None:
    """Whether a sound table is of the shard as it is now, and has a row for each sample."""
    place = _Place(shard.store, folder, {})
    name = shard.path.name
    current = {"index": shard.manifest.files[INDEX].sha256, "tar": shard.manifest.files[TAR].sha256}
    current |= {f"{ATTRIBUTES}/{family}": one["sha256"] for (family, of), one in manifests.items() if of == name}
    changed = [key for key, value in manifest["inputs"].items() if current.get(key, value) != value]
    if changed:
        problem = f"stale: {', '.join(changed)} changed since it was made; run `ehps describe`"
        report.stale.append(place.finding(name + _TABLE, problem, shard=name))
    elif manifest["num_rows"] != shard.manifest.num_samples:
        problem = f"expected {shard.manifest.num_samples} rows, one a sample, found {manifest['num_rows']}"
        report.findings.append(place.finding(name + _TABLE, problem, shard=name, field="num_rows"))


def _check_store_tables(place: _Place, tell: Callable[[int], None]) -> Iterator[Finding]:
    """Tables over the whole store, numbers named by their hash, and pointers to those."""
    hashes = {match["hash"] for stem in place.files if (match := _HASHED.fullmatch(stem))}
    for stem, suffixes in place.files.items():
        if _NUMBERS in suffixes:
            match = _HASHED.fullmatch(stem)
            if match is None:
                yield place.finding(stem + _NUMBERS, "expected to be named by the hash of its content")
            elif problem := _file_problem(place.folder / (stem + _NUMBERS), -1, match["hash"], tell):
                yield place.finding(stem + _NUMBERS, problem)
        if _TABLE in suffixes or (_MANIFEST in suffixes and not _is_pointer(place.folder / (stem + _MANIFEST))):
            yield from _check_pair(place, stem, suffixes, "", tell)[1]
        elif _MANIFEST in suffixes:
            content, _ = _read_json(place.folder / (stem + _MANIFEST))
            named = [value for value in content.values() if isinstance(value, str) and _SHA256.fullmatch(value)]
            if not any(value.startswith(one) for value in named for one in hashes):
                yield place.finding(stem + _MANIFEST, "names no file that is here: remove it and run `ehps describe`")


def _is_pointer(path: Path) -> bool:
    """Whether a sound json file says which numbers are in use, and does not vouch for a table."""
    content, problem = _read_json(path)
    return not problem and "sha256" not in content
