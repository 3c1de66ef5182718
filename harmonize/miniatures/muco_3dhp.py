"""MuCo-3DHP in miniature: the parsed and composited release, `MuCo-3DHP.json` with `smpl_param.json`.

Several people a picture before one calibrated camera; the extrinsics of the json belong to another frame and are not to
be applied. Pictures of both folders share their names. One person in four pictures has no fit, one a fit with NaN, and
one hides behind another; some fits belong to nobody.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.labels import points_cam_m
from harmonize.miniatures.points import Floats, is_inside, tight_box
from harmonize.miniatures.scene import background, clothes, paint, write_picture
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, seen_by, true_person
from harmonize.miniatures.world import (
    StageCamera,
    model_of,
    moved,
    places,
    project,
    random_person,
    stand,
    vertices_of,
)
from harmonize.render import Mesh, rasterise

SIZE = (1024, 1024)
NOISE_MM = 8.0
JOINTS = (  # MuCo's 21, by the names of what they lie next to
    *("headtop", "thorax_extra", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "pelvis", "spine_extra", "head"),
    *("right_hand", "left_hand", "right_toe_3dhp", "left_toe_3dhp"),
)
PELVIS = JOINTS.index("pelvis")
_SKIN_M = 0.25  # joints lie this deep inside a body at most


@dataclass(frozen=True, slots=True)
class _Case:
    """One kind of annotation. hint: why a reader may reject it, "" when it must keep it."""

    hint: str = ""
    has_fit: bool = True
    is_large: bool = False
    is_near: bool = False


_PICTURES = (
    ("augmented_set/000001.jpg", (_Case(), _Case(), _Case(hint="pelvis-hidden"))),
    ("augmented_set/000002.jpg", (_Case(), _Case(has_fit=False), _Case(hint="not-finite"))),
    ("unaugmented_set/000001.jpg", (_Case(), _Case(is_large=True), _Case())),
    ("unaugmented_set/000002.jpg", (_Case(), _Case(), _Case(is_near=True))),
)


def write_muco_3dhp(root: Path, *, seed: int = 0, people: int = 12, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder MuCo/data) with at least `people` annotations."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 21])
    truth: list[TruePerson] = []
    parsed: dict[str, list[Any]] = {"images": [], "annotations": []}
    fits: dict[str, Any] = {"999999": {"pose": [0.0] * 72, "shape": [0.0] * 10, "trans": [0.0, 0.0, 4.0]}}
    num_more = max(0, -(-(people - 12) // 3))
    more = [(f"unaugmented_set/{number:06d}.jpg", (_Case(),) * 3) for number in range(3, 3 + num_more)]
    for file_name, cases in (*_PICTURES, *more):
        camera = _camera(rng)
        shown = _invent(rng, models, camera, cases)
        meshes = [
            Mesh(seen.vertices_cam_m, model.faces, clothes(rng, model))
            for seen in shown
            for model in [model_of(models, seen.person)]
        ]
        behind = background(rng, SIZE, camera.horizon_px())
        write_picture(root / file_name, paint(meshes, camera.focal_px, camera.principal_point_px, behind))
        depths_m = [
            rasterise(mesh.vertices_cam_m, mesh.faces, camera.focal_px, camera.principal_point_px, SIZE).depth_m
            for mesh in meshes
        ]
        image_id = 1 + 7 * len(parsed["images"])
        parsed["images"].append(_image(rng, image_id, file_name, camera))
        for slot, (case, seen) in enumerate(zip(cases, shown, strict=True)):
            number = 100 + 3 * len(parsed["annotations"])
            others = [depth for at, depth in enumerate(depths_m) if at != slot]
            parsed["annotations"].append(_annotation(rng, seen, others, number, image_id))
            if case.has_fit:
                fits[str(number)] = _fit(case, seen)
            folder, _, name = file_name.rpartition("/")
            person = true_person(
                seen,
                reject_hint=case.hint,
                is_transl_metric=True,
                split="train",
                sequence=folder,
                frame=name.removesuffix(".jpg"),
                person=str(number),
                image_path=file_name,
                image_size_px=SIZE,
                has_body=case.has_fit,
            )
            truth.append(person)
    (root / "MuCo-3DHP.json").write_text(json.dumps(parsed))
    (root / "smpl_param.json").write_text(json.dumps(fits))  # with NaN, as Python writes it
    return Truth("muco_3dhp", tuple(truth))


def _camera(rng: np.random.Generator) -> StageCamera:
    return StageCamera(
        focal_px=rng.uniform(740, 760) * np.array([1.0, 1.001]),
        principal_point_px=np.array(SIZE) / 2 + rng.uniform(-12, 12, 2),
        size=SIZE,
        height_m=1.4,
        pitch_rad=float(rng.uniform(0.02, 0.12)),
    )


def _invent(rng: np.random.Generator, models: BodyModels, camera: StageCamera, cases: tuple[_Case, ...]) -> list[View]:
    shown: list[View] = []
    spots = places(rng, camera, len(cases), 2.8, 3.8)
    for case, (x, z, yaw) in zip(cases, spots, strict=True):
        person = random_person(rng, "smpl", "neutral")
        if case.is_large:
            person = replace(person, betas=np.array([3.4, *person.betas[1:]]))
        if case.hint == "pelvis-hidden":  # on the ray of the first one, farther away
            x, z = 1.5 * spots[0, :2]
        if case.is_near:  # the feet are out of the picture
            x, z = 0.55 * x, 0.55 * z
        on_stage = stand(models, person, x, z, yaw)
        placed = moved(models, on_stage, camera.rotmat, camera.transl_m)
        pixels = project(vertices_of(models, placed), camera.focal_px, camera.principal_point_px)
        box = tight_box(pixels, SIZE).round(3)
        shown.append(seen_by(models, placed, camera.focal_px, camera.principal_point_px, box))
    return shown


def _image(rng: np.random.Generator, number: int, file_name: str, camera: StageCamera) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": file_name,
        "width": SIZE[0],
        "height": SIZE[1],
        "f": camera.focal_px.tolist(),
        "c": camera.principal_point_px.tolist(),
        "R": Rotation.random(random_state=rng).as_matrix().tolist(),
        "T": rng.normal(0.0, 2000.0, 3).tolist(),
    }


def _annotation(
    rng: np.random.Generator, seen: View, others: list[Floats], number: int, image_id: int
) -> dict[str, Any]:
    joints = points_cam_m(seen, JOINTS) + rng.normal(0.0, NOISE_MM / 1000, (len(JOINTS), 3))
    pixels = project(joints, seen.focal_px, seen.principal_point_px)
    return {
        "id": number,
        "image_id": image_id,
        "bbox": seen.box_xywh.tolist(),
        "keypoints_img": pixels.tolist(),
        "keypoints_cam": (1000 * joints).tolist(),
        "keypoints_vis": _visible(joints, pixels, others).tolist(),
    }


def _visible(joints_cam_m: Floats, pixels: Floats, others: list[Floats]) -> Any:
    """(21,) bool: in the picture, and nobody else before it; `others` are their depths (H, W) in metres."""
    visible = is_inside(pixels, SIZE)
    column, row = np.rint(pixels.clip(0, np.array(SIZE) - 1)).astype(int).T
    for depth in others:
        visible &= depth[row, column] > joints_cam_m[:, 2] - _SKIN_M
    return visible


def _fit(case: _Case, seen: View) -> dict[str, Any]:
    pose = seen.person.pose_aa.ravel().tolist()
    if case.hint == "not-finite":
        pose[30] = float("nan")
    return {"pose": pose, "shape": seen.person.betas.tolist(), "trans": seen.person.transl_m.tolist()}
