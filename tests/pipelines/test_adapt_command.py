"""`ehps adapt`: stores and other projects' files on the command line, what is written, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from adapting_worlds import only_whole_body, parts_of, some_people, trained, whole_body, write_coco
from evaluating import labelled, write_store
from PIL import Image
from processes import ehps

from benchmark.predictions import open_predictions
from harmonize.errors import DataError, RawFileError, UsageError
from harmonize.keypoints import convention
from harmonize.readers import openpose
from pipelines.adapting import AFTER, BEFORE, PEOPLE, SUMMARY, adapt_store, benchmark_keys, chosen_keys
from pipelines.commands.adapt import adapt
from pipelines.evaluate import evaluate_file
from train.building import load_networks

NUM = 7


@pytest.fixture(scope="module")
def run(standin: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("dual"), standin)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark's people with a detector's points, and two people of whom one has projected points."""
    people = [only_whole_body(labelled("ehf", "test", number, sequence=f"s{number}")) for number in range(NUM)]
    one, other = (labelled("agora", "validation", number) for number in range(2))
    projected = replace(other, keypoints=replace(other.keypoints, joints2d_origin="projected"))
    return write_store(tmp_path_factory.mktemp("store"), [*people, one, projected])


def rows(out: Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in pq.read_table(out / PEOPLE).to_pylist()}


def predicted(path: Path) -> dict[str, Any]:
    table = pq.read_table(path).to_pylist()
    return {row.pop("key"): np.concatenate([row[name] for name in sorted(row)]) for row in table}


def test_a_benchmark_is_adapted_and_measured_before_and_after(run: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--steps", 3, "--overlays", tmp_path / "pictures", "--num-overlays", 2, "--json")
    done = ehps("adapt", run, "--store", store, "--benchmark", "ehf", "-o", out, *options)
    assert done.returncode == 0, done.stderr
    assert "no number here is a result" in done.stderr
    said = json.loads(done.stdout)
    assert said == json.loads((out / SUMMARY).read_text())
    assert (said["num_people"], said["refused"], said["share_fell"]) == (NUM, {}, 1.0)
    table = rows(out)
    assert len(table) == NUM
    for row in table.values():
        assert row["loss_after"] < row["loss_before"]
        assert (row["steps"], row["problem"], row["has_intrinsics"]) == (3, "", True)
        assert 1 <= row["best_step"] <= 3
        assert row["movement_mm"] > 0
    for name in ("loss_before", "loss_after", "movement_mm", "error_px_before", "error_part_after"):
        assert said["figures"][name] == pytest.approx(np.mean([row[name] for row in table.values()]))
    for when, file in (("before", BEFORE), ("after", AFTER)):
        measured = evaluate_file(
            store, out / file, ["ehf"], every=None, num_draws=0, seed=0, device="cpu", body_models=None
        )["ehf"].summary
        primary_mm = measured.figure(measured.primary).mean_mm
        assert said["benchmark"][f"{when}_mm"] == pytest.approx(primary_mm, rel=1e-4)
    assert (said["benchmark"]["primary"], said["benchmark"]["num_instances"]) == ("pve_all", NUM)
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in pictures] == ["ehf-test-00000-0.png", "ehf-test-00001-0.png"]
    sheet = np.asarray(Image.open(pictures[0]).convert("RGB")).astype(int)
    third = sheet.shape[1] // 3
    panels = [sheet[40:430, at * third : (at + 1) * third] for at in range(3)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (np.abs(panels[first] - panels[second]).max(axis=2) > 20).mean() > 0.02


def test_a_result_does_not_depend_on_batch_size_or_order(run: Path, store: Path, tmp_path: Path) -> None:
    keys = benchmark_keys(store, "ehf")
    orders = {5: [keys[at] for at in (3, 6, 0, 5, 1, 4, 2)], 1: keys, 32: keys}
    found = {}
    for batch_size, order in orders.items():
        out = tmp_path / str(batch_size)
        (tmp_path / "keys.txt").write_text("\n".join(order) + "\n")
        adapt(run, out=out, store=store, keys=tmp_path / "keys.txt", batch_size=batch_size, steps=5, tolerance=0.04)
        assert list(rows(out)) == order
        assert open_predictions(out / AFTER).keys == tuple(order)
        found[batch_size] = (rows(out), predicted(out / AFTER))
    for batch_size in (1, 5):
        for key in keys:
            one, other = found[batch_size][0][key], found[32][0][key]
            assert (one["steps"], one["best_step"]) == (other["steps"], other["best_step"])
            assert one["loss_after"] == pytest.approx(other["loss_after"], rel=1e-4)
            assert one["movement_mm"] == pytest.approx(other["movement_mm"], rel=1e-2, abs=0.05)
            np.testing.assert_allclose(found[batch_size][1][key], found[32][1][key], rtol=2e-3, atol=2e-3)


def test_everybody_has_a_row_also_who_was_left_out(run: Path, store: Path, tmp_path: Path, capsys: Any) -> None:
    adapt(run, out=tmp_path / "out", store=store, split="agora/validation", steps=1)
    table = rows(tmp_path / "out")
    assert [(key, row["problem"]) for key, row in table.items()] == [
        ("agora-validation-00000-0", ""),
        ("agora-validation-00001-0", "projected-points"),
    ]
    assert table["agora-validation-00001-0"]["loss_before"] is None
    assert list(predicted(tmp_path / "out" / AFTER)) == ["agora-validation-00000-0"]
    said = capsys.readouterr().out
    assert "1 people: the inner loss fell for 100%" in said
    assert "left out: 1 projected-points (people.parquet)" in said
    adapt(run, out=tmp_path / "all", store=store, where="dataset = 'agora'", boxes="stored", steps=1)
    kept = rows(tmp_path / "all")["agora-validation-00001-0"]
    assert (kept["problem"], kept["movement_mm"], kept["error_px_before"]) == ("", 0.0, None)


def test_a_benchmark_with_people_left_out_is_not_measured(run: Path, store: Path, standin: Any, tmp_path: Path) -> None:
    networks = load_networks(run)
    with pytest.raises(DataError, match="agora: expected all of its samples, found 1 that were left out"):
        adapt_store(
            networks, store, benchmark_keys(store, "agora"), tmp_path / "out", models=standin, benchmark="agora"
        )


def test_a_coco_file_is_adapted_with_its_rejects(run: Path, tmp_path: Path) -> None:
    people = some_people(5)
    file = write_coco(tmp_path, people)
    document = json.loads(file.read_text())
    images, annotations = document["images"], document["annotations"]
    images += [{"id": 90, "file_name": "../people.json"}, {"id": 91, "file_name": "missing.jpg"}]
    points = parts_of(whole_body(people[0]))
    nothing = parts_of(np.zeros((133, 3)))
    annotations += [
        {"id": 200, "image_id": 90, **points},
        {"id": 201, "image_id": 91, **points},
        {"id": 202, "image_id": 0, **nothing},
        {"id": 203, "image_id": 0, **points, "keypoints": [1, 2, 3]},
        {"id": 204, "image_id": 0, **points, "keypoints": [float("nan"), 1, 1] * 17},
        {"id": 100, "image_id": 0, **points},
        {"id": 205, "image_id": 0, **parts_of(whole_body(people[1]))},
    ]
    file.write_text(json.dumps(document))
    out = tmp_path / "out"
    adapt(run, out=out, coco=file, pictures=tmp_path / "pictures", focal_px=300, steps=2, batch_size=3)
    table = pq.read_table(out / PEOPLE).to_pylist()
    refused = {(row["person"], row["problem"]) for row in table if row["problem"]}
    assert refused == {
        ("200", "no-picture"),
        ("201", "no-picture"),
        ("202", "few-points"),
        ("203", "malformed"),
        ("204", "malformed"),
        ("100", "twice"),
    }
    kept = [row["key"] for row in table if not row["problem"]]
    assert kept == ["0000-100", "0001-101", "0002-102", "0003-103", "0004-104", "0000-205"]
    assert list(predicted(out / AFTER)) == kept
    assert json.loads((out / SUMMARY).read_text())["refused"] == {
        "few-points": 1,
        "malformed": 2,
        "no-picture": 2,
        "twice": 1,
    }
    assert all(row["focal_px"] == 300 for row in table if not row["problem"])


def test_openpose_and_coco_say_the_same_of_the_same_points(run: Path, tmp_path: Path) -> None:
    people = some_people(2)
    file = write_coco(tmp_path, people)
    adapt(run, out=tmp_path / "coco", coco=file, pictures=tmp_path / "pictures", steps=2)
    row = {name: at for at, name in enumerate(convention("coco_wholebody_133").names)}
    (tmp_path / "points").mkdir()
    for number, one in enumerate(people):
        points = whole_body(one)
        found = np.array([points[row.get(name.removesuffix("_openpose"), 11)] for name in openpose.names()])
        starts = np.cumsum([0, *openpose.PARTS.values()])
        parts = zip(openpose.PARTS, starts, starts[1:], strict=False)
        person = {name: found[low:high].ravel().tolist() for name, low, high in parts}
        (tmp_path / "points" / f"{number:04d}_keypoints.json").write_text(json.dumps({"people": [person]}))
    adapt(run, out=tmp_path / "op", openpose=tmp_path / "points", pictures=tmp_path / "pictures", steps=2)
    one, other = predicted(tmp_path / "coco" / AFTER), predicted(tmp_path / "op" / AFTER)
    assert list(other) == ["0000-0", "0001-0"]
    for first, second in zip(one.values(), other.values(), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)


def test_what_cannot_be_asked_is_refused(run: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    for options, says in (
        ({}, "expected one of --store, --coco, --openpose, found none"),
        ({"store": store, "coco": out}, "found --store, --coco"),
        ({"store": store, "pictures": out}, "--pictures is not for --store"),
        ({"coco": out, "split": "a/b", "pictures": out}, "--split is not for --coco"),
        ({"openpose": out}, "--openpose needs the pictures"),
        ({"store": store, "benchmark": "ehf", "where": "true"}, "--benchmark has its own samples"),
        ({"store": store, "split": "ehf/test", "where": "true"}, "expected one of --split, --keys and --where"),
        ({"store": store, "split": "ehf"}, "expected DATASET/SPLIT"),
        ({"store": store, "split": "ehf/train"}, "no sample fulfils"),
        ({"store": store, "keys": out}, "expected a text file with a key a line"),
        ({"store": store, "benchmark": "nothing"}, "nothing"),
        ({"store": store, "batch_size": 0}, "--batch-size of at least 1"),
        ({"store": store, "steps": 0}, "steps is at least 1"),
        ({"store": store, "rate": -1.0}, "rate is a positive number"),
        ({"openpose": empty, "pictures": empty}, "NAME_keypoints.json"),
        ({"openpose": empty, "pictures": out}, "expected a folder of pictures"),
        ({"openpose": empty, "pictures": empty, "focal_px": 0.0}, "expected a positive length"),
    ):
        with pytest.raises(UsageError) as error:
            adapt(run, out=out, **options)  # type: ignore[arg-type]
        assert says in str(error.value)
    with pytest.raises(RawFileError, match="cannot be opened"):
        adapt(run, out=out, coco=empty / "x.json", pictures=empty)
    with pytest.raises(UsageError, match="expected a checkpoint or the folder of a run"):
        adapt(empty, out=out, store=store)
    assert not out.exists()


def test_keys_are_those_asked_for(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text("b\n\n  a \n")
    assert chosen_keys(store, split=None, keys=file, where=None) == ["b", "a"]
    assert len(chosen_keys(store, split=None, keys=None, where=None)) == NUM + 2
    assert len(chosen_keys(store, split="ehf/test", keys=None, where=None)) == NUM
    assert chosen_keys(store, split=None, keys=None, where="key LIKE '%00001-0' AND dataset = 'ehf'") == [
        "ehf-test-00001-0"
    ]
