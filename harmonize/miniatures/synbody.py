"""SynBody in miniature: the public release (SMPL-X and SMPL) and the older layout with joints.

Camera frame, relative hands, gendered bodies. The first row and picture of a recording is a T-pose: the release dropped
it, its first upload kept the row without the picture, the older layout has both, some of its files neither. The older
layout's folder without `_noBUG` holds other, wrong values. Its colour masks are left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.points import Floats
from harmonize.miniatures.scene import clothes, write_picture
from harmonize.miniatures.smplifyx import as_smpl
from harmonize.miniatures.studio import StudioCamera, looking_at, plain_wall, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import Person, model_of, random_person, relative_hands_of, stand
from harmonize.record import Gender
from harmonize.render import Picture

SIZE = (1280, 720)
FOCAL_PX = 640.0
_NO_BUG = ("smplx_withJoints_inCamSpace_noBUG", "smpl_refit_withJoints_inCamSpace_noBUG")
_BUGGY = ("smplx_withJoints_inCamSpace", "smpl_withJoints_inCamSpace")
_PARTS: dict[str, Any] = {"has_left_hand": True, "has_right_hand": True, "has_face": True}
_UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True, slots=True)
class _Actor:
    """name: of the npz. has_tpose, has_tpose_points: whether parameters and joints have a row for the T-pose.

    leaves: whether the actor is beside the picture from the second frame on.
    """

    name: str
    gender: Gender
    x_m: float
    depth_m: float
    has_tpose: bool = False
    has_tpose_points: bool = False
    has_one_shape: bool = True
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class _Take:
    """One sequence on disk. folders: of SMPL-X and SMPL parameters; is_older: with the T-pose's picture and joints."""

    sequence: str
    num_frames: int
    actors: tuple[_Actor, ...]
    folders: tuple[str, str] = ("smplx", "smpl")
    angle_rad: float = 0.0
    is_older: bool = False


_WALKERS = (
    _Actor("rp_aaron_posed_001-walk_03", "male", -0.7, 3.2),
    _Actor("subject_0042-dance_11", "female", 0.9, 3.8, has_tpose=True, has_one_shape=False),
)
_TAKES = (
    _Take("20230113/Downtown/LS_0114_004551_088_CAM002", 3, _WALKERS),
    _Take("20230113/Downtown/LS_0114_004551_088_CAM003", 2, _WALKERS, angle_rad=1.2),
    _Take("20230306_efh/Loft/LS_0306_000102_004_CAM000", 2, (_Actor("ehf_021", "female", 0.1, 3.0, leaves=True),)),
    _Take(
        "20230727/ConstructionSite/LS_0727_171922_010",
        2,
        (
            _Actor("B15-Walk_turn_left_90", "male", -0.9, 3.4, has_tpose=True, has_tpose_points=True),
            _Actor("A3-Swing", "female", 0.2, 4.2),
            _Actor("C11-Run_turn", "male", 1.2, 3.6, has_tpose_points=True, has_one_shape=False),
        ),
        _NO_BUG,
        is_older=True,
    ),
    _Take(
        "20230209/Loft/LS_0209_102030_001",
        2,
        (_Actor("E1-Jump", "female", 0.4, 3.1, has_tpose=True, has_tpose_points=True),),
        _BUGGY,
        is_older=True,
    ),
)


def write_synbody(root: Path, *, seed: int = 0, people: int = 32, models: BodyModels | None = None) -> Truth:
    """Writes both layouts under root (the folder synbody_v1_0) with at least `people` annotations."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 35])
    cast: dict[tuple[str, str], list[Person]] = {}  # a sequence's people are the same in each of its cameras
    takes = list(_TAKES)
    listed = sum(take.num_frames * len(take.actors) * (1 if take.is_older else 2) for take in takes)
    takes += [
        _Take(f"20230220/Downtown/LS_0220_{number:06d}_001_CAM000", 1, _WALKERS[:1])
        for number in range(-(-(people - listed) // 2))
    ]
    truth: list[TruePerson] = []
    for scene in takes:
        base = scene.sequence.split("_CAM")[0]
        for actor in scene.actors:
            frames = cast.setdefault((base, actor.name), [])
            if not frames:
                frames += _perform(rng, models, actor, scene.num_frames)
        truth += _film(rng, models, scene, [cast[base, actor.name] for actor in scene.actors], root)
    return Truth("synbody", tuple(truth))


def _perform(rng: np.random.Generator, models: BodyModels, actor: _Actor, num_frames: int) -> list[Person]:
    """The actor on the stage: the T-pose, then the frames."""
    person = random_person(rng, "smplx", actor.gender)
    motion = rng.normal(0.0, 0.05, (55, 3))
    yaw = rng.uniform(-0.9, 0.9)
    rest = replace(person, pose_aa=np.zeros((55, 3)), expression=np.zeros(10))
    frames = [stand(models, rest, actor.x_m, -actor.depth_m, 0.0)]
    for frame in range(num_frames):
        posed = replace(person, pose_aa=person.pose_aa + frame * motion)
        x = 9.0 if actor.leaves and frame else actor.x_m + 0.05 * frame
        frames.append(stand(models, posed, x, -actor.depth_m, yaw + 0.15 * frame))
    return frames


def _film(
    rng: np.random.Generator, models: BodyModels, scene: _Take, cast: Sequence[Sequence[Person]], root: Path
) -> list[TruePerson]:
    """Films a take, writes pictures and parameters, and says what is true."""
    camera = _camera(scene.angle_rad)
    seen = [[see(models, person, camera) for person in frames[: scene.num_frames + 1]] for frames in cast]
    outfits = [clothes(rng, model_of(models, frames[0])) for frames in cast]
    wall = plain_wall(rng, SIZE, 330.0)
    folder = root / scene.sequence
    for frame in range(0 if scene.is_older else 1, scene.num_frames + 1):
        picture: Picture = take(models, camera, [views[frame] for views in seen], outfits, wall)
        write_picture(folder / "rgb" / f"{frame:04d}.jpeg", picture)
    truth: list[TruePerson] = []
    for actor, views in zip(scene.actors, seen, strict=True):
        smpl = [as_smpl(models, view.person) for view in views]
        _save(folder / scene.folders[0] / f"{actor.name}.npz", "smplx", _smplx(models, views), actor, scene, views)
        _save(folder / scene.folders[1] / f"{actor.name}.npz", "smpl", _smpl(smpl), actor, scene, views)
        if scene.folders == _NO_BUG:
            wrong = _smplx(models, views)
            wrong["transl"] = wrong["transl"] + np.float32(0.3)
            _save(folder / _BUGGY[0] / f"{actor.name}.npz", "smplx", wrong, actor, scene, views)
        for frame in range(1, scene.num_frames + 1):
            stated: dict[str, Any] = {
                "reject_hint": "outside" if actor.leaves and frame > 1 else "",
                "split": "train",
                "sequence": scene.sequence,
                "frame": f"{frame:04d}",
                "person": actor.name,
                "image_path": f"{scene.sequence}/rgb/{frame:04d}.jpeg",
            }
            form = "internal" if scene.is_older else "smplx"
            truth.append(true_person(views[frame], camera, form=form, **stated, **_PARTS))
            if not scene.is_older:
                truth.append(true_person(_in_camera(models, smpl[frame], camera), camera, form="smpl", **stated))
    if scene.is_older:
        _write_cast(folder / "seq_data.json", scene)
    return truth


def _camera(angle_rad: float) -> StudioCamera:
    """A camera about the people, at their right for a positive angle."""
    centre = np.array([0.0, 0.9, -3.5])
    position = centre + np.array([3.5 * np.sin(angle_rad), 0.4, 3.5 * np.cos(angle_rad)])
    rotmat, transl = looking_at(position, centre, _UP)
    return StudioCamera(
        focal_px=np.full(2, FOCAL_PX),
        principal_point_px=np.array(SIZE) / 2,
        size=SIZE,
        rotmat=rotmat,
        transl_m=transl,
    )


def _in_camera(models: BodyModels, person: Person, camera: StudioCamera) -> View:
    """A person whose parameters are in the camera's frame already."""
    return see(models, person, replace(camera, rotmat=np.eye(3), transl_m=np.zeros(3)))


def _smplx(models: BodyModels, views: Sequence[View]) -> dict[str, Floats]:
    people = [view.person for view in views]
    pose = np.array([person.pose_aa for person in people])
    left, right = np.array([relative_hands_of(models, person) for person in people]).transpose(1, 0, 2, 3)
    return {
        "betas": np.array([person.betas for person in people]),
        "transl": np.array([person.transl_m for person in people]),
        "global_orient": pose[:, 0],
        "body_pose": pose[:, 1:22].reshape(-1, 63),
        "left_hand_pose": left.reshape(-1, 45),
        "right_hand_pose": right.reshape(-1, 45),
        "jaw_pose": pose[:, 22],
        "leye_pose": pose[:, 23],
        "reye_pose": pose[:, 24],
        "expression": np.array([person.expression for person in people]),
    }


def _smpl(people: Sequence[Person]) -> dict[str, Floats]:
    pose = np.array([person.pose_aa for person in people])
    return {
        "betas": np.array([person.betas for person in people]),
        "transl": np.array([person.transl_m for person in people]),
        "global_orient": pose[:, 0],
        "body_pose": pose[:, 1:].reshape(-1, 69),
    }


def _save(path: Path, kind: str, rows: dict[str, Floats], actor: _Actor, scene: _Take, views: Sequence[View]) -> None:
    """A person's npz; rows and views begin with the T-pose."""
    start = 0 if actor.has_tpose else 1
    parameters = {name: np.asarray(values[start:], np.float32) for name, values in rows.items()}
    if actor.has_one_shape:
        parameters["betas"] = parameters["betas"][:1]
    content: dict[str, Any] = {kind: np.array(parameters, object), "meta": np.array({"gender": actor.gender}, object)}
    if scene.is_older:
        joints = slice(0 if actor.has_tpose_points else 1, None)
        content["keypoints2d"] = np.array([view.joints_px for view in views], np.float32)[joints]
        content["keypoints3d"] = np.array([view.joints_cam_m for view in views], np.float32)[joints]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)


def _write_cast(path: Path, scene: _Take) -> None:
    """Who is who in the colour masks."""
    people = {
        f"Actor_{number}": {"animation": actor.name, "mask_rgb_value": [255, 40 * number, 128]}
        for number, actor in enumerate(scene.actors)
    }
    path.write_text(json.dumps({"Actors": {"CharacterActors": people}}))
