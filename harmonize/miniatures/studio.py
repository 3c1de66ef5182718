"""Calibrated cameras around a person: world frames, bent lenses, and the pictures that such cameras take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.neuralannot import body_only
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.scene import clothes, paint
from harmonize.miniatures.truth import TruePerson
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import (
    Person,
    joints_of,
    model_of,
    moved,
    random_person,
    rest_pelvis_of,
    stand,
    vertices_of,
)
from harmonize.render import Mesh, Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioCamera:
    """x_cam = rotmat @ x_world + transl_m, OpenCV axes. bend maps rays x/z, y/z (N, 2) to the lens's; None: pinhole."""

    focal_px: Floats
    principal_point_px: Floats
    size: tuple[int, int]
    rotmat: Floats
    transl_m: Floats
    bend: Callable[[Floats], Floats] | None = None

    def to_pixels(self, points_cam_m: Floats) -> Floats:
        """(N, 2) where camera points (N, 3) appear in the picture."""
        rays: Floats = points_cam_m[:, :2] / points_cam_m[:, 2:]
        if self.bend is not None:
            rays = self.bend(rays)
        return np.asarray(rays * self.focal_px + self.principal_point_px)


def looking_at(position_m: Floats, target_m: Floats, up: Floats, roll_rad: float = 0.0) -> tuple[Floats, Floats]:
    """(rotmat (3, 3), transl_m (3,)) from the world to a camera at `position_m` that looks at `target_m`."""
    forward = (target_m - position_m) / np.linalg.norm(target_m - position_m)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    turned = np.cos(roll_rad) * right + np.sin(roll_rad) * np.cross(forward, right)
    rotmat = np.stack([turned, np.cross(forward, turned), forward])
    return rotmat, -rotmat @ position_m


def walk(rng: np.random.Generator, models: BodyModels, num_frames: int) -> tuple[list[Person], Floats]:
    """One neutral SMPL-X person on the stage, frame by frame, without finger, jaw or eye movement; and the colours of
    the clothes."""
    actor = random_person(rng, "smplx", "neutral")
    outfit = clothes(rng, model_of(models, actor))
    motion = rng.normal(0.0, 0.03, actor.pose_aa.shape)
    x, z = rng.uniform(-0.4, 0.4, 2)
    yaw = rng.uniform(-np.pi, np.pi)
    people = []
    for frame in range(num_frames):
        posed = body_only(models, replace(actor, pose_aa=actor.pose_aa + frame * motion))
        people.append(stand(models, posed, x + 0.03 * frame, z, yaw + 0.08 * frame))
    return people, outfit


def as_smpl(models: BodyModels, person: Person) -> Person:
    """Neutral SMPL with the body pose and betas of an SMPL-X person, hands straight, the pelvis in the same place."""
    pose = np.concatenate([person.pose_aa[:22], np.zeros((2, 3))])
    smpl = replace(person, kind="smpl", gender="neutral", pose_aa=pose, expression=None)
    pelvis = person.transl_m + rest_pelvis_of(models, person)
    return replace(smpl, transl_m=pelvis - rest_pelvis_of(models, smpl))


def see(models: BodyModels, person: Person, camera: StudioCamera) -> View:
    """A person of the world before a camera: the world's mesh moved as a rigid whole, the joints those of the
    camera-frame parameters, which `person` then holds."""
    placed = moved(models, person, camera.rotmat, camera.transl_m)
    vertices = vertices_of(models, person) @ camera.rotmat.T + camera.transl_m
    joints = joints_of(models, placed)
    return View(
        person=placed,
        focal_px=camera.focal_px,
        principal_point_px=camera.principal_point_px,
        box_xywh=tight_box(camera.to_pixels(vertices), camera.size),
        vertices_cam_m=vertices,
        joints_cam_m=joints,
        joints_px=camera.to_pixels(joints),
        joint_names=model_of(models, person).joint_names,
    )


def take(
    models: BodyModels, camera: StudioCamera, seen: Sequence[View], outfits: Sequence[Floats], behind: Picture
) -> Picture:
    """The people over a picture. The lens bends the meshes, not the background."""
    meshes = []
    for one, outfit in zip(seen, outfits, strict=True):
        pixels, depth = camera.to_pixels(one.vertices_cam_m), one.vertices_cam_m[:, 2:]
        rays = (pixels - camera.principal_point_px) / camera.focal_px
        meshes.append(Mesh(np.concatenate([rays * depth, depth], 1), model_of(models, one.person).faces, outfit))
    return paint(meshes, camera.focal_px, camera.principal_point_px, behind)


def plain_wall(rng: np.random.Generator, size: tuple[int, int], horizon_px: float) -> Picture:
    """(H, W, 3) uint8: wall and floor in smooth shades, which take little room in a file of any size."""
    width, height = size
    wall, floor = rng.uniform(150, 235, 3), rng.uniform(60, 130, 3)
    rows = np.arange(height)[:, None]
    shade = np.where(rows < horizon_px, wall, floor) * (1.0 - 0.12 * np.abs(rows - horizon_px) / height)
    return np.repeat(np.rint(shade.clip(0, 255)).astype(np.uint8)[:, None], width, 1)


def true_person(seen: View, camera: StudioCamera, *, reject_hint: str = "", **stated: Any) -> TruePerson:
    """What is true of a person seen so; `stated` are the other fields of `TruePerson`."""
    return TruePerson(
        kind=seen.person.kind,
        gender=seen.person.gender,
        image_size_px=camera.size,
        focal_px=camera.focal_px,
        principal_point_px=camera.principal_point_px,
        vertices_cam_m=seen.vertices_cam_m,
        joints_cam_m=seen.joints_cam_m,
        joints_px=seen.joints_px,
        joint_names=seen.joint_names,
        is_kept=not reject_hint,
        reject_hint=reject_hint,
        **stated,
    )
