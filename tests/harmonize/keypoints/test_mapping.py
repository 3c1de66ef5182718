"""Named points into the record's two blocks."""

from __future__ import annotations

import numpy as np
import pytest

from harmonize.errors import RecordError
from harmonize.keypoints import CONVENTIONS, SMPLX_144, convention, to_smplx


def tagged(names: tuple[str, ...]) -> np.ndarray:
    """One row a name, whose values tell the name."""
    return np.array([[sum(name.encode()), len(name), 1.0] for name in names], np.float32)


def is_by_name(names: tuple[str, ...], joints: np.ndarray) -> bool:
    expected = np.zeros((144, 3), np.float32)
    for at, name in enumerate(SMPLX_144):
        if name in names:
            expected[at] = tagged((name,))[0]
    return np.array_equal(joints, expected)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_point_lands_at_its_name(name: str) -> None:
    names = convention(name).names
    joints, extra_names, extra_values = to_smplx(names, tagged(names))
    assert is_by_name(names, joints)
    assert set(extra_names) == {n for n in names if n not in SMPLX_144 and not n.endswith("_unused")}
    np.testing.assert_array_equal(extra_values[: len(extra_names)], tagged(extra_names).reshape(-1, 3))
    assert not extra_values[len(extra_names) :].any()
    assert (joints.dtype, extra_values.shape) == (np.float32, (64, 3))


def test_mapping_by_position_is_caught() -> None:
    for name in ("coco_17", "human_data_190", "smplh_73", "openpose_137"):
        names = convention(name).names
        by_position = np.zeros((144, 3), np.float32)
        by_position[: min(144, len(names))] = tagged(names)[:144]
        # human_data_190 begins with the 144 in order: there, and only there, position and name agree.
        assert is_by_name(names, by_position) == (name == "human_data_190")


def test_identity() -> None:
    values = np.random.default_rng(0).normal(size=(144, 4))
    joints, extra_names, _ = to_smplx(SMPLX_144, values)
    np.testing.assert_array_equal(joints, values.astype(np.float32))
    assert extra_names == ()


def test_annotated_hips_never_reach_the_joints() -> None:
    names = convention("coco_17").names
    joints, extra_names, _ = to_smplx(names, np.ones((17, 3)))
    assert extra_names == ("left_hip_extra", "right_hip_extra")
    assert not joints[[SMPLX_144.index("left_hip"), SMPLX_144.index("right_hip")]].any()


def test_no_points_at_all() -> None:
    joints, extra_names, extra_values = to_smplx((), np.zeros((0, 3)))
    assert (joints.shape, extra_names, extra_values.shape) == ((144, 3), (), (64, 3))
    assert not joints.any()


def test_wrong_input_is_named() -> None:
    with pytest.raises(RecordError, match=r"\(2, D\) values for 2 names, found \(3, 3\)"):
        to_smplx(("nose", "neck"), np.zeros((3, 3)))
    with pytest.raises(RecordError, match="found nose more often"):
        to_smplx(("nose", "neck", "nose"), np.zeros((3, 3)))
    with pytest.raises(RecordError, match="at most 64 extra points, found 65"):
        to_smplx([f"marker_{i}" for i in range(65)], np.zeros((65, 3)))
