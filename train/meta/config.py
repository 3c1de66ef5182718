"""What can be chosen about dual networks in training and at test time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from harmonize.errors import UsageError

Subset = Literal["head", "head+lora", "head+norm", "all"]
Order = Literal["first", "second"]
Unit = Literal["image", "batch"]
AuxiliaryUpdate = Literal["none", "frozen", "supervised", "meta", "both", "ema"]
Optimiser = Literal["sgd", "adam"]


@dataclass(frozen=True, kw_only=True)
class DualConfig:
    """How a dual network is trained.

    inner_steps: plain gradient steps to each sample's own weights before the supervised loss.
    order: "second" differentiates through the inner steps, "first" takes their gradients as constants.
    unit: "image" adapts to each picture; "batch" is one set of weights for the whole batch, from its mean loss, as the
        released Meta-HMR code does: a baseline.
    subset: the tensors that adapt (`train.meta.subsets`). rank: of the low-rank tensors of "head+lora".
    auxiliary: where the pseudo body comes from. "none": nowhere, the inner loss has 2D points alone. "frozen": a fixed
        network. "supervised": it learns from labels. "meta": it learns what makes the adapted main network right.
        "both". "ema": it follows the main network's weights (mean teacher).
    aux_weight: weight of the auxiliary network's own supervised loss. ema_decay: share of the auxiliary network's
        weights that stays at each update.
    head_rate, other_rate: inner learning rates at the start, of the head's tensors and of others; learn_rates: whether
        they are learned, one for each tensor.
    chunk: samples whose graphs exist at one time, to bound memory; None is the whole batch.

    Raises:
        UsageError: choices that contradict each other or are out of range.
    """

    inner_steps: int = 1
    order: Order = "first"
    unit: Unit = "image"
    subset: Subset = "head"
    rank: int = 8
    auxiliary: AuxiliaryUpdate = "supervised"
    aux_weight: float = 1.0
    ema_decay: float = 0.999
    head_rate: float = 1e-4
    other_rate: float = 1e-3
    learn_rates: bool = True
    chunk: int | None = None

    def __post_init__(self) -> None:
        _one_of("order", self.order, get_args(Order))
        _one_of("unit", self.unit, get_args(Unit))
        _one_of("subset", self.subset, get_args(Subset))
        _one_of("auxiliary", self.auxiliary, get_args(AuxiliaryUpdate))
        _at_least("inner_steps", self.inner_steps, 1)
        _at_least("rank", self.rank, 1)
        _positive("head_rate", self.head_rate)
        _positive("other_rate", self.other_rate)
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"ema_decay is a share of at least 0 and below 1, found {self.ema_decay}")
        if self.learns_from_truth:
            _positive("aux_weight", self.aux_weight)
        if self.learns_from_outer and self.order == "first":
            raise UsageError(
                f"auxiliary='{self.auxiliary}' with order='first' would train nothing through the inner step: the "
                "auxiliary network reaches the outer loss only through the inner gradient, which first order takes as "
                "a constant",
                fix="set order='second', or auxiliary='supervised', its label-trained form",
            )
        if self.chunk is not None:
            _at_least("chunk", self.chunk, 1)
            if self.unit == "batch":
                raise UsageError(
                    "unit='batch' takes one inner step from the mean loss of the whole batch, which "
                    f"chunk={self.chunk} would cut",
                    fix="set chunk=None, or unit='image'",
                )

    @property
    def learns_from_truth(self) -> bool:
        """Whether the auxiliary network has a supervised loss of its own."""
        return self.auxiliary in ("supervised", "both")

    @property
    def learns_from_outer(self) -> bool:
        """Whether the outer loss reaches the auxiliary network, through the inner step."""
        return self.auxiliary in ("meta", "both")


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How a network is adapted to pictures without labels.

    steps: at most so many. optimiser: "sgd" with the learned rates, as in training, or "adam" with a state of each
        sample's own and the one rate `adam_rate`.
    tolerance: a sample stops once a step changed its inner loss by less than this share of it; 0 never stops.
    pseudo_steps: the first steps, which heed the pseudo body; later ones go by 2D points alone, and so do all losses
        that are told, compared and chosen by. None: all heed it. No sample stops before these are done.
    keep_best: answer with the weights of the smallest inner loss, otherwise with the last.
    chunk: samples adapted at one time, to bound memory; None is all.

    Raises:
        UsageError: a value out of range.
    """

    steps: int = 14
    optimiser: Optimiser = "sgd"
    adam_rate: float = 1e-4
    tolerance: float = 1e-3
    pseudo_steps: int | None = None
    keep_best: bool = True
    chunk: int | None = None

    def __post_init__(self) -> None:
        _one_of("optimiser", self.optimiser, get_args(Optimiser))
        _at_least("steps", self.steps, 1)
        _positive("adam_rate", self.adam_rate)
        if not 0 <= self.tolerance < 1:
            raise UsageError(f"tolerance is a share of at least 0 and below 1, found {self.tolerance}")
        if self.pseudo_steps is not None:
            _at_least("pseudo_steps", self.pseudo_steps, 0)
        if self.chunk is not None:
            _at_least("chunk", self.chunk, 1)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} is one of {', '.join(known)}; found {value!r}")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{name} is at least {least}, found {value}")


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise UsageError(f"{name} is a positive number, found {value}")
