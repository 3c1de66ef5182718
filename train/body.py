"""Bodies of predictions: named joints and some vertices of neutral SMPL-X, differentiable, without the full mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from harmonize.bodies.files import load_model, model_path
from harmonize.bodies.joints import BodyJoints
from harmonize.bodies.models import BodyModels
from train.models.prediction import NUM_BETAS, NUM_EXPRESSION

_JAW, _EYES = 22, 2


class Points(NamedTuple):
    """joints_m: (B, 144, 3), vertices_m: (B, V, 3), metres, relative to the posed pelvis, axes of the camera."""

    joints_m: Tensor
    vertices_m: Tensor


class Body(nn.Module):
    """Rotations (B, 53, 3, 3) in the order of `train.models.prediction`, betas (B, 10) and expression (B, 10) to
    `Points`. vertices: ids (V,) of the mesh, none by default. is_standin: whether the model is the stand-in.

    Raises:
        MissingBodyModelError: there is no neutral SMPL-X; the message says how to get it.
    """

    def __init__(self, models: BodyModels, vertices: npt.NDArray[np.int64] | None = None) -> None:
        super().__init__()
        model = models.get("smplx", "neutral")
        arrays = load_model(model_path(models.root, "smplx", "neutral"), "smplx")
        self.is_standin = models.is_standin
        self.num_coefficients = model.directions.shape[2]
        self.expression_at = model.num_betas
        self.points = BodyJoints(arrays, model.directions.numpy(), "smplx", vertices)

    def forward(self, rotmat: Tensor, betas: Tensor, expression: Tensor) -> Points:
        size = len(rotmat)
        eyes = torch.eye(3, dtype=rotmat.dtype, device=rotmat.device).expand(size, _EYES, 3, 3)
        chain = torch.cat([rotmat[:, : _JAW + 1], eyes, rotmat[:, _JAW + 1 :]], dim=1)
        coefficients = torch.cat(
            [
                betas,
                betas.new_zeros(size, self.expression_at - NUM_BETAS),
                expression,
                betas.new_zeros(size, self.num_coefficients - self.expression_at - NUM_EXPRESSION),
            ],
            dim=1,
        )
        joints, vertices = self.points.from_rotmats(chain, coefficients, betas.new_zeros(size, 3))
        pelvis = joints[:, :1]
        return Points(joints - pelvis, vertices - pelvis)
