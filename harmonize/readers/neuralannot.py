"""NeuralAnnot fits of the body alone (SMPL, or SMPL-X without hands and face): one format for several datasets.

A fit file is one json object: str(annotation id) -> {`smpl_param` {pose 72, shape 10, trans 3}, or `smplx_param`
{root_pose 3, body_pose 63, shape 10, trans 3}; `cam_param` {focal 2, princpt 2}} (mks0601/NeuralAnnot_RELEASE, the demo
scripts of each dataset). Neutral models, axis-angle, metres, OpenCV camera; a virtual camera per person in pixels of
the whole picture, so depth is not metric. Whole-body fits (with hands and face) are in `harmonize.readers.wholebody`.
People of the annotation file without an entry have no fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harmonize.annotation import Annotation, RawBody, Reject
from harmonize.raw.jsons import iter_json_entries
from harmonize.readers.coco_people import CocoPerson, Malformed, Picture, coco_annotation
from harmonize.readers.fields import MalformedRecord, entries, floats, pinhole
from harmonize.record import Array, Camera, Provenance

FitModel = Literal["smpl", "smplx"]

UNKNOWN_JOINTS = ("left_ankle", "right_ankle", "left_wrist", "right_wrist")
"""Joints whose rotation no 2D point of the body determines; SMPLer-X (data/MPII/MPII.py) takes them out of its loss."""

_PARAMS: dict[FitModel, tuple[str, tuple[tuple[str, int], ...]]] = {
    "smpl": ("smpl_param", (("pose", 72), ("shape", 10), ("trans", 3))),
    "smplx": ("smplx_param", (("root_pose", 3), ("body_pose", 63), ("shape", 10), ("trans", 3))),
}
_CAMERA = (("focal", 2), ("princpt", 2))
_NUM_POSES: dict[FitModel, int] = {"smpl": 24, "smplx": 22}


@dataclass(frozen=True, slots=True)
class BodyFit:
    """One fit in compact form: pose (72 or 66), betas 10, translation 3, and where the entry has a camera of its own,
    focal length 2, principal point 2."""

    model: FitModel
    values: Array


def body_fit(entry: Mapping[str, Any], model: FitModel) -> BodyFit:
    """Parse one entry of a fit file.

    Raises:
        MalformedRecord: a parameter is missing, of another size, or not finite.
    """
    name, sizes = _PARAMS[model]
    params, camera = _values(entries(entry, name), sizes, name), _values(entries(entry, "cam_param"), _CAMERA, name)
    return BodyFit(model=model, values=np.concatenate([params, camera]))


def body_fit_alone(params: Any, model: FitModel) -> BodyFit:
    """Parse parameters that stand without a camera (3DPW).

    Raises:
        MalformedRecord: see `body_fit`.
    """
    name, sizes = _PARAMS[model]
    return BodyFit(model=model, values=_values(params, sizes, name))


def _values(record: Any, sizes: tuple[tuple[str, int], ...], name: str) -> Array:
    values = np.concatenate([floats(record, key, size) for key, size in sizes]).astype(np.float32)
    if not np.isfinite(values).all():
        raise MalformedRecord.of(name, "finite numbers", values[~np.isfinite(values)])
    return values


def body_fits(path: Path, model: FitModel) -> dict[str, BodyFit | str]:
    """The fits of a file by annotation id; where one could not be parsed, a str says why.

    Raises:
        RawFileError: the file is missing or no JSON.
    """
    fits: dict[str, BodyFit | str] = {}
    for person_id, entry in iter_json_entries(path, "", has_nan=True):
        try:
            fits[person_id] = body_fit(entry, model)
        except MalformedRecord as error:
            fits[person_id] = f"{path.name}: {error}"
    return fits


def fit_body(fit: BodyFit) -> RawBody:
    """The fit as a body without hands and face."""
    count = 3 * _NUM_POSES[fit.model]
    pose = fit.values[:count].reshape(-1, 3)
    if fit.model == "smplx":
        pose = np.concatenate([pose, np.zeros((33, 3), np.float32)])
    return RawBody(
        model=fit.model,
        gender="neutral",
        pose_aa=pose,
        betas=fit.values[count : count + 10],
        transl_m=fit.values[count + 10 : count + 13],
        hands="absent",
        unknown_joints=UNKNOWN_JOINTS,
        is_transl_metric=False,
    )


def fit_camera(fit: BodyFit) -> Camera:
    """The fit's virtual camera."""
    return pinhole(fit.values[-4:-2], fit.values[-2:], is_calibrated=False)


def annotation_with_fit(
    person: CocoPerson | Malformed,
    picture: Picture | None,
    fit: BodyFit | str | None,
    provenance: Provenance,
    names: tuple[str, ...],
) -> Annotation | Reject:
    """A person of a COCO-style file, whose points are called `names`, with the fit of that annotation id, if any."""
    found = coco_annotation(person, picture, provenance, names, has_fit=isinstance(fit, BodyFit))
    if isinstance(found, Reject) or fit is None:
        return found
    if isinstance(fit, str):
        return Reject(reason="malformed", provenance=provenance, detail=fit)
    return replace(found, body=fit_body(fit), camera=fit_camera(fit))
