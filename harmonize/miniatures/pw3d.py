"""3DPW in miniature: pictures, the official pickles (form "pickle"), the parsed jsons (form "json"), and NeuralAnnot's
fits to the people of these (form "neuralannot").

The official sequences hold gendered SMPL in a world frame of arbitrary up and a camera that moves; the jsons hold the
same people in the camera frame. Every second person of the jsons carries the release's own defect in `trans`, the
others are exact; `joint_cam` is exact for all. The fits are neutral SMPL-X without hands and face, and one is missing.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures import python2
from harmonize.miniatures.neuralannot import body_only
from harmonize.miniatures.points import Floats, is_inside, padded, tight_box
from harmonize.miniatures.pw3d_film import NUM_FRAMES, Film, Scene, record, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.world import (
    Person,
    joints_of,
    model_of,
    moved,
    project,
    rest_pelvis_of,
    vertices_of,
)
from harmonize.miniatures.world_fits import smplx_entry
from harmonize.record import Gender

DEFECT = "trans carries the generator's neutral-pelvis offset, joint_cam does not"
_MISALIGNED = (0, 1)  # (track, frame) of each sequence
_UNFITTED = 2  # annotation id
_LANDSCAPE, _PORTRAIT = (640, 360), (360, 640)
_PAIR: tuple[tuple[Gender, int], ...] = (("male", 10), ("female", 300))  # a pair may differ in stored betas


def _sequences(people: int) -> list[Scene]:
    train = [
        Scene("train", "courtyard_talk_00", _LANDSCAPE, _PAIR),
        Scene("train", "outdoors_walk_01", _PORTRAIT, (("female", 300),)),
    ]
    others = [
        Scene("validation", "courtyard_wave_00", _PORTRAIT, (("male", 10),)),
        Scene("test", "downtown_wait_00", _LANDSCAPE, _PAIR[::-1]),
    ]
    missing = people - NUM_FRAMES * sum(len(sequence.tracks) for sequence in train + others)
    more = [
        Scene("train", f"courtyard_more_{number:02d}", (_LANDSCAPE, _PORTRAIT)[number % 2], _PAIR)
        for number in range(-(-missing // (2 * NUM_FRAMES)))
    ]
    return [*train, *more, *others]


def write_pw3d(root: Path, *, seed: int = 0, people: int = 24, models: BodyModels | None = None) -> Truth:
    """Writes both releases under root with at least `people` person-frames in the pickles."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 2])
    truth: list[TruePerson] = []
    parsed: dict[str, dict[str, list[Any]]] = {}
    fits: dict[str, dict[str, Any]] = {split: {} for split in ("train", "validation", "test")}
    image_id = annotation_id = 0  # both keep counting from split to split
    for sequence in _sequences(people):
        film = record(rng, models, sequence, root)
        arrays = _arrays(rng, models, film)
        folder = root / "sequenceFiles" / sequence.split
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{sequence.name}.pkl").write_bytes(python2.dumps(arrays))
        content = parsed.setdefault(sequence.split, {"images": [], "annotations": []})
        for frame in range(NUM_FRAMES):
            content["images"].append(_image(film, frame, image_id))
            for track in range(len(sequence.tracks)):
                true = true_person(models, film, frame, track)
                is_aligned = arrays["campose_valid"][track][frame] == 1
                hint = "" if film.poses2d[track][frame].any() else "no-detection"
                hint = hint if is_aligned else "camera-misaligned"
                truth.append(replace(true, is_kept=not hint, reject_hint=hint))
                if not is_aligned or not is_inside(true.joints_px[:24], sequence.size).any():
                    continue
                offset = _generator_offset(models, film, frame, track) if annotation_id % 2 else np.zeros(3)
                annotation = _annotation(models, film, frame, track, true, offset)
                content["annotations"].append({"id": annotation_id, "image_id": image_id} | annotation)
                truth.append(replace(true, form="json", note=DEFECT if offset.any() else ""))
                fitted = _fit(models, film, frame, track)
                has_fit = annotation_id != _UNFITTED
                truth.append(_as_fitted(models, true, fitted, has_body=has_fit))
                if has_fit:
                    fits[sequence.split][str(annotation_id)] = smplx_entry(fitted)
                annotation_id += 1
            image_id += 1
    for split, people_of in fits.items():
        (root / f"3DPW_{split}.json").write_text(json.dumps(parsed[split]))
        (root / f"3DPW_{split}_SMPLX_NeuralAnnot.json").write_text(json.dumps(people_of))
    return Truth("pw3d", tuple(truth))


def _arrays(rng: np.random.Generator, models: BodyModels, film: Film) -> dict[str, Any]:
    """The content of a sequence's pickle."""
    betas = []
    for track, (_, num_betas) in zip(film.world, film.sequence.tracks, strict=True):
        tail = rng.normal(0.0, 0.3, num_betas - 10)  # beyond the tenth they are not zero, and not to be used
        betas.append(np.concatenate([track[0].betas, tail]))
    valid = np.ones((len(film.world), NUM_FRAMES), np.int64)
    valid[_MISALIGNED] = 0
    joints = [[joints_of(models, person)[:24].ravel() for person in track] for track in film.world]
    (fx, fy), (cx, cy) = film.focal_px, film.centre_px
    return {
        "sequence": film.sequence.name,
        "genders": [gender[0] for gender, _ in film.sequence.tracks],
        "poses": [np.array([person.pose_aa.ravel() for person in track]) for track in film.world],
        "betas": betas,
        "trans": [np.array([person.transl_m for person in track]) for track in film.world],
        "jointPositions": [np.array(track) for track in joints],
        "poses2d": film.poses2d,
        "cam_intrinsics": np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]),
        "cam_poses": film.world_to_cam,
        "campose_valid": list(valid),
        "img_frame_ids": np.arange(NUM_FRAMES) * 2,
    }


def _image(film: Film, frame: int, image_id: int) -> dict[str, Any]:
    image = {
        "id": image_id,
        "file_name": f"image_{frame:05d}.jpg",
        "sequence": film.sequence.name,
        "frame_idx": frame,
        "width": film.sequence.size[0],
        "height": film.sequence.size[1],
        "cam_param": {"focal": film.focal_px.tolist(), "princpt": film.centre_px.tolist()},
    }
    if film.sequence.split == "validation":  # some editions leave the name out; it follows from the frame
        del image["file_name"]
    return image


def _generator_offset(models: BodyModels, film: Film, frame: int, track: int) -> Floats:
    """(3,) metres: by how much the json's `trans` is off; its generator takes the rest pelvis of the neutral body.

    (R - I) (J0_neutral - J0_gender), R the rotation from world to camera.
    """
    person = film.world[track][frame]
    too_far = rest_pelvis_of(models, replace(person, gender="neutral")) - rest_pelvis_of(models, person)
    return np.asarray((film.world_to_cam[frame, :3, :3] - np.eye(3)) @ too_far)


def _annotation(
    models: BodyModels, film: Film, frame: int, track: int, true: TruePerson, offset_m: Floats
) -> dict[str, Any]:
    """A person's entry of the parsed json."""
    person = _in_camera(models, film, frame, track)
    pixels = true.joints_px[:24]
    return {
        "person_id": track,
        "joint_cam": true.joints_cam_m[:24].tolist(),
        "joint_img": pixels.tolist(),
        "fitted_joint_cam": true.joints_cam_m[:24].tolist(),
        "openpose_result": film.poses2d[track][frame].T.tolist(),
        "bbox": padded(tight_box(pixels[is_inside(pixels, true.image_size_px)]), 1.2).tolist(),
        "smpl_param": {
            "shape": person.betas.tolist(),
            "pose": person.pose_aa.ravel().tolist(),
            "trans": (person.transl_m + offset_m).tolist(),
            "gender": person.gender,
        },
    }


def _in_camera(models: BodyModels, film: Film, frame: int, track: int) -> Person:
    world_to_cam = film.world_to_cam[frame]
    return moved(models, film.world[track][frame], world_to_cam[:3, :3], world_to_cam[:3, 3])


def _fit(models: BodyModels, film: Film, frame: int, track: int) -> Person:
    """What NeuralAnnot makes of a person, in the camera frame: neutral SMPL-X with the pelvis in the same place."""
    person = _in_camera(models, film, frame, track)
    pose = np.concatenate([person.pose_aa[:22], np.zeros((33, 3))])
    smplx = body_only(models, replace(person, kind="smplx", gender="neutral", pose_aa=pose))
    pelvis = person.transl_m + rest_pelvis_of(models, person)
    return replace(smplx, transl_m=pelvis - rest_pelvis_of(models, smplx))


def _as_fitted(models: BodyModels, true: TruePerson, fitted: Person, *, has_body: bool) -> TruePerson:
    """A person of the jsons as the fit has them; without a fit, the points of the jsons are left."""
    joints = joints_of(models, fitted)
    return replace(
        true,
        form="neuralannot",
        kind=fitted.kind,
        gender=fitted.gender,
        vertices_cam_m=vertices_of(models, fitted),
        joints_cam_m=joints,
        joints_px=project(joints, true.focal_px, true.principal_point_px),
        joint_names=model_of(models, fitted).joint_names,
        has_body=has_body,
    )
