"""What a network says, as parameters: the same body, in the camera's frame, whatever the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import TINY, select, small_config, small_store

from benchmark.predictions import open_predictions
from harmonize.bodies import BodyBatch
from harmonize.errors import UsageError
from train.body import Body
from train.camera import pelvis_from_weak
from train.data.loader import Loader
from train.data.schedule import State
from train.models.registry import build
from train.predictions import crops_of, predict_store, write_predictions
from train.steps import Regressor, predict


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def keys(store: Path) -> tuple[str, ...]:
    batch = next(Loader(store, select(store), batch_size=9, size=small_config().crop).batches(State()))[1]
    return batch.keys


@pytest.fixture(scope="module")
def regressor() -> Regressor:
    """A network whose answers differ from sample to sample."""
    found = build(TINY, seed=3).eval()
    with torch.no_grad():
        for parameter in found.head.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return found


def test_the_parameters_are_the_body_that_was_predicted(
    store: Path, keys: tuple[str, ...], regressor: Regressor, standin: Any
) -> None:
    config = small_config()
    (found,) = predict_store(regressor, store, keys, standin, padding=config.crop_padding)
    (batch,) = crops_of(store, keys, config.crop)
    assert found.keys == batch.keys == keys
    with torch.inference_mode():
        prediction = predict(regressor, batch.observed)
        relative = Body(standin)(prediction.rotmat, prediction.betas, prediction.expression).joints_m
        pelvis = pelvis_from_weak(prediction.weak_camera, batch.observed.to_crop, regressor.size_px)
    columns, num = found.columns, len(keys)
    names = ("left_hand_pose_aa", "right_hand_pose_aa")
    head = [columns[name][:, None] for name in ("global_orient_aa", "jaw_pose_aa")]
    pose = [head[0], columns["body_pose_aa"], head[1], np.zeros((num, 2, 3)), *(columns[name] for name in names)]
    body = BodyBatch(
        pose_aa=np.concatenate(pose, axis=1),
        betas=columns["betas"],
        transl_m=columns["transl_m"],
        expression=columns["expression"],
    )
    joints = standin.get("smplx", "neutral").joints(body)
    np.testing.assert_allclose(joints, (relative + pelvis[:, None]).numpy(), atol=2e-4)
    assert float(np.ptp(columns["body_pose_aa"], axis=0).max()) > 1e-3


def test_crops_are_those_of_training(store: Path, keys: tuple[str, ...]) -> None:
    config = small_config()
    shown = next(Loader(store, select(store), batch_size=9, size=config.crop).batches(State()))[1]
    (batch,) = crops_of(store, keys, config.crop)
    assert torch.equal(batch.observed.crop, shown.observed.crop)
    assert torch.equal(batch.observed.to_crop, shown.observed.to_crop)


def test_a_prediction_does_not_depend_on_its_batch(
    store: Path, keys: tuple[str, ...], regressor: Regressor, standin: Any
) -> None:
    options = {"padding": 1.25}
    (one,) = predict_store(regressor, store, keys, standin, **options)
    parts = list(predict_store(regressor, store, keys, standin, batch_size=2, num_threads=3, **options))
    assert [key for part in parts for key in part.keys] == list(keys)
    for name, value in one.columns.items():
        np.testing.assert_allclose(np.concatenate([part.columns[name] for part in parts]), value, atol=1e-5)


def test_the_file_is_one_that_is_evaluated(
    store: Path, keys: tuple[str, ...], regressor: Regressor, standin: Any, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.parquet"
    assert write_predictions(path, predict_store(regressor, store, keys, standin, padding=1.25, batch_size=4)) == 9
    opened = open_predictions(path)
    (one,) = predict_store(regressor, store, keys, standin, padding=1.25)
    (read,) = opened.batches()
    assert opened.keys == keys
    assert read.bodies is not None
    np.testing.assert_allclose(read.bodies.transl_m, one.columns["transl_m"], atol=1e-6)
    np.testing.assert_allclose(read.bodies.pose_aa[:, 40:], one.columns["right_hand_pose_aa"], atol=1e-5)
    with pytest.raises(UsageError, match="expected samples to predict"):
        write_predictions(path, predict_store(regressor, store, (), standin, padding=1.25))
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.parquet"]
