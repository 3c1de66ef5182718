"""DNA-Rendering in miniature, 5- and 12-megapixel cameras: SMC files (HDF5) and the RenBody tree.

World with y down; cameras state the way from camera to world; pictures are bent; gendered SMPL-X with relative hands.
One performance has too few rows of expression, another one row of betas for all; `scale` is there and must not be used.
RenBody's train sequence has a picture more than rows; its second actor's cameras have no distortion. Camera ids are
padded among parameters and not among pictures. `resolution` is taken to be (width, height), which no source says.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import simplejpeg
from PIL import Image
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.points import Floats, pick
from harmonize.miniatures.rig import bend_of, lens
from harmonize.miniatures.scene import JPEG_QUALITY, clothes, write_picture
from harmonize.miniatures.studio import StudioCamera, looking_at, plain_wall, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import (
    Y_UP_TO_Y_DOWN,
    Person,
    model_of,
    moved,
    random_person,
    relative_hands_of,
    stand,
)
from harmonize.record import Gender
from harmonize.render import Picture

_GROUPS = {"Camera_5mp": (612, 512), "Camera_12mp": (512, 375)}
"""Sizes of the pictures: a quarter and an eighth of the release's."""
_FIRST_12MP = 48
_POINT_NOISE_M = 0.005
_UNDETECTED = ("jaw", "left_eyeball", "right_eyeball")
_UNRELIABLE = ("spine_1", "spine_2", "spine_3")
_SCALE = 1.08


@dataclass(frozen=True, slots=True)
class _Take:
    """A performance. cameras: two of the dataset, then one of the other. num_extra: pictures without a row."""

    name: str
    split: str
    gender: Gender
    num_frames: int
    cameras: tuple[int, int, int]
    part: int = 1
    num_expressions: int | None = None
    has_one_shape: bool = False
    is_bent: bool = True
    num_extra: int = 0


def write_dna_rendering(root: Path, *, seed: int = 0, people: int = 16, models: BodyModels | None = None) -> Truth:
    """Writes both forms under root; the truth is that of cameras 0 to 47, with at least `people` annotations."""
    return _write(root, "dna_rendering", ((0, 21, 48), (7, 47, 59)), [seed, 36], people, models)


def write_dna_rendering_hires(
    root: Path, *, seed: int = 0, people: int = 16, models: BodyModels | None = None
) -> Truth:
    """Writes both forms under root; the truth is that of cameras 48 to 59, with at least `people` annotations."""
    return _write(root, "dna_rendering_hires", ((48, 59, 21), (50, 57, 0)), [seed, 37], people, models)


def _write(
    root: Path,
    dataset: str,
    cameras: tuple[tuple[int, int, int], tuple[int, int, int]],
    seed: list[int],
    people: int,
    models: BodyModels | None,
) -> Truth:
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng(seed)
    performances = [
        _Take("0018_05", "all", "female", 3, cameras[0], num_expressions=1),
        _Take("0163_10", "all", "male", 2, cameras[1], part=2, has_one_shape=True),
    ]
    recordings = [
        _Take("20220924/actor_a/sequence_01", "train", "male", 2, cameras[0], num_extra=1),
        _Take("20220926/actor_b/sequence_02", "test", "female", 1, cameras[1], is_bent=False),
    ]
    missing = people - 2 * sum(each.num_frames for each in performances + recordings)
    performances += [
        _Take(f"{200 + number:04d}_01", "all", "male", 1, cameras[0]) for number in range(-(-missing // 2))
    ]
    truth = [true for each in performances for true in _write_smc(rng, models, each, root)]
    truth += [true for each in recordings for true in _write_renbody(rng, models, each, root)]
    for each in recordings:
        (root / "renbody" / f"new_{each.split}_230207.txt").write_text(f"{each.name}\n")
    return Truth(dataset, tuple(truth))


@dataclass(frozen=True, slots=True)
class _Shot:
    """What one camera has filmed. pictures and masks, one a frame; seen, one a row."""

    number: int
    camera: StudioCamera
    distortion: Floats
    seen: list[View]
    pictures: list[Picture]
    masks: list[Picture]

    @property
    def group(self) -> str:
        return _group(self.number)

    def parameters(self) -> dict[str, Floats]:
        """K, D and the way from camera to world."""
        (fx, fy), (cx, cy) = self.camera.focal_px, self.camera.principal_point_px
        to_camera = np.vstack([np.column_stack([self.camera.rotmat, self.camera.transl_m]), (0.0, 0.0, 0.0, 1.0)])
        return {
            "K": np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]),
            "D": self.distortion[:5],
            "RT": np.linalg.inv(to_camera),
        }


def _group(number: int) -> str:
    return "Camera_5mp" if number < _FIRST_12MP else "Camera_12mp"


def _shoot(rng: np.random.Generator, models: BodyModels, scene: _Take) -> tuple[list[Person], list[_Shot]]:
    """The actor in the world, frame by frame, and what each camera has filmed of it."""
    to_world = Rotation.from_euler("y", rng.uniform(-np.pi, np.pi)).as_matrix() @ Y_UP_TO_Y_DOWN
    origin = rng.uniform(-0.5, 0.5, 3)
    person = random_person(rng, "smplx", scene.gender)
    motion = rng.normal(0.0, 0.04, (55, 3))
    actor = []
    for frame in range(scene.num_frames):
        rows = scene.num_frames if scene.num_expressions is None else scene.num_expressions
        face = person.expression if frame < rows else np.zeros(10)
        posed = replace(person, pose_aa=person.pose_aa + frame * motion, expression=face)
        actor.append(moved(models, stand(models, posed, 0.05 * frame, 0.0, 0.2 * frame), to_world, origin))
    outfit = clothes(rng, model_of(models, person))
    shots = []
    for number in scene.cameras:
        size = _GROUPS[_group(number)]
        angle = 0.4 + 2.0 * np.pi * number / _FIRST_12MP
        position = np.array([3.2 * np.sin(angle), rng.uniform(1.0, 1.9), 3.2 * np.cos(angle)])
        on_stage, offset = looking_at(position, np.array([0.0, 0.95, 0.0]), np.array([0.0, 1.0, 0.0]), 0.03)
        coefficients = lens(-0.11, 0.09, 0.0012, -0.0016, -0.02) * rng.uniform(0.8, 1.2)
        rotmat = on_stage @ to_world.T
        camera = StudioCamera(
            focal_px=1.35 * size[1] + rng.uniform(-2, 2, 2),
            principal_point_px=np.array(size) / 2 + rng.uniform(-6, 6, 2),
            size=size,
            rotmat=rotmat,
            transl_m=offset - rotmat @ origin,
            bend=bend_of(coefficients) if scene.is_bent else None,
        )
        wall = plain_wall(rng, size, 0.45 * size[1])
        seen = [see(models, one, camera) for one in actor]
        pictures = [take(models, camera, [one], [outfit], wall) for one in seen]
        masks = [
            np.repeat(255 * (picture != wall).any(2, keepdims=True), 3, 2).astype(np.uint8) for picture in pictures
        ]
        shots.append(_Shot(number, camera, coefficients, seen, pictures + [wall] * scene.num_extra, masks))
    return actor, shots


def _stated(rng: np.random.Generator, models: BodyModels, actor: Sequence[Person]) -> dict[str, Floats]:
    """The parameters, world, one row a frame: fullpose (T, 55, 3) with relative hands, betas, expression, transl."""
    pose = np.array([person.pose_aa for person in actor])
    pose[:, 25:] = np.array([relative_hands_of(models, person).reshape(30, 3) for person in actor])
    return {
        "fullpose": pose,
        "betas": np.array([person.betas for person in actor]),
        "expression": np.array([person.expression for person in actor]),
        "transl": np.array([person.transl_m for person in actor]),
    }


def _points_world(shot: _Shot) -> Floats:
    """(T, 144, 3): the body's joints in the world."""
    return np.array([(view.joints_cam_m - shot.camera.transl_m) @ shot.camera.rotmat for view in shot.seen])


def _wholebody_names() -> list[str]:
    """The detector's 131 points in the release's order: COCO-WholeBody's, without hand roots, as HumanData has them."""
    detected = set(convention("coco_wholebody_133").names)
    return [name for name in convention("human_data_190").names if name in detected]


def _detect(rng: np.random.Generator, view: View) -> Floats:
    """(131, 3): x, y in the bent picture, score."""
    points = pick(_wholebody_names(), view.joint_names, view.joints_px)
    return np.column_stack([points + rng.normal(0.0, 0.8, points.shape), rng.uniform(0.4, 0.95, len(points))])


# --- SMC ------------------------------------------------------------------------------------------------------------


def _write_smc(rng: np.random.Generator, models: BodyModels, scene: _Take, root: Path) -> list[TruePerson]:
    """Writes both files of a performance and says what is true of its own cameras."""
    actor, shots = _shoot(rng, models, scene)
    main = f"dna_rendering_part{scene.part}_main/{scene.name}.smc"
    annotations = f"dna_rendering_part{scene.part}_annotations/{scene.name}_annots.smc"
    for path in (main, annotations):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    actor_id, performance_id = scene.name.split("_")
    with h5py.File(root / main, "w") as file:
        attributes = {"age": 27, "gender": scene.gender, "height": 1.74, "weight": 62.0}
        file.attrs.update({"actor_id": actor_id, "performance_id": performance_id} | attributes)
        if scene.part != 1:  # missing in some files
            file.attrs["ethnicity"] = "unknown"
        for group, size in _GROUPS.items():
            numbers = [shot.number for shot in shots if shot.group == group]
            here = {"num_device": len(numbers), "num_frame": scene.num_frames, "resolution": np.array(size)}
            file.create_group(group).attrs.update(here)
        for shot in shots:
            for frame, picture in enumerate(shot.pictures):
                data = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=JPEG_QUALITY)
                file[f"{shot.group}/{shot.number}/color/{frame}"] = np.frombuffer(data, np.uint8)
    with h5py.File(root / annotations, "w") as file:
        _annotate(rng, models, scene, actor, shots, file)
    return [
        _true(shot, frame, scene, f"{scene.name}/{shot.number:02d}", f"{frame:06d}", "smc", path)
        for shot in shots[:2]
        for frame in range(scene.num_frames)
        for path in [f"{main}!{shot.group}/{shot.number}/color/{frame}"]
    ]


def _annotate(
    rng: np.random.Generator,
    models: BodyModels,
    scene: _Take,
    actor: Sequence[Person],
    shots: Sequence[_Shot],
    file: Any,
) -> None:
    """The content of the annotation file."""
    for shot in shots:
        padded = f"{shot.number:02d}"
        for key, value in (shot.parameters() | {"Color_Calibration": np.eye(3)}).items():
            file[f"Camera_Parameter/{padded}/{key}"] = value
        file[f"Keypoints_2D/{padded}"] = np.array([_detect(rng, view) for view in shot.seen])
        for frame, mask in enumerate(shot.masks):
            data = io.BytesIO()
            Image.fromarray(mask).save(data, "PNG")
            file[f"Mask/{shot.number}/mask/{frame}"] = np.frombuffer(data.getvalue(), np.uint8)
    names = shots[0].seen[0].joint_names
    points = _points_world(shots[0])
    points += rng.normal(0.0, _POINT_NOISE_M, points.shape)
    points[:, [names.index(name) for name in _UNRELIABLE]] += rng.normal(0.0, 0.1, (len(points), 3, 3))
    points[:, [names.index(name) for name in _UNDETECTED]] = points[:, :1] + 0.4  # one and the same place
    scores = rng.uniform(0.5, 1.0, (*points.shape[:2], 1))
    file["Keypoints_3D/keypoints3d"] = np.concatenate([points, scores], -1)
    stated = _stated(rng, models, actor)
    if scene.has_one_shape:
        stated["betas"] = stated["betas"][:1]
    stated["expression"] = stated["expression"][: scene.num_expressions]
    for key, value in stated.items():
        file[f"SMPLx/{key}"] = value.astype(np.float32)
    file["SMPLx/scale"] = np.float32(_SCALE)


# --- RenBody --------------------------------------------------------------------------------------------------------


def _write_renbody(rng: np.random.Generator, models: BodyModels, scene: _Take, root: Path) -> list[TruePerson]:
    """Writes a sequence, and the camera file of its actor, and says what is true of its own cameras."""
    actor, shots = _shoot(rng, models, scene)
    images = root / "renbody" / "image" / scene.name
    fits = root / "renbody" / "smpl" / scene.name / "smplx_xrmocap"
    for folder in (images, fits):
        folder.mkdir(parents=True, exist_ok=True)
    stated = _stated(rng, models, actor)
    pose = stated.pop("fullpose")
    parts = {
        "global_orient": pose[:, 0],
        "body_pose": pose[:, 1:22],
        "jaw_pose": pose[:, 22],
        "leye_pose": pose[:, 23],
        "reye_pose": pose[:, 24],
        "left_hand_pose": pose[:, 25:40],
        "right_hand_pose": pose[:, 40:],
    }
    rows = {key: value.astype(np.float32) for key, value in (stated | parts).items()}
    np.savez(fits / "human_data_smplx.npz", gender=np.array(scene.gender), **rows)  # type: ignore[arg-type]
    points = np.zeros((len(actor), 190, 3))
    all_names, names = convention("human_data_190").names, _wholebody_names()
    at = [all_names.index(name) for name in names]
    joint_names = shots[0].seen[0].joint_names
    points[:, at] = [pick(names, joint_names, joints) for joints in _points_world(shots[0])]
    points[:, at] += rng.normal(0.0, _POINT_NOISE_M, (len(actor), len(at), 3))
    mask = np.zeros(190, np.uint8)
    mask[at] = 1
    np.savez(fits / "human_data_optimized_keypoints3d.npz", keypoints3d=points, keypoints3d_mask=mask)
    cameras = {f"{shot.number:02d}": shot.parameters() for shot in shots}
    if not scene.is_bent:
        cameras = {name: {key: value for key, value in each.items() if key != "D"} for name, each in cameras.items()}
    np.save(images.parent / "annots.npy", np.array({"cams": cameras}, object))
    for shot in shots:
        for frame, picture in enumerate(shot.pictures):
            write_picture(images / "image" / f"{shot.number:02d}" / f"{frame:06d}.jpg", picture)
    return [
        _true(shot, frame, scene, f"{scene.name}/{shot.number:02d}", f"{frame:06d}", "renbody", path)
        for shot in shots[:2]
        for frame in range(scene.num_frames)
        for path in [f"renbody/image/{scene.name}/image/{shot.number:02d}/{frame:06d}.jpg"]
    ]


def _true(shot: _Shot, row: int, scene: _Take, sequence: str, frame: str, form: str, path: str) -> TruePerson:
    has_face = scene.num_expressions is None or row < scene.num_expressions
    return true_person(
        shot.seen[row],
        shot.camera,
        distortion=shot.distortion if scene.is_bent else None,
        form=form,
        split=scene.split,
        sequence=sequence,
        frame=frame,
        person="0",
        image_path=path,
        note="" if has_face else "no-expression",
        has_left_hand=True,
        has_right_hand=True,
        has_face=has_face,
    )
