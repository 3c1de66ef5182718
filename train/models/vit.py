"""The picture encoder of every network here: a plain vision transformer in the form of ViTPose (arXiv 2204.12484).

No class token, patch embedding padded by 2 px, one learned position per patch. LayerNorm only, no dropout, no
stochastic depth. Task tokens, where a network wants them, stand in front and get no position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from catalogs.attributes.features.timm_import import timm
from harmonize.errors import UsageError

PATCH_PADDING_PX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class VitConfig:
    """Sizes of the encoder. height_px, width_px: of the crop.

    use_checkpoint: blocks are computed again in the backward pass instead of kept; for L and H. Not while the encoder's
        own weights are mapped per sample (`torch.vmap`), because the second computation happens outside the map.
    fused_attention: torch's fused kernels, which save memory and time but have no second derivatives.

    Raises:
        UsageError: the sizes do not fit each other.
    """

    width: int
    depth: int
    num_heads: int
    height_px: int = 256
    width_px: int = 192
    patch_px: int = 16
    use_checkpoint: bool = False
    fused_attention: bool = False

    def __post_init__(self) -> None:
        sizes = (self.width, self.depth, self.num_heads, self.height_px, self.width_px, self.patch_px)
        if min(sizes) < 1:
            raise UsageError(f"encoder: expected sizes of at least 1, found {sizes}", fix="give positive sizes")
        if self.width % self.num_heads:
            raise UsageError(
                f"encoder: expected a width that its heads divide, found {self.width} and {self.num_heads} heads",
                fix=f"a width of {self.num_heads * max(1, round(self.width / self.num_heads))}",
            )
        if self.height_px % self.patch_px or self.width_px % self.patch_px:
            raise UsageError(
                f"encoder: expected a crop of whole patches of {self.patch_px} px, found {self.height_px} x "
                f"{self.width_px} px",
                fix=f"height_px and width_px that are multiples of {self.patch_px}",
            )

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the crop."""
        return self.height_px, self.width_px

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patches."""
        return self.height_px // self.patch_px, self.width_px // self.patch_px


VITS: Mapping[str, VitConfig] = {
    "tiny": VitConfig(width=128, depth=4, num_heads=4, height_px=128, width_px=96),
    "small": VitConfig(width=384, depth=12, num_heads=12),
    "base": VitConfig(width=768, depth=12, num_heads=12),
    "large": VitConfig(width=1024, depth=24, num_heads=16),
    "huge": VitConfig(width=1280, depth=32, num_heads=16),
}
"""ViTPose's sizes, and one for a processor. ViTPose-S has 12 heads where other small transformers have 6."""


def make_vit(config: VitConfig, num_task_tokens: int = 0) -> nn.Module:
    """timm's transformer of these sizes, from torch's own random state."""
    vit: nn.Module = timm().models.VisionTransformer(
        img_size=config.size_px,
        patch_size=config.patch_px,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.num_heads,
        num_classes=0,
        global_pool="",
        class_token=False,
        reg_tokens=num_task_tokens,
        no_embed_class=True,
    )
    parts: Any = vit
    parts.patch_embed.proj.padding = (PATCH_PADDING_PX, PATCH_PADDING_PX)
    for block in parts.blocks:
        block.attn.fused_attn = config.fused_attention
    parts.set_grad_checkpointing(config.use_checkpoint)
    return vit


def vit_tokens(vit: nn.Module, crop: Tensor) -> Tensor:
    """Task and patch tokens (B, T + N, D), normalised, of crops (B, 3, H, W); patches row by row."""
    features: Any = vit
    found: Tensor = features.forward_features(crop)
    return found
