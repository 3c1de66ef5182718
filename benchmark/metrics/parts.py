"""Which joints and which vertices are all, body, left hand, right hand and face, and what each part is aligned at.

| part | vertices (SMPL-X) | joints | aligned at |
|---|---|---|---|
| all | every one | those of the other parts | pelvis |
| body | neither hand nor face | the 22 of SMPL | pelvis |
| left_hand, right_hand | MANO's 778 | wrist, 15 joints, 5 tips | wrist (20, 21) |
| face | FLAME's 5023: the whole head | 51 landmarks | neck (12) |

Hands and face as in the evaluators of OSX and SMPLer-X (data/humandata.py); these print no error of the body's mesh and
no joint error of the whole, so those two rows are ours. AGORA has sets of its own: `AGORA_JOINTS`, `agora_mesh_parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark.metrics.regressors import Regressor, model_regressor
from harmonize.bodies import BodyModels
from harmonize.bodies.files import NUM_VERTICES, ModelArrays, load_model, model_path
from harmonize.errors import MissingBodyModelError, RawFileError
from harmonize.keypoints import SMPLX_144
from harmonize.raw.npz import load_npy
from harmonize.raw.pickles import load_pickle
from harmonize.record import BodyKind

Indices = npt.NDArray[np.int64]

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_FACE_JOINTS = ("head", "jaw", "left_eyeball", "right_eyeball")
_LEFT, _RIGHT, _FACE, _AGORA_BODY = (
    "MANO_SMPLX_vertex_ids.pkl: left_hand",
    "MANO_SMPLX_vertex_ids.pkl: right_hand",
    "SMPL-X__FLAME_vertex_ids.npy",
    "body_verts_smplx.npy",
)
_NUM_IDS = {_LEFT: 778, _RIGHT: 778, _FACE: 5023, _AGORA_BODY: 4010}


@dataclass(frozen=True, slots=True, kw_only=True)
class JointPart:
    """joints: which rows of a joint array are measured. roots: whose mean the part is aligned at, none for sets that
    are only ever aligned by Procrustes."""

    joints: tuple[int, ...]
    roots: tuple[int, ...] = ()


def _at(*names: str) -> tuple[int, ...]:
    return tuple(SMPLX_144.index(name) for name in names)


def _hand(side: str, *, has_tips: bool) -> JointPart:
    knuckles = [f"{side}_{finger}_{number}" for finger in _FINGERS for number in (1, 2, 3)]
    tips = [f"{side}_{finger}" for finger in _FINGERS] if has_tips else []
    return JointPart(joints=_at(f"{side}_wrist", *knuckles, *tips), roots=_at(f"{side}_wrist"))


_BODY_22 = tuple(range(SMPLX_144.index("right_wrist") + 1))
_LANDMARKS = tuple(range(SMPLX_144.index("right_eyebrow_1"), SMPLX_144.index("right_lip_3") + 1))
_LEFT_HAND, _RIGHT_HAND = _hand("left", has_tips=True), _hand("right", has_tips=True)

FIELD_JOINTS: Mapping[str, JointPart] = {
    "all": JointPart(
        joints=tuple(sorted({*_BODY_22, *_LEFT_HAND.joints, *_RIGHT_HAND.joints, *_LANDMARKS})), roots=_at("pelvis")
    ),
    "body": JointPart(joints=_BODY_22, roots=_at("pelvis")),
    "left_hand": _LEFT_HAND,
    "right_hand": _RIGHT_HAND,
    "face": JointPart(joints=_LANDMARKS, roots=_at("neck")),
}
"""Of the 144 SMPL-X joints, or of the 127 without the contour."""

PW3D_JOINTS: Mapping[str, JointPart] = {
    "body": JointPart(
        joints=_at(
            *(f"{side}_{joint}" for joint in ("hip", "knee", "ankle") for side in ("left", "right")),
            *("neck", "head"),
            *(f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist") for side in ("left", "right")),
        ),
        roots=_at("pelvis"),
    )
}
"""3DPW in SMPLer-X (data/PW3D/PW3D.py): 14 joints of each model's own kinematic regressor, SMPL-X for the prediction
and SMPL for the truth; the first 22 joints of both are the same. Not the 14 joints of the common 3DPW protocol."""

AGORA_JOINTS: Mapping[str, JointPart] = {
    "body": JointPart(joints=_BODY_22, roots=_at("left_hip", "right_hip")),
    "left_hand": _hand("left", has_tips=False),
    "right_hand": _hand("right", has_tips=False),
    "face": JointPart(joints=(*_at("neck"), *_LANDMARKS), roots=_at("neck")),
}
"""AGORA (agora_evaluation, calculate_v2v_error.py): the body is aligned amid the hips; wrist and neck, at which hands
and face are aligned, are counted with their error of zero."""


def set_of(num_joints: int) -> Mapping[str, JointPart]:
    """All rows of a regressor as one part "body", for Procrustes only (SMPLX_to_J14)."""
    return {"body": JointPart(joints=tuple(range(num_joints)))}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # arrays have no one answer to whether they are equal
class MeshParts:
    """vertices: of each part, ids in ascending order. roots: of each part, joints whose mean it is aligned at.
    regressor: the model's joints from its posed mesh, 127 of SMPL-X. is_standin: the ids are those of the stand-in
    body, and no error measured on them is a result. source: where the ids are from.

    Parts are equal only to themselves, so that what is derived from them can be kept."""

    vertices: Mapping[str, Indices]
    roots: Mapping[str, tuple[int, ...]]
    regressor: Regressor
    is_standin: bool
    source: str

    @property
    def num_vertices(self) -> int:
        """Of the whole mesh."""
        return self.regressor.num_vertices

    @property
    def different_roots(self) -> tuple[tuple[int, ...], ...]:
        """The roots of the parts, each once."""
        return tuple(dict.fromkeys(self.roots[part] for part in self.vertices))


def mesh_parts(models: BodyModels, kind: BodyKind = "smplx") -> MeshParts:
    """The parts of the neutral model's mesh. SMPL and SMPL-H, whose hands and face have no official list, are all.

    Real SMPL-X takes the official lists, `smplx/MANO_SMPLX_vertex_ids.pkl` and `smplx/SMPL-X__FLAME_vertex_ids.npy`
    under the models' folder. The stand-in, whose vertices are others, takes its skinning weights: a hand is what wrist
    and fingers govern, the face what head, jaw and eyes govern (weights that add up to more than one half).

    Raises:
        MissingBodyModelError: the model or a list is not there; the message says how to get it.
        RawFileError: one is damaged, or no list of vertices of this model.
    """
    arrays = load_model(model_path(models.root, kind, "neutral"), kind)
    everything = np.arange(NUM_VERTICES[kind])
    vertices = {"all": everything}
    source = f"{kind}: all vertices"
    if kind == "smplx":
        if models.is_standin:
            source, named = "stand-in: skinning weights", _governed(arrays)
        else:
            source, named = "official vertex lists of MANO and FLAME", _official(models.root)
        elsewhere = np.concatenate([named["left_hand"], named["right_hand"], named["face"]])
        if len(np.unique(elsewhere)) != len(elsewhere):
            raise RawFileError(f"{models.root}: expected hands and face without common vertices, found some")
        vertices |= {"body": np.setdiff1d(everything, elsewhere), **named}
    return MeshParts(
        vertices=vertices,
        roots={part: FIELD_JOINTS[part].roots for part in vertices},
        regressor=model_regressor(arrays, kind),
        is_standin=models.is_standin,
        source=source,
    )


def agora_mesh_parts(models: BodyModels) -> MeshParts:
    """The parts of AGORA's server: its own list of the body's vertices, hands and face as `mesh_parts`, no "all".

    The list is `utils/body_verts_smplx.npy` of agora_evaluation, to be put under `smplx/`; 4010 vertices, not the rest
    without hands and face (3896). The stand-in takes that rest.

    Raises:
        MissingBodyModelError, RawFileError: as `mesh_parts`, also for this list.
    """
    field = mesh_parts(models)
    vertices = {part: ids for part, ids in field.vertices.items() if part != "all"}
    source = field.source
    if not models.is_standin:
        path = _there(
            models.root / "smplx" / "body_verts_smplx.npy", "https://github.com/pixelite1201/agora_evaluation"
        )
        vertices["body"] = _checked(load_npy(path), _AGORA_BODY, path)
        source += ", body of agora_evaluation"
    return MeshParts(
        vertices=vertices,
        roots={part: AGORA_JOINTS[part].roots for part in vertices},
        regressor=field.regressor,
        is_standin=field.is_standin,
        source=source,
    )


def _governed(arrays: ModelArrays) -> dict[str, Indices]:
    def governed_by(joints: tuple[int, ...]) -> Indices:
        return np.flatnonzero(arrays.weights[:, list(joints)].sum(axis=1) > 0.5)

    return {
        "left_hand": governed_by(_hand("left", has_tips=False).joints),
        "right_hand": governed_by(_hand("right", has_tips=False).joints),
        "face": governed_by(_at(*_FACE_JOINTS)),
    }


def _official(root: Path) -> dict[str, Indices]:
    home = "https://smpl-x.is.tue.mpg.de (Downloads, MANO and FLAME vertex indices)"
    hands_path = _there(root / "smplx" / "MANO_SMPLX_vertex_ids.pkl", home)
    face_path = _there(root / "smplx" / "SMPL-X__FLAME_vertex_ids.npy", home)
    hands = load_pickle(hands_path)
    if not isinstance(hands, dict) or not {"left_hand", "right_hand"} <= set(hands):
        found = ", ".join(map(str, hands)) if isinstance(hands, dict) else type(hands).__name__
        raise RawFileError(f"{hands_path}: expected left_hand and right_hand, found {found}")
    return {
        "left_hand": _checked(hands["left_hand"], _LEFT, hands_path),
        "right_hand": _checked(hands["right_hand"], _RIGHT, hands_path),
        "face": _checked(load_npy(face_path), _FACE, face_path),
    }


def _there(path: Path, home: str) -> Path:
    if not path.is_file():
        raise MissingBodyModelError(
            f"the list of vertices {path} is missing",
            fix=f"get {path.name} from {home} and put it there; or pass `--body-models standin` to work with the "
            "licence-free stand-in body (never for results)",
            expected=path,
        )
    return path


def _checked(ids: npt.ArrayLike, what: str, path: Path) -> Indices:
    array = np.asarray(ids)
    limit = NUM_VERTICES["smplx"]
    if array.shape != (_NUM_IDS[what],) or array.dtype.kind not in "iu":
        raise RawFileError(f"{path}: {what}: expected {_NUM_IDS[what]} whole numbers, found {array.dtype}{array.shape}")
    if array.min() < 0 or array.max() >= limit or len(np.unique(array)) != len(array):
        raise RawFileError(f"{path}: {what}: expected different vertices from 0 to {limit - 1}, found others")
    return np.sort(array.astype(np.int64))
