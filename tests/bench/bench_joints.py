"""Joints without the mesh against the `smplx` package's full forward pass, on the stand-in.

    python tests/bench/bench_joints.py

Both run on one thread and on the same batch, turn about; the ratio is that of the medians. Both return the 144 joints;
the package has no way to leave the mesh out.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import smplx
import torch

from harmonize.bodies import BodyBatch, BodyModels
from harmonize.bodies.threads import exact_inference

BATCHES = (64, 512)
REPEATS = 9
# As many calls of the fast one as take about as long as one of the slow one, so that both meet the same disturbances.
JOINTS_ONLY_CALLS = 32


def bench_joints() -> list[dict[str, Any]]:
    """One row a batch size: bodies a second of each, ratio, largest difference in metres."""
    models = BodyModels.open("standin")
    model = models.get("smplx", "neutral")
    with contextlib.redirect_stdout(io.StringIO()):
        package = smplx.create(
            str(models.root),
            model_type="smplx",
            ext="npz",
            use_pca=False,
            flat_hand_mean=True,
            use_face_contour=True,
        )
    rng = np.random.default_rng(0)
    rows = []
    for size in BATCHES:
        pose = rng.normal(0, 0.3, (size, 55, 3)).astype(np.float32)
        batch = BodyBatch(
            pose_aa=pose,
            betas=rng.normal(0, 1, (size, 10)).astype(np.float32),
            transl_m=rng.normal(0, 1, (size, 3)).astype(np.float32),
            expression=rng.normal(0, 1, (size, 10)).astype(np.float32),
        )
        tensors = {
            "global_orient": pose[:, 0],
            "body_pose": pose[:, 1:22],
            "jaw_pose": pose[:, 22],
            "leye_pose": pose[:, 23],
            "reye_pose": pose[:, 24],
            "left_hand_pose": pose[:, 25:40],
            "right_hand_pose": pose[:, 40:],
            "betas": batch.betas,
            "expression": batch.expression,
            "transl": batch.transl_m,
        }
        inputs = {name: torch.tensor(np.reshape(value, (size, -1))) for name, value in tensors.items()}

        def full(inputs: dict[str, torch.Tensor] = inputs) -> Any:
            with exact_inference():
                return package(**inputs).joints.numpy()

        def joints_only(batch: BodyBatch = batch) -> Any:
            return model.joints(batch)

        difference = float(np.abs(full() - joints_only()).max())
        pairs = [(_seconds(full, 1), _seconds(joints_only, JOINTS_ONLY_CALLS)) for _ in range(REPEATS)]
        full_s, joints_s = (statistics.median(values) for values in zip(*pairs, strict=True))
        rows.append(
            {
                "batch": size,
                "full_per_s": size / full_s,
                "joints_only_per_s": size / joints_s,
                "ratio": full_s / joints_s,
                "largest_difference_m": difference,
            }
        )
    return rows


def _seconds(call: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


if __name__ == "__main__":
    for row in bench_joints():
        print(
            f"144 joints, batch {row['batch']:4d}, one thread: full smplx {row['full_per_s']:7.0f} "
            f"bodies/s, joints only {row['joints_only_per_s']:7.0f} bodies/s, ratio {row['ratio']:5.1f}, "
            f"largest difference {row['largest_difference_m']:.1e} m"
        )
