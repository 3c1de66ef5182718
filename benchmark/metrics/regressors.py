"""Joints as weighted sums of the vertices of a posed mesh, as the field's evaluators take them.

A joint regressed from the posed mesh is not quite the joint of the kinematic chain: pose correctives and blending move
it by millimetres. Which of the two a benchmark wants is a matter of its protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from harmonize.bodies.files import ModelArrays
from harmonize.bodies.joints import EXTRA_JOINTS
from harmonize.errors import MissingBodyModelError, RawFileError
from harmonize.raw.npz import load_npy
from harmonize.raw.pickles import load_pickle
from harmonize.record import BodyKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Regressor:
    """A sparse matrix (num_points, num_vertices): weights[i] at (rows[i], columns[i]), sorted by row."""

    num_points: int
    num_vertices: int
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]

    @classmethod
    def from_matrix(cls, matrix: npt.ArrayLike) -> Regressor:
        """Of a dense matrix (K, V)."""
        dense = np.asarray(matrix, np.float64)
        rows, columns = np.nonzero(dense)
        return cls(
            num_points=dense.shape[0],
            num_vertices=dense.shape[1],
            rows=rows.astype(np.int64),
            columns=columns.astype(np.int64),
            weights=dense[rows, columns],
        )

    def __call__(self, vertices_m: Tensor) -> Tensor:
        """Points (N, K, 3) of meshes (N, V, 3).

        Raises:
            ValueError: the meshes have another number of vertices.
        """
        if vertices_m.ndim != 3 or vertices_m.shape[1] != self.num_vertices:
            raise ValueError(f"expected meshes (N, {self.num_vertices}, 3), found {tuple(vertices_m.shape)}")
        # Only the vertices that have a weight are read, a few hundred of ten thousand.
        used, at = np.unique(self.columns, return_inverse=True)
        matrix = np.zeros((self.num_points, len(used)))
        matrix[self.rows, at] = self.weights
        device = vertices_m.device
        return torch.as_tensor(matrix).to(vertices_m) @ vertices_m.index_select(1, torch.as_tensor(used, device=device))

    def select(self, points: Sequence[int]) -> Regressor:
        """The rows of some points, in the order given."""
        kept = [np.flatnonzero(self.rows == point) for point in points]
        at = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        return Regressor(
            num_points=len(points),
            num_vertices=self.num_vertices,
            rows=np.repeat(np.arange(len(points)), [len(part) for part in kept]),
            columns=self.columns[at],
            weights=self.weights[at],
        )


def model_regressor(arrays: ModelArrays, kind: BodyKind) -> Regressor:
    """The joints of the kinematic chain, the vertices that serve as extra joints, and (SMPL-X) the 51 face landmarks.

    In the order of the `smplx` package: 127 of SMPL-X, which are SMPLX_144 without the contour; 73 of SMPL-H; 45 of
    SMPL. The contour is left out since its points slide over the face as the head turns.
    """
    from smplx.vertex_ids import vertex_ids

    num_vertices = len(arrays.template)
    extra = np.array([vertex_ids["smplx" if kind == "smplx" else "smplh"][name] for name in EXTRA_JOINTS])
    points = np.zeros((len(extra), num_vertices))
    points[np.arange(len(extra)), extra] = 1.0
    matrices: list[npt.NDArray[Any]] = [arrays.regressor, points]
    if arrays.landmark_faces is not None and arrays.landmark_weights is not None:
        landmarks = np.zeros((len(arrays.landmark_faces), num_vertices))
        corners = arrays.faces[arrays.landmark_faces]
        np.add.at(landmarks, (np.arange(len(corners))[:, None], corners), arrays.landmark_weights)
        matrices.append(landmarks)
    return Regressor.from_matrix(np.concatenate(matrices))


def load_regressor(path: Path, *, num_vertices: int) -> Regressor:
    """A regressor (K, V) that comes beside a body model: `SMPLX_to_J14.pkl`, `J_regressor_h36m.npy` and the like.

    Raises:
        MissingBodyModelError: the file is not there.
        RawFileError: it is damaged, holds more than plain data, or is no matrix with a column for each vertex.
    """
    if not path.is_file():
        raise MissingBodyModelError(
            f"the joint regressor {path} is missing",
            fix="SMPLX_to_J14.pkl comes with the data of ExPose (register at https://expose.is.tue.mpg.de), "
            "J_regressor_h36m.npy with the data of SPIN (https://github.com/nkolot/SPIN); put the file there",
            expected=path,
        )
    loaded = load_npy(path) if path.suffix == ".npy" else load_pickle(path)
    matrix = np.asarray(loaded.todense() if hasattr(loaded, "todense") else loaded)
    if matrix.ndim != 2 or matrix.shape[1] != num_vertices or matrix.dtype.kind not in "fiu":
        raise RawFileError(
            f"{path}: expected a matrix of numbers (K, {num_vertices}), found {matrix.dtype}{matrix.shape}"
        )
    if not np.isfinite(matrix).all():
        raise RawFileError(f"{path}: expected finite weights, found NaN or infinity")
    return Regressor.from_matrix(matrix)
