"""SMPLer-X (Cai et al., arXiv 2309.17448): task tokens in the encoder, 3D heatmaps, hands read from their own regions.

Module names below `head` are those of the public checkpoints (`train.models.public_weights`). Three differences:
hand regions are read by interpolation weights instead of a compiled operator (`train.models.regions`, same numbers);
the crop comes at 256 x 192 px instead of being thinned out from 512 x 384; and unless the weights are published ones,
batch normalisation is group normalisation, so that no sample depends on another, and the start is the mean body.
Dimension letters: B batch, N patches, T = 31 task tokens, D width, C cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from harmonize.errors import UsageError
from train.models.box_net import BoxNet, square_boxes
from train.models.heatmap import BODY_JOINTS, DEPTH_CELLS, HAND_CELLS, LEFT_HAND_JOINTS, PositionNet
from train.models.norms import map_norm, upsampling
from train.models.prediction import NUM_BETAS, NUM_EXPRESSION, ROTATIONS, Prediction, from_numbers, mean_numbers
from train.models.regions import at_points, in_boxes
from train.models.virtual_camera import depth_number, translation_m, weak_from_virtual
from train.models.vit import VitConfig, make_vit, vit_tokens
from train.rotations import aa_to_rotmat, rot6d_to_rotmat, rotmat_to_aa
from train.steps import Regressor

NUM_TASK_TOKENS = 31
_SHAPE, _CAMERA, _EXPRESSION, _JAW, _BODY = 0, 1, 2, 3, 6  # 4 and 5, the hands', are never read
_FEATURES = 512
_UPSCALE = 4
_HAND_ENLARGED = 2.0
_NUM_HAND = 15
_NUM_BODY = 21
_STD_MAP, _STD_LINEAR = 0.001, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class SmplerXConfig:
    """Sizes. is_published: for the public checkpoints' weights: stored batch statistics, hands relative to the mean
    hand, and a translation of the model instead of its pelvis (`PublishedFrame`).

    Raises:
        UsageError: the width cannot be divided as the hand network needs it.
    """

    vit: VitConfig
    is_published: bool = False

    def __post_init__(self) -> None:
        if self.vit.width % _UPSCALE:
            raise UsageError(
                f"SMPLer-X: expected an encoder width that {_UPSCALE} divides, found {self.vit.width}",
                fix=f"a multiple of {_UPSCALE}",
            )


class SmplerXExtra(NamedTuple):
    """What SMPLer-X says besides the body, for its own losses; units as in `train.models.heatmap`.

    body_joints (B, 25, 3) in cells of the body's heatmap. hand_joints (B, 2, 20, 3), left and right, in cells of their
    boxes. box_centres, box_sizes (B, 3, 2): left hand, right hand, face, in cells of the body's heatmap.
    hand_boxes_px (B, 2, 4): xmin, ymin, xmax, ymax in the crop of what the hands were read from, without gradient.
    """

    body_joints: Tensor
    hand_joints: Tensor
    box_centres: Tensor
    box_sizes: Tensor
    hand_boxes_px: Tensor


class SmplerX(Regressor):
    """Crop to `Prediction`, and with `forward_full` to `SmplerXExtra` too. It is not told of the camera: the condition
    is not used."""

    head_names = ("head.",)

    def __init__(self, config: SmplerXConfig) -> None:
        super().__init__()
        self.config = config
        self.size_px = config.vit.size_px
        self.encoder = make_vit(config.vit, NUM_TASK_TOKENS)
        self.head = SmplerXHead(config)

    def encode(self, crop: Tensor, condition: Tensor) -> Tensor:
        return vit_tokens(self.encoder, crop)

    def decode(self, tokens: Tensor, condition: Tensor) -> Prediction:
        return self.decode_full(tokens)[0]

    def decode_full(self, tokens: Tensor) -> tuple[Prediction, SmplerXExtra]:
        """The body that tokens (B, T + N, D) say, and what else."""
        found: tuple[Prediction, SmplerXExtra] = self.head(tokens)
        return found

    def forward_full(self, crop: Tensor, condition: Tensor) -> tuple[Prediction, SmplerXExtra]:
        """As `forward`, with what SMPLer-X's losses need besides."""
        return self.decode_full(self.encode(crop, condition))


class SmplerXHead(nn.Module):
    """Tokens (B, T + N, D) to `Prediction` and `SmplerXExtra`."""

    mirror: Tensor

    def __init__(self, config: SmplerXConfig) -> None:
        super().__init__()
        width = config.vit.width
        self.config = config
        self.body_position_net = PositionNet(width, len(BODY_JOINTS))
        self.body_regressor = BodyRegressor(width)
        self.box_net = BoxNet(width + len(BODY_JOINTS) * DEPTH_CELLS, config.is_published)
        self.hand_roi_net = HandRegions(width, config.is_published)
        self.hand_position_net = PositionNet(width, len(LEFT_HAND_JOINTS))
        self.hand_regressor = HandRegressor(width, config.is_published)
        self.face_regressor = FaceRegressor(width)
        self.apply(_start)
        self.published = PublishedFrame() if config.is_published else None
        if not config.is_published:
            self._start_at_the_mean_body()
        self.register_buffer("mirror", _mirror(), persistent=False)

    def forward(self, tokens: Tensor) -> tuple[Prediction, SmplerXExtra]:
        vit = self.config.vit
        task = tokens[:, :NUM_TASK_TOKENS]
        patches = tokens[:, NUM_TASK_TOKENS:].transpose(1, 2)
        maps = patches.reshape(*patches.shape[:2], *vit.grid)
        heatmap, body_joints = self.body_position_net(maps)
        root_body, betas, camera = self.body_regressor(task, body_joints.detach())
        centres, sizes = self.box_net(maps, heatmap.detach())
        boxes = square_boxes(centres[:, :2], sizes[:, :2], _HAND_ENLARGED).detach()
        hand_maps = self.hand_roi_net(maps, boxes).flatten(0, 1)
        _, hand_joints = self.hand_position_net(hand_maps)
        hands = self._rotmats(self.hand_regressor(hand_maps, hand_joints.detach()))
        left, right = hands[0::2] * self.mirror, hands[1::2]
        jaw, expression = self.face_regressor(task)
        pelvis_m = translation_m(camera, vit.size_px)
        if self.published is not None:
            left, right = self.published.absolute_hands(left, right)
            pelvis_m = pelvis_m + self.published.rest_pelvis_m(betas)
        rotmat = torch.cat([self._rotmats(root_body), self._rotmats(jaw), left, right], dim=1)
        prediction = Prediction(rotmat, betas, expression, weak_from_virtual(pelvis_m, vit.size_px))
        extra = SmplerXExtra(body_joints, _unmirrored(hand_joints), centres, sizes, boxes * vit.patch_px)
        return prediction, extra

    def _rotmats(self, numbers: Tensor) -> Tensor:
        """Rotations (B, J, 3, 3) of numbers (B, 6 J), which hold each two columns row by row."""
        return rot6d_to_rotmat(numbers.reshape(len(numbers), -1, 3, 2).transpose(-1, -2).flatten(-2))

    @torch.no_grad()
    def _start_at_the_mean_body(self) -> None:
        """Biases that say the mean body: from zero, every rotation would start where Gram-Schmidt has no answer."""
        numbers = mean_numbers()
        rotmat = from_numbers(numbers[None]).rotmat[0]
        two_columns = {part: rotmat[at, :, :2].flatten() for part, at in ROTATIONS.items()}
        _set_bias(self.body_regressor.root_pose_out, two_columns["global_orient"])
        _set_bias(self.body_regressor.body_pose_out, two_columns["body_pose"])
        _set_bias(self.face_regressor.jaw_pose_out, two_columns["jaw"])
        _set_bias(self.hand_regressor.hand_pose_out, two_columns["right_hand"])
        depth = depth_number(numbers[-3:-2].exp(), self.config.vit.size_px)
        _set_bias(self.body_regressor.cam_out, torch.cat([torch.zeros(2), depth]))


class BodyRegressor(nn.Module):
    """Task tokens (B, T, D) and body joints (B, 25, 3) to 6D numbers of root and body (B, 132), betas, camera."""

    def __init__(self, width: int) -> None:
        super().__init__()
        joints = len(BODY_JOINTS) * (_FEATURES + 3)
        self.body_conv = nn.Sequential(nn.Linear(width, _FEATURES))
        self.root_pose_out = nn.Sequential(nn.Linear(joints, 6))
        self.body_pose_out = nn.Sequential(nn.Linear(joints, _NUM_BODY * 6))
        self.shape_out = nn.Sequential(nn.Linear(width, NUM_BETAS))
        self.cam_out = nn.Sequential(nn.Linear(width, 3))

    def forward(self, task: Tensor, joints: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        read = torch.cat([self.body_conv(task[:, _BODY:]), joints], dim=2).flatten(1)
        root_body = torch.cat([self.root_pose_out(read), self.body_pose_out(read)], dim=1)
        return root_body, self.shape_out(task[:, _SHAPE]), self.cam_out(task[:, _CAMERA])


class HandRegions(nn.Module):
    """Feature map (B, D, C, C) and boxes (B, 2, 4) in its cells to maps (B, 2, D, 16, 16), the left one mirrored."""

    def __init__(self, width: int, is_stored: bool) -> None:
        super().__init__()
        self.deconv = upsampling((width, width // 2, width // _UPSCALE), is_stored)
        self.conv = nn.Sequential(nn.Conv2d(width // _UPSCALE, width, kernel_size=1))

    def forward(self, maps: Tensor, boxes: Tensor) -> Tensor:
        left, right = in_boxes(self.deconv(maps), boxes * _UPSCALE, HAND_CELLS).unbind(1)
        read = torch.stack([left.flip(-1), right], dim=1)
        found: Tensor = self.conv(read.flatten(0, 1)).unflatten(0, (-1, 2))
        return found


class HandRegressor(nn.Module):
    """Right hands' maps (B, D, 16, 16) and joints (B, 20, 3) to 6D numbers (B, 90)."""

    def __init__(self, width: int, is_stored: bool) -> None:
        super().__init__()
        self.hand_conv = nn.Sequential(nn.Conv2d(width, _FEATURES, 1), map_norm(_FEATURES, is_stored), nn.ReLU())
        self.hand_pose_out = nn.Sequential(nn.Linear(len(LEFT_HAND_JOINTS) * (_FEATURES + 3), _NUM_HAND * 6))

    def forward(self, maps: Tensor, joints: Tensor) -> Tensor:
        read = torch.cat([at_points(self.hand_conv(maps), joints[..., :2]), joints], dim=2)
        found: Tensor = self.hand_pose_out(read.flatten(1))
        return found


class FaceRegressor(nn.Module):
    """Task tokens (B, T, D) to 6D numbers of the jaw (B, 6) and expression (B, 10)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expr_out = nn.Sequential(nn.Linear(width, NUM_EXPRESSION))
        self.jaw_pose_out = nn.Sequential(nn.Linear(width, 6))

    def forward(self, task: Tensor) -> tuple[Tensor, Tensor]:
        return self.jaw_pose_out(task[:, _JAW]), self.expr_out(task[:, _EXPRESSION])


class PublishedFrame(nn.Module):
    """What the public weights leave to the body model: hands are said relative to the mean hand, added as axis-angle
    vectors, and the camera moves the model's origin, so that the pelvis is at the rest pelvis of the shape."""

    hand_mean_aa: Tensor
    pelvis: Tensor
    pelvis_by_beta: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hand_mean_aa", torch.zeros(2, _NUM_HAND, 3))
        self.register_buffer("pelvis", torch.zeros(3))
        self.register_buffer("pelvis_by_beta", torch.zeros(NUM_BETAS, 3))

    def absolute_hands(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Absolute rotations (B, 15, 3, 3) of both hands."""
        return (
            aa_to_rotmat(rotmat_to_aa(left) + self.hand_mean_aa[0]),
            aa_to_rotmat(rotmat_to_aa(right) + self.hand_mean_aa[1]),
        )

    def rest_pelvis_m(self, betas: Tensor) -> Tensor:
        """(B, 3) metres in the model's frame."""
        return self.pelvis + betas @ self.pelvis_by_beta


def _mirror() -> Tensor:
    """Times which (elementwise) a right hand's rotations are the left's: M R M with M the reflection of x."""
    axis = torch.tensor([-1.0, 1.0, 1.0])
    return axis[:, None] * axis


def _unmirrored(joints: Tensor) -> Tensor:
    """(2 B, 20, 3), left hands mirrored, to (B, 2, 20, 3) as they are seen."""
    left, right = joints[0::2], joints[1::2]
    return torch.stack([torch.cat([HAND_CELLS - 1 - left[..., :1], left[..., 1:]], dim=-1), right], dim=1)


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=_STD_LINEAR)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=_STD_MAP)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _set_bias(net: nn.Sequential, bias: Tensor) -> None:
    cast(nn.Linear, net[0]).bias.copy_(bias)
