"""The full forward pass of the `smplx` package's own classes, with absolute hands: what our bodies must agree with."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import smplx
import torch
from smplx.utils import Struct

from harmonize.bodies import BodyBatch, BodyModel


def full_forward(root: Path, model: BodyModel, batch: BodyBatch) -> tuple[Any, Any]:
    """Vertices (B,V,3) and joints (B,K,3) by the package."""
    num_betas = batch.betas.shape[1]
    options: dict[str, Any] = {"gender": model.gender, "num_betas": num_betas}
    path = root / model.kind / f"{model.kind.upper()}_{model.gender.upper()}.npz"
    betas = batch.betas
    if batch.kid_weight is not None:
        owner = "smplx" if model.kind == "smplx" else "smpl"
        options |= {"age": "kid", "kid_template_path": str(root / f"{owner}_kid_template.npy")}
        betas = np.column_stack([betas, batch.kid_weight])
    pose = batch.pose_aa
    parts = {"global_orient": pose[:, 0], "body_pose": pose[:, 1:22], "transl": batch.transl_m, "betas": betas}
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints warnings about column counts
        if model.kind == "smpl":
            body = smplx.SMPL("", data_struct=Struct(**np.load(path)), **options)
            parts["body_pose"] = pose[:, 1:]
        else:
            body = smplx.create(
                str(root),
                model_type=model.kind,
                ext="npz",
                use_pca=False,
                flat_hand_mean=True,
                use_face_contour=True,
                **options,
            )
            first = pose.shape[1] - 30
            parts |= {"left_hand_pose": pose[:, first : first + 15], "right_hand_pose": pose[:, first + 15 :]}
    if model.kind == "smplx":
        expression = np.zeros((len(pose), 10)) if batch.expression is None else batch.expression
        parts |= {
            "jaw_pose": pose[:, 22],
            "leye_pose": pose[:, 23],
            "reye_pose": pose[:, 24],
            "expression": expression,
        }
    tensors = {
        name: torch.tensor(np.asarray(value, np.float32).reshape(len(pose), -1)) for name, value in parts.items()
    }
    with torch.no_grad():
        out = body(**tensors)
    return out.vertices.numpy(), out.joints.numpy()


def random_batch(
    model: BodyModel, size: int, *, seed: int = 0, spread_rad: float = 0.3, num_betas: int = 10
) -> BodyBatch:
    """Bodies with random pose, shape, place and, for SMPL-X, expression."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, spread_rad, (size, model.num_joints, 3))
    pose[:, 0] = rng.normal(0, 1.2, (size, 3))
    return BodyBatch(
        pose_aa=pose,
        betas=rng.normal(0, 1, (size, num_betas)),
        transl_m=rng.normal(0, 2, (size, 3)),
        expression=rng.normal(0, 1, (size, 10)) if model.kind == "smplx" else None,
    )
