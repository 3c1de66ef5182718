"""GTA-Human II in miniature: the public release, and the older layout that HumanData converters read.

Camera frame; neutral SMPL-X without face; hands as 24 coefficients whose rotations are absolute; the game's own 100
points, which fits only come near to. Among the people: one without a fit, one whose body pose has 69 numbers, one who
walks out of the picture, one with points that are no numbers, one mostly hidden; a picture is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.points import Floats, padded, pick, tight_box
from harmonize.miniatures.scene import clothes, write_picture
from harmonize.miniatures.studio import StudioCamera, looking_at, plain_wall, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import Person, model_of, random_person, stand

SIZE = (1920, 1080)
FOCAL_PX = 540.0 / np.tan(np.deg2rad(25.0))
_NUM_COEFFICIENTS, _NUM_POINTS = 24, 100
_GAME_NOISE_M = 0.01
_FINGER_ROWS = {
    "left": {"index": (56, 32, 33), "middle": (57, 34, 35), "ring": (58, 28, 29), "pinky": (59, 30, 31)},
    "right": {"index": (80, 93, 94), "middle": (81, 95, 96), "ring": (82, 89, 90), "pinky": (83, 91, 92)},
}
_ROWS = {
    **{"head": 1, "neck": 2, "right_shoulder": 4, "right_elbow": 5, "right_wrist": 6, "left_shoulder": 8},
    **{"left_elbow": 9, "left_wrist": 10, "pelvis": 14, "right_hip": 16, "right_knee": 17, "right_ankle": 18},
    **{"left_hip": 19, "left_knee": 20, "left_ankle": 21, "left_foot": 24, "right_foot": 49, "left_eye": 54},
    **{"right_eye": 60, "nose": 99, "left_thumb_2": 26, "left_thumb_3": 27, "right_thumb_2": 87, "right_thumb_3": 88},
    **{
        f"{side}_{finger}_{joint}": row
        for side, fingers in _FINGER_ROWS.items()
        for finger, rows in fingers.items()
        for joint, row in enumerate(rows, 1)
    },
}
"""Where the game's skeleton has a joint of the body model; the other points are the game's alone."""


@dataclass(frozen=True, slots=True)
class _Actor:
    """x_m, depth_m: where on the ground at first; step_m: sideways from frame to frame. trap: see `_reject`."""

    person: str
    x_m: float
    depth_m: float
    step_m: float = 0.1
    trap: str = ""


@dataclass(frozen=True, slots=True)
class _Scene:
    """pictures: folder of the pictures; labels: of the npz files, "" where they lie beside each other by name."""

    form: str
    sequence: str
    num_frames: int
    actors: tuple[_Actor, ...]
    pictures: str = "images"
    labels: str = "annotations"
    num_pictures: int | None = None

    def file(self, actor: _Actor) -> str:
        is_release = self.form == "release"
        return f"{self.labels}/{self.sequence}{'/' if is_release else '_'}{actor.person}.npz"


_SCENES = (
    _Scene(
        "release",
        "seq_00087011",
        2,
        (
            _Actor("000003", -1.2, 5.0),
            _Actor("000012", 0.1, 6.5, trap="69-numbers"),
            _Actor("000027", 1.5, 5.5, trap="no-fit"),
        ),
    ),
    _Scene(
        "release",
        "seq_00087250",
        3,
        (
            _Actor("000001", -0.6, 4.6),
            _Actor("000004", 3.3, 5.2, 3.4, trap="walks-out"),
            _Actor("000009", 1.1, 6.0, trap="nan-joints"),
            _Actor("000010", -1.8, 7.4, trap="hidden"),
        ),
        num_pictures=2,
    ),
    _Scene(
        "internal",
        "seq_00090001",
        2,
        (_Actor("000002", -0.8, 5.4), _Actor("000005", 0.9, 4.8)),
        "images_multiple",
        "annotations_multiple_smplx",
    ),
    _Scene(
        *("internal", "seq_00000042", 2, (_Actor("000001", 0.2, 4.4),)), "images_single", "annotations_single_smplx"
    ),
)


def write_gta_human2(root: Path, *, seed: int = 0, people: int = 24, models: BodyModels | None = None) -> Truth:
    """Writes both layouts under root (the folder gta-human_v2_release) with at least `people` annotations."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 34])
    scenes = list(_SCENES)
    missing = people - sum(scene.num_frames * len(scene.actors) for scene in scenes)
    scenes += [
        _Scene("release", f"seq_{90 + number:08d}", 2, (_Actor("000001", 0.3, 5.0),))
        for number in range(-(-missing // 2))
    ]
    return Truth("gta_human2", tuple(true for scene in scenes for true in _film(rng, models, scene, root)))


def _film(rng: np.random.Generator, models: BodyModels, scene: _Scene, root: Path) -> list[TruePerson]:
    """Films a scene, writes pictures and labels, and says what is true."""
    position = np.array([0.0, rng.uniform(1.4, 1.9), 0.0])
    rotmat, transl = looking_at(position, np.array([0.0, 0.9, -5.5]), np.array([0.0, 1.0, 0.0]))
    camera = StudioCamera(
        focal_px=np.full(2, FOCAL_PX),
        principal_point_px=np.array(SIZE) / 2,
        size=SIZE,
        rotmat=rotmat,
        transl_m=transl,
    )
    wall = plain_wall(rng, SIZE, 480.0)
    cast = [_perform(rng, models, actor, scene.num_frames) for actor in scene.actors]
    seen = [[see(models, person, camera) for person in frames] for frames in cast]
    outfits = [clothes(rng, model_of(models, frames[0])) for frames in cast]
    for actor, views in zip(scene.actors, seen, strict=True):
        path = root / scene.file(actor)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **_labels(rng, models, actor, views))
    num_pictures = scene.num_frames if scene.num_pictures is None else scene.num_pictures
    for frame in range(num_pictures):
        picture = take(models, camera, [views[frame] for views in seen], outfits, wall)
        write_picture(root / scene.pictures / scene.sequence / f"{frame:08d}.jpeg", picture)
    return [
        true_person(
            view,
            camera,
            reject_hint=_reject(actor, frame, frame < num_pictures),
            note=actor.trap,
            form=scene.form,
            split="train",
            sequence=scene.sequence,
            frame=f"{frame:08d}",
            person=actor.person,
            image_path=f"{scene.pictures}/{scene.sequence}/{frame:08d}.jpeg",
            has_body=actor.trap != "no-fit",
            has_left_hand=True,
            has_right_hand=True,
        )
        for actor, views in zip(scene.actors, seen, strict=True)
        for frame, view in enumerate(views)
    ]


def _reject(actor: _Actor, frame: int, has_picture: bool) -> str:
    if not has_picture:
        return "image-missing"
    if actor.trap == "walks-out":
        return "outside" if frame else ""
    return actor.trap if actor.trap in ("no-fit", "nan-joints") else ""


def _perform(rng: np.random.Generator, models: BodyModels, actor: _Actor, num_frames: int) -> list[Person]:
    """The actor in each frame, on the stage: no jaw, eyes or expression, hands of 24 components."""
    person = random_person(rng, "smplx", "neutral")
    components = _components(models)
    hands = person.hands_aa().reshape(2, 1, 45) @ components.transpose(0, 2, 1) @ components
    pose = np.concatenate([person.pose_aa[:22], np.zeros((3, 3)), hands.reshape(30, 3)])
    motion = np.concatenate([rng.normal(0.0, 0.04, (22, 3)), np.zeros((33, 3))])
    person = replace(person, pose_aa=pose, expression=np.zeros(10))
    yaw = rng.uniform(-0.9, 0.9)
    return [
        stand(
            models,
            replace(person, pose_aa=pose + frame * motion),
            actor.x_m + frame * actor.step_m,
            -actor.depth_m,
            yaw + 0.1 * frame,
        )
        for frame in range(num_frames)
    ]


def _components(models: BodyModels) -> Floats:
    """(2, 24, 45): the model's first hand components, left and right."""
    components = models.get("smplx", "neutral").hand_components
    if components is None:
        raise ValueError("the model has no fingers")
    return np.asarray(components[:, :_NUM_COEFFICIENTS], np.float64)


def _labels(rng: np.random.Generator, models: BodyModels, actor: _Actor, views: Sequence[View]) -> dict[str, Any]:
    """The content of a person's npz."""
    points = np.array([_game_points(rng, view) for view in views])
    pixels = points[..., :2] / points[..., 2:] * FOCAL_PX + np.array(SIZE) / 2
    ones = np.ones((len(views), _NUM_POINTS, 1))
    if actor.trap == "nan-joints":
        points[-1, 40:44] = pixels[-1, 40:44] = np.nan
    occluded = rng.random((len(views), _NUM_POINTS)) < (0.7 if actor.trap == "hidden" else 0.1)
    labels: dict[str, Any] = {
        "is_male": bool(rng.random() < 0.5),
        "ped_action": "WORLD_HUMAN_PARTYING",
        "fov": 50.0,
        "keypoints_2d": np.concatenate([pixels, ones], -1),
        "keypoints_3d": np.concatenate([points, ones], -1),
        "occ": occluded,
        "self_occ": occluded & (rng.random(occluded.shape) < 0.5),
        "num_frames": len(views),
        "weather": "EXTRASUNNY",
        "daytime": (14, 30, 5),
        "location_tag": "beach",
        "bbox_xywh": np.array([padded(tight_box(each[~np.isnan(each[:, 0])]), 1.1) for each in pixels]),
        "is_valid_smplx": actor.trap != "no-fit",
    }
    if actor.trap == "no-fit":
        return labels
    pose = np.array([view.person.pose_aa for view in views], np.float32)
    body = pose[:, 1:22].reshape(len(views), 63)
    if actor.trap == "69-numbers":  # as the toolbox describes it; the last six belong to no joint of the model
        body = np.concatenate([body, rng.normal(size=(len(views), 6)).astype(np.float32)], 1)
    hands = pose[:, 25:].reshape(len(views), 2, 45).astype(np.float64)
    left, right = (hands[:, side] @ _components(models)[side].T for side in (0, 1))
    return labels | {
        "betas": np.array([view.person.betas for view in views], np.float32),
        "body_pose": body,
        "global_orient": pose[:, 0],
        "transl": np.array([view.person.transl_m for view in views], np.float32),
        "left_hand_pose": left.astype(np.float32),
        "right_hand_pose": right.astype(np.float32),
    }


def _game_points(rng: np.random.Generator, view: View) -> Floats:
    """(100, 3) camera: the game's skeleton about the fitted body; its own points somewhere at the torso."""
    chest = pick(["spine_3"], view.joint_names, view.joints_cam_m)
    points = chest + rng.uniform(-0.15, 0.15, (_NUM_POINTS, 3))
    points[list(_ROWS.values())] = pick(list(_ROWS), view.joint_names, view.joints_cam_m)
    return points + rng.normal(0.0, _GAME_NOISE_M, points.shape)
