"""Public weights into networks of this project: ViTPose's into any encoder, SMPLer-X's into the whole of `SmplerX`.

Names and shapes are those of ViTAE-Transformer/ViTPose (mmpose backbones/vit.py) and caizhongang/SMPLer-X
(main/SMPLer_X.py, common/nets/smpler_x.py). Files are read with nothing but tensors allowed. Every tensor of a file is
either taken, or left out by a rule written here; every weight of the network is either filled or reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from catalogs.attributes.features.checkpoints import State, read_state
from catalogs.attributes.features.layouts import Layout, layout_of
from harmonize.bodies.models import BodyModel
from harmonize.errors import UsageError
from train.models.prediction import NUM_BETAS
from train.models.smpler_x import PublishedFrame, SmplerX
from train.steps import Regressor

_RENAMED: Mapping[str, str] = {"body_rotation_net.": "body_regressor.", "hand_rotation_net.": "hand_regressor."}
"""Modules whose name differs between SMPLer-X's checkpoints; its own code reads both."""

_ENCODERS = ("encoder.", "backbone.")
_POSE_HEADS = ("keypoint_head.", "associate_keypoint_heads.")
_BODY_LAYER = "smplx_layer."  # the body model itself, which the network kept as a submodule
_COUNTER = ".num_batches_tracked"  # of batch norm, whose statistics no longer move
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a file. taken, left_out: its tensors. drawn: weights of the network that the file says nothing of
    and that keep what they were drawn with."""

    taken: tuple[str, ...]
    left_out: tuple[str, ...]
    drawn: tuple[str, ...]


def load_public(regressor: Regressor, path: Path, neutral: BodyModel | None = None) -> Loaded:
    """Puts a public checkpoint into a network. neutral: SMPL-X's neutral model, needed for SMPLer-X's weights.

    Raises:
        UsageError: the file is missing, of an unknown layout, or does not fit the network.
        RawFileError: the file is damaged.
    """
    state = read_state(path)
    source = str(path)
    layout = layout_of(state, source)
    if layout.name == "vitpose":
        return _into_encoder(regressor, state, layout, source)
    if layout.name != "osx" or not any(name.startswith("box_net.") for name in state):
        raise UsageError(
            f"{source}: expected weights of ViTPose or SMPLer-X, found the layout {layout.name} with "
            f"{_some(tuple(state))}",
            fix="give vitpose_*.pth or smpler_x_*.pth.tar",
        )
    if not isinstance(regressor, SmplerX) or not regressor.config.is_published:
        raise UsageError(
            f"{source}: SMPLer-X's weights need a network with its conventions",
            fix="build smpler_x_config(SIZE, is_published=True)",
        )
    if neutral is None or neutral.hand_mean_aa is None:
        raise UsageError(
            f"{source}: SMPLer-X's hands are relative to the mean hand of SMPL-X, and no such model was given",
            fix="give the neutral SMPL-X model",
        )
    return _into_smpler_x(regressor, state, layout, neutral, source)


def _into_encoder(regressor: Regressor, state: State, layout: Layout, source: str) -> Loaded:
    left_out = tuple(name for name in state if name.startswith(_POSE_HEADS))
    taken = _all_but(state, left_out, ("backbone.",), source)
    own = dict(layout.state)
    encoder = _encoder(regressor)
    expected = encoder.state_dict()
    if "reg_token" in expected:
        own["reg_token"] = expected["reg_token"]
    _fill(encoder, own, source)
    drawn = tuple(name for name in regressor.state_dict() if not name.startswith("encoder."))
    return Loaded(taken, left_out, ("encoder.reg_token", *drawn) if "reg_token" in expected else drawn)


def _into_smpler_x(regressor: SmplerX, state: State, layout: Layout, neutral: BodyModel, source: str) -> Loaded:
    left_out = tuple(name for name in state if name.startswith(_BODY_LAYER) or name.endswith(_COUNTER))
    heads = tuple(f"{name}." for name, _ in regressor.head.named_children() if name != "published")
    taken = _all_but(state, left_out, (*_ENCODERS, *heads, *_RENAMED), source)
    head = {_renamed(name): state[name] for name in taken if not name.startswith(_ENCODERS)}
    published = {f"published.{name}": value for name, value in _frame(neutral).items()}
    # Checked before anything is filled, so that a network is never left half loaded.
    _check(regressor.head, {**head, **published}, source)
    _fill(_encoder(regressor), dict(layout.state), source)
    _fill(regressor.head, {**head, **published}, source)
    return Loaded(taken, left_out, ())


def _frame(neutral: BodyModel) -> dict[str, Tensor]:
    """The buffers of `PublishedFrame`: the rest pelvis is linear in the betas."""
    betas = np.concatenate([np.zeros((1, NUM_BETAS)), np.eye(NUM_BETAS)]).astype(np.float32)
    pelvis = torch.from_numpy(np.asarray(neutral.rest_pelvis_m(betas), np.float32))
    hand_mean = torch.from_numpy(np.asarray(neutral.hand_mean_aa, np.float32).copy())
    found = {"hand_mean_aa": hand_mean, "pelvis": pelvis[0], "pelvis_by_beta": pelvis[1:] - pelvis[:1]}
    return {name: found[name] for name, _ in PublishedFrame().named_buffers()}


def _renamed(name: str) -> str:
    for old, new in _RENAMED.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _encoder(regressor: Regressor) -> nn.Module:
    return regressor.get_submodule("encoder")


def _all_but(state: State, left_out: tuple[str, ...], known: tuple[str, ...], source: str) -> tuple[str, ...]:
    """The names that are not left out, all of which must start with a known prefix."""
    taken = tuple(name for name in state if name not in set(left_out))
    unknown = tuple(name for name in taken if not name.startswith(known))
    if unknown:
        raise UsageError(
            f"{source}: expected tensors of {', '.join(known)} alone, found besides {_some(unknown)}",
            fix="give the checkpoint as it was published",
        )
    return taken


def _check(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    missing, unknown = (tuple(sorted(set(a) - set(b))) for a, b in ((expected, found), (found, expected)))
    other = tuple(
        f"{name} {found[name]} for {expected[name]}"
        for name in sorted(set(expected) & set(found))
        if found[name] != expected[name]
    )
    if missing or unknown or other:
        problems = [("missing", missing), ("unknown", unknown), ("of another shape", other)]
        raise UsageError(
            f"{source}: expected the weights of this network, found tensors "
            + "; ".join(f"{what}: {_some(names)}" for what, names in problems if names),
            fix="build the size that the file is of (small, base, large, huge)",
        )


def _fill(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    _check(module, state, source)
    module.load_state_dict(dict(state))


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
