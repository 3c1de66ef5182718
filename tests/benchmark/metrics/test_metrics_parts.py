"""Which vertices and joints belong to which part, of the stand-in and of a folder laid out as the official one."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.metrics.parts import AGORA_JOINTS, FIELD_JOINTS, PW3D_JOINTS, agora_mesh_parts, mesh_parts
from benchmark.metrics.regressors import Regressor, load_regressor
from harmonize.bodies import BodyBatch, BodyModels
from harmonize.errors import MissingBodyModelError, RawFileError
from harmonize.keypoints import SMPLX_144, convention


@pytest.fixture
def official(standin: BodyModels, tmp_path: Path) -> BodyModels:
    """A folder laid out as the official one, with made-up lists of the official sizes."""
    folder = tmp_path / "smplx"
    folder.mkdir()
    shutil.copy(standin.root / "smplx" / "SMPLX_NEUTRAL.npz", folder)
    ids = np.random.default_rng(0).permutation(10475)
    with (folder / "MANO_SMPLX_vertex_ids.pkl").open("wb") as file:
        pickle.dump({"left_hand": ids[:778], "right_hand": ids[778:1556]}, file, protocol=2)
    np.save(folder / "SMPL-X__FLAME_vertex_ids.npy", ids[1556:6579])
    np.save(folder / "body_verts_smplx.npy", ids[6000:10010].astype(np.uint32))
    return BodyModels.open(tmp_path)


def test_joint_sets_are_those_of_the_evaluators() -> None:
    # Indices as the evaluators write them, in the package's order.
    assert FIELD_JOINTS["body"].joints == tuple(range(22))
    assert sorted(FIELD_JOINTS["left_hand"].joints) == [20, *range(25, 40), *range(66, 71)]
    assert sorted(FIELD_JOINTS["right_hand"].joints) == [21, *range(40, 55), *range(71, 76)]
    assert FIELD_JOINTS["face"].joints == tuple(range(76, 127))
    assert len(FIELD_JOINTS["all"].joints) == 22 + 2 * 20 + 51
    assert {part: of.roots for part, of in FIELD_JOINTS.items()} == {
        **{"all": (0,), "body": (0,), "left_hand": (20,), "right_hand": (21,), "face": (12,)}
    }
    assert PW3D_JOINTS["body"].joints == (1, 2, 4, 5, 7, 8, 12, 15, 16, 17, 18, 19, 20, 21)
    assert AGORA_JOINTS["body"].roots == (1, 2)
    assert AGORA_JOINTS["left_hand"].joints == (20, *range(25, 40))
    assert AGORA_JOINTS["right_hand"].joints == (21, *range(40, 55))
    assert AGORA_JOINTS["face"].joints == (12, *range(76, 127))


def test_joints_of_3dpw_are_the_same_in_smpl() -> None:
    assert convention("smpl_24").names[:22] == SMPLX_144[:22]


def test_parts_of_the_standin_are_where_they_belong(standin: BodyModels) -> None:
    parts = mesh_parts(standin)
    assert parts.is_standin
    assert "stand-in" in parts.source
    ids = parts.vertices
    assert ids["all"].tolist() == list(range(10475))
    assert parts.num_vertices == 10475
    split = np.concatenate([ids[part] for part in ("body", "left_hand", "right_hand", "face")])
    assert sorted(split.tolist()) == list(range(10475))
    model = standin.get("smplx", "neutral")
    rest = model.template.numpy()
    joints = model.joints_module.rest_joints.numpy()
    assert (np.linalg.norm(rest[ids["left_hand"]] - joints[20], axis=1) < 0.25).all()
    assert (np.linalg.norm(rest[ids["right_hand"]] - joints[21], axis=1) < 0.25).all()
    assert (rest[ids["face"], 1] > joints[12, 1]).all()
    assert all(len(part) > 500 for part in ids.values())


def test_parts_move_with_the_joints_that_govern_them(standin: BodyModels) -> None:
    model, ids = standin.get("smplx", "neutral"), mesh_parts(standin).vertices
    pose = np.zeros((4, 55, 3))
    pose[1, 25:40, 2] = 0.8
    pose[2, 40:55, 2] = 0.8
    pose[3, 15, 0] = 0.5
    vertices = model.vertices(BodyBatch(pose_aa=pose, betas=np.zeros((4, 10)), transl_m=np.zeros((4, 3))))
    moved = np.linalg.norm(vertices[1:] - vertices[0], axis=-1)
    mean = {part: moved[:, of].mean(1) for part, of in ids.items()}
    assert np.stack([mean["left_hand"], mean["right_hand"], mean["face"]]).argmax(0).tolist() == [0, 1, 2]
    assert mean["left_hand"][1] < 1e-3 < mean["left_hand"][0]


@pytest.mark.parametrize("kind", ["smpl", "smplh"])
def test_other_models_have_one_part(standin: BodyModels, kind: Any) -> None:
    parts = mesh_parts(standin, kind)
    assert {part: len(ids) for part, ids in parts.vertices.items()} == {"all": 6890}
    assert parts.roots == {"all": (0,)}


def test_joints_from_the_mesh_are_those_of_the_model_at_rest(standin: BodyModels) -> None:
    # At rest the regressed joints are the kinematic ones; extra joints and landmarks lie on the mesh in every pose.
    model, parts = standin.get("smplx", "neutral"), mesh_parts(standin)
    pose = np.random.default_rng(0).normal(0, 0.3, (3, 55, 3))
    pose[0] = 0
    batch = BodyBatch(pose_aa=pose, betas=np.full((3, 10), 0.5), transl_m=np.full((3, 3), 2.0))
    joints, regressed = model.joints(batch), parts.regressor(torch.tensor(model.vertices(batch))).numpy()
    assert regressed.shape == (3, 127, 3)
    np.testing.assert_allclose(regressed[0], joints[0, :127], atol=2e-5)
    np.testing.assert_allclose(regressed[:, 55:], joints[:, 55:127], atol=2e-5)


def test_official_lists_are_read(official: BodyModels) -> None:
    parts = mesh_parts(official)
    assert not parts.is_standin
    assert {part: len(ids) for part, ids in parts.vertices.items()} == {
        **{"all": 10475, "body": 3896, "left_hand": 778, "right_hand": 778, "face": 5023}
    }
    assert all((np.diff(ids) > 0).all() for ids in parts.vertices.values())
    agora = agora_mesh_parts(official)
    assert list(agora.vertices) == ["body", "left_hand", "right_hand", "face"]
    assert len(agora.vertices["body"]) == 4010
    assert agora.roots["body"] == (1, 2)
    assert agora.vertices["face"].tolist() == parts.vertices["face"].tolist()


@pytest.mark.parametrize("name", ["MANO_SMPLX_vertex_ids.pkl", "SMPL-X__FLAME_vertex_ids.npy", "body_verts_smplx.npy"])
def test_a_missing_list_is_named_with_its_home(official: BodyModels, name: str) -> None:
    (official.root / "smplx" / name).unlink()
    with pytest.raises(MissingBodyModelError, match=name) as caught:
        agora_mesh_parts(official)
    assert "https://" in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("hands", "problem"),
    [
        ({"left_hand": np.arange(778)}, "right_hand"),
        ({"left_hand": np.arange(778), "right_hand": np.arange(778)}, "common"),
        ({"left_hand": np.arange(777), "right_hand": np.arange(800, 1578)}, "778"),
        ({"left_hand": np.zeros(778, int), "right_hand": np.arange(800, 1578)}, "different"),
        ({"left_hand": np.arange(778) + 10000, "right_hand": np.arange(778)}, "10474"),
        ({"left_hand": np.arange(778) - 1, "right_hand": np.arange(1000, 1778)}, "10474"),
        ({"left_hand": np.arange(778) * 1.0, "right_hand": np.arange(800, 1578)}, "float64"),
        ([1, 2], "list"),
    ],
)
def test_a_wrong_list_is_refused(official: BodyModels, hands: Any, problem: str) -> None:
    with (official.root / "smplx" / "MANO_SMPLX_vertex_ids.pkl").open("wb") as file:
        pickle.dump(hands, file, protocol=2)
    with pytest.raises(RawFileError, match=problem):
        mesh_parts(official)


def test_a_hostile_list_runs_nothing(official: BodyModels) -> None:
    path = official.root / "smplx" / "MANO_SMPLX_vertex_ids.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    with pytest.raises(RawFileError, match="system"):
        mesh_parts(official)


def test_a_regressor_is_its_matrix() -> None:
    chance = np.random.default_rng(0)
    matrix = np.where(chance.random((6, 40)) < 0.3, chance.normal(size=(6, 40)), 0)
    vertices = torch.tensor(chance.normal(size=(5, 40, 3)))
    regressor = Regressor.from_matrix(matrix)
    np.testing.assert_allclose(regressor(vertices).numpy(), np.einsum("kv,nvc->nkc", matrix, vertices), atol=1e-12)
    some = regressor.select([4, 1, 4])
    np.testing.assert_allclose(some(vertices).numpy(), regressor(vertices)[:, [4, 1, 4]].numpy(), atol=1e-12)
    assert regressor(vertices.float()).dtype == torch.float32
    with pytest.raises(ValueError, match="40"):
        regressor(vertices[:, :39])


@pytest.mark.parametrize("name", ["SMPLX_to_J14.pkl", "J_regressor_h36m.npy", "sparse.pkl"])
def test_a_regressor_file_is_read(tmp_path: Path, name: str) -> None:
    from scipy.sparse import csc_matrix

    matrix = np.random.default_rng(0).random((14, 30))
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, matrix)
    else:
        with path.open("wb") as file:
            pickle.dump(csc_matrix(matrix) if name == "sparse.pkl" else matrix, file, protocol=2)
    vertices = torch.rand(2, 30, 3).double()
    expected = np.einsum("kv,nvc->nkc", matrix, vertices)
    np.testing.assert_allclose(load_regressor(path, num_vertices=30)(vertices).numpy(), expected, atol=1e-12)
    with pytest.raises(RawFileError, match="31"):
        load_regressor(path, num_vertices=31)


def test_a_missing_or_damaged_regressor_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingBodyModelError, match="SMPLX_to_J14") as caught:
        load_regressor(tmp_path / "SMPLX_to_J14.pkl", num_vertices=30)
    assert "expose" in (caught.value.fix or "")
    np.save(tmp_path / "nan.npy", np.full((2, 30), np.nan))
    with pytest.raises(RawFileError, match="finite"):
        load_regressor(tmp_path / "nan.npy", num_vertices=30)


def test_released_files_are_read(samples: Path) -> None:
    folder = samples / "joint_regressors"
    vertices = torch.full((1, 10475, 3), 2.0).double()
    points = load_regressor(folder / "J_regressor_h36m_smplx.npy", num_vertices=10475)(vertices)
    torch.testing.assert_close(points, torch.full((1, 17, 3), 2.0).double(), rtol=1e-3, atol=0)
    body = np.load(folder / "agora_body_verts_smplx.npy", allow_pickle=False)
    assert len(np.unique(body)) == 4010
