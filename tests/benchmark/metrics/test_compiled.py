"""The compiled errors of meshes against those of torch and a formula, and who takes which way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from benchmark.metrics import compiled, kernels, mesh
from benchmark.metrics.mesh import pa_pve, pve
from benchmark.metrics.parts import MeshParts, agora_mesh_parts, mesh_parts
from benchmark.metrics.regressors import Regressor
from harmonize.bodies import BodyModels
from harmonize.errors import DataError

Metric = Callable[..., dict[str, Tensor]]
METRICS = pytest.mark.parametrize("metric", [pve, pa_pve])
PRECISIONS = pytest.mark.parametrize(("precision", "atol"), [(torch.float64, 1e-9), (torch.float32, 2e-3)])
NUM_SMALL = 700  # vertices: two tiles and a piece


def by_torch(metric: Metric, *arguments: Any, **further: Any) -> dict[str, Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mesh, "_is_compiled", lambda *_: False)
        return metric(*arguments, **further)


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], atol: float) -> None:
    assert list(found) == list(expected)
    for part, of in expected.items():
        assert found[part].dtype == of.dtype
        torch.testing.assert_close(
            found[part], of, rtol=0, atol=atol, equal_nan=True, msg=lambda m, p=part: f"{p}: {m}"
        )


def random_meshes(num: int, num_vertices: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Predicted and true meshes of metres in size, some metres away; each sample's of another size."""
    chance = np.random.default_rng(seed)
    shape = chance.normal(0, 0.3, (num, num_vertices, 3)) * chance.uniform(0.5, 2, (num, 1, 3))
    noise = chance.normal(0, 0.05, shape.shape)
    places = chance.normal(0, 1, (2, num, 1, 3)) + np.array([0, 0, 4])
    return torch.tensor(shape + noise + places[0]), torch.tensor(shape[..., [1, 2, 0]] + places[1])


@pytest.fixture(scope="module")
def field(standin: BodyModels) -> MeshParts:
    return mesh_parts(standin)


@pytest.fixture(scope="module")
def agora(standin: BodyModels) -> MeshParts:
    return agora_mesh_parts(standin)


@pytest.fixture(scope="module")
def small() -> MeshParts:
    """Parts that overlap, lie scattered, have two vertices or none; vertices 650 and on are in no part."""
    chance = np.random.default_rng(1)
    vertices = {
        "face": np.array([0, 649]),
        "body": np.arange(0, 600),
        "scattered": np.sort(chance.permutation(650)[:60]),
        "left_hand": np.arange(255, 258),
        "right_hand": np.arange(200, 520),
        "nothing": np.arange(0),
    }
    roots = {"face": (0,), "body": (0,), "scattered": (1, 2), "left_hand": (2,), "right_hand": (1,), "nothing": (2,)}
    matrix = np.zeros((3, NUM_SMALL))
    matrix[[0, 1, 2], [0, 300, 640]] = 1
    regressor = Regressor.from_matrix(matrix)
    return MeshParts(vertices=vertices, roots=roots, regressor=regressor, is_standin=True, source="made up")


def test_cells_are_what_the_parts_are_made_of(field: MeshParts, small: MeshParts) -> None:
    assert len(compiled._layout(field).cells) == 4
    for parts in (field, small):
        layout = compiled._layout(parts)
        assert layout is compiled._layout(parts)
        assert int(layout.cells.sum(0).max()) == 1
        for holds, ids in zip(layout.holds, parts.vertices.values(), strict=True):
            assert np.flatnonzero(layout.cells[holds].any(0)).tolist() == ids.tolist()


@METRICS
@PRECISIONS
@pytest.mark.parametrize("name", ["field", "agora", "small"])
@pytest.mark.parametrize("has_mask", [False, True])
def test_both_ways_give_the_same(
    metric: Metric, precision: torch.dtype, atol: float, name: str, has_mask: bool, request: pytest.FixtureRequest
) -> None:
    parts: MeshParts = request.getfixturevalue(name)
    pred, true = (of.to(precision) for of in random_meshes(5, parts.num_vertices))
    counted = None
    if has_mask:
        counted = torch.tensor(np.random.default_rng(2).random((5, parts.num_vertices)) < 0.3)
        counted[1] = False
        counted[2, torch.tensor(parts.vertices["left_hand"])] = False
    found = metric(pred, true, parts, counted=counted)
    assert_same(found, by_torch(metric, pred, true, parts, counted=counted), atol)
    assert bool(found["body"].isnan()[1]) == has_mask
    assert not bool(found["body"].isnan()[0])


@PRECISIONS
def test_both_ways_give_the_same_at_joints_that_are_given(
    small: MeshParts, agora: MeshParts, precision: torch.dtype, atol: float
) -> None:
    for parts in (small, agora):
        pred, true = (of.to(precision) for of in random_meshes(3, parts.num_vertices))
        joints = [torch.tensor(np.random.default_rng(seed).normal(size=(3, 127, 3))).to(precision) for seed in (3, 4)]
        given = {"pred_joints_m": joints[0], "true_joints_m": joints[1]}
        found = pve(pred, true, parts, **given)
        assert_same(found, by_torch(pve, pred, true, parts, **given), atol)
        assert float((found["body"] - pve(pred, true, parts)["body"]).abs().min()) > 1


def one_by_formula(pred: Any, true: Any, ids: Any, root: Any, counts: Any) -> tuple[float, float]:
    """PVE and PA-PVE in mm of one part: Kabsch with the sign of the determinant, the scale from the turned points."""
    p, t = pred[ids], true[ids]
    at_root = np.linalg.norm((p - pred[root]) - (t - true[root]), axis=1)
    p, t = p - p.mean(0), t - t.mean(0)
    left, _, right = np.linalg.svd(p.T @ t)
    turned = p @ left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    aligned = np.linalg.norm((turned * t).sum() / (turned**2).sum() * turned - t, axis=1)
    return float(1000 * at_root[counts[ids]].mean()), float(1000 * aligned[counts[ids]].mean())


def test_both_metrics_follow_their_formula(small: MeshParts) -> None:
    pred, true = random_meshes(4, NUM_SMALL, seed=5)
    counted = torch.tensor(np.random.default_rng(6).random((4, NUM_SMALL)) < 0.7)
    roots = {"body": 0, "left_hand": 640, "right_hand": 300}
    for mask in (torch.ones_like(counted), counted):
        found = [metric(pred, true, small, counted=mask) for metric in (pve, pa_pve)]
        for part, root in roots.items():
            for at in range(4):
                ids = small.vertices[part]
                expected = one_by_formula(pred[at].numpy(), true[at].numpy(), ids, root, mask[at].numpy())
                np.testing.assert_allclose([float(of[part][at]) for of in found], expected, rtol=0, atol=1e-9)


def test_two_points_or_none_have_no_aligned_error(small: MeshParts) -> None:
    pred, true = random_meshes(2, NUM_SMALL)
    found, aligned = pve(pred, true, small), pa_pve(pred, true, small)
    assert [bool(found[part].isnan().all()) for part in ("face", "nothing", "left_hand")] == [False, True, False]
    assert [bool(aligned[part].isnan().all()) for part in ("face", "nothing", "left_hand")] == [True, True, False]


@METRICS
@PRECISIONS
def test_degenerate_meshes_are_treated_alike(
    small: MeshParts, metric: Metric, precision: torch.dtype, atol: float
) -> None:
    pred, true = random_meshes(9, NUM_SMALL, seed=7)
    line = torch.linspace(-1, 1, NUM_SMALL).double()[:, None] * torch.tensor([0.6, -0.3, 0.2]).double()
    pred[0] = pred[0, 0]
    true[1] = true[1, 0]
    pred[2], true[2] = pred[2, 0], true[2, 0]
    pred[3] = line + 3
    true[4] = line - 2
    pred[5], true[5] = line, 2 * line.flip(1) + 1
    pred[6] = true[6] * torch.tensor([-1, 1, 1])
    pred[7, :, 2] = 4.0
    pred[8] = true[8]
    pred, true = pred.to(precision), true.to(precision)
    found = metric(pred, true, small)
    # Three neighbours on the line are all but one point in single precision.
    assert_same(found, by_torch(metric, pred, true, small), 5 * atol)
    if metric is pa_pve:
        assert float(found["body"][8]) < atol
        assert float(found["body"][6]) > 10
        # All on one point: nothing to turn or to scale, and the mean distance from the centre is left.
        centred = true[0, :600].double() - true[0, :600].double().mean(0)
        np.testing.assert_allclose(float(found["body"][0]), float(1000 * centred.norm(dim=1).mean()), atol=0.01)
        assert float(found["body"][1]) < atol


@METRICS
def test_inputs_need_not_be_contiguous(small: MeshParts, metric: Metric) -> None:
    pred, true = random_meshes(6, NUM_SMALL)
    counted = torch.tensor(np.random.default_rng(8).random((NUM_SMALL, 6)) < 0.5)
    expected = metric(pred[::2].clone(), true[:1].repeat(3, 1, 1), small, counted=counted.T[:3].contiguous())
    strided = pred.mT.contiguous().mT[::2]
    found = metric(strided, true[:1].expand(3, -1, -1), small, counted=counted.T[:3])
    assert not strided.is_contiguous()
    # Others would be compiled anew, and not into vectors.
    assert {of.layout for types in kernels.add_distances.signatures for of in types} == {"C"}
    assert_same(found, expected, 0)
    assert float(expected["body"][0]) != float(expected["body"][1])


@METRICS
@pytest.mark.parametrize("num", [0, 1, 53])
def test_any_number_of_samples(small: MeshParts, metric: Metric, num: int) -> None:
    pred, true = random_meshes(num, NUM_SMALL)
    found = metric(pred, true, small)
    assert {tuple(of.shape) for of in found.values()} == {(num,)}
    assert_same(found, by_torch(metric, pred, true, small), 1e-9)


@METRICS
def test_the_number_of_threads_changes_nothing(
    small: MeshParts, metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[int] = []

    class Counted(compiled.ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            pools.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(compiled, "ThreadPoolExecutor", Counted)
    pred, true = random_meshes(101, NUM_SMALL)
    counted = torch.tensor(np.random.default_rng(9).random((101, NUM_SMALL)) < 0.5)
    before = torch.get_num_threads()
    found = {}
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found[threads] = metric(pred, true, small, counted=counted)
    finally:
        torch.set_num_threads(before)
    assert set(pools) == {2, 5}
    for threads in (2, 5):
        assert_same(found[threads], found[1], 0)


def test_a_sample_does_not_depend_on_the_others(small: MeshParts) -> None:
    pred, true = random_meshes(60, NUM_SMALL)
    together, alone = pve(pred, true, small), pve(pred[41:42], true[41:42], small)
    aligned, aligned_alone = pa_pve(pred, true, small), pa_pve(pred[41:42], true[41:42], small)
    for part in together:
        torch.testing.assert_close(together[part][41:42], alone[part], rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(aligned[part][41:42], aligned_alone[part], rtol=0, atol=1e-9, equal_nan=True)


@METRICS
@PRECISIONS
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("vertex", [0, 256, NUM_SMALL - 1])
def test_what_is_not_finite_is_refused_alike(
    small: MeshParts, metric: Metric, precision: torch.dtype, atol: float, bad: float, vertex: int
) -> None:
    """Also where it does not count, in a vertex that is in no part, and where both meshes are infinite alike."""
    pred, true = (of.to(precision) for of in random_meshes(20, NUM_SMALL))
    counted = torch.ones(20, NUM_SMALL, dtype=torch.bool)
    counted[:, vertex] = False
    spoilt = pred.clone()
    spoilt[[3, 17], vertex, 1] = bad
    for pair in ((spoilt, true), (true, spoilt), (spoilt, spoilt)):
        with pytest.raises(DataError) as caught:
            metric(*pair, small, counted=counted)
        with pytest.raises(DataError) as expected:
            by_torch(metric, *pair, small, counted=counted)
        assert str(caught.value) == str(expected.value)
        assert caught.value.fields["samples"] == [3, 17]
    assert metric(pred, true, small, counted=counted)["body"].isfinite().all()


def test_finite_points_whose_sum_is_not_are_not_refused(small: MeshParts) -> None:
    far = torch.full((2, NUM_SMALL, 3), 3e38)
    assert pve(far, far, small)["body"].tolist() == [0, 0]


@METRICS
def test_derivatives_go_through_torch(small: MeshParts, metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("compiled")

    # Aligned amid two vertices, so that none keeps a distance of zero, where a length has no derivative.
    part = "scattered"
    pred, true = random_meshes(2, NUM_SMALL)
    expected = metric(pred, true, small)[part]
    direction = torch.ones_like(pred) * torch.linspace(0, 1, NUM_SMALL)[:, None]
    monkeypatch.setattr(compiled, "root_errors", refuse)
    monkeypatch.setattr(compiled, "aligned_errors", refuse)
    with pytest.raises(AssertionError, match="compiled"):
        metric(pred, true, small)
    for wants in (0, 1):
        pair = [of.clone().requires_grad_(at == wants) for at, of in enumerate((pred, true))]
        found = metric(*pair, small)[part]
        torch.testing.assert_close(found.detach(), expected, rtol=0, atol=1e-9)
        found.sum().backward()
        assert float(pair[wants].grad.abs().max()) > 0
    with forward_ad.dual_level():
        found = metric(forward_ad.make_dual(pred, direction), true, small)[part]
        assert float(forward_ad.unpack_dual(found).tangent.abs().max()) > 0


def test_a_gradient_of_given_joints_is_kept(small: MeshParts) -> None:
    pred, true = random_meshes(2, NUM_SMALL)
    joints = torch.zeros(2, 3, 3).double().requires_grad_()
    pve(pred, true, small, pred_joints_m=joints, true_joints_m=torch.zeros(2, 3, 3).double())["body"].sum().backward()
    assert joints.grad is not None
    assert float(joints.grad.abs().max()) > 0


@METRICS
def test_inference_mode_is_no_hindrance(small: MeshParts, metric: Metric) -> None:
    expected = metric(*random_meshes(3, NUM_SMALL), small)
    with torch.inference_mode():
        assert_same(metric(*random_meshes(3, NUM_SMALL), small), expected, 0)
