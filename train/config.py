"""All that decides a training run besides the store and the selection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from harmonize.errors import UsageError
from train.data.augment import NONE, Augment
from train.data.crops import CropSize
from train.data.detector import NO_ERRORS, Detector
from train.data.schedule import Subset
from train.losses.supervised import UNIFIED, LossWeights
from train.meta.config import DualConfig
from train.models.registry import ModelConfig
from train.models.tokens import TokensConfig

Precision = Literal["fp32", "bf16", "fp16"]
Sharding = Literal["ddp", "fsdp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """Adam(W) under a learning rate that rises linearly for `warmup` updates to `lr` and falls along half a cosine to
    `min_lr` at the last update; set anew for every update.

    inner_rates_lr: in the place of `lr` for the logarithms of dual networks' learned inner rates, on the same curve: at
        the weights' own rate they would hardly move in a whole run.
    weight_decay: decoupled, of tensors with two or more axes; 0 is Adam. clip: largest norm of the gradient of all
    parameters together, None: any.

    Raises:
        UsageError: a value out of range.
    """

    lr: float = 1e-4
    min_lr: float = 1e-6
    inner_rates_lr: float = 0.03
    warmup: int = 0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float | None = 1.0

    def __post_init__(self) -> None:
        _require(self.lr > 0, "lr", "more than 0", self.lr)
        _require(0 <= self.min_lr <= self.lr, "min_lr", f"0 to lr ({self.lr:g})", self.min_lr)
        _require(self.inner_rates_lr > 0, "inner_rates_lr", "more than 0", self.inner_rates_lr)
        _require(self.warmup >= 0, "warmup", "0 or more updates", self.warmup)
        _require(self.weight_decay >= 0, "weight_decay", "0 or more", self.weight_decay)
        _require(all(0 <= beta < 1 for beta in self.betas), "betas", "two numbers in [0, 1)", self.betas)
        _require(self.clip is None or self.clip > 0, "clip", "more than 0 or none", self.clip)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A training run.

    model: the network. crop_padding: size of the crop over that of the person box. augment, detector: what happens to
        pictures and to the 2D points that a network is shown. loss: weights of the terms, of both steps of dual
        training too. subset: whether a dataset that is larger than its share is drawn anew each epoch.
    dual: dual networks; None is plain training. pseudo_labels: checkpoint of a network whose bodies are taught beside
        the records, in plain training. init, auxiliary_init: checkpoints (or files of weights) that the network and the
        auxiliary one start from; None draws weights from `seed`.
    batch_size: samples an update, of all processes together. accumulate: passes in which each process goes through its
        part of them; changes memory only. steps: updates; epochs: of the selection; exactly one is given.
    ema: decay of the running mean of the weights that is evaluated and used in the place of the last ones; None: none.
    precision: of the network's arithmetic; body and losses are always float32. compile: torch.compile of the network.
    sharding: how several processes share the work: "ddp" keeps all of the network in each, "fsdp" a part in each.
    explode: a loss above this many times the median of the last updates stops the run; None: only one that is not
        finite does.
    threads: that read and decode ahead in each process; change speed only.
    log_every, checkpoint_every, validate_every: updates between; None: only at the end (validation: never). keep_last:
        checkpoints that stay, beside the best one. benchmarks: what validation measures.

    Raises:
        UsageError: a value out of range, or two that contradict each other.
    """

    model: ModelConfig
    crop_padding: float = 1.25
    augment: Augment = NONE
    detector: Detector = NO_ERRORS
    loss: LossWeights = UNIFIED
    subset: Subset = "redrawn"
    streamed: bool = False
    dual: DualConfig | None = None
    pseudo_labels: str | None = None
    init: str | None = None
    auxiliary_init: str | None = None
    optim: OptimConfig = field(default_factory=OptimConfig)
    batch_size: int = 32
    accumulate: int = 1
    steps: int | None = None
    epochs: float | None = None
    ema: float | None = None
    precision: Precision = "fp32"
    compile: bool = False
    sharding: Sharding = "ddp"
    explode: float | None = 50.0
    seed: int = 0
    threads: int = 2
    log_every: int = 50
    checkpoint_every: int | None = 2000
    keep_last: int = 2
    validate_every: int | None = None
    benchmarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate", "log_every", "keep_last"):
            _require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        for name in ("steps", "checkpoint_every", "validate_every"):
            value = getattr(self, name)
            _require(value is None or value >= 1, name, "1 or more, or none", value)
        for name in ("seed", "threads"):
            _require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        one_length = (self.steps is None) != (self.epochs is None)
        _require(one_length, "steps, epochs", "one of them, the other none", (self.steps, self.epochs))
        _require(self.epochs is None or self.epochs > 0, "epochs", "more than 0", self.epochs)
        _require(self.crop_padding > 0, "crop_padding", "more than 0", self.crop_padding)
        _require(self.ema is None or 0 < self.ema < 1, "ema", "a share between 0 and 1, or none", self.ema)
        _require(self.explode is None or self.explode > 1, "explode", "more than 1, or none", self.explode)
        _require(
            self.accumulate <= self.batch_size, "accumulate", f"at most batch_size ({self.batch_size})", self.accumulate
        )
        is_validated = self.validate_every is not None
        _require(
            is_validated == bool(self.benchmarks), "validate_every, benchmarks", "both or neither", self.benchmarks
        )
        is_half_sharded = self.sharding == "fsdp" and self.precision == "fp16"
        _require(not is_half_sharded, "precision", "bf16 or fp32 with sharding=fsdp", self.precision)
        if self.dual is None:
            _require(self.auxiliary_init is None, "auxiliary_init", "none without dual networks", self.auxiliary_init)
            return
        # Its boxes and heatmaps are taught by losses of their own, which the unified objective does not have; and what
        # it reads at predicted places would move with each sample's weights.
        is_tokens = isinstance(self.model, TokensConfig)
        _require(is_tokens, "model", "a token decoder with dual networks", type(self.model).__name__)
        # Per-sample weights go around the wrappers of both: neither would see them.
        _require(self.sharding == "ddp", "sharding", "ddp with dual networks", self.sharding)
        _require(not self.compile, "compile", "false with dual networks", self.compile)
        _require(self.pseudo_labels is None, "pseudo_labels", "none with dual networks", self.pseudo_labels)

    @property
    def crop(self) -> CropSize:
        """The crop that the network takes."""
        height, width = self.model.vit.size_px
        return CropSize(height_px=height, width_px=width, padding=self.crop_padding)

    def num_steps(self, draws_per_epoch: int) -> int:
        """Updates of the whole run; the last batch of an epoch may be shorter."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * -(-draws_per_epoch // self.batch_size)))


def _require(is_met: bool, name: str, expected: str, found: object) -> None:
    if not is_met:
        raise UsageError(f"{name}: expected {expected}, found {found}", field=name)
