"""Conversion: what it refuses, what it keeps of the source, and what follows from missing parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.bodies import BodyBatch
from harmonize.convert import Converted, convert
from harmonize.geometry.cameras import project_with
from harmonize.keypoints import SMPLX_144, convention
from harmonize.meshes import body_vertices_m, source_vertices_m
from harmonize.record import Boxes, Camera, Instance, Provenance


def raw_body(**changes: Any) -> RawBody:
    rng = np.random.default_rng(0)
    body = RawBody(
        model="smplx",
        gender="neutral",
        pose_aa=rng.normal(0, 0.2, (55, 3)),
        betas=rng.normal(0, 0.5, 10),
        transl_m=np.array([0.1, 0.2, 4.0]),
        hands="relative",
        expression=rng.normal(0, 0.5, 10),
        has_left_hand=True,
        has_right_hand=True,
        has_jaw=True,
        has_expression=True,
    )
    return replace(body, **changes)


def annotation(body: RawBody | None, **changes: Any) -> Annotation:
    one = Annotation(
        provenance=Provenance(dataset="d", split="train", frame="1", person="0"),
        image=ImageSource(path="1.jpg", orientation=1),
        camera=Camera(
            focal_px=np.array([500, 500], np.float32),
            principal_point_px=np.array([320, 240], np.float32),
            has_intrinsics=True,
        ),
        boxes=Boxes(),
        body=body,
        image_size_px=(640, 480),
    )
    return replace(one, **changes)


def instance_of(models: Any, body: RawBody | None, **changes: Any) -> Instance:
    [result] = convert([annotation(body, **changes)], models)
    assert isinstance(result, Converted), result
    return result.instance


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("pose-shape", {"pose_aa": np.zeros((24, 3))}),
        ("betas-shape", {"betas": np.zeros(17)}),
        ("betas-shape", {"betas": np.zeros((1, 10))}),
        ("not-finite", {"transl_m": np.array([0, np.nan, 1])}),
        ("not-finite", {"expression": np.full(10, np.inf)}),
        ("rotation-range", {"pose_aa": np.full((55, 3), 30.0)}),
        ("not-finite", {"to_cam": RigidTransform(rotmat=np.full((3, 3), np.nan), transl_m=np.zeros(3))}),
        ("not-a-rotation", {"to_cam": RigidTransform(rotmat=np.zeros((3, 3)), transl_m=np.zeros(3))}),
        ("not-a-rotation", {"to_cam": RigidTransform(rotmat=np.diag([1.0, 1, -1]), transl_m=np.zeros(3))}),
        ("not-a-rotation", {"to_cam": RigidTransform(rotmat=np.full((3, 3), 1e200), transl_m=np.zeros(3))}),
    ],
)
def test_unusable_numbers_are_rejects_that_leave_the_others_alone(
    reason: str, changes: dict[str, Any], standin: Any
) -> None:
    bad, good = annotation(raw_body(**changes)), annotation(raw_body())
    first, second = convert([bad, good], standin)
    assert isinstance(first, Reject)
    assert first.reason == reason
    assert isinstance(second, Converted)


def test_relative_hands_become_absolute_and_the_source_is_kept(standin: Any) -> None:
    body = raw_body()
    instance = instance_of(standin, body)
    mean = standin.get("smplx", "neutral").hand_mean_aa
    np.testing.assert_allclose(instance.body.left_hand_pose_aa, body.pose_aa[25:40] + mean[0], atol=1e-6)
    np.testing.assert_allclose(instance.body.right_hand_pose_aa, body.pose_aa[40:55] + mean[1], atol=1e-6)
    assert instance.source_body is not None
    assert instance.source_body.hand_mean == "relative"
    assert instance.source_body.conversion == "identity"
    np.testing.assert_allclose(instance.source_body.pose_aa, body.pose_aa, atol=1e-6)


def test_absolute_neutral_bodies_need_no_source(standin: Any) -> None:
    assert instance_of(standin, raw_body(hands="absolute")).source_body is None


def test_rotations_beyond_pi_are_stored_as_the_same_rotation_within_pi(standin: Any) -> None:
    pose = np.zeros((55, 3))
    pose[5] = [2 * np.pi + 0.3, 0, 0]
    body = instance_of(standin, raw_body(pose_aa=pose, hands="absolute")).body
    np.testing.assert_allclose(body.body_pose_aa[4], [0.3, 0, 0], atol=1e-5)


def test_a_body_without_a_place_has_pose_and_shape_but_no_joints(standin: Any) -> None:
    instance = instance_of(standin, raw_body(transl_m=None))
    assert instance.body.has_body
    assert instance.body.has_betas
    assert not instance.body.has_transl
    assert not instance.body.is_transl_metric
    assert not instance.body.transl_m.any()
    assert instance.keypoints.joints3d_origin == "none"


def test_a_stated_pelvis_decides_the_translation(standin: Any) -> None:
    pelvis = np.array([0.5, -0.2, 3.0])
    instance = instance_of(standin, raw_body(transl_m=None, pelvis_cam_m=pelvis))
    assert instance.body.has_transl
    np.testing.assert_allclose(instance.keypoints.joints3d_cam_m[0, :3], pelvis, atol=1e-6)


def test_unknown_parts_have_no_joints(standin: Any) -> None:
    joints = instance_of(standin, raw_body(has_left_hand=False, has_jaw=False)).keypoints.joints3d_cam_m
    names = convention("smplx_144").names
    known = {name for name, joint in zip(names, joints, strict=True) if joint[3] > 0}
    assert "left_index_1" not in known
    assert "left_thumb" not in known
    assert "mouth_top" not in known
    assert {"right_index_1", "left_wrist", "left_eyeball", "nose"} <= known


def test_copy_does_what_smplerx_does(standin: Any) -> None:
    pose = np.random.default_rng(1).normal(0, 0.2, (24, 3))
    body = RawBody(
        model="smpl", gender="male", pose_aa=pose, betas=np.ones(10), transl_m=np.array([0, 0, 4.0]), hands="absent"
    )
    [result] = convert([annotation(body)], standin, "copy")
    assert isinstance(result, Converted)
    stored = result.instance.body
    np.testing.assert_allclose(stored.body_pose_aa, pose[1:22], atol=1e-6)
    np.testing.assert_allclose(stored.transl_m, [0, 0, 4], atol=1e-6)
    assert not stored.betas.any()
    assert not stored.has_betas
    assert result.instance.source_body is not None
    assert result.instance.source_body.conversion == "copy"


def test_boxes_come_from_points_where_the_dataset_has_none(standin: Any) -> None:
    names = convention("coco_17").names
    values = np.column_stack([np.linspace(100, 200, 17), np.linspace(50, 400, 17), np.ones(17)])
    values[3] = (9999.0, 0.0, 0.0)
    points = NamedPoints(names=names, values=values, origin="annotated")
    boxes = instance_of(standin, None, keypoints2d=(points,)).boxes
    np.testing.assert_allclose(boxes.person_xywh_px, [100, 50, 100, 350, 1])
    assert boxes.person_origin == "keypoints"
    projected = instance_of(standin, raw_body()).boxes
    assert projected.person_origin == "projected"
    assert projected.left_hand_xywh_px[4] == 1


def test_points_of_other_definitions_keep_their_names(standin: Any) -> None:
    names = ("nose", "left_hip_extra", "headtop")
    values = np.array([[1.0, 2, 1], [3, 4, 0.5], [5, 6, 0]])
    keypoints = instance_of(
        standin, None, keypoints2d=(NamedPoints(names=names, values=values, origin="annotated"),)
    ).keypoints
    assert keypoints.extra_names == ("left_hip_extra", "headtop")
    np.testing.assert_allclose(keypoints.extra2d_px[:2], values[1:])
    assert not keypoints.joints2d_px[1].any(), "an annotated hip is not the model's hip"


def test_order_is_kept_across_body_models(standin: Any) -> None:
    smpl = RawBody(
        model="smpl",
        gender="female",
        pose_aa=np.zeros((24, 3)),
        betas=np.zeros(10),
        transl_m=np.array([0, 0, 4.0]),
        hands="absent",
    )
    bodies = [raw_body(), smpl, None, raw_body(gender="male"), smpl]
    people = [
        annotation(body, provenance=Provenance(dataset="d", split="train", frame="1", person=str(i)))
        for i, body in enumerate(bodies)
    ]
    results = convert(people, standin)
    assert [result.instance.provenance.person for result in results if isinstance(result, Converted)] == list("01234")


# --- what some datasets give instead of plain parameters -------------------------------------------------------------


def test_hand_components_become_finger_rotations_and_the_mean_is_added_once(standin: Any) -> None:
    model = standin.get("smplx", "male")
    coefficients = np.linspace(-1, 1, 12)
    pose = raw_body().pose_aa.copy()
    pose[25:] = 0
    by_hand = pose.copy()
    by_hand[25:40] = (coefficients @ model.hand_components[0, :12]).reshape(15, 3)
    by_hand[40:] = (-coefficients @ model.hand_components[1, :12]).reshape(15, 3)
    given = raw_body(gender="male", pose_aa=pose, left_hand_pca=coefficients, right_hand_pca=-coefficients)
    found, expected = instance_of(standin, given), instance_of(standin, raw_body(gender="male", pose_aa=by_hand))
    np.testing.assert_allclose(source_vertices_m(found, standin), source_vertices_m(expected, standin), atol=1e-6)
    np.testing.assert_allclose(found.body.left_hand_pose_aa, expected.body.left_hand_pose_aa, atol=1e-6)
    assert found.source_body is not None
    assert found.source_body.hand_mean == "absolute"


@pytest.mark.parametrize("bad", [np.zeros(46), np.zeros((1, 12)), np.zeros(0)])
def test_hand_coefficients_of_another_shape_are_refused(bad: Any, standin: Any) -> None:
    [result] = convert([annotation(raw_body(left_hand_pca=bad))], standin)
    assert isinstance(result, Reject)
    assert result.reason == "hands-shape"


def test_unknown_rotations_are_flagged_and_what_they_carry_is_not_measured(standin: Any) -> None:
    instance = instance_of(standin, raw_body(unknown_joints=("left_ankle", "right_wrist")))
    known = dict(zip(SMPLX_144[1:22], instance.body.known_body_joints, strict=True))
    assert {name for name, value in known.items() if value == 0} == {"left_ankle", "right_wrist"}
    confidence = dict(zip(SMPLX_144, instance.keypoints.joints3d_cam_m[:, 3], strict=True))
    lost = {name for name, value in confidence.items() if value == 0}
    assert {"left_foot", "left_bigtoe", "left_heel", "right_index_1", "right_thumb"} <= lost
    assert not lost & {"left_ankle", "right_wrist", "right_heel", "left_index_1", "nose"}


def test_a_posed_mesh_is_fitted_in_the_camera_frame(standin: Any) -> None:
    plain = instance_of(standin, raw_body(hands="absolute"))
    mesh = body_vertices_m(plain, standin).astype(np.float64)
    turn, offset = Rotation.from_rotvec([0.3, -0.4, 2.8]).as_matrix(), np.array([0.1, -0.2, 0.5])
    given = raw_body(
        pose_aa=np.zeros((55, 3)),
        betas=np.zeros(10),
        transl_m=np.zeros(3),
        expression=None,
        hands="absolute",
        mesh_m=(mesh - offset) @ turn,
        to_cam=RigidTransform(rotmat=turn, transl_m=offset),
    )
    found = instance_of(standin, given)
    assert np.abs(body_vertices_m(found, standin) - mesh).max() < 2e-3
    assert found.source_body is not None
    assert not found.source_body.is_rebuildable
    assert found.source_body.fit_error_mm < 0.1
    [refused] = convert([annotation(replace(given, mesh_m=mesh[:5]))], standin)
    assert isinstance(refused, Reject)
    assert refused.reason == "mesh-shape"


def test_a_subject_mesh_is_posed_about_its_own_pelvis(standin: Any) -> None:
    rest = standin.get("smplx", "male").template.numpy() * np.float32(0.97)
    turn = Rotation.from_rotvec([3.0, 0.1, 0.2]).as_matrix()
    given = raw_body(
        gender="male",
        betas=np.zeros(10),
        rest_mesh_m=rest,
        hands="absolute",
        expression=None,
        to_cam=RigidTransform(rotmat=turn, transl_m=np.array([0.0, 0.0, 7.0])),
    )
    subject = standin.subject("smplx", "male", rest)
    batch = BodyBatch(pose_aa=given.pose_aa[None], betas=np.zeros((1, 10)), transl_m=given.transl_m[None])
    pelvis = turn @ subject.joints(batch)[0, 0] + [0, 0, 7]
    found = instance_of(standin, given)
    np.testing.assert_allclose(found.keypoints.joints3d_cam_m[0, :3], pelvis, atol=1e-5)
    assert found.source_body is not None
    assert not found.source_body.is_rebuildable


def test_a_place_is_solved_from_points_or_left_open(standin: Any) -> None:
    placed = instance_of(standin, raw_body())
    pixels = project_with(placed.camera, placed.keypoints.joints3d_cam_m[:22, :3])
    points = NamedPoints(
        names=SMPLX_144[:22], values=np.column_stack([pixels, np.ones(22)]), origin="projected", is_exact=False
    )
    asked = raw_body(transl_m=None, is_transl_solved=True, is_transl_metric=False)
    found = instance_of(standin, asked, keypoints2d=(points,))
    np.testing.assert_allclose(found.body.transl_m, placed.body.transl_m, atol=1e-3)
    assert found.body.has_transl
    assert not found.body.is_transl_metric
    wrong = replace(points, values=points.values + np.random.default_rng(0).normal(0, 30, (22, 3)) * [1, 1, 0])
    assert not instance_of(standin, asked, keypoints2d=(wrong,)).body.has_transl
    assert not instance_of(standin, asked).body.has_transl
