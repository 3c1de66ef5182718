"""The keypoint arrays of HumanData files, right or wrong in the way of a known converter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.humandata_files import Made, Points
from harmonize.miniatures.labels import points_cam_m
from harmonize.miniatures.points import Floats, body_joint, is_inside
from harmonize.miniatures.virtual import View, seen_by
from harmonize.miniatures.world import Person, project

EVERY = convention("human_data_190").names
_BESIDE_JOINTS = ("headtop", "thorax_extra", "head_bottom_pt", "jaw_extra", "spine_extra")
_WHOLEBODY_PARTS = {"body": 23, "face": 68, "left": 21, "right": 21}


def keypoints(
    rng: np.random.Generator,
    models: BodyModels,
    points: Points,
    seen: Sequence[View],
    sizes: Sequence[tuple[int, int]],
    *,
    is_compressed: bool,
) -> dict[str, Any]:
    """The array, (N, 190 or the masked columns, 3 | 4), and its mask (190,). sizes: of the pictures, one a row."""
    names = convention(points.names).names if points.names else _of_model(points, seen[0])
    slots = [(EVERY.index(name), place) for place, name in enumerate(names) if name in EVERY]
    at, places = (list(column) for column in zip(*slots, strict=True))
    whole = np.zeros((len(seen), len(EVERY), points.dimensions + 1))
    for row, (one, size) in enumerate(zip(seen, sizes, strict=True)):
        whole[row, at] = _values(rng, models, points, one, names, size)[places]
    mask = np.zeros(len(EVERY), np.uint8)
    mask[at] = 1
    stored = whole[:, mask == 1] if is_compressed else whole
    return {points.key: stored, f"{points.key}_mask": mask}


def _of_model(points: Points, seen: View) -> tuple[str, ...]:
    return convention("smpl_45").names if points.made == "smpl" else seen.joint_names


def _values(
    rng: np.random.Generator,
    models: BodyModels,
    points: Points,
    seen: View,
    names: Sequence[str],
    size: tuple[int, int],
) -> Floats:
    """(K, 3 | 4): coordinates and confidence; zeros for points that this body cannot have."""
    source = _mistaken(models, seen, points.made)
    wanted = _read_as(names, points.made)
    known = np.array([_has(source, name) for name in wanted])
    place = np.zeros((len(wanted), 3))
    place[known] = points_cam_m(source, [name for name, is_known in zip(wanted, known, strict=True) if is_known])
    if points.dimensions == 3:
        if points.is_root_aligned:
            place = place - source.joints_cam_m[source.joint_names.index("pelvis")]
        values: Floats = place * (1000.0 if points.is_mm else 1.0)
    else:
        place[~known] = (0.0, 0.0, 1.0)
        values = project(place, seen.focal_px, seen.principal_point_px)
        values = values + rng.normal(0.0, points.noise_px, values.shape) if points.noise_px else values
        known &= is_inside(values, size) | (points.noise_px == 0)
    values[~known] = 0.0
    return np.column_stack([values, known])


def _has(seen: View, name: str) -> bool:
    return name in _BESIDE_JOINTS or body_joint(name) in seen.joint_names or name.endswith("_toe_3dhp")


def _mistaken(models: BodyModels, seen: View, made: Made) -> View:
    """The body that a converter computed its keypoints from.

    neutral: AGORA's, with the betas of a gendered body. flat-hands: TalkSHOW's, whose body model forgets the mean hand.
    smpl: BEHAVE's, SMPL with the betas of SMPL-H; the stand-in models share one space of shapes, so they are changed.
    """
    person = seen.person
    if made == "neutral":
        person = replace(person, gender="neutral", kid_weight=0.0)
    elif made == "flat-hands":
        mean = models.get("smplx", person.gender).hand_mean_aa
        assert mean is not None
        person = replace(person, pose_aa=person.pose_aa.copy())
        person.pose_aa[25:55] -= mean.reshape(30, 3)
    elif made == "smpl":
        pose = np.zeros((24, 3))
        pose[:22] = person.pose_aa[:22]
        person = Person(
            kind="smpl",
            gender=person.gender,
            pose_aa=pose,
            betas=0.7 * person.betas,
            transl_m=person.transl_m,
            expression=None,
        )
    if person is seen.person:
        return seen
    return seen_by(models, person, seen.focal_px, seen.principal_point_px, seen.box_xywh)


def _read_as(names: Sequence[str], made: Made) -> tuple[str, ...]:
    """For each name of a file, the point whose values stand under it.

    imar: 25 joints of another order under the names of OpenPose's 25. legs: Human3.6M with the right leg first under
    names with the left one first. parts: COCO-WholeBody's hands and face in another order than its names.
    """
    if made == "imar":
        return (*names[3:], *names[:3])
    if made == "legs":
        return convention("h36m_mmpose_17").names
    if made == "parts":
        body, face, left, right = np.split(np.array(names), np.cumsum(list(_WHOLEBODY_PARTS.values()))[:-1])
        return tuple(np.concatenate([body, left, right, face]).tolist())
    return tuple(names)
