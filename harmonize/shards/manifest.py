"""The manifest of a shard: what it was made from, what it holds, and proof that neither has changed.

Canonical JSON (sorted keys, one form for every value) that holds the SHA-256 of its own other fields. A file is valid
only if its bytes are exactly the canonical form of what they say and the hash holds, so that no bit of it is free. It
has no times, host names or absolute paths: the same input gives the same bytes anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from harmonize.errors import StoreError
from harmonize.layout import LAYOUT_HASH, LAYOUT_VERSION
from harmonize.shards.names import INDEX, REJECTS, TAR, shard_name

FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 256 << 20


def canonical(content: Any) -> bytes:
    """The one way a JSON value is written here: ASCII, sorted keys, one space of indent, a newline at the end."""
    return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def digest(content: Any) -> str:
    """SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(content)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """Size and content of one of the three files a manifest vouches for."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a shard is.

    shard, num_shards: its number, and how many the split has. plan: what the split was made from and how (see
    `plan.make_plan`); `plan_digest` is its digest. units: ids of the work units this shard's task read. num_skipped:
    people left out by sub-sampling. rejects: how many people were refused, by `stage/reason`. picture_methods: how many
    pictures were copied, cut losslessly, or encoded with which settings. num_source_pictures, source_pictures_sha256:
    the pictures of the raw root that were read, as `index.source_pictures_digest` counts them. files: by suffix.
    """

    format_version: int
    layout_version: int
    layout_hash: str
    dataset: str
    split: str
    shard: int
    num_shards: int
    plan_digest: str
    plan: Mapping[str, Any]
    units: tuple[str, ...]
    num_samples: int
    num_skipped: int
    rejects: Mapping[str, int]
    picture_methods: Mapping[str, int]
    num_source_pictures: int
    source_pictures_sha256: str
    files: Mapping[str, FileEntry]

    @property
    def name(self) -> str:
        """What the four files of the shard share."""
        return shard_name(self.dataset, self.split, self.shard)

    @property
    def is_standin(self) -> bool:
        """Whether the bodies were computed with the licence-free stand-in."""
        return bool(self.plan["body_models"]["is_standin"])

    @property
    def num_rejects(self) -> int:
        """People that were refused, for whatever reason."""
        return sum(self.rejects.values())

    def to_bytes(self) -> bytes:
        """The manifest as its file holds it."""
        content = asdict(self)
        return canonical({**content, "manifest_sha256": digest(content)})


def parse_manifest(data: bytes, path: Path) -> Manifest:
    """The manifest in the bytes of a file.

    Raises:
        StoreError: it is altered, not a manifest, or of another format version; the message says which.
    """
    try:
        content = json.loads(data)
        own_hash = content.pop("manifest_sha256")
        is_canonical = canonical({**content, "manifest_sha256": own_hash}) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"not a manifest ({type(error).__name__}: {error})") from None
    if not is_canonical or own_hash != digest(content):
        raise _damaged(path, "its own hash does not hold: the manifest was altered")
    if content.get("format_version") != FORMAT_VERSION:
        raise _damaged(path, f"expected format version {FORMAT_VERSION}, found {content.get('format_version')!r}")
    expected, found = {item.name for item in fields(Manifest)}, set(content)
    if expected != found:
        raise _damaged(path, f"missing fields {sorted(expected - found)}, unknown fields {sorted(found - expected)}")
    for name, kind in _PLAIN_TYPES.items():
        if type(content[name]) is not kind:
            raise _damaged(path, f"{name}: expected {kind.__name__}, found {content[name]!r}")
    if set(content["files"]) != {TAR, INDEX, REJECTS}:
        raise _damaged(path, f"files: expected {TAR}, {INDEX}, {REJECTS}, found {sorted(content['files'])}")
    try:
        files = {suffix: FileEntry(**entry) for suffix, entry in content["files"].items()}
        manifest = Manifest(**{**content, "files": files, "units": tuple(content["units"])})
        counts = [*manifest.rejects.values(), *manifest.picture_methods.values()]
        is_sound = type(manifest.plan["body_models"]["is_standin"]) is bool and {type(n) for n in counts} <= {int}
    except (TypeError, KeyError) as error:
        raise _damaged(path, f"malformed ({error})") from None
    if not is_sound:
        raise _damaged(path, "malformed counts, or no word on the body models")
    if manifest.plan_digest != digest(manifest.plan):
        raise _damaged(path, "the plan digest is not that of the plan")
    return manifest


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        StoreError: see `parse_manifest`; also when the file is missing or absurdly large.
    """
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise _damaged(path, f"larger than {MAX_MANIFEST_BYTES} bytes")
        return parse_manifest(path.read_bytes(), path)
    except OSError as error:
        raise _damaged(path, f"cannot be read ({error.strerror})") from error


def check_layout(manifest: Manifest, path: Path) -> None:
    """Raises StoreError when the vectors of a shard are laid out otherwise than this code reads them."""
    found = (manifest.layout_version, manifest.layout_hash)
    if found != (LAYOUT_VERSION, LAYOUT_HASH):
        raise StoreError(
            f"{path}: expected layout {LAYOUT_VERSION} ({LAYOUT_HASH[:12]}), found {found[0]} ({str(found[1])[:12]})",
            fix="run `ehps ingest` again for this split; shards of another layout are made anew",
            path=str(path),
        )


def _damaged(path: Path, problem: str) -> StoreError:
    return StoreError(
        f"{path}: {problem}", fix="run `ehps ingest` again for this split; it makes damaged shards anew", path=str(path)
    )


_KINDS: dict[Any, type] = {int: int, str: str, tuple[str, ...]: list}
_PLAIN_TYPES: dict[str, type] = {name: _KINDS.get(hint, dict) for name, hint in get_type_hints(Manifest).items()}
