"""MTP in miniature: photographs, OpenPose's detections, SMPLify-XMC fits (form "smplx"), their SMPL copies ("smpl").

Traps: focal length and centre belong to a picture 500 px high whose width was floored; pickles that name torch, some a
GPU; gendered models, hands of twelve components without the mean hand; `vertices` before the camera's rotation; SMPL
fits without camera or translation; another person first among the detections, or nobody; a fit or a picture that is
not there.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.openpose import detect, openpose_json
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.scene import background, write_picture
from harmonize.miniatures.smplifyx import as_smpl, hand_coefficients, with_pca_hands
from harmonize.miniatures.torch_pickles import Tensor, dumps
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, facing, paint_views, seen_by, true_person
from harmonize.miniatures.world import Person, moved, project, random_person, rest_pelvis_of, vertices_of
from harmonize.miniatures.world_fits import write_json
from harmonize.record import Gender

FIT_HEIGHT_PX = 500
_NOISE_PX = 1.0
_SIZES = ((181, 240), (240, 320), (301, 400), (320, 240))
_SUBSETS = ("agora", "amass", "scan2pose")
_HINTS = {4: "bystander", 6: "no-detection", 8: "no-fit", 9: "image-missing"}
"""What is special about the people of these numbers; a bystander is no reason not to keep somebody."""


@dataclass(frozen=True, slots=True)
class _Photograph:
    number: int
    gender: Gender
    size: tuple[int, int]

    @property
    def subset(self) -> str:
        return _SUBSETS[self.number % len(_SUBSETS)]

    @property
    def stem(self) -> str:
        """Image, subset of the presented pose, presented pose, subject."""
        return f"{1000 + 37 * self.number}_{self.subset}_{self.pose}_subject{self.number // 2:02d}"

    @property
    def pose(self) -> str:
        return f"pose{10 + self.number // 3}"


def write_mtp(root: Path, *, seed: int = 0, people: int = 12, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder mtp) with `people` pictures, every fourth for validation."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 25])
    truth: list[TruePerson] = []
    splits: dict[str, list[str]] = {"train": [], "val": []}
    meta: dict[str, Any] = {}
    for number in range(people):
        gender: Gender = ("male", "female")[number // 2 % 2]
        photograph = _Photograph(number, gender, _SIZES[number % len(_SIZES)])
        split = "val" if number % 4 == 3 else "train"
        splits[split].append(photograph.stem)
        meta[photograph.stem] = {
            "SubjectGender": gender,
            "SubjectHeightMeter": round(float(rng.uniform(1.5, 1.95)), 2),
            "SubjectWeightKg": round(float(rng.uniform(48, 95)), 1),
        }
        truth += _write_person(rng, models, photograph, split, root)
    write_json(root / "train_val_split.json", splits)
    write_json(root / "subject_meta.json", meta)
    return Truth("mtp", tuple(truth))


def _write_person(
    rng: np.random.Generator, models: BodyModels, photograph: _Photograph, split: str, root: Path
) -> list[TruePerson]:
    special = _HINTS.get(photograph.number, "")
    hint = "" if special == "bystander" else special
    seen = _pose_before_camera(rng, models, photograph)
    home = f"{photograph.subset}/{photograph.stem}"
    image = f"images/{home}.png"
    if special != "image-missing":
        horizon = 0.6 * photograph.size[1]
        write_picture(root / image, paint_views(rng, models, [seen], background(rng, photograph.size, horizon)))
    write_json(root / "keypoints" / "openpose" / f"{home}.json", _detections(rng, seen, photograph.size, special))
    _write_presented_pose(rng, root / "presented_pose" / "params" / photograph.subset / f"{photograph.pose}.npz", seen)

    rotmat = _camera_rotation(rng)
    pelvis = rest_pelvis_of(models, seen.person)
    offset = seen.person.transl_m + pelvis - rotmat @ pelvis  # so that the body itself has no translation
    stored = moved(models, seen.person, rotmat.T, -rotmat.T @ offset)
    smpl = replace(as_smpl(models, stored), gender="neutral")
    if special != "no-fit":
        folder = root / "smplify-xmc"
        fit = _fit(models, photograph, seen, stored, (rotmat, offset), "cuda:0" if photograph.number % 3 else "cpu")
        _write(folder / "smplx" / "params" / f"{home}.pkl", dumps(fit))
        copy = {"pose": smpl.pose_aa.ravel(), "betas": smpl.betas}
        _write(folder / "smpl" / "params" / f"{home}.pkl", pickle.dumps(copy, 2))
    before = moved(models, smpl, rotmat, offset)
    stated: dict[str, Any] = {"split": split, "sequence": photograph.subset, "frame": photograph.stem, "person": "0"}
    stated |= {"image_path": image, "image_size_px": photograph.size, "has_body": special != "no-fit"}
    as_copy = seen_by(models, before, seen.focal_px, seen.principal_point_px, seen.box_xywh)
    has_hands = special != "no-fit"
    return [
        true_person(seen, reject_hint=hint, form="smplx", has_left_hand=has_hands, has_right_hand=has_hands, **stated),
        true_person(as_copy, reject_hint=hint or "no-transl", form="smpl", **stated),
    ]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _fit_camera(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """(focal, centre) on the resized picture; the centre is half of its size in whole pixels."""
    width = int(size[0] * FIT_HEIGHT_PX / size[1])
    return 2170.0 + rng.uniform(-120, 120, 2), np.array([width, FIT_HEIGHT_PX]) / 2


def _pose_before_camera(rng: np.random.Generator, models: BodyModels, photograph: _Photograph) -> View:
    person = random_person(rng, "smplx", photograph.gender)
    person = with_pca_hands(rng, models, replace(person, expression=np.zeros(10)))
    person.pose_aa[22:25] = 0.0
    upright, vertices = facing(rng, models, person)
    scale = photograph.size[1] / FIT_HEIGHT_PX
    focal, centre = (scale * values for values in _fit_camera(rng, photograph.size))
    depth = focal[1] * np.ptp(vertices[:, 1]) / (rng.uniform(0.75, 0.88) * photograph.size[1])
    middle = np.array([*(vertices.min(0) + vertices.max(0))[:2] / 2, 0.0])
    place = np.array([*rng.uniform(-0.06, 0.06, 2), depth]) - middle
    box = tight_box(project(vertices + place, focal, centre), photograph.size)
    return seen_by(models, replace(upright, transl_m=upright.transl_m + place), focal, centre, box)


def _camera_rotation(rng: np.random.Generator) -> Floats:
    """Rz(roll) Ry(yaw) Rx(pitch)."""
    pitch, yaw, roll = rng.uniform((-0.3, -0.5, -0.2), (0.3, 0.5, 0.2))
    return np.asarray(Rotation.from_euler("xyz", [pitch, yaw, roll]).as_matrix())


def _fit(
    models: BodyModels,
    photograph: _Photograph,
    seen: View,
    stored: Person,
    to_cam: tuple[Floats, Floats],
    device: str,
) -> dict[str, Any]:
    """The pickle: every array with a leading 1, the camera's centre and focal lengths as torch left them."""
    left, right = hand_coefficients(models, stored)
    rotmat, offset = to_cam
    pitch, yaw, roll = Rotation.from_matrix(rotmat).as_euler("xyz")
    scale = FIT_HEIGHT_PX / photograph.size[1]
    fx, fy = scale * seen.focal_px
    arrays = {
        "betas": stored.betas,
        "global_orient": stored.pose_aa[0],
        "body_pose": stored.pose_aa[1:22].ravel(),
        "left_hand_pose": left,
        "right_hand_pose": right,
        "jaw_pose": np.zeros(3),
        "leye_pose": np.zeros(3),
        "reye_pose": np.zeros(3),
        "expression": np.zeros(10),
        "transl": np.zeros(3),
        "camera_translation": offset,
        "camera_pitch": pitch,
        "camera_roll": roll,
        "camera_yaw": yaw,
        "camera_focal_length_x": fx,
        "camera_focal_length_y": fy,
    }
    fit: dict[str, Any] = {key: np.asarray(value, np.float32).reshape(1, -1) for key, value in arrays.items()}
    return fit | {
        "camera_rotation": rotmat[None].astype(np.float32),
        "camera_center": Tensor(scale * seen.principal_point_px[None], device=device),
        "focal_length_x": Tensor(np.array([[fx]]), is_parameter=True, device=device),
        "focal_length_y": Tensor(np.array([[fy]]), is_parameter=True, device=device),
        "vertices": vertices_of(models, stored).astype(np.float32),
    }


def _detections(rng: np.random.Generator, seen: View, size: tuple[int, int], special: str) -> dict[str, object]:
    found = [] if special == "no-detection" else [detect(rng, seen.joint_names, seen.joints_px, size, _NOISE_PX)]
    if special == "bystander":
        corner = np.array(size) * (0.02, 0.55)
        small = corner + 0.35 * (seen.joints_px - seen.joints_px.min(0))
        found.insert(0, detect(rng, seen.joint_names, small, size, _NOISE_PX))
    return openpose_json(found)


def _write_presented_pose(rng: np.random.Generator, path: Path, seen: View) -> None:
    """What the participant imitates; several share one. Six hand components, and vertices that touch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        body_pose=seen.person.pose_aa[1:22].reshape(1, 63),
        left_hand_pose=rng.normal(0.0, 0.3, (1, 6)),
        right_hand_pose=rng.normal(0.0, 0.3, (1, 6)),
        contact=rng.choice(10475, 40, replace=False),
    )
