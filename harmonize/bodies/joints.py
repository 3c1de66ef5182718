"""Joints of a posed body without its mesh, exact, batched and differentiable.

A joint is the regressed rest joint carried along the kinematic chain; fingertips, toes, nose and face landmarks are
points of a few hundred skinned vertices. Everything linear is contracted once, when the module is made: the regressor
with template and directions, and directions and correctives with the vertices that are referred to.

The model is SMPL's (Loper et al. 2015, eq. 2-11). Dimensions: B batch, J joints of the chain, U referenced vertices,
N coefficients (betas, expression, kid), K output joints.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from harmonize.bodies.files import ModelArrays
from harmonize.record import BodyKind

EXTRA_JOINTS: tuple[str, ...] = (
    *("nose", "reye", "leye", "rear", "lear"),
    *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
    *("lthumb", "lindex", "lmiddle", "lring", "lpinky", "rthumb", "rindex", "rmiddle", "rring", "rpinky"),
)
"""The vertices that the `smplx` package appends to the joints, in its order and under its names."""

_NECK_CHAIN = (12, 9, 6, 3, 0)
_MAX_YAW_DEG = 39


class BodyJoints(nn.Module):
    """Maps parameters to the joints that the `smplx` package returns: K = 144 (SMPL-X, with contour), 73 or 45.

    `directions` (V,3,N) holds every shape-like direction in the order of the coefficients; `vertices` are those of the
    mesh that are wanted besides. Float32 results agree with
    a full forward pass within 1e-5 m; batch size and number of threads change last bits only (`BodyModel.joints` fixes
    the threads). The contour landmarks of a head whose yaw lies within rounding of a half degree may come from the
    neighbouring row.
    """

    rest_joints: Tensor
    joint_directions: Tensor
    rest_points: Tensor
    point_directions: Tensor
    bending: Tensor
    correctives: Tensor
    skinning: Tensor
    weights: Tensor
    extra: Tensor
    wanted: Tensor
    landmark_corners: Tensor
    landmark_weights: Tensor
    contour_corners: Tensor
    contour_weights: Tensor
    to_joint_order: Tensor

    def __init__(
        self,
        arrays: ModelArrays,
        directions: npt.NDArray[np.float32],
        kind: BodyKind,
        vertices: npt.NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        from smplx.vertex_ids import vertex_ids

        named = vertex_ids["smplx" if kind == "smplx" else "smplh"]
        wanted = np.zeros(0, np.int64) if vertices is None else vertices
        corners = [np.array([named[name] for name in EXTRA_JOINTS]), wanted]
        self.has_landmarks = arrays.landmark_faces is not None and arrays.contour_faces is not None
        if arrays.landmark_faces is not None and arrays.contour_faces is not None:
            corners += [arrays.faces[arrays.landmark_faces].ravel(), arrays.faces[arrays.contour_faces].ravel()]
        used, where = np.unique(np.concatenate(corners), return_inverse=True)
        extra, wanted, *rest = np.split(where, np.cumsum([len(part) for part in corners])[:-1])

        def keep(name: str, values: npt.NDArray[Any], dtype: torch.dtype = torch.float32) -> None:
            self.register_buffer(name, torch.tensor(np.ascontiguousarray(values)).to(dtype), persistent=False)

        regressor = csr_matrix(arrays.regressor.astype(np.float64))
        num_coefficients = directions.shape[2]
        keep("rest_joints", regressor @ arrays.template)
        joint_directions = (regressor @ directions.reshape(len(directions), -1)).reshape(-1, num_coefficients)
        keep("joint_directions", joint_directions.T)
        # Points keep their vertices in the last axis (3,U): that is the long one, so arithmetic on it is fast.
        keep("rest_points", arrays.template[used].T)
        keep("point_directions", directions[used].transpose(2, 1, 0).reshape(num_coefficients, -1))
        # Correctives of joints that bend none of the referenced vertices are exactly zero: left out.
        correctives = arrays.correctives[used].transpose(2, 1, 0).reshape(-1, len(used) * 3)
        bending = np.flatnonzero(correctives.any(axis=1))
        keep("bending", bending, torch.int64)
        keep("correctives", correctives[bending])
        skinning = np.flatnonzero(arrays.weights[used].any(axis=0))
        keep("skinning", skinning, torch.int64)
        keep("weights", arrays.weights[used][:, skinning].T)
        keep("extra", extra, torch.int64)
        keep("wanted", wanted, torch.int64)
        if arrays.landmark_weights is not None and arrays.contour_weights is not None:
            keep("landmark_corners", rest[0].reshape(arrays.landmark_weights.shape), torch.int64)
            keep("landmark_weights", arrays.landmark_weights)
            keep("contour_corners", rest[1].reshape(arrays.contour_weights.shape), torch.int64)
            keep("contour_weights", arrays.contour_weights)
        self.chain = _levels(arrays.parents)
        order = np.concatenate([np.array(joints) for joints, _ in self.chain])
        keep("to_joint_order", np.argsort(order), torch.int64)

    def forward(self, pose_aa: Tensor, coefficients: Tensor, transl_m: Tensor) -> Tensor:
        """Joints (B,K,3) in metres, in the frame of transl_m.

        pose_aa (B,J,3) radians with absolute hands; coefficients (B,N); transl_m (B,3).
        """
        return self.from_rotmats(rotation_matrices(pose_aa), coefficients, transl_m)[0]

    def from_rotmats(self, rotmats: Tensor, coefficients: Tensor, transl_m: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B,K,3) and the wanted vertices (B,V,3), as `forward`, from rotation matrices (B,J,3,3)."""
        size = len(rotmats)
        rest = self.rest_joints + (coefficients @ self.joint_directions).view(size, *self.rest_joints.shape)
        turns, joints = self._follow_chain(rotmats, rest)

        feature = (rotmats[:, 1:] - torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)).flatten(1)
        points = torch.addmm(self.rest_points.flatten(), coefficients, self.point_directions)
        points = torch.addmm(points, feature[:, self.bending], self.correctives).view(size, *self.rest_points.shape)
        shift = joints[..., None] - turns @ rest[..., None]
        transforms = torch.cat([turns, shift], dim=-1)[:, self.skinning].flatten(2).transpose(1, 2)
        blended = (transforms @ self.weights).view(size, 3, 4, points.shape[2])
        points = (blended[:, :, :3] * points[:, None]).sum(2) + blended[:, :, 3]

        parts = [points[:, :, self.extra]]
        if self.has_landmarks:
            parts.append((points[:, :, self.landmark_corners] * self.landmark_weights).sum(-1))
            row = contour_row(rotmats)
            corners = self.contour_corners[row].flatten(1)[:, None].expand(-1, 3, -1)
            corner_points = points.gather(2, corners).view(size, 3, *self.contour_weights.shape[1:])
            parts.append((corner_points * self.contour_weights[row][:, None]).sum(-1))
        joints = torch.cat([joints, torch.cat(parts, dim=2).transpose(1, 2)], dim=1)
        return joints + transl_m[:, None], points[:, :, self.wanted].transpose(1, 2) + transl_m[:, None]

    def _follow_chain(self, rotmats: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Global rotations (B,J,3,3) and posed joints (B,J,3), a whole level of the tree at a time."""
        turns, places = [rotmats[:, :1]], [rest[:, :1]]
        rest_above = rest[:, :1]
        for joints, above in self.chain[1:]:
            bones = rest[:, joints] - rest_above[:, above]
            parent = turns[-1][:, above]
            places.append(places[-1][:, above] + (parent @ bones[..., None])[..., 0])
            turns.append(parent @ rotmats[:, joints])
            rest_above = rest[:, joints]
        return torch.cat(turns, 1)[:, self.to_joint_order], torch.cat(places, 1)[:, self.to_joint_order]


def rotation_matrices(axis_angle: Tensor) -> Tensor:
    """(...,3) radians to (...,3,3), by Rodrigues' formula in a form that is smooth at zero."""
    # Below the squared rounding of any real angle, yet keeps the gradient of the root finite.
    angle = (axis_angle.square().sum(-1) + 1e-24).sqrt()
    sine, versine = torch.sinc(angle / np.pi), 0.5 * torch.sinc(angle / (2 * np.pi)).square()
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).view(*x.shape, 3, 3)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine[..., None, None] * cross + versine[..., None, None] * (cross @ cross)


def contour_row(rotmats: Tensor) -> Tensor:
    """Which of the 79 contour rows shows at the neck's global turn about the vertical axis: (B,) from (B,J,3,3).

    Rows 0..39 are turns of 0..39 degrees to one side, rows 40..78 of 1..39 degrees to the other; more is cut to 39
    (Pavlakos et al. 2019 take table and rule from the RingNet landmark code). A pose that is not finite gets row 0.
    """
    neck = rotmats[:, _NECK_CHAIN[0]]
    for joint in _NECK_CHAIN[1:]:
        neck = rotmats[:, joint] @ neck
    yaw = torch.atan2(neck[:, 2, 0], torch.hypot(neck[:, 0, 0], neck[:, 1, 0]))
    degrees = torch.nan_to_num(torch.rad2deg(yaw)).round().long().clamp(-_MAX_YAW_DEG, _MAX_YAW_DEG)
    return torch.where(degrees < 0, _MAX_YAW_DEG - degrees, degrees)


def _levels(parents: npt.NDArray[np.int64]) -> list[tuple[list[int], list[int]]]:
    """Joints of each depth of the tree, and for each joint the position of its parent within the level above."""
    depth = [0] * len(parents)
    for joint, parent in enumerate(parents[1:].tolist(), start=1):
        depth[joint] = depth[parent] + 1
    levels: list[tuple[list[int], list[int]]] = [([0], [])]
    for level in range(1, max(depth) + 1):
        above = levels[-1][0]
        joints = [joint for joint, at in enumerate(depth) if at == level]
        levels.append((joints, [above.index(int(parents[joint])) for joint in joints]))
    return levels
