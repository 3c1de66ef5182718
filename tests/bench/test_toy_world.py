"""The toy world of `bench_select_toy`: it trains on the mixture asked for, and measures by the protocols."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_world
from toy_proposals import CONTENDERS, NUM_RUNS, Case, Laboratory, Looks, Results, halves, look, mixture, randoms
from toy_world import TINY, StoreConfig, World, bodies, build_store, open_world

from benchmark.evaluation import evaluate
from benchmark.predictions import PredictionBatch
from benchmark.proposers import PROPOSERS
from benchmark.protocols import protocol
from catalogs.selection import Selection
from train.body import Body
from train.building import load_networks
from train.data.loader import Loader
from train.data.schedule import State
from train.loop import train
from train.losses.vertex_subset import vertex_subset
from train.models.registry import build
from train.steps import predict

SMALL = StoreConfig(datasets=("egobody_egoset", "pw3d"), num_people=15, families=("orientation", "pose_space"))
CONFIG = replace(TINY, steps=3, batch_size=4)
DRAWS = 18


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_world, "cache_dir", lambda: folder)
        return open_world(build_store(SMALL), CONFIG, ("egobody", "pw3d"), draws_per_epoch=DRAWS)


@pytest.fixture(scope="module")
def looks(world: World) -> Looks:
    return look(world)


def _selection(world: World) -> Selection:
    return PROPOSERS["temperature"](world.problem, tau=3.0)


def test_an_epoch_draws_what_the_selection_says(world: World) -> None:
    selection = PROPOSERS["explicit_lengths"](world.problem, lengths={"egobody_egoset": 1, "pw3d": 2})
    num_batches = -(-DRAWS // CONFIG.batch_size)
    batches = list(islice(world.drawn(selection), num_batches))
    drawn = Counter("/".join(source) for batch in batches for source in batch.sources)
    assert drawn == {member.name: member.num_draws for member in selection.members}
    assert drawn == {"egobody_egoset/train": 6, "pw3d/train": 12}


def test_batches_are_those_of_the_trainers_loader(world: World) -> None:
    selection = _selection(world)
    loader = Loader(world.store, selection, batch_size=CONFIG.batch_size, size=CONFIG.crop)
    num = 2 * -(-DRAWS // CONFIG.batch_size)  # two epochs
    for ours, (_, theirs) in zip(islice(world.drawn(selection), num), loader.batches(State()), strict=False):
        assert ours.keys == theirs.keys
        assert ours.sources == theirs.sources
        assert torch.equal(ours.observed.crop, theirs.observed.crop)
        torch.testing.assert_close(ours.truth.rotmat, theirs.truth.rotmat, equal_nan=True)
        torch.testing.assert_close(ours.truth.keypoints_px, theirs.truth.keypoints_px, equal_nan=True)


def test_training_makes_the_weights_of_the_trainer(world: World, tmp_path: Path) -> None:
    """With the vertices that only the toy leaves out."""
    whole = replace(world, body=Body(world.models, vertex_subset(world.models)))
    ours = whole.train(_selection(world), seed=5).state_dict()
    train(world.store, _selection(world), tmp_path / "run", replace(CONFIG, seed=5), world.models)
    theirs = load_networks(tmp_path / "run", "last").regressor.state_dict()
    before = build(CONFIG.model, 5).state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)
    assert any(not torch.allclose(before[name], ours[name]) for name in before)


def test_errors_are_those_of_the_protocols(world: World) -> None:
    network = build(CONFIG.model, 1).eval()
    found = world.measure(network)
    for name, one in world.benchmarks.items():
        with torch.inference_mode():
            predicted = PredictionBatch(keys=one.crops.keys, bodies=bodies(predict(network, one.crops.observed)))
        whole = evaluate(world.store, protocol(name), [predicted], world.models, num_draws=0).summary
        assert found.errors[name] == pytest.approx(whole.figure(whole.primary).mean_mm, rel=1e-6)
        assert len(one.crops.keys) == whole.num_evaluated
        assert found.joints_mm[name].shape == one.joints_mm.shape == (len(one.crops.keys), 66)
    assert found.mean_mm == pytest.approx(np.mean(list(found.errors.values())))


def test_nothing_that_is_judged_on_can_be_drawn(world: World) -> None:
    judged = {key for one in world.benchmarks.values() for key in one.crops.keys}
    assert judged
    assert not judged & set(world.crops.keys)


def test_a_seed_decides_and_a_finished_training_is_not_made_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = _selection(world)
    first = Results(world, tmp_path).measured(selection, 0)
    again = Results(world, tmp_path / "elsewhere").measured(selection, 0)
    other = Results(world, tmp_path).measured(selection, 1)
    assert first.errors == again.errors
    assert first.errors != other.errors

    def refuse(self: World, selection: Selection, seed: int) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr(World, "train", refuse)
    results = Results(world, tmp_path)
    assert results.measured(selection, 0).errors == first.errors
    assert results.measured(replace(selection, method="another name"), 0).errors == first.errors
    with pytest.raises(AssertionError, match="trained again"):
        results.measured(replace(selection, seed=1), 0)
    with pytest.raises(AssertionError, match="trained again"):
        results.measured(mixture(world.problem, np.array([1.0, 0.0])), 0)


def test_laboratories_have_other_seeds_than_what_is_judged(world: World, tmp_path: Path) -> None:
    results = Results(world, tmp_path)
    shares = np.array([0.5, 0.5])
    run = Laboratory(results, 0).run(shares)
    assert run.weights == dict(zip(world.problem.names, shares.tolist(), strict=True))
    assert run.errors != results.measured(mixture(world.problem, shares), 0).errors


def test_designs_are_mixtures_and_halves_complete_each_other(world: World) -> None:
    for design in (halves(world.problem), randoms(world.problem)):
        assert design.shape == (NUM_RUNS, 2)
        np.testing.assert_allclose(design.sum(axis=1), 1)
    np.testing.assert_allclose((halves(world.problem)[::2] > 0) ^ (halves(world.problem)[1::2] > 0), True)


def test_every_proposer_is_judged() -> None:
    judged = {name.partition(",")[0] for name, contender in CONTENDERS.items() if not contender.is_control}
    assert judged == set(PROPOSERS)


@pytest.mark.parametrize("method", ["uniform", "dsir", "semantic_dedup", "motion_frames", "smplerx_concat"])
def test_proposals_of_a_seed_repeat_themselves(world: World, looks: Looks, tmp_path: Path, method: str) -> None:
    results = Results(world, tmp_path)
    one, other = (CONTENDERS[method].propose(Case.of(results, looks, 3)) for _ in range(2))
    assert one.content_hash == other.content_hash
    assert one.seed == 3
