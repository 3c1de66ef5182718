"""Any body of the SMPL family as neutral SMPL-X with ten betas, with the error of doing so.

Each instance is solved on its own; numbers depend on how instances are batched only through float32 rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from harmonize.bodies.mesh_fit import NUM_BETAS, REGULARISER, MeshFitter
from harmonize.bodies.mesh_refine import refine
from harmonize.bodies.models import BodyBatch, BodyModel, BodyModels, Floats, Floats64
from harmonize.bodies.threads import exact_inference
from harmonize.bodies.transfer import Surface, Transfer, cached_transfer, nearest_surface

_MESHES_AT_ONCE = 64
_FITTED = ("pose_aa", "betas", "transl_m", "expression")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeutralFit:
    """batch: neutral SMPL-X, 55 joints, 10 betas. error_mm (B,): mean distance between its vertices and the source's
    mesh carried to SMPL-X topology, over vertices that have a partner there. has_betas (B,): whether the betas mean
    anything."""

    batch: BodyBatch
    error_mm: Floats64
    has_betas: npt.NDArray[np.bool_]


def to_neutral(
    batch: BodyBatch,
    source: BodyModel,
    models: BodyModels,
    mode: Literal["fit", "copy"] = "fit",
    neutral_betas: Floats | None = None,
) -> NeutralFit:
    """Neutral SMPL-X bodies for `batch`, the parameters of `source`.

    SMPL-X: pose and expression are kept; betas of another gender, of kids, or beyond ten become neutral betas by
    regularised least squares between the rest meshes, unless the dataset ships its own refit (`neutral_betas` (B,10));
    transl moves so that the posed pelvis stays where it is. Neutral adults with ten betas stay as they are, error 0.
    A subject's own rest mesh is a shape like any other.

    SMPL and SMPL-H, mode "fit": pose, betas and transl are fitted to the mesh carried over by nearest surface points;
    SMPL-H keeps its hand rotations, SMPL gets flat hands. Mode "copy" does what SMPLer-X's loader does: orientation,
    transl and rotations by joint are copied, betas are zero and unknown. `neutral_betas` of these belong to another
    model and are not used.

    Raises:
        MissingBodyModelError: neutral SMPL-X is not there.
    """
    neutral = models.get("smplx", "neutral")
    if len(batch) == 0:
        empty = _neutral_batch(batch, source, np.zeros((0, 55, 3)), np.zeros((0, NUM_BETAS)), batch.transl_m)
        return NeutralFit(batch=empty, error_mm=np.zeros(0), has_betas=np.zeros(0, bool))
    if source.kind == "smplx":
        return _from_smplx(batch, source, neutral, neutral_betas)
    transfer = _transfer(source, neutral, models)
    pose = _by_joint(batch, source)
    if mode == "copy":
        body = _neutral_batch(batch, source, pose, np.zeros((len(batch), NUM_BETAS)), batch.transl_m)
    else:
        parts = []
        for start in range(0, len(batch), _MESHES_AT_ONCE):
            some = slice(start, start + _MESHES_AT_ONCE)
            carried = transfer.carry(source.vertices(_rows(batch, some)))
            parts.append(_fitter(neutral).fit(carried, transfer.is_valid, pose[some].astype(np.float32)))
        body = _neutral_batch(batch, source, *(np.concatenate(values) for values in zip(*parts, strict=True)))
    return NeutralFit(
        batch=body,
        error_mm=_error_mm(batch, source, body, neutral, transfer),
        has_betas=np.full(len(batch), mode == "fit"),
    )


def _from_smplx(batch: BodyBatch, source: BodyModel, neutral: BodyModel, neutral_betas: Floats | None) -> NeutralFit:
    betas = np.asarray(batch.betas, np.float64)
    kid = np.zeros(len(batch)) if batch.kid_weight is None else np.asarray(batch.kid_weight)
    is_standard = source.gender == "neutral" and not source.is_subject
    is_same = (kid == 0) & ~betas[:, NUM_BETAS:].any(axis=1) & is_standard
    own = np.zeros((len(batch), NUM_BETAS))
    own[:, : betas.shape[1]] = betas[:, :NUM_BETAS]
    if is_same.all():
        body = _neutral_batch(batch, source, batch.pose_aa, own, batch.transl_m)
        return NeutralFit(batch=body, error_mm=np.zeros(len(batch)), has_betas=np.ones(len(batch), bool))
    if neutral_betas is None:
        constant, linear = _shape_map(source, neutral)
        fitted = constant + source.coefficients(batch.betas, None, batch.kid_weight).numpy() @ linear.T
    else:
        fitted = np.asarray(neutral_betas, np.float64)
    new_betas = np.where(is_same[:, None], own, fitted)
    pelvis_shift = source.rest_pelvis_m(batch.betas, batch.kid_weight) - neutral.rest_pelvis_m(new_betas)
    transl = np.where(is_same[:, None], batch.transl_m, batch.transl_m + pelvis_shift)
    body = _neutral_batch(batch, source, batch.pose_aa, new_betas, transl)
    error = np.where(is_same, 0.0, _error_mm(batch, source, body, neutral, None))
    return NeutralFit(batch=body, error_mm=error, has_betas=np.ones(len(batch), bool))


def from_meshes(meshes_m: Floats, models: BodyModels) -> NeutralFit:
    """Neutral SMPL-X bodies for posed meshes (B,10475,3) of its topology, every joint and the face fitted.

    Raises:
        MissingBodyModelError: neutral SMPL-X is not there.
    """
    neutral = models.get("smplx", "neutral")
    fitted = [refine(_fitter(neutral), neutral, mesh) for mesh in meshes_m]
    joined = {name: np.concatenate([getattr(body, name) for body, _ in fitted]) for name in _FITTED}
    return NeutralFit(
        batch=BodyBatch(**joined),
        error_mm=np.array([error_mm for _, error_mm in fitted]),
        has_betas=np.ones(len(fitted), bool),
    )


@lru_cache(maxsize=16)
def _shape_map(source: BodyModel, neutral: BodyModel) -> tuple[Floats64, Floats64]:
    """Constant (10,) and matrix (10,N) from the source's coefficients to neutral betas.

    Minimises the squared distance of the two rest meshes, pelvis on pelvis, plus REGULARISER times the squared betas.
    """
    own_template, own_directions = source.about_pelvis()
    template, directions = neutral.about_pelvis(NUM_BETAS)
    offsets = np.concatenate([(own_template - template)[:, :, None], own_directions], axis=2)
    with exact_inference():
        system = torch.tensor(directions).flatten(0, 1)
        gram = system.T @ system + REGULARISER * torch.eye(NUM_BETAS, dtype=torch.float64)
        solved = torch.linalg.solve(gram, system.T @ torch.tensor(offsets).flatten(0, 1)).numpy()
    return solved[:, 0], solved[:, 1:]


@lru_cache(maxsize=1)
def _fitter(neutral: BodyModel) -> MeshFitter:
    return MeshFitter(neutral)


@lru_cache(maxsize=8)
def _transfer(source: BodyModel, neutral: BodyModel, models: BodyModels) -> Transfer:
    def make() -> Transfer:
        template, _ = source.about_pelvis(0)
        target, shape = neutral.about_pelvis(neutral.num_betas)
        return nearest_surface(
            Surface(vertices=template, faces=source.faces, shape=np.zeros((*template.shape, 0))),
            Surface(vertices=target, faces=neutral.faces, shape=shape),
        )

    return cached_transfer(f"{models.sha256(source.kind, source.gender)} {models.sha256('smplx', 'neutral')}", make)


def _by_joint(batch: BodyBatch, source: BodyModel) -> Floats64:
    """Rotations of the same joints in SMPL-X order (B,55,3): body, and hands where the source has fingers."""
    pose = np.zeros((len(batch), 55, 3))
    pose[:, :22] = batch.pose_aa[:, :22]
    if source.kind == "smplh":
        pose[:, 25:] = batch.pose_aa[:, 22:]
    return pose


def _neutral_batch(batch: BodyBatch, source: BodyModel, pose: Floats, betas: Floats, transl: Floats) -> BodyBatch:
    expression = batch.expression if source.kind == "smplx" else None
    return BodyBatch(
        pose_aa=pose,
        betas=betas,
        transl_m=transl,
        expression=np.zeros((len(batch), 10), np.float32) if expression is None else expression,
    )


def _error_mm(
    batch: BodyBatch, source: BodyModel, body: BodyBatch, neutral: BodyModel, transfer: Transfer | None
) -> Floats64:
    errors = []
    for start in range(0, len(batch), _MESHES_AT_ONCE):
        some = slice(start, start + _MESHES_AT_ONCE)
        wanted = source.vertices(_rows(batch, some))
        found = neutral.vertices(_rows(body, some))
        if transfer is not None:
            wanted, found = transfer.carry(wanted)[:, transfer.is_valid], found[:, transfer.is_valid]
        errors.append(1000 * np.linalg.norm(found - wanted, axis=-1).mean(axis=1, dtype=np.float64))
    return np.concatenate(errors)


def _rows(batch: BodyBatch, some: slice) -> BodyBatch:
    def take(values: Floats | None) -> Floats | None:
        return None if values is None else values[some]

    return BodyBatch(
        pose_aa=batch.pose_aa[some],
        betas=batch.betas[some],
        transl_m=batch.transl_m[some],
        expression=take(batch.expression),
        kid_weight=take(batch.kid_weight),
    )
