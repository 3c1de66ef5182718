"""Boxes, in particular the degenerate ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonize.geometry import area, clip_to_image, from_points, iou, scaled

sides = st.integers(1, 40)
corners = st.integers(-30, 60)
boxes = st.tuples(corners, corners, sides, sides)


def raster(box: tuple[int, int, int, int]) -> np.ndarray:
    """The box painted on a grid of pixels from (-30, -30) to (100, 100)."""
    x, y, width, height = box
    grid = np.zeros((130, 130), bool)
    grid[y + 30 : y + 30 + height, x + 30 : x + 30 + width] = True
    return grid


@given(boxes, boxes)
def test_iou_counts_pixels(first: tuple, second: tuple) -> None:
    expected = (raster(first) & raster(second)).sum() / (raster(first) | raster(second)).sum()
    assert iou(first, second) == pytest.approx(expected)


@given(boxes)
def test_clip_counts_pixels_in_the_picture(box: tuple) -> None:
    inside = raster(box)
    inside[:30], inside[:, :30], inside[30 + 48 :], inside[:, 30 + 64 :] = False, False, False, False
    clipped = clip_to_image((*box, 0.5), (64, 48))
    assert area(clipped) == inside.sum()
    if inside.any():
        assert clipped[4] == np.float32(0.5)
        np.testing.assert_array_equal(raster(tuple(clipped[:4].astype(int))), inside)
    else:
        np.testing.assert_array_equal(clipped, np.zeros(5))


def test_degenerate_boxes_have_no_area_and_meet_nothing() -> None:
    whole = (0, 0, 10, 10)
    for box in [(2, 2, 0, 5), (2, 2, 5, 0), (2, 2, -3, 5), (2, 2, -3, -5), (2, 2, np.nan, 5), (np.nan, 2, 5, 5)]:
        assert iou(box, whole) == iou(whole, box) == iou(box, box) == 0
        np.testing.assert_array_equal(clip_to_image((*box, 1.0), (10, 10)), np.zeros(5))
        assert area(clip_to_image(box, (10, 10))) == 0
    assert area((0, 0, -3, -5)) == 0


def test_huge_boxes_do_not_overflow() -> None:
    np.testing.assert_array_equal(clip_to_image((-1e30, 2, 3e30, 5), (10, 20)), [0, 2, 10, 5])
    assert iou((-1e30, -1e30, 3e30, 3e30), (0, 0, 4, 4)) < 1e-50


@given(st.lists(st.tuples(corners, corners), min_size=1, max_size=9))
def test_box_of_points_is_tight(points: list) -> None:
    box = from_points(points)
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    if (high > low).all():
        np.testing.assert_array_equal(box, [*low, *(high - low), 1])
    else:
        np.testing.assert_array_equal(box, np.zeros(5))


def test_box_of_points_skips_what_is_not_there() -> None:
    points = [[5, 6], [0, 0], [9, 8], [np.nan, 1], [np.inf, 3]]
    np.testing.assert_array_equal(from_points(points, [1, 0, 0.1, 1, 1]), [5, 6, 4, 2, 1])
    for nothing in ([0, 0, 0, 0, 0], [1, 0, 0, 1, 1]):
        np.testing.assert_array_equal(from_points(points, nothing), np.zeros(5))
    assert from_points(np.zeros((0, 2))).tolist() == [0] * 5
    assert from_points(points).dtype == np.float32


def test_scaled_keeps_the_centre() -> None:
    np.testing.assert_array_equal(scaled((10, 20, 8, 4, 0.7), 1.5), np.array([8, 19, 12, 6, 0.7], np.float32))
    several = np.random.default_rng(0).uniform(1, 50, (6, 4))
    grown = scaled(several, 1.2)
    np.testing.assert_allclose(grown[:, :2] + grown[:, 2:] / 2, several[:, :2] + several[:, 2:] / 2, rtol=1e-5)
    np.testing.assert_allclose(scaled(grown, 1 / 1.2), several, rtol=1e-5)
