"""Pictures of meshes without a graphics driver: a z-buffer rasteriser in numpy.

Camera: OpenCV pinhole (x right, y down, z forward), metres. The centre of pixel (column u, row v) is at (u, v), as in
OpenCV. Triangles are grouped by the size of their bounding box, and each group is tested against its pixels in one
vector operation, so a body of 20 000 small triangles takes a fraction of a second.

Dimension letters: V vertices, F faces, N fragments (a face over a pixel).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Picture = npt.NDArray[np.uint8]

NEAR_M = 0.01
LIGHT_CAM = np.array([-0.36, -0.48, -0.80])
"""Unit direction towards the light, camera frame: from above, left of and behind the camera."""
AMBIENT = 0.42
SKIN = (0.80, 0.64, 0.55)
_EDGE = -1e-9  # rounding must not open cracks between neighbours
_CHUNK = 1 << 21  # fragments tested at once; bounds the memory of one step to about 100 MB


@dataclass(frozen=True, slots=True)
class Fragments:
    """What each pixel of a (H, W) picture sees. Where nothing is seen `face` is -1 and `depth_m` infinite.

    face (H, W) int32; depth_m (H, W) float64, along the optical axis; barycentric (H, W, 3), perspective-correct.
    """

    face: npt.NDArray[np.int32]
    depth_m: Floats
    barycentric: Floats


@dataclass(frozen=True, slots=True)
class Mesh:
    """vertices_cam_m (V, 3); faces (F, 3); colour: one RGB in 0..1, or one a vertex (V, 3)."""

    vertices_cam_m: Floats
    faces: Ints
    colour: Floats | tuple[float, float, float] = SKIN


def merge(meshes: Sequence[Mesh]) -> tuple[Mesh, Ints]:
    """One mesh of several, and for each of its faces (F,) the number of the mesh that it came from."""
    starts = np.cumsum([0] + [len(mesh.vertices_cam_m) for mesh in meshes])
    merged = Mesh(
        np.concatenate([mesh.vertices_cam_m for mesh in meshes]),
        np.concatenate([np.asarray(mesh.faces, np.int64) + start for mesh, start in zip(meshes, starts, strict=False)]),
        np.concatenate([_vertex_colours(mesh.colour, len(mesh.vertices_cam_m)) for mesh in meshes]),
    )
    return merged, np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes])


def rasterise(
    vertices_cam_m: Floats, faces: Ints, focal_px: Floats, principal_point_px: Floats, size: tuple[int, int]
) -> Fragments:
    """The nearest face of each pixel.

    Faces with a corner nearer than NEAR_M (or behind the camera) are left out; both sides of a face are seen.

    Args:
        vertices_cam_m: (V, 3). faces: (F, 3). focal_px, principal_point_px: (2,). size: (width, height) in pixels.
    """
    width, height = size
    vertices = np.asarray(vertices_cam_m, np.float64)
    faces = np.asarray(faces, np.int64)
    depth = np.full(width * height, np.inf)
    face_at = np.full(width * height, -1, np.int32)
    weights_at = np.zeros((width * height, 3))
    in_front = vertices[:, 2] > NEAR_M
    z = np.where(in_front, vertices[:, 2], 1.0)
    xy = vertices[:, :2] / z[:, None] * np.asarray(focal_px) + np.asarray(principal_point_px)
    usable = np.flatnonzero(np.logical_and.reduce([in_front[corner] for corner in faces.T]))
    for pixel, face, screen_weights in _fragments(xy, faces, usable, width, height):
        inverse_z = screen_weights / z[faces[face]]
        total = inverse_z[:, 0] + inverse_z[:, 1] + inverse_z[:, 2]  # several times as fast as sum(1)
        fragment_depth = 1.0 / total
        nearest_last = np.lexsort((-face, -fragment_depth))  # equal depths: the lower face number wins
        nearest_last = nearest_last[fragment_depth[nearest_last] < depth[pixel[nearest_last]]]
        at = pixel[nearest_last]
        depth[at] = fragment_depth[nearest_last]
        face_at[at] = face[nearest_last]
        weights_at[at] = (inverse_z / total[:, None])[nearest_last]
    shape = (height, width)
    return Fragments(face_at.reshape(shape), depth.reshape(shape), weights_at.reshape(*shape, 3))


def _fragments(xy: Floats, faces: Ints, usable: Ints, width: int, height: int) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Covered (pixel number (N,), face (N,), screen-space weights (N, 3)), in chunks of bounded size."""
    corners = xy[faces[usable]]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    low = np.ceil(np.minimum(np.minimum(a, b), c)).clip(0, (width, height)).astype(np.int64)
    high = np.floor(np.maximum(np.maximum(a, b), c)).clip(-1, (width - 1, height - 1)).astype(np.int64)
    extent = high - low + 1
    area = _cross(b - a, c - a)
    keep = (extent[:, 0] > 0) & (extent[:, 1] > 0) & (np.abs(area) > 1e-12)
    usable, low, extent = usable[keep], low[keep], extent[keep]
    corners, area = corners[keep], area[keep]
    bucket = 1 << np.ceil(np.log2(extent)).astype(np.int64)  # side lengths rounded up to powers of two
    bucket_of = bucket[:, 0] << 32 | bucket[:, 1]
    for number in np.unique(bucket_of):
        members = np.flatnonzero(bucket_of == number)
        bucket_width, bucket_height = number >> 32, number & 0xFFFFFFFF
        grid_y, grid_x = np.divmod(np.arange(bucket_width * bucket_height), bucket_width)
        step = max(1, _CHUNK // len(grid_x))
        for start in range(0, len(members), step):
            part = members[start : start + step]
            x = low[part, 0, None] + grid_x
            y = low[part, 1, None] + grid_y
            a, b, c = (corners[part, k][:, None, :] for k in range(3))
            inverse_area = 1.0 / area[part, None]
            weight_a = ((b[..., 0] - x) * (c[..., 1] - y) - (b[..., 1] - y) * (c[..., 0] - x)) * inverse_area
            weight_b = ((c[..., 0] - x) * (a[..., 1] - y) - (c[..., 1] - y) * (a[..., 0] - x)) * inverse_area
            weight_c = 1.0 - weight_a - weight_b
            inside = np.minimum(np.minimum(weight_a, weight_b), weight_c) >= _EDGE
            covered = inside & (x < width) & (y < height)
            triangle, cell = np.nonzero(covered)
            weights = np.stack([w[triangle, cell] for w in (weight_a, weight_b, weight_c)], 1)
            yield y[triangle, cell] * width + x[triangle, cell], usable[part[triangle]], weights


def render(
    vertices_cam_m: Floats,
    faces: Ints,
    focal_px: Floats,
    principal_point_px: Floats,
    size: tuple[int, int],
    background: Picture | None = None,
    colour: Floats | tuple[float, float, float] = SKIN,
    alpha: float = 1.0,
) -> Picture:
    """A shaded picture (H, W, 3) uint8 of a mesh; Lambert shading from vertex normals.

    Several people: `merge` their meshes first; the nearer one then hides the farther.

    Args:
        vertices_cam_m: (V, 3). faces: (F, 3). focal_px, principal_point_px: (2,). size: (width, height) in pixels.
        background: (H, W, 3) uint8; white when None. colour: RGB in 0..1, or one a vertex (V, 3).
        alpha: opacity of the mesh over the background, 0..1.
    """
    width, height = size
    picture = np.full((height, width, 3), 255, np.uint8) if background is None else background.copy()
    seen = rasterise(vertices_cam_m, faces, focal_px, principal_point_px, size)
    covered = seen.face >= 0
    corners = np.asarray(faces, np.int64)[seen.face[covered]]
    weights = seen.barycentric[covered]
    normals = _blend(vertex_normals(vertices_cam_m, faces), corners, weights)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    point = _blend(np.asarray(vertices_cam_m, np.float64), corners, weights)
    away = (normals * point).sum(1) > 0
    normals[away] *= -1.0  # the side that is seen is the side that is lit
    shade = AMBIENT + (1.0 - AMBIENT) * (normals @ LIGHT_CAM).clip(0.0)
    base = _blend(_vertex_colours(colour, len(vertices_cam_m)), corners, weights)
    lit = (base * shade[:, None] * 255.0).clip(0, 255)
    picture[covered] = np.rint(alpha * lit + (1.0 - alpha) * picture[covered]).astype(np.uint8)
    return picture


def _blend(values: Floats, corners: Ints, weights: Floats) -> Floats:
    """(N, D): the values (V, D) at three corners (N, 3), by weights (N, 3)."""
    return np.asarray(sum(values[corners[:, k]] * weights[:, k, None] for k in range(3)))


def vertex_normals(vertices: Floats, faces: Ints) -> Floats:
    """Unit normals (V, 3): the area-weighted mean of the adjoining faces."""
    corners = np.asarray(vertices, np.float64)[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    at = np.asarray(faces).T.reshape(-1)
    normals = np.stack([np.bincount(at, np.tile(face_normals[:, k], 3), len(vertices)) for k in range(3)], 1)
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12))


def _vertex_colours(colour: Floats | tuple[float, float, float], num_vertices: int) -> Floats:
    return np.broadcast_to(np.asarray(colour, np.float64), (num_vertices, 3))


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
