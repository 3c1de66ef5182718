"""Errors of predicted bodies in millimetres, sample by sample, by part.

PVE is over the vertex subset of the losses (dense on hands and face), each part aligned at its own root joint, as in
`benchmark.metrics.mesh`; MPJPE and PA-MPJPE are the benchmark's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.metrics.joints import mpjpe, pa_mpjpe
from benchmark.metrics.parts import FIELD_JOINTS
from train.body import Body, Points
from train.data.batch import Truth
from train.losses.parts import PARTS, VERTEX_PART
from train.models.prediction import Prediction

Errors = dict[str, Tensor]

HEADLINE = "pve_all"
"""What rates and numbers of steps are chosen by, and the claim is about."""


def true_points(body: Body, truth: Truth) -> Points:
    """The points of the true bodies, so that a perfect prediction has an error of zero."""
    with torch.no_grad():
        found: Points = body(truth.rotmat, truth.betas, truth.expression)
    return found


def errors(body: Body, prediction: Prediction, true: Points) -> Errors:
    """Millimetres (N,) under `pve_`, `mpjpe_` and `pa_mpjpe_` with all, body, hands and face."""
    with torch.no_grad():
        found: Points = body(prediction.rotmat, prediction.betas, prediction.expression)
    off = found.vertices_m - true.vertices_m
    measured = {"pve_all": 1000 * off.norm(dim=-1).mean(-1)}
    part_of = torch.tensor(VERTEX_PART)
    for number, part in enumerate(PARTS):
        roots = list(FIELD_JOINTS[part].roots)
        at_root = (found.joints_m[:, roots] - true.joints_m[:, roots]).mean(1, keepdim=True)
        measured[f"pve_{part}"] = 1000 * (off[:, part_of == number] - at_root).norm(dim=-1).mean(-1)
    measured["pve_hands"] = (measured.pop("pve_left_hand") + measured.pop("pve_right_hand")) / 2
    for name, metric in (("mpjpe", mpjpe), ("pa_mpjpe", pa_mpjpe)):
        by_part = metric(found.joints_m, true.joints_m, FIELD_JOINTS)
        measured |= {f"{name}_{part}": by_part[part] for part in ("all", "body", "hands", "face")}
    return measured
