"""Registered meshes and subjects' own rest meshes as neutral SMPL-X."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harmonize.bodies import BodyBatch, from_meshes, to_neutral


def bodies(model: Any, count: int) -> BodyBatch:
    rng = np.random.default_rng(7)
    pose = rng.normal(0, 0.25, (count, 55, 3))
    pose[:, 25:] += np.concatenate(model.hand_mean_aa)
    pose[:, 22:25] *= 0.2
    return BodyBatch(
        pose_aa=pose,
        betas=rng.normal(0, 1, (count, 10)),
        transl_m=rng.normal(0, 1, (count, 3)),
        expression=rng.normal(0, 0.5, (count, 10)),
    )


def test_a_registered_mesh_comes_back_to_a_hundredth_of_a_millimetre(standin: Any) -> None:
    neutral = standin.get("smplx", "neutral")
    truth = bodies(neutral, 2)
    fit = from_meshes(neutral.vertices(truth), standin)
    assert fit.error_mm.max() < 0.05
    assert np.abs(neutral.joints(fit.batch) - neutral.joints(truth)).max() < 1e-3


def test_the_error_of_a_mesh_that_is_no_body_is_told(standin: Any) -> None:
    neutral = standin.get("smplx", "neutral")
    mesh = neutral.vertices(bodies(neutral, 1))
    noisy = mesh + np.random.default_rng(0).normal(0, 0.01, mesh.shape).astype(np.float32)
    assert 10 < from_meshes(noisy, standin).error_mm[0] < 20


def test_a_subject_mesh_is_a_shape_with_an_error(standin: Any) -> None:
    female = standin.get("smplx", "female")
    bump = female.template.numpy().copy()
    bump *= np.float32(1.03)
    subject = standin.subject("smplx", "female", bump)
    assert subject is standin.subject("smplx", "female", bump.copy())
    given = bodies(female, 2)
    given = BodyBatch(pose_aa=given.pose_aa, betas=np.zeros((2, 10)), transl_m=given.transl_m)
    fit = to_neutral(given, subject, standin)
    pelvis = standin.get("smplx", "neutral").joints(fit.batch)[:, 0] - subject.joints(given)[:, 0]
    assert np.abs(pelvis).max() < 1e-5
    assert 0 < fit.error_mm.min() < fit.error_mm.max() < 30
    with pytest.raises(ValueError, match="rest mesh"):
        standin.subject("smplx", "female", bump[:10])
