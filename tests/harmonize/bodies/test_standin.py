from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smplx
from reference_forward import random_batch

from harmonize.bodies import BodyBatch, BodyModel, BodyModels
from harmonize.bodies.standin import standin_root

LEFT_ELBOW = 18


def _rest(model: BodyModel) -> BodyBatch:
    return BodyBatch(pose_aa=np.zeros((1, model.num_joints, 3)), betas=np.zeros((1, 10)), transl_m=np.zeros((1, 3)))


def _moved_mm(model: BodyModel, a: BodyBatch, b: BodyBatch) -> Any:
    return 1000 * np.linalg.norm(model.vertices(a)[0] - model.vertices(b)[0], axis=1)


@pytest.mark.parametrize("kind", ["smplx", "smplh"])
@pytest.mark.parametrize("gender", ["neutral", "female", "male"])
def test_the_package_opens_it(standin: BodyModels, kind: str, gender: str) -> None:
    model = smplx.create(str(standin.root), model_type=kind, gender=gender, ext="npz", use_face_contour=True)
    assert model().joints.shape[1] == {"smplx": 144, "smplh": 73}[kind]


def test_bending_an_elbow_moves_only_the_forearm(standin: BodyModels) -> None:
    for kind in ("smplx", "smplh", "smpl"):
        model = standin.get(kind, "neutral")
        bent = _rest(model)
        bent.pose_aa[0, LEFT_ELBOW, 1] = -1.2
        moved = _moved_mm(model, _rest(model), bent)
        beyond = [joint for joint in range(model.num_joints) if _descends(model, joint, LEFT_ELBOW)]
        share = model.weights[:, beyond].sum(dim=1).numpy()
        assert (share > 0.99).sum() > 100
        assert moved[share > 0.99].min() > 0.1
        # Correctives of the elbow reach its parent's side; nothing else may move.
        touched = share + model.weights[:, LEFT_ELBOW].numpy()
        assert moved[touched == 0].max() < 1e-3


def _descends(model: BodyModel, joint: int, ancestor: int) -> bool:
    while joint not in (-1, ancestor):
        joint = model.parents[joint]
    return joint == ancestor


def test_genders_differ_by_more_than_five_millimetres(standin: BodyModels) -> None:
    for kind in ("smplx", "smplh", "smpl"):
        models = [standin.get(kind, gender) for gender in ("neutral", "female", "male")]
        batches = [random_batch(models[0], 1, seed=seed) for seed in range(3)]
        for i, j in ((0, 1), (0, 2), (1, 2)):
            for batch in batches:
                joints = models[i].joints(batch) - models[j].joints(batch)
                vertices = models[i].vertices(batch) - models[j].vertices(batch)
                assert 1000 * np.linalg.norm(vertices, axis=-1).mean() > 5
                assert 1000 * np.linalg.norm(joints, axis=-1).mean() > 5


def test_genders_answer_betas_differently(standin: BodyModels) -> None:
    female, male = standin.get("smplx", "female"), standin.get("smplx", "male")
    shaped = replace(_rest(female), betas=np.eye(10)[:1] * 3)
    change = [model.vertices(shaped) - model.vertices(_rest(model)) for model in (female, male)]
    assert 1000 * np.abs(change[0] - change[1]).max() > 5


def test_a_forgotten_or_swapped_hand_mean_shows(standin: BodyModels) -> None:
    for kind in ("smplx", "smplh"):
        model = standin.get(kind, "neutral")
        means = model.hand_mean_aa
        assert means is not None
        first = model.num_joints - 30
        right, swapped = _rest(model), _rest(model)
        right.pose_aa[0, first:] = np.concatenate(means)
        swapped.pose_aa[0, first:] = np.concatenate(means[::-1])
        for wrong in (_rest(model), swapped):
            assert _moved_mm(model, right, wrong).max() > 20


def test_a_skipped_corrective_shows(standin: BodyModels) -> None:
    for kind in ("smplx", "smplh", "smpl"):
        model = standin.get(kind, "male")
        bent = _rest(model)
        bent.pose_aa[0, LEFT_ELBOW, 1] = -1.2
        with_correctives = model.vertices(bent)
        kept = model.correctives
        try:
            model.correctives = kept * 0
            without = model.vertices(bent)
        finally:
            model.correctives = kept
        assert 2 < 1000 * np.linalg.norm(with_correctives - without, axis=-1).max() < 20


def test_betas_beyond_ten_and_expression_change_the_body(standin: BodyModels) -> None:
    model = standin.get("smplx", "neutral")
    rest = _rest(model)
    for beta in range(16):
        betas = np.zeros((1, 16))
        betas[0, beta] = 3
        assert _moved_mm(model, rest, replace(rest, betas=betas)).max() > 1
    for component in range(10):
        assert _moved_mm(model, rest, replace(rest, expression=3 * np.eye(10)[component][None])).max() > 1


def test_body_is_of_human_size_and_kids_are_small(standin: BodyModels) -> None:
    model = standin.get("smplx", "neutral")
    kid = replace(_rest(model), kid_weight=np.ones(1))
    heights = [np.ptp(model.vertices(batch)[0, :, 1]) for batch in (_rest(model), kid)]
    assert 1.5 < heights[0] < 1.9
    assert 0.7 < heights[1] < 1.2


def test_mesh_is_closed_and_faces_outwards(standin: BodyModels) -> None:
    for kind in ("smplx", "smpl"):
        model = standin.get(kind, "neutral")
        vertices = model.template.numpy().astype(np.float64)
        edges = np.concatenate([model.faces[:, [0, 1]], model.faces[:, [1, 2]], model.faces[:, [2, 0]]])
        directed = {tuple(edge) for edge in edges.tolist()}
        assert len(directed) == len(edges)
        assert all((b, a) in directed for a, b in directed)
        a, b, c = (vertices[model.faces[:, corner]] for corner in range(3))
        litres = 1000 * np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6
        assert 45 < litres < 90


def test_regressor_and_weights_are_proper(standin: BodyModels) -> None:
    for kind in ("smplx", "smplh", "smpl"):
        model = standin.get(kind, "female")
        for rows in (model.regressor.numpy(), model.weights.numpy()):
            assert rows.min() >= 0
            np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def _build(cache: str, queue: Any) -> None:
    import os

    os.environ["EHPS_CACHE"] = cache
    queue.put(str(standin_root()))


def test_two_processes_may_build_at_once_and_get_the_same_bytes(standin: BodyModels, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_build, args=(str(tmp_path), queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    roots = {queue.get(timeout=120) for _ in workers}
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(roots) == 1
    built = Path(roots.pop())
    assert [path.name for path in tmp_path.iterdir()] == [built.name]
    files = sorted(path.relative_to(built) for path in built.rglob("*") if path.is_file())
    assert len(files) == 11
    for name in files:
        assert (built / name).read_bytes() == (standin.root / name).read_bytes(), name
