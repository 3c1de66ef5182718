"""Verify, beside the shards: attribute tables that are damaged, orphaned, stale, or left behind."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from toy_dataset import copy_store

from catalogs.attributes import engine, files
from catalogs.attributes.family import Attribute, Columns, Family, Rows
from harmonize.shards.manifest import canonical, digest
from harmonize.shards.verify import Finding, verify

pytestmark = pytest.mark.usefixtures("toy_reader")

NUM_TRIALS = 12
"""Each flips a bit in four files."""


def height_of(rows: Rows, prepared: None) -> Columns:
    """A family of one number."""
    return {"height": rows.array("image_height_px").astype(np.float32)}


def twice(rows: Rows, prepared: None) -> Columns:
    """A family that follows another."""
    return {"height": 2 * rows.of("height", "height")}


NUMBER = (Attribute(name="height", unit="px", doc="Of the picture."),)
HEIGHT = Family(name="height", doc="", attributes=NUMBER, reads=("image_height_px",), compute=height_of)
TWICE = Family(name="twice", doc="", attributes=NUMBER, reads=(), compute=twice, follows=("height",))


@dataclass(frozen=True)
class Described:
    """A store with two families, a table over all of it and numbers that were fitted to it."""

    store: Path

    @property
    def split(self) -> Path:
        return self.store / "toy" / "train"

    @property
    def tables(self) -> list[Path]:
        return sorted((self.split / "attributes" / "height").glob("*.parquet"))

    @property
    def over_all(self) -> Path:
        return self.store / "attributes"

    def findings(self) -> tuple[Finding, ...]:
        return verify(self.store).findings

    def finding(self) -> Finding:
        [finding] = self.findings()
        return finding

    def edit(self, manifest: Path, **changes: Any) -> None:
        """Change a manifest and seal it again, as a careless program would."""
        content = json.loads(manifest.read_bytes()) | changes
        del content["manifest_sha256"]
        manifest.write_bytes(canonical({**content, "manifest_sha256": digest(content)}))


@pytest.fixture(scope="module")
def described_store(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = copy_store(toy_store, tmp_path_factory.mktemp("described") / "store")
    for family in (HEIGHT, TWICE):
        for job in engine.plan(store, family).pending:
            engine.run(job)
    table = pa.table({"key": ["a", "b"], "x": [1.0, 2.0]})
    folder = files.store_folder(store)
    files.write(folder, "map_height", table, family="map_height", inputs={}, code_sha256="0" * 64, facts={"seed": 0})
    basis = b"numbers of a basis"
    name = hashlib.sha256(basis).hexdigest()
    (folder / "pose_basis").mkdir()
    (folder / "pose_basis" / f"{name[:12]}.npz").write_bytes(basis)
    (folder / "pose_basis" / "current.json").write_bytes(canonical({"basis": name}))
    (folder / f"other_basis-{name[:12]}.npz").write_bytes(basis)
    for name in ("catalog.duckdb", "catalog.duckdb.lock", "catalog.duckdb.wal", ".tmp-catalog.duckdb"):
        (store / name).write_bytes(b"a cache")
    return store


@pytest.fixture
def described(described_store: Path, tmp_path: Path) -> Described:
    """One's own."""
    return Described(shutil.copytree(described_store, tmp_path / "store"))


def test_a_described_store_is_sound_and_its_tables_are_read(described_store: Path) -> None:
    told: list[int] = []
    report = verify(described_store, told.append)
    assert (report.findings, report.stale) == ((), ())
    assert report.num_shards == 24
    read = [path for path in described_store.rglob("*") if path.suffix in (".tar", ".parquet", ".npz")]
    assert sum(told) == report.num_bytes == sum(path.stat().st_size for path in read)


def test_every_flipped_bit_is_found_and_named(described: Described) -> None:
    beside, over_all = described.split / "attributes", described.over_all
    tables = sorted(beside.rglob("*.parquet"))
    numbers = sorted(over_all.rglob("*.npz"))
    rng = random.Random(3)
    for trial in range(NUM_TRIALS):
        table, other = rng.sample(tables, 2)
        map_file = over_all / f"map_height{('.parquet', '.json')[trial % 2]}"
        flipped = {
            path: path.read_bytes() for path in (table, other.with_suffix(".json"), rng.choice(numbers), map_file)
        }
        for path, whole in flipped.items():
            altered = bytearray(whole)
            bit = rng.randrange(8 * len(whole))
            altered[bit // 8] ^= 1 << bit % 8
            path.write_bytes(bytes(altered))
        found = {(finding.path, finding.shard) for finding in described.findings()}
        assert found == {
            (path.relative_to(described.store).as_posix(), path.stem if path.is_relative_to(beside) else "")
            for path in flipped
        }
        for path, whole in flipped.items():
            path.write_bytes(whole)


def test_a_table_without_manifest_and_a_manifest_without_table_are_found(described: Described) -> None:
    one, other = described.tables[:2]
    one.with_suffix(".json").unlink()
    other.unlink()
    (described.over_all / "map_height.parquet").unlink()
    found = {finding.path.rsplit("/", 1)[1]: finding.problem for finding in described.findings()}
    assert sorted(found) == sorted([one.name, other.name, "map_height.parquet"])
    assert "no manifest" in found[one.name]
    assert found[other.name].startswith("missing")
    assert found["map_height.parquet"].startswith("missing")


def test_attributes_of_a_shard_that_does_not_exist_are_found(described: Described) -> None:
    stray = described.tables[0].with_name("toy-train-000099.parquet")
    stray.write_bytes(described.tables[0].read_bytes())
    finding = described.finding()
    assert (finding.path, finding.shard) == ("toy/train/attributes/height/toy-train-000099.parquet", "toy-train-000099")
    assert "does not exist" in finding.problem


def test_a_table_under_the_name_of_another_is_found(described: Described) -> None:
    one, other = described.tables[:2]
    other.write_bytes(one.read_bytes())
    other.with_suffix(".json").write_bytes(one.with_suffix(".json").read_bytes())
    finding = described.finding()
    assert finding.path.endswith(f"{other.stem}.json")
    assert one.stem in finding.problem
    moved = described.split / "attributes" / "width"
    (described.split / "attributes" / "height").rename(moved)
    assert {finding.field for finding in described.findings()} >= {"family"}


@pytest.mark.parametrize("name", ["notes.txt", "toy-train-000000.parquet", "height/notes.txt", "height/notes.parquet"])
def test_what_is_no_table_is_found(name: str, described: Described) -> None:
    (described.split / "attributes" / name).write_text("?")
    assert described.finding().path == f"toy/train/attributes/{name}"


def test_a_folder_in_a_family_is_found(described: Described) -> None:
    (described.split / "attributes" / "height" / "deep").mkdir()
    assert described.finding().path == "toy/train/attributes/height/deep"


def test_what_a_killed_run_left_is_named(described: Described) -> None:
    (described.tables[0].with_name(".tmp-abc")).write_bytes(b"half a table")
    (described.over_all / ".tmp-def").write_bytes(b"half a map")
    findings = described.findings()
    assert {finding.path for finding in findings} == {"toy/train/attributes/height/.tmp-abc", "attributes/.tmp-def"}
    assert all("killed" in finding.problem for finding in findings)


def test_a_link_to_a_table_is_found(described: Described) -> None:
    table = described.tables[0]
    table.rename(described.store.parent / "elsewhere.parquet")
    table.symlink_to(described.store.parent / "elsewhere.parquet")
    assert table.relative_to(described.store).as_posix() in {finding.path for finding in described.findings()}


def test_attributes_of_an_older_index_are_stale_and_no_damage(described: Described) -> None:
    table = described.tables[0]
    described.edit(table.with_suffix(".json"), inputs={"index": "1" * 64})
    report = verify(described.store)
    assert report.is_sound
    [stale] = report.stale
    assert (stale.path, stale.shard) == (table.relative_to(described.store).as_posix(), table.stem)
    assert "index" in stale.problem
    assert "ehps describe" in stale.problem


def test_what_follows_a_family_that_was_made_again_is_stale(described: Described) -> None:
    table = described.tables[0]
    content = pa.table({"key": ["another"]})
    manifest = files.read_manifest(table.parent, table.stem)
    assert manifest is not None
    num_rows = manifest.num_rows
    made = files.write(
        table.parent, table.stem, content, family="height", inputs=manifest.inputs, code_sha256="", facts={}
    )
    described.edit(table.with_suffix(".json"), num_rows=num_rows)
    report = verify(described.store)
    assert made.sha256 != manifest.sha256
    assert report.is_sound
    assert [finding.path for finding in report.stale] == [f"toy/train/attributes/twice/{table.name}"]


def test_a_table_with_fewer_rows_than_samples_is_found(described: Described) -> None:
    table = described.tables[0]
    described.edit(table.with_suffix(".json"), num_rows=1000)
    assert (described.finding().field, described.finding().shard) == ("num_rows", table.stem)


def test_a_manifest_without_its_own_hash_vouches_for_nothing(described: Described) -> None:
    manifest = described.tables[0].with_suffix(".json")
    content = json.loads(manifest.read_bytes())
    del content["manifest_sha256"]
    manifest.write_bytes(canonical(content))
    assert "own hash" in described.finding().problem


def test_a_pointer_to_numbers_that_are_not_there_is_found(described: Described) -> None:
    [numbers] = (described.over_all / "pose_basis").glob("*.npz")
    numbers.rename(numbers.with_name("0123456789ab.npz"))
    found = {finding.path: finding.problem for finding in described.findings()}
    assert set(found) == {"attributes/pose_basis/0123456789ab.npz", "attributes/pose_basis/current.json"}
    assert "names no file" in found["attributes/pose_basis/current.json"]


def test_numbers_must_be_named_by_their_hash(described: Described) -> None:
    (described.over_all / "loose.npz").write_bytes(b"numbers")
    assert described.finding().path == "attributes/loose.npz"
