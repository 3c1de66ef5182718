"""BEDLAM in miniature: training npz files with the pictures of their jobs (form "npz"), and the full release ("csv").

Rows of an npz are grouped by body, not by picture; the camera offset differs from person to person; the gender is that
of the subject and not of the model; hands are absolute; there are eleven betas. Portrait jobs are stored lying on their
side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import SMPLX_144
from harmonize.miniatures.bedlam_raw import as_stored, write_raw_release
from harmonize.miniatures.points import Floats, padded, tight_box
from harmonize.miniatures.scene import clothes, paint, write_picture
from harmonize.miniatures.studio import plain_wall
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.world import (
    Y_UP_TO_Y_DOWN,
    Person,
    StageCamera,
    joints_of,
    model_of,
    moved,
    places,
    project,
    random_person,
    stand,
    vertices_of,
)
from harmonize.render import Mesh

FRAMES = (0, 5, 125)  # numbers of the 30 fps video; the 6 fps release keeps every fifth
LANDSCAPE, PORTRAIT = (1280, 720), (720, 1280)
_SENSOR_WIDTH_MM, _STORED_WIDTH_PX = 36.0, 1280
_NUM_LABELLED, _NUM_LABELLED_VERTICES = 127, 437


@dataclass(frozen=True, slots=True)
class _Job:
    """labels: stem of the npz. pictures: folder of the pictures. size: of the picture that the labels speak of."""

    labels: str
    pictures: str
    size: tuple[int, int]
    focal_mm: float
    depth_m: tuple[float, float]
    bodies: int
    is_newer_export: bool = False


def _job(name: str, size: tuple[int, int], focal_mm: float, depth_m: tuple[float, float], bodies: int) -> _Job:
    return _Job(name, name, size, focal_mm, depth_m, bodies)


_CLOSE, _FAR = (1.9, 2.4), (4.5, 7.5)
_JOBS = (
    _job("20221010_3_1000_batch01hand_6fps", LANDSCAPE, 28.0, _FAR, 3),
    _job("20221011_1_250_batch01hand_closeup_suburb_a_6fps", PORTRAIT, 35.0, _CLOSE, 1),
    # "closeup" in the name, yet its labels (and pictures) are landscape.
    _job("20221017_1_250_batch01hand_closeup_suburb_a_6fps", LANDSCAPE, 35.0, (3.2, 4.0), 1),
    # The label file spells the date with a hyphen, the pictures' folder with an underscore.
    replace(
        _job("20221020-3-8_250_highbmihand_zoom_highSchoolGym_a_6fps", LANDSCAPE, 40.0, _FAR, 3),
        pictures="20221020_3-8_250_highbmihand_zoom_highSchoolGym_a_6fps",
    ),
    replace(
        _job("20221024_3-10_100_batch01handhair_static_highSchoolGym_30fps", LANDSCAPE, 28.0, _FAR, 2),
        is_newer_export=True,
    ),
)


def write_bedlam(root: Path, *, seed: int = 0, people: int = 30, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder bedlam) with at least `people` rows, more sequences when needed."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 4])
    truth: list[TruePerson] = []
    per_round = len(FRAMES) * sum(job.bodies for job in _JOBS)
    (root / "all_npz_12_training").mkdir(parents=True, exist_ok=True)
    num_rounds = max(1, -(-people // per_round))
    for job in _JOBS:
        rows: list[dict[str, Any]] = []
        for number in range(num_rounds):
            for row, true in _shoot(rng, models, job, number, root):
                truth.append(replace(true, person=str(len(rows))))
                rows.append(row)
        columns: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        np.savez(root / "all_npz_12_training" / f"{job.labels}.npz", **columns)
    truth += write_raw_release(rng, models, root, 1 + num_rounds)
    return Truth("bedlam", tuple(truth))


def _shoot(
    rng: np.random.Generator, models: BodyModels, job: _Job, number: int, root: Path
) -> list[tuple[dict[str, Any], TruePerson]]:
    """Films one sequence and writes its pictures. Returns rows and people, body by body."""
    size, sequence = job.size, f"seq_{number:06d}"
    focal = np.full(2, job.focal_mm / _SENSOR_WIDTH_MM * _STORED_WIDTH_PX)
    centre = np.array(size) / 2
    cast = [random_person(rng, "smplx", "neutral", num_betas=11) for _ in range(job.bodies)]
    cast = [replace(person, expression=np.zeros(10)) for person in cast]
    genders = ["m" if rng.random() < 0.5 else "f" for _ in cast]
    outfits = [clothes(rng, model_of(models, person)) for person in cast]
    motion = rng.normal(0.0, 0.03, (job.bodies, 55, 3))
    motion[:, 22:] = 0.0
    camera = StageCamera(
        focal_px=focal,
        principal_point_px=centre,
        size=size,
        height_m=1.4,
        pitch_rad=float(rng.uniform(0.02, 0.12)),
        roll_rad=float(rng.uniform(-0.04, 0.04)),
    )
    spots = places(rng, camera, job.bodies, *job.depth_m)
    behind = plain_wall(rng, size, camera.horizon_px())
    by_body: list[list[tuple[dict[str, Any], TruePerson]]] = [[] for _ in cast]
    for step, frame in enumerate(FRAMES):
        image = f"{sequence}/{sequence}_{frame:04d}.png"
        meshes = []
        for body, person in enumerate(cast):
            posed = replace(person, pose_aa=person.pose_aa + step * motion[body])
            x, z, yaw = spots[body]
            row, seen = _row(rng, models, stand(models, posed, x + 0.04 * step, z, yaw + 0.1 * step), camera)
            row |= {"imgname": image, "gender": genders[body]}
            if job.is_newer_export:
                row |= {"sub": f"rp_subject_{body}", "motion_info": "KIT/314/bend_left01"}
            path = f"training_images/{job.pictures}/png/{image}"
            true = _true_person(job, sequence, frame, path, camera, *seen)
            by_body[body].append((row, true))
            meshes.append(Mesh(true.vertices_cam_m, model_of(models, person).faces, outfits[body]))
        write_picture(root / path, as_stored(paint(meshes, focal, centre, behind)))
    return [entry for entries in by_body for entry in entries]


def _row(
    rng: np.random.Generator, models: BodyModels, on_stage: Person, camera: StageCamera
) -> tuple[dict[str, Any], tuple[Floats, Floats]]:
    """The labels of one person, and the (vertices, joints) in the camera frame.

    World: OpenCV axes, its origin near the body; x_cam = cam_ext [x_world; 1], so its translation is the person's own.
    """
    origin = np.array([on_stage.transl_m[0], 0.0, -on_stage.transl_m[2]]) + rng.uniform(-0.5, 0.5, 3)
    in_world = moved(models, on_stage, Y_UP_TO_Y_DOWN, -origin)
    tilt = camera.rotmat @ Y_UP_TO_Y_DOWN
    offset = tilt @ origin + camera.transl_m
    turned = moved(models, in_world, tilt, np.zeros(3))
    vertices = vertices_of(models, in_world) @ tilt.T + offset
    joints = joints_of(models, replace(turned, transl_m=turned.transl_m + offset))
    labelled = project(joints[:_NUM_LABELLED], camera.focal_px, camera.principal_point_px)
    some = vertices[np.linspace(0, len(vertices) - 1, _NUM_LABELLED_VERTICES).astype(int)]
    box = padded(tight_box(labelled), 1.2)
    (fx, fy), (cx, cy) = camera.focal_px, camera.principal_point_px
    row = {
        "center": box[:2] + box[2:] / 2,
        "scale": box[2:].max() / 200.0,
        "pose_cam": turned.pose_aa.ravel(),
        "pose_world": in_world.pose_aa.ravel(),
        "shape": in_world.betas,
        "trans_cam": turned.transl_m,
        "trans_world": in_world.transl_m,
        "gtkps": _homogeneous(labelled),
        "cam_int": np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]),
        "cam_ext": np.vstack([np.column_stack([tilt, offset]), (0.0, 0.0, 0.0, 1.0)]),
        "proj_verts": _homogeneous(project(some, camera.focal_px, camera.principal_point_px)),
    }
    return row, (vertices, joints)


def _homogeneous(points_px: Floats) -> Floats:
    return np.column_stack([points_px, np.ones(len(points_px))])


def _true_person(
    job: _Job, sequence: str, frame: int, path: str, camera: StageCamera, vertices: Floats, joints: Floats
) -> TruePerson:
    return TruePerson(
        form="npz",
        split="train",
        sequence=f"{job.labels}/{sequence}",
        frame=f"{frame:04d}",
        person="",
        kind="smplx",
        gender="neutral",
        image_path=path,
        image_size_px=job.size,
        focal_px=camera.focal_px,
        principal_point_px=camera.principal_point_px,
        vertices_cam_m=vertices,
        joints_cam_m=joints,
        joints_px=project(joints, camera.focal_px, camera.principal_point_px),
        joint_names=SMPLX_144,
        has_left_hand=True,
        has_right_hand=True,
    )
