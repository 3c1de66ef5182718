"""Where the hands and the face are: SMPLer-X's box network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.models.heatmap import expected
from train.models.norms import upsampling
from train.models.regions import at_points

_CHANNELS = 256
_UPSCALE = 8


class BoxNet(nn.Module):
    """Feature map (B, C, H, W) and body heatmaps (B, J, D, H, W) to centres and sizes (B, 3, 2) of the boxes of left
    hand, right hand and face, x, y in cells of the feature map."""

    def __init__(self, num_channels: int, is_stored: bool) -> None:
        super().__init__()
        self.deconv = upsampling((num_channels, _CHANNELS, _CHANNELS, _CHANNELS), is_stored)
        self.bbox_center = nn.Sequential(nn.Conv2d(_CHANNELS, 3, kernel_size=1))
        self.lhand_size, self.rhand_size, self.face_size = (
            nn.Sequential(nn.Linear(_CHANNELS, _CHANNELS), nn.ReLU(), nn.Linear(_CHANNELS, 2)) for _ in range(3)
        )

    def forward(self, features: Tensor, heatmap: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.deconv(torch.cat([features, heatmap.flatten(1, 2)], dim=1))
        logits = self.bbox_center(fine)
        places = logits.flatten(2).softmax(-1).reshape(logits.shape)
        centres = torch.stack([expected(places.sum(2)), expected(places.sum(3))], dim=-1)
        read = at_points(fine, centres.detach())
        nets = (self.lhand_size, self.rhand_size, self.face_size)
        sizes = torch.stack([net(read[:, part]) for part, net in enumerate(nets)], dim=1)
        return centres / _UPSCALE, sizes


def square_boxes(centres: Tensor, sizes: Tensor, enlarged: float) -> Tensor:
    """xmin, ymin, xmax, ymax (..., 4) of squares whose side is the longer of `sizes` (..., 2) times `enlarged`."""
    half = sizes.amax(-1, keepdim=True) * (enlarged / 2)
    return torch.cat([centres - half, centres + half], dim=-1)
