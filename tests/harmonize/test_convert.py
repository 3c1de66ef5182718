"""Conversion: what it refuses, what it keeps of the source, and what follows from missing parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.convert import Converted, convert
from harmonize.keypoints import convention
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
