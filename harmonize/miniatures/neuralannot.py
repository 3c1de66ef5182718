"""Entries of NeuralAnnot's fit files: parameters in the frame of a virtual camera, under the annotation's id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import Person, model_of, relative_hands_of


def body_only(models: BodyModels, person: Person) -> Person:
    """What a fit without hands and face makes of an SMPL-X person: mean hands, jaw and eyes at rest, no expression."""
    mean = model_of(models, person).hand_mean_aa
    if mean is None:
        raise ValueError(f"{person.kind} has no fingers")
    pose = person.pose_aa.copy()
    pose[22:25] = 0.0
    pose[25:55] = np.reshape(mean, (30, 3))
    return replace(person, pose_aa=pose, expression=np.zeros(10))


def whole_fit(models: BodyModels, seen: View) -> dict[str, Any]:
    """Neutral SMPL-X with hands and face, hands stored without the mean hand."""
    person = seen.person
    left, right = relative_hands_of(models, person)
    body = body_fit(seen)
    parts = {
        "lhand_pose": left.ravel().tolist(),
        "rhand_pose": right.ravel().tolist(),
        "jaw_pose": person.pose_aa[22].tolist(),
        "expr": np.asarray(person.expression).tolist(),
    }
    return {"smplx_param": body["smplx_param"] | parts, "cam_param": body["cam_param"]}


def body_fit(seen: View) -> dict[str, Any]:
    """Neutral SMPL-X without hands and face; the person must be `body_only`."""
    person = seen.person
    parameters = {
        "root_pose": person.pose_aa[0].tolist(),
        "body_pose": person.pose_aa[1:22].ravel().tolist(),
        "shape": person.betas.tolist(),
        "trans": person.transl_m.tolist(),
    }
    return {"smplx_param": parameters, "cam_param": _camera(seen)}


def smpl_fit(seen: View) -> dict[str, Any]:
    """Neutral SMPL."""
    person = seen.person
    parameters = {
        "pose": person.pose_aa.ravel().tolist(),
        "shape": person.betas.tolist(),
        "trans": person.transl_m.tolist(),
    }
    return {"smpl_param": parameters, "cam_param": _camera(seen)}


def _camera(seen: View) -> dict[str, Any]:
    return {"focal": seen.focal_px.tolist(), "princpt": seen.principal_point_px.tolist()}
