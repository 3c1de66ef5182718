"""A shard is made anew when anything changed, and only then."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from toy_dataset import (
    EXPECTED_REJECTS,
    HEIGHT,
    WIDTH,
    change_person,
    contents,
    copy_store,
    ingest,
    rejects,
    toy_job,
    with_options,
)

from harmonize.errors import StoreError
from harmonize.shards.names import split_dir
from harmonize.shards.plan import make_plan
from harmonize.shards.write import finalise, pending, run_task

pytestmark = pytest.mark.usefixtures("toy_reader")


def due(job: Any) -> int:
    return len(pending(make_plan(job), job))


def test_nothing_is_due_when_nothing_changed(raw: Path, toy_store: Path, tmp_path: Path) -> None:
    store = copy_store(toy_store, tmp_path / "store")
    job = toy_job(raw, store)
    assert due(job) == 0
    assert ingest(job)[1] == []


def test_another_option_makes_everything_due(raw: Path, toy_store: Path, tmp_path: Path) -> None:
    job = toy_job(raw, copy_store(toy_store, tmp_path / "store"))
    assert due(with_options(job, context=1.7)) == 3


def test_a_changed_annotation_file_is_ingested_anew(raw: Path, toy_store: Path, tmp_path: Path) -> None:
    store = copy_store(toy_store, tmp_path / "store")
    change_person(raw, 5, 0, betas=[1.0] * 10)
    job = toy_job(raw, store)
    assert due(job) == 3
    ingest(job)
    ingest(toy_job(raw, tmp_path / "fresh"))
    assert contents(store) == contents(tmp_path / "fresh")
    assert contents(store) != contents(toy_store)


def test_a_changed_picture_makes_only_its_task_due(raw: Path, toy_store: Path, tmp_path: Path) -> None:
    store = copy_store(toy_store, tmp_path / "store")
    Picture.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(raw / "images/seq_05/0001.jpg")
    job = toy_job(raw, store)
    assert due(job) == 1
    ingest(job)
    ingest(toy_job(raw, tmp_path / "fresh"))
    assert contents(store) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("path", ["images/seq_00/missing.jpg", "images/seq_01/broken.jpg"])
def test_a_picture_that_turns_up_or_is_mended_makes_its_task_due(
    path: str, raw: Path, toy_store: Path, tmp_path: Path
) -> None:
    store = copy_store(toy_store, tmp_path / "store")
    shutil.copy(raw / "images/seq_05/0001.jpg", raw / path)
    job = toy_job(raw, store)
    assert due(job) == 1
    ingest(job)
    assert sum(rejects(store).values()) == sum(EXPECTED_REJECTS.values()) - 1


@pytest.mark.parametrize("suffix", [".tar", ".parquet", ".rejects.parquet", ".json"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_shard_is_made_again(
    suffix: str, damage: str, toy_root: Path, toy_store: Path, tmp_path: Path
) -> None:
    store = copy_store(toy_store, tmp_path / "store")
    path = split_dir(store, "toy", "train") / f"toy-train-000009{suffix}"
    path.unlink() if damage == "missing" else os.truncate(path, path.stat().st_size - 7)
    job = toy_job(toy_root, store)
    assert due(job) == 1
    ingest(job)
    assert contents(store) == contents(toy_store)


def test_shards_of_an_older_plan_go_when_the_new_split_is_complete(toy_root: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest(toy_job(toy_root, store))
    job = toy_job(toy_root, store, shard_samples=1000)
    plan = make_plan(job)
    assert plan.num_shards == 18
    for task in pending(plan, job)[:-1]:
        run_task(job, plan, task)
    with pytest.raises(StoreError, match="not done"):
        finalise(plan, job)
    assert (job.folder / "toy-train-000023.json").exists()
    run_task(job, plan, plan.tasks[-1])
    assert finalise(plan, job) == tuple(f"toy-train-{number:06d}" for number in range(18, 24))
    ingest(toy_job(toy_root, tmp_path / "fresh", shard_samples=1000))
    assert contents(store) == contents(tmp_path / "fresh")


def test_a_split_without_people_is_no_error(toy_root: Path, tmp_path: Path) -> None:
    job = replace(toy_job(toy_root, tmp_path / "store"), split="test")
    plan = make_plan(job)
    assert (plan.tasks, plan.num_shards) == ((), 0)
    assert pending(plan, job) == []
