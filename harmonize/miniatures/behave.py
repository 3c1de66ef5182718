"""BEHAVE in miniature: SMPL-H in the frame of Kinect 1, bent lenses, and OpenPose on the bent pictures.

Extrinsics map each Kinect to the world. Frames of the 1 fps release (form "frames") end in .000; one has a fit that was
not accepted, one lacks a picture and a file of detections. The 30 fps parameters (form "30fps") also speak of frames
that were extracted from the videos, and of one that was not. Paths in info.json lead out of the sequence's folder, one
of the objects lies under another name, and a recording knows three Kinects with a gap in their numbers.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.openpose import detect
from harmonize.miniatures.points import Floats, pick
from harmonize.miniatures.rig import camera_at, lens, seen_from
from harmonize.miniatures.scene import background, clothes, write_picture
from harmonize.miniatures.studio import StudioCamera, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import Person, joints_of, model_of, moved, random_person, stand
from harmonize.record import Gender

SIZE = (512, 384)
_WORLD = 1
"""The Kinect whose colour camera is the world."""
_RATIONAL = np.array([0.51, -2.66, 0.0006, -0.0002, 1.55, 0.39, -2.48, 1.47])
_NOISE_PX, _NOISE_M = 0.8, 0.01


@dataclass(frozen=True, slots=True)
class _Frame:
    """A moment of a sequence: whether it has a fit of the 1 fps release, and pictures (beside those missing)."""

    time: str
    fit: str = "fit02"
    has_pictures: bool = True
    unpictured: int | None = None
    undetected: int | None = None

    @property
    def is_second(self) -> bool:
        return self.time.endswith(".000")


@dataclass(frozen=True, slots=True)
class _Sequence:
    split: str
    name: str
    gender: Gender
    kinects: tuple[int, ...]
    object_folder: str
    frames: tuple[_Frame, ...]
    at_30fps: tuple[str, ...] = field(default=())

    @property
    def date(self) -> str:
        return self.name.split("_")[0]


_SEQUENCES = (
    _Sequence(
        "train",
        "Date01_Sub01_backpack_back",
        "male",
        (0, 1, 2, 3),
        "backpack",
        (
            _Frame("t0003.000"),
            _Frame("t0003.033", fit=""),
            _Frame("t0003.067", fit="", has_pictures=False),
            _Frame("t0004.000", fit="fit01"),
            _Frame("t0005.000", unpictured=0, undetected=3),
        ),
        at_30fps=("t0003.000", "t0003.033", "t0003.067"),
    ),
    _Sequence(
        "test",
        "Date03_Sub06_chairwood_hand",
        "female",
        (0, 2, 3),
        "chair",
        (_Frame("t0003.000"), _Frame("t0003.033", fit="")),
        at_30fps=("t0003.033",),
    ),
)


def write_behave(root: Path, *, seed: int = 0, people: int = 15, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder behave); more seconds of the test sequence for more than 15 people in
    form "frames"."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 24])
    lenses = [_intrinsics(rng, root, number) for number in range(4)]
    train, test = _SEQUENCES
    more = [_Frame(f"t{number:04d}.000") for number in range(6, 6 + -(-max(0, people - 15) // 3))]
    truth: list[TruePerson] = []
    for sequence in (train, replace(test, frames=(*test.frames, *more))):
        truth.extend(_record(rng, models, root, sequence, lenses))
    splits = {sequence.split: [sequence.name] for sequence in _SEQUENCES}
    (root / "split.json").write_text(json.dumps(splits))
    return Truth("behave", tuple(sorted(truth, key=lambda person: person.form, reverse=True)))


def _intrinsics(rng: np.random.Generator, root: Path, number: int) -> tuple[Floats, Floats, Floats]:
    """Writes a Kinect's calibration, the same on all dates. Returns focal_px, principal_point_px, distortion (12,)."""
    focal, centre = 244.0 + rng.uniform(-2, 2, 2), np.array(SIZE) / 2 + rng.uniform(-4, 4, 2)
    k = _RATIONAL * rng.uniform(0.97, 1.03, 8)
    color: dict[str, Any] = dict(zip(("fx", "fy", "cx", "cy"), (*focal.tolist(), *centre.tolist()), strict=True))
    color |= {"width": SIZE[0], "height": SIZE[1], "codx": 0.0, "cody": 0.0, "metric_radius": 1.7}
    color |= dict(zip(("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"), k.tolist(), strict=True))
    color["opencv"] = [*focal.tolist(), *centre.tolist(), *k.tolist()]
    between = {"rotation": np.eye(3).ravel().tolist(), "translation": [-0.032, -0.002, 0.004]}
    folder = root / "calibs" / "intrinsics" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"color": color, "depth": color, "color_to_depth": between, "depth_to_color": between}
    (folder / "calibration.json").write_text(json.dumps(content))
    return focal, centre, lens(*k)


def _cameras(
    rng: np.random.Generator, root: Path, sequence: _Sequence, lenses: list[tuple[Floats, Floats, Floats]]
) -> tuple[StudioCamera, list[StudioCamera]]:
    """Writes a date's extrinsics. Returns the world's Kinect on the stage, and all Kinects in its frame."""
    stage = [
        camera_at(
            1.5 * number + float(rng.uniform(-0.2, 0.2)),
            2.5,
            size=SIZE,
            focal_px=focal,
            principal_point_px=centre,
            distortion=distortion,
            height_m=1.4,
            roll_rad=float(rng.uniform(-0.05, 0.05)),
        )
        for number, (focal, centre, distortion) in enumerate(lenses)
    ]
    world = stage[_WORLD]
    cameras = [seen_from(camera, world.rotmat, world.transl_m) for camera in stage]
    for number, camera in enumerate(cameras):
        folder = root / "calibs" / sequence.date / "config" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        to_world = {
            "rotation": camera.rotmat.T.ravel().tolist(),
            "translation": (-camera.rotmat.T @ camera.transl_m).tolist(),
        }
        (folder / "config.json").write_text(json.dumps(to_world))
    return world, cameras


def _record(
    rng: np.random.Generator,
    models: BodyModels,
    root: Path,
    sequence: _Sequence,
    lenses: list[tuple[Floats, Floats, Floats]],
) -> list[TruePerson]:
    world, cameras = _cameras(rng, root, sequence, lenses)
    _write_info(root, sequence)
    person = random_person(rng, "smplh", sequence.gender)
    outfit = clothes(rng, model_of(models, person))
    motion = rng.normal(0.0, 0.04, (52, 3))
    behind = background(rng, SIZE, 160.0)
    truth, fast = [], {}
    for step, frame in enumerate(sequence.frames):
        posed = replace(person, pose_aa=person.pose_aa + step * motion)
        placed = stand(models, posed, 0.1 * step, 0.0, 0.5 * step + 1.0)
        in_world = moved(models, placed, world.rotmat, world.transl_m)
        if frame.time in sequence.at_30fps:
            fast[frame.time] = in_world
        folder = root / "sequences" / sequence.name / frame.time
        if frame.fit:
            _write_fit(rng, models, folder, frame.fit, in_world)
        for number in sequence.kinects:
            seen = see(models, in_world, cameras[number])
            name = f"k{number}.color.jpg"
            has_picture = frame.has_pictures and number != frame.unpictured
            if has_picture:
                write_picture(folder / name, take(models, cameras[number], [seen], [outfit], behind))
            if frame.is_second and number != frame.undetected:
                _write_detections(rng, folder / f"k{number}.color.json", seen)
            stated: dict[str, Any] = {
                "split": sequence.split,
                "sequence": f"{sequence.name}/k{number}",
                "frame": frame.time,
                "person": "0",
                "image_path": f"sequences/{sequence.name}/{frame.time}/{name}",
                "distortion": lenses[number][2],
                "has_left_hand": True,
                "has_right_hand": True,
            }
            missing = "" if has_picture else "image-missing"
            if frame.is_second:
                hint = missing if frame.fit == "fit02" else "no-fit"
                has_body = frame.fit == "fit02"
                truth.append(
                    true_person(seen, cameras[number], reject_hint=hint, form="frames", has_body=has_body, **stated)
                )
            if frame.time in sequence.at_30fps:
                truth.append(true_person(seen, cameras[number], reject_hint=missing, form="30fps", **stated))
    _write_object(root, sequence)
    _write_30fps(root, sequence, fast)
    return truth


def _info(sequence: _Sequence) -> dict[str, Any]:
    calibs = "../../calibs"
    return {
        "config": f"{calibs}/{sequence.date}/config",
        "intrinsic": f"{calibs}/intrinsics",
        "empty": f"{calibs}/{sequence.date}/background",
        "cat": sequence.name.split("_")[2],
        "gender": sequence.gender,
        "kinects": list(sequence.kinects),
        "beta": None,
    }


def _write_info(root: Path, sequence: _Sequence) -> None:
    folder = root / "sequences" / sequence.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "info.json").write_text(json.dumps(_info(sequence)))


def _parameters(person: Person) -> dict[str, Floats]:
    values = {"pose": person.pose_aa.ravel(), "betas": person.betas, "trans": person.transl_m}
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _write_fit(rng: np.random.Generator, models: BodyModels, folder: Path, fit: str, in_world: Person) -> None:
    (folder / "person" / fit).mkdir(parents=True, exist_ok=True)
    (folder / "person" / fit / "person_fit.pkl").write_bytes(pickle.dumps(_parameters(in_world), protocol=4))
    names = convention("openpose_25").names
    points = pick(names, model_of(models, in_world).joint_names, joints_of(models, in_world))
    points = points + rng.normal(0.0, _NOISE_M, points.shape)
    scored = np.column_stack([points, rng.uniform(0.5, 0.95, len(points))])
    (folder / "person" / "person_J3d.json").write_text(json.dumps({"body_joints3d": scored.ravel().tolist()}))


def _write_detections(rng: np.random.Generator, path: Path, seen: View) -> None:
    found = detect(rng, seen.joint_names, seen.joints_px, SIZE, _NOISE_PX)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({f"{part}_joints": points.ravel().tolist() for part, points in found.items()}))


def _write_object(root: Path, sequence: _Sequence) -> None:
    name = sequence.object_folder
    path = root / "sequences" / sequence.name / "t0003.000" / name / "fit01" / f"{name}_fit.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"angle": np.zeros(3, np.float32), "trans": np.ones(3, np.float32)}, protocol=4))


def _write_30fps(root: Path, sequence: _Sequence, people: dict[str, Person]) -> None:
    folder = root / "behave-30fps-params-v1" / sequence.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "info.json").write_text(json.dumps(_info(sequence)))
    rows = [_parameters(person) for person in people.values()]
    columns: dict[str, Any] = {
        "poses": np.array([row["pose"] for row in rows]),
        "betas": np.array([row["betas"] for row in rows]),
        "trans": np.array([row["trans"] for row in rows]),
        "frame_times": np.array(list(people)),
    }
    np.savez(folder / "smpl_fit_all.npz", **columns)
