"""Describing a store: what is missing is made, what is there is kept, and what fails stops nothing else."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import environment
from small_store import person, write_shard

import catalogs
from catalogs.attributes import FAMILIES, engine, files
from catalogs.attributes.family import Attribute, Columns, Family, Rows
from catalogs.store import query
from harmonize.errors import UsageError
from harmonize.shards.names import INDEX
from pipelines.commands.describe import describe
from pipelines.describe import Request, chosen, describe_store
from pipelines.describe_work import Outcome, batches_of, describe_families, waves

NUM_SHARDS, NUM_SAMPLES = 3, 4


def small_store(folder: Path, num_shards: int = NUM_SHARDS, num_samples: int = NUM_SAMPLES) -> Path:
    for number in range(num_shards):
        people = [person("pw3d", "train", number * num_samples + i) for i in range(num_samples)]
        write_shard(folder, people, number=number)
    return folder


def ask(store: Path, *names: str, workers: int = 1, **more: Any) -> Outcome:
    return describe_store(Request(store=store, names=names, num_workers=workers, **more))


def made(outcome: Outcome) -> dict[str, tuple[int, int, int]]:
    return {one.name: (one.num_made, one.num_current, one.num_failed) for one in outcome.summaries}


def test_what_is_missing_is_made_once_and_the_catalog_knows_it(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    assert made(ask(store, "orientation", "label")) == {"orientation": (3, 0, 0), "label": (3, 0, 0)}
    with catalogs.open(store) as con:
        rows = query(con, "SELECT count(orientation_azimuth_deg), count(label_origin) FROM samples").rows
    assert rows[0][0] == NUM_SHARDS * NUM_SAMPLES
    again = ask(store, "orientation", "label")
    assert made(again) == {"orientation": (0, 3, 0), "label": (0, 3, 0)}
    assert [one.num_rows for one in again.summaries] == [0, 0]


def test_only_a_shard_that_changed_is_described_again(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    ask(store, "orientation")
    write_shard(store, [person("pw3d", "train", 100 + i) for i in range(5)], number=1)
    outcome = ask(store, "orientation")
    assert made(outcome) == {"orientation": (1, 2, 0)}
    assert outcome.summaries[0].num_rows == 5


def test_families_that_others_follow_are_computed_before_them(tmp_path: Path) -> None:
    outcome = ask(small_store(tmp_path, num_samples=8), "pose_space")
    assert list(made(outcome)) == ["skeleton", "pose_space"]
    assert outcome.failures == ()


def test_poses_are_fitted_anew_when_asked_for(tmp_path: Path) -> None:
    store = small_store(tmp_path, num_samples=8)
    ask(store, "pose_space")
    write_shard(store, [person("pw3d", "train", 200 + i) for i in range(9)], number=3)
    assert made(ask(store, "pose_space"))["pose_space"] == (1, 3, 0)
    assert made(ask(store, "pose_space", is_refit=True))["pose_space"] == (4, 0, 0)


def test_a_damaged_shard_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = small_store(tmp_path)
    index = store / "pw3d" / "train" / f"pw3d-train-000001{INDEX}"
    index.write_bytes(index.read_bytes()[:-200])
    with pytest.raises(Exception, match=r"orientation of pw3d-train-000001: .*pw3d-train-000001\.parquet") as failed:
        describe(store, attributes=["orientation"], workers=1)
    assert failed.value.exit_code == 2  # type: ignore[attr-defined]
    assert re.search(r"orientation\s+2\s+0\s+1\s+8", capsys.readouterr().out)


def test_a_bug_of_a_family_is_raised_after_its_other_shards(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    with pytest.raises(ZeroDivisionError) as failed:
        describe_families(store, [BUGGY], None, 1)
    assert failed.value.__notes__ == ["in buggy of pw3d-train-000001"]
    done = files.folder_of(store / "pw3d" / "train", "buggy").glob(f"*{files.MANIFEST}")
    assert sorted(path.stem for path in done) == ["pw3d-train-000000", "pw3d-train-000002"]


def _divide(rows: Rows, value: Any) -> Columns:
    return {"x": np.full(len(rows), 1 / (0 if rows.shard.endswith("1") else 1))}


BUGGY = Family(name="buggy", doc="", attributes=(Attribute(name="x", unit="", doc=""),), reads=(), compute=_divide)


def test_several_processes_make_what_one_makes(tmp_path: Path) -> None:
    one, many = small_store(tmp_path / "one"), small_store(tmp_path / "many")
    ask(one, "image_statistics")
    assert made(ask(many, "image_statistics", workers=2)) == {"image_statistics": (3, 0, 0)}
    folder = Path("pw3d/train/attributes/image_statistics")
    for number in range(NUM_SHARDS):
        name = folder / f"pw3d-train-{number:06d}.parquet"
        assert (one / name).read_bytes() == (many / name).read_bytes()


def test_small_shards_are_put_together_and_large_ones_are_not() -> None:
    job = engine.ShardJob(
        folder=Path(),
        shard="s",
        num_rows=1,
        family=BUGGY,
        prepared=None,
        inputs={},
        code_sha256="",  # type: ignore[arg-type]
    )
    small = [dataclasses.replace(job, shard=str(i)) for i in range(1000)]
    batches = batches_of(small, 2)
    assert [one for batch in batches for one in batch] == small
    assert len(batches) == -(-1000 // 64)
    large = [dataclasses.replace(job, num_rows=10_000) for _ in range(8)]
    assert [len(batch) for batch in batches_of(large, 2)] == [1] * 8
    assert batches_of([], 2) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["orientatoin"], "'orientatoin'; did you mean orientation"),
        (["duplicate"], "did you mean duplicates"),
        (["zzz"], "called 'zzz'\n  fix: choose among camera"),
    ],
)
def test_an_unknown_family_is_said(names: Sequence[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        describe(tmp_path, attributes=list(names))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "--workers: expected at least 1, found 0"),
        ({"weights": Path("w.pth")}, "--weights and --backbone belong together"),
    ],
)
def test_options_that_make_no_sense_are_said(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        describe(tmp_path, **options)


def test_a_folder_without_shards_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no finished shard"):
        ask(tmp_path, "orientation")


def test_a_request_means_all_families_unless_it_names_some(tmp_path: Path) -> None:
    families, tables = chosen(Request(store=tmp_path, backbone="random:resnet10t"))
    assert {family.name for family in families} >= set(FAMILIES)
    looks = [family for family in families if family.name.startswith("scene_")]
    assert len(looks) == 1
    assert looks[0].follows[0] in {family.name for family in families}
    assert tables == ["overlaps", "duplicates", "maps"]
    assert chosen(Request(store=tmp_path, names=("maps",)))[1] == ["maps"]
    assert chosen(Request(store=tmp_path, names=("shape",), with_tables=True))[1] == []


def test_tables_are_made_once(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    ask(store, "skeleton")
    assert made(ask(store, "duplicates", "overlaps")) == {"overlaps": (1, 0, 0), "duplicates": (1, 0, 0)}
    assert made(ask(store, "duplicates", "overlaps")) == {"overlaps": (0, 1, 0), "duplicates": (0, 1, 0)}


def test_a_table_that_lacks_its_family_names_the_command(tmp_path: Path) -> None:
    outcome = ask(small_store(tmp_path), "duplicates")
    assert [name for name, _ in outcome.failures] == ["duplicates"]
    assert "--attributes skeleton" in str(outcome.failures[0][1])


def test_the_list_defines_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    describe(listed=True, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {(row["family"], row["column"]) for row in rows} == {
        (family.name, one.name) for family in FAMILIES.values() for one in family.attributes
    }
    assert all(row["definition"] for row in rows)


RUN = """
import signal
from pipelines import cli
from pipelines.commands.describe import describe
if __name__ == "__main__":
    # A shell ignores Ctrl-C for what it starts in the background, and its children would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "describe" not in cli.app:
        cli.app.command(describe)
    cli.main()
"""


def test_ctrl_c_ends_with_code_3_and_the_next_run_goes_on(tmp_path: Path) -> None:
    num_shards = 60  # some seconds of work, so that the signal comes before the end
    store = small_store(tmp_path / "store", num_shards=num_shards, num_samples=30)
    script = tmp_path / "run.py"
    script.write_text(RUN)
    arguments = [sys.executable, str(script), "describe", str(store), "--attributes", "image_statistics"]
    process = subprocess.Popen(
        [*arguments, "--workers", "2"], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    folder = files.folder_of(store / "pw3d" / "train", "image_statistics")
    deadline = time.monotonic() + 60
    while not list(folder.glob(f"*{files.MANIFEST}")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "Traceback" not in errors
    assert list(store.rglob(".tmp-*")) == []
    num_done = len(list(folder.glob(f"*{files.MANIFEST}")))
    assert 0 < num_done < num_shards
    assert made(ask(store, "image_statistics")) == {"image_statistics": (num_shards - num_done, num_done, 0)}


def test_families_go_together_where_nothing_they_follow_is_missing() -> None:
    families = engine.in_order(list(FAMILIES.values()))
    found = [[family.name for family in wave] for wave in waves(families)]
    assert sorted(name for wave in found for name in wave) == sorted(FAMILIES)
    assert {"orientation", "pose", "skeleton", "visibility"} <= set(found[0])
    place = {name: number for number, wave in enumerate(found) for name in wave}
    assert all(place[name] < place[family.name] for family in families for name in family.follows)
    assert all(len(wave) == 1 for wave in found if any(FAMILIES[name].reads_pictures for name in wave))
