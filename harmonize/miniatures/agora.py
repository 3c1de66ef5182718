"""AGORA in miniature: DataFrame pickles, scan fits, and 1280x720 pictures under the official names.

Each picture uses another rule for the camera. One person of each picture stands behind a post and is marked invalid, a
child of either sex is there, and an adult fit carries an eleventh beta that must not be taken for a kid weight.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.keypoints import SMPLX_144
from harmonize.miniatures.agora_cameras import FOREST, NAMED, WIDTH_PX, UnrealCamera
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.scene import Wall, background, clothes, hidden_percent, paint, write_picture
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.world import (
    Y_UP_TO_Y_DOWN,
    Person,
    joints_of,
    model_of,
    moved,
    project,
    random_person,
    relative_hands_of,
    rest_pelvis_of,
    stand,
    vertices_of,
)
from harmonize.record import Gender
from harmonize.render import Mesh

SIZE, LABEL_SIZE = (WIDTH_PX, 720), (3840, 2160)
_NUM_LABELLED = 127  # joints of the frames: no face contour
_INVALID_ABOVE_PERCENT = 90.0
_KID_WEIGHT = 0.6


@dataclass(frozen=True, slots=True)
class _Shot:
    split: str
    part: int
    name: str
    camera: UnrealCamera


@dataclass(frozen=True, slots=True)
class _Scan:
    """A fitted scan: `person` stands in the scan's own frame (y up); `path` is relative to smplx_gt, without suffix."""

    path: str
    person: Person
    gender: Gender
    has_stray_beta: bool = False

    @property
    def is_kid(self) -> bool:
        return self.person.kid_weight > 0


def _shots(rng: np.random.Generator, count: int) -> list[_Shot]:
    kinds = ["hdri_50mm", "archviz_5_10_cam00", "brushifyforest_5_15", "ag2_5_10"]
    kinds += ["archviz_5_10_cam03", "archviz_5_10_cam01"]
    shots = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        camera = NAMED.get(kind) or replace(FOREST, yaw_deg=float(rng.uniform(-180, 180)))
        name = f"ag_trainset_3dpeople_bfh_{kind}_{number:05d}.png"
        shots.append(_Shot("train", number % 2, name, camera))
    name = "ag_validationset_renderpeople_bfh_archviz_5_10_cam02_00001.png"
    return [*shots, _Shot("validation", 0, name, NAMED["archviz_5_10_cam02"])]


def write_agora(root: Path, *, seed: int = 0, people: int = 20, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder AGORA) with about `people` people, four a picture, at least 20."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 3])
    directions = _shape_directions(models)
    truth: list[TruePerson] = []
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for shot in _shots(rng, max(4, people // 4 - 1)):
        folder = "train" if shot.split == "train" else "validation"
        scans = [_scan(rng, models, folder, len(truth) + slot, slot) for slot in range(4)]
        for scan in scans:
            _write_fits(root, models, scan, directions)
        row, seen = _shoot(rng, models, shot, scans, root)
        rows.setdefault((shot.split, shot.part), []).append(row)
        truth.extend(seen)
    for (split, part), content in rows.items():
        table = pd.DataFrame(
            {column: pd.Series([row[column] for row in content], dtype=object) for column in content[0]}
        )
        table.columns = pd.Index(list(content[0]), dtype=object)
        for family in ("SMPLX", "Cam"):
            (root / family).mkdir(parents=True, exist_ok=True)
        table.to_pickle(root / "SMPLX" / f"{split}_{part}_withjv.pkl", protocol=4)
        plain = table.drop(columns=["gt_joints_2d", "gt_joints_3d", "gt_verts"])
        plain.to_pickle(root / "Cam" / f"{split}_{part}.pkl", protocol=4)
    return Truth("agora", tuple(truth))


def _scan(rng: np.random.Generator, models: BodyModels, folder: str, number: int, slot: int) -> _Scan:
    gender: Gender = "male" if (number // 4 + slot) % 2 else "female"
    is_kid = slot == 2
    model_gender: Gender = "neutral" if is_kid and gender == "female" else gender
    person = random_person(rng, "smplx", model_gender, kid_weight=_KID_WEIGHT if is_kid else 0.0)
    if is_kid:
        person = replace(person, betas=0.4 * person.betas)
    person = stand(models, person, *rng.uniform(-0.2, 0.2, 3))
    kind = "kids" if is_kid else "adults"
    path = f"{folder}set_3dpeople_{kind}_bfh/{10000 + number}_{gender[0]}_Scan_{slot}_0"
    return _Scan(path, person, gender, has_stray_beta=slot == 3)


def _write_fits(root: Path, models: BodyModels, scan: _Scan, directions: Floats) -> None:
    refit = _neutral_refit(models, scan.person, directions)
    for family, person in (("smplx_gt", scan.person), ("smplx_gt_neutral_gender", refit)):
        path = root / family / f"{scan.path}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        left, right = relative_hands_of(models, person)
        tail = [person.kid_weight] if scan.is_kid else [0.7] if scan.has_stray_beta else []
        fit = {
            "transl": person.transl_m,
            "global_orient": person.pose_aa[0],
            "body_pose": person.pose_aa[1:22],
            "left_hand_pose": left,
            "right_hand_pose": right,
            "jaw_pose": person.pose_aa[22],
            "leye_pose": person.pose_aa[23],
            "reye_pose": person.pose_aa[24],
            "expression": person.expression,
            "betas": np.concatenate([person.betas, tail]),
        }
        batched = {name: np.asarray(value, np.float32).reshape(1, -1) for name, value in fit.items()}
        path.write_bytes(pickle.dumps(batched, protocol=4))


def _shape_directions(models: BodyModels) -> Floats:
    """(3 V, 10): how each beta moves the unposed neutral mesh about its mean vertex."""
    pose = np.zeros((55, 3))
    base = Person(
        kind="smplx", gender="neutral", pose_aa=pose, betas=np.zeros(10), transl_m=np.zeros(3), expression=None
    )
    origin = vertices_of(models, base)
    moves = [vertices_of(models, replace(base, betas=unit)) - origin for unit in np.eye(10)]
    return np.stack([(move - move.mean(0)).ravel() for move in moves], 1)


def _neutral_refit(models: BodyModels, person: Person, directions: Floats) -> Person:
    """The same pose on the neutral model, betas by least squares on the unposed mesh, pelvis in the same place."""
    rest = replace(person, pose_aa=np.zeros((55, 3)), transl_m=np.zeros(3), expression=np.zeros(10))
    wanted = vertices_of(models, rest) - vertices_of(models, replace(rest, gender="neutral", betas=np.zeros(10)))
    betas = np.linalg.lstsq(directions, (wanted - wanted.mean(0)).ravel(), rcond=None)[0]
    neutral = replace(person, gender="neutral", betas=betas)
    shift = rest_pelvis_of(models, person) - rest_pelvis_of(models, neutral)
    return replace(neutral, transl_m=person.transl_m + shift)


def _shoot(
    rng: np.random.Generator, models: BodyModels, shot: _Shot, scans: list[_Scan], root: Path
) -> tuple[dict[str, Any], list[TruePerson]]:
    """Places the scans and writes the picture. Returns the row of the frames, and the people."""
    camera, centre, count = shot.camera, np.array(SIZE) / 2, len(scans)
    is_named = any(kind in shot.name for kind in NAMED)
    nearest_m = 8.0 if camera.focal_mm == 50 else 3.0 if camera.pitch_deg == 30 else 4.5
    depth_m = nearest_m + np.array([0.2, 1.4, 0.6, 2.0]) + rng.uniform(0, 0.3, count)
    across_m = (np.array([-0.3, -0.08, 0.14, 0.35]) + rng.uniform(-0.02, 0.02, count)) * SIZE[0] * depth_m
    before_camera = np.stack([across_m / camera.focal_px[0], np.zeros(count), depth_m], 1)
    ground = camera.position_m + before_camera @ Rotation.from_euler("y", camera.yaw_deg, degrees=True).as_matrix().T
    ground[:, 1] = 0.0 if is_named else -camera.position_cm[2] / 100.0
    yaw_deg = camera.yaw_deg + 90.0 + rng.normal(0, 70, count)
    meshes, joints = [], []
    for scan, spot, yaw in zip(scans, ground, yaw_deg, strict=True):
        turn = Rotation.from_euler("y", yaw - 90.0, degrees=True).as_matrix()
        rotmat, offset = camera.rotmat @ turn @ Y_UP_TO_Y_DOWN, camera.rotmat @ (spot - camera.position_m)
        model = model_of(models, scan.person)
        seen = vertices_of(models, scan.person) @ rotmat.T + offset
        meshes.append(Mesh(seen, model.faces, clothes(rng, model)))
        joints.append(joints_of(models, moved(models, scan.person, rotmat, offset)))
    everything = [*meshes, _post_before(meshes[1])]
    hidden = hidden_percent(everything, camera.focal_px, centre, SIZE)[:count]
    horizon = centre[1] - camera.focal_px[1] * np.tan(np.deg2rad(camera.pitch_deg))
    picture = paint(everything, camera.focal_px, centre, background(rng, SIZE, float(horizon)))
    folder = f"train_{shot.part}" if shot.split == "train" else "validation"
    image_path = f"{folder}/{shot.name.removesuffix('.png')}_1280x720.png"
    write_picture(root / image_path, picture)
    truth = [
        TruePerson(
            split=shot.split,
            sequence="",
            frame=shot.name.removesuffix(".png"),
            person=str(number),
            is_kept=hidden[number] <= _INVALID_ABOVE_PERCENT,
            reject_hint="" if hidden[number] <= _INVALID_ABOVE_PERCENT else "invalid",
            kind="smplx",
            gender=scan.person.gender,
            image_path=image_path,
            image_size_px=SIZE,
            focal_px=camera.focal_px,
            principal_point_px=centre,
            vertices_cam_m=meshes[number].vertices_cam_m,
            joints_cam_m=joints[number],
            joints_px=project(joints[number], camera.focal_px, centre),
            joint_names=SMPLX_144,
            has_left_hand=True,
            has_right_hand=True,
            has_face=True,
        )
        for number, scan in enumerate(scans)
    ]
    # What the name already says is not to be read from the frame, so it is wrong there.
    stated = (999.0, -999.0, 99.0, 9.0) if is_named else (*camera.position_cm, camera.yaw_deg)
    unreal_cm = np.stack([ground[:, 2], ground[:, 0], -ground[:, 1]], 1) * 100.0
    scale = LABEL_SIZE[0] / SIZE[0]
    labelled = [true.joints_cam_m[:_NUM_LABELLED] for true in truth]
    row = {
        "imgPath": shot.name,
        **{axis: unreal_cm[:, k].tolist() for k, axis in enumerate("XYZ")},
        "Yaw": yaw_deg.tolist(),
        **dict(zip(("camX", "camY", "camZ", "camYaw"), map(float, stated), strict=True)),
        "gender": [scan.gender for scan in scans],
        "kid": [scan.is_kid for scan in scans],
        "age": ["kid" if scan.is_kid else "31-50" for scan in scans],
        "ethnicity": ["unknown"] * count,
        "occlusion": hidden,
        "isValid": [percent <= _INVALID_ABOVE_PERCENT for percent in hidden],
        "gt_path_smplx": [f"smplx_gt/{scan.path}.obj" for scan in scans],
        "gt_path_smpl": [f"smpl_gt/{scan.path}.obj" for scan in scans],
        "gt_joints_2d": [project(points, camera.focal_px * scale, centre * scale) for points in labelled],
        "gt_joints_3d": labelled,
        "gt_verts": [true.vertices_cam_m.astype(np.float32) for true in truth],
    }
    return row, truth


def _post_before(mesh: Mesh) -> Mesh:
    """A post that hides the whole of a person from the camera."""
    depth = float(mesh.vertices_cam_m[:, 2].min()) - 0.15
    x, y, width, height = tight_box(mesh.vertices_cam_m[:, :2] / mesh.vertices_cam_m[:, 2:]) * depth
    return Wall(x - 0.03, x + width + 0.03, y - 0.03, y + height + 0.03, depth).mesh()
