"""3DPW in miniature: pictures, the official pickles (form "pickle") and the parsed jsons (form "json").

The official sequences hold gendered SMPL in a world frame of arbitrary up and a camera that moves; the jsons hold the
same people in the camera frame. Every second person of the jsons carries the release's own defect in `trans`, the
others are exact; `joint_cam` is exact for all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures import python2
from harmonize.miniatures.points import Floats, is_inside, padded, pick, tight_box
from harmonize.miniatures.scene import background, clothes, paint, write_picture
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.world import (
    Person,
    StageCamera,
    joints_of,
    model_of,
    moved,
    project,
    random_person,
    rest_pelvis_of,
    stand,
    vertices_of,
)
from harmonize.record import Gender
from harmonize.render import Mesh

NUM_FRAMES = 4
DEFECT = "trans carries the generator's neutral-pelvis offset"
_DETECTION_NOISE_PX = 0.8
_MISALIGNED, _UNDETECTED = (0, 1), (0, 2)  # (track, frame) of each sequence
_LANDSCAPE, _PORTRAIT = (640, 360), (360, 640)
_PAIR: tuple[tuple[Gender, int], ...] = (("male", 10), ("female", 300))  # a pair may differ in stored betas


@dataclass(frozen=True, slots=True)
class _Sequence:
    """split, name, picture size, and of each tracked person the gender and the number of stored betas."""

    split: str
    name: str
    size: tuple[int, int]
    tracks: tuple[tuple[Gender, int], ...]


@dataclass(slots=True)
class _Film:
    """A filmed sequence. world[track][frame] is in the world frame; world_to_cam (F, 4, 4)."""

    sequence: _Sequence
    focal_px: Floats
    centre_px: Floats
    world_to_cam: Floats
    world: list[list[Person]]
    poses2d: list[Floats] = field(default_factory=list)


def _sequences(people: int) -> list[_Sequence]:
    train = [
        _Sequence("train", "courtyard_talk_00", _LANDSCAPE, _PAIR),
        _Sequence("train", "outdoors_walk_01", _PORTRAIT, (("female", 300),)),
    ]
    others = [
        _Sequence("validation", "courtyard_wave_00", _PORTRAIT, (("male", 10),)),
        _Sequence("test", "downtown_wait_00", _LANDSCAPE, _PAIR[::-1]),
    ]
    missing = people - NUM_FRAMES * sum(len(sequence.tracks) for sequence in train + others)
    for number in range(max(0, -(-missing // (2 * NUM_FRAMES)))):
        train.append(_Sequence("train", f"courtyard_more_{number:02d}", (_LANDSCAPE, _PORTRAIT)[number % 2], _PAIR))
    return train + others


def write_pw3d(root: Path, *, seed: int = 0, people: int = 24, models: BodyModels | None = None) -> Truth:
    """Writes both releases under root with at least `people` person-frames in the pickles."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 2])
    truth: list[TruePerson] = []
    parsed: dict[str, dict[str, list[Any]]] = {}
    fits: dict[str, dict[str, Any]] = {split: {} for split in ("train", "validation", "test")}
    image_id = annotation_id = 0  # both keep counting from split to split
    for sequence in _sequences(people):
        film = _record(rng, models, sequence, root)
        arrays = _arrays(rng, models, film)
        folder = root / "sequenceFiles" / sequence.split
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{sequence.name}.pkl").write_bytes(python2.dumps(arrays))
        content = parsed.setdefault(sequence.split, {"images": [], "annotations": []})
        for frame in range(NUM_FRAMES):
            content["images"].append(_image(film, frame, image_id))
            for track in range(len(sequence.tracks)):
                true = _true_person(models, film, frame, track)
                is_aligned = arrays["campose_valid"][track][frame] == 1
                hint = "" if film.poses2d[track][frame].any() else "no-detection"
                hint = hint if is_aligned else "camera-misaligned"
                truth.append(replace(true, is_kept=not hint, reject_hint=hint))
                if not is_aligned or not is_inside(true.joints_px[:24], sequence.size).any():
                    continue
                is_exact = annotation_id % 2 == 0
                annotation, fit = _annotation(models, film, frame, track, true, is_exact)
                content["annotations"].append({"id": annotation_id, "image_id": image_id} | annotation)
                fits[sequence.split][str(annotation_id)] = fit
                truth.append(replace(true, form="json", note="" if is_exact else DEFECT))
                annotation_id += 1
            image_id += 1
    for split, people_of in fits.items():
        (root / f"3DPW_{split}.json").write_text(json.dumps(parsed[split]))
        (root / f"3DPW_{split}_SMPLX_NeuralAnnot.json").write_text(json.dumps(people_of))
    return Truth("pw3d", tuple(truth))


def _record(rng: np.random.Generator, models: BodyModels, sequence: _Sequence, root: Path) -> _Film:
    """Films a sequence and writes its pictures; in the last frame the second person has left the view."""
    size, tracks = sequence.size, len(sequence.tracks)
    film = _Film(
        sequence=sequence,
        focal_px=1.02 * max(size) + rng.uniform(-2, 2, 2),
        centre_px=np.array(size) / 2 + rng.uniform(-3, 3, 2),
        world_to_cam=np.tile(np.eye(4), (NUM_FRAMES, 1, 1)),
        world=[[] for _ in range(tracks)],
    )
    stage_to_world = Rotation.from_rotvec(rng.normal(0.0, 0.8, 3)).as_matrix()  # the world's up is unreliable
    world_origin = rng.uniform(-2, 2, 3)
    cast = [random_person(rng, "smpl", gender) for gender, _ in sequence.tracks]
    outfits = [clothes(rng, model_of(models, person)) for person in cast]
    motion = rng.normal(0.0, 0.03, (tracks, 24, 3))
    behind = background(rng, size, size[1] * 0.42)
    for frame in range(NUM_FRAMES):
        camera = StageCamera(
            focal_px=film.focal_px,
            principal_point_px=film.centre_px,
            size=size,
            height_m=1.5 + 0.03 * frame,
            pitch_rad=0.08 + 0.02 * frame,
            roll_rad=0.03 * frame,
        )
        rotmat = camera.rotmat @ stage_to_world.T
        offset = camera.transl_m - rotmat @ world_origin
        film.world_to_cam[frame, :3] = np.column_stack([rotmat, offset])
        meshes = []
        for track, person in enumerate(cast):
            has_left = track == 1 and frame == NUM_FRAMES - 1
            x = 9.0 if has_left else 1.1 * track - 0.55 * (tracks - 1) + 0.05 * frame
            posed = replace(person, pose_aa=person.pose_aa + frame * motion[track])
            placed = stand(models, posed, x, -4.2 - 0.4 * track, -0.4 + 0.6 * track + 0.08 * frame)
            in_world = moved(models, placed, stage_to_world, world_origin)
            film.world[track].append(in_world)
            seen = vertices_of(models, in_world) @ rotmat.T + offset
            meshes.append(Mesh(seen, model_of(models, person).faces, outfits[track]))
        picture = paint(meshes, film.focal_px, film.centre_px, behind)
        write_picture(root / "imageFiles" / sequence.name / f"image_{frame:05d}.jpg", picture)
    film.poses2d = [
        np.array([_detect(rng, _true_person(models, film, frame, track)) for frame in range(NUM_FRAMES)])
        for track in range(tracks)
    ]
    film.poses2d[_UNDETECTED[0]][_UNDETECTED[1]] = 0.0
    return film


def _detect(rng: np.random.Generator, true: TruePerson) -> Floats:
    """(3, 18) rows x, y, confidence of a detector; zeros where it saw nothing, all zero below six joints."""
    points = pick(convention("openpose_18").names, true.joint_names, true.joints_px)
    points = points + rng.normal(0.0, _DETECTION_NOISE_PX, points.shape)
    is_seen = is_inside(points, true.image_size_px) & (rng.random(len(points)) > 0.05)
    confidence = rng.uniform(0.5, 0.95, len(points)) * is_seen * (is_seen.sum() >= 6)
    return np.column_stack([points * (confidence > 0)[:, None], confidence]).T


def _arrays(rng: np.random.Generator, models: BodyModels, film: _Film) -> dict[str, Any]:
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


def _true_person(models: BodyModels, film: _Film, frame: int, track: int) -> TruePerson:
    """The person in the camera frame: the world's mesh, moved as a rigid whole."""
    person, sequence = film.world[track][frame], film.sequence
    rotmat, offset = film.world_to_cam[frame, :3, :3], film.world_to_cam[frame, :3, 3]
    joints = joints_of(models, person) @ rotmat.T + offset
    return TruePerson(
        form="pickle",
        split=sequence.split,
        sequence=sequence.name,
        frame=f"{frame:05d}",
        person=str(track),
        kind="smpl",
        gender=person.gender,
        image_path=f"imageFiles/{sequence.name}/image_{frame:05d}.jpg",
        image_size_px=sequence.size,
        focal_px=film.focal_px,
        principal_point_px=film.centre_px,
        vertices_cam_m=vertices_of(models, person) @ rotmat.T + offset,
        joints_cam_m=joints,
        joints_px=project(joints, film.focal_px, film.centre_px),
        joint_names=model_of(models, person).joint_names,
    )


def _image(film: _Film, frame: int, image_id: int) -> dict[str, Any]:
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


def _annotation(
    models: BodyModels, film: _Film, frame: int, track: int, true: TruePerson, is_exact: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A person's entry of the parsed json, and of NeuralAnnot's: neutral SMPL-X with the pelvis in the same place."""
    rotmat, offset = film.world_to_cam[frame, :3, :3], film.world_to_cam[frame, :3, 3]
    person = moved(models, film.world[track][frame], rotmat, offset)
    pelvis = rest_pelvis_of(models, person)
    trans = person.transl_m
    if not is_exact:  # the generator takes the rest pelvis of the neutral body
        neutral_pelvis = rest_pelvis_of(models, replace(person, gender="neutral"))
        trans = trans + (rotmat - np.eye(3)) @ (neutral_pelvis - pelvis)
    pixels = true.joints_px[:24]
    entry = {
        "person_id": track,
        "joint_cam": true.joints_cam_m[:24].tolist(),
        "joint_img": pixels.tolist(),
        "fitted_joint_cam": true.joints_cam_m[:24].tolist(),
        "openpose_result": film.poses2d[track][frame].T.tolist(),
        "bbox": padded(tight_box(pixels[is_inside(pixels, true.image_size_px)]), 1.2).tolist(),
        "smpl_param": {
            "shape": person.betas.tolist(),
            "pose": person.pose_aa.ravel().tolist(),
            "trans": trans.tolist(),
            "gender": person.gender,
        },
    }
    pose = np.concatenate([person.pose_aa[:22], np.zeros((33, 3))])
    smplx = replace(person, kind="smplx", gender="neutral", pose_aa=pose)
    fit = {
        "root_pose": pose[0].tolist(),
        "body_pose": pose[1:22].ravel().tolist(),
        "shape": person.betas.tolist(),
        "trans": (person.transl_m + pelvis - rest_pelvis_of(models, smplx)).tolist(),
    }
    return entry, fit
