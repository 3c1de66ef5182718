"""A regressor that reads everything by attention, in one pass: picture tokens, a few queries per part, linear heads.

In the manner of HMR 2.0 (arXiv 2305.20091) and SMPLest-X (arXiv 2501.09782), with one group of queries per part. There
are no region crops and nothing depends on a prediction before the last layer, so that the head can be mapped over
per-sample weights and differentiated twice. Dimension letters: B batch, N patches, D width, Q queries, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from catalogs.attributes.features.layouts import IMAGENET_MEAN, IMAGENET_STD
from harmonize.errors import UsageError
from train.models.prediction import NUM_BETAS, NUM_EXPRESSION, ROTATIONS, Prediction, from_numbers, mean_numbers
from train.models.vit import VitConfig, make_vit, vit_tokens
from train.steps import Regressor

_NUM_CAMERA = 3
_START_GAIN = 0.01  # the first answers are the mean body, give or take a degree


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensConfig:
    """Sizes of encoder and head. *_queries: how many tokens each part may ask the picture with.

    Raises:
        UsageError: the sizes do not fit each other.
    """

    vit: VitConfig
    decoder_width: int = 512
    num_layers: int = 3
    num_heads: int = 8
    body_queries: int = 4
    hand_queries: int = 4
    face_queries: int = 2
    camera_queries: int = 1

    def __post_init__(self) -> None:
        sizes = (self.decoder_width, self.num_layers, self.num_heads, *self.queries.values())
        if min(sizes) < 1:
            raise UsageError(f"token decoder: expected sizes of at least 1, found {sizes}", fix="give positive sizes")
        if self.decoder_width % self.num_heads:
            raise UsageError(
                f"token decoder: expected a width that its heads divide, found {self.decoder_width} and "
                f"{self.num_heads} heads",
                fix=f"a decoder_width of {self.num_heads * max(1, round(self.decoder_width / self.num_heads))}",
            )

    @property
    def queries(self) -> dict[str, int]:
        """Queries by part, in the order in which they stand."""
        return {
            "body": self.body_queries,
            "left_hand": self.hand_queries,
            "right_hand": self.hand_queries,
            "face": self.face_queries,
            "camera": self.camera_queries,
        }


class TokensModel(Regressor):
    """Crop and condition to `Prediction` through `TokenDecoder`; starts near the mean body."""

    head_names = ("head.",)
    colour_mean: Tensor
    colour_std: Tensor

    def __init__(self, config: TokensConfig) -> None:
        super().__init__()
        self.config = config
        self.size_px = config.vit.size_px
        self.encoder = make_vit(config.vit)
        self.head = TokenDecoder(config)
        self.register_buffer("colour_mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("colour_std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def encode(self, crop: Tensor, condition: Tensor) -> Tensor:
        return vit_tokens(self.encoder, (crop - self.colour_mean) / self.colour_std)

    def decode(self, tokens: Tensor, condition: Tensor) -> Prediction:
        return from_numbers(self.head(tokens, condition))


class TokenDecoder(nn.Module):
    """Tokens (B, N, D) and condition (B, 3) to the 341 numbers (B, 341) of `train.models.prediction`."""

    mean: Tensor

    def __init__(self, config: TokensConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.counts = config.queries
        self.queries = nn.Parameter(torch.randn(sum(self.counts.values()), width) * 0.02)
        self.condition = nn.Linear(3, width)
        self.layers = nn.ModuleList(
            DecoderLayer(width, config.vit.width, config.num_heads) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)
        numbers = {name: (at.stop - at.start) * 6 for name, at in ROTATIONS.items()}
        outputs = {
            "body": numbers["global_orient"] + numbers["body_pose"] + NUM_BETAS,
            "left_hand": numbers["left_hand"],
            "right_hand": numbers["right_hand"],
            "face": numbers["jaw"] + NUM_EXPRESSION,
            "camera": _NUM_CAMERA,
        }
        self.outputs = nn.ModuleDict({part: nn.Linear(n * width, outputs[part]) for part, n in self.counts.items()})
        for output in self.outputs.values():
            nn.init.xavier_uniform_(output.weight, gain=_START_GAIN)  # type: ignore[arg-type]
            nn.init.zeros_(output.bias)  # type: ignore[arg-type]
        self.register_buffer("mean", mean_numbers())

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        x_bqd = self.queries + self.condition(condition)[:, None]
        for layer in self.layers:
            x_bqd = layer(x_bqd, tokens)
        parts = zip(self.counts, self.norm(x_bqd).split(list(self.counts.values()), dim=1), strict=True)
        found = {part: self.outputs[part](x.flatten(1)) for part, x in parts}
        body, betas = found["body"][:, :-NUM_BETAS], found["body"][:, -NUM_BETAS:]
        jaw, expression = found["face"][:, :-NUM_EXPRESSION], found["face"][:, -NUM_EXPRESSION:]
        ordered = [body, jaw, found["left_hand"], found["right_hand"], betas, expression, found["camera"]]
        return self.mean + torch.cat(ordered, dim=1)


class DecoderLayer(nn.Module):
    """Queries (B, Q, D) look at each other, then at the tokens (B, N, context_width), then through a perceptron."""

    def __init__(self, width: int, context_width: int, num_heads: int) -> None:
        super().__init__()
        self.norm_self, self.norm_cross, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.among = Attention(width, width, num_heads)
        self.across = Attention(width, context_width, num_heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_bqd: Tensor, tokens: Tensor) -> Tensor:
        own = self.norm_self(x_bqd)
        x_bqd = x_bqd + self.among(own, own)
        x_bqd = x_bqd + self.across(self.norm_cross(x_bqd), tokens)
        x_bqd = x_bqd + self.mlp(self.norm_mlp(x_bqd))
        return x_bqd


class Attention(nn.Module):
    """Attention of (B, Q, width) to (B, N, context_width). In plain products, because fused kernels cannot be
    differentiated twice; the queries are few, so that nothing is lost."""

    def __init__(self, width: int, context_width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context_width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q_bhqd = self.query(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.key_value(context).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q_bhqd @ key.transpose(-1, -2) * q_bhqd.shape[-1] ** -0.5).softmax(-1)
        found: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return found
