"""Filming 3DPW's sequences: people and a moving camera in a world of arbitrary up, pictures and 2D detections."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.points import Floats, is_inside, pick
from harmonize.miniatures.scene import background, clothes, paint, write_picture
from harmonize.miniatures.truth import TruePerson
from harmonize.miniatures.world import (
    Person,
    StageCamera,
    joints_of,
    model_of,
    moved,
    project,
    random_person,
    stand,
    vertices_of,
)
from harmonize.record import Gender
from harmonize.render import Mesh

NUM_FRAMES = 4
UNDETECTED = (0, 2)
"""(track, frame) of each sequence in which the detector saw nothing."""
_DETECTION_NOISE_PX = 0.8


@dataclass(frozen=True, slots=True)
class Scene:
    """split, name, picture size, and of each tracked person the gender and the number of stored betas."""

    split: str
    name: str
    size: tuple[int, int]
    tracks: tuple[tuple[Gender, int], ...]


@dataclass(slots=True)
class Film:
    """A filmed sequence. world[track][frame] is in the world frame; world_to_cam (F, 4, 4)."""

    sequence: Scene
    focal_px: Floats
    centre_px: Floats
    world_to_cam: Floats
    world: list[list[Person]]
    poses2d: list[Floats] = field(default_factory=list)


def record(rng: np.random.Generator, models: BodyModels, sequence: Scene, root: Path) -> Film:
    """Films a sequence and writes its pictures; in the last frame the second person has left the view."""
    size, tracks = sequence.size, len(sequence.tracks)
    film = Film(
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
            pitch_rad=0.08 + 0.03 * frame,
            roll_rad=0.05 + 0.06 * frame,
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
        np.array([_detect(rng, true_person(models, film, frame, track)) for frame in range(NUM_FRAMES)])
        for track in range(tracks)
    ]
    film.poses2d[UNDETECTED[0]][UNDETECTED[1]] = 0.0
    return film


def _detect(rng: np.random.Generator, true: TruePerson) -> Floats:
    """(3, 18) rows x, y, confidence of a detector; zeros where it saw nothing, all zero below six joints."""
    points = pick(convention("openpose_18").names, true.joint_names, true.joints_px)
    points = points + rng.normal(0.0, _DETECTION_NOISE_PX, points.shape)
    is_seen = is_inside(points, true.image_size_px) & (rng.random(len(points)) > 0.05)
    confidence = rng.uniform(0.5, 0.95, len(points)) * is_seen * (is_seen.sum() >= 6)
    return np.column_stack([points * (confidence > 0)[:, None], confidence]).T


def true_person(models: BodyModels, film: Film, frame: int, track: int) -> TruePerson:
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
