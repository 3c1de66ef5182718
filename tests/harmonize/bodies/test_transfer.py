from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.bodies import BodyModels
from harmonize.bodies.transfer import Surface, Transfer, cached_transfer, nearest_surface


def _sphere(num: int, radius_m: float) -> Surface:
    """A latitude-longitude sphere that may grow."""
    polar, around = np.meshgrid(np.linspace(0.05, np.pi - 0.05, num), np.arange(2 * num) * np.pi / num, indexing="ij")
    unit = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), -np.sin(polar) * np.sin(around)], axis=-1)
    index = np.arange(unit[..., 0].size).reshape(num, 2 * num)
    a, b, c, d = index[:-1], index[1:], np.roll(index, -1, 1)[1:], np.roll(index, -1, 1)[:-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    vertices = unit.reshape(-1, 3)
    return Surface(vertices=radius_m * vertices, faces=faces, shape=0.05 * vertices[:, :, None])


def test_same_surface_in_another_sampling_is_found() -> None:
    source, target = _sphere(40, 0.5), _sphere(31, 0.5)
    transfer = nearest_surface(source, target)
    carried = transfer.carry(source.vertices[None].astype(np.float32))[0]
    assert transfer.is_valid.mean() > 0.97
    assert np.linalg.norm(carried - target.vertices, axis=1)[transfer.is_valid].max() < 0.003
    np.testing.assert_allclose(transfer.weights.sum(axis=1), 1, atol=1e-6)
    assert transfer.weights.min() >= 0


def test_target_of_another_size_is_grown_before_points_are_matched() -> None:
    source, target = _sphere(40, 0.5), _sphere(31, 0.512)
    transfer = nearest_surface(source, target)
    carried = transfer.carry(source.vertices[None].astype(np.float32))[0]
    assert transfer.is_valid.mean() > 0.97
    assert np.abs(np.linalg.norm(carried, axis=1) - 0.5).max() < 0.003


def test_pieces_without_a_partner_are_not_valid() -> None:
    """An inner sphere (an eyeball) and one that faces inwards (a mouth) lie near the surface but belong to no part."""
    source = _sphere(40, 0.5)
    outer, inner = _sphere(31, 0.5), _sphere(9, 0.495)
    for faces in (inner.faces, inner.faces[:, ::-1]):
        target = Surface(
            vertices=np.concatenate([outer.vertices, inner.vertices]),
            faces=np.concatenate([outer.faces, faces + len(outer.vertices)]),
            shape=np.concatenate([outer.shape, inner.shape]),
        )
        transfer = nearest_surface(source, target)
        assert transfer.is_valid[: len(outer.vertices)].mean() > 0.97
        assert not transfer.is_valid[len(outer.vertices) :].any()


def test_a_flipped_surface_has_no_partner() -> None:
    source, target = _sphere(40, 0.5), _sphere(31, 0.5)
    flipped = Surface(vertices=target.vertices, faces=target.faces[:, ::-1], shape=target.shape)
    assert nearest_surface(source, flipped).is_valid.mean() < 0.01


def test_carrying_commutes_with_rigid_motion(standin: BodyModels) -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 100, (50, 3))
    weights = rng.dirichlet(np.ones(3), 50).astype(np.float32)
    transfer = Transfer(corners=corners, weights=weights, is_valid=np.ones(50, bool))
    points = rng.normal(size=(2, 100, 3)).astype(np.float32)
    rotmat, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = (points @ rotmat.T + [1.0, 2.0, 3.0]).astype(np.float32)
    np.testing.assert_allclose(transfer.carry(moved), transfer.carry(points) @ rotmat.T + [1, 2, 3], atol=1e-5)


def test_cache_is_used_and_keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHPS_CACHE", str(tmp_path))
    calls = []

    def make(value: int) -> Any:
        def transfer() -> Transfer:
            calls.append(value)
            return Transfer(
                corners=np.full((2, 3), value),
                weights=np.full((2, 3), 1 / 3, np.float32),
                is_valid=np.array([True, False]),
            )

        return transfer

    for key, value in (("a", 1), ("a", 2), ("b", 3)):
        found = cached_transfer(key, make(value))
        assert found.is_valid.tolist() == [True, False]
        assert found.corners[0, 0] == (1 if key == "a" else 3)
    assert calls == [1, 3]
