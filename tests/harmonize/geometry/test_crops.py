"""Crop windows, and annotations moved into them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonize.errors import RecordError
from harmonize.geometry import crop_window, project, to_crop
from harmonize.record import Body, Boxes, Camera, Image, Instance, Keypoints, Provenance

SIZE = (640, 427)


@given(
    x=st.floats(-200, 639),
    y=st.floats(-200, 426),
    width=st.floats(1, 900),
    height=st.floats(1, 900),
    context=st.floats(1, 3),
    block=st.sampled_from([(1, 1), (8, 8), (16, 8), (16, 16)]),
)
def test_window(x: float, y: float, width: float, height: float, context: float, block: tuple[int, int]) -> None:
    if x + width <= 0 or y + height <= 0:
        with pytest.raises(RecordError, match="overlaps"):
            crop_window((x, y, width, height), SIZE, context, block)
        return
    window = crop_window((x, y, width, height, 1.0), SIZE, context, block)
    side = context * max(width, height)
    for axis, (low, length) in enumerate([(x, width), (y, height)]):
        start, end = window[axis], window[axis] + window[axis + 2]
        assert start % block[axis] == 0
        assert 0 <= start <= max(low, 0)
        assert min(low + length, SIZE[axis]) <= end <= SIZE[axis]
        # Square around the centre, but for whole pixels, blocks and the picture's borders.
        assert start <= max(low + length / 2 - side / 2, 0) < start + block[axis] + 1
        assert min(low + length / 2 + side / 2, SIZE[axis]) <= end + 1e-9
        assert end < max(low + length / 2 + side / 2, 0) + 1 + 1e-9


@pytest.mark.parametrize(
    "box",
    [(5, 5, 0, 9), (5, 5, 9, -1), (np.nan, 5, 9, 9), (5, 5, np.inf, 9), (640, 5, 9, 9), (5, -9, 9, 9), (0, 0, 0, 0)],
)
def test_box_without_pixels_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(RecordError, match=r"overlaps the \(640, 427\) px picture"):
        crop_window(box, SIZE, 1.2)


def test_rounding_of_the_centre_does_not_cut_the_box() -> None:
    low, length = 156.99999999999997, 67.53032427334497
    assert (low + (low + length)) / 2 - length / 2 == 157.0
    assert crop_window((low, 10, length, 5), SIZE, 1.0)[0] == 156


@pytest.mark.parametrize("context", [0.9, 0.0, -1.0, float("nan")])
def test_context_below_one_would_cut_the_box(context: float) -> None:
    with pytest.raises(RecordError, match="context"):
        crop_window((5, 5, 9, 9), SIZE, context)


def an_instance() -> Instance:
    chance = np.random.default_rng(3)
    joints3d = np.ones((144, 4), np.float32)
    joints3d[:, :3] = chance.normal(size=(144, 3)) * 0.4 + [0, 0, 4]
    camera = Camera(
        focal_px=np.array([700, 710], np.float32),
        principal_point_px=np.array([322, 211], np.float32),
        distortion=np.full(12, 0.01, np.float32),
        has_intrinsics=True,
    )
    joints2d = np.ones((144, 3), np.float32)
    joints2d[:, :2] = project(joints3d[:, :3], camera.focal_px, camera.principal_point_px, camera.distortion)
    joints2d[20:30] = 0
    extra = np.zeros((64, 3), np.float32)
    extra[0] = (50, 60, 0.5)
    return Instance(
        key="a-b",
        image=Image(width_px=640, height_px=427, source_width_px=640, source_height_px=427, orientation=6),
        camera=camera,
        body=Body(),
        keypoints=Keypoints(joints2d_px=joints2d, joints3d_cam_m=joints3d, extra2d_px=extra, extra_names=("tail",)),
        boxes=Boxes(
            person_xywh_px=np.array([40, 50, 60, 70, 1], np.float32),
            face_xywh_px=np.array([45, 55, 10, 10, 0.5], np.float32),
        ),
        provenance=Provenance(),
    )


def test_camera_and_points_move_together() -> None:
    instance = an_instance()
    moved = to_crop(instance, (32, 48, 300, 200))
    camera, points = moved.camera, moved.keypoints
    reprojected = project(points.joints3d_cam_m[:, :3], camera.focal_px, camera.principal_point_px, camera.distortion)
    known = points.joints2d_px[:, 2] > 0
    np.testing.assert_allclose(points.joints2d_px[known, :2], reprojected[known], atol=1e-3)
    np.testing.assert_array_equal(moved.boxes.person_xywh_px, np.array([8, 2, 60, 70, 1], np.float32))
    np.testing.assert_array_equal(moved.boxes.face_xywh_px, np.array([13, 7, 10, 10, 0.5], np.float32))
    np.testing.assert_array_equal(points.extra2d_px[0], np.array([18, 12, 0.5], np.float32))
    image = moved.image
    assert (image.crop_x_px, image.crop_y_px, image.width_px, image.height_px) == (32, 48, 300, 200)
    assert (image.source_width_px, image.source_height_px, image.orientation) == (640, 427, 6)
    assert instance.boxes.person_xywh_px[0] == 40, "the original must not change"


def test_what_is_absent_stays_zero() -> None:
    instance = an_instance()
    moved = to_crop(replace(instance, camera=Camera()), (32, 48, 300, 200))
    np.testing.assert_array_equal(moved.keypoints.joints2d_px[20:30], np.zeros((10, 3)))
    np.testing.assert_array_equal(moved.keypoints.extra2d_px[1:], np.zeros((63, 3)))
    np.testing.assert_array_equal(moved.boxes.left_hand_xywh_px, np.zeros(5))
    np.testing.assert_array_equal(moved.camera.principal_point_px, np.zeros(2))


def test_crop_of_a_crop_and_back() -> None:
    instance = an_instance()
    twice = to_crop(to_crop(instance, (32, 48, 300, 200)), (64, 80, 100, 100))
    once = to_crop(instance, (64, 80, 100, 100))
    np.testing.assert_array_equal(twice.boxes.person_xywh_px, once.boxes.person_xywh_px)
    back = to_crop(twice, (0, 0, 640, 427))
    np.testing.assert_allclose(back.keypoints.joints2d_px, instance.keypoints.joints2d_px, atol=1e-3)
    assert back.image == instance.image


@pytest.mark.parametrize("window", [(-1, 0, 5, 5), (0, 0, 641, 5), (0, 400, 5, 28), (3, 3, 0, 5), (3, 3, 5, -1)])
def test_window_must_lie_in_the_source(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(RecordError, match="a-b: expected a window inside 640 x 427"):
        to_crop(an_instance(), window)
