"""Fit3D, CHI3D and HumanSC3D in miniature: three studios of one laboratory, one file format.

World: z up, metres. Each camera file states the camera's CENTRE, its real lens (whose tangential term is not OpenCV's)
and an ideal lens that only comes near it; videos are raw, bent frames. Rotations are matrices, hands absolute. Of each
first action one video is longer than the annotations, one shorter and one is missing. CHI3D's second action is as
releases before June 2023 had it, without the person axis and with the first person alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.films import write_film
from harmonize.miniatures.points import Floats, pick
from harmonize.miniatures.scene import background, clothes
from harmonize.miniatures.studio import StudioCamera, looking_at, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.world import Person, joints_of, model_of, moved, random_person, stand, vertices_of
from harmonize.render import Picture

CAMERAS = ("50591643", "58860488", "60457274", "65906101")
SIZE = (900, 900)
# The body joints next to the 25 markers; the head's top is no joint and is taken from the mesh.
_HEAD_TOP = 10
_JOINTS_25 = (
    *("pelvis", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle"),
    *("spine_2", "neck", "nose", "head", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_shoulder", "right_elbow", "right_wrist", "left_foot", "left_bigtoe", "right_foot", "right_bigtoe"),
    *("left_thumb", "left_middle", "right_thumb", "right_middle"),
)
_MARKER_NOISE_M = 0.004
_Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class _Action:
    """films: how many frames the video of each camera has, 0 for none. is_old: without a person axis."""

    subject: str
    name: str
    num_frames: int
    films: tuple[int, int, int, int]
    is_old: bool = False


@dataclass(frozen=True, slots=True)
class _Release:
    """One dataset: its info file, its metadata file and a way to make that, people a frame, actions, test subject."""

    dataset: str
    info: str
    metadata: str
    describe: Callable[[], Any]
    num_people: int
    actions: tuple[_Action, _Action]
    test_subject: str


def _contact() -> dict[str, Any]:
    return {"fr_id": 0, "region_id": [[4, 17]], "face_id": [[1021, 5110]]}


_FIT3D = _Release(
    *("fit3d", "info.json", "rep_ann.json", lambda: [0, 2], 1),
    (_Action("s03", "band_pull_apart", 3, (3, 5, 2, 0)), _Action("s04", "barbell dead row 2", 1, (1, 2, 1, 1))),
    "s02",
)
_CHI3D = _Release(
    *("chi3d", "info.json", "interaction_contact_signature.json", _contact, 2),
    (_Action("s02", "Grab 10", 2, (2, 4, 1, 0)), _Action("s03", "Hug 6", 1, (1, 1, 2, 1), is_old=True)),
    "s01",
)
_HUMANSC3D = _Release(
    *("humansc3d", "humansc3d_info.json", "self_contact_signature.json", _contact, 1),
    (_Action("s01", "008 left hand to chin", 3, (4, 3, 0, 1)), _Action("s02", "171", 1, (1, 1, 1, 3))),
    "s04",
)


def write_fit3d(root: Path, *, seed: int = 0, people: int = 16, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder fit3d) with at least `people` annotations, more actions when needed."""
    return _write(root, _FIT3D, np.random.default_rng([seed, 31]), people, models)


def write_chi3d(root: Path, *, seed: int = 0, people: int = 20, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder chi3d) with at least `people` annotations, more actions when needed."""
    return _write(root, _CHI3D, np.random.default_rng([seed, 32]), people, models)


def write_humansc3d(root: Path, *, seed: int = 0, people: int = 16, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder humansc3d) with at least `people` annotations, more when needed."""
    return _write(root, _HUMANSC3D, np.random.default_rng([seed, 33]), people, models)


def _write(root: Path, release: _Release, rng: np.random.Generator, people: int, models: BodyModels | None) -> Truth:
    models = models or BodyModels.open("standin")
    truth: list[TruePerson] = []
    actions = list(release.actions)
    per_round = sum(
        len(CAMERAS) * action.num_frames * (1 if action.is_old else release.num_people) for action in actions
    )
    per_action = len(CAMERAS) * release.num_people
    actions += [
        _Action(release.actions[1].subject, f"more {number}", 1, (1, 1, 1, 1))
        for number in range(-(-(people - per_round) // per_action))
    ]
    studio = _Studio(rng)
    for action in actions:
        truth += _record(rng, models, release, action, studio, root)
    by_subject = {
        subject: [action.name for action in actions if action.subject == subject]
        for subject in sorted({action.subject for action in actions})
    }
    for subject, names in by_subject.items():
        _dump(root / "train" / subject / release.metadata, {name: release.describe() for name in names})
    test = release.test_subject
    info = {
        "train_subj_names": list(by_subject),
        "test_subj_names": [test],
        "subj_to_act": by_subject | {test: ["withheld 1"]},
    }
    _dump(root / release.info, info)
    _dump(root / "template.json", {test: {"withheld 1": {"smplx": []}}})
    _dump(root / "test" / test / "camera_parameters" / "withheld 1.json", studio.cameras[0].stated())
    write_film(root / "test" / test / "videos" / "withheld 1.mp4", [studio.walls[0]] * 2, 50)
    return Truth(release.dataset, tuple(truth))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Camera:
    """rotmat and centre_m of x_cam = rotmat (x_world - centre); the lens, and the ideal lens that comes near it."""

    rotmat: Floats
    centre_m: Floats
    focal_px: Floats
    principal_point_px: Floats
    radial: Floats
    tangential: Floats
    near_focal_px: Floats
    near_principal_point_px: Floats

    def bend(self, rays: Floats) -> Floats:
        """The laboratory's lens: x (1 + k1 r2 + k2 r2^2 + k3 r2^3 + x . q) + r2 q with q = (p2, p1), rays (N, 2)."""
        r2 = (rays**2).sum(1, keepdims=True)
        k1, k2, k3 = self.radial
        swapped = self.tangential[[1, 0]]
        return np.asarray(rays * (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + rays @ swapped[:, None]) + r2 * swapped)

    @property
    def distortion(self) -> Floats:
        """(12,) in OpenCV's terms, whose tangential term has twice the mixed part: the rest is a thin prism."""
        (k1, k2, k3), (p1, p2) = self.radial, self.tangential
        return np.array([k1, k2, p1 / 2, p2 / 2, k3, 0, 0, 0, p2 / 2, 0, p1 / 2, 0])

    def on_world(self) -> StudioCamera:
        return StudioCamera(
            focal_px=self.focal_px,
            principal_point_px=self.principal_point_px,
            size=SIZE,
            rotmat=self.rotmat,
            transl_m=-self.rotmat @ self.centre_m,
            bend=self.bend,
        )

    def stated(self) -> dict[str, Any]:
        """The content of the camera's file."""
        return {
            "extrinsics": {"R": self.rotmat.tolist(), "T": [self.centre_m.tolist()]},
            "intrinsics_w_distortion": {
                "f": [self.focal_px.tolist()],
                "c": [self.principal_point_px.tolist()],
                "k": [self.radial.tolist()],
                "p": [self.tangential.tolist()],
            },
            "intrinsics_wo_distortion": {
                "f": self.near_focal_px.tolist(),
                "c": self.near_principal_point_px.tolist(),
            },
        }


class _Studio:
    """Four cameras around a place in a world with z up, and what each sees of the empty room."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rotmat = Rotation.from_rotvec([0, 0, rng.uniform(-np.pi, np.pi)]).as_matrix() @ _Y_UP_TO_Z_UP
        self.offset_m = np.append(rng.uniform(-1.5, 1.5, 2), 0.0)
        self.cameras = [self._camera(rng, 0.6 + 0.5 * np.pi * number) for number in range(len(CAMERAS))]
        self.walls: list[Picture] = [background(rng, SIZE, 300.0) for _ in CAMERAS]

    def _camera(self, rng: np.random.Generator, angle_rad: float) -> _Camera:
        distance, height = rng.uniform(4.2, 4.8), rng.uniform(1.3, 1.9)
        centre = self.offset_m + np.array([distance * np.cos(angle_rad), distance * np.sin(angle_rad), height])
        rotmat, _ = looking_at(centre, self.offset_m + np.array([0.0, 0.0, 0.95]), np.array([0.0, 0.0, 1.0]), 0.02)
        focal = rng.uniform(1130, 1150) + rng.uniform(-1, 1, 2)
        centre_px = np.array(SIZE) / 2 + rng.uniform(-12, 12, 2)
        return _Camera(
            rotmat=rotmat,
            centre_m=centre,
            focal_px=focal,
            principal_point_px=centre_px,
            radial=np.array([-0.207, 0.247, -0.003]) * rng.uniform(0.9, 1.1),
            tangential=np.array([-0.006, -0.0085]) * rng.uniform(0.9, 1.1),
            near_focal_px=0.985 * focal,
            near_principal_point_px=centre_px + rng.uniform(-2, 2, 2),
        )


def _record(
    rng: np.random.Generator,
    models: BodyModels,
    release: _Release,
    action: _Action,
    studio: _Studio,
    root: Path,
) -> list[TruePerson]:
    """Performs an action, writes its annotations and videos, and says what is true of them."""
    cast = _perform(rng, models, release.num_people, action.num_frames, studio)
    outfits = [clothes(rng, model_of(models, frames[0])) for frames in cast]
    folder = root / "train" / action.subject
    _annotate(rng, models, cast[:1] if action.is_old else cast, folder, action, release.num_people > 1)
    truth: list[TruePerson] = []
    for name, camera, wall, length in zip(CAMERAS, studio.cameras, studio.walls, action.films, strict=True):
        _dump(folder / "camera_parameters" / name / f"{action.name}.json", camera.stated())
        video = folder / "videos" / name / f"{action.name}.mp4"
        pictures: list[Picture] = []
        for frame in range(action.num_frames):
            seen = [see(models, frames[frame], camera.on_world()) for frames in cast]
            if frame < length:
                pictures.append(take(models, camera.on_world(), seen, outfits, wall))
            truth += [
                true_person(
                    one,
                    camera.on_world(),
                    reject_hint=_hint(length, action.num_frames),
                    note="old-release" if action.is_old else "",
                    distortion=camera.distortion,
                    split="train",
                    sequence=f"{action.subject}/{name}/{action.name}",
                    frame=f"{frame:05d}",
                    person=str(person),
                    image_path=f"{video.relative_to(root)}#{frame}",
                    has_left_hand=True,
                    has_right_hand=True,
                    has_face=True,
                )
                for person, one in enumerate(seen[:1] if action.is_old else seen)
            ]
        if length:
            write_film(video, [*pictures, *[wall] * (length - len(pictures))], 50)
    return truth


def _hint(length: int, num_frames: int) -> str:
    if not length:
        return "image-missing"
    return "" if length >= num_frames else "video-short"


def _perform(
    rng: np.random.Generator, models: BodyModels, num_people: int, num_frames: int, studio: _Studio
) -> list[list[Person]]:
    """[person][frame], in the world: one person on the spot, or two who stand close and face each other."""
    cast: list[list[Person]] = []
    for number in range(num_people):
        person = random_person(rng, "smplx", "neutral")
        motion = rng.normal(0.0, 0.04, (55, 3))
        x = rng.uniform(-0.5, 0.5) if num_people == 1 else 0.4 * (2 * number - 1)
        yaw = rng.uniform(-1, 1) if num_people == 1 else np.pi / 2 - np.pi * number
        frames = []
        for frame in range(num_frames):
            posed = replace(person, pose_aa=person.pose_aa + frame * motion)
            placed = stand(models, posed, x, 0.06 * frame, yaw + 0.1 * frame)
            frames.append(moved(models, placed, studio.rotmat, studio.offset_m))
        cast.append(frames)
    return cast


def _annotate(
    rng: np.random.Generator,
    models: BodyModels,
    cast: Sequence[Sequence[Person]],
    folder: Path,
    action: _Action,
    has_people_axis: bool,
) -> None:
    """The files of an action: SMPL-X, 25 joints, GHUM; each array with the person axis first where there is one."""
    smplx = [_smplx(frames) for frames in cast]
    joints = [np.array([_joints_25(rng, models, person) for person in frames]) for frames in cast]
    ghum = [
        {"posing_values": rng.normal(size=(len(frames), 124)).round(3), "body_code": np.zeros((len(frames), 16))}
        for frames in cast
    ]
    for kind, stated in (("smplx", smplx), ("joints3d_25", [{"joints3d_25": one} for one in joints]), ("gpp", ghum)):
        content = {
            key: (np.stack([one[key] for one in stated]) if has_people_axis and not action.is_old else stated[0][key])
            for key in stated[0]
        }
        _dump(folder / kind / f"{action.name}.json", {key: value.tolist() for key, value in content.items()})


def _smplx(frames: Sequence[Person]) -> dict[str, Floats]:
    pose = np.array([person.pose_aa for person in frames])
    rotmats = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(len(pose), 55, 3, 3)
    return {
        "transl": np.array([person.transl_m for person in frames]),
        "global_orient": rotmats[:, :1],
        "body_pose": rotmats[:, 1:22],
        "betas": np.array([person.betas for person in frames]),
        "left_hand_pose": rotmats[:, 25:40],
        "right_hand_pose": rotmats[:, 40:],
        "jaw_pose": rotmats[:, 22:23],
        "leye_pose": rotmats[:, 23:24],
        "reye_pose": rotmats[:, 24:25],
        "expression": np.array([person.expression for person in frames]),
    }


def _joints_25(rng: np.random.Generator, models: BodyModels, person: Person) -> Floats:
    """(25, 3) world: as markers give them, a few millimetres beside the body's."""
    joints = pick(_JOINTS_25, model_of(models, person).joint_names, joints_of(models, person))
    vertices = vertices_of(models, person)
    joints[_HEAD_TOP] = vertices[vertices[:, 2].argmax()]
    return joints + rng.normal(0.0, _MARKER_NOISE_M, joints.shape)


def _dump(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
