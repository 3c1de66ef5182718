"""Camera: people at known places before known cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_shard import at_pixel, joints3d, record, values

from catalogs.attributes.camera import FAMILY
from harmonize.geometry.cameras import project
from harmonize.geometry.crops import to_crop
from harmonize.geometry.rotations import aa_to_rotmat, rotmat_to_aa

FLIP = np.diag([1.0, -1.0, -1.0])
"""World axes (y up, camera looks along -z) to camera axes (y down, looks along z)."""


def seen(store: Path, *people: Any) -> list[dict[str, Any]]:
    return values(store, FAMILY, people)


def before(camera_m: Any, pitch_deg: float, turn_deg: float, roll_deg: float = 0.0, lean_deg: float = 0.0) -> Any:
    """Someone upright (or leaning to their left) at the origin, before a camera at a place in the world.

    The camera looks along -z of the world, then is turned to its left, pitched upwards, and rolled anticlockwise.
    """
    turn, pitch, roll = (np.radians(angle) for angle in (turn_deg, pitch_deg, roll_deg))
    axes = [
        aa_to_rotmat(np.array(aa)) for aa in ((0, turn, 0), (pitch, 0, 0), (0, 0, roll), (0, 0, np.radians(lean_deg)))
    ]
    to_cam = FLIP @ (axes[0] @ axes[1] @ axes[2]).T
    pelvis = to_cam @ -np.asarray(camera_m, float)
    orient = rotmat_to_aa(to_cam @ axes[3])
    return record(0, global_orient_aa=orient, transl_m=pelvis, joints3d_cam_m=joints3d(pelvis))


@pytest.mark.parametrize(("height_m", "away_m", "expected"), [(3, 3, 45), (-1, np.sqrt(3), -30), (0, 4, 0)])
@pytest.mark.parametrize(("pitch_deg", "turn_deg", "roll_deg"), [(0, 0, 0), (-12, 8, 0), (10, -20, 40)])
def test_elevation_is_that_of_the_ray_wherever_the_camera_looks(
    height_m: float, away_m: float, expected: float, pitch_deg: float, turn_deg: float, roll_deg: float, tmp_path: Path
) -> None:
    [found] = seen(tmp_path, before([0, height_m, away_m], pitch_deg, turn_deg, roll_deg))
    assert found["elevation_deg"] == pytest.approx(expected, abs=1e-3)
    assert found["distance_m"] == pytest.approx(np.hypot(height_m, away_m), abs=1e-5)


@pytest.mark.parametrize("roll_deg", [0, 30, -75, 160])
def test_roll_of_the_camera_shows_in_the_middle_of_the_picture(roll_deg: float, tmp_path: Path) -> None:
    instance = before([0, 0, 4], 0, 0, roll_deg)
    square = replace(instance, camera=replace(instance.camera, focal_px=np.full(2, 500, np.float32)))
    [found] = seen(tmp_path, square)
    assert found["roll_deg"] == pytest.approx(roll_deg, abs=1e-3)


def test_who_leans_to_the_left_of_the_picture_has_a_negative_roll(tmp_path: Path) -> None:
    instance = before([0, 0, 4], 0, 0, lean_deg=20)
    square = replace(instance, camera=replace(instance.camera, focal_px=np.full(2, 500, np.float32)))
    [found] = seen(tmp_path, square)
    assert found["roll_deg"] == pytest.approx(-20, abs=1e-3)


def test_roll_is_the_direction_that_the_picture_shows(tmp_path: Path) -> None:
    instance = before([1.5, 1.8, 2.0], -10, 0, 10, 15)
    pelvis = instance.body.transl_m.astype(float)
    up = aa_to_rotmat(instance.body.global_orient_aa.astype(float))[:, 1]
    ends = project(np.stack([pelvis, pelvis + 1e-4 * up]), instance.camera.focal_px, instance.camera.principal_point_px)
    x, y = ends[1] - ends[0]
    [found] = seen(tmp_path, instance)
    assert found["roll_deg"] == pytest.approx(np.degrees(np.arctan2(x, -y)), abs=0.05)
    # Not the angle of the axis itself: neither the place in the picture nor the unequal focal lengths may be forgotten.
    assert abs(found["roll_deg"] - np.degrees(np.arctan2(up[0], -up[1]))) > 2


def test_a_camera_above_the_head_has_no_roll(tmp_path: Path) -> None:
    [found] = seen(tmp_path, before([0, 3, 0], -90, 0))
    assert found["elevation_deg"] == pytest.approx(90, abs=0.1)
    assert found["roll_deg"] is None


def test_field_of_view_is_that_of_the_source_picture(tmp_path: Path) -> None:
    whole = record(1, focal_px=(320, 240))
    crop = to_crop(record(2, focal_px=(320, 240)), (100, 40, 200, 300))
    centred = record(3, focal_px=(320, 240), principal_point_px=(320, 240))
    shown = seen(tmp_path, whole, crop, centred)
    assert shown[2]["horizontal_fov_deg"] == pytest.approx(90, abs=1e-4)
    assert shown[2]["vertical_fov_deg"] == pytest.approx(90, abs=1e-4)
    expected = np.degrees(np.arctan(200 / 240) + np.arctan(280 / 240))
    for found in shown[:2]:
        assert found["horizontal_fov_deg"] == pytest.approx(90, abs=1e-4)
        assert found["vertical_fov_deg"] == pytest.approx(expected, abs=1e-4)


def test_distance_is_to_the_pelvis_and_only_where_depth_is_metric(tmp_path: Path) -> None:
    joints = joints3d((3, 4, 12), (0, 0, 1))
    metric = record(1, joints3d_cam_m=joints)
    virtual = record(2, joints3d_cam_m=joints, is_transl_metric=False)
    measured = record(3, joints3d_cam_m=joints, is_transl_metric=False, joints3d_origin="measured", has_body=False)
    no_pelvis = record(4, joints3d_cam_m=joints * [[0], *[[1]] * 143])
    shown = seen(tmp_path, metric, virtual, measured, no_pelvis)
    assert [found["distance_m"] for found in shown] == [pytest.approx(13), None, pytest.approx(13), None]
    assert [found["depth_m"] for found in shown] == [pytest.approx(12), None, pytest.approx(12), None]
    assert [found["perspective_strength"] is None for found in shown] == [False, True, False, True]
    assert [found["elevation_deg"] is None for found in shown] == [False, False, True, True]


def test_perspective_is_the_ratio_of_depths_of_body_joints(tmp_path: Path) -> None:
    joints = joints3d((0, 0, 2), (0.1, 0, 2.5), (0, 0.3, 2.2))
    joints[30] = (0, 0, 9, 1)  # a finger
    joints[5] = (0, 0, 0.1, 0)  # not known
    behind = joints3d((0, 0, 2), (0, 0, -1))
    shown = seen(tmp_path, *(record(at, joints3d_cam_m=one) for at, one in enumerate((joints, behind, joints3d()))))
    assert [found["perspective_strength"] for found in shown] == [pytest.approx(0.25), None, None]


def test_sizes_are_those_of_the_person_box(tmp_path: Path) -> None:
    boxes = [(10, 20, 40, 90, 1), (10, 20, 40, 90, 0)]
    shown = seen(tmp_path, *(record(at, person_xywh_px=box) for at, box in enumerate(boxes)))
    assert [found["person_height_px"] for found in shown] == [90, None]
    assert [found["person_size_px"] for found in shown] == [60, None]


def test_nothing_is_said_without_camera_body_or_picture(tmp_path: Path) -> None:
    blind = record(1, has_intrinsics=False, joints3d_cam_m=joints3d(at_pixel(300, 200)))
    no_size = record(2, source_width_px=0, source_height_px=0)
    no_body = record(3, has_body=False)
    first, second, third = seen(tmp_path, blind, no_size, no_body)
    assert {first[name] for name in ("vertical_fov_deg", "horizontal_fov_deg", "roll_deg")} == {None}
    assert {second[name] for name in ("vertical_fov_deg", "horizontal_fov_deg")} == {None}
    assert (third["elevation_deg"], third["roll_deg"]) == (None, None)
