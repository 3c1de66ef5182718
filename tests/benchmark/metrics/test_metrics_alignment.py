"""Alignment against known transforms, closed forms, and an implementation by quaternions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.metrics.alignment import align_roots, aligned_distances, procrustes
from harmonize.errors import DataError
from harmonize.geometry.rotations import aa_to_rotmat


def cloud(num: int, points: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(0, 0.4, (num, points, 3)), dtype=dtype)


def distances(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().sum(-1).sqrt()


def random_similarity(num: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    chance = np.random.default_rng(seed)
    rotation = torch.tensor(aa_to_rotmat(chance.normal(0, 1.5, (num, 3))))
    return torch.tensor(chance.uniform(0.3, 3, num)), rotation, torch.tensor(chance.normal(0, 5, (num, 3)))


def move(points: Tensor, scale: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    return torch.stack([s * p @ r.T + t for p, s, r, t in zip(points, scale, rotation, translation, strict=True)])


def by_quaternion(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One sample aligned by Horn's quaternion method (JOSA A 1987): no SVD, and no reflection by construction."""
    share = weights / weights.sum()
    source_mean, target_mean = share @ source, share @ target
    p, q = source - source_mean, target - target_mean
    s = np.einsum("n,ni,nj->ij", share, p, q)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = s
    matrix = np.array(
        [
            [xx + yy + zz, yz - zy, zx - xz, xy - yx],
            [yz - zy, xx - yy - zz, xy + yx, zx + xz],
            [zx - xz, xy + yx, yy - xx - zz, yz + zy],
            [xy - yx, zx + xz, yz + zy, zz - xx - yy],
        ]
    )
    values, vectors = np.linalg.eigh(matrix)
    w, x, y, z = vectors[:, -1]
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    scale = values[-1] / (share @ (p**2).sum(1))
    return np.asarray(scale * p @ rotation.T + target_mean)


def test_roots_come_to_lie_on_roots() -> None:
    points, roots, onto = cloud(3, 8), cloud(3, 1, 1)[:, 0], cloud(3, 1, 2)[:, 0]
    moved = align_roots(torch.cat([roots[:, None], points], 1), roots, onto)
    torch.testing.assert_close(moved[:, 0], onto)
    torch.testing.assert_close(moved[:, 1:] - moved[:, :1], points - roots[:, None])


@pytest.mark.parametrize("num_points", [3, 4, 22, 500])
def test_a_known_similarity_is_found(num_points: int) -> None:
    source, (scale, rotation, translation) = cloud(20, num_points), random_similarity(20)
    found = procrustes(source, move(source, scale, rotation, translation))
    torch.testing.assert_close(found.scale, scale, rtol=1e-10, atol=0)
    torch.testing.assert_close(found.rotation, rotation, rtol=0, atol=1e-8)
    torch.testing.assert_close(found.translation_m, translation, rtol=0, atol=1e-8)
    torch.testing.assert_close(found.apply(source), move(source, scale, rotation, translation), rtol=0, atol=1e-9)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_equal_to_the_quaternion_method(is_weighted: bool) -> None:
    source, target = cloud(50, 12), cloud(50, 12, 7)
    weights = torch.tensor(np.random.default_rng(2).uniform(0.1, 2, (50, 12))) if is_weighted else None
    aligned = procrustes(source, target, weights).apply(source)
    for at in range(50):
        weight = np.ones(12) if weights is None else weights[at].numpy()
        expected = by_quaternion(source[at].numpy(), target[at].numpy(), weight)
        np.testing.assert_allclose(aligned[at].numpy(), expected, rtol=0, atol=1e-9)


def test_a_mirror_image_is_not_turned_into_the_original() -> None:
    source = cloud(30, 40)
    found = procrustes(source, source * torch.tensor([-1.0, 1.0, 1.0]))
    torch.testing.assert_close(torch.linalg.det(found.rotation), torch.ones(30).double())
    assert float(distances(found.apply(source), source * torch.tensor([-1.0, 1.0, 1.0])).mean(1).min()) > 0.05


def test_no_other_similarity_is_better() -> None:
    source, target = cloud(5, 9), cloud(5, 9, 3)
    best = (procrustes(source, target).apply(source) - target).square().sum((1, 2))
    chance = np.random.default_rng(4)
    for _ in range(200):
        found = procrustes(source, target)
        turned = torch.tensor(aa_to_rotmat(chance.normal(0, 0.05, (5, 3)))) @ found.rotation
        scale, shift = found.scale * chance.uniform(0.9, 1.1), found.translation_m + chance.normal(0, 0.01)
        assert bool(((move(source, scale, turned, shift) - target).square().sum((1, 2)) >= best - 1e-12).all())


def test_moving_either_side_changes_nothing_but_scale() -> None:
    source, target, similarity = cloud(10, 15), cloud(10, 15, 5), random_similarity(10)
    error = distances(procrustes(source, target).apply(source), target)
    moved_source, moved_target = move(source, *similarity), move(target, *similarity)
    torch.testing.assert_close(distances(procrustes(moved_source, target).apply(moved_source), target), error)
    in_moved = distances(procrustes(source, moved_target).apply(source), moved_target)
    torch.testing.assert_close(in_moved, similarity[0][:, None] * error)


def test_order_of_points_and_of_samples_does_not_matter() -> None:
    source, target = cloud(6, 10), cloud(6, 10, 5)
    points, samples = torch.randperm(10), torch.randperm(6)
    found, shuffled = procrustes(source, target), procrustes(source[samples][:, points], target[samples][:, points])
    torch.testing.assert_close(shuffled.rotation, found.rotation[samples])
    torch.testing.assert_close(shuffled.scale, found.scale[samples])


def test_points_without_weight_may_be_anything() -> None:
    source, target = cloud(4, 10), cloud(4, 10, 5)
    expected = procrustes(source[:, :6], target[:, :6])
    source[:, 6:], target[:, 7:] = float("nan"), float("inf")
    mask = torch.arange(10).expand(4, 10) < 6
    for weights in (mask, 3 * mask.double()):
        found = procrustes(source, target, weights)
        torch.testing.assert_close(found.rotation, expected.rotation)
        torch.testing.assert_close(found.scale, expected.scale)
        torch.testing.assert_close(found.translation_m, expected.translation_m)


def test_a_whole_weight_is_a_repeated_point() -> None:
    source, target = cloud(4, 6), cloud(4, 6, 5)
    weights = torch.ones(4, 6).double()
    weights[:, 2] = 3
    repeated = [0, 1, 2, 2, 2, 3, 4, 5]
    found, expected = procrustes(source, target, weights), procrustes(source[:, repeated], target[:, repeated])
    torch.testing.assert_close(found.rotation, expected.rotation)
    torch.testing.assert_close(found.translation_m, expected.translation_m)


def test_fewer_than_three_points_have_no_transform() -> None:
    source, target = cloud(4, 5), cloud(4, 5, 5)
    mask = torch.tensor([[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 0, 1, 0], [1, 0, 1, 0, 1]], dtype=torch.bool)
    found = procrustes(source, target, mask)
    assert found.scale.isnan().tolist() == [True, True, True, False]
    assert found.apply(source).isnan().all((1, 2)).tolist() == [True, True, True, False]
    assert bool(procrustes(source[:, :2], target[:, :2]).scale.isnan().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_source_points_are_only_shifted(dtype: torch.dtype) -> None:
    # A coordinate that rounds: the mean of equal points is then not quite the point.
    source = torch.tensor([3.3, -1.7, 5.1], dtype=dtype).expand(2, 7, 3).clone()
    target = cloud(2, 7, dtype=dtype)
    found = procrustes(source, target)
    assert found.scale.tolist() == [1, 1]
    torch.testing.assert_close(found.rotation, torch.eye(3, dtype=dtype).expand(2, 3, 3))
    torch.testing.assert_close(found.apply(source), target.mean(1, keepdim=True).expand(2, 7, 3))


def test_equal_target_points_take_all_points() -> None:
    source, target = cloud(2, 7), torch.tensor([3.3, -1.7, 5.1]).double().expand(2, 7, 3)
    found = procrustes(source, target)
    torch.testing.assert_close(found.scale, torch.zeros(2).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.apply(source), target)


def test_points_on_a_line_are_aligned_along_it() -> None:
    along = torch.linspace(-1, 2, 8).double()[:, None]
    source = (along * torch.tensor([1.0, 2.0, -1.0]))[None].double()
    scale, rotation, translation = random_similarity(1)
    found = procrustes(source, move(source, scale, rotation, translation))
    torch.testing.assert_close(found.apply(source), move(source, scale, rotation, translation))
    torch.testing.assert_close(torch.linalg.det(found.rotation), torch.ones(1).double())
    # With a target off the line the distances are those of any best turn, here of the quaternion method's.
    target = cloud(1, 8, 9)
    by_other = by_quaternion(source[0].numpy(), target[0].numpy(), np.ones(8))
    expected = np.linalg.norm(by_other - target[0].numpy(), axis=1)
    np.testing.assert_allclose(distances(found_apply(source, target), target)[0].numpy(), expected, atol=1e-9)


def found_apply(source: Tensor, target: Tensor) -> Tensor:
    return procrustes(source, target).apply(source)


def test_noise_shrinks_the_scale_by_its_share_of_the_variance() -> None:
    # Errors in the source attenuate: scale -> spread^2 / (spread^2 + sigma^2).
    chance = np.random.default_rng(0)
    target = torch.tensor(chance.normal(0, 0.3, (4, 20000, 3)))
    source = target + torch.tensor(chance.normal(0, 0.1, target.shape))
    expected = 0.3**2 / (0.3**2 + 0.1**2)
    torch.testing.assert_close(procrustes(source, target).scale, torch.full((4,), expected).double(), rtol=0.01, atol=0)


def test_single_precision_far_from_the_camera_keeps_a_hundredth_of_a_millimetre() -> None:
    source, target = cloud(8, 500, 0), cloud(8, 500, 1)
    source, target = source + torch.tensor([1.0, 2.0, 8.0]), target + torch.tensor([-3.0, 0.0, 12.0])
    exact = distances(found_apply(source, target), target)
    single = distances(found_apply(source.float(), target.float()), target.float())
    assert float((single.double() - exact).abs().max()) < 1e-5
    assert single.dtype == torch.float32


def test_points_that_are_not_finite_are_refused() -> None:
    source, target = cloud(4, 5), cloud(4, 5, 1)
    source[2, 3, 0] = math.nan
    with pytest.raises(DataError, match="sample 2") as caught:
        procrustes(source, target)
    assert caught.value.fields["samples"] == [2]


@pytest.mark.parametrize(
    ("source", "target", "weights"),
    [
        (torch.zeros(2, 5, 3), torch.zeros(2, 4, 3), None),
        (torch.zeros(2, 5, 2), torch.zeros(2, 5, 2), None),
        (torch.zeros(2, 5, 3), torch.zeros(2, 5, 3).double(), None),
        (torch.zeros(2, 5, 3).half(), torch.zeros(2, 5, 3).half(), None),
        (torch.zeros(2, 5, 3), torch.zeros(2, 5, 3), torch.ones(2, 4)),
    ],
)
def test_shapes_and_precisions_must_fit(source: Tensor, target: Tensor, weights: Tensor | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        procrustes(source, target, weights)


def test_distances_are_those_after_the_transform() -> None:
    source, target = cloud(6, 10), cloud(6, 10, 5)
    weights = torch.tensor(np.random.default_rng(2).random((6, 10)) < 0.7)
    weights[3, 2:] = False
    for some in (None, weights, weights.double()):
        expected = distances(procrustes(source, target, some).apply(source), target)
        found = aligned_distances(source.mT, target.mT, some)
        torch.testing.assert_close(found, expected, equal_nan=True)
        assert bool(found[3].isnan().all()) == (some is not None)


def test_no_samples_are_no_error() -> None:
    assert procrustes(torch.zeros(0, 5, 3), torch.zeros(0, 5, 3)).scale.shape == (0,)
