"""Verify: whatever is altered is found, and said by name."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from toy_dataset import NUM_SAMPLES, TOO_LARGE, copy_store, ingest, toy_job

from harmonize.errors import UsageError
from harmonize.layout import LAYOUT, Column
from harmonize.shards.index import INDEX_SCHEMA, read_table, to_parquet
from harmonize.shards.manifest import FileEntry, digest, read_manifest
from harmonize.shards.spool import NPY_HEADER
from harmonize.shards.tars import END
from harmonize.shards.verify import Finding, verify

pytestmark = pytest.mark.usefixtures("toy_reader")

NUM_FLIPS = 100
BETAS: Column = next(column for column in LAYOUT if column.name == "body.betas")


@pytest.fixture
def store(toy_store: Path, tmp_path: Path) -> Path:
    """A store of one's own."""
    return copy_store(toy_store, tmp_path / "store")


def folder(store: Path) -> Path:
    return store / "toy" / "train"


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


def first_full(store: Path) -> Path:
    """The manifest of the first shard with at least two samples."""
    return next(path for path in sorted(store.rglob("*.json")) if read_manifest(path).num_samples >= 2)


def reseal(manifest: Path) -> None:
    """Make the manifest vouch for the files as they are now, as a careless program would."""
    old = read_manifest(manifest)
    files = {}
    for suffix in old.files:
        data = manifest.with_name(manifest.stem + suffix).read_bytes()
        files[suffix] = FileEntry(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    manifest.write_bytes(replace(old, files=files).to_bytes())


def test_a_sound_store_has_no_findings(toy_store: Path) -> None:
    told: list[int] = []
    report = verify(toy_store, told.append, decode=True)
    assert report.findings == ()
    assert report.is_sound
    assert (report.num_shards, report.num_samples) == (24, NUM_SAMPLES)
    sizes = [path.stat().st_size for path in toy_store.rglob("*") if path.is_file() and path.suffix != ".json"]
    assert report.num_bytes == sum(told) == sum(sizes)


def test_every_flipped_bit_is_found_and_named(toy_root: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest(toy_job(toy_root, store, shard_samples=1000, task_samples=1000))
    rng = random.Random(7)
    kinds = ("tar", "parquet", "rejects.parquet", "json")
    for trial in range(NUM_FLIPS):
        # One kind of file after the other: the tars alone are most of the bytes.
        path = rng.choice(sorted(folder(store).glob(f"toy-train-??????.{kinds[trial % 4]}")))
        bit = rng.randrange(8 * path.stat().st_size)
        flip(path, bit)
        findings = verify(store).findings
        flip(path, bit)
        assert findings, f"{path.name}: bit {bit}"
        assert {finding.shard for finding in findings} == {path.name.partition(".")[0]}
        assert path.relative_to(store).as_posix() in {finding.path for finding in findings}
    assert verify(store).findings == ()


def test_a_flip_in_a_vector_names_sample_and_field(store: Path) -> None:
    manifest = first_full(store)
    row = read_table(manifest.with_suffix(".parquet"), INDEX_SCHEMA).to_pylist()[1]
    flip(manifest.with_suffix(".tar"), 8 * (row["npy_offset"] + len(NPY_HEADER) + 4 * BETAS.start + 1))
    findings = verify(store).findings
    assert {finding.sample for finding in findings} == {row["key"], ""}
    assert "body.betas" in {finding.field for finding in findings}


@pytest.mark.parametrize(
    ("member", "inside"), [("npy", 3), ("json", 20), ("picture", 100), ("npy", -200), ("json", -500), ("picture", -300)]
)
def test_a_flip_in_a_member_or_its_header_names_both(member: str, inside: int, store: Path) -> None:
    manifest = first_full(store)
    row = read_table(manifest.with_suffix(".parquet"), INDEX_SCHEMA).to_pylist()[0]
    flip(manifest.with_suffix(".tar"), 8 * (row[f"{member}_offset"] + inside))
    findings = verify(store).findings
    fields = {finding.field for finding in findings if finding.sample == row["key"]}
    assert {"picture": "jpg"}.get(member, member) in fields


def change_first_row(manifest: Path, column: str, change: Callable[[list[float]], None]) -> str:
    """Change a list in the first row of an index; returns the row's key."""
    path = manifest.with_suffix(".parquet")
    table = read_table(path, INDEX_SCHEMA)
    rows = table.to_pylist()
    change(rows[0][column])
    path.write_bytes(to_parquet(type(table).from_pylist(rows, schema=INDEX_SCHEMA)))
    return str(rows[0]["key"])


def test_an_index_that_disagrees_names_sample_and_field_although_all_hashes_hold(store: Path) -> None:
    manifest = first_full(store)

    def nudge(transl_m: list[float]) -> None:
        transl_m[2] = float(np.nextafter(np.float32(transl_m[2]), np.float32(9)))

    key = change_first_row(manifest, "body_transl_m", nudge)
    reseal(manifest)
    assert [(finding.sample, finding.field) for finding in verify(store).findings] == [(key, "body.transl_m")]


def test_a_record_that_fails_the_gate_is_found_although_all_hashes_hold(store: Path) -> None:
    manifest = first_full(store)
    tar, index = manifest.with_suffix(".tar"), manifest.with_suffix(".parquet")
    table = read_table(index, INDEX_SCHEMA)
    rows = table.to_pylist()
    start, size = rows[0]["npy_offset"], rows[0]["npy_size"]
    data = bytearray(tar.read_bytes())
    at = start + len(NPY_HEADER) + 4 * BETAS.start
    data[at : at + 4] = np.float32(TOO_LARGE).tobytes()
    tar.write_bytes(bytes(data))
    rows[0]["body_betas"][0] = TOO_LARGE
    rows[0]["npy_sha256"] = hashlib.sha256(data[start : start + size]).hexdigest()
    index.write_bytes(to_parquet(type(table).from_pylist(rows, schema=INDEX_SCHEMA)))
    reseal(manifest)
    (finding,) = verify(store).findings
    assert finding.sample == rows[0]["key"]
    assert finding.problem.startswith("betas-range")


def names(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
    return {(finding.path.rpartition("/")[2], finding.shard) for finding in findings}


@pytest.mark.parametrize("suffix", [".tar", ".parquet", ".rejects.parquet", ".json"])
@pytest.mark.parametrize("how", ["missing", "cut", "empty", "garbage", "folder"])
def test_a_missing_or_mangled_file_is_found(suffix: str, how: str, store: Path) -> None:
    path = first_full(store).with_suffix(suffix)
    ways: dict[str, Callable[[], object]] = {
        "missing": path.unlink,
        "cut": lambda: os.truncate(path, path.stat().st_size // 2),
        "empty": lambda: os.truncate(path, 0),
        "garbage": lambda: path.write_bytes(random.Random(3).randbytes(5000)),
        "folder": lambda: (path.unlink(), path.mkdir()),
    }
    ways[how]()
    found = verify(store).findings
    assert (path.name, path.name.partition(".")[0]) in names(found)
    assert {finding.shard for finding in found} == {path.name.partition(".")[0]}


def test_a_tar_that_goes_on_behind_its_end_is_found(store: Path) -> None:
    path = first_full(store).with_suffix(".tar")
    path.write_bytes(path.read_bytes() + END)
    assert any("behind the last sample" in finding.problem for finding in verify(store).findings)


def test_what_belongs_to_no_shard_is_found(store: Path) -> None:
    (store / "notes.txt").write_text("x")
    (store / "toy-train-000001.tar").write_text("x")
    (folder(store) / "toy-train-000001.csv").write_text("x")
    (folder(store) / "pw3d-train-000001.tar").write_bytes(b"")
    (folder(store) / ".tmp-77-x").mkdir()
    (folder(store) / ".tmp-77-x" / "spool").write_bytes(b"x")
    (folder(store) / "link").symlink_to(store.parent)
    found = {finding.path.rpartition("/")[2]: finding.problem for finding in verify(store).findings}
    ours = ["toy-train-000001.csv", "toy-train-000001.tar"]
    assert sorted(found) == [".tmp-77-x", "link", "notes.txt", "pw3d-train-000001.tar", *ours]
    assert "next run removes it" in found[".tmp-77-x"]


def test_a_shard_that_is_missing_as_a_whole_is_found(store: Path) -> None:
    for path in folder(store).glob("toy-train-000007.*"):
        path.unlink()
    (finding,) = verify(store).findings
    assert finding.shard == "toy-train-000007"


def test_shards_of_two_plans_are_found(store: Path) -> None:
    path = folder(store) / "toy-train-000003.json"
    manifest = read_manifest(path)
    content = json.loads(json.dumps(manifest.plan)) | {"form": "other"}
    path.write_bytes(replace(manifest, plan=content, plan_digest=digest(content)).to_bytes())
    (finding,) = verify(store).findings
    assert finding.field == "plan_digest"


def test_a_renamed_shard_is_found(store: Path) -> None:
    for path in folder(store).glob("toy-train-000023.*"):
        path.rename(path.with_name(path.name.replace("000023", "000024")))
    problems = [finding.problem for finding in verify(store).findings]
    assert "is the manifest of toy-train-000023" in problems


def test_a_key_in_two_shards_is_found(store: Path) -> None:
    manifests = [path for path in sorted(store.rglob("*.json")) if read_manifest(path).num_samples]
    source, target = manifests[:2]
    for suffix in (".tar", ".parquet"):
        target.with_suffix(suffix).write_bytes(source.with_suffix(suffix).read_bytes())
    old, like = read_manifest(target), read_manifest(source)
    changed = replace(old, num_samples=like.num_samples, picture_methods=like.picture_methods)
    target.write_bytes(changed.to_bytes())
    reseal(target)
    repeated = [finding for finding in verify(store).findings if finding.field == "key"]
    assert len(repeated) == like.num_samples
    assert all(source.stem in finding.problem and target.stem in finding.problem for finding in repeated)


def test_counts_of_the_manifest_are_recomputed(store: Path) -> None:
    path = first_full(store)
    path.write_bytes(replace(read_manifest(path), num_samples=99, picture_methods={"encoded": 1}).to_bytes())
    assert {finding.field for finding in verify(store).findings} == {"num_samples", "picture_methods"}


def test_an_index_of_another_schema_is_found(store: Path) -> None:
    path = first_full(store).with_suffix(".parquet")
    pq.write_table(pq.read_table(path).drop_columns(["body_betas"]), path)
    reseal(path.with_suffix(".json"))
    assert any("body_betas" in finding.problem for finding in verify(store).findings)


def test_an_empty_folder_and_no_folder(tmp_path: Path) -> None:
    assert [finding.problem for finding in verify(tmp_path).findings] == ["there is no shard in this store"]
    with pytest.raises(UsageError):
        verify(tmp_path / "absent")
