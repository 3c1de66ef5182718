"""What SMPLer-X's heatmaps and boxes are taught: agreement is free, errors cost their cells, unknowns nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from loss_people import exact_body, points_of, predictions, recorded, seen

from harmonize.bodies import BodyModels
from train.body import Body
from train.data.batch import Batch, Observed, Truth
from train.losses.regions import region_terms
from train.losses.supervised import SMPLER_X
from train.losses.vertex_subset import vertex_subset
from train.models.heatmap import BODY_JOINTS, LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS
from train.models.registry import build, smpler_x_config
from train.models.smpler_x import SmplerXExtra
from train.plain_step import PlainStep

CELL_PX = 16
NUM_NUMBERS = (25 + 40) * 3


class Scene:
    """Two people, their record, and heatmaps and boxes that say the same, written joint by joint."""

    def __init__(self, standin: BodyModels) -> None:
        body = exact_body(standin)
        self.people = predictions(2)
        points = points_of(body, self.people)
        self.observed: Observed = seen(self.people, points)
        self.truth: Truth = recorded(self.people, points, self.observed)
        at_px, joints = self.truth.keypoints_px[..., :2], self.truth.joints_m
        self.body_rows, self.hand_rows = list(BODY_JOINTS), [list(LEFT_HAND_JOINTS), list(RIGHT_HAND_JOINTS)]
        depth = 8 * (joints[:, self.body_rows, 2:3] + 1)
        body_cells = torch.cat([at_px[:, self.body_rows] / CELL_PX, depth], dim=2)
        face = list(range(76, 127))
        hands, boxes, centres, sizes = [], [], [], []
        for rows, wrist in zip([*self.hand_rows, face], (20, 21, 0), strict=True):
            low, high = at_px[:, rows].amin(1), at_px[:, rows].amax(1)
            centres.append((low + high) / 2 / CELL_PX)
            sizes.append((high - low) / CELL_PX)
            low, high = low - 3, high + 3
            boxes.append(torch.cat([low, high], dim=1))
            across = 16 * (at_px[:, rows] - low[:, None]) / (high - low)[:, None]
            deep = 8 * ((joints[:, rows, 2] - joints[:, [wrist], 2]) / 0.15 + 1)
            hands.append(torch.cat([across, deep[..., None]], dim=2))
        self.extra = SmplerXExtra(
            body_cells,
            torch.stack(hands[:2], dim=1),
            torch.stack(centres, dim=1),
            torch.stack(sizes, dim=1),
            torch.stack(boxes[:2], dim=1),
        )


@pytest.fixture(scope="module")
def scene(standin: BodyModels) -> Scene:
    return Scene(standin)


def test_agreement_costs_nothing(scene: Scene) -> None:
    terms = region_terms(scene.extra, scene.truth, scene.observed, CELL_PX)
    assert set(terms) == {"heatmap_points", "heatmap_body", "boxes"}
    for name, value in terms.items():
        assert value.shape == (2,)
        assert value.abs().max() < 1e-9, name


def test_errors_cost_their_cells(scene: Scene) -> None:
    extra = scene.extra
    body, hand = extra.body_joints.clone(), extra.hand_joints.clone()
    body[0, 7, 1] += 2
    hand[1, 0, 3, 2] -= 5
    terms = region_terms(extra._replace(body_joints=body, hand_joints=hand), scene.truth, scene.observed, CELL_PX)
    for name in ("heatmap_points", "heatmap_body"):
        assert terms[name].tolist() == pytest.approx([2 / NUM_NUMBERS, 5 / NUM_NUMBERS])
    assert terms["boxes"].abs().max() < 1e-9
    sizes = extra.box_sizes.clone()
    sizes[1, 2, 0] += 3
    terms = region_terms(extra._replace(box_sizes=sizes), scene.truth, scene.observed, CELL_PX)
    assert terms["boxes"].tolist() == pytest.approx([0, 3 / 12], abs=1e-9)


def test_swapped_hands_and_a_mirrored_hand_cost_cells(scene: Scene) -> None:
    extra = scene.extra
    swapped = extra._replace(box_centres=extra.box_centres[:, [1, 0, 2]])
    assert (region_terms(swapped, scene.truth, scene.observed, CELL_PX)["boxes"] > 0.5).all()
    mirrored = extra.hand_joints.clone()
    mirrored[:, 0, :, 0] = 16 - mirrored[:, 0, :, 0]
    terms = region_terms(extra._replace(hand_joints=mirrored), scene.truth, scene.observed, CELL_PX)
    assert (terms["heatmap_points"] > 0.2).all()


def test_unknown_points_reach_nothing(scene: Scene) -> None:
    extra = SmplerXExtra(*(part.clone().requires_grad_() for part in scene.extra))
    keypoints, joints = scene.truth.keypoints_px.clone(), scene.truth.joints_m.clone()
    left = scene.hand_rows[0]
    for values in (keypoints, joints):
        values[:, left] = torch.nan
        values[:, left, -1] = 0
    truth = replace(
        scene.truth,
        keypoints_px=keypoints,
        joints_m=joints,
        pelvis_m=torch.full_like(scene.truth.pelvis_m, torch.nan),
        has_pelvis=torch.tensor([False, False]),
    )
    shifted = SmplerXExtra(*(part + 1 for part in extra[:4]), extra.hand_boxes_px)
    terms = region_terms(shifted, truth, scene.observed, CELL_PX)
    assert terms["heatmap_body"].tolist() == [0, 0]
    assert torch.allclose(terms["heatmap_points"], torch.ones(2).double())
    assert torch.allclose(terms["boxes"], torch.ones(2).double())
    total = terms["heatmap_points"].sum() + terms["boxes"].sum()
    gradients = torch.autograd.grad(total, [extra.hand_joints, extra.box_centres])
    for gradient in gradients:
        assert torch.isfinite(gradient).all()
        assert (gradient[:, 0] == 0).all()
        assert (gradient[:, 1] != 0).any()


def test_a_joint_outside_the_box_that_was_read_is_not_the_hands_fault(scene: Scene) -> None:
    far = scene.extra.hand_boxes_px.clone()
    far[:, 0] += 1000
    moved = scene.extra._replace(hand_boxes_px=far)
    assert region_terms(moved, scene.truth, scene.observed, CELL_PX)["heatmap_points"].abs().max() < 1e-9


def test_the_plain_step_teaches_every_weight_of_smpler_x(scene: Scene, standin: BodyModels) -> None:
    network = build(smpler_x_config("tiny"))
    height, width = network.size_px
    shrink = torch.tensor([width / 192, height / 256])
    observed = replace(
        scene.observed,
        crop=torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(0)).byte(),
        to_crop=(scene.observed.to_crop * shrink[:, None]).float(),
    )
    px = torch.cat([scene.truth.keypoints_px[..., :2] * shrink, scene.truth.keypoints_px[..., 2:]], dim=2).float()
    truth = replace(scene.truth._each(lambda value: value.float() if value.is_floating_point() else value))
    truth = replace(truth, keypoints_px=px)
    batch = Batch(
        observed=replace(observed, keypoints_px=px), truth=truth, keys=("a", "b"), sources=(("x", "train"),) * 2
    )
    step = PlainStep(network, Body(standin, vertex_subset(standin)), SMPLER_X)
    loss = step(batch)
    assert {"heatmap_points", "heatmap_body", "boxes"} <= set(loss.parts)
    assert torch.allclose(torch.stack(list(loss.parts.values())).sum(), loss.total)
    loss.total.backward()
    idle = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert not {name for name in idle if name.startswith("head.")}
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)
