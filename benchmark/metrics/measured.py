"""All errors of a batch of meshes at once, numpy in and out: what evaluations call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmark.metrics.agora import Detection, Matching, agora_figures, match_people
from benchmark.metrics.joints import mpjpe, pa_mpjpe
from benchmark.metrics.mesh import pa_pve, pve
from benchmark.metrics.parts import AGORA_JOINTS, FIELD_JOINTS, PW3D_JOINTS, MeshParts
from benchmark.metrics.points import Errors
from benchmark.metrics.regressors import Regressor

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]

_NUM_PW3D_JOINTS = 22


def only(parts: MeshParts, names: Sequence[str]) -> MeshParts:
    """Some of the parts of a mesh."""
    return replace(
        parts,
        vertices={name: parts.vertices[name] for name in names},
        roots={name: parts.roots[name] for name in names},
    )


def mesh_errors(
    pred_m: Floats,
    true_m: Floats,
    parts: MeshParts,
    *,
    valid: Mapping[str, Bools],
    counted: Bools | None = None,
    counted_joints: Bools | None = None,
    device: str = "cpu",
) -> dict[str, Floats]:
    """pve_, pa_pve_, mpjpe_ and pa_mpjpe_ of each part, in millimetres (N,), from SMPL-X meshes (N, V, 3).

    Joints are regressed from both meshes. valid: of each part (N,); counted (N, V) and counted_joints (N, 127): as
    `counted` of `pve` and `mpjpe`. Everything is computed in float64.

    Raises:
        DataError, ValueError: as `pve`.
    """
    pred, true = _points(pred_m, device), _points(true_m, device)
    mask = {part: torch.as_tensor(of, device=device) for part, of in valid.items()}
    inside = None if counted is None else torch.as_tensor(counted, device=device)
    inside_joints = None if counted_joints is None else torch.as_tensor(counted_joints, device=device)
    found = {
        "pve": pve(pred, true, parts, valid=mask, counted=inside),
        "pa_pve": pa_pve(pred, true, parts, valid=mask, counted=inside),
    }
    joint_parts = {part: FIELD_JOINTS[part] for part in parts.vertices}
    pred_joints, true_joints = parts.regressor(pred), parts.regressor(true)
    found["mpjpe"] = mpjpe(pred_joints, true_joints, joint_parts, valid=mask, counted=inside_joints)
    found["pa_mpjpe"] = pa_mpjpe(pred_joints, true_joints, joint_parts, valid=mask, counted=inside_joints)
    return _named(found)


def pw3d_errors(
    pred_m: Floats, true_m: Floats, pred_regressor: Regressor, true_regressor: Regressor, *, device: str = "cpu"
) -> dict[str, Floats]:
    """mpjpe_body and pa_mpjpe_body in millimetres (N,) of `PW3D_JOINTS`, each mesh by its own model's joints.

    Raises:
        DataError, ValueError: as `mpjpe`.
    """
    rows = range(_NUM_PW3D_JOINTS)
    pred = pred_regressor.select(rows)(_points(pred_m, device))
    true = true_regressor.select(rows)(_points(true_m, device))
    return _named({"mpjpe": mpjpe(pred, true, PW3D_JOINTS), "pa_mpjpe": pa_mpjpe(pred, true, PW3D_JOINTS)})


def matched_people(pred_px: Floats, true_px: Floats) -> Matching:
    """Who is whom in one picture, of people who all count: `agora.match_people` of joints (P, 24, 2) and (T, K, 2).

    Raises:
        DataError, ValueError: as there.
    """
    everyone = torch.ones(len(true_px), dtype=torch.bool)
    return match_people(_points(pred_px, "cpu"), _points(true_px, "cpu"), everyone)


def agora_errors(pred_m: Floats, true_m: Floats, parts: MeshParts) -> dict[tuple[str, str], Floats]:
    """ "mve" and "mpjpe" of AGORA's parts, in millimetres (N,), from SMPL-X meshes (N, V, 3), aligned at joints
    regressed from them. parts: `agora_mesh_parts`.

    Raises:
        DataError, ValueError: as `pve`.
    """
    pred, true = _points(pred_m, "cpu"), _points(true_m, "cpu")
    joints = parts.regressor(pred), parts.regressor(true)
    found = {
        "mve": pve(pred, true, parts, pred_joints_m=joints[0], true_joints_m=joints[1]),
        "mpjpe": mpjpe(*joints, AGORA_JOINTS),
    }
    return {(kind, part): errors.numpy() for kind, of in found.items() for part, errors in of.items()}


def figures_of(errors: Mapping[str, Floats], counts: Detection) -> dict[str, float]:
    """`agora.agora_figures` of errors (num_matched,) of each part.

    Raises:
        ValueError: as there.
    """
    return agora_figures({part: torch.as_tensor(of) for part, of in errors.items()}, counts)


def regressed(regressor: Regressor, vertices_m: Floats) -> Floats:
    """Joints (N, K, 3) of meshes (N, V, 3), float64."""
    joints: Floats = regressor(_points(vertices_m, "cpu")).numpy()
    return joints


def check_device(device: str) -> None:
    """Raises ValueError when there is no such device here."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(str(error).splitlines()[0]) from error


def _points(points_m: Floats, device: str) -> torch.Tensor:
    return torch.tensor(np.asarray(points_m, np.float64), device=device)


def _named(found: Mapping[str, Errors]) -> dict[str, Floats]:
    return {
        f"{metric}_{part}": error.cpu().numpy() for metric, errors in found.items() for part, error in errors.items()
    }
