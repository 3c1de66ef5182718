"""Batched metrics against numpy loops over samples, and single against double precision. Run by `make bench`.

Two loops compute what one call of ours does, for every part. "lean" reads only what it needs: roots from the few
vertices that have a weight, points centred once, one alignment a part. "evaluator" takes the steps that released
evaluators take (SMPLer-X, data/humandata.py and its rigid_align): for PVE all 55 joints regressed with the dense
regressor anew for each root; for PA a transform found from centred points (variance by numpy), then applied to the
points as they were. Both ways are timed in turn on the same points; rates are medians. On the CPU both run on one
thread and its own time is taken, which a busy machine changes least; on a GPU, where there is one, it is the time on
the clock until the errors are back.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmark.metrics.joints import mpjpe, pa_mpjpe
from benchmark.metrics.mesh import pa_pve, pve
from benchmark.metrics.parts import FIELD_JOINTS, MeshParts, mesh_parts
from harmonize.bodies import BodyBatch, BodyModels
from harmonize.bodies.threads import one_thread

Array = npt.NDArray[Any]
Loop = Callable[[Array, Array], list[dict[str, float]]]

NUM_JOINT_SAMPLES, NUM_MESH_SAMPLES = 2048, 128
NUM_ROUNDS = 7


def root_error(pred: Array, true: Array, pred_root: Array, true_root: Array) -> float:
    return float(np.sqrt((((pred - pred_root) - (true - true_root)) ** 2).sum(1)).mean() * 1000)


def procrustes_error(pred: Array, true: Array) -> float:
    p, t = pred - pred.mean(0), true - true.mean(0)
    left, singular, right = np.linalg.svd(t.T @ p)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    scale = (singular * sign).sum() / (p**2).sum()
    return float(np.sqrt(((scale * p @ (left * sign @ right).T - t) ** 2).sum(1)).mean() * 1000)


def evaluator_procrustes_error(pred: Array, true: Array) -> float:
    """In the steps of the field's evaluators: the transform first, then the points moved by it."""
    pred_mean, true_mean = np.mean(pred, axis=0), np.mean(true, axis=0)
    left, singular, right = np.linalg.svd((true - true_mean).T @ (pred - pred_mean) / len(pred))
    if np.linalg.det(left @ right) < 0:
        left[:, 2], singular[2] = -left[:, 2], -singular[2]
    rotation = left @ right
    scale = singular.sum() / np.var(pred, axis=0).sum()
    moved = (scale * rotation @ pred.T).T + (true_mean - scale * rotation @ pred_mean)
    return float(np.sqrt(np.sum((moved - true) ** 2, axis=1)).mean() * 1000)


def joint_loop(*, is_pa: bool, is_lean: bool = True) -> Loop:
    align = procrustes_error if is_lean else evaluator_procrustes_error

    def loop(pred: Array, true: Array) -> list[dict[str, float]]:
        rows = []
        for p, t in zip(pred, true, strict=True):
            row = {}
            for part, of in FIELD_JOINTS.items():
                joints, root = list(of.joints), of.roots[0]
                if is_pa:
                    row[part] = align(p[joints], t[joints])
                else:
                    row[part] = root_error(p[joints], t[joints], p[root], t[root])
            rows.append(row)
        return rows

    return loop


def mesh_loop(parts: MeshParts, *, is_pa: bool, is_lean: bool) -> Loop:
    dense = np.zeros((127, parts.num_vertices))
    np.add.at(dense, (parts.regressor.rows, parts.regressor.columns), parts.regressor.weights)
    rows_of = {part: dense[roots[0]] for part, roots in parts.roots.items()}
    columns = {part: np.flatnonzero(row) for part, row in rows_of.items()}
    align = procrustes_error if is_lean else evaluator_procrustes_error

    def loop(pred: Array, true: Array) -> list[dict[str, float]]:
        matrix = dense[:55].astype(pred.dtype)
        rows = []
        for p, t in zip(pred, true, strict=True):
            row = {}
            for part, ids in parts.vertices.items():
                inside = slice(None) if len(ids) == parts.num_vertices else ids
                if is_pa:
                    row[part] = align(p[inside], t[inside])
                    continue
                if not is_lean:
                    root = parts.roots[part][0]
                    p_root, t_root = (matrix @ p)[root], (matrix @ t)[root]
                else:
                    few = columns[part]
                    p_root, t_root = rows_of[part][few] @ p[few], rows_of[part][few] @ t[few]
                row[part] = root_error(p[inside], t[inside], p_root, t_root)
            rows.append(row)
        return rows

    return loop


def points() -> tuple[MeshParts, Tensor, Tensor]:
    """The parts, and predicted and true meshes in double precision."""
    models, chance = BodyModels.open("standin"), np.random.default_rng(0)
    meshes = []
    for _ in range(2):
        batch = BodyBatch(
            pose_aa=chance.normal(0, 0.2, (NUM_MESH_SAMPLES, 55, 3)),
            betas=chance.normal(0, 1, (NUM_MESH_SAMPLES, 10)),
            transl_m=chance.normal(0, 1, (NUM_MESH_SAMPLES, 3)),
        )
        meshes.append(torch.tensor(models.get("smplx", "neutral").vertices(batch)).double())
    return mesh_parts(models), meshes[0], meshes[1]


def bench_metrics() -> list[dict[str, Any]]:
    """One row a metric, precision, loop and device: samples a second of both, ratio, largest difference in mm."""
    parts, pred, true = points()
    repeats = NUM_JOINT_SAMPLES // NUM_MESH_SAMPLES
    pred_joints, true_joints = (parts.regressor(of).repeat(repeats, 1, 1) for of in (pred, true))
    cases: list[tuple[str, Callable[..., dict[str, Tensor]], tuple[Tensor, Tensor], dict[str, Loop]]] = [
        ("MPJPE", mpjpe, (pred_joints, true_joints), {"lean": joint_loop(is_pa=False)}),
        (
            "PA-MPJPE",
            pa_mpjpe,
            (pred_joints, true_joints),
            {"lean": joint_loop(is_pa=True), "evaluator": joint_loop(is_pa=True, is_lean=False)},
        ),
        (
            "PVE",
            lambda p, t: pve(p, t, parts),
            (pred, true),
            {
                "lean": mesh_loop(parts, is_pa=False, is_lean=True),
                "evaluator": mesh_loop(parts, is_pa=False, is_lean=False),
            },
        ),
        (
            "PA-PVE",
            lambda p, t: pa_pve(p, t, parts),
            (pred, true),
            {
                "lean": mesh_loop(parts, is_pa=True, is_lean=True),
                "evaluator": mesh_loop(parts, is_pa=True, is_lean=False),
            },
        ),
    ]
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    return [
        {"metric": name, "precision": str(dtype).removeprefix("torch."), "loop": kind, "device": device}
        | _compare(metric, tuple(of.to(dtype) for of in pair), loop, device)
        for name, metric, pair, loops in cases
        for dtype in (torch.float32, torch.float64)
        for kind, loop in loops.items()
        for device in devices
    ]


def _compare(
    metric: Callable[..., dict[str, Tensor]], pair: tuple[Tensor, ...], loop: Loop, device: str
) -> dict[str, Any]:
    there = tuple(of.to(device) for of in pair)
    here = tuple(of.numpy() for of in pair)

    def batched() -> dict[str, Tensor]:
        return {part: errors.cpu() for part, errors in metric(*there).items()}

    found, rows = batched(), loop(*here)
    difference = max(abs(float(found[part][at]) - row[part]) for at, row in enumerate(rows) for part in row)
    ours_s, loop_s = [], []
    for _ in range(NUM_ROUNDS):
        ours_s.append(_seconds(batched, time.thread_time if device == "cpu" else time.perf_counter))
        loop_s.append(_seconds(lambda: loop(*here), time.thread_time))
    ours, theirs = statistics.median(ours_s), statistics.median(loop_s)
    num = len(pair[0])
    return {
        "samples": num,
        "ours_per_s": num / ours,
        "loop_per_s": num / theirs,
        "ratio": theirs / ours,
        "largest_difference_mm": difference,
    }


def _seconds(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


if __name__ == "__main__":
    with one_thread():
        for row in bench_metrics():
            print(
                f"{row['metric']:8s} {row['precision']} {row['device']:4s} {row['samples']:5d} samples: "
                f"batched {row['ours_per_s']:8.0f}/s, {row['loop']:9s} loop {row['loop_per_s']:6.0f}/s, "
                f"ratio {row['ratio']:6.1f}, largest difference {row['largest_difference_mm']:.1e} mm"
            )
