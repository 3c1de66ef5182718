"""The tables of keypoint names: counts, spelling, definitions, mirror pairs."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from harmonize.errors import UsageError
from harmonize.keypoints import CONVENTIONS, SMPLX_144, convention

HUMAN_DATA = convention("human_data_190").names
SURFACE_HIPS = ("coco_17", "coco_wholebody_133", "crowdpose_14", "posetrack_17", "ochuman_19", "mpii_16", "lsp_14")
# No slot in the 190: the hand roots of COCO-WholeBody and the pupils of OpenPose.
HOMELESS = {"left_hand_root", "right_hand_root", "left_eyeball_unused", "right_eyeball_unused"}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_names_are_unique_and_as_many_as_the_name_says(name: str) -> None:
    found = convention(name)
    assert found.name == name
    assert len(found.names) == len(set(found.names)) == int(name.rsplit("_", 1)[1])
    assert found.source
    assert {point for point in found.names if not point.endswith("_gta")} <= set(HUMAN_DATA) | HOMELESS


def test_every_file_is_listed() -> None:
    folder = files("harmonize.keypoints.conventions")
    assert sorted(CONVENTIONS) == list(CONVENTIONS)
    assert {file.name for file in folder.iterdir() if file.name.endswith(".yaml")} == {f"{n}.yaml" for n in CONVENTIONS}


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="expected one of agora_127, coco_17"):
        convention("../coco_17")


def test_smplx_is_the_beginning_of_human_data_and_agora_of_smplx() -> None:
    assert HUMAN_DATA[:144] == SMPLX_144 == convention("smplx_144").names
    assert convention("agora_127").names == SMPLX_144[:127]


def test_order_of_the_smplx_package() -> None:
    package = pytest.importorskip("smplx.joint_names").JOINT_NAMES
    assert len(package) == 144
    spelled = {
        "spine1": "spine_1",
        "left_eye_smplhf": "left_eyeball",
        "left_big_toe": "left_bigtoe",
        "right_eye_brow1": "right_eyebrow_1",
        "nose1": "nosebridge_1",
    }
    assert [SMPLX_144[package.index(theirs)] for theirs in spelled] == list(spelled.values())
    same = [theirs for theirs, ours in zip(package, SMPLX_144, strict=True) if theirs == ours]
    assert len(same) > 60
    for theirs, ours in zip(package, SMPLX_144, strict=True):
        assert ("left_" in theirs, "right_" in theirs) == ("left_" in ours, "right_" in ours)


def test_smpl_family_shares_its_body_and_its_vertex_joints() -> None:
    smpl, smplh = convention("smpl_45").names, convention("smplh_73").names
    assert smpl[:22] == smplh[:22] == SMPLX_144[:22]
    assert smpl[:24] == convention("smpl_24").names
    assert smplh[22:52] == SMPLX_144[25:55]
    assert smpl[24:] == smplh[52:] == SMPLX_144[55:76]


@pytest.mark.parametrize("name", SURFACE_HIPS)
def test_annotated_points_are_not_taken_for_joints(name: str) -> None:
    names = set(convention(name).names)
    assert {"left_hip_extra", "right_hip_extra"} <= names
    assert names.isdisjoint({"left_hip", "right_hip", "pelvis", "neck", "head"})


def test_head_and_neck_of_crowdpose_and_ochuman() -> None:
    for name in ("crowdpose_14", "ochuman_19"):
        assert convention(name).names[12:14] == ("headtop", "neck_extra")


def test_detections_are_not_taken_for_joints() -> None:
    for name in ("openpose_18", "openpose_25"):
        assert all(point.endswith("_openpose") for point in convention(name).names)
    # BODY-25 without the middle hip and the feet, which come last, is the older 18-point model.
    body25 = convention("openpose_25").names
    assert convention("openpose_18").names == body25[:8] + body25[9:19]


def test_all_brows_of_openpose_137_map() -> None:
    assert {name for name in SMPLX_144 if "eyebrow" in name} <= set(convention("openpose_137").names)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_flip_is_an_involution_that_swaps_sides(name: str) -> None:
    found = convention(name)
    order = np.arange(len(found.names))
    for first, second in found.flip_pairs:
        order[[first, second]] = order[[second, first]]
    np.testing.assert_array_equal(order[order], np.arange(len(order)))
    mirrored = [found.names[at] for at in order]
    for before, after in zip(found.names, mirrored, strict=True):
        assert after == before.replace("left_", "*").replace("right_", "left_").replace("*", "right_")
    assert all(first < second for first, second in found.flip_pairs)


def test_flip_pairs_that_datasets_publish() -> None:
    coco = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
    assert convention("coco_17").flip_pairs == coco
    assert convention("mpii_16").flip_pairs == ((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13))
