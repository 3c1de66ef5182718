"""HumanData files in miniature, one for each habit of the converters, and their pictures.

Hand convention stated in `misc` or inside `smplx`, or taken as relative; poses flat or not; boxes with four or five
columns; keypoints compressed or not, under new or old names; SMPL with gender; a file without camera and translation.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.humandata_files import FILES, HumanDataFile
from harmonize.miniatures.points import Floats, is_inside, padded, pick, tight_box
from harmonize.miniatures.scene import background, clothes, paint, write_picture
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.world import (
    Person,
    StageCamera,
    joints_of,
    model_of,
    moved,
    places,
    project,
    random_person,
    relative_hands_of,
    stand,
    vertices_of,
)
from harmonize.render import Mesh

SIZE = (640, 480)
NUM_POINTS = 190
NOISE_PX = 0.6
_PADDING = 1.2  # body boxes of HumanData are stored padded
_PER_PICTURE = 2
_PARTS = {
    "face": tuple(name for name in convention("smplx_144").names[76:127]),
    "lhand": tuple(name for name in convention("smplx_144").names[25:40]),
    "rhand": tuple(name for name in convention("smplx_144").names[40:55]),
}


def write_humandata(root: Path, *, seed: int = 0, people: int = 32, models: BodyModels | None = None) -> Truth:
    """Writes the npz files into root and their pictures below it, with at least `people` rows in all."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 6])
    truth: list[TruePerson] = []
    rows = _PER_PICTURE * max(1, -(-people // (_PER_PICTURE * len(FILES))))
    root.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        cast: list[Person] = []
        seen: list[TruePerson] = []
        for picture in range(rows // _PER_PICTURE):
            for person, true in _shoot(rng, models, file, picture, root):
                is_invalid = file.has_invalid and len(cast) == rows - 1
                cast.append(person)
                seen.append(_numbered(true, len(seen), is_invalid))
        np.savez_compressed(root / f"{file.stem}.npz", **_content(rng, models, file, cast, seen))
        truth.extend(seen)
    return Truth("humandata", tuple(truth))


def _shoot(
    rng: np.random.Generator, models: BodyModels, file: HumanDataFile, picture: int, root: Path
) -> list[tuple[Person, dict[str, Any]]]:
    """Two people before a camera; their parameters and what is true of them, both in the camera frame."""
    is_shared = file.camera != "meta"
    camera = StageCamera(
        focal_px=np.full(2, 620.0) if is_shared else rng.uniform(580, 680) * np.array([1.0, 1.002]),
        principal_point_px=np.array(SIZE) / 2 + (0.0 if is_shared else rng.uniform(-4, 4, 2)),
        size=SIZE,
        height_m=1.5,
        pitch_rad=float(rng.uniform(0.05, 0.2)),
    )
    meshes, shot = [], []
    image_path = f"images/{file.stem.split('_')[0]}/clip_{picture:02d}/{5 * picture:06d}.jpg"
    for slot, (x, z, yaw) in enumerate(places(rng, camera, _PER_PICTURE, 3.2, 4.2)):
        gender = file.genders[slot % len(file.genders)]
        person = random_person(rng, file.kind, gender, num_betas=file.num_betas)
        if file.kind == "smplx" and not file.has_face:
            person.pose_aa[22:25] = 0.0
            person = replace(person, expression=np.zeros(10))
        on_stage = stand(models, person, x, z, yaw)
        in_camera = moved(models, on_stage, camera.rotmat, camera.transl_m)
        model = model_of(models, person)
        vertices = vertices_of(models, on_stage) @ camera.rotmat.T + camera.transl_m
        joints = joints_of(models, in_camera)
        meshes.append(Mesh(vertices, model.faces, clothes(rng, model)))
        has_hands = file.kind == "smplx"
        true = {
            "split": file.split,
            "sequence": f"{file.stem}/{image_path.rpartition('/')[0]}",
            "frame": f"{5 * picture:06d}",
            "kind": file.kind,
            "gender": gender,
            "image_path": image_path,
            "image_size_px": SIZE,
            "focal_px": camera.focal_px,
            "principal_point_px": camera.principal_point_px,
            "vertices_cam_m": vertices,
            "joints_cam_m": joints,
            "joints_px": project(joints, camera.focal_px, camera.principal_point_px),
            "joint_names": model.joint_names,
            "has_camera": bool(file.camera),
            "has_left_hand": has_hands,
            "has_right_hand": has_hands,
            "has_face": has_hands and file.has_face,
            "reject_hint": "" if file.camera else "no-transl",
        }
        shot.append((in_camera, true))
    behind = background(rng, SIZE, camera.horizon_px())
    write_picture(root / image_path, paint(meshes, camera.focal_px, camera.principal_point_px, behind))
    return shot


def _numbered(true: dict[str, Any], row: int, is_invalid: bool) -> TruePerson:
    hint = "invalid" if is_invalid else true["reject_hint"]
    return TruePerson(**true | {"person": str(row), "is_kept": not hint, "reject_hint": hint})


def _content(
    rng: np.random.Generator, models: BodyModels, file: HumanDataFile, cast: list[Person], seen: list[TruePerson]
) -> dict[str, Any]:
    """The entries of the npz."""
    content: dict[str, Any] = {
        "__key_strict__": np.array(False),
        "__data_len__": np.array(len(cast)),
        "__keypoints_compressed__": np.array(file.is_compressed),
        "config": np.array(file.stem.split("_")[0]),
        "image_path": np.array([true.image_path for true in seen]),
        "bbox_xywh": np.array([_box(true.joints_px, _PADDING) for true in seen])[:, : file.box_columns],
        file.kind: np.array(_parameters(models, file, cast), dtype=object),
        "meta": np.array(_meta(file, seen), dtype=object),
    }
    if file.kind == "smplx":
        for part, names in _PARTS.items():
            at = [seen[0].joint_names.index(name) for name in names]
            content[f"{part}_bbox_xywh"] = np.array([_box(true.joints_px[at], 1.0) for true in seen])
        content["lhand_bbox_xywh"][-1] = 0.0  # confidence 0: no such box
    if file.hands != "inside":
        content["misc"] = np.array(_misc(file, seen), dtype=object)
    content |= _keypoints(rng, file, seen)
    return content


def _box(points_px: Floats, factor: float) -> Floats:
    return np.append(padded(tight_box(points_px), factor), 1.0)


def _parameters(models: BodyModels, file: HumanDataFile, cast: list[Person]) -> dict[str, Any]:
    poses = np.array([person.pose_aa for person in cast])
    rows = len(cast)
    parameters: dict[str, Any] = {
        "global_orient": poses[:, 0],
        "body_pose": poses[:, 1:24] if file.kind == "smpl" else poses[:, 1:22],
        "betas": np.array([person.betas for person in cast]),
    }
    if file.camera:
        parameters["transl"] = np.array([person.transl_m for person in cast])
    if file.kind == "smplx":
        hands = np.array(
            [person.hands_aa() if file.is_absolute else relative_hands_of(models, person) for person in cast]
        )
        parameters |= {"left_hand_pose": hands[:, 0], "right_hand_pose": hands[:, 1]}
    if file.kind == "smplx" and file.has_face:
        parameters |= {
            "jaw_pose": poses[:, 22],
            "leye_pose": poses[:, 23],
            "reye_pose": poses[:, 24],
            "expression": np.array([person.expression for person in cast]),
        }
    if file.is_flat:
        parameters = {name: values.reshape(rows, -1) for name, values in parameters.items()}
    if file.hands == "inside":
        parameters["flat_hand_mean"] = np.full(rows, file.is_absolute)
    return parameters


def _meta(file: HumanDataFile, seen: list[TruePerson]) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    if file.camera == "meta":
        meta["focal_length"] = np.array([true.focal_px for true in seen])
        meta["principal_point"] = np.array([true.principal_point_px for true in seen])
        meta["height"], meta["width"] = [SIZE[1]] * len(seen), [SIZE[0]] * len(seen)
    if file.kind == "smpl":
        meta["gender"] = [true.gender if not file.camera else true.gender[0] for true in seen]
    if file.hands == "inside":
        meta["gender"] = ["mf"[row % 2] for row in range(len(seen))]  # of the subjects: the model is neutral
    if not file.camera:
        meta["pred_cam"] = np.tile([0.9, 0.0, 0.1], (len(seen), 1))
    if file.has_invalid:
        meta["annot_valid"] = np.array([true.is_kept for true in seen])
    return meta


def _misc(file: HumanDataFile, seen: list[TruePerson]) -> dict[str, Any]:
    misc: dict[str, Any] = {
        "bbox_source": f"keypoints2d{file.points}" if file.points else "provide_by_dataset",
        "bbox_body_scale": _PADDING,
        f"{file.kind}_source": "original" if file.camera else "eft",
        "cam_param_type": "prespective" if file.camera else "predicted_camera",  # spelled so by the converters
        "kps3d_root_aligned": False,
    }
    if file.hands == "misc":
        misc["flat_hand_mean"] = file.is_absolute
    if file.camera == "misc":
        misc["focal_length"] = tuple(seen[0].focal_px.tolist())
        misc["principal_point"] = tuple(seen[0].principal_point_px.tolist())
        misc["image_shape"] = (SIZE[1], SIZE[0])
    return misc


def _keypoints(rng: np.random.Generator, file: HumanDataFile, seen: list[TruePerson]) -> dict[str, Any]:
    """Points of the body's joints in 2D and 3D; or noisy annotated points in 2D alone."""
    every = convention("human_data_190").names
    names = convention(file.names).names if file.names else seen[0].joint_names
    at = [every.index(name) for name in names]
    flat, deep = np.zeros((len(seen), NUM_POINTS, 3)), np.zeros((len(seen), NUM_POINTS, 4))
    for row, true in enumerate(seen):
        points = pick(names, true.joint_names, true.joints_px)
        confidence = np.ones(len(names))
        if file.names:
            points = points + rng.normal(0.0, NOISE_PX, points.shape)
            confidence = is_inside(points, SIZE).astype(float)
        flat[row, at] = np.column_stack([points, confidence])
        deep[row, at] = np.column_stack([pick(names, true.joint_names, true.joints_cam_m), np.ones(len(names))])
    mask = np.zeros(NUM_POINTS, np.uint8)
    mask[at] = 1
    arrays = {"keypoints2d": flat} if file.names else {"keypoints2d": flat, "keypoints3d": deep}
    content: dict[str, Any] = {}
    for name, values in arrays.items():
        content[f"{name}{file.points}"] = values[:, mask == 1] if file.is_compressed else values
        content[f"{name}{file.points}_mask"] = mask
    return content
