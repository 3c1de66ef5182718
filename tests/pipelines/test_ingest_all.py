"""Many datasets from one file, trials of a few people, and what is told before anything is done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalogs import store as catalog
from harmonize.errors import UsageError
from harmonize.shards.verify import verify
from pipelines.commands.ingest import ingest
from pipelines.work import TasksFailedError


def write_config(folder: Path, datasets: dict[str, Any], **more: Any) -> Path:
    path = folder / "ingest.yaml"
    given = {"store": "store", "body_models": "standin", "datasets": datasets, **more}
    path.write_text(yaml.safe_dump(given))
    return path


def test_one_failing_dataset_does_not_stop_the_others(miniature: Any, tmp_path: Path, capsys: Any) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(miniature("pw3d")[0], broken)
    victim = min((broken / "sequenceFiles" / "train").glob("*.pkl"))
    victim.write_bytes(victim.read_bytes()[:-100])
    config = write_config(
        tmp_path,
        {
            "pw3d": {"raw": "broken"},
            "agora": {"raw": str(tmp_path / "nowhere")},
            "mscoco": {"raw": str(miniature("mscoco")[0]), "images": "none"},
        },
    )
    with pytest.raises(TasksFailedError) as caught:
        ingest("all", config=config, runner="inline", workers=1, as_json=True)
    message = str(caught.value)
    assert victim.name in message
    assert "agora/train" in message
    assert str(tmp_path / "nowhere") in message
    rows = {(row["dataset"], row["split"]): row for row in json.loads(capsys.readouterr().out)}
    assert {("mscoco", "train"), ("mscoco", "val"), ("pw3d", "validation"), ("pw3d", "test")} == set(rows)
    assert rows["mscoco", "train"]["samples"] > 0
    assert "crowd" in rows["mscoco", "train"]["rejects"]
    assert rows["mscoco", "train"]["people/s a worker"] > 0
    assert rows["pw3d", "test"]["fit mm"] > 0
    with catalog.open(tmp_path / "store") as con:
        table = catalog.query(con, "SELECT DISTINCT dataset, image_has_pixels FROM instances ORDER BY ALL")
    assert table.rows == (("mscoco", False), ("pw3d", True))


def test_defaults_hold_where_a_dataset_says_nothing_itself(miniature: Any, tmp_path: Path, capsys: Any) -> None:
    raw = str(miniature("mscoco")[0])
    config = write_config(tmp_path, {"mscoco": {"raw": raw, "split": "val"}}, defaults={"images": "none", "limit": 2})
    ingest("all", config=config, runner="inline", as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["split"], 0 < row["samples"] <= 2) == ("val", True)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"datasets": {"pw3d": {"raw": "x", "evry": 2}}}, "evry: Extra inputs"),
        ({"datasets": {"pw3d": {}}}, "raw: Field required"),
        ({"stores": "x"}, "stores: Extra inputs"),
        ({"defaults": {"images": "some"}, "datasets": {"pw3d": {"raw": "x"}}}, "images"),
    ],
)
def test_a_config_with_a_mistake_names_it(change: dict[str, Any], found: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, **{"datasets": {}, **change})
    with pytest.raises(UsageError, match=found):
        ingest("all", config=config)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belong together"):
        ingest("all")
    with pytest.raises(UsageError, match="belong together"):
        ingest("pw3d", config=tmp_path / "x.yaml")
    with pytest.raises(UsageError, match="--raw is missing"):
        ingest("pw3d", store=tmp_path)
    with pytest.raises(UsageError, match="--store is missing"):
        ingest("pw3d", raw=tmp_path)


def test_a_trial_takes_that_many_people_and_is_sound(miniature: Any, tmp_path: Path, capsys: Any) -> None:
    arguments: dict[str, Any] = {"raw": miniature("pw3d")[0], "split": "train", "body_models": "standin"}
    ingest("pw3d", store=tmp_path, limit=3, runner="inline", as_json=True, max_rejects=1.0, **arguments)
    capsys.readouterr()
    with catalog.open(tmp_path) as con:
        (counts,) = catalog.query(con, "SELECT num_samples + num_rejects FROM datasets").rows
    assert counts == (3,)
    assert verify(tmp_path).is_sound


def test_a_plan_says_what_would_be_done_and_does_nothing(miniature: Any, tmp_path: Path, capsys: Any) -> None:
    raw = miniature("pw3d")[0]
    ingest("pw3d", raw=raw, store=tmp_path / "store", body_models="standin", plan=True, as_json=True)
    rows = {row["split"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {"train", "validation", "test"}
    train = rows["train"]
    pickles = list((raw / "sequenceFiles" / "train").glob("*.pkl"))
    assert train["units"] == len(pickles)
    assert train["annotations"] == sum(path.stat().st_size for path in pickles)
    assert train["people"] > 0
    assert train["time"] > 0
    assert train["store"] > 1000 * train["people"]
    assert not (tmp_path / "store").exists()
    ingest("pw3d", raw=raw, store=tmp_path / "store", body_models="standin", plan=True)
    assert "KB" in capsys.readouterr().out
