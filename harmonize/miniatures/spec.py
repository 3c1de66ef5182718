"""SPEC in miniature: SPEC-SYN's renderings of several people (train, test) and SPEC-MTP's photographs (mtp_test).

Traps: nobody's translation is there, `cam_trans` is the scene's; the root is in a world without yaw, whose y points
down; `pose_0yaw_inverseyz` beside `pose`, or alone; `pose_cam` in SPEC-MTP; predicted cameras beside true ones; focal
lengths in three shapes; joints `S` of another size; the head where OpenPose has the nose; one person whose points are
somebody else's, and one without any.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.labels import points_cam_m, points_px
from harmonize.miniatures.points import Floats, padded, tight_box
from harmonize.miniatures.scene import clothes, write_picture
from harmonize.miniatures.studio import StudioCamera, plain_wall, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import (
    Y_UP_TO_Y_DOWN,
    Person,
    StageCamera,
    model_of,
    moved,
    places,
    random_person,
    stand,
)

SIZE = (1920, 1080)
_OPENPOSE = tuple(
    {"nose_openpose": "head", "neck_openpose": "neck", "pelvis_openpose": "pelvis"}.get(name, name)
    for name in convention("openpose_25").names
)
_SPIN_24 = convention("spin_49").names[25:]
_SCALE_OF_S = 0.93
_NOISE_PX = 3.0


@dataclass(frozen=True, slots=True)
class _Shot:
    """A picture, its size, how many people it shows, and whom the 2D points miss: "" nobody."""

    name: str
    size: tuple[int, int]
    people: int
    missing: str = ""


@dataclass(frozen=True, slots=True)
class _File:
    """folder: of the release. trailing: axes behind (N,) of focal_length."""

    split: str
    folder: str
    npz: str
    trailing: tuple[int, ...]
    shots: tuple[_Shot, ...]


def _files(people: int) -> tuple[_File, ...]:
    more = [_Shot(f"train_images/ag_trainset_axyz_{number:05d}.png", SIZE, 2) for number in range(3, 3 + people // 2)]
    train = (
        _Shot("train_images/ag_trainset_renderpeople_00001.png", SIZE, 3),
        _Shot("train_images/ag_trainset_humanalloy_00002.png", SIZE, 2, missing="points"),
    )
    test = (
        _Shot("test_images/ag_validationset_3dpeople_00000.png", SIZE, 2),
        _Shot("test_images/ag_validationset_axyz_00001.png", SIZE, 2, missing="all"),
    )
    mtp = (_Shot("images/s01_a/IMG_0031.jpg", (360, 480), 1), _Shot("images/s02_b/view_2_crop_7.png", (480, 360), 1))
    return (
        _File("train", "spec-syn", "train.npz", (), (*train, *more)),
        _File("test", "spec-syn", "test.npz", (1,), test),
        _File("mtp_test", "spec-mtp", "test.npz", (2,), mtp),
    )


def write_spec(root: Path, *, seed: int = 0, people: int = 4, models: BodyModels | None = None) -> Truth:
    """Writes both releases under root, with at least `people` more than the eleven who show something special."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 24])
    truth: list[TruePerson] = []
    for file in _files(people):
        rows: list[dict[str, Any]] = []
        for shot in file.shots:
            for row, seen, camera, hint in _shoot(rng, models, file, shot, root):
                folder, _, name = shot.name.rpartition("/")
                truth.append(
                    true_person(
                        seen,
                        camera,
                        reject_hint=hint,
                        split=file.split,
                        sequence=folder,
                        frame=Path(name).stem,
                        person=str(len(rows)),
                        image_path=f"{file.folder}/{shot.name}",
                    )
                )
                rows.append(row)
        columns: dict[str, Any] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        columns["focal_length"] = np.broadcast_to(
            columns["focal_length"].reshape(-1, *(1 for _ in file.trailing)), (len(rows), *file.trailing)
        )
        path = root / file.folder / "annotations" / file.npz
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **columns)
    return Truth("spec", tuple(truth))


def _shoot(
    rng: np.random.Generator, models: BodyModels, file: _File, shot: _Shot, root: Path
) -> list[tuple[dict[str, Any], View, StudioCamera, str]]:
    """Writes a picture. Returns of each person the labels, what is seen, by which camera, and why not to keep it."""
    size = np.array(shot.size)
    stage = StageCamera(
        focal_px=np.full(2, size.max() * rng.uniform(0.7, 1.4)),
        principal_point_px=size / 2,
        size=shot.size,
        height_m=float(rng.uniform(1.2, 1.9)),
        pitch_rad=float(rng.uniform(-0.05, 0.2)),
        roll_rad=float(rng.uniform(-0.15, 0.15)),
    )
    camera = StudioCamera(
        focal_px=stage.focal_px,
        principal_point_px=stage.principal_point_px,
        size=shot.size,
        rotmat=stage.rotmat,
        transl_m=stage.transl_m,
    )
    near = 3.2 * stage.focal_px[1] / size[1]
    cast, seen = [], []
    for x, z, yaw in places(rng, stage, shot.people, near, 1.6 * near):
        cast.append(stand(models, random_person(rng, "smpl", "neutral"), x, z, yaw))
        seen.append(see(models, cast[-1], camera))
    outfits = [clothes(rng, model_of(models, person)) for person in cast]
    far_first = sorted(range(len(cast)), key=lambda k: -seen[k].vertices_cam_m[:, 2].mean())
    shown = [seen[k] for k in far_first], [outfits[k] for k in far_first]
    write_picture(
        root / file.folder / shot.name, take(models, camera, *shown, plain_wall(rng, shot.size, stage.horizon_px()))
    )
    scene_transl = rng.uniform(-2, 2, 3)
    found = []
    for number, (person, one) in enumerate(zip(cast, seen, strict=True)):
        row = _labels(rng, models, file, shot, stage, person, one) | {"cam_trans": scene_transl}
        hint = ""
        if shot.missing and number == 1:
            hint = "no-transl"
            others = points_px(seen[0], _OPENPOSE)[::-1]
            row["openpose_gt"] = _with(others, 1.0) if shot.missing == "points" else np.zeros((25, 3), np.float32)
        found.append((row, one, camera, hint))
    return found


def _labels(
    rng: np.random.Generator,
    models: BodyModels,
    file: _File,
    shot: _Shot,
    stage: StageCamera,
    on_stage: Person,
    seen: View,
) -> dict[str, Any]:
    """A person's row. x_cam = cam_rotmat x_world + something unknown."""
    in_world = moved(models, on_stage, Y_UP_TO_Y_DOWN, np.zeros(3))
    tilt = stage.rotmat @ Y_UP_TO_Y_DOWN
    joints = points_cam_m(seen, _SPIN_24) @ tilt
    exact = points_px(seen, _OPENPOSE)
    box = padded(tight_box(exact), 1.2)
    (fx, fy), (cx, cy) = stage.focal_px, stage.principal_point_px
    detected = _with(exact + rng.normal(0.0, _NOISE_PX, exact.shape), rng.uniform(0.3, 0.95, 25))
    row: dict[str, Any] = {
        "imgname": shot.name,
        "center": box[:2] + box[2:] / 2,
        "scale": box[2:].max() / 200.0,
        "shape": in_world.betas.astype(np.float32),
        "part": _with(points_px(seen, _SPIN_24), 1.0),
        "openpose": detected,
        "openpose_gt": _with(exact, 1.0),
        "mmpose_keypoints": detected[:17],
        "S": _with(_SCALE_OF_S * (joints - joints[14]), 1.0),
        "focal_length": fx,
        "cam_rotmat": tilt,
        "cam_center": stage.principal_point_px,
        "cam_int": np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]),
        "cam_pitch": stage.pitch_rad,
        "cam_roll": stage.roll_rad,
        "cam_hfov": 2 * np.arctan(stage.size[0] / 2 / fx),
        "camcalib_pitch": stage.pitch_rad + 0.1,
        "camcalib_roll": stage.roll_rad - 0.05,
        "camcalib_vfov": 2 * np.arctan(stage.size[1] / 2 / fy) * 1.15,
        "camcalib_f_pix": 0.85 * fy,
    }
    pose = in_world.pose_aa.ravel().astype(np.float32)
    if file.split == "test":
        return row | {"pose_0yaw_inverseyz": pose}
    turned = pose.copy()
    turned[:3] = on_stage.pose_aa[0]
    if file.split == "mtp_test":
        return row | {"pose": turned, "pose_cam": seen.person.pose_aa.ravel().astype(np.float32)}
    return row | {"pose": pose, "pose_0yaw_inverseyz": turned}


def _with(points: Floats, confidence: Floats | float) -> Floats:
    """(K, D + 1) float32, the last column the confidence."""
    column = np.broadcast_to(np.asarray(confidence, np.float64), (len(points),))
    return np.column_stack([points, column]).astype(np.float32)
