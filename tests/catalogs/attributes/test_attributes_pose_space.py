"""The space of poses: a basis that is kept, found again and never made up; one shard that changes changes no other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_store import person, write_shard

from catalogs.attributes import FAMILIES, engine, files, pose_basis
from catalogs.attributes.family import Scope
from catalogs.attributes.pose_basis import MAX_CLUSTERS, NUM_COMPONENTS, fitted, refit
from catalogs.attributes.pose_clusters import k_means
from harmonize.errors import StoreError, UsageError
from harmonize.record import Body, Instance

OURS = ("orientation", "pose", "skeleton", "pose_space")


def people(dataset: str, numbers: Sequence[int]) -> list[Instance]:
    return [person(dataset, "train", number) for number in numbers]


def describe(store: Path, *names: str) -> dict[str, list[str]]:
    """Compute what is missing; the shards that were done, by family."""
    done = {}
    for name in names or OURS:
        jobs = engine.plan(store, FAMILIES[name]).pending
        for job in jobs:
            engine.run(job)
        done[name] = sorted(job.shard for job in jobs)
    return done


def column(store: Path, dataset: str, family: str, name: str, shard: int = 0) -> np.ndarray:
    table = files.read_attributes(
        files.folder_of(store / dataset / "train", family), f"{dataset}-train-{shard:06d}", [name]
    )
    values = table.column(name).to_pylist()
    width = next((len(value) for value in values if isinstance(value, list)), 0)
    empty = [np.nan] * width if width else np.nan
    return np.array([empty if value is None else value for value in values], float)


def basis_of(store: Path) -> tuple[pose_basis.PoseBasis, str]:
    shards = {
        f"{manifest.dataset}-{manifest.split}-{manifest.shard:06d}": folder
        for folder, manifest in engine.shards_of(store)
    }
    return pose_basis.current_or_fit(Scope(store=store, body_models=None, shards=shards))


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("poses")
    write_shard(folder, people("pw3d", range(60)))
    write_shard(folder, people("pw3d", range(60, 90)), number=1)
    write_shard(folder, people("agora", range(40)))
    describe(folder)
    return folder


@pytest.fixture
def store(described: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(described, tmp_path / "store"))


# What changes with what


def test_changing_one_shard_recomputes_that_shard_alone(store: Path) -> None:
    assert describe(store) == {name: [] for name in OURS}
    before = basis_of(store)[1]
    write_shard(store, people("pw3d", range(100, 120)), number=1)
    assert describe(store) == {name: ["pw3d-train-000001"] for name in OURS}
    assert basis_of(store)[1] == before
    assert describe(store) == {name: [] for name in OURS}


def test_a_new_shard_is_placed_in_the_space_that_is_there(store: Path) -> None:
    before, kept = basis_of(store)[1], column(store, "pw3d", "pose_space", "components")
    write_shard(store, people("bedlam", range(10)))
    assert describe(store)["pose_space"] == ["bedlam-train-000000"]
    assert basis_of(store)[1] == before
    assert np.array_equal(column(store, "pw3d", "pose_space", "components"), kept)


def test_refit_on_request_makes_all_shards_stale(store: Path) -> None:
    before = basis_of(store)[1]
    assert refit(store) == before
    assert describe(store)["pose_space"] == []
    write_shard(store, people("bedlam", range(50)))
    describe(store)
    after = refit(store)
    assert after != before
    assert len(describe(store)["pose_space"]) == 4
    assert len(list((store / "attributes" / "pose_basis").glob("*.npz"))) == 2
    manifest = files.read_manifest(files.folder_of(store / "agora" / "train", "pose_space"), "agora-train-000000")
    assert manifest is not None
    assert manifest.facts == {"basis": after}


def test_same_store_same_basis(described: Path, store: Path) -> None:
    shutil.rmtree(store / "attributes")
    assert basis_of(store)[1] == basis_of(described)[1]


def test_a_basis_of_another_body_is_none(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = basis_of(store)[1]
    pointer = store / "attributes" / "pose_basis" / "current.json"
    pointer.write_bytes(pointer.read_bytes().replace(b'"body_model":"', b'"body_model":"0'))
    assert basis_of(store)[1] == before
    assert b'"body_model":"0' not in pointer.read_bytes()


# What the numbers are


def test_components_are_the_skeletons_on_the_basis(described: Path) -> None:
    basis, _ = basis_of(described)
    joints = column(described, "pw3d", "skeleton", "joints_m")
    components = column(described, "pw3d", "pose_space", "components")
    assert np.abs((joints - basis.mean) @ basis.components.T - components).max() < 1e-5
    assert np.abs(basis.components @ basis.components.T - np.eye(NUM_COMPONENTS)).max() < 1e-9
    rebuilt = basis.mean + components @ basis.components
    assert np.mean((rebuilt - joints) ** 2) < 0.35 * np.mean((joints - basis.mean) ** 2)
    shares = np.array(basis.variance_m2)
    assert (np.diff(shares) <= 0).all()
    assert shares[0] > basis.residual_m2 > 0


def test_cluster_is_the_nearest_centre(described: Path) -> None:
    basis, _ = basis_of(described)
    components = column(described, "agora", "pose_space", "components")
    apart = np.linalg.norm(components[:, None] - basis.centres[None], axis=2)
    assert column(described, "agora", "pose_space", "cluster").tolist() == apart.argmin(axis=1).tolist()
    expected = apart.min(axis=1) / np.sqrt(22)
    assert np.abs(column(described, "agora", "pose_space", "cluster_distance_m") - expected).max() < 1e-5


def test_unusual_poses_are_far_from_the_mean(store: Path) -> None:
    usual = column(store, "pw3d", "pose_space", "mahalanobis")
    # Standard deviations of 16 directions: about 4 together, for those that the basis was fitted on.
    assert 3 < np.sqrt(np.mean(usual**2)) < 4.2
    basis, _ = basis_of(store)
    components = column(store, "pw3d", "pose_space", "components")
    residual = max(float(basis.residual_m2), 1e-6)
    assert usual == pytest.approx(np.sqrt((components**2 / (basis.variance_m2 + residual)).sum(axis=1)), rel=1e-4)


def test_without_a_skeleton_there_is_no_place(tmp_path: Path) -> None:
    from dataclasses import replace

    known = np.ones(21, np.float32)
    known[0] = 0
    some = people("pw3d", range(6))
    some[2] = replace(some[2], body=replace(some[2].body, known_body_joints=known))
    write_shard(tmp_path, some)
    describe(tmp_path)
    for name in ("cluster", "cluster_distance_m", "mahalanobis"):
        assert np.isnan(column(tmp_path, "pw3d", "pose_space", name)).tolist() == [i == 2 for i in range(6)]
    assert np.isnan(column(tmp_path, "pw3d", "pose_space", "components")).all(axis=1).tolist() == [
        i == 2 for i in range(6)
    ]


@pytest.mark.parametrize("num", [1, 2, 5])
def test_fewer_samples_than_components_leave_zeros(tmp_path: Path, num: int) -> None:
    write_shard(tmp_path, people("pw3d", range(num)))
    describe(tmp_path)
    components = column(tmp_path, "pw3d", "pose_space", "components")
    assert components.shape == (num, NUM_COMPONENTS)
    assert (components[:, num - 1 :] == 0).all()
    assert np.isfinite(column(tmp_path, "pw3d", "pose_space", "mahalanobis")).all()
    basis, _ = basis_of(tmp_path)
    joints = column(tmp_path, "pw3d", "skeleton", "joints_m")
    assert np.abs(basis.mean + components @ basis.components - joints).max() < 1e-5


def test_the_sample_is_balanced_over_datasets(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose_basis, "SAMPLES_PER_DATASET", 25)
    shards = {
        f"{manifest.dataset}-{manifest.split}-{manifest.shard:06d}": folder
        for folder, manifest in engine.shards_of(store)
    }
    scope = Scope(store=store, body_models=None, shards=shards)
    chosen = pose_basis.sample(scope)
    assert chosen.shape == (50, 66)
    agora = column(store, "agora", "skeleton", "joints_m").astype(np.float32)
    from_agora = (chosen[:, None].astype(np.float32) == agora[None]).all(axis=2).any(axis=1)
    assert from_agora.tolist() == [True] * 25 + [False] * 25
    assert len(np.unique(chosen, axis=0)) == 50
    assert np.array_equal(chosen, pose_basis.sample(scope))


def test_principal_components_are_those_of_the_field() -> None:
    """Against an independent implementation."""
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    points = rng.normal(0, np.linspace(1, 0.01, 66), (400, 66)) @ np.linalg.qr(rng.normal(size=(66, 66)))[0]
    ours, theirs = fitted(points), PCA(NUM_COMPONENTS, svd_solver="full").fit(points)
    assert np.abs(np.abs((ours.components * theirs.components_).sum(axis=1)) - 1).max() < 1e-9
    assert ours.variance_m2 * 400 / 399 == pytest.approx(theirs.explained_variance_)


def test_k_means_finds_separate_clusters_and_names_the_largest_first() -> None:
    rng = np.random.default_rng(0)
    places = np.array([[0.0, 0], [10, 0], [0, 10]])
    points = np.concatenate(
        [place + rng.normal(0, 0.5, (num, 2)) for place, num in zip(places, (30, 80, 50), strict=True)]
    )
    centres = k_means(points, 3, 1)
    assert np.abs(centres - places[[1, 2, 0]]).max() < 0.5
    assert np.array_equal(centres, k_means(points, 3, 1))
    assert len(k_means(np.zeros((9, 2)), 4, 0)) == 1
    assert fitted(rng.normal(size=(1000, 66))).centres.shape == (MAX_CLUSTERS, NUM_COMPONENTS)


# Bad input


def test_missing_skeletons_name_the_command(tmp_path: Path) -> None:
    write_shard(tmp_path, people("pw3d", range(3)))
    with pytest.raises(UsageError, match=r"expected skeleton of pw3d-train-000000[\s\S]*--attributes skeleton"):
        engine.plan(tmp_path, FAMILIES["pose_space"])
    assert not (tmp_path / "attributes").exists()


def test_a_store_without_bodies_has_no_space_until_bodies_come(tmp_path: Path) -> None:
    write_shard(tmp_path, [replace(one, body=Body()) for one in people("pw3d", range(3))])
    describe(tmp_path, "skeleton", "pose_space")
    assert np.isnan(column(tmp_path, "pw3d", "pose_space", "mahalanobis")).all()
    assert np.isnan(column(tmp_path, "pw3d", "pose_space", "components")).all()
    assert not (tmp_path / "attributes").exists()
    assert refit(tmp_path) is None
    write_shard(tmp_path, people("pw3d", range(3)), number=1)
    made = describe(tmp_path, "skeleton", "pose_space")
    assert len(made["pose_space"]) == 2, "the space is another for both"
    assert not np.isnan(column(tmp_path, "pw3d", "pose_space", "mahalanobis", shard=1)).any()


@pytest.mark.parametrize("what", ["basis", "pointer", "no basis"])
def test_a_damaged_basis_is_told_and_not_replaced(store: Path, what: str) -> None:
    folder = store / "attributes" / "pose_basis"
    path: Any = folder / "current.json" if what == "pointer" else next(folder.glob("*.npz"))
    path.unlink() if what == "no basis" else path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(StoreError, match=path.name):
        engine.plan(store, FAMILIES["pose_space"])
