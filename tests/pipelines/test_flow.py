"""The Prefect flow and the plain functions under it give the same store, whatever the number of workers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from processes import tree

from harmonize.errors import EhpsError
from harmonize.shards.plan import IngestJob, IngestOptions
from pipelines.ingest import ingest
from pipelines.work import TasksFailedError


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect server with a database of its own for all flow tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        from pipelines.flows import quiet_prefect

        quiet_prefect()
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=120):
            yield


def job(raw: Path, store: Path) -> IngestJob:
    """The training sequences of 3DPW, one task each."""
    options = IngestOptions(task_samples=1, shard_samples=4)
    return IngestJob(reader="pw3d", root=raw, split="train", store=store, body_models="standin", options=options)


def test_one_and_two_workers_and_none_give_the_same_bytes(prefect: None, miniature, tmp_path: Path) -> None:
    raw = miniature("pw3d")[0]
    stores = {name: tmp_path / name for name in ("inline", "one", "two")}
    made = {
        "inline": ingest([job(raw, stores["inline"])], runner="inline", num_workers=1),
        "one": ingest([job(raw, stores["one"])], runner="local", num_workers=1),
        "two": ingest([job(raw, stores["two"])], runner="local", num_workers=2),
    }
    assert made["inline"] == made["one"] == made["two"]
    (summary,) = made["two"]
    assert summary.num_shards == summary.num_shards_made > 1
    assert summary.num_samples_made > 0
    trees = [tree(store) for store in stores.values()]
    assert len(trees[0]) == 4 * summary.num_shards
    assert trees[0] == trees[1] == trees[2]

    (again,) = ingest([job(raw, stores["two"])], runner="local", num_workers=2)
    assert (again.num_shards, again.num_shards_made) == (summary.num_shards, 0)
    assert tree(stores["two"]) == trees[2]


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_a_failing_task_leaves_the_others_shards(prefect: None, runner, miniature, tmp_path: Path) -> None:
    raw, store = tmp_path / "raw", tmp_path / "store"
    shutil.copytree(miniature("pw3d")[0], raw)
    whole = job(raw, store)
    pickles = sorted((raw / "sequenceFiles" / "train").glob("*.pkl"))
    assert len(pickles) > 1
    pickles[0].write_bytes(pickles[0].read_bytes()[:-100])
    with pytest.raises(TasksFailedError) as caught:
        ingest([whole], runner=runner, num_workers=2)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert f"1 of {len(pickles)} tasks failed; the shards of the others are complete" in message
    assert "pw3d/train task" in message
    assert pickles[0].name in message
    assert len({path.stem for path in store.rglob("*.tar")}) >= len(pickles) - 1
    assert list(store.rglob(".tmp-*")) == []


def test_a_bug_is_not_dressed_up_as_bad_data(miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("pipelines.work.run_task", broken)
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        ingest([job(miniature("pw3d")[0], tmp_path)], runner="inline", num_workers=1)
    assert caught.value.__notes__ == ["in pw3d/train task 0"]


def test_what_cannot_work_is_refused_before_anything_starts(miniature, tmp_path: Path) -> None:
    wrong = replace(job(miniature("pw3d")[0], tmp_path), body_models=str(tmp_path / "nowhere"))
    with pytest.raises(EhpsError, match="nowhere"):
        ingest([wrong], runner="local", num_workers=1)
