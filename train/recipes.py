"""Named training runs: functions that return a validated config, and what each expects beside it.

SMPLer-X's values are those of its released configs (commit d3e3c10: main/config/*.py, and common/base.py for the
optimiser), SMPLest-X's token decoder and dual networks (arXiv 2501.09782, 2401.14121) have values of this project where
nothing else is said. A batch is that of all processes together: SMPLer-X's 32 a GPU on 16 GPUs are 512.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from harmonize.errors import UsageError
from train.config import OptimConfig, TrainConfig
from train.data import augment, detector
from train.losses.supervised import SMPLER_X, UNIFIED
from train.meta.config import DualConfig
from train.models.registry import smpler_x_config, tokens_config

Size = Literal["small", "base", "large", "huge"]

_LETTERS: Mapping[str, Size] = {"s": "small", "b": "base", "l": "large", "h": "huge"}

NUM_GPUS = 16
"""Of the published runs of SMPLer-X."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """make: the config. what: one line. selection: the command that makes the mixture it was meant for. needs_init:
    whether it only makes sense from trained weights."""

    make: Callable[[], TrainConfig]
    what: str
    selection: str = "ehps propose STORE --method temperature --tau 2 --budget 1000000 -o mixture.json"
    needs_init: bool = False


def tokens(size: Size) -> TrainConfig:
    """The token decoder on a ViT, from random weights or `init`: AdamW, 1e-4 for S and B, 5e-5 for L and H, half of the
    decay of HMR 2.0 (arXiv 2305.20091) and its augmentation strength; blocks recomputed for L and H."""
    is_large = size in ("large", "huge")
    return TrainConfig(
        model=tokens_config(size, use_checkpoint=is_large, fused_attention=True),
        augment=augment.STRONG,
        loss=UNIFIED,
        optim=OptimConfig(lr=5e-5 if is_large else 1e-4, min_lr=1e-6, warmup=1000, weight_decay=0.05),
        batch_size=256,
        epochs=10,
        ema=0.999,
        precision="bf16",
        compile=True,
        threads=8,
    )


def smpler_x(size: Size) -> TrainConfig:
    """SMPLer-X as released: Adam at 1e-5, cosine per update to 1e-6, 10 epochs, 32 a GPU on 16 GPUs (H: 16); crop of
    1.25 boxes, its augmentation, L1 losses. Its encoder starts from ViTPose: `--set init=vitpose_base.pth`. A long
    dataset shows the same part of itself in each epoch. Without stochastic depth and batch norm, which this project's
    networks do not have. The five-dataset L was trained at 2e-5: `--set optim.lr=2e-5`."""
    return TrainConfig(
        model=smpler_x_config(size, use_checkpoint=size in ("large", "huge"), fused_attention=True),
        augment=augment.SMPLER_X,
        loss=SMPLER_X,
        subset="fixed",
        optim=OptimConfig(lr=1e-5, min_lr=1e-6, clip=None),
        batch_size=(16 if size == "huge" else 32) * NUM_GPUS,
        epochs=10,
        precision="bf16",
        compile=True,
        threads=8,
        sharding="fsdp" if size == "huge" else "ddp",
        seed=2023,
    )


def finetune() -> TrainConfig:
    """A specialist of SMPLer-X: all weights of a trained H, 5 epochs of 1.0M draws, 1e-5 to 5e-7, 16 a GPU; start from
    its checkpoint, `--set init=RUN`. Other sizes: `--set model.vit...` as in the run's config.json."""
    general = smpler_x("huge")
    return replace(general, optim=replace(general.optim, min_lr=5e-7), epochs=5)


def dual_meta(size: Size) -> TrainConfig:
    """Dual networks: each picture's own head, one inner step, second order, with a label-trained and meta-trained
    auxiliary network (arXiv 2401.14121: outer Adam at 1e-4, batch 30; here 64)."""
    plain = tokens(size)
    return replace(
        plain,
        # Fused attention has no second derivatives; the head alone adapts, but "all" must stay a setting away.
        model=tokens_config(size),
        detector=detector.TYPICAL,
        dual=DualConfig(order="second", auxiliary="both"),
        optim=replace(plain.optim, lr=1e-4),
        batch_size=64,
        compile=False,
    )


def toy() -> TrainConfig:
    """A tiny token decoder on crops of 128 x 96 px: minutes on a processor."""
    return TrainConfig(
        model=tokens_config("tiny"),
        optim=OptimConfig(lr=1e-3, min_lr=1e-4, warmup=10, weight_decay=0.01),
        batch_size=16,
        steps=200,
        log_every=1,
        checkpoint_every=100,
    )


def toy_dual() -> TrainConfig:
    """Dual networks of the toy's size: minutes on a processor."""
    return replace(toy(), detector=detector.TYPICAL, dual=DualConfig(order="second", auxiliary="both"))


def _best_k(k: int, draws: int) -> str:
    return f"ehps propose STORE --method smplerx_best_k --k {k} --budget {draws} -o mixture.json"


BEST_K = {5: 750_000, 10: 1_500_000, 20: 3_000_000, 32: 4_500_000}
"""Draws an epoch of SMPLer-X's mixtures of the k best datasets."""

SPECIALISTS = ("3DPW", "AGORA", "ARCTIC", "EgoBody", "RenBody", "UBody")

RECIPES: Mapping[str, Recipe] = {
    "toy": Recipe(make=toy, what="tiny token decoder, minutes on a processor"),
    "toy_dual": Recipe(make=toy_dual, what="tiny dual networks, minutes on a processor"),
    "tokens_s": Recipe(make=partial(tokens, "small"), what="token decoder on ViT-S"),
    "tokens_b": Recipe(make=partial(tokens, "base"), what="token decoder on ViT-B"),
    "tokens_l": Recipe(make=partial(tokens, "large"), what="token decoder on ViT-L"),
    "tokens_h": Recipe(make=partial(tokens, "huge"), what="token decoder on ViT-H"),
    **{
        f"smpler_x_{letter}{k}": Recipe(
            make=partial(smpler_x, size),
            what=f"SMPLer-X-{letter.upper()}{k}: the {k} best datasets",
            selection=_best_k(k, draws),
        )
        for letter, size in _LETTERS.items()
        for k, draws in BEST_K.items()
    },
    **{
        f"finetune_{target.lower()}": Recipe(
            make=finetune,
            what=f"specialist for {target} from SMPLer-X-H32",
            selection=f"ehps propose STORE --method smplerx_specialist --target {target} --budget 1000000 "
            "-o mixture.json",
            needs_init=True,
        )
        for target in SPECIALISTS
    },
    "dual_meta_s": Recipe(make=partial(dual_meta, "small"), what="dual networks, meta-learned, on ViT-S"),
    "dual_meta_b": Recipe(make=partial(dual_meta, "base"), what="dual networks, meta-learned, on ViT-B"),
}


def recipe(name: str) -> Recipe:
    """A recipe by name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in RECIPES:
        raise UsageError(f"{name}: there is no such recipe", fix=f"choose one of {', '.join(RECIPES)}", field="recipe")
    return RECIPES[name]
