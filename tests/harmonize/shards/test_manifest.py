"""Manifests: the same bytes anywhere, and not one bit that may be changed."""

from __future__ import annotations

import json
import random
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from harmonize.errors import StoreError
from harmonize.layout import LAYOUT_HASH, LAYOUT_VERSION
from harmonize.shards import manifest as manifest_module
from harmonize.shards.manifest import (
    FORMAT_VERSION,
    FileEntry,
    Manifest,
    canonical,
    check_layout,
    digest,
    parse_manifest,
    read_manifest,
)

PATH = Path("toy-train-000003.json")


def small() -> Manifest:
    plan = {"body_models": {"is_standin": True}, "options": {"context": 1.5}}
    return Manifest(
        format_version=FORMAT_VERSION,
        layout_version=LAYOUT_VERSION,
        layout_hash=LAYOUT_HASH,
        dataset="toy",
        split="train",
        shard=3,
        num_shards=16,
        plan_digest=digest(plan),
        plan=plan,
        units=("seq ü",),
        num_samples=2,
        num_skipped=1,
        rejects={"gate/box-small": 2, "dataset/crowd": 1},
        picture_methods={"lossless-crop": 2},
        num_source_pictures=1,
        source_pictures_sha256="0" * 64,
        files={suffix: FileEntry(size=1, sha256="f" * 64) for suffix in (".tar", ".parquet", ".rejects.parquet")},
    )


def test_reading_gives_back_what_was_written() -> None:
    manifest = small()
    found = parse_manifest(manifest.to_bytes(), PATH)
    assert found == manifest
    assert found.to_bytes() == manifest.to_bytes()
    assert found.is_standin
    assert found.num_rejects == 3


def test_every_flipped_bit_is_refused() -> None:
    data = small().to_bytes()
    positions = random.Random(1).sample(range(8 * len(data)), 1500)
    for position in positions:
        altered = bytearray(data)
        altered[position // 8] ^= 1 << position % 8
        with pytest.raises(StoreError, match=r"toy-train-000003\.json"):
            parse_manifest(bytes(altered), PATH)


def test_another_form_of_the_same_content_is_refused() -> None:
    content = json.loads(small().to_bytes())
    for data in (
        json.dumps(content).encode(),
        small().to_bytes() + b"\n",
        small().to_bytes().replace(b": ", b":  ", 1),
    ):
        with pytest.raises(StoreError):
            parse_manifest(data, PATH)


@pytest.mark.parametrize(
    "change",
    [
        {"shard": "3"},
        {"num_shards": True},
        {"files": {}},
        {"files": {".tar": {"size": 1}, ".parquet": {}, ".rejects.parquet": {}}},
        {"rejects": {"gate/box-small": "2"}},
        {"plan": {}},
        {"plan": {"body_models": {"is_standin": True}}},
        {"format_version": 99},
        {"surprise": 1},
    ],
)
def test_a_sound_hash_does_not_make_nonsense_a_manifest(change: dict[str, object]) -> None:
    content = json.loads(small().to_bytes())
    del content["manifest_sha256"]
    content |= change
    with pytest.raises(StoreError):
        parse_manifest(canonical({**content, "manifest_sha256": digest(content)}), PATH)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a": 1}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(StoreError):
        parse_manifest(data, PATH)


def test_a_missing_or_absurd_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        read_manifest(tmp_path / "absent.json")
    path = tmp_path / "m.json"
    path.write_bytes(small().to_bytes())
    assert read_manifest(path) == small()
    monkeypatch.setattr(manifest_module, "MAX_MANIFEST_BYTES", 100)
    with pytest.raises(StoreError, match="larger"):
        read_manifest(path)


def test_another_layout_is_named() -> None:
    check_layout(small(), PATH)
    with pytest.raises(StoreError, match="ehps ingest"):
        check_layout(replace(small(), layout_hash="0" * 64), PATH)


def test_a_real_manifest_says_nothing_of_this_machine(toy_store: Path) -> None:
    for path in toy_store.rglob("*.json"):
        text = path.read_text()
        assert str(toy_store.parent) not in text
        assert socket.gethostname() not in text
        assert read_manifest(path).plan["reader"]["name"] == "toy"
