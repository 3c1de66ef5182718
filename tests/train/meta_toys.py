"""A regressor of a few hundred tensors' entries, a chain of bones and two losses, in float64, for tests of adaptation.

The network has what matters: attention, LayerNorm with weights before and inside the head, outputs apart for the hands.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.body import Points
from train.camera import pelvis_from_weak, project
from train.data.batch import Batch, Observed, Truth
from train.meta.config import DualConfig
from train.meta.objectives import Pseudo
from train.meta.step import DualStep
from train.models.prediction import ROTATIONS, Prediction, from_numbers, mean_numbers
from train.steps import Regressor

SIZE_PX = (16, 16)
JOINTS = 53
HANDS = slice(ROTATIONS["left_hand"].start, ROTATIONS["right_hand"].stop)


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        return self.proj(functional.scaled_dot_product_attention(query, key, value))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.attn = nn.LayerNorm(width), Attention(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attn(self.norm(x))


class Head(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix, self.norm = nn.Linear(width + 3, width), nn.LayerNorm(width)
        self.rest, self.hands = nn.Linear(width, 341 - 180), nn.Linear(width, 180)
        self.register_buffer("mean", mean_numbers())

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        x = self.norm(torch.tanh(self.mix(torch.cat([tokens.mean(1), condition], dim=1))))
        rest, hands = self.rest(x), self.hands(x)
        return self.mean + 0.1 * torch.cat([rest[:, :138], hands, rest[:, 138:]], dim=1)


class Toy(Regressor):
    size_px = SIZE_PX
    head_names = ("head.",)

    def __init__(self, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.patch = nn.Conv2d(3, width, 8, 8)
            self.blocks = nn.Sequential(Block(width))
            self.norm = nn.LayerNorm(width)
            self.head = Head(width)
            for parameter in self.parameters():
                nn.init.normal_(parameter, 0.0, 0.3)
            for layer in self.modules():
                if isinstance(layer, nn.LayerNorm):
                    layer.weight.data += 1
        self.double()

    def encode(self, crop: Tensor, condition: Tensor) -> Tensor:
        return self.norm(self.blocks(self.patch(crop).flatten(2).transpose(1, 2)))

    def decode(self, tokens: Tensor, condition: Tensor) -> Prediction:
        return from_numbers(self.head(tokens, condition))


def body(rotmat: Tensor, betas: Tensor, expression: Tensor) -> Points:
    """A spine of 23 bones with two chains of 15 on its end, all of 5 cm, a little longer with the shape."""
    bone = 0.05 + 0.005 * betas[:, :1, None] + 0.002 * expression[:, :1, None]
    spine = rotmat[:, 0] @ rotmat[:, :23, :, 1].cumsum(1).mT
    left, right = (spine[..., -1:] + rotmat[:, at, :, 0].cumsum(1).mT for at in (slice(23, 38), slice(38, 53)))
    joints = torch.cat([spine, left, right], dim=2).mT * bone
    return Points(joints - joints[:, :1], joints[:, ::4])


def inner(prediction: Prediction, points: Points, observed: Observed, pseudo: Pseudo | None) -> Tensor:
    """Robust 2D error weighted by confidence, and the distance to the pseudo body."""
    pelvis = pelvis_from_weak(prediction.weak_camera, observed.to_crop, SIZE_PX)
    seen = project(points.joints_m + pelvis[:, None], observed.to_crop)
    confidence = observed.keypoints_px[:, :JOINTS, 2]
    place = torch.where(confidence[..., None] > 0, observed.keypoints_px[:, :JOINTS, :2], 0.0)
    squared = torch.where(confidence[..., None] > 0, seen - place, 0.0).square().sum(-1) / 64
    loss = (confidence * squared / (1 + squared)).sum(1) / confidence.sum(1).clamp(min=1)
    if pseudo is None:
        return loss
    theirs, where = pseudo
    loss = loss + 20 * (points.joints_m - where.joints_m).square().sum(-1).mean(1)
    return loss + (prediction.rotmat - theirs.rotmat).square().flatten(1).mean(1)


def outer(prediction: Prediction, points: Points, truth: Truth, observed: Observed) -> Tensor:
    """Distance to the label: rotations, joints, shape, and the camera by its scale."""
    joints = (points.joints_m - truth.joints_m[:, :JOINTS, :3]).square().sum(-1).mean(1)
    rotations = (prediction.rotmat - truth.rotmat).square().flatten(1).mean(1)
    rest = (prediction.betas - truth.betas).square().mean(1) + (prediction.expression - truth.expression).square().mean(
        1
    )
    return rotations + 20 * joints + 0.1 * rest + 0.1 * prediction.weak_camera.square().mean(1)


def batch(size: int, seed: int = 0) -> Batch:
    """Pictures of noise, labels and 2D points of another toy's bodies, float64."""
    rng = torch.Generator().manual_seed(seed)
    to_crop = torch.tensor([[20.0, 0.0, 8.0], [0.0, 20.0, 8.0]], dtype=torch.float64).repeat(size, 1, 1)
    to_crop[:, :, 2] += torch.rand(size, 2, generator=rng, dtype=torch.float64)
    numbers = mean_numbers().double() + 0.1 * torch.randn(size, 341, generator=rng, dtype=torch.float64)
    label = from_numbers(numbers)
    points = body(*label[:3])
    pelvis = pelvis_from_weak(label.weak_camera, to_crop, SIZE_PX)
    keypoints = torch.zeros(size, 144, 3, dtype=torch.float64)
    keypoints[:, :JOINTS, :2] = project(points.joints_m + pelvis[:, None], to_crop)
    keypoints[:, :JOINTS, 2] = 0.2 + 0.8 * torch.rand(size, JOINTS, generator=rng, dtype=torch.float64)
    joints = torch.zeros(size, 144, 4, dtype=torch.float64)
    joints[:, :JOINTS, :3], joints[:, :JOINTS, 3] = points.joints_m, 1
    yes = torch.ones(size, dtype=torch.bool)
    truth = Truth(
        rotmat=label.rotmat, has_rotation=yes[:, None].expand(-1, 53), betas=label.betas, has_betas=yes,
        expression=label.expression, has_expression=yes, pelvis_m=pelvis, has_pelvis=yes, joints_m=joints,
        keypoints_px=keypoints,
    )  # fmt: skip
    crop = torch.randint(0, 256, (size, 3, *SIZE_PX), generator=rng, dtype=torch.uint8)
    observed = Observed(crop=crop, to_crop=to_crop, has_intrinsics=yes, keypoints_px=keypoints)
    return Batch(
        observed=observed,
        truth=truth,
        keys=tuple(f"{seed}-{at}" for at in range(size)),
        sources=(("toy", "train"),) * size,
    )


RATES: dict[str, Any] = {"head_rate": 0.02, "other_rate": 0.05}
"""Large enough that the second order is far from the first."""


def dual(config: DualConfig, *, seed: int = 0) -> DualStep:
    """A dual network of two toys; low-rank tensors are moved off zero, so that both of a pair matter."""
    auxiliary = None if config.auxiliary in ("none", "ema") else Toy(seed=seed + 100)
    step = DualStep(Toy(seed=seed), auxiliary, body=body, inner=inner, outer=outer, config=config)
    rng = torch.Generator().manual_seed(seed)
    for name, parameter in step.named_parameters():
        if name.endswith("low_rank_out"):
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
    return step


def gradients(step: DualStep, total: Tensor) -> dict[str, Tensor]:
    """Of every parameter that is trained, by name."""
    trained = {name: value for name, value in step.named_parameters() if value.requires_grad}
    found = torch.autograd.grad(total, list(trained.values()))
    return dict(zip(trained, found, strict=True))
