"""Figures: real PNG files whose marks lie where the data are, drawn without a display."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from scipy.spatial.transform import Rotation
from small_store import FRONT_AA, person, write_shard

from catalogs.atlas.histograms import orientation_figure, pose_figure
from catalogs.store import open
from harmonize.errors import UsageError
from harmonize.record import Body

ROOT = Path(__file__).resolve().parents[2]


def store_of(folder: Path, yaws_deg: Sequence[float]) -> Path:
    """One dataset of people turned about their vertical axis."""
    turns = [Rotation.from_rotvec(FRONT_AA) * Rotation.from_rotvec([0, np.radians(yaw), 0]) for yaw in yaws_deg]
    write_shard(folder, [person("pw3d", "train", i, global_orient_aa=turn.as_rotvec()) for i, turn in enumerate(turns)])
    return folder


def png_size(path: Path) -> tuple[int, int]:
    with Picture.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size


def coloured_columns(path: Path) -> list[int]:
    """Columns of the panel (left of the colour bar) that hold a saturated colour."""
    with Picture.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    pixels = pixels[:, : int(pixels.shape[1] * 0.75)]
    return np.flatnonzero((np.ptp(pixels, axis=2) > 60).any(axis=0)).tolist()


def test_orientation_is_drawn_on_its_side_of_the_axis(tmp_path: Path) -> None:
    """A body turned to its left shows its right side, which is left of the middle of the axis."""
    places = []
    for yaw in (60, 0, -60):
        with open(store_of(tmp_path / str(yaw), [yaw] * 3)) as con:
            places.append(coloured_columns(orientation_figure(con, tmp_path / f"{yaw}.png")))
    assert all(places)
    assert max(places[0]) < min(places[1])
    assert max(places[1]) < min(places[2])


def test_figures_are_written_where_asked_and_hold_a_panel_for_each_dataset(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", [0, 10, 20])
    with open(store) as con:
        alone = png_size(orientation_figure(con, tmp_path / "new" / "one.png"))
        assert png_size(pose_figure(con, tmp_path / "pose.png")) > alone
    for dataset in ("agora", "bedlam"):
        write_shard(store, [person(dataset, "train", i) for i in range(2)])
    with open(store) as con:
        three = png_size(orientation_figure(con, tmp_path / "three.png"))
    assert (alone[0] * 2, alone[1] * 2) == three


def test_store_without_bodies_has_nothing_to_draw(tmp_path: Path) -> None:
    write_shard(tmp_path, [replace(person("pw3d", "train", 0), body=Body())])
    with open(tmp_path) as con:
        for draw in (orientation_figure, pose_figure):
            with pytest.raises(UsageError, match="no sample of the store has a body"):
                draw(con, tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_figures_cost_nothing_until_drawn() -> None:
    code = "import sys, catalogs.atlas.histograms\nprint('matplotlib' in sys.modules, 'catalogs.store' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "True"]
