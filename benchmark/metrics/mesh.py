"""Per-vertex errors: PVE (MPVPE, MVE) and PA-PVE of each part.

PVE of a part is the mean over its vertices of |v' - r' + r - v|, v true, v' predicted, r and r' the part's root in each
mesh. The root is regressed from the posed mesh, as OSX and SMPLer-X do (data/humandata.py), unless joints are given, as
AGORA does. PA-PVE aligns each part by itself with the best similarity instead.

Torch computes both where a derivative is wanted or the meshes are on a GPU, `compiled` everywhere else: on a CPU torch
passes over the coordinates so often that it is a third as fast.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from benchmark.metrics.alignment import aligned_parts
from benchmark.metrics.parts import Indices, MeshParts
from benchmark.metrics.points import (
    Errors,
    Valid,
    axes_first,
    check_mask,
    check_pair,
    check_pair_finite,
    check_valid,
    in_blocks,
    lengths,
    mean_counted,
    picked,
    reported,
)


def inside_picture(points_px: Tensor, size_px: Tensor) -> Tensor:
    """Which points (N, P, 2) lie strictly between 0 and the picture's (width, height) (N, 2): bool (N, P).

    UBody's rule (SMPLer-X, data/UBody/UBody.py), there for TRUE vertices projected with the PREDICTED camera: they are
    what `counted` of the metrics is. A point that is not finite lies outside.
    """
    return ((points_px > 0) & (points_px < size_px[:, None])).all(-1)


def pve(
    pred_m: Tensor,
    true_m: Tensor,
    parts: MeshParts,
    *,
    pred_joints_m: Tensor | None = None,
    true_joints_m: Tensor | None = None,
    valid: Valid | None = None,
    counted: Tensor | None = None,
) -> Errors:
    """Millimetres (N,) of each part and of "hands", root-aligned, from meshes (N, V, 3) in metres.

    `pred_joints_m`, `true_joints_m` (N, J, 3), both or none: joints of the kinematic chain to align at instead of those
    regressed from the meshes. `valid` of a part (N,): the others are NaN. `counted` (N, V): only these vertices enter
    the mean; a part without any is NaN. True meshes must be finite also where they do not count.

    Raises:
        DataError: a coordinate is NaN or infinite; the message names the sample.
        ValueError: shapes, precision or devices do not fit.
    """
    _check(pred_m, true_m, parts, valid, counted)
    joints = sorted({joint for roots in parts.roots.values() for joint in roots})
    if pred_joints_m is None or true_joints_m is None:
        if pred_joints_m is not true_joints_m:
            raise ValueError("expected joints of both or of neither, found them of one only")
        regress = parts.regressor.select(joints)
        apart = regress(pred_m) - regress(true_m)
    else:
        check_pair(pred_joints_m, true_joints_m)
        check_pair_finite(pred_joints_m, true_joints_m, "joints")
        apart = pred_joints_m[:, joints] - true_joints_m[:, joints]
    roots_of = parts.different_roots
    offsets = torch.stack([apart[:, [joints.index(joint) for joint in roots]].mean(1) for roots in roots_of], 1)
    if _is_compiled(pred_m, true_m, offsets):
        from benchmark.metrics.compiled import root_errors

        return reported(root_errors(pred_m, true_m, offsets, counted, parts), valid)
    check_pair_finite(pred_m, true_m, "vertices")

    def measure(pred: Tensor, true: Tensor, offsets: Tensor, counted: Tensor | None) -> Errors:
        difference = axes_first(pred - true)
        at_root: dict[tuple[int, ...], Tensor] = {}
        errors: Errors = {}
        for part, ids in parts.vertices.items():
            roots, some = parts.roots[part], _ids(ids, parts, pred)
            if roots in at_root:
                distances_m = at_root[roots] if some is None else at_root[roots].index_select(1, some)
            else:
                distances_m = lengths(picked(difference, some) - offsets[:, roots_of.index(roots), :, None])
                if some is None:
                    at_root[roots] = distances_m
            errors[part] = _mean(distances_m, counted, some)
        return errors

    return reported(in_blocks(measure, pred_m, true_m, offsets, counted), valid)


def pa_pve(
    pred_m: Tensor, true_m: Tensor, parts: MeshParts, *, valid: Valid | None = None, counted: Tensor | None = None
) -> Errors:
    """Millimetres (N,) of each part and of "hands", each part aligned by the best similarity of all its vertices.

    Arguments and errors as of `pve`. Vertices that do not count are aligned with all the same, as in UBody's evaluator.
    """
    _check(pred_m, true_m, parts, valid, counted)
    if _is_compiled(pred_m, true_m):
        from benchmark.metrics.compiled import aligned_errors

        return reported(aligned_errors(pred_m, true_m, counted, parts), valid)
    check_pair_finite(pred_m, true_m, "vertices")

    def measure(pred: Tensor, true: Tensor, counted: Tensor | None) -> Errors:
        some = {part: _ids(ids, parts, pred) for part, ids in parts.vertices.items()}
        pred, true = axes_first(pred), axes_first(true)
        left_m = aligned_parts([(picked(pred, ids), picked(true, ids), None) for ids in some.values()])
        return {part: _mean(of, counted, some[part]) for part, of in zip(some, left_m, strict=True)}

    return reported(in_blocks(measure, pred_m, true_m, counted), valid)


def _check(pred: Tensor, true: Tensor, parts: MeshParts, valid: Valid | None, counted: Tensor | None) -> None:
    check_pair(pred, true)
    if pred.shape[1] != parts.num_vertices:
        raise ValueError(f"expected meshes of {parts.num_vertices} vertices, found {pred.shape[1]}")
    check_valid(valid, parts.vertices, len(pred))
    check_mask(counted, "counted", tuple(pred.shape[:2]))


def _is_compiled(*points: Tensor) -> bool:
    """All are on the CPU, and no derivative is wanted: neither backward nor forward."""
    return all(of.device.type == "cpu" and not of.requires_grad and _tangent(of) is None for of in points)


def _tangent(of: Tensor) -> Tensor | None:
    tangent: Tensor | None = unpack_dual(of).tangent  # type: ignore[no-untyped-call]
    return tangent


def _ids(ids: Indices, parts: MeshParts, like: Tensor) -> Tensor | None:
    """The ids on a tensor's device; None for all vertices, which need not be picked out."""
    return None if len(ids) == parts.num_vertices else torch.as_tensor(ids, device=like.device)


def _mean(distances_m: Tensor, counted: Tensor | None, some: Tensor | None) -> Tensor:
    return mean_counted(distances_m, counted if counted is None or some is None else counted.index_select(1, some))
