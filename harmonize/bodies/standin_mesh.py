"""The CC0 body of the stand-in: its mesh, brought to an exact number of vertices in a wanted order.

Legend: V vertices, F triangles, J = 55 joints in SMPL-X order. Metres, y up, facing +z, left side at +x, T-pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fast_simplification
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BASIS_FILE = Path(__file__).parent / "data" / "anny_basis.npz"

PARENTS: tuple[int, ...] = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19),  # body
    *(15, 15, 15),  # jaw, left eye, right eye
    *(20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38),  # left index, middle, pinky, ring, thumb
    *(21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53),  # right
)
"""Parent of each SMPL-X joint; -1 for the pelvis."""

NECK, HEAD, JAW, LEFT_EYE, RIGHT_EYE = 12, 15, 22, 23, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """vertices (V,3), faces (F,3), weights (V,55), shape and expression directions (V,3,10); joints (55,3) of the rig
    and how they move with shape (55,3,10); mouth (3,) the centre of the lips."""

    vertices: Floats
    faces: Ints
    weights: Floats
    shape: Floats
    expression: Floats
    joints: Floats
    joint_shape: Floats
    mouth: Floats


def load_basis() -> Mesh:
    """The packaged mesh as it comes: 13,718 vertices."""
    with np.load(BASIS_FILE, allow_pickle=False) as stored:
        return Mesh(
            vertices=stored["v"].astype(np.float64),
            faces=stored["f"].astype(np.int64),
            weights=stored["w"].astype(np.float64),
            shape=stored["sd"].astype(np.float64),
            expression=stored["ed"].astype(np.float64),
            joints=stored["j"].astype(np.float64),
            joint_shape=stored["jd"].astype(np.float64),
            mouth=stored["mouth"].astype(np.float64),
        )


def resample(mesh: Mesh, num_vertices: int) -> Mesh:
    """The same surface with exactly `num_vertices` vertices: decimated by quadric error, then the longest edges split.

    Weights and directions follow: averaged over the vertices that collapse into one, halved between the ends of a split
    edge.
    """
    mesh = _decimate(mesh, num_vertices)
    while len(mesh.vertices) < num_vertices:
        mesh = _split_longest_edges(mesh, num_vertices - len(mesh.vertices))
    return replace(mesh, weights=mesh.weights / mesh.weights.sum(1, keepdims=True))


def _decimate(mesh: Mesh, max_vertices: int) -> Mesh:
    points, triangles = mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32)
    wanted = max_vertices
    while True:
        # A closed surface has about two triangles a vertex; the mesh is four closed pieces, hence the margin.
        _, _, collapses = fast_simplification.simplify(
            points, triangles, target_count=2 * (wanted - 8), return_collapses=True, agg=3
        )
        kept, faces, merged_into = fast_simplification.replay_simplification(points, triangles, collapses)
        if len(kept) <= max_vertices:
            break
        wanted -= max(4, len(kept) - max_vertices)
    members = np.bincount(merged_into, minlength=len(kept)).clip(1)

    def carry(values: Floats) -> Floats:
        sums = np.zeros((len(kept), values[0].size))
        np.add.at(sums, merged_into, values.reshape(len(values), -1))
        return np.reshape(sums / members[:, None], (len(kept), *values.shape[1:]))

    return replace(
        mesh,
        vertices=kept.astype(np.float64),
        faces=faces.astype(np.int64),
        weights=carry(mesh.weights),
        shape=carry(mesh.shape),
        expression=carry(mesh.expression),
    )


def _split_longest_edges(mesh: Mesh, max_splits: int) -> Mesh:
    """Split up to `max_splits` edges at their middle, longest first, at most one a triangle."""
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    owner = np.tile(np.arange(len(mesh.faces)), 3)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    edges, owner = edges[order], owner[order]
    shared = np.flatnonzero((edges[1:] == edges[:-1]).all(axis=1))
    length = np.linalg.norm(mesh.vertices[edges[shared, 0]] - mesh.vertices[edges[shared, 1]], axis=1)

    ends: list[npt.NDArray[Any]] = []
    touched: list[int] = []
    halves: list[npt.NDArray[Any]] = []
    for at in shared[np.argsort(-length, kind="stable")]:
        pair = (int(owner[at]), int(owner[at + 1]))
        if len(ends) == max_splits:
            break
        if set(pair) & set(touched):
            continue
        middle = len(mesh.vertices) + len(ends)
        for triangle in mesh.faces[list(pair)]:
            halves += [np.where(triangle == end, middle, triangle) for end in edges[at]]
        ends.append(edges[at])
        touched += pair
    start, stop = np.array(ends).T

    def carry(values: Floats) -> Floats:
        return np.concatenate([values, (values[start] + values[stop]) / 2])

    return replace(
        mesh,
        vertices=carry(mesh.vertices),
        faces=np.concatenate([np.delete(mesh.faces, touched, axis=0), np.array(halves)]),
        weights=carry(mesh.weights),
        shape=carry(mesh.shape),
        expression=carry(mesh.expression),
    )


def reorder(mesh: Mesh, places: Mapping[int, int]) -> Mesh:
    """The same mesh with vertex `source` moved to index `places[source]`, by swaps."""
    order = np.arange(len(mesh.vertices))
    for source, target in places.items():
        at = int(np.flatnonzero(order == source)[0])
        order[at], order[target] = order[target], order[at]
    new_index = np.empty_like(order)
    new_index[order] = np.arange(len(order))
    return replace(
        mesh,
        vertices=mesh.vertices[order],
        faces=new_index[mesh.faces],
        weights=mesh.weights[order],
        shape=mesh.shape[order],
        expression=mesh.expression[order],
    )


def vertex_normals(vertices: Floats, faces: Ints) -> Floats:
    """Area-weighted unit normals (V,3)."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12))
