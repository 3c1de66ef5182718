"""Networks of `bench_meta`: their start, and how each variant goes on from it with the same samples and outer steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from meta_world import Split
from torch import Tensor, nn

from train.body import Body
from train.data.batch import Batch
from train.data.chance import chance_of
from train.data.detector import TYPICAL, detect
from train.losses.objectives import InnerLoss, OuterLoss
from train.losses.supervised import UNIFIED
from train.meta.config import DualConfig
from train.meta.step import DualStep
from train.meta.subsets import Rates
from train.models.tokens import TokensConfig, TokensModel
from train.models.vit import VitConfig
from train.plain_step import PlainStep

_PATCH_PX = 8
_NUM_FOUND = 22  # joints of the body's chain, of which the encoder learns first where they are
_HEATMAP_PX = 5.0
_START_WEIGHTS = replace(UNIFIED, keypoints=1.0)  # hands and face lie beyond the robust penalty's reach at first


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Numbers of steps and rates of Adam. encoder_steps: 2D pose alone. start_steps: plain training of both networks.
    inner_steps: of meta variants. steps: of each variant from there on. rates_rate: of the inner rates' logarithms."""

    width: int = 64
    depth: int = 3
    encoder_steps: int = 500
    start_steps: int = 12_000
    inner_steps: int = 3
    steps: int = 300
    batch_size: int = 16
    encoder_rate: float = 2e-3
    start_rate: float = 2e-3
    rate: float = 5e-4
    rates_rate: float = 0.03
    head_rate: float = 0.01


TRAININGS: Mapping[str, DualConfig | None] = {
    "plain": None,
    "batch": DualConfig(order="second", unit="batch", auxiliary="both"),
    "frozen": DualConfig(order="second", auxiliary="frozen"),
    "none": DualConfig(order="second", auxiliary="none"),
    "dual": DualConfig(order="second", auxiliary="both"),
}
"""What the variants are trained with after the common start; None is supervised training of both networks apart."""


@dataclass(frozen=True, slots=True)
class Trained:
    """regressor, auxiliary (None where the training had none), rates (None where it learnt none), and what the
    inner steps do at the end: cosine of outer and plain gradient, relative change of the adapted weights."""

    regressor: TokensModel
    auxiliary: TokensModel | None
    rates: Rates | None
    cosine: float
    weight_change: float


def network(config: TrainingConfig, size_px: int) -> TokensModel:
    """A tiny `tokens` model from torch's random state; its positions start as sines, which saves hundreds of steps."""
    vit = VitConfig(
        width=config.width,
        depth=config.depth,
        num_heads=4,
        height_px=size_px,
        width_px=size_px,
        patch_px=_PATCH_PX,
    )
    made = TokensModel(
        TokensConfig(
            vit=vit,
            decoder_width=config.width,
            num_layers=2,
            num_heads=4,
            body_queries=2,
            hand_queries=1,
            face_queries=1,
        )
    )
    at = torch.arange(size_px // _PATCH_PX, dtype=torch.float32)
    y, x = torch.meshgrid(at, at, indexing="ij")
    frequency = torch.exp(-math.log(20.0) * torch.arange(config.width // 4) / (config.width // 4))
    waves = [of(axis.reshape(-1, 1) * frequency) for axis in (x, y) for of in (torch.sin, torch.cos)]
    with torch.no_grad():
        made.encoder.get_parameter("pos_embed").copy_(0.5 * torch.cat(waves, 1)[None])
    return made


def start(config: TrainingConfig, split: Split, body: Body, seed: int) -> TokensModel:
    """A network as both networks of a variant start: encoder on 2D pose, then all of it on labels."""
    torch.manual_seed(seed)
    made = network(config, split.crop.shape[-1])
    _learn_to_find(made, config, split, seed)
    _supervise(made, body, config, split, seed)
    return made


def trained(
    name: str, config: TrainingConfig, split: Split, body: Body, seed: int, main: TokensModel, auxiliary: TokensModel
) -> Trained:
    """A variant, from copies of the two starting networks."""
    main, auxiliary = copy.deepcopy(main), copy.deepcopy(auxiliary)
    dual = TRAININGS[name]
    if dual is None:
        for of, at in ((main, seed), (auxiliary, seed + 1000)):
            _fit(PlainStep(of, body, UNIFIED), [{"params": list(of.parameters())}], config, split, at)
        return Trained(main, auxiliary, None, 1.0, 0.0)
    step = DualStep(
        main,
        None if dual.auxiliary == "none" else auxiliary,
        body=body,
        inner=InnerLoss(UNIFIED),
        outer=OuterLoss(body, UNIFIED),
        config=replace(dual, inner_steps=config.inner_steps, head_rate=config.head_rate),
    )
    networks = [of for of in step.trainable_parameters() if of is not step.rates.log_rate]
    groups: list[dict[str, object]] = [{"params": networks}, {"params": [step.rates.log_rate], "lr": config.rates_rate}]
    _fit(step, groups, config, split, seed)
    batch = shown(split, torch.arange(min(64, len(split))), seed, config.steps)
    return Trained(
        main,
        None if dual.auxiliary == "none" else auxiliary,
        step.rates,
        _cosine(step, PlainStep(main, body, UNIFIED), batch),
        float(step.vacuity(batch.observed).weight_change.mean()),
    )


def shown(split: Split, at: Tensor, seed: int, epoch: int) -> Batch:
    """Some people of a split with what a simulated detector says of them; the same for the same seed and epoch."""
    found = detect(TYPICAL, split.truth.keypoints_px[at].numpy(), chance_of(seed, epoch, np.arange(len(at))))
    return split.batch(at, torch.from_numpy(found))


def _fit(step: nn.Module, groups: list[dict[str, object]], config: TrainingConfig, split: Split, seed: int) -> None:
    """Adam with cosine decay over the variant's steps; which people are drawn depends on the seed alone."""
    optimiser = torch.optim.Adam(groups, lr=config.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    draws = torch.Generator().manual_seed(seed)
    for number in range(config.steps):
        at = torch.randint(len(split), (config.batch_size,), generator=draws)
        optimiser.zero_grad()
        step(shown(split, at, seed, number)).total.backward()
        for group in optimiser.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        optimiser.step()
        schedule.step()


def _supervise(made: TokensModel, body: Body, config: TrainingConfig, split: Split, seed: int) -> None:
    step = PlainStep(made, body, _START_WEIGHTS)
    optimiser = torch.optim.AdamW(made.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.start_rate, total_steps=config.start_steps, pct_start=0.1
    )
    draws = torch.Generator().manual_seed(seed)
    for _ in range(config.start_steps):
        at = torch.randint(len(split), (config.batch_size,), generator=draws)
        optimiser.zero_grad()
        step(split.batch(at)).total.backward()
        optimiser.step()
        schedule.step()


def _learn_to_find(made: TokensModel, config: TrainingConfig, split: Split, seed: int) -> None:
    """2D pose for the encoder, as published networks start from one: which patch shows a joint, where joints lie."""
    joints = nn.Linear(config.width, _NUM_FOUND)
    places = nn.Linear(config.width, 2 * _NUM_FOUND)
    parameters = [value for of in (made.encoder, joints, places) for value in of.parameters()]
    optimiser = torch.optim.AdamW(parameters, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.encoder_rate, total_steps=config.encoder_steps, pct_start=0.1
    )
    draws = torch.Generator().manual_seed(seed)
    half = split.crop.shape[-1] / 2
    at_patch = torch.arange(split.crop.shape[-1] // _PATCH_PX) + 0.5
    centres = torch.stack(torch.meshgrid(at_patch, at_patch, indexing="xy"), -1).reshape(-1, 2) * _PATCH_PX
    for _ in range(config.encoder_steps):
        at = torch.randint(len(split), (config.batch_size,), generator=draws)
        tokens = made.encode(split.crop[at].float() / 255, torch.zeros(len(at), 3))
        true_px = split.truth.keypoints_px[at, :_NUM_FOUND, :2]
        distance = (true_px[:, :, None] - centres).square().sum(-1)
        wanted = torch.softmax(-distance / (2 * _HEATMAP_PX**2), -1)
        said = torch.log_softmax(joints(tokens).transpose(1, 2), -1)
        placed = places(tokens.mean(1)).reshape(-1, _NUM_FOUND, 2)
        loss = 10 * (placed - (true_px / half - 1)).abs().mean() - (wanted * said).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def _cosine(step: DualStep, plain: PlainStep, batch: Batch) -> float:
    """Between the gradients that the meta step and plain training give the main network."""
    parameters = [value for value in step.regressor.parameters() if value.requires_grad]
    outer, alone = (
        torch.cat([part.flatten() for part in torch.autograd.grad(of(batch).total, parameters, materialize_grads=True)])
        for of in (step, plain)
    )
    return float(torch.cosine_similarity(outer, alone, dim=0))
