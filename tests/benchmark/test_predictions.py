"""Files of predictions: what they may hold, and one clear error for everything else."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluating import save_npz, save_parquet

from benchmark.predictions import BATCH_ROWS, NUM_VERTICES, PredictionBatch, check_keys, open_predictions
from harmonize.errors import DataError, EhpsError, RawFileError, UsageError

SHAPES = {
    "global_orient_aa": (3,),
    "body_pose_aa": (21, 3),
    "betas": (10,),
    "left_hand_pose_aa": (15, 3),
    "right_hand_pose_aa": (15, 3),
    "jaw_pose_aa": (3,),
    "expression": (10,),
}
SAVE = {"npz": save_npz, "parquet": save_parquet}
kinds = pytest.mark.parametrize("kind", list(SAVE))


def made(num: int, dtype: Any = np.float32, **more: tuple[int, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(num, *shape)).astype(dtype) for name, shape in (SHAPES | more).items()}


def write(folder: Path, kind: str, keys: list[str], arrays: dict[str, Any]) -> Path:
    return SAVE[kind](folder / f"p.{kind}", keys, **arrays)


@kinds
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_come_back_in_batches_in_the_joint_order_of_smplx(tmp_path: Path, kind: str, dtype: Any) -> None:
    num = 2 * BATCH_ROWS + 3
    keys = [f"k{number}" for number in range(num)]
    arrays = made(num, dtype, transl_m=(3,), leye_pose_aa=(3,))
    found = open_predictions(write(tmp_path, kind, keys, arrays))
    assert (found.keys, found.layout) == (tuple(keys), "parameters")
    batches = list(found.batches())
    assert [len(batch.keys) for batch in batches] == [BATCH_ROWS, BATCH_ROWS, 3]
    assert [key for batch in batches for key in batch.keys] == keys
    bodies = [batch.bodies for batch in batches if batch.bodies is not None]
    pose = np.concatenate([one.pose_aa for one in bodies])
    order = {"global_orient_aa": 0, "jaw_pose_aa": 22, "leye_pose_aa": 23}
    for name, joint in order.items():
        np.testing.assert_array_equal(pose[:, joint], arrays[name])
    np.testing.assert_array_equal(pose[:, 24], 0)
    np.testing.assert_array_equal(pose[:, 25:40], arrays["left_hand_pose_aa"])
    np.testing.assert_array_equal(np.concatenate([one.transl_m for one in bodies]), arrays["transl_m"])


@kinds
def test_vertices_come_back(tmp_path: Path, kind: str) -> None:
    mesh = np.random.default_rng(1).normal(size=(2, NUM_VERTICES, 3)).astype(np.float32)
    found = open_predictions(write(tmp_path, kind, ["a", "b"], {"vertices_m": mesh}))
    (batch,) = found.batches()
    np.testing.assert_array_equal(batch.vertices_m, mesh)
    assert found.layout == "vertices"


def refused(tmp_path: Path, kind: str, keys: list[str], arrays: dict[str, Any]) -> str:
    with pytest.raises(EhpsError) as caught:
        list(open_predictions(write(tmp_path, kind, keys, arrays)).batches())
    assert f"p.{kind}" in str(caught.value)
    return str(caught.value)


@kinds
def test_what_is_no_layout_is_refused(tmp_path: Path, kind: str) -> None:
    arrays = made(2)
    mixed = arrays | {"vertices_m": np.zeros((2, NUM_VERTICES, 3), np.float32)}
    assert "found mixed layouts: vertices_m with global_orient_aa" in refused(tmp_path, kind, ["a", "b"], mixed)
    assert "expected key and some of" in refused(tmp_path, kind, ["a", "b"], arrays | {"pose": arrays["betas"]})
    without = {name: of for name, of in arrays.items() if name not in ("betas", "expression")}
    assert "betas, expression is missing" in refused(tmp_path, kind, ["a", "b"], without)
    assert "duplicate keys: a" in refused(tmp_path, kind, ["a", "a"], arrays)
    assert "found none" in refused(tmp_path, kind, [], made(0))
    assert "an empty one in row 1" in refused(tmp_path, kind, ["a", ""], arrays)


@kinds
@pytest.mark.parametrize("dtype", [np.int32, np.float16])
def test_other_types_and_shapes_are_refused(tmp_path: Path, kind: str, dtype: Any) -> None:
    arrays = made(2)
    assert "betas: expected" in refused(tmp_path, kind, ["a", "b"], arrays | {"betas": arrays["betas"].astype(dtype)})
    assert "betas: expected" in refused(tmp_path, kind, ["a", "b"], arrays | {"betas": arrays["betas"][:, :9]})


@kinds
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_names_the_key(tmp_path: Path, kind: str, bad: float) -> None:
    arrays = made(3)
    arrays["body_pose_aa"][1, 4, 2] = bad
    text = refused(tmp_path, kind, ["a", "the-bad-one", "c"], arrays)
    assert "body_pose_aa: expected finite numbers, found NaN or infinity for the-bad-one\n" in text


def test_rows_without_a_value_are_named(tmp_path: Path) -> None:
    arrays = {name: of.reshape(2, -1).tolist() for name, of in made(2).items()}
    arrays["betas"][1] = None
    kind = pa.list_(pa.float32())
    table = pa.table({"key": ["a", "b"]} | {name: pa.array(of, kind) for name, of in arrays.items()})
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(DataError, match="betas: expected a value in every row, found none for b"):
        list(open_predictions(tmp_path / "p.parquet").batches())
    arrays["betas"][1] = [0.0] * 9
    table = pa.table({"key": ["a", "b"]} | {name: pa.array(of, kind) for name, of in arrays.items()})
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(DataError, match="betas: expected 10 numbers in every row, found 9 for b"):
        list(open_predictions(tmp_path / "p.parquet").batches())


def test_an_npz_with_arrays_of_different_lengths_is_refused(tmp_path: Path) -> None:
    arrays = made(3)
    arrays["betas"] = arrays["betas"][:2]
    assert "betas: expected" in refused(tmp_path, "npz", ["a", "b", "c"], arrays)


def test_fortran_order_is_refused(tmp_path: Path) -> None:
    arrays = made(BATCH_ROWS + 1)
    arrays["betas"] = np.asfortranarray(arrays["betas"])
    keys = [f"k{number}" for number in range(BATCH_ROWS + 1)]
    assert "betas: expected C order" in refused(tmp_path, "npz", keys, arrays)


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil-was-here",)


def test_no_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keys = np.array([Evil(), Evil()], dtype=object)
    np.savez(tmp_path / "p.npz", allow_pickle=True, key=keys, **made(2))
    with pytest.raises(RawFileError, match=r"key: expected text \(N,\), found object"):
        open_predictions(tmp_path / "p.npz")
    objects = np.array([Evil(), Evil()], dtype=object)
    np.savez(tmp_path / "p.npz", allow_pickle=True, **{"key": np.array(["a", "b"])} | made(2) | {"betas": objects})
    with pytest.raises(RawFileError, match="betas: expected float32 or float64"):
        open_predictions(tmp_path / "p.npz")
    (tmp_path / "q.npz").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(RawFileError, match=r"q\.npz"):
        open_predictions(tmp_path / "q.npz")
    assert not (tmp_path / "evil-was-here").exists()


@kinds
def test_damaged_files_are_one_error(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, ["a", "b"], made(2))
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(RawFileError, match=f"p.{kind}"):
            list(open_predictions(path).batches())


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a name ending in \.parquet or \.npz"):
        open_predictions(tmp_path / "p.pkl")
    with pytest.raises(UsageError, match="there is no such file"):
        open_predictions(tmp_path / "p.npz")
    pq.write_table(pa.table({"key": [1, 2], "betas": [[1.0], [2.0]]}), tmp_path / "p.parquet")
    with pytest.raises(RawFileError, match="is missing"):
        open_predictions(tmp_path / "p.parquet")


def test_missing_and_unknown_keys_are_named() -> None:
    check_keys("p", ["a", "b", "c"], wanted=["a", "b"], allowed=["a", "b", "c"])
    with pytest.raises(
        DataError, match=r"p: expected predictions of 9 samples, 8 are missing: k1, k2, k3, k4, k5 and 3"
    ):
        check_keys("p", ["k0"], wanted=[f"k{n}" for n in range(9)], allowed=[f"k{n}" for n in range(9)])
    with pytest.raises(DataError, match="found 1 unknown: z"):
        check_keys("p", ["a", "z"], wanted=["a"], allowed=["a"])


def test_a_batch_is_of_one_layout() -> None:
    with pytest.raises(ValueError, match="expected 1 meshes or bodies"):
        PredictionBatch(keys=("a",))
