"""Neutral SMPL-X for a registered mesh of its own topology, down to fractions of a millimetre.

`MeshFitter` places every part; Levenberg-Marquardt over pose, betas, expression and transl then takes out what its
independent parts leave, mostly in fingers and face. One mesh at a time, so that no result depends on its batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from smplx.lbs import lbs
from torch import Tensor

from harmonize.bodies.mesh_fit import NUM_BETAS, MeshFitter
from harmonize.bodies.models import BodyBatch, BodyModel, Floats
from harmonize.bodies.threads import one_thread

_MAX_STEPS = 12
_SMALLEST_GAIN, _SMALL_M = 1e-3, 2e-5
"""Descent ends when a step takes less than this share off the loss, or vertices are this near."""

_SHAPE_PRIOR, _FACE_PRIOR = 1e-4, 1e-3
"""Metres of residual a unit of betas, and of expression, jaw and eyes: they only settle what the mesh leaves open."""

_FACE_JOINTS = slice(22, 25)
_NUM_JOINTS, _NUM_FACE = 55, 10


def refine(fitter: MeshFitter, neutral: BodyModel, mesh_m: Floats) -> tuple[BodyBatch, float]:
    """A batch of one body, and its mean vertex distance in millimetres from a mesh (10475,3)."""
    rows = torch.tensor(fitter.rows)
    target = torch.tensor(np.asarray(mesh_m, np.float32))[rows]
    template, directions = neutral.template[rows], neutral.directions[rows]
    correctives = neutral.correctives.view(len(neutral.correctives), -1, 3)[:, rows].flatten(1)
    regressor, weights, parents = neutral.regressor[:, rows], neutral.weights[rows], torch.tensor(neutral.parents)
    unused_shape = torch.zeros(neutral.num_betas - NUM_BETAS)
    unused_rest = torch.zeros(directions.shape[2] - neutral.num_betas - _NUM_FACE)

    def residual(parameters: Tensor) -> Tensor:
        pose, betas, face, transl = _split(parameters)
        shape = torch.cat([betas, unused_shape, face, unused_rest])
        mesh, _ = lbs(shape[None], pose.reshape(1, -1), template, directions, correctives, regressor, parents, weights)
        prior = _FACE_PRIOR * torch.cat([face, pose[_FACE_JOINTS].flatten()])
        return torch.cat([(mesh[0] + transl - target).flatten(), _SHAPE_PRIOR * betas, prior])

    pose, betas, transl = (torch.tensor(values[0]) for values in fitter.start_all(np.asarray(mesh_m, np.float32)[None]))
    with one_thread():
        found = _descend(residual, torch.cat([pose.flatten(), betas, torch.zeros(_NUM_FACE), transl]))
    parts = dict(zip(("pose_aa", "betas", "expression", "transl_m"), _split(found), strict=True))
    body = BodyBatch(**{name: values[None].numpy() for name, values in parts.items()})
    distance = np.linalg.norm(neutral.vertices(body)[0] - mesh_m, axis=1)
    return body, 1000 * float(distance.mean(dtype=np.float64))


def _split(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pose (55,3), betas (10,), expression (10,), transl (3,)."""
    pose, betas, face, transl = torch.split(parameters, [3 * _NUM_JOINTS, NUM_BETAS, _NUM_FACE, 3])
    return pose.view(_NUM_JOINTS, 3), betas, face, transl


def _descend(residual: Callable[[Tensor], Tensor], parameters: Tensor) -> Tensor:
    jacobian_of = torch.func.jacfwd(residual)
    damping, loss = 1e-4, residual(parameters).square().sum()
    for _ in range(_MAX_STEPS):
        jacobian, error = jacobian_of(parameters), residual(parameters)
        gram, slope = (jacobian.T @ jacobian).double(), (jacobian.T @ error).double()
        step = torch.linalg.solve(gram + damping * torch.diag(gram.diagonal()), slope)
        tried = parameters - step.float()
        new_loss = residual(tried).square().sum()
        if new_loss >= loss:
            damping *= 10
            continue
        gain, parameters, loss, damping = 1 - new_loss / loss, tried, new_loss, damping / 10
        if gain < _SMALLEST_GAIN or loss < len(error) / 3 * _SMALL_M**2:
            break
    return parameters
