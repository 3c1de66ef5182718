"""What must not be published is not, says why, and leaves nothing behind."""

from __future__ import annotations

import builtins
import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from toy_dataset import (
    HEIGHT,
    TOO_LARGE,
    WIDTH,
    change_person,
    contents,
    copy_store,
    ingest,
    rejects,
    toy_job,
    with_options,
)

from harmonize.errors import GateError, MissingBodyModelError, RawFileError, StoreError
from harmonize.shards import staging, write
from harmonize.shards.index import REJECTS_SCHEMA, read_table
from harmonize.shards.manifest import read_manifest
from harmonize.shards.plan import make_plan
from harmonize.shards.read import open_store
from harmonize.shards.verify import verify
from harmonize.shards.write import finalise, pending, run_task

pytestmark = pytest.mark.usefixtures("toy_reader")


def refuse_everyone(raw: Path, sequences: range) -> None:
    for sequence in sequences:
        for row in range(8):
            change_person(raw, sequence, row, betas=[TOO_LARGE] * 10)


def test_too_many_refused_people_fail_the_task(raw: Path, tmp_path: Path) -> None:
    refuse_everyone(raw, range(4, 6))
    job = toy_job(raw, tmp_path / "store", task_samples=1000)
    plan = make_plan(job)
    with pytest.raises(GateError, match=r"betas-range 1[67]") as error:
        run_task(job, plan, plan.tasks[0])
    assert "ehps query" in str(error.value)
    assert "toy-train-seq_0" in str(error.value)
    (left,) = job.folder.iterdir()
    assert str(left) == error.value.fields["table"]
    assert "betas-range" in read_table(left, REJECTS_SCHEMA, ["reason"]).column("reason").to_pylist()
    assert pending(plan, job) == list(plan.tasks)
    (finding, *_) = verify(tmp_path / "store").findings
    assert "refused as a whole" in finding.problem
    ingest(with_options(job, max_reject_share=1.0))
    assert verify(tmp_path / "store").findings == ()
    assert rejects(tmp_path / "store")["gate/betas-range"] == 17


def test_people_whom_the_dataset_marks_do_not_count(raw: Path, tmp_path: Path) -> None:
    for sequence in range(5):
        for row in range(8):
            change_person(raw, sequence, row, crowd=True)
    ingest(toy_job(raw, tmp_path / "store"))
    assert rejects(tmp_path / "store") == {"dataset/crowd": 40}


def test_a_few_refused_people_do_not_fail_a_small_shard(toy_store: Path) -> None:
    shares = [
        m.num_rejects / (m.num_samples + m.num_rejects) for m in open_store(toy_store).manifests() if m.num_rejects
    ]
    assert max(shares) > 0.3


def test_nobody_left_is_an_error_however_few_there_were(raw: Path, tmp_path: Path) -> None:
    refuse_everyone(raw, range(6))
    for sequence in range(6):
        path = raw / f"annotations/seq_{sequence:02d}.json"
        path.write_text(json.dumps(json.loads(path.read_text())[7:]))
    job = toy_job(raw, tmp_path / "store", task_samples=1000)
    plan = make_plan(job)
    with pytest.raises(GateError, match="6 of 6 people"):
        run_task(job, plan, plan.tasks[0])


def test_two_people_of_one_key_are_refused(raw: Path, tmp_path: Path) -> None:
    change_person(raw, 5, 3, person="0")
    job = toy_job(raw, tmp_path / "store")
    plan = make_plan(job)
    (task,) = [task for task in plan.tasks if any(unit.id == "seq_05" for unit in task.units)]
    with pytest.raises(StoreError, match=r"seq_05\.json row 2 and annotations/seq_05\.json row 3"):
        run_task(job, plan, task)
    assert list(job.folder.iterdir()) == []


def test_one_key_in_two_tasks_is_found_when_the_split_is_closed(
    toy_root: Path, toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = toy_job(toy_root, copy_store(toy_store, tmp_path / "store"))
    plan = make_plan(job)
    monkeypatch.setattr(write, "duplicate_keys", lambda columns: [("twice", sorted(columns)[:2])])
    with pytest.raises(StoreError, match="twice, in the shards toy-train-000000 and toy-train-000001"):
        finalise(plan, job)


def test_a_file_that_changes_under_the_plan_stops_the_task(raw: Path, tmp_path: Path) -> None:
    job = toy_job(raw, tmp_path / "store", task_samples=1000)
    plan = make_plan(job)
    change_person(raw, 5, 0, betas=[1.0] * 10)
    with pytest.raises(StoreError, match=r"seq_05\.json has changed"):
        run_task(job, plan, plan.tasks[0])
    assert list(job.folder.iterdir()) == []


def test_a_missing_body_model_stops_ingest(raw: Path, tmp_path: Path) -> None:
    job = replace(toy_job(raw, tmp_path / "store"), body_models=str(tmp_path / "nowhere"))
    with pytest.raises(MissingBodyModelError):
        make_plan(job)


def test_a_picture_that_cannot_be_read_is_no_reject(
    toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    job = toy_job(toy_root, tmp_path / "store")
    plan = make_plan(job)
    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(RawFileError, match="Input/output error"):
        run_task(job, plan, plan.tasks[0])
    assert list(job.folder.iterdir()) == []


def test_a_picture_of_another_size_is_refused(raw: Path, tmp_path: Path) -> None:
    Picture.new("RGB", (WIDTH * 2, HEIGHT * 2), (9, 9, 9)).save(raw / "images/seq_02/0001.jpg")
    ingest(toy_job(raw, tmp_path / "store"))
    assert rejects(tmp_path / "store")["image/image-size"] == 2


@pytest.mark.parametrize("step", range(0, 40, 3))
def test_a_full_disk_at_any_flush_leaves_whole_shards_and_rerun_completes(
    step: int, toy_root: Path, toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = toy_job(toy_root, tmp_path / "store")
    plan = make_plan(job)
    left = step

    def fill(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(staging, "flush", fill)
        with pytest.raises(StoreError, match="disk is full"):
            run_task(job, plan, plan.tasks[0])
    assert not any(path.name.startswith(".") for path in job.folder.iterdir())
    for path in job.folder.glob("*.json"):
        manifest = read_manifest(path)
        for suffix, entry in manifest.files.items():
            assert path.with_name(path.stem + suffix).stat().st_size == entry.size
    run_task(job, plan, plan.tasks[0])
    made = contents(tmp_path / "store")
    assert made == {name: data for name, data in contents(toy_store).items() if name in made}
    assert len(made) == 4 * plan.tasks[0].num_shards


def test_a_full_disk_while_samples_are_gathered(
    toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = toy_job(toy_root, tmp_path / "store")
    plan = make_plan(job)
    real_write = os.write

    def full(descriptor: int, data: Any) -> int:
        if os.lseek(descriptor, 0, os.SEEK_CUR) > 20_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_write(descriptor, builtins.bytes(data)[:3000])  # a write may also take only a part

    monkeypatch.setattr("harmonize.shards.spool.os.write", full)
    with pytest.raises(StoreError, match="disk is full"):
        run_task(job, plan, plan.tasks[0])
    assert list(job.folder.iterdir()) == []
