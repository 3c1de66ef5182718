"""A small plain vision transformer (Dosovitskiy et al., arXiv 2010.11929) that regresses body parameters from a crop.

Dimension letters: B batch, N patches, D width, J joints (22: global_orient and 21 of body_pose).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.rotations import rot6d_to_rotmat, rotmat_to_rot6d

NUM_JOINTS = 22
NUM_BETAS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyVitConfig:
    """Sizes of the network; the defaults make 1.3 million parameters."""

    height_px: int = 128
    width_px: int = 96
    patch_px: int = 16
    width: int = 128
    depth: int = 6
    num_heads: int = 4


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of a crop.

    rotmat (B, 22, 3, 3): global_orient (camera frame) and body_pose (parent joint); betas (B, 10);
    weak_camera (B, 3): scale, x, y so that crop coordinates in [-1, 1] of the height are scale * (X, Y)_m + (x, y),
    with (X, Y) in metres relative to the pelvis.
    """

    rotmat: Tensor
    betas: Tensor
    weak_camera: Tensor


class TinyVit(nn.Module):
    """Crop (B, 3, height, width), float in [0, 1], to `Prediction`."""

    def __init__(self, config: TinyVitConfig) -> None:
        super().__init__()
        self.config = config
        num_patches = (config.height_px // config.patch_px) * (config.width_px // config.patch_px)
        self.patches = nn.Conv2d(3, config.width, config.patch_px, config.patch_px)
        self.positions = nn.Parameter(torch.randn(1, num_patches, config.width) * 0.02)
        self.blocks = nn.Sequential(*(Block(config.width, config.num_heads) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, NUM_JOINTS * 6 + NUM_BETAS + 3)
        # Start at the mean body: rest pose seen from the front (a camera looks along +z with y down, so the upright
        # body is turned by pi about x), mean shape, a person as high as the crop's middle three quarters.
        rest = torch.eye(3).repeat(NUM_JOINTS, 1, 1)
        rest[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        start = torch.cat([rotmat_to_rot6d(rest).flatten(), torch.zeros(NUM_BETAS), torch.tensor([0.9, 0.0, 0.0])])
        nn.init.normal_(self.head.weight, std=0.01)
        with torch.no_grad():
            self.head.bias.copy_(start)

    def forward(self, crop: Tensor) -> Prediction:
        tokens_bnd = self.patches((crop - 0.5) / 0.25).flatten(2).transpose(1, 2) + self.positions
        pooled_bd = self.norm(self.blocks(tokens_bnd)).mean(dim=1)
        rot6d, betas, weak_camera = self.head(pooled_bd).split([NUM_JOINTS * 6, NUM_BETAS, 3], dim=1)
        return Prediction(rot6d_to_rotmat(rot6d.unflatten(1, (NUM_JOINTS, 6))), betas, weak_camera)


class Block(nn.Module):
    """Pre-norm attention and two-layer perceptron, (B, N, D) to (B, N, D)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_bnd: Tensor) -> Tensor:
        qkv = self.qkv(self.norm_attention(x_bnd)).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        x_bnd = x_bnd + self.out(attended.transpose(1, 2).flatten(2))
        x_bnd = x_bnd + self.mlp(self.norm_mlp(x_bnd))
        return x_bnd
