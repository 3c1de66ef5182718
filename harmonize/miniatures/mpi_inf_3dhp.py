"""MPI-INF-3DHP in miniature: the official archives (form "official") and NeuralAnnot's parsed release.

Traps of the archives: joints already in each camera's frame, in millimetres, beside extrinsics; fourteen cameras of
which a user has some as videos, some as frames extracted in one of two ways (numbered from 1), and most not at all; a
video shorter than its annotation; masks that are videos too; test frames that are not valid; a universal skeleton that
fits no picture. The 2D labels of TS5 and TS6 are pinhole projections, as least squares on the release show, though the
pictures are bent. Traps of the parsed release: fits in the world, the same for all cameras; reduced pictures; a frame
without a fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.films import write_film
from harmonize.miniatures.labels import points_cam_m
from harmonize.miniatures.mat5 import cells, write_mat5
from harmonize.miniatures.matlab import write_mat73
from harmonize.miniatures.mpi_inf_3dhp_studio import (
    NUM_CAMERAS,
    SIZE,
    evaluation_camera,
    reduced,
    training_cameras,
    write_calibration,
)
from harmonize.miniatures.points import Floats, padded, tight_box
from harmonize.miniatures.scene import write_picture
from harmonize.miniatures.studio import StudioCamera, as_smpl, plain_wall, see, take, true_person, walk
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.world import Person
from harmonize.miniatures.world_fits import nested, smpl_entry, smplx_entry, write_json
from harmonize.render import Picture

PARSED_SIZE = (320, 320)
_ARM = ("collar", "shoulder", "elbow", "wrist", "middle_1")
_LEG = ("hip", "knee", "ankle", "foot", "bigtoe")
JOINTS_28 = (
    *("spine_3", "neck", "spine_2", "spine_1", "pelvis", "neck", "head", "headtop"),
    *(f"left_{part}" for part in _ARM),
    *(f"right_{part}" for part in _ARM),
    *(f"left_{part}" for part in _LEG),
    *(f"right_{part}" for part in _LEG),
)
"""The body models' joints nearest to the 28 of annot.mat."""
JOINTS_17 = tuple(JOINTS_28[row] for row in (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6))
"""Those of the test set and of the parsed release."""
_UNIVERSAL = 0.94

# Sequence: cameras there as video, as `video_<c>/000001.jpg`, as `imageFrames/video_<c>/frame_000001.jpg`.
_TRAINING: dict[tuple[int, int], tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    (1, 1): ((0, 8), (1,), (4,)),
    (6, 2): ((0, 2), (), ()),
}
_SHORT_VIDEO = (6, 2, 2)
_NUM_FRAMES = 2
_TEST = {"TS1": (True, False, True), "TS5": (True, True)}
_PARSED: dict[tuple[int, int], tuple[tuple[int, ...], tuple[int, ...]]] = {
    (1, 1): ((0, 2), (0, 6183)),
    (2, 2): ((8,), (5, 10)),
}
"""Sequence: cameras, frames."""
_WITHOUT_FIT = (2, 2, 10)


def write_mpi_inf_3dhp(root: Path, *, seed: int = 0, people: int = 6, models: BodyModels | None = None) -> Truth:
    """Writes both releases under root, with at least `people` annotations in the parsed one."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 21])
    truth: list[TruePerson] = []
    for subject, sequence in _TRAINING:
        truth += _write_training(rng, models, subject, sequence, root)
    for name, valid in _TEST.items():
        truth += _write_test(rng, models, name, valid, root)
    more = tuple(6183 + 3 * step for step in range(1, 1 + max(0, (people - 5) // 2)))
    truth += _write_parsed(rng, models, more, root / "data")
    return Truth("mpi_inf_3dhp", tuple(truth))


# --- the official archives -------------------------------------------------------------------------------------------


def _write_training(
    rng: np.random.Generator, models: BodyModels, subject: int, sequence: int, root: Path
) -> list[TruePerson]:
    folder = Path(f"S{subject}", f"Seq{sequence}")
    cameras = training_cameras(rng)
    write_calibration(root / folder / "camera.calibration", cameras)
    people, outfit = walk(rng, models, _NUM_FRAMES)
    annot2, annot3, universal, truth = [], [], [], []
    for number, camera in enumerate(cameras):
        seen = [see(models, person, camera) for person in people]
        joints = [points_cam_m(one, JOINTS_28) for one in seen]
        annot2.append(np.array([camera.to_pixels(points).ravel() for points in joints]))
        annot3.append(np.array([1000 * points.ravel() for points in joints]))
        universal.append(np.array([1000 * _rescaled(points, 4).ravel() for points in joints]))
        wall = plain_wall(rng, camera.size, 0.5 * camera.size[1])
        is_here = any(number in group for group in _TRAINING[subject, sequence])
        pictures = [take(models, camera, [one], [outfit], wall) for one in seen] if is_here else []
        names, num_kept = _write_pictures(root, folder, subject, sequence, number, pictures)
        for frame, one in enumerate(seen):
            hint = "" if frame < num_kept else "video-short" if is_here else "image-missing"
            stated: dict[str, Any] = {"form": "official", "split": "train", "person": "0", "has_body": False}
            stated |= {"sequence": f"{folder}/video_{number}", "frame": f"{frame:06d}", "image_path": names[frame]}
            truth.append(true_person(one, camera, reject_hint=hint, **stated))
    variables = {"annot2": annot2, "annot3": annot3, "univ_annot3": universal}
    content: dict[str, Any] = {name: cells(values) for name, values in variables.items()}
    content |= {"frames": np.arange(_NUM_FRAMES)[:, None], "cameras": np.arange(NUM_CAMERAS)[:, None]}
    write_mat5(root / folder / "annot.mat", content)
    masks = [np.zeros((*SIZE, 3), np.uint8)] * _NUM_FRAMES
    for kind in ("FGmasks", "ChairMasks"):
        write_film(root / folder / kind / "video_0.avi", masks, 25)
    return truth


def _rescaled(joints: Floats, root: int) -> Floats:
    """The universal skeleton: another size, about the pelvis."""
    return np.asarray(joints[root] + _UNIVERSAL * (joints - joints[root]))


def _write_pictures(
    root: Path, folder: Path, subject: int, sequence: int, number: int, pictures: Sequence[Picture]
) -> tuple[list[str], int]:
    """Writes a camera's pictures in its way. Returns where each frame is to be found, and how many are there."""
    videos, plain, spin = _TRAINING[subject, sequence]
    if number in plain or number in spin:
        stem = f"video_{number}/" if number in plain else f"imageFrames/video_{number}/frame_"
        names = [f"{folder}/{stem}{frame + 1:06d}.jpg" for frame in range(_NUM_FRAMES)]
        for name, picture in zip(names, pictures, strict=True):
            write_picture(root / name, picture)
        return names, _NUM_FRAMES
    video = folder / "imageSequence" / f"video_{number}.avi"
    num_kept = 0
    if number in videos:
        num_kept = _NUM_FRAMES - ((subject, sequence, number) == _SHORT_VIDEO)
        write_film(root / video, pictures[:num_kept], 25)
    return [f"{video}#{frame}" for frame in range(_NUM_FRAMES)], num_kept


def _write_test(
    rng: np.random.Generator, models: BodyModels, name: str, valid: tuple[bool, ...], root: Path
) -> list[TruePerson]:
    folder = Path("mpi_inf_3dhp_test_set", name)
    camera, distortion = evaluation_camera(rng, name)
    people, outfit = walk(rng, models, len(valid))
    wall = plain_wall(rng, camera.size, 0.5 * camera.size[1])
    pixels, joints, universal, truth = [], [], [], []
    for frame, (person, is_valid) in enumerate(zip(people, valid, strict=True)):
        seen = see(models, person, camera)
        points = points_cam_m(seen, JOINTS_17)
        pixels.append(replace(camera, bend=None).to_pixels(points))
        joints.append(1000 * points)
        universal.append(1000 * _rescaled(points, 14))
        path = folder / "imageSequence" / f"img_{frame + 1:06d}.jpg"
        write_picture(root / path, take(models, camera, [seen], [outfit], wall))
        truth.append(
            true_person(
                seen,
                camera,
                reject_hint="" if is_valid else "invalid",
                form="official",
                split="test",
                sequence=name,
                frame=f"{frame + 1:06d}",
                person="0",
                image_path=str(path),
                has_body=False,
                distortion=distortion,
            )
        )
    write_mat73(
        root / folder / "annot_data.mat",
        {
            "annot2": np.array(pixels)[:, None],
            "annot3": np.array(joints)[:, None],
            "univ_annot3": np.array(universal)[:, None],
            "valid_frame": np.array(valid, float)[:, None],
            "activity_annotation": rng.integers(1, 8, (len(valid), 1)).astype(float),
        },
    )
    return truth


# --- the parsed release ----------------------------------------------------------------------------------------------


def _write_parsed(
    rng: np.random.Generator, models: BodyModels, more: tuple[int, ...], folder: Path
) -> list[TruePerson]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    cameras: dict[str, Any] = {}
    joints: dict[str, Any] = {}
    fits: dict[str, dict[str, Any]] = {"SMPLX": {}, "SMPL": {}}
    truth: list[TruePerson] = []
    for (subject, sequence), (numbers, listed) in _PARSED.items():
        frames = listed + more if subject == 1 else listed
        rig = [reduced(camera, PARSED_SIZE) for camera in training_cameras(rng)]
        entries = {str(number): _camera_entry(camera) for number, camera in enumerate(rig)}
        nested(cameras, subject)[str(sequence)] = entries
        people, outfit = walk(rng, models, len(frames))
        has_fit = [(subject, sequence, frame) != _WITHOUT_FIT for frame in frames]
        for frame, person, is_fitted in zip(frames, people, has_fit, strict=True):
            nested(joints, subject, sequence)[str(frame)] = _world_joints_mm(models, rig[0], person).tolist()
            if is_fitted:
                nested(fits["SMPLX"], subject, sequence)[str(frame)] = smplx_entry(person)
                nested(fits["SMPL"], subject, sequence)[str(frame)] = smpl_entry(as_smpl(models, person))
        for number in numbers:
            wall = plain_wall(rng, PARSED_SIZE, 0.5 * PARSED_SIZE[1])
            for frame, person, is_fitted in zip(frames, people, has_fit, strict=True):
                seen = see(models, person, rig[number])
                name = f"img_{number}_{frame:06d}.jpg"
                path = f"images_1k/S{subject}/Seq{sequence}/imageSequence/{name}"
                write_picture(folder / path, take(models, rig[number], [seen], [outfit], wall))
                place = {"subject_idx": subject, "seq_idx": sequence, "cam_idx": number, "frame_idx": frame}
                size = {"width": PARSED_SIZE[0], "height": PARSED_SIZE[1]}
                image_id = 3 * len(images) + 7
                images.append({"id": image_id, "file_name": name, **size, **place})
                box = padded(tight_box(rig[number].to_pixels(points_cam_m(seen, JOINTS_17))), 1.2)
                annotations.append({"id": 2 * len(images), "image_id": image_id, "bbox": box.tolist()})
                for form, one in (
                    ("neuralannot", seen),
                    ("neuralannot_smpl", see(models, as_smpl(models, person), rig[number])),
                ):
                    truth.append(
                        true_person(
                            one,
                            rig[number],
                            reject_hint="" if is_fitted else "no-fit",
                            form=form,
                            split="train",
                            sequence=f"S{subject}/Seq{sequence}/video_{number}",
                            frame=f"{frame:06d}",
                            person="0",
                            image_path=f"{folder.name}/{path}",
                            has_body=is_fitted,
                        )
                    )
    write_json(folder / "MPI-INF-3DHP_1k.json", {"images": images, "annotations": annotations})
    write_json(folder / "MPI-INF-3DHP_camera_1k.json", cameras)
    write_json(folder / "MPI-INF-3DHP_joint_3d.json", joints)
    for kind, content in fits.items():
        write_json(folder / f"MPI-INF-3DHP_{kind}_NeuralAnnot.json", content)
    return truth


def _camera_entry(camera: StudioCamera) -> dict[str, Any]:
    """x_cam = R X + t, millimetres; pixels of the reduced pictures."""
    return {
        "R": camera.rotmat.tolist(),
        "t": (1000 * camera.transl_m).tolist(),
        "focal": camera.focal_px.tolist(),
        "princpt": camera.principal_point_px.tolist(),
    }


def _world_joints_mm(models: BodyModels, camera: StudioCamera, person: Person) -> Floats:
    """(17, 3) world millimetres."""
    points = points_cam_m(see(models, person, camera), JOINTS_17)
    return np.asarray(1000.0 * (points - camera.transl_m) @ np.linalg.inv(camera.rotmat).T)
