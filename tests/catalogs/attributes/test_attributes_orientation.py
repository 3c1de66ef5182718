"""Orientation against geometry of its own: cameras set around a body, conventions broken on purpose, even spheres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from posed_rows import apart_deg, axis_angle, place_at, rows_of, seen_from, values_of
from scipy.spatial.transform import Rotation
from scipy.stats import chi2
from small_store import person, write_shard

from catalogs import store as catalog
from catalogs.attributes import engine, files
from catalogs.attributes.orientation import FAMILY, NUM_CELLS


def oriented(aa: np.ndarray, **values: Any) -> dict[str, np.ndarray]:
    aa = np.atleast_2d(aa)
    return values_of(FAMILY, rows_of(FAMILY, len(aa), body_global_orient_aa=aa, **values))


@pytest.mark.parametrize(
    ("place", "azimuth", "elevation"),
    [
        ((0, 0, 3), 0, 0),
        ((3, 0, 0), 90, 0),
        ((0, 0, -3), 180, 0),
        ((-3, 0, 0), -90, 0),
        ((0, 3, 3), 0, 45),
        ((0, -3, 3), 0, -45),
        ((2, 0, -2), 135, 0),
    ],
)
def test_a_camera_around_the_body_is_found(place: tuple[float, ...], azimuth: float, elevation: float) -> None:
    found = oriented(axis_angle(seen_from(np.array(place, float))))
    assert apart_deg(found["azimuth_deg"], azimuth).max() < 1e-3
    assert found["elevation_deg"] == pytest.approx(elevation, abs=1e-3)
    assert found["roll_deg"] == pytest.approx(0, abs=1e-3)


def test_axis_angle_of_an_upright_body_that_faces_the_camera() -> None:
    found = oriented(np.array([[np.pi, 0, 0], [-np.pi, 0, 0], [3 * np.pi, 0, 0]]))
    for name in ("azimuth_deg", "elevation_deg", "roll_deg"):
        assert np.abs(found[name]).max() < 1e-4


@given(st.floats(-179, 179), st.floats(-84, 84), st.floats(-179, 179))
@settings(max_examples=60, deadline=None)
def test_every_direction_and_roll_is_found(azimuth: float, elevation: float, roll: float) -> None:
    found = oriented(axis_angle(seen_from(place_at(azimuth, elevation), roll)))
    assert apart_deg(found["azimuth_deg"], azimuth).max() < 0.01
    assert found["elevation_deg"] == pytest.approx(elevation, abs=0.01)
    assert apart_deg(found["roll_deg"], roll).max() < 0.01


def test_head_that_tips_to_the_right_of_the_picture_has_positive_roll() -> None:
    for place in ((0, 0, 3), (1, 1, -3)):
        turn = seen_from(np.array(place, float), 30)
        assert (turn @ [0, 1, 0])[0] > 0
        assert oriented(axis_angle(turn))["roll_deg"] == pytest.approx(30, abs=1e-3)


@pytest.mark.parametrize("how", ["transposed", "negated", "mirrored", "degrees", "y up camera"])
def test_wrong_conventions_are_seen(how: str) -> None:
    """The checks above would notice: each mistake moves the directions of most bodies by far more than they allow."""
    places = [place_at(azimuth, elevation) for azimuth in range(-160, 161, 40) for elevation in (-50, -10, 20, 60)]
    turns = np.stack([seen_from(place, 15) for place in places])
    aa = axis_angle(turns)
    broken = {
        "transposed": axis_angle(turns.transpose(0, 2, 1)),
        "negated": -aa,
        "mirrored": aa * (1, -1, -1),
        "degrees": np.degrees(aa),
        "y up camera": axis_angle(np.diag([1.0, -1.0, -1.0]) @ turns),
    }[how]
    true, found = oriented(aa), oriented(broken)
    wrong = np.maximum.reduce(
        [
            apart_deg(true["azimuth_deg"], found["azimuth_deg"]),
            np.abs(true["elevation_deg"] - found["elevation_deg"]),
            np.nan_to_num(apart_deg(true["roll_deg"], found["roll_deg"])),
        ]
    )
    assert np.mean(wrong > 2) > 0.8


def test_straight_from_above_there_is_no_roll() -> None:
    found = oriented(axis_angle(np.stack([seen_from(place_at(0, elevation)) for elevation in (84, 86, 89, -86)])))
    assert np.isnan(found["roll_deg"]).tolist() == [False, True, True, True]
    assert found["elevation_deg"] == pytest.approx([84, 86, 89, -86], abs=1e-3)


def test_the_back_is_180_and_never_its_negative() -> None:
    nearly = [place_at(azimuth, 0) for azimuth in (180, -179.999999, -179.9999999, 179.9999999)]
    found = oriented(axis_angle(np.stack([seen_from(place) for place in nearly])))
    assert (np.abs(found["azimuth_deg"]) > 179.99).all()
    assert (found["azimuth_deg"] > -180).all()
    assert set(found["cell"] % 24) == {0}


def test_without_a_body_nothing_is_said() -> None:
    found = oriented(np.zeros((2, 3)), body_has_body=[True, False])
    for attribute in FAMILY.attributes:
        if not attribute.name.startswith("ray"):
            assert np.isnan(found[attribute.name]).tolist() == [False, True], attribute.name


# Cells


def test_views_spread_evenly_over_the_sphere_fill_the_cells_evenly() -> None:
    num = 40_000
    found = oriented(Rotation.random(num, random_state=3).as_rotvec())
    limits = chi2.ppf([1e-4, 1 - 1e-4], NUM_CELLS - 1)
    assert limits[0] < _chi_square(found["cell"]) < limits[1]
    assert limits[0] < _chi_square(found["cell"][: num // 4]) < limits[1]
    # Even in the angles is not even on the sphere: the poles are crowded.
    rng = np.random.default_rng(4)
    places = [place_at(azimuth, elevation) for azimuth, elevation in rng.uniform((-180, -90), (180, 90), (4000, 2))]
    assert _chi_square(oriented(axis_angle(np.stack([seen_from(one) for one in places])))["cell"]) > 3 * limits[1]


def _chi_square(cells: np.ndarray) -> float:
    counts = np.bincount(cells.astype(int), minlength=NUM_CELLS)
    assert len(counts) == NUM_CELLS
    expected = len(cells) / NUM_CELLS
    return float(((counts - expected) ** 2).sum() / expected)


def test_cells_and_angles_are_those_of_the_macros(tmp_path: Path) -> None:
    turns = Rotation.random(300, random_state=1).as_rotvec()
    write_shard(tmp_path, [person("pw3d", "train", i, global_orient_aa=turn) for i, turn in enumerate(turns)])
    engine.run(engine.plan(tmp_path, FAMILY).pending[0])
    table = files.read_attributes(files.folder_of(tmp_path / "pw3d" / "train", "orientation"), "pw3d-train-000000")
    with catalog.open(tmp_path) as con:
        bins = catalog.query(con, "SELECT elevation_bin * 24 + azimuth_bin, num_instances FROM orientation_histogram()")
        angles = catalog.query(
            con,
            "SELECT view_azimuth_deg(body_global_orient_aa), view_elevation_deg(body_global_orient_aa) "
            "FROM records ORDER BY key",
        )
    cells, counts = np.unique(table.column("cell").to_numpy(), return_counts=True)
    assert dict(bins.rows) == dict(zip(cells.tolist(), counts.tolist(), strict=True))
    found = np.stack([table.column(name).to_numpy() for name in ("azimuth_deg", "elevation_deg")], axis=1)
    assert np.abs(found - np.array(angles.rows)).max() < 1e-4


# The person's own ray


@given(st.floats(-150, 150), st.floats(-60, 60), st.floats(-30, 30), st.floats(-25, 25))
@settings(max_examples=40, deadline=None)
def test_the_ray_leads_back_to_the_camera(azimuth: float, elevation: float, pan: float, tilt: float) -> None:
    """The camera is turned away from a body that it looked at: the optical axis moves, the ray does not."""
    away = Rotation.from_euler("yx", [pan, tilt], degrees=True).as_matrix()
    body_in_camera = away @ [0.0, 0.0, 4.0]
    focal, centre = np.array([700.0, 650.0]), np.array([300.0, 200.0])
    middle = body_in_camera[:2] / body_in_camera[2] * focal + centre
    found = oriented(
        axis_angle(away @ seen_from(place_at(azimuth, elevation))),
        boxes_person_xywh_px=[*(middle - (20, 50)), 40, 100, 1],
        camera_focal_px=focal,
        camera_principal_point_px=centre,
    )
    assert apart_deg(found["ray_azimuth_deg"], azimuth).max() < 0.02
    assert found["ray_elevation_deg"] == pytest.approx(elevation, abs=0.02)


def test_without_box_or_camera_there_is_no_ray() -> None:
    boxes = [[10, 10, 20, 20, 1], [10, 10, 20, 20, 0], [10, 10, 20, 20, 1]]
    found = oriented(
        np.tile([np.pi, 0, 0], (3, 1)),
        boxes_person_xywh_px=boxes,
        camera_focal_px=[500, 500],
        camera_has_intrinsics=[True, True, False],
    )
    assert np.isnan(found["ray_azimuth_deg"]).tolist() == [False, True, True]
    assert np.isnan(found["ray_elevation_deg"]).tolist() == [False, True, True]
    assert not np.isnan(found["azimuth_deg"]).any()
