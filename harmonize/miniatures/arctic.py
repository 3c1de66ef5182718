"""ARCTIC in miniature: subjects' own rest meshes, eight still cameras and one on the head, the Vicon's frame.

A subject has no betas: their obj is the model's template. Pictures are numbered from another start than annotations, by
subject, and count from the tenth to the eleventh before the end. One subject's pictures are still in the zip, some of
them missing. The head camera bends strongly and has most of its wearer behind it.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModel, BodyModels
from harmonize.miniatures.lenses import bent
from harmonize.miniatures.points import Floats
from harmonize.miniatures.rig import UP, bend_of, camera_at, lens, matrix, seen_from
from harmonize.miniatures.scene import background, clothes, paint
from harmonize.miniatures.studio import StudioCamera, looking_at, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.world import Person, joints_of, model_of, moved, random_person, stand, vertices_of
from harmonize.record import BodyKind, Gender
from harmonize.render import Mesh, Picture

SIZE = (420, 300)
EGOCENTRIC = "egocentric: most of the wearer is behind the camera"
_NUM_VIEWS = 8
_EGO_LENS = (0.31, 0.09, 0.0004, -0.0003, 0.01, 0.58, 0.24, 0.03)
_WIDEST = 2.0
"""Tangent of the angle beyond which the head camera's lens has no picture; NaN stands for points out there."""
_Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_HEAD, _LEFT_WRIST, _RIGHT_WRIST = 15, 20, 21


@dataclass(frozen=True, slots=True)
class _Take:
    """A sequence: protocol splits that list it, subject, offset of picture numbers, frames, missing views."""

    splits: tuple[str, str]
    subject: str
    name: str
    gender: Gender
    offset: int
    num_frames: int
    missing: tuple[int, ...] = ()
    is_zipped: bool = False

    @property
    def sequence(self) -> str:
        return f"{self.subject}/{self.name}"

    @property
    def pictures(self) -> range:
        """The numbers of its pictures that the protocols use."""
        return range(10, self.num_frames - 10)


_TAKES = (
    _Take(("p1_train", "p2_train"), "s01", "box_grab_01", "female", 1, 21),
    _Take(("p1_val", "p2_val"), "s04", "laptop_use_02", "male", 3, 21, missing=(3, 4, 5, 7, 8), is_zipped=True),
)


class _Subject(BodyModels):
    """Body models with the subject's own in the place of each."""

    def __init__(self, models: BodyModels, gender: Gender, rest_mesh_m: Floats) -> None:
        super().__init__(models.root, is_standin=models.is_standin)
        self._own = models.subject("smplx", gender, rest_mesh_m)

    def get(self, kind: BodyKind, gender: Gender) -> BodyModel:
        return self._own


def write_arctic(root: Path, *, seed: int = 0, people: int = 18, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder arctic_data/data); a longer first sequence for more than 18 people."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 25])
    first, *others = _TAKES
    first = replace(first, num_frames=first.num_frames + -(-max(0, people - 18) // 9))
    truth: list[TruePerson] = []
    misc: dict[str, Any] = {}
    for one in (first, *others):
        mesh = _rest_mesh(rng, models, one.gender)
        _write_obj(root / "meta" / "subject_vtemplates" / f"{one.subject}.obj", mesh, models, one)
        subject = _Subject(models, one.gender, mesh)
        stage_to_world = _vicon(rng)
        cameras = _cameras(rng, stage_to_world)
        misc[one.subject] = _describe(one, cameras)
        truth.extend(_film(rng, subject, root, one, cameras, stage_to_world))
    (root / "meta" / "misc.json").write_text(json.dumps(misc))
    _write_protocols(root)
    return Truth("arctic", tuple(truth))


def _rest_mesh(rng: np.random.Generator, models: BodyModels, gender: Gender) -> Floats:
    """(V, 3) metres, six decimals: a body of the model's own shapes, and folds of a suit that none of them has."""
    person = random_person(rng, "smplx", gender)
    rest = replace(person, pose_aa=np.zeros((55, 3)), expression=np.zeros(10))
    mesh = vertices_of(models, rest)
    folds = 0.004 * np.sin(40.0 * mesh[:, 1:2] + rng.uniform(0, np.pi)) * np.sign(mesh - mesh.mean(0))
    away_from_head = mesh[:, 1:2] < np.quantile(mesh[:, 1], 0.6)
    return np.asarray(np.round(mesh + folds * away_from_head, 6))


def _write_obj(path: Path, mesh: Floats, models: BodyModels, one: _Take) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh]
    if not one.is_zipped:  # one with faces, one with vertices alone
        lines += [f"f {a} {b} {c}" for a, b, c in models.get("smplx", one.gender).faces + 1]
    path.write_text("\n".join(lines) + "\n")


def _vicon(rng: np.random.Generator) -> Floats:
    """(4, 4): the stage to the Vicon's frame, z up."""
    turn = Rotation.from_euler("z", rng.uniform(-np.pi, np.pi)).as_matrix()
    return matrix(turn @ _Y_UP_TO_Z_UP, rng.uniform(-1, 1, 3))


def _cameras(rng: np.random.Generator, stage_to_world: Floats) -> list[StudioCamera]:
    """Views 1 to 8, in the Vicon's frame; the nearest see but the upper body."""
    cameras = []
    for number in range(_NUM_VIEWS):
        camera = camera_at(
            2 * np.pi * number / _NUM_VIEWS + float(rng.uniform(-0.2, 0.2)),
            1.7 if number == 5 else 2.6,
            size=SIZE,
            focal_px=400.0 + rng.uniform(-5, 5, 2),
            principal_point_px=np.array(SIZE) / 2 + rng.uniform(-5, 5, 2),
            height_m=1.2 + 0.15 * number,
            target_m=(0.0, 1.25 if number == 5 else 1.0, 0.0),
            roll_rad=float(rng.uniform(-0.05, 0.05)),
        )
        cameras.append(seen_from(camera, stage_to_world[:3, :3], stage_to_world[:3, 3]))
    return cameras


def _intrinsics(camera: StudioCamera) -> Floats:
    (fx, fy), (cx, cy) = camera.focal_px, camera.principal_point_px
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _describe(one: _Take, cameras: list[StudioCamera]) -> dict[str, Any]:
    """The subject's entry of misc.json; its matrices begin with view 1, its sizes with view 0."""
    return {
        "gender": one.gender,
        "world2cam": [matrix(camera.rotmat, camera.transl_m).tolist() for camera in cameras],
        "intris_mat": [_intrinsics(camera).tolist() for camera in cameras],
        "image_size": [list(SIZE)] * (_NUM_VIEWS + 1),
        "ioi_offset": one.offset,
    }


def _perform(rng: np.random.Generator, subject: BodyModels, one: _Take, stage_to_world: Floats) -> list[Person]:
    """The subject in each frame, in the Vicon's frame: both hands before the chest, every frame a little different."""
    person = random_person(rng, "smplx", one.gender)
    pose = person.pose_aa.copy()
    pose[16:20] = [(0.1, -1.1, -0.4), (0.1, 1.0, 0.45), (0.0, -0.7, 0.1), (0.0, 0.8, -0.1)]
    person = replace(person, pose_aa=pose, betas=np.zeros(10), expression=np.zeros(10))
    start = moved(subject, stand(subject, person, 0.0, 0.0, 0.3), stage_to_world[:3, :3], stage_to_world[:3, 3])
    motion, step_m = rng.normal(0.0, 0.008, (55, 3)), np.array([0.004, -0.003, 0.001])
    return [
        replace(start, pose_aa=start.pose_aa + frame * motion, transl_m=start.transl_m + frame * step_m)
        for frame in range(one.num_frames)
    ]


def _head_camera(subject: BodyModels, person: Person, focal_px: Floats, centre_px: Floats, up: Floats) -> StudioCamera:
    """Before the forehead, looking at the hands; in the frame of the person."""
    joints = joints_of(subject, person)
    hands = joints[[_LEFT_WRIST, _RIGHT_WRIST]].mean(0)
    ahead = hands - joints[_HEAD]
    ahead -= (ahead @ up) * up
    ahead /= np.linalg.norm(ahead)
    rotmat, transl = looking_at(joints[_HEAD] + 0.16 * ahead + 0.08 * up, hands + 0.3 * ahead + 0.1 * up, up)
    return StudioCamera(
        focal_px=focal_px,
        principal_point_px=centre_px,
        size=SIZE,
        rotmat=rotmat,
        transl_m=transl,
        bend=bend_of(lens(*_EGO_LENS)),
    )


def _film(
    rng: np.random.Generator,
    subject: BodyModels,
    root: Path,
    one: _Take,
    cameras: list[StudioCamera],
    stage_to_world: Floats,
) -> list[TruePerson]:
    people = _perform(rng, subject, one, stage_to_world)
    focal, centre = 205.0 + rng.uniform(-3, 3, 2), np.array(SIZE) / 2 + rng.uniform(-6, 6, 2)
    up = stage_to_world[:3, :3] @ UP
    ego = [_head_camera(subject, person, focal, centre, up) for person in people]
    _write_takes(rng, root, one, people, ego)
    outfit = clothes(rng, model_of(subject, people[0]))
    behind = background(rng, SIZE, 110.0)
    pictures: dict[str, Picture] = {"1/00001": np.zeros_like(behind)}  # what precedes the tenth picture can be black
    truth = []
    for number in one.pictures:
        person = people[number - one.offset]
        for view in range(_NUM_VIEWS + 1):
            camera = cameras[view - 1] if view else ego[number - one.offset]
            member = f"{view}/{number:05d}"
            hint = "image-missing" if view in one.missing else ""
            stated: dict[str, Any] = {
                "split": one.splits[0 if view else 1],
                "sequence": f"{one.sequence}/{view}",
                "frame": f"{number:05d}",
                "person": "0",
                "image_path": _picture_path(one, member),
                "has_left_hand": True,
                "has_right_hand": True,
            }
            seen = see(subject, person, camera)
            if view:
                truth.append(true_person(seen, camera, reject_hint=hint, **stated))
                picture = take(subject, camera, [seen], [outfit], behind)
            else:
                is_out = _is_out(seen.joints_cam_m)
                pixels = np.where(is_out[:, None], np.nan, seen.joints_px)
                true = true_person(seen, camera, note=EGOCENTRIC, distortion=lens(*_EGO_LENS), **stated)
                truth.append(replace(true, joints_px=pixels))
                picture = _take_near(subject, camera, seen.vertices_cam_m, person, outfit, behind)
            if not hint:
                pictures[member] = picture
    _write_pictures(root, one, pictures)
    return truth


def _is_out(points_cam_m: Floats) -> Any:
    """(N,): behind the head camera, or beyond its lens."""
    depth = points_cam_m[:, 2]
    return (depth <= 0) | (np.linalg.norm(points_cam_m[:, :2], axis=1) > _WIDEST * depth)


def _take_near(
    subject: BodyModels, camera: StudioCamera, vertices_cam_m: Floats, person: Person, outfit: Floats, behind: Picture
) -> Picture:
    """What the head camera sees; the rasteriser leaves out faces with a corner behind the camera."""
    shown = bent(vertices_cam_m, lens(*_EGO_LENS))
    shown[_is_out(vertices_cam_m)] = (0.0, 0.0, -1.0)
    mesh = Mesh(shown, model_of(subject, person).faces, outfit)
    return paint([mesh], camera.focal_px, camera.principal_point_px, behind)


def _picture_path(one: _Take, member: str) -> str:
    if one.is_zipped:
        return f"images_zips/{one.sequence}.zip!{member}.jpg"
    return f"images/{one.sequence}/{member}.jpg"


def _write_pictures(root: Path, one: _Take, pictures: dict[str, Picture]) -> None:
    if not one.is_zipped:
        for member, picture in pictures.items():
            path = root / _picture_path(one, member)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_jpeg(picture))
        return
    path = root / _picture_path(one, "").partition("!")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for member, picture in pictures.items():
            archive.writestr(zipfile.ZipInfo(f"{member}.jpg"), _jpeg(picture))


def _jpeg(picture: Picture) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=90)
    return data.getvalue()


def _write_takes(
    rng: np.random.Generator, root: Path, one: _Take, people: list[Person], ego: list[StudioCamera]
) -> None:
    folder = root / "raw_seqs" / one.subject
    folder.mkdir(parents=True, exist_ok=True)
    pose = np.array([person.pose_aa for person in people], np.float32)
    count = len(people)
    body = {
        "transl": np.array([person.transl_m for person in people], np.float32),
        "global_orient": pose[:, 0],
        "body_pose": pose[:, 1:22].reshape(count, 63),
        "jaw_pose": pose[:, 22],
        "leye_pose": pose[:, 23],
        "reye_pose": pose[:, 24],
        "left_hand_pose": pose[:, 25:40].reshape(count, 45),
        "right_hand_pose": pose[:, 40:55].reshape(count, 45),
    }
    camera = {
        "R_k_cam_np": np.array([one.rotmat for one in ego]),
        "T_k_cam_np": np.array([one.transl_m for one in ego])[:, :, None],
        "intrinsics": _intrinsics(ego[0]),
        "dist8": np.array(_EGO_LENS),
        "R0": np.eye(3),
        "T0": np.zeros((3, 1)),
        "ego_markers.ref": np.zeros((4, 3)),
        "ego_markers.label": np.array(["a", "b", "c", "d"]),
    }
    hands = {
        side: {
            "rot": rng.normal(size=(count, 3)),
            "pose": rng.normal(size=(count, 45)),
            "trans": rng.normal(size=(count, 3)),
            "shape": rng.normal(size=10),
            "fitting_err": np.full(count, 0.001),
        }
        for side in ("right", "left")
    }
    for name, content in (("smplx", body), ("egocam.dist", camera), ("mano", hands)):
        np.save(folder / f"{one.name}.{name}.npy", np.array(content, object), allow_pickle=True)
    moving = np.column_stack([np.linspace(0, 1, count), np.zeros((count, 3)), np.full((count, 3), 900.0)])
    np.save(folder / f"{one.name}.object.npy", moving)  # translation in millimetres


def _write_protocols(root: Path) -> None:
    """The lists; those of the test name a sequence whose annotations are not released."""
    (root / "splits_json").mkdir(parents=True, exist_ok=True)
    train, val = (one.sequence for one in _TAKES)
    lists = {"train": [train], "val": [val], "test": ["s03/box_grab_01"]}
    for protocol in ("p1", "p2"):
        (root / "splits_json" / f"protocol_{protocol}.json").write_text(json.dumps(lists))
