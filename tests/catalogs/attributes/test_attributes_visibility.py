"""Visibility: joints at known pixels of known pictures, and people in the same picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_shard import SIZE_PX, at_pixel, joints2d, joints3d, record, values

from catalogs.attributes.visibility import FAMILY
from harmonize.annotation import Reject
from harmonize.geometry.boxes import iou
from harmonize.geometry.cameras import project
from harmonize.geometry.crops import to_crop
from harmonize.record import Instance, Provenance

WIDTH, HEIGHT = SIZE_PX
INSIDE = (100.0, 100.0)


def seen(store: Path, *people: Instance) -> list[dict[str, Any]]:
    return values(store, FAMILY, people)


def at_pixels(number: int, *pixels: tuple[float, float], **changes: Any) -> Instance:
    """Someone whose first joints are seen at these pixels; the others are not known."""
    return record(number, joints3d_cam_m=joints3d(*(at_pixel(*pixel) for pixel in pixels)), **changes)


def test_truncation_is_the_share_of_joints_beyond_each_border(tmp_path: Path) -> None:
    for_each = [(-2, 200), (WIDTH + 2, 200), (300, -2), (300, HEIGHT + 2)]
    people = [at_pixels(at, INSIDE, INSIDE, INSIDE, outside) for at, outside in enumerate(for_each)]
    just_inside = [(2, 200), (WIDTH - 2, 200), (300, 2), (300, HEIGHT - 2)]
    shown = seen(tmp_path, *people, at_pixels(9, *just_inside))
    assert [found["truncation"] for found in shown] == [0.25, 0.25, 0.25, 0.25, 0]


def test_truncation_counts_known_body_joints_alone_and_who_is_behind_the_camera(tmp_path: Path) -> None:
    joints = joints3d(*[at_pixel(*INSIDE)] * 22, at_pixel(-500, 0), at_pixel(-500, 0))
    joints[3] = (0, 0, -2, 1)
    joints[4] = (*at_pixel(-500, 0), 0)
    assert seen(tmp_path, record(1, joints3d_cam_m=joints))[0]["truncation"] == pytest.approx(1 / 21)


def test_the_source_picture_counts_and_not_the_crop_of_it(tmp_path: Path) -> None:
    # Inside the whole picture but outside the crop, and the other way round: where the crop's corner is taken for 0, 0.
    whole = at_pixels(1, (300, 250), (10, 10), (630, 470), (700, 250), (-20, 250))
    crop = replace(to_crop(whole, (200, 150, 200, 200)), key="d-train-00002-0")
    far = replace(to_crop(at_pixels(3, (WIDTH + 30, 250)), (440, 150, 200, 200)), key="d-train-00003-0")
    shown = seen(tmp_path, whole, crop, far)
    assert [found["truncation"] for found in shown] == [pytest.approx(0.4), pytest.approx(0.4), 1]


def test_the_lens_decides_what_is_in_the_picture(tmp_path: Path) -> None:
    barrel = np.zeros(12)
    barrel[0] = -0.3
    joints = joints3d(at_pixel(-30, 200), at_pixel(320, 200))
    camera = record(1).camera
    assert project(joints[:1, :3], camera.focal_px, camera.principal_point_px, barrel)[0, 0] > 10
    people = [record(at, joints3d_cam_m=joints, distortion=lens) for at, lens in enumerate((barrel, np.zeros(12)))]
    assert [found["truncation"] for found in seen(tmp_path, *people)] == [0, 0.5]


def test_a_lens_throws_nobody_back_into_the_picture(tmp_path: Path) -> None:
    barrel = np.zeros(12)
    barrel[0] = -0.3
    joints = joints3d((5.3, 0, 3.0), (0, 0, 3.0))
    camera = record(1).camera
    x = project(joints[:1, :3], camera.focal_px, camera.principal_point_px, barrel)[0, 0]
    assert 0 < x < WIDTH  # though it is 60 degrees off the axis
    assert seen(tmp_path, record(1, joints3d_cam_m=joints, distortion=barrel))[0]["truncation"] == 0.5


def test_without_a_body_projected_points_tell_and_annotated_ones_do_not(tmp_path: Path) -> None:
    points = joints2d({0: (-5, 100, 1), 1: (50, 100, 1), 30: (-5, 100, 1), 2: (900, 0, 0)})
    people = [
        record(at, joints3d_origin="none", joints3d_cam_m=joints3d(), joints2d_px=points, joints2d_origin=origin)
        for at, origin in enumerate(("projected", "annotated", "detected"))
    ]
    assert [found["truncation"] for found in seen(tmp_path, *people)] == [0.5, None, None]


def test_visible_points_are_counted_by_part_in_the_source_picture(tmp_path: Path) -> None:
    points = joints2d(
        {
            0: (300, 250, 1),
            1: (1, 1, 0.1),
            2: (-1, 250, 1),  # outside
            3: (300, 250, 0),  # not labelled
            25: (300, 250, 0.5),  # left index
            40: (310, 250, 0.5),  # right index
            41: (630, 470, 0.5),
            100: (300, 260, 1),  # face
        }
    )
    extra = np.zeros((64, 3))
    extra[:3] = (300, 250, 1), (WIDTH + 5, 250, 1), (5, 5, 1)
    names = ("left_hip_extra", "headtop", "pelvis_extra")
    whole = record(1, joints2d_px=points, extra2d_px=extra, extra_names=names)
    # In the crop's own pixels, (1, 1) is outside of the crop; the joint at -1 falls at -201.
    crop = replace(to_crop(whole, (200, 150, 200, 200)), key="d-train-00002-0")
    nothing = record(3, joints2d_px=joints2d({3: (300, 250, 0)}), joints2d_origin="none")
    *shown, empty = seen(tmp_path, whole, crop, nothing)
    for found in shown:
        assert {part: found[f"num_visible_{part}"] for part in ("body", "left_hand", "right_hand", "face")} == {
            "body": 4,
            "left_hand": 1,
            "right_hand": 2,
            "face": 1,
        }
    assert {empty[name] for name in empty if name.startswith("num_visible")} == {None}


def test_occlusion_is_told_where_hidden_points_have_a_place(tmp_path: Path) -> None:
    points = joints2d({1: (300, 250, 1), 2: (310, 250, 1), 3: (100, 100, 0), 4: (WIDTH + 5, 100, 0), 5: (0, 0, 0)})
    extra = np.zeros((64, 3))
    extra[:2] = (300, 250, 1), (WIDTH - 1, HEIGHT - 1, 0)
    said = {"joints2d_px": points, "extra2d_px": extra, "extra_names": ("headtop", "spine_extra")}
    whole = record(1, reader="muco_3dhp", **said)
    crop = replace(to_crop(whole, (200, 150, 200, 200)), key="d-train-00002-0")
    elsewhere = record(3, reader="mscoco", **said)
    shown = seen(tmp_path, whole, crop, elsewhere)
    assert [found["occlusion"] for found in shown] == [pytest.approx(0.4), pytest.approx(0.4), None]


def test_people_of_a_picture_are_counted_across_shards_with_those_refused(tmp_path: Path) -> None:
    picture = {"image_path": "a.jpg"}
    first = [record(1, **picture), record(2, image_path="b.jpg")]
    second = [record(3, **picture), record(4, image_path=""), record(5, image_path="")]
    refused = Reject(
        reason="empty-box", provenance=Provenance(dataset="d", split="train", person="9", image_path="a.jpg")
    )
    shown = values(tmp_path, FAMILY, first, second, rejects=[refused])
    assert [found["people_in_picture"] for found in shown] == [3, 1, 3, None, None]


def test_crowding_is_the_largest_overlap_with_somebody_else(tmp_path: Path) -> None:
    boxes = {1: (0, 0, 20, 10, 1), 2: (10, 0, 20, 10, 1), 3: (25, 0, 20, 10, 1), 4: (0, 0, 20, 10, 0)}
    people = [record(at, person_xywh_px=box, image_path="a.jpg") for at, box in boxes.items()]
    alone = record(5, person_xywh_px=boxes[1], image_path="b.jpg")
    shown = seen(tmp_path, *people, alone)
    third, seventh = pytest.approx(10 / 30), pytest.approx(5 / 35)
    assert [found["crowding_iou"] for found in shown] == [third, third, seventh, None, 0]


def test_boxes_overlap_in_the_source_picture_whatever_was_cut_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    people, places = [], []
    for number in range(60):
        x, y, width, height = rng.uniform(100, 300, 4)
        box = np.array([x, y, width, height, 1], np.float32)
        window = (int(x) // 8 * 8, int(y) // 8 * 8, 100, 100)
        people.append(to_crop(record(number, person_xywh_px=box, image_path=f"{number % 7}.jpg"), window))
        places.append((number % 7, box))
    shown = values(tmp_path, FAMILY, people[:25], people[25:])
    for number, (found, (picture, box)) in enumerate(zip(shown, places, strict=True)):
        others = [iou(box, other) for at, (where, other) in enumerate(places) if where == picture and at != number]
        assert found["people_in_picture"] == len(others) + 1
        assert found["crowding_iou"] == pytest.approx(max(others), abs=1e-5)


def test_nothing_is_said_of_a_picture_of_unknown_size(tmp_path: Path) -> None:
    [found] = seen(tmp_path, record(1, source_width_px=0, source_height_px=0))
    assert {value for name, value in found.items() if name.startswith(("num_visible", "trunc", "occl"))} == {None}
    assert found["people_in_picture"] == 1
