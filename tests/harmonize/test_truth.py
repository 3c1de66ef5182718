"""Every reader against its miniature, whose truth is known; and every convention, broken on purpose, must show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageOps
from scipy.spatial.transform import Rotation

from catalogs.cards import card
from harmonize.annotation import Annotation, RawBody, Reject, RigidTransform
from harmonize.convert import Converted, convert
from harmonize.gate import Limits, check, check_shard
from harmonize.geometry.cameras import project_with
from harmonize.meshes import body_vertices_m, neutral_batch, source_batch, source_vertices_m
from harmonize.miniatures import MINIATURES
from harmonize.readers import READERS, forms_of, open_reader

NAMES = tuple(name for name in READERS if name in MINIATURES)
FORMS = [(name, form) for name in NAMES for form in forms_of(name)]
Miniature = Callable[[str, str], tuple[Path, Any]]


@cache
def picture_size(path: Path, orientation: int | None) -> tuple[int, int]:
    with Picture.open(path) as picture:
        shown = ImageOps.exif_transpose(picture) if orientation is None else picture
        width, height = shown.size
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def read(name: str, root: Path, form: str | None = None) -> list[Annotation | Reject]:
    reader = open_reader(name, root, form)
    found: list[Annotation | Reject] = []
    for split in reader.splits:
        for unit in reader.units(split):
            for item in reader.read(split, unit):
                if isinstance(item, Annotation) and item.image_size_px is None:
                    path = root / item.image.path
                    if path.exists() and not item.image.member and item.image.video is None:
                        item = replace(item, image_size_px=picture_size(path, item.image.orientation))
                found.append(item)
    return found


def limits_of(name: str) -> Limits:
    """As an ingest sets them: a card may override single ones."""
    return Limits(**card(name).gate)  # type: ignore[arg-type]


def identity(item: Any) -> tuple[str, str, str, str]:
    source = item.provenance if hasattr(item, "provenance") else item
    return source.split, source.sequence, source.frame, source.person


def truths(truth: Any, form: str) -> dict[tuple[str, str, str, str], Any]:
    return {identity(person): person for person in truth.people if person.form in ("", form)}


@pytest.fixture(scope="module")
def converted(miniature: Miniature, standin: Any) -> Callable[[str, str], list[tuple[Annotation, Converted | Reject]]]:
    made: dict[tuple[str, str], list[tuple[Annotation, Converted | Reject]]] = {}

    def make(name: str, form: str) -> list[tuple[Annotation, Converted | Reject]]:
        if (name, form) not in made:
            root, _ = miniature(name, form)
            annotations = [item for item in read(name, root, form) if isinstance(item, Annotation)]
            made[name, form] = list(zip(annotations, convert(annotations, standin), strict=True))
        return made[name, form]

    return make


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_everyone_is_accounted_for(name: str, form: str, miniature: Miniature) -> None:
    root, truth = miniature(name, form)
    expected = truths(truth, form)
    items = read(name, root, form)
    found = [identity(item) for item in items]
    assert len(found) == len(set(found)), "a person came twice"
    assert set(found) == set(expected)
    for item in items:
        if isinstance(item, Reject):
            assert not expected[identity(item)].is_kept, (item.reason, item.detail)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_truth_is_reproduced(name: str, form: str, miniature: Miniature, converted: Any, standin: Any) -> None:
    expected = truths(miniature(name, form)[1], form)
    num_bodies = 0
    for annotation, result in converted(name, form):
        person = expected[identity(annotation)]
        assert isinstance(result, Converted)
        problem = check(result, limits_of(name))
        if not person.is_kept:
            continue
        assert problem is None, (identity(annotation), problem)
        if annotation.body is None:
            continue
        num_bodies += 1
        source = result.instance.source_body
        if source is not None and not source.is_rebuildable:
            distance = np.linalg.norm(body_vertices_m(result.instance, standin) - person.vertices_cam_m, axis=1)
            assert 1000 * distance.mean() == pytest.approx(source.fit_error_mm, abs=0.05)
            continue
        vertices = source_vertices_m(result.instance, standin)
        error_mm = 1000 * np.linalg.norm(vertices - person.vertices_cam_m, axis=1).max()
        assert error_mm < 0.1, (identity(annotation), error_mm)
        camera = result.instance.camera
        assert camera.has_intrinsics == person.has_camera, (identity(annotation), "guessed or lost")
        if not camera.has_intrinsics:
            continue
        batch, model = source_batch(result.instance, standin)
        pixels = project_with(camera, model.joints(batch)[0])
        error_px = np.linalg.norm(pixels - person.joints_px, axis=1).max()
        assert error_px < 0.1, (identity(annotation), error_px)
    has_bodies = any(person.is_kept and person.has_body for person in expected.values())
    assert num_bodies >= 2 if has_bodies else num_bodies == 0


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_the_neutral_body_is_as_near_as_its_recorded_error(
    name: str, form: str, miniature: Miniature, converted: Any, standin: Any
) -> None:
    for _, result in converted(name, form):
        source = result.instance.source_body
        if source is None or source.model != "smplx" or not source.is_rebuildable:
            continue
        distance = np.linalg.norm(
            body_vertices_m(result.instance, standin) - source_vertices_m(result.instance, standin), axis=1
        )
        assert 1000 * distance.mean() == pytest.approx(source.fit_error_mm, abs=0.05)
        assert source.fit_error_mm < 20


# --- conventions, broken on purpose --------------------------------------------------------------------------------


def flip_axes(body: RawBody, models: Any) -> RawBody:
    """y and z negated: what reading an OpenGL camera as an OpenCV one does."""
    if body.to_cam is not None:
        flip = np.diag([1.0, -1.0, -1.0])
        return replace(
            body, to_cam=RigidTransform(rotmat=flip @ body.to_cam.rotmat, transl_m=flip @ body.to_cam.transl_m)
        )
    pose = np.array(body.pose_aa, np.float64)
    turn = Rotation.from_rotvec([np.pi, 0, 0])
    pose[0] = (turn * Rotation.from_rotvec(pose[0])).as_rotvec()
    if body.transl_m is None:
        return replace(body, pose_aa=pose)
    wrong = replace(body, pose_aa=pose, transl_m=np.asarray(body.transl_m) * [1, -1, -1])
    return wrong if body.pelvis_cam_m is None else replace(wrong, pelvis_cam_m=body.pelvis_cam_m * [1, -1, -1])


def mirror(body: RawBody, models: Any) -> RawBody:
    """x negated in translation only."""
    if body.to_cam is not None:
        return replace(
            body, to_cam=RigidTransform(rotmat=body.to_cam.rotmat, transl_m=body.to_cam.transl_m * [-1, 1, 1])
        )
    wrong = replace(body, transl_m=np.asarray(body.transl_m) * [-1, 1, 1])
    return wrong if body.pelvis_cam_m is None else replace(wrong, pelvis_cam_m=body.pelvis_cam_m * [-1, 1, 1])


def swap_hand_mean(body: RawBody, models: Any) -> RawBody:
    return replace(body, hands="absolute" if body.hands == "relative" else "relative")


def drop_pelvis_offset(body: RawBody, models: Any) -> RawBody:
    """The frame change applied to the translation alone; without one, the translation read as the pelvis."""
    kid = np.array([body.kid_weight]) if body.kid_weight else None
    pelvis = models.get(body.model, body.gender).rest_pelvis_m(np.asarray(body.betas)[None], kid)[0]
    if body.pelvis_cam_m is not None:
        return replace(body, pelvis_cam_m=np.asarray(body.pelvis_cam_m) - pelvis)
    if body.to_cam is None:
        return replace(body, transl_m=np.asarray(body.transl_m) - pelvis)
    rotmat, offset = body.to_cam.rotmat, body.to_cam.transl_m
    wrong = RigidTransform(rotmat=rotmat, transl_m=offset + pelvis - rotmat @ pelvis)
    return replace(body, to_cam=wrong)


def transpose_rotation(body: RawBody, models: Any) -> RawBody:
    if body.to_cam is not None:
        return replace(body, to_cam=RigidTransform(rotmat=body.to_cam.rotmat.T, transl_m=body.to_cam.transl_m))
    pose = np.array(body.pose_aa, np.float64)
    pose[0] = -pose[0]
    return replace(body, pose_aa=pose)


def swap_gender(body: RawBody, models: Any) -> RawBody:
    other = {"neutral": "female", "female": "male", "male": "female"}[body.gender]
    return replace(body, gender=other)  # type: ignore[arg-type]


def degrees(body: RawBody, models: Any) -> RawBody:
    return replace(body, pose_aa=np.rad2deg(body.pose_aa))


BREAKS = (flip_axes, mirror, swap_hand_mean, drop_pelvis_offset, transpose_rotation, swap_gender, degrees)


def concerns(break_it: Any, body: RawBody) -> bool:
    """Whether a body has the convention at all. A half turn is its own transpose; a camera that is the frame's own
    origin has no offset to mirror, and no rotation to get wrong."""
    if body.to_cam is not None and break_it is mirror and abs(body.to_cam.transl_m[0]) < 1e-6:
        return False
    if body.to_cam is not None and break_it is drop_pelvis_offset and np.allclose(body.to_cam.rotmat, np.eye(3)):
        return False
    if break_it is transpose_rotation:
        return body.to_cam is None or not np.allclose(body.to_cam.rotmat, body.to_cam.rotmat.T)
    if break_it is swap_hand_mean and body.hands == "absent":
        return False
    if body.mesh_m is not None:
        return body.to_cam is not None and break_it in (flip_axes, mirror)
    if body.transl_m is None and break_it in (mirror, drop_pelvis_offset):
        return False
    return not (body.rest_mesh_m is not None and break_it is swap_gender)


def mesh_and_joints(instance: Any, models: Any) -> tuple[Any, Any]:
    """Of the source's body, or of the neutral one where that cannot be rebuilt."""
    if instance.source_body is not None and not instance.source_body.is_rebuildable:
        batch, model = neutral_batch(instance), models.get("smplx", "neutral")
    else:
        batch, model = source_batch(instance, models)
    return model.vertices(batch)[0], model.joints(batch)[0]


def misplaced(annotation: Annotation, result: Converted, person: Any, models: Any) -> tuple[float, float]:
    """Distances of the broken body's joints from the truth, in pixels over the true body's diagonal: the median of the
    22 body joints, and the largest of all."""
    joints = mesh_and_joints(result.instance, models)[1]
    if annotation.camera.has_intrinsics:
        pixels = project_with(annotation.camera, joints)
    else:
        pixels = joints[:, :2] / joints[:, 2:] * person.focal_px + person.principal_point_px
    distance = np.nan_to_num(np.linalg.norm(pixels - person.joints_px, axis=1), nan=np.inf)
    diagonal = np.linalg.norm(np.ptp(person.joints_px, axis=0))
    return float(np.median(distance[:22]) / diagonal), float(distance.max() / diagonal)


def is_exact(annotation: Annotation) -> bool:
    return any(points.is_exact for points in annotation.keypoints2d) or (
        annotation.keypoints3d is not None and annotation.keypoints3d.is_exact
    )


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda function: function.__name__)
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_a_broken_convention_is_caught(
    name: str, form: str, break_it: Any, miniature: Miniature, converted: Any, standin: Any
) -> None:
    expected = truths(miniature(name, form)[1], form)
    kept = [
        annotation
        for annotation, _ in converted(name, form)
        if annotation.body is not None and expected[identity(annotation)].is_kept
    ]
    kept = [a for a in kept if a.body is not None and concerns(break_it, a.body)]
    if not kept:
        pytest.skip("the source has no such convention")
    broken = [replace(a, body=break_it(a.body, standin)) for a in kept]
    passed, evidences = [], []
    for annotation, result in zip(broken, convert(broken, standin), strict=True):
        if isinstance(result, Reject):
            continue
        person = expected[identity(annotation)]
        vertices, _ = mesh_and_joints(result.instance, standin)
        error_mm = 1000 * np.linalg.norm(vertices - person.vertices_cam_m, axis=1).max()
        assert error_mm > 0.1, "the truth test does not see this mistake"
        has_pixels = bool(annotation.keypoints2d) and annotation.camera.has_intrinsics
        if not has_pixels and annotation.keypoints3d is None:
            continue  # the dataset has no points to compare with: only the truth test sees the mistake
        evidences.append(result.evidence)
        # A body that could not be put on its points says that it has no place.
        if check(result, limits_of(name)) is None and result.instance.body.has_transl:
            passed.append((annotation, misplaced(annotation, result, person, standin)))
    # A turn of nearly half a circle is nearly its own transpose: below the rounding of releases nothing can show.
    assert not [identity(a) for a, (_, worst) in passed if is_exact(a) and worst > 0.003]
    if break_it is swap_hand_mean:
        num_hands_seen = sum(not np.isnan([e.left_hand_share, e.right_hand_share]).all() for e in evidences)
        assert min(len(passed), num_hands_seen) < 8 or check_shard(evidences, limits_of(name)) is not None
    # Annotated points bound a body within their noise: what is misplaced beyond it must not pass.
    assert [share for _, (share, _) in passed if share > 0.12] == []
