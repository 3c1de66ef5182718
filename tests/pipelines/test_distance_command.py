"""`ehps distance`: tables, files and pictures of a small store whose views of people are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_attributes import write_family
from small_store import person, write_shard

from catalogs.attributes import orientation
from harmonize.errors import UsageError
from pipelines.commands.distance import distance

SIZES = {("pw3d", "train"): 24, ("mscoco", "train"): 24, ("pw3d", "test"): 12, ("ehf", "test"): 3}


def angles(identity: Any) -> dict[str, Any]:
    """3DPW is seen from all around, its test split from in front and behind, MSCOCO from in front alone."""
    dataset = identity.column("dataset")[0].as_py()
    num = identity.num_rows
    azimuth = np.random.default_rng(num).uniform(-20, 20, num)
    if dataset == "pw3d":
        azimuth[num // 2 :] += 160
    elevation = np.random.default_rng(num + 1).uniform(-20, 20, num)
    columns = {
        "azimuth_deg": azimuth,
        "elevation_deg": elevation,
        "roll_deg": np.zeros(num),
        "cell": orientation.cells(azimuth, np.sin(np.radians(elevation))),
    }
    return {name: values.astype(np.float32) for name, values in columns.items()}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("seen")
    for (dataset, split), num in SIZES.items():
        write_shard(store, [person(dataset, split, number) for number in range(num)])
    write_family(store, "orientation", angles)
    return store


def answer(capsys: pytest.CaptureFixture[str], store: Path, **options: Any) -> dict[str, Any]:
    distance(store, as_json=True, **options)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_sources_against_benchmarks(seen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = answer(capsys, seen)["distances"]
    assert {cell["source"] for cell in cells} == {"pw3d/train", "mscoco/train"}
    assert {cell["target"] for cell in cells} == {"pw3d/test", "ehf/test"}
    found = {(cell["metric"], cell["source"], cell["target"]): cell for cell in cells}
    for metric in ("frechet", "sliced_wasserstein"):
        near, far = (found[metric, name, "pw3d/test"]["value"] for name in ("pw3d/train", "mscoco/train"))
        assert near < 0.6 * far
    assert 0 < found["jensen_shannon", "pw3d/train", "pw3d/test"]["value"] < 1
    assert found["coverage", "pw3d/train", "pw3d/test"]["value"] == 1
    assert found["coverage", "mscoco/train", "pw3d/test"]["value"] == pytest.approx(0.5, abs=0.1)
    assert found["coverage", "pw3d/train", "pw3d/test"]["is_in_domain"]
    assert found["coverage", "pw3d/train", "ehf/test"]["value"] is None
    assert "at least 6 instances" in found["coverage", "pw3d/train", "ehf/test"]["problem"]


def test_the_table_for_people(seen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    distance(seen, metric=["coverage"], to=["pw3d"])
    shown = capsys.readouterr()
    assert "orientation: coverage (share of the target's instances" in shown.out
    assert "1*" in shown.out
    assert shown.err == ""
    distance(seen, metric=["coverage"])
    assert "expected at least 6 instances on each side: fewer are there for 2 empty cells" in capsys.readouterr().err


def test_sources_against_sources_and_any_split(seen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = answer(capsys, seen, to=["source", "ehf/test"], metric=["sliced_wasserstein"])["distances"]
    assert len({cell["target"] for cell in cells}) == 3
    found = {(cell["source"], cell["target"]): cell["value"] for cell in cells}
    assert found["mscoco/train", "pw3d/train"] == found["pw3d/train", "mscoco/train"] > 0.1
    assert found["pw3d/train", "pw3d/train"] == pytest.approx(0, abs=1e-12)


def test_intervals_and_files(seen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"to": ["pw3d"], "metric": ["frechet", "coverage"]}
    distance(seen, bootstrap=30, csv=tmp_path / "d.csv", save=tmp_path / "s.npz", plot=tmp_path / "d.svg", **options)
    # Everyone is of one sequence here: there is nothing to draw from.
    assert "4 cells have no interval" in capsys.readouterr().err
    with (tmp_path / "d.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {row["low"] for row in rows} == {""}
    assert "pw3d/train" in (tmp_path / "d.svg").read_text()
    again = answer(capsys, tmp_path / "s.npz", **options)
    assert [cell["value"] for cell in again["distances"]] == [float(row["value"]) for row in rows]
    distance(tmp_path / "s.npz", bootstrap=30, **options)
    shown = capsys.readouterr()
    assert shown.out.count(" [") == 4
    assert "intervals are over instances" in shown.err
    moved = answer(capsys, seen, spaces_of=tmp_path / "s.npz", **options)
    assert moved["spaces"] == again["spaces"]


def test_what_no_source_covers_is_listed_and_shown(
    seen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.distance.MAX_TILES", 2)  # meshes take their time
    found = answer(capsys, seen, metric=["coverage"], uncovered=tmp_path / "none.png")
    assert found["uncovered"] == []
    assert not (tmp_path / "none.png").exists()
    store = tmp_path / "store"
    for name in (("mscoco", "train"), ("pw3d", "test")):
        write_shard(store, [person(*name, number) for number in range(SIZES[name])])
    write_family(store, "orientation", angles)
    sheet = tmp_path / "sheet.png"
    missing = answer(capsys, store, metric=["coverage"], uncovered=sheet)["uncovered"]
    behind = {f"pw3d-test-{number:05d}-0" for number in range(6, 12)}
    assert behind <= {one["key"] for one in missing}
    assert all(one["distance"] > one["radius"] for one in missing)
    with Image.open(sheet) as picture:
        assert picture.width > 240
        assert len(np.unique(np.asarray(picture))) > 50


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"metric": ["fid"]}, "no metric 'fid'; there are coverage"),
        ({"space": ["pose"]}, "--attributes pose_space"),
        ({"to": ["coco"]}, "--to: expected one of agora, "),
        ({"to": ["agora"]}, "whose split agora/validation has no samples here"),
        ({"bootstrap": -1}, "0 or more draws"),
        ({"save": Path("summaries.txt")}, "ends with .npz"),
        ({"spaces_of": Path("none.npz")}, "no such file"),
    ],
)
def test_what_cannot_be_done_is_refused(seen: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        distance(seen, **options)


def test_a_heat_map_of_nothing_is_refused(seen: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no cell has a value"):
        distance(seen, to=["ehf"], metric=["coverage"], plot=tmp_path / "d.png")


def test_pictures_need_a_store(seen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    distance(seen, metric=["coverage"], save=tmp_path / "s.npz")
    with pytest.raises(UsageError, match="--uncovered: expected a store"):
        distance(tmp_path / "s.npz", uncovered=tmp_path / "u.png")
    write_shard(tmp_path / "bare", [person("agora", "train", 1)])
    with pytest.raises(UsageError, match="ehps describe"):
        distance(tmp_path / "bare")
