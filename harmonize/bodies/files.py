"""Finding and reading body-model files without ever unpickling them freely.

The layout is the one `smplx.create` reads: `<root>/smplx/SMPLX_NEUTRAL.npz`, `<root>/smplh/SMPLH_MALE.{npz,pkl}`,
`<root>/smpl/SMPL_FEMALE.{npz,pkl}`, and AGORA's kid templates `<root>/[kind/]{smplx,smpl}_kid_template.npy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.errors import MissingBodyModelError, RawFileError
from harmonize.raw.npz import load_npy, load_npz
from harmonize.raw.pickles import load_pickle
from harmonize.record import BodyKind, Gender

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

NUM_JOINTS: dict[BodyKind, int] = {"smplx": 55, "smplh": 52, "smpl": 24}
NUM_VERTICES: dict[BodyKind, int] = {"smplx": 10475, "smplh": 6890, "smpl": 6890}
MAX_BETAS = 16
NUM_EXPRESSION = 10

_HOME: dict[BodyKind, str] = {
    "smplx": "https://smpl-x.is.tue.mpg.de",
    "smplh": "https://mano.is.tue.mpg.de",
    "smpl": "https://smpl.is.tue.mpg.de",
}
_SKELETON = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
_HANDS = ("hands_meanl", "hands_meanr", "hands_componentsl", "hands_componentsr")
_FACE = ("lmk_faces_idx", "lmk_bary_coords", "dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords")
_ARRAYS: dict[BodyKind, tuple[str, ...]] = {
    "smplx": (*_SKELETON, *_HANDS, *_FACE),
    "smplh": (*_SKELETON, *_HANDS),
    "smpl": _SKELETON,
}
_KID_HOME = "https://agora.is.tue.mpg.de"
_WITHOUT = "or pass `--body-models standin` to work with the licence-free stand-in body (never for results)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArrays:
    """The numbers of one model file. V vertices, F faces, J joints; metres; y up, facing +z.

    template (V,3), faces (F,3), shape (V,3,<=16), expression (V,3,10 or 0), correctives (V,3,9(J-1)), regressor (J,V),
    weights (V,J), parents (J,) with -1 for the root. hand_means (2,15,3), left and right, and hand_components
    (2,45,45), rows are components: None for SMPL.
    landmark_faces (51,) with landmark_weights (51,3) and contour_faces (79,17) with contour_weights (79,17,3): SMPL-X
    only.
    """

    template: Floats
    faces: Ints
    shape: Floats
    expression: Floats
    correctives: Floats
    regressor: Floats
    weights: Floats
    parents: Ints
    hand_means: Floats | None = None
    hand_components: Floats | None = None
    landmark_faces: Ints | None = None
    landmark_weights: Floats | None = None
    contour_faces: Ints | None = None
    contour_weights: Floats | None = None


def model_path(root: Path, kind: BodyKind, gender: Gender) -> Path:
    """The file of a model, npz before pkl.

    Raises:
        MissingBodyModelError: neither is there.
    """
    stem = root / kind / f"{kind.upper()}_{gender.upper()}"
    return _first((stem.with_suffix(".npz"), stem.with_suffix(".pkl")), f"the {gender} {kind} model", _HOME[kind])


def kid_template_path(root: Path, kind: BodyKind) -> Path:
    """The file of a kid template; SMPL-H shares SMPL's.

    Raises:
        MissingBodyModelError: it is not there.
    """
    owner = "smplx" if kind == "smplx" else "smpl"
    name = f"{owner}_kid_template.npy"
    return _first((root / name, root / owner / name), f"the kid template of {kind}", _KID_HOME)


def _first(candidates: tuple[Path, ...], what: str, home: str) -> Path:
    for path in candidates:
        if path.is_file():
            return path
    raise MissingBodyModelError(
        f"{what} is missing: expected {' or '.join(str(path) for path in candidates)}, found none",
        fix=f"register at {home}, put the file there; {_WITHOUT}",
        expected=candidates,
    )


def load_kid_template(path: Path, num_vertices: int) -> Floats:
    """The template (V,3), metres.

    Raises:
        RawFileError: the file is damaged or has another shape.
    """
    template = load_npy(path)
    return _checked(template, (num_vertices, 3), path, "kid template").astype(np.float32)


def load_model(path: Path, kind: BodyKind) -> ModelArrays:
    """The arrays of a model file, checked.

    SMPL-X files carry 300 shape + 100 expression columns, or 10 + 10 in the oldest release; at most 16 and 10 are kept.

    Raises:
        RawFileError: the file is damaged, lacks an array, or an array has another shape.
    """
    raw = _read(path, kind)

    def take(name: str) -> npt.NDArray[Any]:
        if name not in raw:
            raise RawFileError(f"{path}: expected an array {name!r} of a {kind} model, found {', '.join(sorted(raw))}")
        value = raw[name]
        return np.asarray(value.todense() if hasattr(value, "todense") else value)

    joints, vertices = NUM_JOINTS[kind], NUM_VERTICES[kind]

    def floats(name: str, *shape: int | None) -> Floats:
        return np.ascontiguousarray(_checked(take(name), shape, path, name), np.float32)

    def ints(name: str, *shape: int | None) -> Ints:
        return np.ascontiguousarray(_checked(take(name), shape, path, name), np.int64)

    directions = floats("shapedirs", vertices, 3, None)
    parents = ints("kintree_table", 2, joints)[0]
    # Files store the root's parent as 2**32 - 1.
    parents[0] = -1
    if kind == "smplx":
        if directions.shape[2] < 20:
            raise RawFileError(f"{path}: shapedirs: expected at least 20 columns, found {directions.shape[2]}")
        num_shape, first = (300, 300) if directions.shape[2] >= 400 else (10, 10)
        expression = directions[:, :, first : first + NUM_EXPRESSION]
    else:
        num_shape, expression = directions.shape[2], directions[:, :, :0]
    arrays = ModelArrays(
        template=floats("v_template", vertices, 3),
        faces=ints("f", None, 3),
        shape=directions[:, :, : min(num_shape, MAX_BETAS)].copy(),
        expression=expression.copy(),
        correctives=floats("posedirs", vertices, 3, 9 * (joints - 1)),
        regressor=floats("J_regressor", joints, vertices),
        weights=floats("weights", vertices, joints),
        parents=parents,
        hand_means=None
        if kind == "smpl"
        else np.stack([floats(f"hands_mean{side}", 45).reshape(15, 3) for side in "lr"]),
        hand_components=None
        if kind == "smpl"
        else np.stack([floats(f"hands_components{side}", 45, 45) for side in "lr"]),
        landmark_faces=ints("lmk_faces_idx", 51) if kind == "smplx" else None,
        landmark_weights=floats("lmk_bary_coords", 51, 3) if kind == "smplx" else None,
        contour_faces=ints("dynamic_lmk_faces_idx", 79, 17) if kind == "smplx" else None,
        contour_weights=floats("dynamic_lmk_bary_coords", 79, 17, 3) if kind == "smplx" else None,
    )
    _check_references(arrays, path)
    return arrays


def _read(path: Path, kind: BodyKind) -> dict[str, Any]:
    # Real SMPL-X files also hold pickled dictionaries (part2num, joint2num): such members are never opened.
    if path.suffix == ".pkl":
        loaded = load_pickle(path)
        if not isinstance(loaded, dict):
            raise RawFileError(f"{path}: expected a dictionary of arrays, found {type(loaded).__name__}")
        return loaded
    return load_npz(path, _ARRAYS[kind])


def _checked(value: npt.NDArray[Any], shape: tuple[int | None, ...], path: Path, name: str) -> npt.NDArray[Any]:
    fits = value.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, value.shape, strict=True)
    )
    if not fits or value.dtype.kind not in "fiu":
        wanted = tuple("any" if size is None else size for size in shape)
        raise RawFileError(f"{path}: {name}: expected numbers of shape {wanted}, found {value.dtype}{value.shape}")
    return value


def _check_references(arrays: ModelArrays, path: Path) -> None:
    """Indices stay inside what they point at, so that a damaged file is an error here and not a wrong mesh later."""
    num_vertices, num_faces = len(arrays.template), len(arrays.faces)
    limits: list[tuple[str, Ints, int]] = [("f", arrays.faces, num_vertices)]
    if arrays.landmark_faces is not None and arrays.contour_faces is not None:
        limits += [
            ("lmk_faces_idx", arrays.landmark_faces, num_faces),
            ("dynamic_lmk_faces_idx", arrays.contour_faces, num_faces),
        ]
    for name, index, limit in limits:
        if index.size == 0 or index.min() < 0 or index.max() >= limit:
            raise RawFileError(f"{path}: {name}: expected indices from 0 to {limit - 1}, found others")
    joint = np.arange(1, len(arrays.parents))
    if (arrays.parents[1:] < 0).any() or (arrays.parents[1:] >= joint).any():
        raise RawFileError(f"{path}: kintree_table: expected each joint's parent before it, found {arrays.parents}")
