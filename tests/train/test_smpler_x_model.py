"""SMPLer-X: features read in boxes and at points, heatmaps, boxes, mirrored hands, its camera, and its size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from harmonize.errors import UsageError
from train.models.box_net import square_boxes
from train.models.heatmap import BODY_JOINTS, LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS, PositionNet, to_hand_cells
from train.models.norms import StoredBatchNorm
from train.models.prediction import Prediction, from_numbers, mean_numbers
from train.models.regions import at_points, in_boxes
from train.models.registry import build, smpler_x_config
from train.models.smpler_x import SmplerX, SmplerXConfig
from train.models.virtual_camera import translation_m, weak_from_virtual
from train.models.vit import VitConfig
from train.rotations import rotmat_to_aa

VIT = VitConfig(width=32, depth=1, num_heads=2, height_px=64, width_px=48)


@pytest.fixture
def network() -> SmplerX:
    found = build(SmplerXConfig(vit=VIT), seed=0)
    assert isinstance(found, SmplerX)
    return found.double()


def pictures(number: int = 2) -> tuple[Tensor, Tensor]:
    crop = torch.rand(number, 3, 64, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return crop, torch.zeros(number, 3, dtype=torch.float64)


def roi_align(features: npt.NDArray[Any], box: list[float], bins: int) -> npt.NDArray[Any]:
    """RoIAlign of one box as its authors define it, by loops."""
    channels, height, width = features.shape
    step = [max(box[2] - box[0], 1) / bins, max(box[3] - box[1], 1) / bins]
    number = [math.ceil(step[0]), math.ceil(step[1])]
    found = np.zeros((channels, bins, bins))
    for row in range(bins):
        for column in range(bins):
            for i in range(number[1]):
                for j in range(number[0]):
                    y = box[1] + (row + (i + 0.5) / number[1]) * step[1]
                    x = box[0] + (column + (j + 0.5) / number[0]) * step[0]
                    if not (-1 <= y <= height and -1 <= x <= width):
                        continue
                    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                    top, left = min(int(y), height - 2), min(int(x), width - 2)
                    for row_at, row_weight in ((top, top + 1 - y), (top + 1, y - top)):
                        for column_at, column_weight in ((left, left + 1 - x), (left + 1, x - left)):
                            found[:, row, column] += row_weight * column_weight * features[:, row_at, column_at]
    return found / (number[0] * number[1])


BOXES = [[3.2, 4.1, 17.9, 20.2], [-9.0, -3.0, 40.0, 38.0], [5.0, 5.0, 5.2, 4.0], [10.0, 20.0, 22.0, 40.0]]


def test_boxes_are_read_as_roi_align_does() -> None:
    features = torch.randn(2, 5, 24, 18, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    boxes = torch.tensor(BOXES, dtype=torch.float64).view(2, 2, 4)
    found = in_boxes(features, boxes, 8).numpy()
    for i in range(2):
        for j in range(2):
            expected = roi_align(features[i].numpy(), boxes[i, j].tolist(), 8)
            assert np.abs(found[i, j] - expected).max() < 1e-12


def test_a_mirrored_box_of_a_mirrored_map_is_mirrored() -> None:
    features = torch.randn(1, 2, 24, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor(BOXES[:1], dtype=torch.float64)[None]
    mirrored = torch.stack([17 - boxes[..., 2], boxes[..., 1], 17 - boxes[..., 0], boxes[..., 3]], dim=-1)
    assert torch.allclose(in_boxes(features.flip(-1), mirrored, 8).flip(-1), in_boxes(features, boxes, 8))


def test_points_are_read_bilinearly() -> None:
    features = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    points = torch.rand(2, 9, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([8.0, 6.0]) - 1
    grid = points / torch.tensor([6.0, 4.0]) * 2 - 1
    expected = nn.functional.grid_sample(features, grid[:, :, None], align_corners=True)[..., 0].transpose(1, 2)
    assert torch.allclose(at_points(features, points), expected, atol=1e-5)


def test_features_are_differentiable_twice() -> None:
    features = torch.randn(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[[0.3, 0.4, 3.9, 4.6]]], dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda f: in_boxes(f, boxes, 2).square(), (features,))


def test_a_heatmap_s_joint_is_where_its_peak_is() -> None:
    net = PositionNet(4, 2)
    features = torch.zeros(1, 4, 6, 5)
    features[0, 0, 4, 1] = features[0, 1, 2, 3] = 1
    with torch.no_grad():
        net.conv[0].weight.zero_()  # type: ignore[union-attr, operator]
        net.conv[0].weight[7, 0] = net.conv[0].weight[16 + 9, 1] = 100  # type: ignore[index, operator]
    heatmap, joints = net(features)
    assert heatmap.shape == (1, 2, 16, 6, 5)
    assert torch.allclose(heatmap.flatten(2).sum(2), torch.ones(1, 2))
    assert torch.allclose(joints, torch.tensor([[[1.0, 4.0, 7.0], [3.0, 2.0, 9.0]]]), atol=1e-3)


def test_joints_of_the_heatmaps_are_smpler_x_s() -> None:
    # Its common/utils/human_models.py: the first 65 of joint_idx.
    body = [0, 1, 2, 4, 5, 7, 8, 12, 16, 17, 18, 19, 20, 21, 60, 61, 62, 63, 64, 65, 59, 58, 57, 56, 55]
    left = [37, 38, 39, 66, 25, 26, 27, 67, 28, 29, 30, 68, 34, 35, 36, 69, 31, 32, 33, 70]
    right = [52, 53, 54, 71, 40, 41, 42, 72, 43, 44, 45, 73, 49, 50, 51, 74, 46, 47, 48, 75]
    assert [list(BODY_JOINTS), list(LEFT_HAND_JOINTS), list(RIGHT_HAND_JOINTS)] == [body, left, right]


def test_hand_boxes_are_squares_and_points_in_them_become_cells() -> None:
    box = square_boxes(torch.tensor([[5.0, 6.0]]), torch.tensor([[1.0, 2.0]]), 2.0)
    assert box.tolist() == [[3.0, 4.0, 7.0, 8.0]]
    cells = to_hand_cells(torch.tensor([[[[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]]]), box[None])
    assert cells.tolist() == [[[[0.0, 0.0], [8.0, 8.0], [16.0, 16.0]]]]


def test_without_features_it_says_the_mean_body(network: SmplerX) -> None:
    with torch.no_grad():
        for module in network.head.modules():
            if isinstance(module, nn.Linear):
                module.weight.zero_()
    prediction = network(*pictures())
    for found, expected in zip(prediction, from_numbers(mean_numbers().double().expand(2, -1)), strict=True):
        assert torch.allclose(found, expected, atol=1e-6)


def test_what_is_returned(network: SmplerX) -> None:
    prediction, extra = network.forward_full(*pictures())
    assert [tuple(part.shape) for part in extra] == [(2, 25, 3), (2, 2, 20, 3), (2, 3, 2), (2, 3, 2), (2, 2, 4)]
    for a, b in zip(prediction, network(*pictures()), strict=True):
        assert torch.equal(a, b)
    assert torch.allclose(prediction.rotmat @ prediction.rotmat.mT, torch.eye(3, dtype=torch.float64), atol=1e-10)
    cells = torch.tensor([3.0, 4.0, 16.0], dtype=torch.float64)
    assert ((extra.body_joints >= 0) & (extra.body_joints <= cells - 1)).all()
    centre = (extra.hand_boxes_px[..., :2] + extra.hand_boxes_px[..., 2:]) / 2
    assert torch.allclose(centre, extra.box_centres[:, :2] * 16)
    assert not extra.hand_boxes_px.requires_grad
    prediction.rotmat.sum().backward()
    # As in SMPLer-X: rotations read the joints and boxes, and do not teach them.
    assert all(parameter.grad is None for parameter in network.head.box_net.parameters())
    assert all(parameter.grad is None for parameter in network.head.body_position_net.parameters())


def test_left_hands_are_mirrored_right_hands(network: SmplerX) -> None:
    with torch.no_grad():
        network.head.hand_regressor.hand_pose_out[0].weight.zero_()  # type: ignore[union-attr, operator]
        bias = network.head.hand_regressor.hand_pose_out[0].bias
        bias.copy_(torch.randn(90, generator=torch.Generator().manual_seed(0)))  # type: ignore[union-attr, operator]
        network.head.hand_position_net.conv[0].weight.zero_()  # type: ignore[union-attr, operator]
    prediction, extra = network.forward_full(*pictures())
    left, right = rotmat_to_aa(prediction.rotmat[:, 23:38]), rotmat_to_aa(prediction.rotmat[:, 38:])
    assert torch.allclose(left, right * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    # Even heatmaps: both at the middle, which is the middle of the mirrored one too.
    assert torch.allclose(extra.hand_joints, torch.full_like(extra.hand_joints, 7.5))
    with torch.no_grad():
        weights = torch.zeros(20 * 16, 32, 1, 1, dtype=torch.float64)
        weights[:, 0] = 3
        network.head.hand_position_net.conv[0].weight.copy_(weights)  # type: ignore[union-attr, operator]
    ramp = torch.zeros(4, 32, 16, 16, dtype=torch.float64)
    ramp[:, 0] = torch.arange(16)
    network.head.hand_roi_net.forward = lambda maps, boxes: ramp.unflatten(0, (2, 2))  # type: ignore[method-assign]
    _, extra = network.forward_full(*pictures())
    assert extra.hand_joints[:, 0, :, 0].max() < 1
    assert extra.hand_joints[:, 1, :, 0].min() > 14


def test_no_sample_depends_on_others_or_on_the_mode(network: SmplerX) -> None:
    crop, condition = pictures(3)
    together = network.train()(crop, condition)
    alone = network.eval()(crop[2:], condition[2:])
    for one, many in zip(alone, together, strict=True):
        assert torch.allclose(one, many[2:], rtol=0, atol=1e-10)


def test_the_head_may_be_mapped_over_weights_and_differentiated_twice(network: SmplerX) -> None:
    crop, condition = pictures()
    tokens = network.encode(crop, condition).detach()
    head = {name: value.detach() for name, value in network.head.named_parameters()}
    fast = {name: value.expand(2, *value.shape).clone().requires_grad_() for name, value in head.items()}

    def one(weights: dict[str, Tensor], tokens: Tensor) -> Prediction:
        prediction, _ = functional_call(network.head, weights, (tokens[None],))
        return Prediction(*(part[0] for part in prediction))

    found = vmap(one)(fast, tokens)
    for a, b in zip(found, network.decode(tokens, condition), strict=True):
        assert torch.allclose(a, b, atol=1e-12)
    total = sum((part.sin().sum() for part in found), torch.zeros(()))
    used = {
        name: value for name, value in fast.items() if not name.startswith(("box_net.", "body_position", "hand_pos"))
    }
    first = torch.autograd.grad(total, list(used.values()), create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), list(used.values()))  # type: ignore[arg-type]
    assert all(torch.isfinite(gradient).all() for gradient in second)
    assert all(gradient.abs().max() > 0 for gradient in second)


def test_stored_statistics_are_batch_norm_s_in_use() -> None:
    norm, own = nn.BatchNorm2d(3), StoredBatchNorm(3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in norm.state_dict().items():
            if tensor.ndim:
                tensor.copy_(torch.rand(3, generator=generator) + 0.5)
                own.state_dict()[name].copy_(tensor)
    x = torch.randn(2, 3, 4, 4, generator=generator)
    assert torch.allclose(own.train()(x), norm.eval()(x), atol=1e-6)


def test_the_weak_camera_sees_what_the_virtual_one_sees() -> None:
    numbers = torch.tensor([[0.3, -0.2, 0.4], [-0.1, 0.5, -1.0]], dtype=torch.float64)
    pelvis = translation_m(numbers, (256, 192))
    # k = sqrt(5000 * 5000 * 2.5^2 / (256 * 192)) = 56.4 of SMPLer-X's main/SMPLer_X.py
    assert torch.allclose(pelvis[:, 2], 56.3803 * numbers[:, 2].sigmoid(), atol=1e-3)
    seen = 5000 * pelvis[:, :2] / pelvis[:, 2:] + torch.tensor([96.0, 128.0])
    weak = weak_from_virtual(pelvis, (256, 192))
    assert torch.allclose(weak[:, 1:] * 128 + torch.tensor([96.0, 128.0]), seen)
    metre_px = 5000 / pelvis[:, 2]
    assert torch.allclose(weak[:, 0] * 128, metre_px)


@pytest.mark.parametrize(("size", "published"), [("small", 32), ("base", 103), ("large", 327), ("huge", 662)])
def test_sizes_are_the_published_ones(size: str, published: int) -> None:
    for is_published in (False, True):
        with torch.device("meta"):
            found = build(smpler_x_config(size, is_published=is_published, use_checkpoint=True))
        # The README of SMPLer-X prints whole millions.
        assert round(sum(parameter.numel() for parameter in found.parameters()) / 1e6) == published


def test_a_width_that_the_hand_network_cannot_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="an encoder width that 4 divides, found 30"):
        SmplerXConfig(vit=VitConfig(width=30, depth=1, num_heads=2))
