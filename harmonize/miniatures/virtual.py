"""Virtual cameras of fitted bodies: the pinhole that a network's crop implies, one a person, with depth not metric.

Each person of a picture is drawn by a camera of their own, later ones over earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.scene import background, clothes, paint, write_picture
from harmonize.miniatures.truth import TruePerson
from harmonize.miniatures.world import (
    Y_UP_TO_Y_DOWN,
    Person,
    joints_of,
    model_of,
    moved,
    project,
    random_person,
    rest_pelvis_of,
    vertices_of,
)
from harmonize.render import Mesh, Picture

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
    joint_names: tuple[str, ...]


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
    upright, around_pelvis = facing(rng, models, person)
    return placed(models, upright, around_pelvis, size, middle_x_px, top_px, height_px)


def twin(rng: np.random.Generator, models: BodyModels, seen: View, size: tuple[int, int]) -> View:
    """Another fit, with SMPL, of the same person: the same rotations, another shape, about the same place."""
    pose = np.zeros((24, 3))
    pose[:22] = seen.person.pose_aa[:22]
    person = replace(random_person(rng, "smpl", "neutral"), pose_aa=pose)
    upright = replace(person, transl_m=-rest_pelvis_of(models, person))
    outline = tight_box(project(seen.vertices_cam_m, seen.focal_px, seen.principal_point_px))
    x, y, width, height = outline
    return placed(models, upright, vertices_of(models, upright), size, x + width / 2, y, height)


def placed(
    models: BodyModels,
    upright: Person,
    around_pelvis: Floats,
    size: tuple[int, int],
    middle_x_px: float,
    top_px: float,
    height_px: float,
) -> View:
    """The person of a camera frame, whose vertices (V, 3) have the pelvis at the origin, moved to where the picture
    shows them at the given place."""
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
    return seen_by(models, replace(upright, transl_m=upright.transl_m + pelvis), focal, centre, box)


def facing(rng: np.random.Generator, models: BodyModels, person: Person) -> tuple[Person, Floats]:
    """The person in a camera frame, upright and turned towards it, with straight eyes and the pelvis at the origin; and
    the vertices (V, 3)."""
    turn = Rotation.from_euler("yxz", rng.uniform((-0.9, -0.2, -0.25), (0.9, 0.3, 0.25))).as_matrix()
    if person.kind == "smplx":
        person = replace(person, pose_aa=person.pose_aa.copy())
        person.pose_aa[_EYES] = 0.0
    upright = moved(models, person, Y_UP_TO_Y_DOWN @ turn, np.zeros(3))
    upright = replace(upright, transl_m=-rest_pelvis_of(models, upright))
    return upright, vertices_of(models, upright)


def seen_by(models: BodyModels, person: Person, focal_px: Floats, principal_point_px: Floats, box_xywh: Floats) -> View:
    """The person, in a camera's frame, before that camera."""
    joints = joints_of(models, person)
    return View(
        person=person,
        focal_px=focal_px,
        principal_point_px=principal_point_px,
        box_xywh=box_xywh,
        vertices_cam_m=vertices_of(models, person),
        joints_cam_m=joints,
        joints_px=project(joints, focal_px, principal_point_px),
        joint_names=model_of(models, person).joint_names,
    )


def paint_views(rng: np.random.Generator, models: BodyModels, shown: Sequence[View], behind: Picture) -> Picture:
    """The dressed people over a picture, each as their own camera shows them."""
    for seen in shown:
        model = model_of(models, seen.person)
        mesh = Mesh(seen.vertices_cam_m, model.faces, clothes(rng, model))
        behind = paint([mesh], seen.focal_px, seen.principal_point_px, behind)
    return behind


def side_by_side(
    rng: np.random.Generator, models: BodyModels, people: Sequence[Person], size: tuple[int, int]
) -> list[View]:
    """The people from left to right in one picture, whole or with their feet out of it."""
    width, height = size
    shown = []
    for slot, person in enumerate(people):
        middle = width * ((slot + 0.5) / len(people) + rng.uniform(-0.04, 0.04))
        top, tall = height * rng.uniform(0.04, 0.15), height * rng.uniform(0.7, 0.9)
        shown.append(view(rng, models, person, size, middle, top, tall))
    return shown


def photograph(
    rng: np.random.Generator, models: BodyModels, shown: Sequence[View], size: tuple[int, int], path: Path
) -> None:
    """Writes the picture of the people before a made-up background."""
    behind = background(rng, size, size[1] * rng.uniform(0.4, 0.6))
    write_picture(path, paint_views(rng, models, shown, behind))


def true_person(seen: View, *, reject_hint: str = "", is_transl_metric: bool = False, **stated: Any) -> TruePerson:
    """What is true of a person seen so; `stated` are the other fields of `TruePerson`."""
    return TruePerson(
        kind=seen.person.kind,
        gender=seen.person.gender,
        focal_px=seen.focal_px,
        principal_point_px=seen.principal_point_px,
        vertices_cam_m=seen.vertices_cam_m,
        joints_cam_m=seen.joints_cam_m,
        joints_px=seen.joints_px,
        joint_names=seen.joint_names,
        is_kept=not reject_hint,
        reject_hint=reject_hint,
        is_transl_metric=is_transl_metric,
        **stated,
    )
