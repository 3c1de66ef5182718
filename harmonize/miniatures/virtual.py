"""Virtual cameras of fitted bodies: the pinhole that a network's crop implies, one a person, with depth not metric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.world import (
    Y_UP_TO_Y_DOWN,
    Person,
    joints_of,
    moved,
    project,
    relative_hands_of,
    rest_pelvis_of,
    vertices_of,
)

_NETWORK_FOCAL, _NETWORK_WIDTH, _BOX_FACTOR, _ASPECT = 5000.0, 192.0, 1.25, 3.0 / 4.0
_EYES = slice(23, 25)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A person before a camera of its own. `person` is in that camera's frame; `box_xywh` is clipped to the picture."""

    person: Person
    focal_px: Floats
    principal_point_px: Floats
    box_xywh: Floats
    vertices_cam_m: Floats
    joints_cam_m: Floats
    joints_px: Floats


def virtual_camera(box_xywh: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """(focal_px (2,), principal_point_px (2,)) of the fit to a box.

    The box is clipped to the picture, widened to 3:4 (width to height) and multiplied by 1.25; its width w' gives the
    focal length 5000 / 192 w' and its centre the principal point. Clipping takes a box of width w to end at x + w - 1.
    """
    x, y, width, height = box_xywh
    left, top = max(0.0, x), max(0.0, y)
    right, bottom = min(size[0] - 1.0, left + max(0.0, width - 1)), min(size[1] - 1.0, top + max(0.0, height - 1))
    wide = max(right - left, _ASPECT * (bottom - top)) * _BOX_FACTOR
    focal = _NETWORK_FOCAL / _NETWORK_WIDTH * wide
    return np.array([focal, focal]), np.array([(left + right) / 2, (top + bottom) / 2])


def view(
    rng: np.random.Generator,
    models: BodyModels,
    person: Person,
    size: tuple[int, int],
    middle_x_px: float,
    top_px: float,
    height_px: float,
) -> View:
    """The person turned to the camera, head top and height at the given rows, seen by the camera of its own box.

    Such fits have no eyes: the eyes of the person are set straight.
    """
    turn = Rotation.from_euler("yxz", rng.uniform((-0.9, -0.2, -0.25), (0.9, 0.3, 0.25))).as_matrix()
    person = replace(person, pose_aa=person.pose_aa.copy())
    person.pose_aa[_EYES] = 0.0
    upright = moved(models, person, Y_UP_TO_Y_DOWN @ turn, np.zeros(3))
    upright = replace(upright, transl_m=-rest_pelvis_of(models, upright))
    around_pelvis = vertices_of(models, upright)
    low, high = around_pelvis.min(0), around_pelvis.max(0)
    px_per_m = height_px / (high[1] - low[1])
    target = np.array([middle_x_px - (low[0] + high[0]) / 2 * px_per_m, top_px - low[1] * px_per_m])
    box = np.array([middle_x_px - height_px / 6, top_px, height_px / 3, height_px])
    for _ in range(4):  # the camera follows from the box and the box from the camera; it settles at once
        focal, centre = virtual_camera(box, size)
        depth = focal[0] / px_per_m
        pelvis = np.array([*((target - centre) / px_per_m), depth])
        box = tight_box(project(around_pelvis + pelvis, focal, centre), size).round(2)
    focal, centre = virtual_camera(box, size)
    placed = replace(upright, transl_m=upright.transl_m + pelvis)
    joints = joints_of(models, placed)
    return View(
        person=placed,
        focal_px=focal,
        principal_point_px=centre,
        box_xywh=box,
        vertices_cam_m=vertices_of(models, placed),
        joints_cam_m=joints,
        joints_px=project(joints, focal, centre),
    )


def neuralannot_fit(models: BodyModels, seen: View) -> dict[str, Any]:
    """The entry of a NeuralAnnot-style json: neutral SMPL-X, hands stored without the mean hand."""
    person = seen.person
    left, right = relative_hands_of(models, person)
    return {
        "smplx_param": {
            "root_pose": person.pose_aa[0].tolist(),
            "body_pose": person.pose_aa[1:22].ravel().tolist(),
            "lhand_pose": left.ravel().tolist(),
            "rhand_pose": right.ravel().tolist(),
            "jaw_pose": person.pose_aa[22].tolist(),
            "shape": person.betas.tolist(),
            "expr": np.asarray(person.expression).tolist(),
            "trans": person.transl_m.tolist(),
        },
        "cam_param": {"focal": seen.focal_px.tolist(), "princpt": seen.principal_point_px.tolist()},
    }
