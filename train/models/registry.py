"""Every kind of network by name, and how one is built from its config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from harmonize.errors import UsageError
from train.models.smpler_x import SmplerX, SmplerXConfig
from train.models.tokens import TokensConfig, TokensModel
from train.models.vit import VITS, VitConfig
from train.steps import Regressor

ModelConfig = TokensConfig | SmplerXConfig

_DECODERS: Mapping[str, Mapping[str, int]] = {
    "tiny": {"decoder_width": 128, "num_layers": 2, "num_heads": 4, "body_queries": 1, "hand_queries": 1},
    "small": {"decoder_width": 384},
    "large": {"decoder_width": 1024, "num_layers": 4},
    "huge": {"decoder_width": 1024, "num_layers": 6},
}
"""Where the token decoder's sizes differ from its defaults."""


def tokens_config(size: str, **vit_options: Any) -> TokensConfig:
    """A token decoder of a named size: tiny (128 x 96 px, for a processor), small, base, large, huge (256 x 192 px).

    vit_options: other fields of `VitConfig`, such as use_checkpoint.

    Raises:
        UsageError: there is no such size.
    """
    return TokensConfig(vit=_vit(size, vit_options), **_DECODERS.get(size, {}))


def smpler_x_config(size: str, *, is_published: bool = False, **vit_options: Any) -> SmplerXConfig:
    """A SMPLer-X of a named size, as `tokens_config`.

    Raises:
        UsageError: there is no such size.
    """
    return SmplerXConfig(vit=_vit(size, vit_options), is_published=is_published)


def build(config: ModelConfig, seed: int = 0) -> Regressor:
    """A network with weights drawn from a seed; torch's global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TokensModel(config) if isinstance(config, TokensConfig) else SmplerX(config)


def _vit(size: str, options: Mapping[str, Any]) -> VitConfig:
    if size not in VITS:
        raise UsageError(
            f"expected a size of {', '.join(VITS)}, found {size!r}", fix=f"choose one of {', '.join(VITS)}"
        )
    return replace(VITS[size], **options)
