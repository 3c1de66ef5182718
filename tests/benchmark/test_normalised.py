"""NMVE and NMJE on a store whose people are known: what is found, missed and made up is planted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluating import labelled, meshes, save_parquet, stored, write_store

from benchmark.evaluation import in_source_picture
from benchmark.metrics.measured import regressed
from benchmark.metrics.parts import mesh_parts
from harmonize.bodies import BodyModels
from harmonize.errors import DataError, UsageError
from harmonize.record import Instance
from pipelines.commands.evaluate import evaluate

NUM_PICTURES = 6


@pytest.fixture(scope="module")
def models() -> BodyModels:
    return BodyModels.open("standin")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people in each picture, a metre apart."""
    people = [labelled("agora", "validation", number) for number in range(2 * NUM_PICTURES)]
    return write_store(tmp_path_factory.mktemp("crowd"), [placed(one, at) for at, one in enumerate(people)])


def placed(one: Instance, number: int) -> Instance:
    transl_m = np.array([1.0 if number % 2 else -1.0, 0, 4], np.float32)
    provenance = replace(one.provenance, sequence="", image_path=f"{number // 2}.png")
    return replace(one, body=replace(one.body, transl_m=transl_m), provenance=provenance)


def truth(store: Path, models: BodyModels) -> tuple[list[Instance], Any, Any]:
    """Instances, their meshes and their first 24 joints in the picture."""
    people = stored(store, [f"agora-validation-{number:05d}-0" for number in range(2 * NUM_PICTURES)])
    mesh = np.asarray(meshes(people, models), np.float64)
    joints = regressed(mesh_parts(models).regressor, mesh)[:, :24]
    return people, mesh, np.stack([in_source_picture(one, of) for one, of in zip(people, joints, strict=True)])


def save(folder: Path, pictures: Sequence[str], mesh: Any, joints_px: Any) -> tuple[Path, Path]:
    """The two files; found people are called f0, f1, ..."""
    keys = [f"f{number}" for number in range(len(pictures))]
    table = {"key": keys, "picture": list(pictures), "joints_px": [of.ravel().tolist() for of in joints_px]}
    pq.write_table(pa.table(table), folder / "found.parquet")
    return save_parquet(folder / "people.parquet", keys, vertices_m=mesh), folder / "found.parquet"


def run(store: Path, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    evaluate(store, files[0], benchmark=["agora"], detections=files[1], as_json=True, **options)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_perfect_model(crowd: Path, models: BodyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people, mesh, joints_px = truth(crowd, models)
    order = [11, 3, 5, 0, 1, 2, 4, 6, 7, 8, 9, 10]
    pictures = [people[at].provenance.image_path for at in order]
    found = run(crowd, save(tmp_path, pictures, mesh[order], joints_px[order]), capsys)
    assert (found["f1"], found["matched"], found["missed"], found["false_positives"]) == (1.0, 12, 0, 0)
    assert all(one["mean_mm"] == 0.0 for kind in found["figures"].values() for one in kind.values())


def test_missed_and_made_up_people_and_a_known_error(
    crowd: Path, models: BodyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people, mesh, joints_px = truth(crowd, models)
    kept = [at for at in range(12) if at != 7]
    pictures = [people[at].provenance.image_path for at in kept] + ["0.png"]
    large = 1.1 * mesh[kept]
    far = joints_px[:1] + 5000
    files = save(tmp_path, pictures, np.concatenate([large, mesh[:1]]), np.concatenate([joints_px[kept], far]))
    found = run(crowd, files, capsys, out=tmp_path / "out")
    assert (found["matched"], found["missed"], found["false_positives"]) == (11, 1, 1)
    assert found["f1"] == round(11 / 12, 2)
    parts = mesh_parts(models)
    joints = regressed(parts.regressor, mesh[kept])
    root = joints[:, [1, 2]].mean(1, keepdims=True)
    body = 100 * np.linalg.norm(joints[:, :22] - root, axis=2).mean()
    figures = found["figures"]["mpjpe"]
    assert figures["body"]["mean_mm"] == pytest.approx(body, abs=0.051)
    assert figures["normalised_body"]["mean_mm"] == pytest.approx(figures["body"]["mean_mm"] / found["f1"], abs=0.051)
    whole = sum(figures[part]["mean_mm"] for part in ("left_hand", "right_hand", "face")) / 3
    assert figures["full_body"]["mean_mm"] == pytest.approx(figures["body"]["mean_mm"] + whole, abs=0.11)
    assert figures["body"]["low_mm"] <= figures["body"]["mean_mm"] <= figures["body"]["high_mm"]
    assert found["figures"]["mve"]["normalised_full_body"]["low_mm"] > 0
    assert json.loads((tmp_path / "out" / "agora_people.json").read_bytes()) == found


def test_the_table_says_what_was_counted(
    crowd: Path, models: BodyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, mesh, joints_px = truth(crowd, models)
    files = save(tmp_path, ["1.png"], mesh[2:3], joints_px[2:3])
    evaluate(crowd, files[0], benchmark=["agora"], detections=files[1], bootstrap=0)
    shown = capsys.readouterr()
    assert "F1 0.15, precision 1.00, recall 0.08: 1 people matched, 11 missed, 0 false positives in 6" in shown.out
    assert "normalised_full_body" in shown.out
    assert "no number here is a result" in shown.err


def test_files_that_do_not_fit(
    crowd: Path, models: BodyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, mesh, joints_px = truth(crowd, models)
    good = save(tmp_path, ["0.png", "0.png"], mesh[:2], joints_px[:2])
    rows = pq.read_table(good[1]).to_pylist()

    def refused(message: str, *changed: dict[str, Any]) -> None:
        bad = tmp_path / "bad.parquet"
        pq.write_table(pa.Table.from_pylist(list(changed)), bad)
        with pytest.raises(DataError, match=message):
            evaluate(crowd, good[0], benchmark=["agora"], detections=bad)

    refused("only one of both for f1", rows[0])
    refused("found f0 again", rows[0], rows[0])
    refused("pictures of the evaluated split, found 9.png", rows[0], rows[1] | {"picture": "9.png"})
    refused("expected 48 finite numbers", rows[0], rows[1] | {"joints_px": [0.0] * 47})
    refused("expected 48 finite numbers", rows[0], rows[1] | {"joints_px": [float("nan")] * 48})
    refused("picture: expected text", rows[0], rows[1] | {"picture": None})
    with pytest.raises(UsageError, match="whole pictures are AGORA's"):
        evaluate(crowd, good[0], benchmark=["ehf"], detections=good[1])
    with pytest.raises(UsageError, match="--every is not for whole pictures"):
        evaluate(crowd, good[0], benchmark=["agora"], detections=good[1], every=2)
