"""Shape: the quick stature is the mesh's, whatever the betas; unknown shapes have none."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_shard import record, values

from catalogs.attributes import engine, shape
from catalogs.attributes.family import Scope
from catalogs.attributes.stature import MAX_NORM, Stature

RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def stature() -> Stature:
    prepared = shape.prepare(Scope(store=Path(), body_models="standin", shards={}))
    made: Stature = pickle.loads(pickle.dumps(prepared.value))  # as it is sent to workers
    return made


def on_sphere(norms: Any) -> Any:
    betas = RNG.normal(size=(len(norms), 10))
    return betas / np.linalg.norm(betas, axis=1, keepdims=True) * np.asarray(norms)[:, None]


def test_stature_is_the_height_of_the_mesh_at_rest(standin: Any, stature: Stature) -> None:
    from harmonize.bodies import BodyBatch

    model = standin.get("smplx", "neutral")
    betas = on_sphere([0, 1, 3, 6, MAX_NORM - 1e-3, MAX_NORM + 1e-3, 20, 40])
    batch = BodyBatch(pose_aa=np.zeros((8, 55, 3)), betas=betas, transl_m=np.zeros((8, 3)))
    height = np.ptp(model.vertices(batch)[:, :, 1], axis=1)
    np.testing.assert_allclose(stature.of(betas), height, atol=2e-6)
    assert np.ptp(height) > 0.1


def test_pruned_vertices_give_what_all_vertices_give(stature: Stature) -> None:
    kept = len(stature.heads.rest_m), len(stature.soles.rest_m)
    assert max(kept) < len(stature.every_head.rest_m) / 10
    # Betas that raise one vertex over another as fast as can be, at the border of what the pruning holds for.
    directions = stature.every_head.directions_m
    pairs = RNG.integers(0, len(directions), (500, 2))
    turns = directions[pairs[:, 0]] - directions[pairs[:, 1]]
    steep = turns / np.linalg.norm(turns, axis=1, keepdims=True).clip(1e-12) * (MAX_NORM * (1 - 1e-9))
    betas = np.concatenate([steep, on_sphere(RNG.uniform(0, MAX_NORM, 500))])
    whole = stature.every_head.highest_m(betas) + stature.every_sole.highest_m(betas)
    np.testing.assert_allclose(stature.of(betas), whole, rtol=0, atol=1e-12)


def test_pruning_holds_for_any_mesh() -> None:
    for _ in range(20):
        rest, directions = RNG.normal(size=300), RNG.normal(0, 0.3, size=(300, 3))
        made = Stature.from_mesh(rest, directions, max_norm=2.0)
        assert len(made.heads.rest_m) < 300
        betas = RNG.normal(size=(200, 3))
        betas *= 2 / np.linalg.norm(betas, axis=1, keepdims=True)
        height = np.ptp(rest + betas @ directions.T, axis=1)
        np.testing.assert_allclose(made.of(betas * (1 - 1e-12)), height, atol=1e-9)


def test_values_of_a_store(tmp_path: Path, stature: Stature) -> None:
    betas = np.zeros(10)
    betas[:2] = 3, -4
    people = [record(1, betas=betas, has_betas=True), record(2, betas=betas, has_betas=False)]
    known, unknown = values(tmp_path, shape.FAMILY, people)
    assert known["betas_norm"] == pytest.approx(5)
    assert known["stature_m"] == pytest.approx(stature.of(betas[None])[0], abs=1e-6)
    assert 1.2 < known["stature_m"] < 2.2
    assert (unknown["stature_m"], unknown["betas_norm"]) == (None, None)


def test_another_body_model_makes_the_values_stale(
    tmp_path: Path, standin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harmonize.bodies import BodyModels

    values(tmp_path, shape.FAMILY, [record(1)])
    facts = shape.prepare(Scope(store=tmp_path, body_models="standin", shards={})).facts
    assert facts == {"body_model": standin.sha256("smplx", "neutral")}
    assert not engine.plan(tmp_path, shape.FAMILY).pending
    monkeypatch.setattr(BodyModels, "sha256", lambda *of: "another")
    assert len(engine.plan(tmp_path, shape.FAMILY).pending) == 1
