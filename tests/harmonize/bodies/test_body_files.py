from __future__ import annotations

import os
import pickle
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference_forward import random_batch

from harmonize.bodies import BodyBatch, BodyModels
from harmonize.errors import MissingBodyModelError, RawFileError, UsageError


def _arrays(models: BodyModels, kind: str, gender: str = "neutral") -> dict[str, Any]:
    with np.load(models.root / kind / f"{kind.upper()}_{gender.upper()}.npz") as stored:
        return dict(stored)


def _one_body() -> BodyBatch:
    return BodyBatch(pose_aa=np.zeros((1, 55, 3)), betas=np.zeros((1, 10)), transl_m=np.zeros((1, 3)))


def test_no_folder_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EHPS_BODY_MODELS", raising=False)
    for spec in (None, tmp_path / "nowhere"):
        with pytest.raises(MissingBodyModelError, match="--body-models standin"):
            BodyModels.open(spec)


def test_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EHPS_BODY_MODELS", str(tmp_path))
    models = BodyModels.open(None)
    assert models.root == tmp_path
    assert not models.is_standin


def test_environment_may_ask_for_the_standin(monkeypatch: pytest.MonkeyPatch, standin: BodyModels) -> None:
    monkeypatch.setenv("EHPS_BODY_MODELS", "standin")
    models = BodyModels.open(None)
    assert models.is_standin
    assert models.root == standin.root


def test_missing_file_names_every_path_and_the_way_out(tmp_path: Path) -> None:
    models = BodyModels.open(tmp_path)
    for call in (lambda: models.get("smplh", "male"), lambda: models.sha256("smplh", "male")):
        with pytest.raises(MissingBodyModelError) as caught:
            call()
        message = str(caught.value)
        for part in ("SMPLH_MALE.npz", "SMPLH_MALE.pkl", str(tmp_path / "smplh"), "mano.is.tue.mpg.de", "standin"):
            assert part in message
    with pytest.raises(MissingBodyModelError, match=r"smplx_kid_template\.npy"):
        models.kid_template("smplx")


def test_kid_weight_without_kid_template(standin: BodyModels, tmp_path: Path) -> None:
    shutil.copytree(standin.root / "smplx", tmp_path / "smplx")
    model = BodyModels.open(tmp_path).get("smplx", "neutral")
    body = _one_body()
    model.joints(body)
    kid = BodyBatch(pose_aa=body.pose_aa, betas=body.betas, transl_m=body.transl_m, kid_weight=np.full(1, 0.2))
    with pytest.raises(MissingBodyModelError, match=r"smplx_kid_template\.npy"):
        model.joints(kid)
    shutil.copy(standin.root / "smplx_kid_template.npy", tmp_path / "smplx")
    found = BodyModels.open(tmp_path).get("smplx", "neutral").joints(kid)
    np.testing.assert_array_equal(found, standin.get("smplx", "neutral").joints(kid))


def test_hash_is_the_files(standin: BodyModels) -> None:
    hashes = {standin.sha256(kind, gender) for kind in ("smplx", "smpl") for gender in ("neutral", "female")}
    assert len(hashes) == 4
    assert all(len(value) == 64 for value in hashes)


def test_old_python_pickle_with_chumpy_arrays_loads(
    standin: BodyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import scipy.sparse

    class Ch:
        def __init__(self, x: Any) -> None:
            self.x = x

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    chumpy, inner = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    inner.Ch = Ch  # type: ignore[attr-defined]
    arrays = _arrays(standin, "smpl")
    arrays["shapedirs"] = Ch(arrays["shapedirs"])
    arrays["posedirs"] = Ch(arrays["posedirs"])
    arrays["J_regressor"] = scipy.sparse.csc_matrix(arrays["J_regressor"])
    (tmp_path / "smpl").mkdir()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "chumpy", chumpy)
        patch.setitem(sys.modules, "chumpy.ch", inner)
        (tmp_path / "smpl" / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    model = BodyModels.open(tmp_path).get("smpl", "neutral")
    expected = standin.get("smpl", "neutral")
    batch = random_batch(expected, 3)
    np.testing.assert_array_equal(model.vertices(batch), expected.vertices(batch))
    np.testing.assert_array_equal(model.joints(batch), expected.joints(batch))


class _Payload:
    def __reduce__(self) -> Any:
        return os.system, ("touch hacked",)


def test_hostile_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smpl").mkdir()
    (tmp_path / "smpl" / "SMPL_MALE.pkl").write_bytes(pickle.dumps({"v_template": _Payload()}))
    with pytest.raises(RawFileError, match=r"SMPL_MALE\.pkl"):
        BodyModels.open(tmp_path).get("smpl", "male")
    assert not (tmp_path / "hacked").exists()


def test_pickled_member_that_is_not_needed_is_never_opened(standin: BodyModels, tmp_path: Path) -> None:
    """Released SMPL-X files hold dictionaries (part2num, joint2num) beside the arrays."""
    arrays = _arrays(standin, "smplx")
    arrays["part2num"] = np.array({"pelvis": _Payload()}, dtype=object)
    (tmp_path / "smplx").mkdir()
    np.savez(tmp_path / "smplx" / "SMPLX_NEUTRAL.npz", **arrays)
    model = BodyModels.open(tmp_path).get("smplx", "neutral")
    assert model.num_betas == 16


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("weights", lambda a: a[:, :-1]),
        ("v_template", lambda a: a[:-1]),
        ("f", lambda a: a + 1),
        ("f", lambda a: a.astype("U8")),
        ("kintree_table", lambda a: a[:, ::-1].copy()),
        ("lmk_faces_idx", lambda a: a + 10**6),
        ("shapedirs", lambda a: a[:, :, :15]),
    ],
)
def test_damaged_arrays_are_named(standin: BodyModels, tmp_path: Path, name: str, change: Any) -> None:
    arrays = _arrays(standin, "smplx")
    arrays[name] = change(arrays[name])
    (tmp_path / "smplx").mkdir()
    np.savez(tmp_path / "smplx" / "SMPLX_NEUTRAL.npz", **arrays)
    with pytest.raises(RawFileError, match=rf"SMPLX_NEUTRAL\.npz: {name}"):
        BodyModels.open(tmp_path).get("smplx", "neutral")


def test_truncated_file_is_named(standin: BodyModels, tmp_path: Path) -> None:
    (tmp_path / "smplx").mkdir()
    whole = (standin.root / "smplx" / "SMPLX_NEUTRAL.npz").read_bytes()
    (tmp_path / "smplx" / "SMPLX_NEUTRAL.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RawFileError, match=r"SMPLX_NEUTRAL\.npz"):
        BodyModels.open(tmp_path).get("smplx", "neutral")


def test_oldest_release_has_ten_betas_and_ten_expressions(standin: BodyModels, tmp_path: Path) -> None:
    arrays = _arrays(standin, "smplx")
    arrays["shapedirs"] = np.concatenate([arrays["shapedirs"][:, :, :10], arrays["shapedirs"][:, :, 300:310]], axis=2)
    (tmp_path / "smplx").mkdir()
    np.savez(tmp_path / "smplx" / "SMPLX_NEUTRAL.npz", **arrays)
    model, wide = BodyModels.open(tmp_path).get("smplx", "neutral"), standin.get("smplx", "neutral")
    batch = random_batch(wide, 3)
    np.testing.assert_allclose(model.vertices(batch), wide.vertices(batch), atol=2e-6)
    eleven = random_batch(wide, 3, num_betas=11)
    with pytest.raises(UsageError, match="11 shape directions, found 10"):
        model.joints(eleven)
    eleven.betas[:, 10] = 0
    assert model.joints(eleven).shape == (3, 144, 3)


def test_wrong_shapes_are_refused(standin: BodyModels) -> None:
    model = standin.get("smplh", "neutral")
    with pytest.raises(ValueError, match=r"pose_aa \(B, 52, 3\)"):
        model.joints(_one_body())
    body = random_batch(model, 1)
    with pytest.raises(ValueError, match="expression"):
        model.vertices(
            BodyBatch(pose_aa=body.pose_aa, betas=body.betas, transl_m=body.transl_m, expression=np.zeros((1, 10)))
        )
