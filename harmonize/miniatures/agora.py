"""AGORA in miniature: DataFrame pickles, scan fits, and 1280x720 pictures under the official names.

Every scan has an SMPL-X fit of its gender with a neutral refit (form "smplx"), and a neutral SMPL fit: a pickle of
torch tensors, some of a GPU (form "smpl"). Each picture uses another rule for the camera. One person of each picture
stands behind a post and is marked invalid, a child of either sex is there, and an adult fit carries an eleventh beta
that must not be taken for a kid weight.
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
from harmonize.miniatures import torch_pickles
from harmonize.miniatures.agora_cameras import FOREST, NAMED, WIDTH_PX, UnrealCamera
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.refit import neutral_refit
from harmonize.miniatures.scene import Wall, clothes, hidden_percent, paint, write_picture
from harmonize.miniatures.studio import StudioCamera, as_smpl, plain_wall, see, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import (
    Y_UP_TO_Y_DOWN,
    Person,
    model_of,
    random_person,
    relative_hands_of,
    stand,
)
from harmonize.record import Gender
from harmonize.render import Mesh

SIZE, LABEL_SIZE = (WIDTH_PX, 720), (3840, 2160)
_NUM_LABELLED = 127  # joints of the frames: no face contour; SMPL has no more than 45
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
    """A fitted scan: SMPL-X `person`, its neutral `refit` and neutral `smpl` stand in the scan's own frame (y up);
    `path` is relative to smplx_gt and smpl_gt, without suffix."""

    path: str
    person: Person
    refit: Person
    smpl: Person
    gender: Gender
    has_stray_beta: bool = False

    @property
    def is_kid(self) -> bool:
        return self.person.kid_weight > 0

    def fits(self) -> dict[str, Person]:
        """What each form says of the scan."""
        return {"smplx": self.person, "smpl": self.smpl}

    def betas(self, person: Person) -> Floats:
        """(1, 10 | 11) as the fits store them: the weight of the kid template, or a beta that is not to be used."""
        tail = [person.kid_weight] if self.is_kid else [0.7] if self.has_stray_beta else []
        return np.concatenate([person.betas, tail])[None]


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
    """Writes the layout under root (the folder AGORA) with about `people` people, four a picture, at least 20; all have
    both fits."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 3])
    truth: list[TruePerson] = []
    rows: dict[tuple[str, int], list[_Row]] = {}
    for shot in _shots(rng, max(4, people // 4 - 1)):
        folder = "train" if shot.split == "train" else "validation"
        scans = [_scan(rng, models, folder, len(truth) // 2 + slot, slot) for slot in range(4)]
        for number, scan in enumerate(scans):
            _write_fits(root, models, scan)
            _write_smpl_fit(root, scan, "cuda:0" if number % 2 else "cpu")
        row, seen = _shoot(rng, models, shot, scans, root)
        rows.setdefault((shot.split, shot.part), []).append(row)
        truth.extend(seen)
    for (split, part), content in rows.items():
        for family, kind in (("SMPLX", "smplx"), ("SMPL", "smpl")):
            labelled = [row.plain | row.labels[kind] for row in content]
            _write_table(root / family / f"{split}_{part}_withjv.pkl", labelled)
        _write_table(root / "Cam" / f"{split}_{part}.pkl", [row.plain for row in content])
    return Truth("agora", tuple(truth))


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pd.DataFrame({column: pd.Series([row[column] for row in rows], dtype=object) for column in rows[0]})
    table.columns = pd.Index(list(rows[0]), dtype=object)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_pickle(path, protocol=4)


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
    refit = neutral_refit(models, person)
    smpl = as_smpl(models, refit)
    smpl.pose_aa[22:] = rng.normal(0.0, 0.2, (2, 3))  # the hands that SMPL has: one joint each
    return _Scan(path, person, refit, smpl, gender, has_stray_beta=slot == 3)


def _write_fits(root: Path, models: BodyModels, scan: _Scan) -> None:
    for family, person in (("smplx_gt", scan.person), ("smplx_gt_neutral_gender", scan.refit)):
        path = root / family / f"{scan.path}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        left, right = relative_hands_of(models, person)
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
            "betas": scan.betas(person),
        }
        batched = {name: np.asarray(value, np.float32).reshape(1, -1) for name, value in fit.items()}
        path.write_bytes(pickle.dumps(batched, protocol=4))


def _write_smpl_fit(root: Path, scan: _Scan, device: str) -> None:
    """The pickle of the tool that turned SMPL-X into SMPL: tensors, under other names."""
    path = root / "smpl_gt" / f"{scan.path}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    smpl = scan.smpl
    fit = {
        "translation": smpl.transl_m[None],
        "root_pose": smpl.pose_aa[:1],
        "body_pose": smpl.pose_aa[1:].reshape(1, -1),
        "betas": scan.betas(smpl),
    }
    tensors = {name: torch_pickles.Tensor(value, device=device) for name, value in fit.items()}
    path.write_bytes(torch_pickles.dumps(tensors))


@dataclass(frozen=True, slots=True)
class _Row:
    """A picture's row: the columns of all frames, and those of joints and vertices for each body model."""

    plain: dict[str, Any]
    labels: dict[str, dict[str, Any]]


def _shoot(
    rng: np.random.Generator, models: BodyModels, shot: _Shot, scans: list[_Scan], root: Path
) -> tuple[_Row, list[TruePerson]]:
    """Places the scans and writes the picture. Returns the row of the frames, and the people of both forms."""
    camera, centre, count = shot.camera, np.array(SIZE) / 2, len(scans)
    is_named = any(kind in shot.name for kind in NAMED)
    nearest_m = 8.0 if camera.focal_mm == 50 else 3.0 if camera.pitch_deg == 30 else 4.5
    depth_m = nearest_m + np.array([0.2, 1.4, 0.6, 2.0]) + rng.uniform(0, 0.3, count)
    across_m = (np.array([-0.3, -0.08, 0.14, 0.35]) + rng.uniform(-0.02, 0.02, count)) * SIZE[0] * depth_m
    before_camera = np.stack([across_m / camera.focal_px[0], np.zeros(count), depth_m], 1)
    ground = camera.position_m + before_camera @ Rotation.from_euler("y", camera.yaw_deg, degrees=True).as_matrix().T
    ground[:, 1] = 0.0 if is_named else -camera.position_cm[2] / 100.0
    yaw_deg = camera.yaw_deg + 90.0 + rng.normal(0, 70, count)
    views = []
    for scan, spot, yaw in zip(scans, ground, yaw_deg, strict=True):
        turn = Rotation.from_euler("y", yaw - 90.0, degrees=True).as_matrix()
        scan_to_cam = StudioCamera(
            focal_px=camera.focal_px,
            principal_point_px=centre,
            size=SIZE,
            rotmat=camera.rotmat @ turn @ Y_UP_TO_Y_DOWN,
            transl_m=camera.rotmat @ (spot - camera.position_m),
        )
        views.append({kind: (see(models, person, scan_to_cam), scan_to_cam) for kind, person in scan.fits().items()})
    meshes = []
    for each in views:
        seen = each["smplx"][0]
        model = model_of(models, seen.person)
        meshes.append(Mesh(seen.vertices_cam_m, model.faces, clothes(rng, model)))
    everything = [*meshes, _post_before(meshes[1])]
    hidden = hidden_percent(everything, camera.focal_px, centre, SIZE)[:count]
    is_valid = [percent <= _INVALID_ABOVE_PERCENT for percent in hidden]
    horizon = centre[1] - camera.focal_px[1] * np.tan(np.deg2rad(camera.pitch_deg))
    picture = paint(everything, camera.focal_px, centre, plain_wall(rng, SIZE, float(horizon)))
    folder = f"train_{shot.part}" if shot.split == "train" else "validation"
    image_path = f"{folder}/{shot.name.removesuffix('.png')}_1280x720.png"
    write_picture(root / image_path, picture)
    truth = [
        true_person(
            *each[form],
            reject_hint="" if is_valid[number] else "invalid",
            split=shot.split,
            sequence="",
            frame=shot.name.removesuffix(".png"),
            person=str(number),
            form=form,
            image_path=image_path,
            has_left_hand=form == "smplx",
            has_right_hand=form == "smplx",
            has_face=form == "smplx",
        )
        for form in ("smplx", "smpl")
        for number, each in enumerate(views)
    ]
    # What the name already says is not to be read from the frame, so it is wrong there.
    stated = (999.0, -999.0, 99.0, 9.0) if is_named else (*camera.position_cm, camera.yaw_deg)
    unreal_cm = np.stack([ground[:, 2], ground[:, 0], -ground[:, 1]], 1) * 100.0
    plain = {
        "imgPath": shot.name,
        **{axis: unreal_cm[:, k].tolist() for k, axis in enumerate("XYZ")},
        "Yaw": yaw_deg.tolist(),
        **dict(zip(("camX", "camY", "camZ", "camYaw"), map(float, stated), strict=True)),
        "gender": [scan.gender for scan in scans],
        "kid": [scan.is_kid for scan in scans],
        "age": ["kid" if scan.is_kid else "31-50" for scan in scans],
        "ethnicity": ["unknown"] * count,
        "occlusion": hidden,
        "isValid": is_valid,
        "gt_path_smplx": [f"smplx_gt/{scan.path}.obj" for scan in scans],
        "gt_path_smpl": [f"smpl_gt/{scan.path}.obj" for scan in scans],
    }
    return _Row(plain, {kind: _labels([each[kind][0] for each in views]) for kind in ("smplx", "smpl")}), truth


def _labels(people: list[View]) -> dict[str, Any]:
    """The columns of joints and vertices, lists with an entry for each person."""
    scale = LABEL_SIZE[0] / SIZE[0]
    return {
        "gt_joints_2d": [seen.joints_px[:_NUM_LABELLED] * scale for seen in people],
        "gt_joints_3d": [seen.joints_cam_m[:_NUM_LABELLED] for seen in people],
        "gt_verts": [seen.vertices_cam_m.astype(np.float32) for seen in people],
    }


def _post_before(mesh: Mesh) -> Mesh:
    """A post that hides the whole of a person from the camera."""
    depth = float(mesh.vertices_cam_m[:, 2].min()) - 0.15
    x, y, width, height = tight_box(mesh.vertices_cam_m[:, :2] / mesh.vertices_cam_m[:, 2:]) * depth
    return Wall(x - 0.03, x + width + 0.03, y - 0.03, y + height + 0.03, depth).mesh()
