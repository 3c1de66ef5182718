"""Human3.6M in miniature: the official archives (form "cdf"), and the parsed jsons with NeuralAnnot's fits.

One metadata.xml, one lens a camera: all pictures are raw frames, bent by it. Traps: fits in the world frame with
`trans` in metres beside joints in millimetres; frame_idx from 0 and file numbers from 1; ids that start anew in each
file; a frame without a fit; S9 Greeting, whose labels stand 200 mm off along the world's x; S11's second Directions,
whose first camera is damaged in one release and absent in the other; `_ALL` recordings, which are no action; videos
with a frame more than there are poses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.films import write_film
from harmonize.miniatures.h36m_studio import CAMERAS, Rig, build, file_prefix, perform, write_metadata
from harmonize.miniatures.labels import points_cam_m
from harmonize.miniatures.matlab import write_mat73
from harmonize.miniatures.points import Floats, padded, tight_box
from harmonize.miniatures.scene import write_picture
from harmonize.miniatures.studio import StudioCamera, as_smpl, plain_wall, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import Person
from harmonize.miniatures.world_fits import nested, smpl_entry, smplx_entry, write_json

SHIFT_X_M = 0.2
"""By how much the labels of a few recordings of S9 are off along the world's x."""
_SHIFTED = ("S9", 5, 2)
_BROKEN = ("S11", 2, 2, CAMERAS[0])
_SPLITS = {"S9": "test", "S11": "test"}
_LEG = ("hip", "knee", "ankle", "foot", "bigtoe")
_ARM = ("shoulder", "elbow", "wrist", "wrist", "thumb", "middle", "wrist")
JOINTS_32 = (
    "pelvis",
    *(f"right_{part}" for part in _LEG),
    *(f"left_{part}" for part in _LEG),
    *("pelvis", "spine_2", "neck", "nose", "headtop"),
    *("neck", *(f"left_{part}" for part in _ARM)),
    *("neck", *(f"right_{part}" for part in _ARM)),
)
"""The body models' joints nearest to the 32 of the cdf files; some are given twice, as there."""
JOINTS_17 = tuple(JOINTS_32[row] for row in (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27))
"""Those of the json files: the right leg first."""


@dataclass(frozen=True, slots=True)
class _Recording:
    """frames: as listed in the jsons, or 0, 1, ... in the archives. cameras: numbers from 1."""

    subject: str
    action: int
    subaction: int
    frames: tuple[int, ...]
    cameras: tuple[int, ...] = (1, 2, 3, 4)
    without_fit: tuple[int, ...] = ()

    @property
    def label_shift_m(self) -> Floats:
        is_off = (self.subject, self.action, self.subaction) == _SHIFTED
        return np.array([SHIFT_X_M if is_off else 0.0, 0.0, 0.0])

    def hint(self, camera: str) -> str:
        return "image-missing" if (self.subject, self.action, self.subaction, camera) == _BROKEN else ""


_FILMED = (
    _Recording("S1", 2, 1, (0, 1)),
    _Recording("S7", 5, 2, (0,)),
    _Recording("S9", 5, 2, (0,)),
    _Recording("S11", 2, 2, (0,)),
)


def _parsed(people: int) -> tuple[_Recording, ...]:
    return (
        _Recording("S1", 2, 1, tuple(range(0, 5 * max(2, (people - 7) // 2), 5)), (1, 2)),
        _Recording("S5", 3, 2, (10, 15), (3, 4), without_fit=(15,)),
        _Recording("S9", 5, 2, (0,), (2, 3)),
        _Recording("S11", 2, 2, (25,), (1, 2)),
    )


def write_h36m(root: Path, *, seed: int = 0, people: int = 12, models: BodyModels | None = None) -> Truth:
    """Writes both releases under root, with at least `people` annotations in the jsons."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 20])
    rig = build(rng)
    write_metadata(root / "metadata.xml", rig)
    truth: list[TruePerson] = []
    for recording in _FILMED:
        truth += _write_archive(rng, models, rig, recording, root)
    _write_all_recording(rng, models, rig, root)
    by_subject: dict[str, list[_Recording]] = {}
    for recording in _parsed(people):
        by_subject.setdefault(recording.subject, []).append(recording)
    for subject, recordings in by_subject.items():
        truth += _write_parsed(rng, models, rig, subject, recordings, root)
    return Truth("h36m", tuple(truth))


# --- the official archives -------------------------------------------------------------------------------------------


def _write_archive(
    rng: np.random.Generator, models: BodyModels, rig: Rig, recording: _Recording, root: Path
) -> list[TruePerson]:
    subject, name = recording.subject, file_prefix(recording.subject, recording.action, recording.subaction)
    people, outfit = perform(rng, models, len(recording.frames))
    labelled = _shifted(people, recording.label_shift_m)
    _write_poses(models, [rig.camera(subject, name) for name in CAMERAS], labelled, root / subject, name)
    truth = []
    for camera_name in CAMERAS:
        camera = rig.camera(subject, camera_name)
        seen = [see(models, person, camera) for person in people]
        video = Path(subject, "Videos", f"{name}.{camera_name}.mp4")
        wall = plain_wall(rng, camera.size, 0.55 * camera.size[1])
        pictures = [take(models, camera, [one], [outfit], wall) for one in seen]
        write_film(root / video, [*pictures, pictures[-1]], 50)
        hint = recording.hint(camera_name)
        if hint:
            whole = (root / video).read_bytes()
            (root / video).write_bytes(whole[: len(whole) // 3])
        for frame, one in enumerate(seen):
            truth.append(
                true_person(
                    one,
                    camera,
                    reject_hint=hint,
                    form="cdf",
                    split=_SPLITS.get(subject, "train"),
                    sequence=f"{subject}/{name}.{camera_name}",
                    frame=f"{frame:06d}",
                    person="0",
                    image_path=f"{video}#{frame}",
                    has_body=False,
                    note="labels 200 mm off along x" if recording.label_shift_m.any() else "",
                    distortion=rig.intrinsics[camera_name].distortion(),
                )
            )
    return truth


def _write_all_recording(rng: np.random.Generator, models: BodyModels, rig: Rig, root: Path) -> None:
    """Calibration takes of all markers: files like those of an action, which belong to none."""
    people, _ = perform(rng, models, 1)
    name = file_prefix("S1", 1, 1)
    _write_poses(models, [rig.camera("S1", camera) for camera in CAMERAS], people, root / "S1", name)
    picture = plain_wall(rng, (1000, 1002), 550.0)
    write_film(root / "S1" / "Videos" / f"{name}.{CAMERAS[0]}.mp4", [picture], 50)


def _write_poses(
    models: BodyModels, cameras: Sequence[StudioCamera], people: Sequence[Person], folder: Path, name: str
) -> None:
    poses = folder / "MyPoseFeatures"
    for camera_name, camera in zip(CAMERAS, cameras, strict=True):
        seen = [see(models, person, camera) for person in people]
        joints = [points_cam_m(one, JOINTS_32) for one in seen]
        pixels = [camera.to_pixels(points) for points in joints]
        universal = [points[0] + 0.93 * (points - points[0]) for points in joints]
        stem = f"{name}.{camera_name}"
        _write_cdf(poses / "D2_Positions" / stem, pixels)
        _write_cdf(poses / "D3_Positions_mono" / stem, [1000 * points for points in joints])
        _write_cdf(poses / "D3_Positions_mono_universal" / stem, [1000 * points for points in universal])
        masks = [_box_mask(one.box_xywh, camera.size).T for one in seen]
        write_mat73(folder / "MySegmentsMat" / "ground_truth_bb" / f"{stem}.mat", {"Masks": masks})
    world = [(points - camera.transl_m) @ camera.rotmat for points in joints]
    _write_cdf(poses / "D3_Positions" / name, [1000 * points for points in world])


def _box_mask(box_xywh: Floats, size: tuple[int, int]) -> Any:
    """(H, W) uint8: ones in the rectangle."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    left, top = np.floor(box_xywh[:2]).astype(int)
    right, bottom = np.ceil(box_xywh[:2] + box_xywh[2:]).astype(int)
    mask[top : bottom + 1, left : right + 1] = 1
    return mask


def _write_cdf(path: Path, points: Sequence[Floats]) -> None:
    """`Pose`: one record (F, 2 K or 3 K) of float32."""
    from cdflib.cdfwrite import CDF  # only whoever writes this miniature needs the package

    path = path.with_name(f"{path.name}.cdf")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.array([frame.ravel() for frame in points], np.float32)
    spec = {
        "Variable": "Pose",
        "Data_Type": CDF.CDF_REAL4,
        "Num_Elements": 1,
        "Rec_Vary": True,
        "Dim_Sizes": list(rows.shape),
    }
    file = CDF(str(path), cdf_spec={"Majority": "row_major", "Compressed": False}, delete=path.exists())
    file.write_var(spec, var_data=rows[None])
    file.close()
    # The time of writing, which gzip puts behind its magic number, would make every miniature another one.
    path.write_bytes(re.sub(rb"(\x1f\x8b\x08\x00).{4}", rb"\1\0\0\0\0", path.read_bytes(), flags=re.DOTALL))


def _shifted(people: Sequence[Person], offset_m: Floats) -> list[Person]:
    return [replace(person, transl_m=person.transl_m + offset_m) for person in people]


# --- the parsed release ----------------------------------------------------------------------------------------------


def _write_parsed(
    rng: np.random.Generator, models: BodyModels, rig: Rig, subject: str, recordings: Sequence[_Recording], root: Path
) -> list[TruePerson]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    joints: dict[str, Any] = {}
    fits: dict[str, dict[str, Any]] = {"SMPLX": {}, "SMPL": {}}
    truth: list[TruePerson] = []
    for recording in recordings:
        keys = recording.action, recording.subaction
        people, outfit = perform(rng, models, len(recording.frames))
        for frame, person in zip(recording.frames, people, strict=True):
            (labelled,) = _shifted([person], recording.label_shift_m)
            entry = _world_joints_mm(models, rig.camera(subject, CAMERAS[0]), labelled)
            nested(joints, *keys)[str(frame)] = entry.tolist()
            if frame not in recording.without_fit:
                nested(fits["SMPLX"], *keys)[str(frame)] = smplx_entry(labelled)
                nested(fits["SMPL"], *keys)[str(frame)] = smpl_entry(as_smpl(models, labelled))
        for number in recording.cameras:
            camera = rig.camera(subject, CAMERAS[number - 1])
            folder = f"s_{subject[1:]:0>2}_act_{recording.action:02d}_subact_{recording.subaction:02d}_ca_{number:02d}"
            wall = plain_wall(rng, camera.size, 0.55 * camera.size[1])
            hint = recording.hint(CAMERAS[number - 1])
            for frame, person in zip(recording.frames, people, strict=True):
                seen = see(models, person, camera)
                (labelled,) = _shifted([person], recording.label_shift_m)
                name = f"{folder}/{folder}_{frame + 1:06d}.jpg"
                images.append(_image(len(images), name, camera.size, recording, number, frame))
                annotations.append(_annotation(len(annotations), see(models, labelled, camera), camera))
                if not hint:
                    write_picture(root / "images" / name, take(models, camera, [seen], [outfit], wall))
                for form, one in (
                    ("neuralannot", seen),
                    ("neuralannot_smpl", see(models, as_smpl(models, person), camera)),
                ):
                    truth.append(
                        true_person(
                            one,
                            camera,
                            reject_hint=hint or ("no-fit" if frame in recording.without_fit else ""),
                            form=form,
                            split=_SPLITS.get(subject, "train"),
                            sequence=folder,
                            frame=f"{frame + 1:06d}",
                            person="0",
                            image_path=f"images/{name}",
                            has_body=frame not in recording.without_fit,
                            note="labels 200 mm off along x" if recording.label_shift_m.any() else "",
                            distortion=rig.intrinsics[CAMERAS[number - 1]].distortion(),
                        )
                    )
    stem = f"Human36M_subject{subject[1:]}"
    write_json(root / f"annotations/{stem}_data.json", {"images": images, "annotations": annotations})
    write_json(root / f"annotations/{stem}_camera.json", _cameras(rig, subject))
    write_json(root / f"annotations/{stem}_joint_3d.json", joints)
    for kind, content in fits.items():
        write_json(root / f"annotations/{stem}_{kind}_NeuralAnnot.json", content)
    return truth


def _image(
    number: int, name: str, size: tuple[int, int], recording: _Recording, camera: int, frame: int
) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": name,
        "width": size[0],
        "height": size[1],
        "subject": int(recording.subject[1:]),
        "action_name": file_prefix("S11", recording.action, 2),
        "action_idx": recording.action,
        "subaction_idx": recording.subaction,
        "cam_idx": camera,
        "frame_idx": frame,
    }


def _annotation(number: int, seen: View, camera: StudioCamera) -> dict[str, Any]:
    """The box is that of the 17 joints, projected without the lens, times 1.2."""
    pixels = replace(camera, bend=None).to_pixels(points_cam_m(seen, JOINTS_17))
    return {
        "id": number,
        "image_id": number,
        "keypoints_vis": [True] * 17,
        "bbox": padded(tight_box(pixels), 1.2).tolist(),
    }


def _world_joints_mm(models: BodyModels, camera: StudioCamera, person: Person) -> Floats:
    """(17, 3) world millimetres."""
    points = points_cam_m(see(models, person, camera), JOINTS_17)
    return np.asarray(1000.0 * (points - camera.transl_m) @ camera.rotmat)


def _cameras(rig: Rig, subject: str) -> dict[str, Any]:
    """x_cam = R X + t, millimetres."""
    cameras = {str(number): rig.camera(subject, name) for number, name in enumerate(CAMERAS, 1)}
    return {
        number: {
            "R": camera.rotmat.tolist(),
            "t": (1000 * camera.transl_m).tolist(),
            "f": camera.focal_px.tolist(),
            "c": camera.principal_point_px.tolist(),
        }
        for number, camera in cameras.items()
    }
