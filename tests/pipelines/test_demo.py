"""The demo: whole, and cut down to two datasets and a few steps for every day."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image
from processes import ehps, tree

from catalogs.selection import Selection
from pipelines import demo, demo_training, miniatures
from pipelines.miniatures import Miniature, write_miniature

LOOKS = (
    *("pictures/orientation.png", "pictures/pose.png", "mixture.json", "run/losses.png", "run/losses.csv"),
    *("atlas.html", "choosing.html", "proxies/runs.csv", "run/evaluation/summary.json", "adapted/after.parquet"),
)


def test_a_short_demo_makes_everything_it_names_and_keeps_it(
    miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("mscoco", "pw3d")
    monkeypatch.setattr(demo, "DATASETS", names)
    monkeypatch.setattr(demo_training, "STEPS", 12)
    monkeypatch.setattr(demo_training, "PROXY_DRAWS", 32)
    monkeypatch.setattr(demo, "RUNNER", "inline")
    for name in names:
        shutil.copytree(miniature(name)[0], tmp_path / "raw" / name)
    demo.demo(tmp_path, num_people=16, num_workers=2)
    said = capsys.readouterr().out
    assert [name for name in LOOKS if not (tmp_path / name).is_file()] == []
    for name in names:
        with Image.open(tmp_path / "pictures" / f"{name}.png") as picture:
            assert picture.size[1] > 480
    assert re.search(r"loss \d+\.\d+ -> \d", said)
    assert str(tmp_path / "run" / "losses.png") in said.split("Where to look")[1]
    assert {member.dataset for member in Selection.load(tmp_path / "mixture.json").members} == set(names)
    assert "2D error, px" in said
    assert list((tmp_path / "pictures" / "adapted").glob("*.png"))
    page = (tmp_path / "choosing.html").read_text(encoding="utf-8")
    assert all(name in page for name in names)

    before = {name: content for name, content in tree(tmp_path).items() if not name.startswith("pictures/")}
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.tar")}
    demo.demo(tmp_path, num_people=16, num_workers=2)
    after = {name: content for name, content in tree(tmp_path).items() if not name.startswith("pictures/")}
    assert after == before
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.tar")} == stamps


def test_a_half_written_miniature_is_not_taken_for_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def fake(root: Path, *, people: int) -> None:
        root.mkdir(parents=True)
        (root / "part").touch()
        calls.append(True)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(miniatures, "MINIATURES", {"toy": fake})
    item = Miniature(name="toy", root=tmp_path / "toy", num_people=3)
    with pytest.raises(KeyboardInterrupt):
        write_miniature(item, lambda _: None)
    assert not item.root.exists()
    write_miniature(item, lambda _: None)
    assert [path.name for path in tmp_path.rglob("*")] == ["toy", "part"]


@pytest.mark.slow
def test_the_whole_demo_takes_less_than_five_minutes(tmp_path: Path) -> None:
    start = time.monotonic()
    done = ehps("demo", "--out", tmp_path, timeout_s=400)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 300
    assert [name for name in LOOKS if not (tmp_path / name).is_file()] == []
    report = json.loads(ehps("verify", tmp_path / "store", "--json").stdout)
    assert (report["findings"], report["shards"] > 6) == ([], True)
