"""Shards: everyone accounted for, and the same bytes however they are made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from toy_dataset import (
    EXPECTED_REJECTS,
    HEIGHT,
    NUM_SAMPLES,
    TOO_LARGE,
    WIDTH,
    contents,
    ingest,
    rejects,
    toy_job,
)

from harmonize.gate import Limits
from harmonize.shards import pictures
from harmonize.shards.index import INDEX_SCHEMA, REJECTS_SCHEMA, read_table
from harmonize.shards.names import INDEX, REJECTS
from harmonize.shards.plan import make_plan
from harmonize.shards.read import open_store
from harmonize.shards.verify import verify
from harmonize.shards.write import run_task

pytestmark = pytest.mark.usefixtures("toy_reader")


def test_every_person_is_accounted_for(toy_store: Path, toy_root: Path) -> None:
    manifests = open_store(toy_store).manifests()
    assert len(manifests) == manifests[0].num_shards == 24
    assert sum(manifest.num_samples for manifest in manifests) == NUM_SAMPLES
    assert rejects(toy_store) == EXPECTED_REJECTS
    assert {manifest.is_standin for manifest in manifests} == {True}
    methods = Counter[str]()
    for manifest in manifests:
        methods.update(manifest.picture_methods)
    assert methods == {"lossless-crop": NUM_SAMPLES}


def test_rejects_say_who_why_and_by_how_much(toy_store: Path) -> None:
    tables = [read_table(path, REJECTS_SCHEMA) for path in sorted(toy_store.rglob(f"*{REJECTS}"))]
    rows = [row for table in tables for row in table.to_pylist()]
    (large,) = [row for row in rows if row["reason"] == "betas-range"]
    assert dict(large["numbers"]) == {"largest": TOO_LARGE, "limit": Limits().max_betas}
    assert (large["source_file"], large["source_row"]) == ("annotations/seq_02.json", "0")
    assert {row["reason"]: bool(row["image_sha256"]) for row in rows} == {
        "betas-range": False,  # the size was stated, so the picture was not opened
        "crowd": False,
        "image-damaged": True,
        "image-missing": False,
        "image-path": False,
        "not-finite": True,
    }


def test_shards_mix_units(toy_store: Path) -> None:
    columns = ["key", "sequence"]
    tables = [read_table(path, INDEX_SCHEMA, columns).to_pylist() for path in open_store(toy_store).index_paths()]
    where = {row["key"]: i for i, rows in enumerate(tables) for row in rows}
    assert len({where[key] for key in where if "seq_05" in key}) > 2
    assert any(len({row["sequence"] for row in rows}) > 1 for rows in tables)


def test_two_runs_and_any_order_give_the_same_bytes(toy_store: Path, toy_root: Path, tmp_path: Path) -> None:
    ingest(toy_job(toy_root, tmp_path / "again"), reverse=True)
    assert contents(tmp_path / "again") == contents(toy_store)


def test_progress_counts_everyone(toy_root: Path, tmp_path: Path) -> None:
    job = toy_job(toy_root, tmp_path / "store", every=2)
    plan = make_plan(job)
    told: list[int] = []
    results = [run_task(job, plan, task, told.append) for task in plan.tasks]
    assert sum(told) == 48
    assert sum(result.num_samples + result.num_rejects + result.num_skipped for result in results) == 48
    assert sum(result.num_skipped for result in results) >= 20
    assert sum(m.num_skipped for m in open_store(tmp_path / "store").manifests()) == sum(r.num_skipped for r in results)


def test_subsampling_keeps_every_person_of_the_pictures_it_keeps(toy_root: Path, tmp_path: Path) -> None:
    ingest(toy_job(toy_root, tmp_path / "store", every=2))
    keys = [key for path in open_store(tmp_path / "store").index_paths() for key in _keys(path)]
    frames = Counter(key.rsplit("-", 1)[0] for key in keys if "seq_05" in key)
    assert frames == {"toy-train-seq_05-0000": 2, "toy-train-seq_05-0002": 2}


def _keys(path: Path) -> list[str]:
    return list(read_table(path, INDEX_SCHEMA, ["key"]).column("key").to_pylist())


def test_a_picture_is_read_once_for_all_its_people(
    toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    read = pictures.Pictures._read

    def counted(self: Any, relative: str) -> Any:
        reads[relative] += 1
        return read(self, relative)

    monkeypatch.setattr(pictures.Pictures, "_read", counted)
    job = toy_job(toy_root, tmp_path / "store", task_samples=1000)
    ingest(job)
    assert set(reads.values()) == {1}
    assert len(reads) >= 24


@pytest.mark.parametrize("images", ["full", "none"])
def test_other_ways_to_store_pictures(images: str, toy_root: Path, tmp_path: Path) -> None:
    ingest(toy_job(toy_root, tmp_path / "store", images=images))
    store = open_store(tmp_path / "store")
    assert verify(tmp_path / "store", decode=True).findings == ()
    sample = store.sample("toy-train-seq_05-0001-1")
    source = (toy_root / "images/seq_05/0001.jpg").read_bytes()
    assert sample.picture == (source if images == "full" else None)
    assert sample.instance.image.has_pixels == (images == "full")
    assert (sample.instance.image.width_px, sample.instance.image.height_px) == (WIDTH, HEIGHT)
    missing = rejects(tmp_path / "store").get("image/image-missing", 0)
    assert missing == (1 if images == "full" else 0)


def test_index_paths_are_those_of_the_manifests(toy_store: Path) -> None:
    store = open_store(toy_store)
    names = [f"toy-train-{manifest.shard:06d}{INDEX}" for manifest in store.manifests()]
    assert [path.name for path in store.index_paths()] == names


def test_no_file_says_where_it_was_made(toy_store: Path, toy_root: Path) -> None:
    texts = [
        str(table.to_pylist())
        for suffix, schema in ((INDEX, INDEX_SCHEMA), (REJECTS, REJECTS_SCHEMA))
        for table in (read_table(path, schema) for path in toy_store.rglob(f"toy-train-??????{suffix}"))
    ]
    texts += [path.read_bytes().decode("latin1") for path in toy_store.rglob("*.tar")]
    assert len(texts) == 3 * 24
    assert not any(str(toy_root.parent) in text or str(toy_store.parent) in text for text in texts)
