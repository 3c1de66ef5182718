"""People for tests of losses: predictions, and observations and records that agree with a body exactly."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from harmonize.bodies import BodyModels
from train.body import Body, Points
from train.camera import pelvis_from_weak, project
from train.data.batch import Observed, Truth
from train.losses.vertex_subset import vertex_subset
from train.models.prediction import Prediction

HEIGHT, WIDTH = 256, 192


def exact_body(models: BodyModels) -> Body:
    """The body in float64 with the vertices of the losses."""
    return Body(models, vertex_subset(models)).double()


def rotations(num: int, angle: float, seed: int) -> Tensor:
    """(num, 53, 3, 3) random turns of about `angle` radians, the first of them from upright before the camera."""
    generator = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(generator.normal(scale=angle / 3**0.5, size=(num * 53, 3))).as_matrix()
    found = torch.from_numpy(turns).view(num, 53, 3, 3)
    found[:, 0] = found[:, 0] @ torch.diag(torch.tensor([1.0, -1.0, -1.0])).double()
    return found


def predictions(num: int, seed: int = 0, angle: float = 0.3) -> Prediction:
    """People that nearly fill the crop, in float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(size: int, scale: float) -> Tensor:
        return scale * torch.randn(num, size, generator=generator, dtype=torch.float64)

    scale = 1.0 * normal(1, 0.05).exp()
    return Prediction(
        rotations(num, angle, seed), normal(10, 0.5), normal(10, 0.5), torch.cat([scale, normal(2, 0.05)], dim=1)
    )


def points_of(body: Body, prediction: Prediction) -> Points:
    found: Points = body(prediction.rotmat, prediction.betas, prediction.expression)
    return found


def cameras(num: int) -> Tensor:
    """Turned and shifted crops (num, 2, 3), each with another focal length."""
    found = []
    for i in range(num):
        turn = Rotation.from_euler("z", 10.0 * i, degrees=True).as_matrix()[:2, :2]
        found.append(np.column_stack([(400 + 100 * i) * turn, [WIDTH / 2 + 5 * i, HEIGHT / 2 - 3 * i]]))
    return torch.from_numpy(np.stack(found))


def seen(prediction: Prediction, points: Points) -> Observed:
    """What a faultless detector sees of these people."""
    to_crop = cameras(len(prediction.betas))
    pelvis = pelvis_from_weak(prediction.weak_camera, to_crop, (HEIGHT, WIDTH))
    place = project(points.joints_m + pelvis[:, None], to_crop)
    num = len(to_crop)
    return Observed(
        crop=torch.zeros(num, 3, HEIGHT, WIDTH, dtype=torch.uint8),
        to_crop=to_crop,
        has_intrinsics=torch.ones(num, dtype=torch.bool),
        keypoints_px=torch.cat([place, torch.ones(num, 144, 1, dtype=torch.float64)], dim=2).detach(),
    )


def recorded(prediction: Prediction, points: Points, observed: Observed) -> Truth:
    """A record that knows all of these people."""
    num = len(prediction.betas)
    known = torch.ones(num, dtype=torch.bool)
    return Truth(
        rotmat=prediction.rotmat.clone(),
        has_rotation=torch.ones(num, 53, dtype=torch.bool),
        betas=prediction.betas.clone(),
        has_betas=known,
        expression=prediction.expression.clone(),
        has_expression=known.clone(),
        pelvis_m=pelvis_from_weak(prediction.weak_camera, observed.to_crop, (HEIGHT, WIDTH)),
        has_pelvis=known.clone(),
        joints_m=torch.cat([points.joints_m, torch.ones(num, 144, 1, dtype=torch.float64)], dim=2),
        keypoints_px=observed.keypoints_px.clone(),
    )


def moved(prediction: Prediction, direction: Prediction, step: float) -> Prediction:
    """`prediction` a step along a direction in its numbers (not a rotation any more, which no loss minds)."""
    return Prediction(*(value + step * change for value, change in zip(prediction, direction, strict=True)))


def direction_like(prediction: Prediction, seed: int) -> Prediction:
    generator = torch.Generator().manual_seed(seed)
    return Prediction(*(torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in prediction))


def leaves(prediction: Prediction) -> Prediction:
    """The same with gradients."""
    return Prediction(*(part.clone().requires_grad_() for part in prediction))
