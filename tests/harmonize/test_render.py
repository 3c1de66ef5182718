from __future__ import annotations

import numpy as np
import pytest

from harmonize.render import Mesh, merge, rasterise, render, vertex_normals

FOCAL, CENTRE, SIZE = np.array([300.0, 300.0]), np.array([160.0, 120.0]), (320, 240)


def sphere(radius_m: float, centre_m: tuple[float, float, float], rings: int = 60) -> tuple[np.ndarray, np.ndarray]:
    theta = np.linspace(0, np.pi, rings + 1)
    phi = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    t, p = (values.ravel() for values in np.meshgrid(theta, phi, indexing="ij"))
    points = np.stack([np.sin(t) * np.cos(p), np.cos(t), np.sin(t) * np.sin(p)], 1) * radius_m + centre_m
    row, column = np.divmod(np.arange(rings * 2 * rings), 2 * rings)
    right = (column + 1) % (2 * rings)
    a, b = row * 2 * rings + column, row * 2 * rings + right
    c, d = a + 2 * rings, b + 2 * rings
    return points, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])


def square(half_m: float, depth_m: float) -> tuple[np.ndarray, np.ndarray]:
    corners = [(-half_m, -half_m, depth_m), (half_m, -half_m, depth_m), (half_m, half_m, depth_m)]
    return np.array([*corners, (-half_m, half_m, depth_m)]), np.array([[0, 1, 2], [0, 2, 3]])


def test_sphere_covers_the_disc_that_geometry_predicts():
    radius, distance = 0.5, 3.0
    vertices, faces = sphere(radius, (0, 0, distance))
    seen = rasterise(vertices, faces, FOCAL, CENTRE, SIZE)
    radius_px = FOCAL[0] * radius / np.sqrt(distance**2 - radius**2)  # the cone tangent to the sphere
    v, u = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    inside = np.hypot(u - CENTRE[0], v - CENTRE[1])
    covered = seen.face >= 0
    assert covered[inside < radius_px - 1].all()
    assert not covered[inside > radius_px + 0.01].any()
    assert seen.depth_m[120, 160] == pytest.approx(distance - radius, abs=1e-3)
    assert np.isinf(seen.depth_m[0, 0])


def test_square_covers_exactly_the_pixel_centres_inside():
    vertices, faces = square(0.405, 3.0)  # 81 px wide: from 119.5 to 200.5 and from 79.5 to 160.5
    covered = rasterise(vertices, faces, FOCAL, CENTRE, SIZE).face >= 0
    expected = np.zeros((SIZE[1], SIZE[0]), bool)
    expected[80:161, 120:201] = True
    np.testing.assert_array_equal(covered, expected)


def test_depth_is_perspective_correct_on_a_slanted_square():
    vertices = np.array([(-1, -1, 2.0), (1, -1, 4.0), (1, 1, 4.0), (-1, 1, 2.0)])  # plane z = 3 + x
    seen = rasterise(vertices, np.array([[0, 1, 2], [0, 2, 3]]), FOCAL, CENTRE, SIZE)
    slope = (np.arange(130, 191) - CENTRE[0]) / FOCAL[0]
    np.testing.assert_allclose(seen.depth_m[120, 130:191], 3.0 / (1.0 - slope), rtol=1e-9)


@pytest.mark.parametrize("near_first", [True, False])
def test_nearer_hides_farther_in_any_order(near_first: bool):
    near, far = Mesh(*square(0.2, 2.0), (1.0, 0.0, 0.0)), Mesh(*square(1.0, 4.0), (0.0, 0.0, 1.0))
    whole, owner = merge([near, far] if near_first else [far, near])
    picture = render(whole.vertices_cam_m, whole.faces, FOCAL, CENTRE, SIZE, colour=whole.colour)
    assert picture[120, 160, 0] > 0
    assert picture[120, 160, 2] == 0
    assert picture[120, 110, 2] > 0  # beside the near square the far one shows
    assert picture[120, 110, 0] == 0
    assert owner.tolist() == [0, 0, 1, 1]


def test_faces_behind_the_camera_and_off_the_picture_are_not_drawn():
    for depth, shift in ((-3.0, 0.0), (3.0, 50.0)):
        vertices, faces = square(0.4, depth)
        assert (rasterise(vertices + np.array([shift, 0.0, 0.0]), faces, FOCAL, CENTRE, SIZE).face == -1).all()


def test_big_and_small_triangles_agree():
    vertices, faces = square(3.0, 3.0)  # larger than the picture
    assert (rasterise(vertices, faces, FOCAL, CENTRE, SIZE).face >= 0).all()


def test_the_lit_side_is_brighter_and_both_windings_look_alike():
    vertices, faces = sphere(0.5, (0, 0, 3.0))
    picture = render(vertices, faces, FOCAL, CENTRE, SIZE)
    assert picture[90, 130].sum() > picture[150, 190].sum()  # the light comes from above left
    # A float sum in another order may move a shade by one.
    turned = render(vertices, faces[:, ::-1], FOCAL, CENTRE, SIZE)
    assert np.abs(picture.astype(int) - turned.astype(int)).max() <= 1


def test_overlay_mixes_with_the_background_only_where_the_mesh_is():
    vertices, faces = square(0.4, 3.0)
    behind = np.full((SIZE[1], SIZE[0], 3), 100, np.uint8)
    opaque = render(vertices, faces, FOCAL, CENTRE, SIZE, background=behind).astype(int)
    half = render(vertices, faces, FOCAL, CENTRE, SIZE, background=behind, alpha=0.5).astype(int)
    assert np.abs(half - (opaque + 100) / 2).max() <= 1.0
    assert (half[0, 0] == 100).all()
    assert (behind == 100).all()


def test_normals_of_a_sphere_point_along_the_radius():
    vertices, faces = sphere(1.0, (0, 0, 0))
    alignment = np.abs((vertex_normals(vertices, faces) * vertices).sum(1))
    assert alignment[240:-240].min() > 0.999  # the poles of this mesh have faces without area


def test_rendering_is_deterministic():
    vertices, faces = sphere(0.5, (0.1, 0.2, 2.0))
    first, second = (render(vertices, faces, FOCAL, CENTRE, SIZE) for _ in range(2))
    np.testing.assert_array_equal(first, second)
