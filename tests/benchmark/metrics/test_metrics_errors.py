"""PVE, MPJPE and their Procrustes forms against closed forms and a numpy loop over samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from benchmark.metrics.joints import mpjpe, pa_mpjpe
from benchmark.metrics.mesh import inside_picture, pa_pve, pve
from benchmark.metrics.parts import (
    AGORA_JOINTS,
    FIELD_JOINTS,
    PW3D_JOINTS,
    JointPart,
    MeshParts,
    agora_mesh_parts,
    mesh_parts,
    set_of,
)
from harmonize.bodies import BodyBatch, BodyModels
from harmonize.errors import DataError
from harmonize.geometry.rotations import aa_to_rotmat

Array = npt.NDArray[Any]
REPORTED = {"all", "body", "hands", "left_hand", "right_hand", "face"}
MAXWELL_MEAN = math.sqrt(8 / math.pi)  # of the length of a vector of three independent unit normals


@pytest.fixture(scope="module")
def parts(standin: BodyModels) -> MeshParts:
    return mesh_parts(standin)


@pytest.fixture(scope="module")
def meshes(standin: BodyModels) -> tuple[Tensor, Tensor]:
    """Predicted and true meshes (6, V, 3), float64: other pose, shape and place."""
    chance = np.random.default_rng(0)
    model = standin.get("smplx", "neutral")
    batches = []
    for _ in range(2):
        pose = chance.normal(0, 0.25, (6, 55, 3))
        place = chance.normal(0, 1, (6, 3)) + np.array([0, 0, 5])
        batches.append(BodyBatch(pose_aa=pose, betas=chance.normal(0, 1, (6, 10)), transl_m=place))
    pred, true = (torch.tensor(model.vertices(batch)).double() for batch in batches)
    return pred, true


@pytest.fixture(scope="module")
def joints(meshes: tuple[Tensor, Tensor], parts: MeshParts) -> tuple[Tensor, Tensor]:
    return parts.regressor(meshes[0]), parts.regressor(meshes[1])


def one_pa(pred: Array, true: Array, counted: Array) -> float:
    """Aligned by the textbook's five lines, for one sample."""
    p, t = pred - pred.mean(0), true - true.mean(0)
    u, d, vt = np.linalg.svd(t.T @ p)
    s = np.array([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    aligned = (d * s).sum() / (p * p).sum() * p @ (u * s @ vt).T
    return float(np.linalg.norm(aligned - t, axis=1)[counted].mean() * 1000) if counted.any() else math.nan


def one_root(pred: Array, true: Array, pred_root: Array, true_root: Array, counted: Array) -> float:
    error = np.linalg.norm((pred - pred_root) - (true - true_root), axis=1)
    return float(error[counted].mean() * 1000) if counted.any() else math.nan


def hands_of(row: dict[str, float]) -> float:
    hands = [row[part] for part in ("left_hand", "right_hand") if not math.isnan(row[part])]
    return sum(hands) / len(hands) if hands else math.nan


def meshes_one_by_one(pred: Tensor, true: Tensor, parts: MeshParts, counted: Tensor, is_pa: bool) -> dict[str, Array]:
    regressor = np.zeros((127, 10475))
    np.add.at(regressor, (parts.regressor.rows, parts.regressor.columns), parts.regressor.weights)
    rows = []
    for p, t, c in zip(pred.numpy(), true.numpy(), counted.numpy(), strict=True):
        p_joints, t_joints, row = regressor @ p, regressor @ t, {}
        for part, ids in parts.vertices.items():
            roots = list(parts.roots[part])
            p_root, t_root = p_joints[roots].mean(0), t_joints[roots].mean(0)
            row[part] = one_pa(p[ids], t[ids], c[ids]) if is_pa else one_root(p[ids], t[ids], p_root, t_root, c[ids])
        rows.append(row | {"hands": hands_of(row)})
    return {part: np.array([row[part] for row in rows]) for part in rows[0]}


def joints_one_by_one(
    pred: Tensor, true: Tensor, sets: Any, known: Tensor, counted: Tensor, is_pa: bool
) -> dict[str, Array]:
    rows = []
    for p, t, k, c in zip(pred.numpy(), true.numpy(), known.numpy(), counted.numpy(), strict=True):
        row = {}
        for part, of in sets.items():
            there = [joint for joint in of.joints if k[joint]]
            roots = list(of.roots)
            if is_pa:
                row[part] = one_pa(p[there], t[there], c[there]) if len(there) >= 3 else math.nan
            elif k[roots].all():
                row[part] = one_root(p[there], t[there], p[roots].mean(0), t[roots].mean(0), c[there])
            else:
                row[part] = math.nan
        rows.append(row | ({"hands": hands_of(row)} if "left_hand" in row else {}))
    return {part: np.array([row[part] for row in rows]) for part in rows[0]}


def assert_same(found: dict[str, Tensor], expected: dict[str, Array], atol: float = 1e-9) -> None:
    assert set(found) == set(expected)
    for part, values in expected.items():
        np.testing.assert_allclose(found[part].numpy(), values, rtol=0, atol=atol, err_msg=part)


def every_metric(meshes: Any, joints: Any, parts: MeshParts) -> list[tuple[Callable[..., Any], Any, list[Any]]]:
    """Each metric, predicted and true points for it, and its further arguments."""
    return [(pve, meshes, [parts]), (pa_pve, meshes, [parts]), (mpjpe, joints, []), (pa_mpjpe, joints, [])]


@pytest.mark.parametrize("is_pa", [False, True])
@pytest.mark.parametrize("has_mask", [False, True])
def test_meshes_equal_the_loop(meshes: Any, parts: MeshParts, is_pa: bool, has_mask: bool) -> None:
    pred, true = meshes
    counted = torch.ones(6, 10475, dtype=torch.bool)
    if has_mask:
        counted = torch.tensor(np.random.default_rng(1).random((6, 10475)) < 0.4)
        counted[1, parts.vertices["left_hand"]] = False
        counted[2, parts.vertices["left_hand"]] = counted[2, parts.vertices["right_hand"]] = False
        counted[3] = False
    found = (pa_pve if is_pa else pve)(pred, true, parts, counted=counted if has_mask else None)
    assert set(found) == REPORTED
    assert_same(found, meshes_one_by_one(pred, true, parts, counted, is_pa))
    assert found["hands"].isnan().tolist() == ([False, False, True, True, False, False] if has_mask else [False] * 6)


@pytest.mark.parametrize("sets", [FIELD_JOINTS, AGORA_JOINTS, PW3D_JOINTS])
@pytest.mark.parametrize("has_mask", [False, True])
def test_joints_equal_the_loop(joints: Any, sets: Any, has_mask: bool) -> None:
    pred, true = joints[0], joints[1].clone()
    known, counted = torch.ones(6, 127, dtype=torch.bool), torch.ones(6, 127, dtype=torch.bool)
    if has_mask:
        chance = np.random.default_rng(2)
        known, counted = (torch.tensor(chance.random((6, 127)) < share) for share in (0.8, 0.6))
        known[0, 0] = known[0, 1] = known[1, 20] = known[2, 12] = False
        known[3], known[4, 25:] = True, False
        true[~known] = torch.nan
    masks: Any = {"known": known, "counted": counted} if has_mask else {}
    found, found_pa = mpjpe(pred, true, sets, **masks), pa_mpjpe(pred, true, sets, **masks)
    assert_same(found, joints_one_by_one(pred, true, sets, known, counted, is_pa=False))
    assert_same(found_pa, joints_one_by_one(pred, true, sets, known, counted, is_pa=True))
    if has_mask:
        assert bool(found["body"].isnan()[0])
        assert not bool(found["body"].isnan()[3])


def test_metres_come_in_and_millimetres_go_out(parts: MeshParts, meshes: Any) -> None:
    # One vertex in the middle of nowhere, 5 m away: no regressor sees it, each part's mean does.
    true = meshes[1]
    unseen = np.setdiff1d(parts.vertices["face"], parts.regressor.columns)[0]
    pred = true.clone()
    pred[:, unseen, 0] += 5
    found = pve(pred, true, parts)
    torch.testing.assert_close(found["face"], torch.full((6,), 5000 / len(parts.vertices["face"])).double())
    torch.testing.assert_close(found["all"], torch.full((6,), 5000 / 10475).double())
    assert float(found["body"].abs().max()) == 0
    moved = meshes[1][:, :127].clone()
    moved[:, 5, 2] += 0.022
    torch.testing.assert_close(mpjpe(moved, true[:, :127])["body"], torch.ones(6).double())


@pytest.mark.parametrize("metric", [pve, pa_pve])
def test_moving_the_whole_prediction_changes_nothing(metric: Callable[..., Any], meshes: Any, parts: MeshParts) -> None:
    # To a ten-thousandth of a millimetre: a regressor in single precision does not quite add up to one.
    pred, true = meshes
    before, after = metric(pred, true, parts), metric(pred + torch.tensor([3.0, -2.0, 9.0]), true, parts)
    for part in REPORTED:
        torch.testing.assert_close(after[part], before[part], rtol=0, atol=1e-4)


@pytest.mark.parametrize("metric", [pve, pa_pve])
def test_errors_are_symmetric_or_scale(metric: Callable[..., Any], meshes: Any, parts: MeshParts) -> None:
    pred, true = meshes
    found, twice = metric(pred, true, parts), metric(2 * pred, 2 * true, parts)
    swapped, itself = metric(true, pred, parts), metric(true, true, parts)
    for part in REPORTED:
        torch.testing.assert_close(twice[part], 2 * found[part])
        assert float(itself[part].max()) < 1e-9
        if metric is pve:
            torch.testing.assert_close(swapped[part], found[part])


def test_a_known_turn_and_scale_leave_no_procrustes_error_and_the_closed_root_error(parts: MeshParts) -> None:
    # Points on a circle of radius r about the root: a turn by a moves each by 2 r sin(a / 2).
    angle = torch.linspace(0, 2 * math.pi, 128)[:-1].double()
    true = torch.stack([0.2 * angle.cos(), 0.2 * angle.sin(), torch.zeros(127).double()], -1)[None].clone()
    true[:, 0] = 0
    turned = true @ torch.tensor(aa_to_rotmat(np.array([0, 0, 0.5]))).T
    circle = {"body": JointPart(joints=tuple(range(1, 127)), roots=(0,))}
    shift = torch.tensor([1.0, 2.0, 3.0]).double()
    expected = torch.tensor([2 * 200 * math.sin(0.25)]).double()
    torch.testing.assert_close(mpjpe(turned + shift, true, circle)["body"], expected)
    torch.testing.assert_close(mpjpe(1.5 * true + shift, true, circle)["body"], torch.tensor([100.0]).double())
    assert float(pa_mpjpe(1.5 * turned + shift, true, circle)["body"].max()) < 1e-9


def test_isotropic_noise_gives_its_expected_length(parts: MeshParts, meshes: Any) -> None:
    # On all vertices that no root is regressed from, and small against a hand, whose scale it would bias otherwise.
    true = meshes[1]
    noise = torch.tensor(np.random.default_rng(3).normal(0, 0.002, true.shape))
    noise[:, parts.regressor.select([0, 12, 20, 21]).columns] = 0
    for metric in (pve, pa_pve):
        found = metric(true + noise, true, parts)
        for part, ids in parts.vertices.items():
            share = float((noise[0, ids] != 0).any(1).double().mean())
            expected = torch.full((6,), 2 * MAXWELL_MEAN * share).double()
            torch.testing.assert_close(found[part], expected, rtol=0.04, atol=0)


def test_a_hand_is_judged_apart_from_where_the_arm_holds_it(meshes: Any, parts: MeshParts, joints: Any) -> None:
    # All that governs a hand moves together, wrist included: body and all see it, the hand does not.
    true = meshes[1]
    hand = np.union1d(parts.vertices["left_hand"], parts.regressor.select([20]).columns)
    pred = true.clone()
    pred[:, hand] += torch.tensor([0.1, 0.0, 0.0]).double()
    for metric in (pve, pa_pve):
        found = metric(pred, true, parts)
        assert float(found["left_hand"].max()) < 1e-5
        assert float(found["right_hand"].max()) < 1e-9
        assert float(found["all"].min()) > 1
    true_joints = joints[1]
    pred_joints = true_joints.clone()
    pred_joints[:, list(FIELD_JOINTS["left_hand"].joints)] += 0.1
    for joint_metric in (mpjpe, pa_mpjpe):
        found = joint_metric(pred_joints, true_joints)
        assert float(found["hands"].max()) < 1e-9 < 1 < float(found["body"].min())


def test_a_head_that_nods_is_a_face_error_and_no_hand_error(standin: BodyModels, parts: MeshParts) -> None:
    pose = np.zeros((2, 55, 3))
    pose[1, 15, 0] = 0.3
    batch = BodyBatch(pose_aa=pose, betas=np.zeros((2, 10)), transl_m=np.zeros((2, 3)))
    still, nodding = torch.tensor(standin.get("smplx", "neutral").vertices(batch))
    found = pve(nodding[None], still[None], parts)
    assert float(found["hands"]) < 1e-3
    assert float(found["face"]) > 20
    aligned = pa_pve(nodding[None], still[None], parts)
    assert float(aligned["face"]) < 0.2 * float(found["face"])


def test_parts_that_are_not_labelled_are_nan(meshes: Any, joints: Any, parts: MeshParts) -> None:
    valid = {
        "left_hand": torch.tensor([1, 0, 0, 1, 1, 1], dtype=torch.bool),
        "right_hand": torch.tensor([1, 1, 0, 1, 1, 1], dtype=torch.bool),
        "face": torch.tensor([0, 1, 1, 1, 1, 1], dtype=torch.bool),
    }
    for metric, pair, sets in every_metric(meshes, joints, parts):
        found, free = metric(*pair, *sets, valid=valid), metric(*pair, *sets)
        for part, mask in valid.items():
            assert found[part].isnan().tolist() == (~mask).tolist()
            assert torch.equal(found[part][mask], free[part][mask])
        assert torch.equal(found["all"], free["all"])
        torch.testing.assert_close(found["hands"][1], free["right_hand"][1])
        torch.testing.assert_close(found["hands"][0], (free["left_hand"][0] + free["right_hand"][0]) / 2)
        assert bool(found["hands"][2].isnan())


def test_roots_can_be_given_as_joints(meshes: Any, joints: Any, parts: MeshParts) -> None:
    pred, true = meshes
    regressed = pve(pred, true, parts)
    given = pve(pred, true, parts, pred_joints_m=joints[0], true_joints_m=joints[1])
    for part in REPORTED:
        torch.testing.assert_close(given[part], regressed[part])
    moved = joints[0].clone()
    moved[:, 20] += 0.5
    other = pve(pred, true, parts, pred_joints_m=moved, true_joints_m=joints[1])
    assert float((other["left_hand"] - regressed["left_hand"]).abs().min()) > 100
    torch.testing.assert_close(other["right_hand"], regressed["right_hand"])
    with pytest.raises(ValueError, match="both"):
        pve(pred, true, parts, pred_joints_m=moved)


def test_agora_aligns_the_body_amid_the_hips(standin: BodyModels, meshes: Any, joints: Any) -> None:
    agora = agora_mesh_parts(standin)
    found = pve(meshes[0], meshes[1], agora)
    assert set(found) == REPORTED - {"all"}
    body = agora.vertices["body"]
    (pred, true), (pred_joints, true_joints) = meshes, joints
    hips = [joints_of[:, 1:3].mean(1, keepdim=True) for joints_of in (pred_joints, true_joints)]
    expected = ((pred[:, body] - hips[0]) - (true[:, body] - hips[1])).norm(dim=-1).mean(1) * 1000
    torch.testing.assert_close(found["body"], expected)


def test_the_picture_holds_points_strictly_inside() -> None:
    points = torch.tensor([[[0.0, 5.0], [0.1, 5.0], [100.0, 5.0], [99.9, 49.9], [5.0, 50.0], [5.0, torch.nan]]])
    assert inside_picture(points, torch.tensor([[100, 50]])).tolist() == [[False, True, False, True, False, False]]


def test_vertices_out_of_the_picture_do_not_count_but_align(meshes: Any, parts: MeshParts) -> None:
    pred, true = meshes
    counted = torch.zeros(6, 10475, dtype=torch.bool)
    counted[:, parts.vertices["face"]] = True
    counted[:, parts.vertices["left_hand"]] = True
    found, free = pve(pred, true, parts, counted=counted), pve(pred, true, parts)
    assert torch.equal(found["face"], free["face"])
    assert torch.equal(found["hands"], free["left_hand"])
    assert bool(found["body"].isnan().all() and found["right_hand"].isnan().all())
    spoilt = pred.clone()
    spoilt[:, parts.vertices["body"]] *= 1.2
    assert float((pa_pve(spoilt, true, parts, counted=counted)["all"] - found["all"]).abs().min()) > 0.1


def test_a_regressed_set_needs_no_root(joints: Any) -> None:
    pred, true = (of[:, :14] for of in joints)
    counted = torch.ones(6, 14, dtype=torch.bool)
    assert_same(pa_mpjpe(pred, true, set_of(14)), joints_one_by_one(pred, true, set_of(14), counted, counted, True))
    with pytest.raises(ValueError, match="root"):
        mpjpe(pred, true, set_of(14))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_predictions_that_are_not_finite_are_refused_by_sample(
    meshes: Any, joints: Any, parts: MeshParts, bad: float
) -> None:
    for metric, pair, sets in every_metric(meshes, joints, parts):
        spoilt = pair[0].clone()
        spoilt[4, 60, 1] = bad
        spoilt[1, 3, 0] = bad
        with pytest.raises(DataError, match=r"predicted.*2 of 6 samples: sample 1, 4") as caught:
            metric(spoilt, pair[1], *sets)
        assert caught.value.fields["samples"] == [1, 4]
        with pytest.raises(DataError, match=r"true.*sample 1, 4"):
            metric(pair[1], spoilt, *sets)


def test_many_bad_samples_are_counted() -> None:
    pred = torch.full((20, 127, 3), math.nan)
    with pytest.raises(DataError, match="20 of 20 samples: sample 0, 1, 2, 3, 4 and 15 more"):
        mpjpe(pred, torch.zeros(20, 127, 3))


def test_large_but_finite_coordinates_are_not_refused() -> None:
    pred = torch.full((2, 127, 3), 3e38)
    assert bool(mpjpe(torch.zeros(2, 127, 3), torch.zeros(2, 127, 3))["body"].eq(0).all())
    assert mpjpe(pred, pred)["body"].tolist() == [0, 0]


def test_masks_and_shapes_must_fit(meshes: Any, joints: Any, parts: MeshParts) -> None:
    pred, true = meshes
    with pytest.raises(ValueError, match="left"):
        pve(pred, true, parts, valid={"left": torch.ones(6, dtype=torch.bool)})
    with pytest.raises(ValueError, match="face"):
        pve(pred, true, parts, valid={"face": torch.ones(5, dtype=torch.bool)})
    with pytest.raises(ValueError, match="counted"):
        pa_pve(pred, true, parts, counted=torch.ones(6, 10475))
    with pytest.raises(ValueError, match="10475"):
        pve(pred[:, :6890], true[:, :6890], parts)
    with pytest.raises(ValueError, match="alike"):
        pve(pred.float(), true, parts)
    with pytest.raises(ValueError, match="126 joints"):
        mpjpe(joints[0][:, :100], joints[1][:, :100])
    with pytest.raises(ValueError, match="known"):
        mpjpe(*joints, known=torch.ones(6, 100, dtype=torch.bool))


def test_precision_is_that_of_the_input(meshes: Any, joints: Any, parts: MeshParts) -> None:
    for metric, pair, sets in every_metric(meshes, joints, parts):
        exact = metric(*pair, *sets)
        single = metric(pair[0].float(), pair[1].float(), *sets)
        for part in REPORTED:
            assert (exact[part].dtype, single[part].dtype) == (torch.float64, torch.float32)
            torch.testing.assert_close(single[part].double(), exact[part], rtol=0, atol=0.01)


def test_inputs_are_left_as_they_are(meshes: Any, joints: Any, parts: MeshParts) -> None:
    before = [of.clone() for of in (*meshes, *joints)]
    pve(meshes[0], meshes[1], parts)
    pa_pve(meshes[0], meshes[1], parts)
    mpjpe(*joints, known=torch.rand(6, 127) < 0.5)
    pa_mpjpe(*joints, known=torch.rand(6, 127) < 0.5)
    assert all(torch.equal(one, other) for one, other in zip(before, (*meshes, *joints), strict=True))


def test_a_sample_does_not_depend_on_its_batch(meshes: Any, parts: MeshParts) -> None:
    pred, true = meshes
    for metric in (pve, pa_pve):
        together, alone = metric(pred, true, parts), metric(pred[2:3], true[2:3], parts)
        for part in REPORTED:
            torch.testing.assert_close(alone[part][0], together[part][2], rtol=1e-12, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same(meshes: Any, joints: Any, parts: MeshParts) -> None:
    for metric, pair, sets in every_metric(meshes, joints, parts):
        here, there = metric(*pair, *sets), metric(*(of.cuda() for of in pair), *sets)
        for part in REPORTED:
            torch.testing.assert_close(there[part].cpu(), here[part], rtol=0, atol=1e-9)
