"""Figures: marks lie where the data are, the same data give the same bytes, and what is missing is said."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from atlas_world import fake_catalog
from PIL import Image as Picture

from catalogs.atlas.answers import MIN_BINS, Source, histogram, label_of, map_points
from catalogs.atlas.figures import PANELS, default_width_mm, every_figure, figure_of
from catalogs.atlas.panel_sphere import NUM_AZIMUTH, orientation_grids
from catalogs.atlas.style import COLOURS, MARKERS, Size, dataset_style, save, styled
from catalogs.cards import DATASETS
from harmonize.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("agora", "bedlam", "ubody")
NOTES = "CREATE TABLE IF NOT EXISTS notes (note VARCHAR, words VARCHAR[])"


@pytest.fixture(scope="module")
def world() -> Any:
    con = fake_catalog(40, NAMES)
    con.execute(NOTES)
    return con


@pytest.fixture(scope="module")
def source(world: Any) -> Source:
    return Source.of(world)


def draw(name: str, source: Source, path: Path, width_mm: float = 120) -> Path:
    with styled():
        return save(figure_of(name, source, Size(width_mm=width_mm, dpi=80)), path)


@pytest.mark.parametrize("name", [*PANELS, "camera", "label.origin", "pose.self_contact", "camera.vertical_fov_deg"])
def test_a_figure_has_the_width_that_was_asked_for(name: str, source: Source, tmp_path: Path) -> None:
    with Picture.open(draw(name, source, tmp_path / f"{name}.png")) as picture:
        assert picture.format == "PNG"
        assert picture.width == pytest.approx(120 / 25.4 * 80, abs=1)
        assert np.asarray(picture.convert("L")).min() < 60


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
@pytest.mark.parametrize("name", ["overview", "label.reprojection_px"])
def test_the_same_data_give_the_same_bytes(name: str, kind: str, source: Source, tmp_path: Path) -> None:
    one, other = (draw(name, source, tmp_path / f"{i}.{kind}").read_bytes() for i in range(2))
    assert one == other
    assert re.search(rb"20\d\d-\d\d-\d\d|CreationDate", one) is None


def test_text_of_vector_figures_is_text_of_a_readable_size(source: Source, tmp_path: Path) -> None:
    text = draw("overview", source, tmp_path / "f.svg", 178).read_text()
    for name in NAMES:
        assert re.search(rf"<text[^>]*>{name}</text>", text)
    sizes = [float(size) for size in re.findall(r"<text[^>]*font[^>]*?([\d.]+)px", text)]
    assert sizes
    assert min(sizes) >= 6


def test_every_dataset_has_a_look_of_its_own() -> None:
    looks = [dataset_style(name) for name in DATASETS]
    assert len(set(looks)) == len(DATASETS) <= len(COLOURS) * len(MARKERS)
    assert dataset_style("own_data") == dataset_style("own_data")


def one_attribute(family: str, columns: str, values: str) -> Source:
    con = duckdb.connect()
    con.execute(NOTES)
    con.execute(f"CREATE TABLE {family} AS SELECT * FROM (VALUES {values}) AS t (dataset, {columns})")
    con.execute(f"CREATE VIEW datasets AS SELECT DISTINCT dataset FROM {family}")
    return Source.of(con)


def test_bins_count_every_known_value_once() -> None:
    values = [("a", v) for v in (10, 20, 20, 30)] + [("b", v) for v in (40, 50)] + [("b", "NULL"), ("b", "'nan'")]
    listed = ", ".join(f"('{name}', {value}::FLOAT)" for name, value in values)
    found = histogram(one_attribute("camera", "vertical_fov_deg", listed), "camera", "vertical_fov_deg")
    assert {name: counts.sum() for name, counts in found.counts.items()} == {"a": 4, "b": 2}
    assert found.medians == {"a": 20, "b": 45}
    assert len(found.edges) == MIN_BINS + 1
    expected, _ = np.histogram([20, 20, 30], found.edges)
    np.testing.assert_array_equal(found.counts["a"][1:], expected[1:])
    np.testing.assert_allclose(found.shares("a").sum(), 1)
    np.testing.assert_allclose(found.shares_of_others("a"), found.shares("b"))
    assert found.label == "vertical fov [°]"
    assert not found.is_log


def test_values_over_decades_have_a_logarithmic_axis() -> None:
    listed = ", ".join(f"('a', {value}::FLOAT)" for value in np.geomspace(0.5, 500, 50))
    found = histogram(one_attribute("camera", "distance_m", listed), "camera", "distance_m")
    assert found.is_log
    ratios = found.edges[1:] / found.edges[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    assert found.counts["a"].max() <= 6


def test_small_counts_have_a_bin_each() -> None:
    source = one_attribute("visibility", "people_in_picture", "('a', 1), ('a', 1), ('a', 4)")
    found = histogram(source, "visibility", "people_in_picture")
    np.testing.assert_array_equal(found.counts["a"], [2, 0, 0, 1])


def test_cells_of_the_sphere_are_where_the_bodies_are_seen_from(tmp_path: Path) -> None:
    left_side = 4 * NUM_AZIMUTH + 18  # level, azimuth 90: the right half of the picture
    source = one_attribute("orientation", "cell", f"('a', {left_side}), ('a', {left_side}), ('a', NULL)")
    grid = orientation_grids(source)["a"]
    assert grid[18, 4] == grid.sum() == 2
    with Picture.open(draw("sphere", source, tmp_path / "s.png")) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)[: picture.height // 2]
    rows, columns = np.nonzero(np.ptp(pixels, axis=2) > 50)
    assert len(rows)
    assert columns.min() > 0.55 * pixels.shape[1]


def test_points_of_a_map_have_the_class_of_their_sample(world: Any) -> None:
    points = map_points(Source.of(world, ["ubody", "bedlam"]), "orientation", ("scene", "domain"))
    assert set(points.datasets) == {"ubody", "bedlam"}
    assert set(points.classes[points.datasets == "bedlam"]) <= {"synthetic", "unknown"}
    assert len(points.xy) == len(points.classes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("spere", "did you mean sphere"),
        ("camera.fov", r"camera.fov: expected a column, one of vertical_fov_deg"),
        ("nothing.at_all", "no panel or attribute family"),
    ],
)
def test_what_cannot_be_drawn_is_said(name: str, message: str, source: Source) -> None:
    with pytest.raises(UsageError, match=message):
        figure_of(name, source, Size(width_mm=80))


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("shape", "ehps describe STORE --attributes shape"),
        ("overview", "ehps describe STORE --backbone NAME"),
        ("skeleton_map", "ehps describe STORE --attributes maps"),
        ("sphere", "ehps describe STORE --attributes orientation"),
    ],
)
def test_missing_attributes_name_the_command_that_makes_them(name: str, fix: str) -> None:
    with pytest.raises(UsageError, match=fix):
        figure_of(name, one_attribute("camera", "distance_m", "('a', 1.5)"), Size(width_mm=80))


def test_an_unknown_dataset_is_said(world: Any) -> None:
    with pytest.raises(UsageError, match="agorra: expected one of agora, bedlam, ubody"):
        Source.of(world, ["agorra"])


def test_a_figure_appears_whole_or_not_at_all(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with styled():
        figure = figure_of("joints", source, Size(width_mm=80, dpi=50))
        with pytest.raises(UsageError, match="expected a name that ends with"):
            save(figure, tmp_path / "f.bmp")

        def fail(path: Path, **_: Any) -> None:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(figure, "savefig", fail)
        with pytest.raises(Exception, match="No space left"):
            save(figure, tmp_path / "f.png")
    assert list(tmp_path.iterdir()) == []


def test_names_of_figures_are_unique_and_have_a_width() -> None:
    names = every_figure()
    assert len(set(names)) == len(names) >= 15
    assert all(40 <= default_width_mm(name) <= 178 for name in names)


def test_units_are_said_once() -> None:
    assert label_of("distance_m", "m") == "distance [m]"
    assert label_of("betas_norm", "1") == "betas norm"


def test_figures_cost_nothing_until_drawn() -> None:
    code = "import sys, catalogs.atlas.figures\nprint('matplotlib' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "False"]
