"""Each check of the gate lets a sound instance pass and names what is wrong with an unsound one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harmonize.convert import Converted
from harmonize.evidence import Evidence, part_of
from harmonize.gate import Limits, check, check_shard, check_stored
from harmonize.record import Body, Boxes, Camera, Image, Instance, Keypoints, Provenance, SourceBody


def f32(*values: float) -> Any:
    return np.array(values, np.float32)


def sound() -> Instance:
    joints3d, joints2d = np.zeros((144, 4), np.float32), np.zeros((144, 3), np.float32)
    joints3d[:, :3], joints3d[:, 3] = (0.0, 0.0, 3.0), 1.0
    joints2d[:17] = (320.0, 240.0, 1.0)
    return Instance(
        key="k",
        image=Image(width_px=640, height_px=480, source_width_px=640, source_height_px=480),
        camera=Camera(
            focal_px=f32(500, 500), principal_point_px=f32(320, 240), has_intrinsics=True, is_calibrated=True
        ),
        body=Body(transl_m=f32(0, 0, 3), has_body=True, has_betas=True, has_transl=True, is_transl_metric=True),
        keypoints=Keypoints(
            joints2d_px=joints2d, joints3d_cam_m=joints3d, joints2d_origin="annotated", joints3d_origin="body"
        ),
        boxes=Boxes(person_xywh_px=f32(300, 200, 80, 120, 1), person_origin="dataset"),
        provenance=Provenance(dataset="d", split="train"),
    )


def reason(instance: Instance, **evidence: float) -> str | None:
    reject = check(Converted(instance=instance, evidence=Evidence(**evidence)), Limits())
    return None if reject is None else reject.reason


def test_a_sound_instance_passes() -> None:
    assert reason(sound(), reprojection_px=1.0, reprojection_share=0.01, exact_px=0.01, exact_share=1e-4) is None
    assert check_stored(sound()) == ()


def with_part(part: str, **changes: Any) -> Instance:
    instance = sound()
    return replace(instance, **{part: replace(getattr(instance, part), **changes)})


BAD: dict[str, Instance] = {
    "not-finite": with_part("body", betas=np.full(10, np.nan, np.float32)),
    "betas-range": with_part("body", betas=np.full(10, 21, np.float32)),
    "expression-range": with_part("body", expression=np.full(10, 16, np.float32)),
    "distance-range": with_part("body", transl_m=f32(0, 0, 3000)),
    "focal-range": with_part("camera", focal_px=f32(500, 0)),
    "not-a-rotation": with_part("camera", has_extrinsics=True),
    "box-missing": with_part("boxes", person_xywh_px=np.zeros(5, np.float32)),
    "box-empty": with_part("boxes", person_xywh_px=f32(10, 10, 0, 50, 1)),
    "box-outside": with_part("boxes", person_xywh_px=f32(700, 10, 50, 50, 1)),
    "box-small": with_part("boxes", person_xywh_px=f32(10, 10, 7, 50, 1)),
    "flags": with_part("body", has_body=False),
}


@pytest.mark.parametrize("expected", BAD)
def test_a_bad_record_is_named(expected: str) -> None:
    assert reason(BAD[expected]) == expected
    assert expected in [violation.reason for violation in check_stored(BAD[expected])]


def test_a_mirrored_camera_is_not_a_rotation() -> None:
    mirrored = with_part(
        "camera", has_extrinsics=True, world_to_cam_rotmat=np.diag([1.0, 1.0, -1.0]).astype(np.float32)
    )
    assert reason(mirrored) == "not-a-rotation"


def test_joints_behind_and_beside_the_picture() -> None:
    instance = sound()
    for at, expected in (((0.0, 0.0, -1.0), "behind-camera"), ((30.0, 0.0, 3.0), "outside-picture")):
        joints = instance.keypoints.joints3d_cam_m.copy()
        joints[:, :3] = at
        moved = replace(instance, keypoints=replace(instance.keypoints, joints3d_cam_m=joints))
        assert reason(moved) == expected


@pytest.mark.parametrize(
    ("expected", "evidence"),
    [
        ("exact-reprojection", {"exact_px": 2.0, "exact_share": 0.01}),
        ("exact-joints", {"exact_mm": 6.0}),
        ("measured-joints", {"measured_mm": 120.0}),
        ("reprojection", {"reprojection_px": 60.0, "reprojection_share": 0.2}),
        ("left-hand-reprojection", {"left_hand_share": 0.9}),
        ("right-hand-reprojection", {"right_hand_share": 0.9}),
        ("face-reprojection", {"face_share": np.inf}),
    ],
)
def test_disagreement_with_the_datasets_own_points(expected: str, evidence: dict[str, float]) -> None:
    assert reason(sound(), **evidence) == expected


def test_an_exact_point_may_be_rounded_on_a_large_person() -> None:
    assert reason(sound(), exact_px=0.9, exact_share=0.001) is None
    assert reason(sound(), exact_px=0.9, exact_share=np.nan) == "exact-reprojection"


def test_a_fit_that_misses_the_source() -> None:
    source = SourceBody(model="smpl", conversion="fit", num_joints=24, fit_error_mm=80.0)
    assert reason(replace(sound(), source_body=source)) == "fit-error"
    assert reason(replace(sound(), source_body=replace(source, conversion="copy"))) is None


def test_flag_statements() -> None:
    assert reason(with_part("body", has_transl=False)) == "flags"
    assert reason(with_part("camera", has_intrinsics=False)) == "flags"
    assert reason(with_part("keypoints", joints2d_origin="none")) == "flags"
    assert reason(with_part("keypoints", joints3d_origin="none")) == "flags"


def test_a_shard_is_judged_by_its_median() -> None:
    good, bad = Evidence(left_hand_share=0.05), Evidence(left_hand_share=0.4)
    assert check_shard([good] * 10 + [bad] * 5, Limits()) is None
    violation = check_shard([good] * 5 + [bad] * 10, Limits())
    assert violation is not None
    assert violation.reason == "shard-left-hand-share"
    assert violation.numbers["num_instances"] == 15
    assert check_shard([bad] * 7, Limits()) is None, "seven instances say nothing"
    assert check_shard([Evidence()] * 100, Limits()) is None
    other = check_shard([Evidence(left_hand_share=0.1, other_hand_gain=0.09)] * 8, Limits())
    assert other is not None
    assert other.reason == "shard-other-hand-gain"


def test_parts_of_names() -> None:
    assert {
        name: part_of(name) for name in ("left_index_2", "right_thumb", "left_wrist", "left_eye", "left_eye_3")
    } == {
        "left_index_2": "left_hand",
        "right_thumb": "right_hand",
        "left_wrist": "body",
        "left_eye": "body",
        "left_eye_3": "face",
    }
    assert part_of("nose") == "body"
    assert part_of("nose_middle") == part_of("nosebridge_1") == part_of("left_contour_3") == "face"
    assert part_of("right_eye_openpose") == "body"
