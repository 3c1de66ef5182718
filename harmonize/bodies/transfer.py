"""Where each vertex of one model lies on the surface of another: a mesh of one topology carried to the other.

Stands in for the registration-gated transfer matrix of the SMPL family, with the same use: a sparse matrix that
multiplies posed vertices. The two templates are brought together at the pelvis in T-pose, the target's shape is fitted
to the source's (their templates are different people), and each target vertex takes the nearest source triangle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from harmonize.cache import build_once, cache_dir

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SOURCE = Path(__file__).read_bytes()
_NEAREST_TRIANGLES = 24
_ROUNDS = 4
# A partner is trusted within 15 mm and where the two surfaces face the same way; the inner mouth and the back of the
# eyeballs have none. (MoSh++'s published fit of the real SMPL-X to the real SMPL-H template leaves the nearest vertices
# 4 mm apart in the median, 14 mm at the 90th percentile: points of the surface between them are nearer.)
_MAX_DISTANCE_M = 0.015
_MIN_COSINE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A mesh at rest, pelvis at the origin: vertices (V,3), faces (F,3), shape directions (V,3,N) with fixed pelvis."""

    vertices: Floats
    faces: Ints
    shape: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """corners (V,3) source vertices of each target vertex, weights (V,3) summing to 1, is_valid (V,): has a partner."""

    corners: Ints
    weights: npt.NDArray[np.float32]
    is_valid: npt.NDArray[np.bool_]

    def carry(self, vertices: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Source vertices (B,Vs,3) as points of the target's topology (B,V,3)."""
        carried = np.zeros((len(vertices), len(self.corners), 3), np.float32)
        for corner in range(3):
            carried += self.weights[:, corner, None] * vertices[:, self.corners[:, corner]]
        return carried


def cached_transfer(key: str, make: Callable[[], Transfer]) -> Transfer:
    """The transfer that `make` computes, kept in the cache folder under `key` and this module's source."""
    digest = hashlib.sha256(_SOURCE + key.encode()).hexdigest()

    def write(folder: Path) -> None:
        made = make()
        np.savez(
            folder / "transfer.npz",
            allow_pickle=False,
            corners=made.corners,
            weights=made.weights,
            is_valid=made.is_valid,
        )

    folder = build_once(cache_dir() / f"transfer-{digest[:16]}", write)
    with np.load(folder / "transfer.npz", allow_pickle=False) as stored:
        return Transfer(**{name: stored[name] for name in ("corners", "weights", "is_valid")})


def nearest_surface(source: Surface, target: Surface) -> Transfer:
    """For each target vertex the nearest point of the source's surface, after the target's shape was fitted to it."""
    outer = _largest_piece(target)
    vertices = target.vertices
    for _ in range(_ROUNDS):
        corners, weights, is_valid = _closest_points(source, vertices, target.faces)
        fitted = is_valid & outer
        found = (source.vertices[corners[fitted]] * weights[fitted][:, :, None]).sum(axis=1)
        directions = target.shape[fitted].reshape(-1, target.shape.shape[2])
        # A weak pull to the mean shape: millimetres of surface weigh against units of beta.
        gram = directions.T @ directions + 1e-2 * np.eye(directions.shape[1])
        betas = np.linalg.solve(gram, directions.T @ (found - target.vertices[fitted]).ravel())
        vertices = target.vertices + target.shape @ betas
    corners, weights, is_valid = _closest_points(source, vertices, target.faces)
    return Transfer(corners=corners, weights=weights.astype(np.float32), is_valid=is_valid & outer)


def _largest_piece(surface: Surface) -> npt.NDArray[np.bool_]:
    """Which vertices belong to the largest connected piece: eyeballs and such are pieces of their own."""
    edges = np.concatenate([surface.faces[:, [0, 1]], surface.faces[:, [1, 2]]])
    number = len(surface.vertices)
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(number, number))
    _, piece = connected_components(graph, directed=False)
    return np.asarray(piece == np.bincount(piece).argmax())


def _closest_points(source: Surface, points: Floats, faces: Ints) -> tuple[Ints, Floats, npt.NDArray[np.bool_]]:
    """Nearest source triangle that faces the same way as the surface at each point: corners, weights, whether trusted.

    Candidates are the triangles with the nearest centres; where none faces the same way the nearest counts, untrusted.
    """
    triangles = source.vertices[source.faces]
    _, candidates = cKDTree(triangles.mean(axis=1)).query(points, k=_NEAREST_TRIANGLES)
    weights = _barycentric(points[:, None], triangles[candidates])
    distance = np.linalg.norm((weights[..., None] * triangles[candidates]).sum(axis=2) - points[:, None], axis=-1)
    cosine = (_normals(source.vertices, source.faces)[candidates] * _vertex_normals(points, faces)[:, None]).sum(-1)
    best = np.argmin(np.where(cosine > _MIN_COSINE, distance, distance + 1.0), axis=1)
    rows = np.arange(len(points))
    is_valid = (distance[rows, best] < _MAX_DISTANCE_M) & (cosine[rows, best] > _MIN_COSINE)
    return source.faces[candidates[rows, best]], weights[rows, best], is_valid


def _normals(vertices: Floats, faces: Ints) -> Floats:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12))


def _vertex_normals(vertices: Floats, faces: Ints) -> Floats:
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], _normals(vertices, faces))
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12))


def _barycentric(points: Floats, triangles: Floats) -> Floats:
    """Barycentric weights (...,3) of the closest point of each triangle (...,3,3) to each point (...,3).

    The foot of the perpendicular where it is inside; else the best of the closest points of the three edges.
    """
    a, b, c = (triangles[..., corner, :] for corner in range(3))
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac)
    d20, d21 = _dot(ap, ab), _dot(ap, ac)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = np.stack([1 - v - w, v, w], axis=-1)
    options = [inside]
    for start, end in ((0, 1), (1, 2), (2, 0)):
        edge = triangles[..., end, :] - triangles[..., start, :]
        along = np.clip(_dot(points - triangles[..., start, :], edge) / np.maximum(_dot(edge, edge), 1e-30), 0.0, 1.0)
        weight = np.zeros_like(inside)
        weight[..., start], weight[..., end] = 1 - along, along
        options.append(weight)
    choices = np.stack(options, axis=-2)
    offset = (choices[..., None] * triangles[..., None, :, :]).sum(axis=-2) - points[..., None, :]
    distance = _dot(offset, offset)
    distance[..., 0] = np.where((inside >= 0).all(axis=-1), distance[..., 0], np.inf)
    best = distance.argmin(axis=-1)
    return np.asarray(np.take_along_axis(choices, best[..., None, None], axis=-2)[..., 0, :])


def _dot(a: Floats, b: Floats) -> npt.NDArray[Any]:
    return np.asarray((a * b).sum(axis=-1))
