"""Body models as the rest of the project sees them: parameters in, vertices or joints out, hands always absolute.

This is the only module that runs the `smplx` package.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from smplx.lbs import lbs
from torch import Tensor

from harmonize.bodies.files import (
    NUM_EXPRESSION,
    NUM_JOINTS,
    NUM_VERTICES,
    kid_template_path,
    load_kid_template,
    load_model,
    model_path,
)
from harmonize.bodies.joints import BodyJoints
from harmonize.bodies.standin import standin_root
from harmonize.bodies.threads import exact_inference
from harmonize.errors import MissingBodyModelError, UsageError
from harmonize.raw.npz import load_npy
from harmonize.raw.paths import sha256_file
from harmonize.record import BodyKind, Gender

Floats = npt.NDArray[np.floating[Any]]
Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]

STANDIN = "standin"
ENVIRONMENT = "EHPS_BODY_MODELS"

# A mesh needs about 1 MB a person while it is skinned; the temporaries of 128 bodies' joints still fit the cache, which
# halves the time of larger calls.
_MESHES_AT_ONCE = 64
_JOINTS_AT_ONCE = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyBatch:
    """Parameters of B bodies. pose_aa (B,J,3) radians, joint 0 global_orient, hands ABSOLUTE; betas (B,n);
    transl_m (B,3); expression (B,10) or None for neutral faces; kid_weight (B,) or None for adults."""

    pose_aa: Floats
    betas: Floats
    transl_m: Floats
    expression: Floats | None = None
    kid_weight: Floats | None = None

    def __len__(self) -> int:
        return len(self.pose_aa)


class BodyModel:
    """One model file, or one with a subject's own rest mesh for a template. Made by `BodyModels`.

    kind, gender; num_joints of the kinematic chain; num_vertices; num_betas that the file has (at most 16);
    faces (F,3); hand_mean_aa (2,15,3) and hand_components (2,45,45), left and right, None for SMPL. The model's own
    arrays, as float32 tensors: template (V,3), directions (V,3,N) for betas, expression and kid weight, correctives
    (9(J-1),3V), regressor (J,V), weights (V,J).
    """

    def __init__(
        self, path: Path, kind: BodyKind, gender: Gender, kid_template: Path | None, rest_mesh_m: Floats | None = None
    ) -> None:
        arrays = load_model(path, kind)
        if rest_mesh_m is not None:
            if np.shape(rest_mesh_m) != arrays.template.shape:
                raise ValueError(f"{kind}: expected a rest mesh {arrays.template.shape}, found {np.shape(rest_mesh_m)}")
            arrays = replace(arrays, template=np.asarray(rest_mesh_m, np.float32))
        self.path, self.kind, self.gender, self.is_subject = path, kind, gender, rest_mesh_m is not None
        self.num_joints, self.num_vertices = NUM_JOINTS[kind], NUM_VERTICES[kind]
        self.num_betas = arrays.shape.shape[2]
        self.faces = arrays.faces
        self.hand_mean_aa, self.hand_components = arrays.hand_means, arrays.hand_components
        self.parents = tuple(arrays.parents.tolist())
        self.has_kid = kid_template is not None
        # The kid's column is there for every model, so that adding the file changes no bit of an adult's result.
        kid_direction = np.zeros_like(arrays.template)
        if kid_template is not None:
            # As AGORA's code does: the kid template is centred at its mean vertex, the adult one stays where it is.
            kid = load_kid_template(kid_template, self.num_vertices)
            kid_direction = kid - kid.mean(axis=0) - arrays.template
        directions = np.concatenate([arrays.shape, arrays.expression, kid_direction[:, :, None]], axis=2)
        # torch.tensor copies into aligned memory: results must not depend on where numpy happened to put an array.
        self.directions = torch.tensor(directions)
        self.template = torch.tensor(arrays.template)
        self.correctives = torch.tensor(arrays.correctives).flatten(0, 1).T.contiguous()
        self.regressor = torch.tensor(arrays.regressor)
        self.weights = torch.tensor(arrays.weights)
        self.joints_module = BodyJoints(arrays, self.directions.numpy(), kind)
        """The mesh-free joints as a torch module, for use with gradients."""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Canonical names of what `joints` returns."""
        from harmonize.keypoints import convention

        return convention({"smplx": "smplx_144", "smplh": "smplh_73", "smpl": "smpl_45"}[self.kind]).names

    def vertices(self, batch: BodyBatch) -> Floats32:
        """The posed mesh (B,V,3) in metres, by the `smplx` package's linear blend skinning."""
        pose, coefficients, transl = self._tensors(batch)
        out = np.empty((len(pose), self.num_vertices, 3), np.float32)
        with exact_inference():
            for start in range(0, len(pose), _MESHES_AT_ONCE):
                some = slice(start, start + _MESHES_AT_ONCE)
                mesh, _ = lbs(
                    coefficients[some],
                    pose[some].flatten(1),
                    self.template,
                    self.directions,
                    self.correctives,
                    self.regressor,
                    torch.tensor(self.parents),
                    self.weights,
                )
                out[some] = (mesh + transl[some, None]).numpy()
        return out

    def joints(self, batch: BodyBatch) -> Floats32:
        """The joints that the `smplx` package returns (B,K,3) in metres, without the mesh; K = 144, 73 or 45."""
        pose, coefficients, transl = self._tensors(batch)
        with exact_inference():
            groups = [slice(at, at + _JOINTS_AT_ONCE) for at in range(0, max(len(pose), 1), _JOINTS_AT_ONCE)]
            parts = [self.joints_module(pose[some], coefficients[some], transl[some]) for some in groups]
            return np.asarray(torch.cat(parts).numpy())

    def rest_pelvis_m(self, betas: Floats, kid_weight: Floats | None = None) -> Floats32:
        """The pelvis of the unposed body (B,3): transl moves it, global_orient turns the body about it."""
        coefficients = self.coefficients(betas, None, kid_weight)
        module = self.joints_module
        with exact_inference():
            return np.asarray((module.rest_joints[0] + coefficients @ module.joint_directions[:, :3]).numpy())

    def about_pelvis(self, num_betas: int | None = None) -> tuple[Floats64, Floats64]:
        """The rest mesh with its pelvis at the origin: template (V,3) and directions (V,3,N), float64.

        `num_betas` leaves only that many shape directions.
        """
        template = self.template.numpy().astype(np.float64)
        directions = self.directions.numpy()[:, :, :num_betas].astype(np.float64)
        pelvis = self.regressor[0].numpy().astype(np.float64)
        # einsum, unlike a BLAS product, adds up in one order whatever the number of threads.
        at_template, per_direction = np.einsum("v,vc->c", pelvis, template), np.einsum("v,vcn->cn", pelvis, directions)
        return template - at_template, directions - per_direction

    def coefficients(self, betas: Floats, expression: Floats | None, kid_weight: Floats | None) -> Tensor:
        """What `joints_module` takes (B,N): betas, expression and kid weight, each where the model puts it.

        Raises:
            UsageError: there are more non-zero betas than the file has shape directions.
            MissingBodyModelError: a kid weight is given and the kid template is not there.
        """
        betas = np.asarray(betas, np.float32)
        if betas.ndim != 2:
            raise ValueError(f"betas: expected (B, n), found {betas.shape}")
        if betas[:, self.num_betas :].any():
            raise UsageError(
                f"{self.path}: expected a file with at least {betas.shape[1]} shape directions, found {self.num_betas}",
                fix=f"download the {self.kind} release with 300 shape directions",
            )
        out = np.zeros((len(betas), self.directions.shape[2]), np.float32)
        num = min(self.num_betas, betas.shape[1])
        out[:, :num] = betas[:, :num]
        if expression is not None:
            if self.kind != "smplx" or np.shape(expression) != (len(betas), NUM_EXPRESSION):
                raise ValueError(f"{self.kind}: expected SMPL-X and expression (B, 10), found {np.shape(expression)}")
            out[:, self.num_betas : self.num_betas + NUM_EXPRESSION] = expression
        if kid_weight is not None and np.any(kid_weight):
            if not self.has_kid:
                kid_template_path(self.path.parent.parent, self.kind)
            out[:, -1] = kid_weight
        return torch.tensor(out)

    def _tensors(self, batch: BodyBatch) -> tuple[Tensor, Tensor, Tensor]:
        pose = torch.tensor(np.asarray(batch.pose_aa, np.float32))
        transl = torch.tensor(np.asarray(batch.transl_m, np.float32))
        if pose.shape[1:] != (self.num_joints, 3) or transl.shape != (len(pose), 3):
            raise ValueError(
                f"{self.kind}: expected pose_aa (B, {self.num_joints}, 3) and transl_m (B, 3), "
                f"found {tuple(pose.shape)} and {tuple(transl.shape)}"
            )
        coefficients = self.coefficients(batch.betas, batch.expression, batch.kid_weight)
        return pose, coefficients, transl


class BodyModels:
    """A folder of body-model files, each read at most once."""

    def __init__(self, root: Path, *, is_standin: bool) -> None:
        self.root, self.is_standin = root, is_standin
        self._models: dict[tuple[BodyKind, Gender], BodyModel] = {}
        self._subject: tuple[tuple[BodyKind, Gender, str], BodyModel] | None = None
        self._digests: dict[Path, str] = {}

    @classmethod
    def open(cls, spec: str | Path | None) -> BodyModels:
        """The models of a folder; "standin" builds the licence-free stand-in; None asks EHPS_BODY_MODELS.

        Raises:
            MissingBodyModelError: nothing is given, or the folder does not exist.
        """
        chosen = os.environ.get(ENVIRONMENT) if spec is None else spec
        if chosen == STANDIN:
            return cls(standin_root(), is_standin=True)
        if not chosen or not Path(chosen).is_dir():
            found = f"found no folder {chosen}" if chosen else f"{ENVIRONMENT} is not set"
            raise MissingBodyModelError(
                f"no body models: expected a folder with smplx/SMPLX_NEUTRAL.npz and the like, {found}",
                fix=f"pass `--body-models DIR` or set {ENVIRONMENT}; `--body-models standin` takes the licence-free "
                "stand-in body (never for results)",
            )
        return cls(Path(chosen), is_standin=False)

    @classmethod
    def open_like(cls, is_standin: bool, spec: str | Path | None = None) -> BodyModels:
        """The models given; by default those of the kind that data or networks were made with: the stand-in, or
        licensed ones.

        Raises:
            MissingBodyModelError: as `open`.
        """
        return cls.open(STANDIN if is_standin and spec is None else spec)

    def get(self, kind: BodyKind, gender: Gender) -> BodyModel:
        """A model, kept after its first use.

        Raises:
            MissingBodyModelError: its file is not there; the message says how to get it.
            RawFileError: its file is damaged.
        """
        if (kind, gender) not in self._models:
            try:
                kid: Path | None = kid_template_path(self.root, kind)
            except MissingBodyModelError:
                kid = None
            self._models[kind, gender] = BodyModel(model_path(self.root, kind, gender), kind, gender, kid)
        return self._models[kind, gender]

    def subject(self, kind: BodyKind, gender: Gender, rest_mesh_m: Floats) -> BodyModel:
        """A model whose template is a subject's own rest mesh (V,3); the last one is kept, by its bytes.

        Raises:
            MissingBodyModelError, RawFileError: see `get`.
        """
        key = (kind, gender, hashlib.sha256(np.asarray(rest_mesh_m).tobytes()).hexdigest())
        if self._subject is None or self._subject[0] != key:
            model = BodyModel(model_path(self.root, kind, gender), kind, gender, None, rest_mesh_m)
            self._subject = (key, model)
        return self._subject[1]

    def sha256(self, kind: BodyKind, gender: Gender) -> str:
        """The hash of a model's file, in hex."""
        path = model_path(self.root, kind, gender)
        if path not in self._digests:
            self._digests[path] = sha256_file(path)
        return self._digests[path]

    def kid_template(self, kind: BodyKind) -> Floats32:
        """The kid template (V,3) of a kind, metres, as stored.

        Raises:
            MissingBodyModelError: its file is not there.
        """
        return load_npy(kid_template_path(self.root, kind)).astype(np.float32)
