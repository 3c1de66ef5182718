"""From a config to what is trained, and from a checkpoint back to networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from harmonize.bodies.models import BodyModels
from harmonize.errors import DataError, UsageError
from train.body import Body
from train.checkpoints import EMA, MODEL, Checkpoint, Which, find_checkpoint
from train.config import TrainConfig
from train.losses.objectives import InnerLoss, OuterLoss
from train.losses.vertex_subset import vertex_subset
from train.meta.step import DualStep
from train.meta.subsets import Rates, add_low_rank
from train.models.public_weights import load_public
from train.models.registry import build
from train.plain_step import PlainStep
from train.settings import from_plain
from train.steps import Regressor

_REGRESSOR, _AUXILIARY, _RATES = "regressor.", "auxiliary.network.", "rates."


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What a checkpoint holds for use, in evaluation mode on the CPU.

    auxiliary, rates: of dual training, None otherwise. step: updates it was trained for.
    """

    regressor: Regressor
    auxiliary: Regressor | None
    rates: Rates | None
    config: TrainConfig
    is_standin: bool
    step: int
    path: Path


def make_step(config: TrainConfig, models: BodyModels) -> nn.Module:
    """The training step of a config, weights from its seed or from where `init` says.

    Raises:
        MissingBodyModelError: there is no neutral SMPL-X.
        UsageError, DataError: weights to start from are missing, damaged, or of another network.
    """
    body = Body(models, vertex_subset(models))
    regressor = _start(config, config.init, config.seed, models)
    if config.dual is None:
        taught = config.pseudo_labels
        pseudo = None if taught is None else _start(config, taught, config.seed, models)
        return PlainStep(regressor, body, config.loss, pseudo)
    auxiliary = None
    if config.dual.auxiliary != "none" and (config.dual.auxiliary != "ema" or config.auxiliary_init is not None):
        # Another seed: a network that agrees with the main one from the start teaches it nothing.
        auxiliary = _start(config, config.auxiliary_init, config.seed + 1, models)
    return DualStep(
        regressor,
        auxiliary,
        body=body,
        inner=InnerLoss(config.loss),
        outer=OuterLoss(body, config.loss),
        config=config.dual,
    )


def load_networks(place: Path, which: Which = "best", *, use_ema: bool = True) -> Networks:
    """The networks of a run or of one of its checkpoints.

    use_ema: the running mean of the main network's weights, where there is one.

    Raises:
        UsageError: there is no checkpoint. DataError: it is damaged.
    """
    checkpoint = find_checkpoint(place, which)
    manifest = checkpoint.manifest
    config = from_plain(TrainConfig, manifest.config)
    tensors = checkpoint.tensors(MODEL)
    regressor = trained(config, (checkpoint.tensors(EMA) if use_ema else {}) or _under(tensors, _REGRESSOR))
    auxiliary = rates = None
    if config.dual is not None:
        rates = Rates.of(
            regressor, config.dual.subset, head_rate=config.dual.head_rate, other_rate=config.dual.other_rate
        )
        rates.load_state_dict(_under(tensors, _RATES))
        if found := _under(tensors, _AUXILIARY):
            auxiliary = build(config.model)
            auxiliary.load_state_dict(found)
            auxiliary.requires_grad_(False).eval()
    return Networks(
        regressor=regressor,
        auxiliary=auxiliary,
        rates=rates,
        config=config,
        is_standin=manifest.is_standin,
        step=manifest.step,
        path=checkpoint.path,
    )


def trained(config: TrainConfig, tensors: Mapping[str, Tensor]) -> Regressor:
    """The main network of a config with these tensors, in evaluation mode on the CPU, for use and not for training."""
    regressor = build(config.model, config.seed)
    if config.dual is not None and config.dual.subset == "head+lora":
        add_low_rank(regressor, config.dual.rank)
    regressor.load_state_dict(dict(tensors))
    return regressor.eval()


def regressor_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The main network's among the tensors of a step."""
    return _under(tensors, _REGRESSOR)


def _start(config: TrainConfig, place: str | None, seed: int, models: BodyModels) -> Regressor:
    """A new network, with the weights of a checkpoint of this project or of a public file if there is a place."""
    regressor = build(config.model, seed)
    if place is None:
        return regressor
    if Path(place).is_file():
        load_public(regressor, Path(place), models.get("smplx", "neutral"))
        return regressor
    checkpoint = find_checkpoint(Path(place))
    _check_kind(checkpoint, models.is_standin)
    tensors = checkpoint.tensors(EMA) or _under(checkpoint.tensors(MODEL), _REGRESSOR)
    own = regressor.state_dict()
    wrong = sorted(name for name in own.keys() | tensors.keys() if _shape(own, name) != _shape(tensors, name))
    if wrong:
        raise DataError(
            f"{checkpoint.path}: expected the tensors of the config's network, found others: {wrong[0]} is "
            f"{_shape(tensors, wrong[0])} instead of {_shape(own, wrong[0])}, {len(wrong)} in all",
            fix="start from a checkpoint with the same model settings",
        )
    regressor.load_state_dict(tensors)
    return regressor


def _check_kind(checkpoint: Checkpoint, is_standin: bool) -> None:
    if checkpoint.manifest.is_standin != is_standin:
        was, now = ("stand-in", "licensed") if checkpoint.manifest.is_standin else ("licensed", "stand-in")
        raise UsageError(
            f"{checkpoint.path}: was trained with {was} bodies and must not go on with {now} ones",
            fix=f"start from a checkpoint that was trained with {now} bodies",
        )


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
