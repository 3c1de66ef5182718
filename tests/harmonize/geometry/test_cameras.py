"""Projection against OpenCV's published equations, written out separately, and numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonize.geometry import project
from harmonize.geometry.cameras import imar_distortion, opencv_distortion

small = st.floats(-0.3, 0.3)


def published(point: tuple[float, float, float], fx: float, fy: float, cx: float, cy: float, d: list[float]) -> list:
    """The equations of OpenCV's calib3d page, term by term."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = d
    xp, yp = point[0] / point[2], point[1] / point[2]
    r = (xp**2 + yp**2) ** 0.5
    factor = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    xpp = xp * factor + 2 * p1 * xp * yp + p2 * (r**2 + 2 * xp**2) + s1 * r**2 + s2 * r**4
    ypp = yp * factor + p1 * (r**2 + 2 * yp**2) + 2 * p2 * xp * yp + s3 * r**2 + s4 * r**4
    return [fx * xpp + cx, fy * ypp + cy]


@given(st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(2, 9)), st.lists(small, min_size=12, max_size=12))
def test_rational_distortion(point: tuple[float, float, float], distortion: list[float]) -> None:
    expected = published(point, 900, 950, 640, 360, distortion)
    found = project([point], [900, 950], [640, 360], distortion)
    np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-6)


def test_numbers_worked_by_hand() -> None:
    point = [[0.5, -1.0, 2.0]]  # x' = 0.25, y' = -0.5, r2 = 0.3125
    np.testing.assert_allclose(project(point, [1000, 800], [320, 240]), [[570, -160]])
    only = np.eye(12) * 0.1
    expected = {
        0: (0.25 * 1.03125, -0.5 * 1.03125),
        1: (0.25 * 1.009765625, -0.5 * 1.009765625),
        2: (0.25 - 0.025, -0.5 + 0.1 * (0.3125 + 0.5)),
        3: (0.25 + 0.1 * (0.3125 + 0.125), -0.5 - 0.025),
        4: (0.25 * 1.0030517578125, -0.5 * 1.0030517578125),
        5: (0.25 / 1.03125, -0.5 / 1.03125),
        6: (0.25 / 1.009765625, -0.5 / 1.009765625),
        7: (0.25 / 1.0030517578125, -0.5 / 1.0030517578125),
        8: (0.25 + 0.03125, -0.5),
        9: (0.25 + 0.009765625, -0.5),
        10: (0.25, -0.5 + 0.03125),
        11: (0.25, -0.5 + 0.009765625),
    }
    for index, (x, y) in expected.items():
        found = project(point, [1000, 800], [320, 240], only[index])
        np.testing.assert_allclose(found, [[1000 * x + 320, 800 * y + 240]], rtol=1e-12, err_msg=f"coefficient {index}")


def test_batches_have_their_own_cameras() -> None:
    chance = np.random.default_rng(2)
    points = chance.normal(size=(3, 7, 3)) + np.array([0, 0, 5])
    focal, centre, distortion = chance.uniform(500, 900, (3, 2)), chance.uniform(0, 500, (3, 2)), np.full((3, 12), 0.01)
    together = project(points, focal, centre, distortion)
    assert together.shape == (3, 7, 2)
    for one in range(3):
        alone = project(points[one], focal[one], centre[one], distortion[one])
        np.testing.assert_array_equal(together[one], alone)
    np.testing.assert_array_equal(project(points, focal, centre, np.zeros((3, 12))), project(points, focal, centre))


def test_points_at_or_behind_the_camera_have_no_picture() -> None:
    points = [[0.1, 0.2, 0.0], [0.1, 0.2, -1.0], [0.1, 0.2, 1.0], [np.nan, 0, 1]]
    for distortion in (None, np.full(12, 0.1)):
        found = project(points, [100, 100], [0, 0], distortion)
        np.testing.assert_array_equal(np.isnan(found).any(axis=-1), [True, True, False, True])


def test_opencv_vectors_of_every_length() -> None:
    for length in (4, 5, 8, 12):
        given = np.arange(1.0, length + 1)
        np.testing.assert_array_equal(opencv_distortion([given]), [*given, *np.zeros(12 - length)])
    with pytest.raises(ValueError, match="found 6"):
        opencv_distortion(np.zeros(6))


@given(st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(2, 9)), st.lists(small, min_size=5, max_size=5))
def test_the_lens_of_the_imar_datasets(point: tuple[float, float, float], lens: list[float]) -> None:
    """Their own form: the tangential vector swapped, dotted with the ray and added to the radial factor."""
    radial, tangential = lens[:3], lens[3:]
    ray = np.array(point[:2]) / point[2]
    swapped = np.array(tangential[::-1])
    r2 = ray @ ray
    factor = 1 + radial[0] * r2 + radial[1] * r2**2 + radial[2] * r2**3 + ray @ swapped
    expected = (ray * factor + r2 * swapped) * [1145.0, 1143.0] + [512.0, 515.0]
    found = project([point], [1145, 1143], [512, 515], imar_distortion([radial], [tangential]))
    np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-6)
