"""What a network says of samples of a store: neutral SMPL-X parameters by key, as docs/predictions.md has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harmonize.bodies.models import BodyModels
from harmonize.bodies.threads import one_thread
from harmonize.errors import UsageError
from harmonize.geometry.rotations import rotmat_to_aa
from harmonize.shards.read import Store, open_store
from harmonize.whole import whole_file
from train.camera import pelvis_from_weak
from train.config import Precision
from train.data.batch import Batch, Observed
from train.data.crops import CropSize, crop_maps, cut_crop, person_boxes
from train.data.records import records_of
from train.data.targets import allocate, write_targets
from train.models.prediction import ROTATIONS, Prediction
from train.steps import Regressor, predict
from train.update import DTYPES

Singles = npt.NDArray[np.float32]

BATCH_SIZE = 64
_NAMES: Mapping[str, str] = {
    "global_orient": "global_orient_aa",
    "body_pose": "body_pose_aa",
    "jaw": "jaw_pose_aa",
    "left_hand": "left_hand_pose_aa",
    "right_hand": "right_hand_pose_aa",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Bodies of N samples. columns: by name, as docs/predictions.md says: global_orient_aa (N, 3), body_pose_aa
    (N, 21, 3), jaw_pose_aa (N, 3), left_hand_pose_aa and right_hand_pose_aa (N, 15, 3) radians, hands absolute; betas
    and expression (N, 10); transl_m (N, 3), in axes of the camera."""

    keys: tuple[str, ...]
    columns: Mapping[str, Singles]


def predict_store(
    regressor: Regressor,
    store: Path,
    keys: Sequence[str],
    models: BodyModels,
    *,
    padding: float,
    batch_size: int = BATCH_SIZE,
    device: str = "cpu",
    precision: Precision = "fp32",
    num_threads: int = 2,
) -> Iterator[Predicted]:
    """What a network in evaluation mode, on `device`, says of samples, in the order of their keys.

    padding: `TrainConfig.crop_padding`. models: give the rest pelvis, from which transl_m is counted.

    Raises:
        UsageError: a sample does not exist or has no picture. DataError: it has no person box, or is damaged.
    """
    size = CropSize(height_px=regressor.size_px[0], width_px=regressor.size_px[1], padding=padding)
    kind, dtype = device.partition(":")[0], DTYPES.get(precision)
    with one_thread() if kind == "cpu" else nullcontext():
        for batch in crops_of(store, keys, size, batch_size=batch_size, num_threads=num_threads):
            observed = batch.observed.to(device)
            with torch.inference_mode(), torch.autocast(kind, dtype, dtype is not None):
                prediction = predict(regressor, observed)
            yield Predicted(keys=batch.keys, columns=parameters(prediction, observed, regressor.size_px, models))


def crops_of(
    store: Path, keys: Sequence[str], size: CropSize, *, batch_size: int = BATCH_SIZE, num_threads: int = 2
) -> Iterator[Batch]:
    """Samples of a store as networks see them, unchanged, in the order of their keys; read ahead by threads."""
    opened = open_store(store)
    groups = [tuple(keys[at : at + batch_size]) for at in range(0, len(keys), batch_size)]
    with ThreadPoolExecutor(max(1, num_threads), thread_name_prefix="crops") as pool:
        ahead: deque[Future[Batch]] = deque()
        try:
            for group in groups:
                ahead.append(pool.submit(_crops, opened, group, size))
                if len(ahead) > num_threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def parameters(
    prediction: Prediction, observed: Observed, size_px: tuple[int, int], models: BodyModels
) -> dict[str, Singles]:
    """A prediction as the columns of `Predicted`."""
    rotmat, betas, expression, weak_camera = (part.detach().double() for part in prediction)
    angles = rotmat_to_aa(rotmat.cpu().numpy())
    columns: dict[str, Any] = {_NAMES[part]: angles[:, at] for part, at in ROTATIONS.items()}
    for name in ("global_orient_aa", "jaw_pose_aa"):
        columns[name] = columns[name][:, 0]
    pelvis_m = pelvis_from_weak(weak_camera, observed.to_crop.double(), size_px).cpu().numpy()
    shape = betas.cpu().numpy()
    rest_m = models.get("smplx", "neutral").rest_pelvis_m(shape)
    columns |= {"betas": shape, "expression": expression.cpu().numpy(), "transl_m": pelvis_m - rest_m}
    return {name: np.ascontiguousarray(value, np.float32) for name, value in columns.items()}


def write_predictions(path: Path, batches: Iterator[Predicted]) -> int:
    """Write a Parquet file that `ehps evaluate` reads; it appears whole. Returns the number of samples.

    Raises:
        UsageError: there is nothing to write.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    num, writer = 0, None
    with whole_file(path) as partial:
        try:
            for batch in batches:
                arrays: dict[str, Any] = {"key": pa.array(batch.keys, pa.string())}
                for name, value in batch.columns.items():
                    flat = value.reshape(len(value), -1)
                    arrays[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
                table = pa.table(arrays)
                writer = writer or pq.ParquetWriter(partial, table.schema)
                writer.write_table(table)
                num += len(batch.keys)
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise UsageError(
                f"{path}: expected samples to predict, found none", fix="choose a split that the store has"
            )
    return num


def _crops(store: Store, keys: tuple[str, ...], size: CropSize) -> Batch:
    samples = [store.sample(key) for key in keys]
    rows, num = allocate(len(samples), size), len(samples)
    maps = crop_maps(person_boxes(samples), size)
    for sample, one, out in zip(samples, maps, rows.crop, strict=True):
        cut_crop(sample, one, out)
    write_targets(rows, records_of(samples), maps, np.broadcast_to(np.eye(3), (num, 3, 3)), np.zeros(num, bool))
    rows.observed_px[:] = rows.keypoints_px
    return rows.batch(keys, [(sample.strings["dataset"], sample.strings["split"]) for sample in samples])
