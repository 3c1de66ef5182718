"""Chance belongs to the draw; augmentation has the stated spread, and a simulated detector errs as it is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harmonize.errors import UsageError
from harmonize.keypoints import SMPLX_144, convention
from train.data.augment import NONE, SMPLER_X, STRONG, Augment, Changes, changes_of, occlude, recolour
from train.data.chance import chance_of
from train.data.detector import NO_ERRORS, TYPICAL, Detector, detect
from train.data.targets import MIRRORED_JOINTS

MANY = chance_of(3, 1, np.arange(20000))


def angles_deg(changes: Changes) -> np.ndarray:
    return np.degrees(np.arctan2(-changes.turn[:, 0, 1], changes.turn[:, 1, 1]))


# Chance


def test_chance_depends_on_seed_epoch_position_and_stream_alone() -> None:
    whole = chance_of(3, 1, np.arange(100)).uniform("a", 4)
    assert np.array_equal(chance_of(3, 1, np.array([7, 93])).uniform("a", 4), whole[[7, 93]])
    assert np.array_equal(chance_of(3, 1, np.arange(100))[10:20].uniform("a", 4), whole[10:20])
    others = [chance_of(4, 1, np.arange(100)), chance_of(3, 2, np.arange(100)), chance_of(3, 1, np.arange(100, 200))]
    for numbers in (*(other.uniform("a", 4) for other in others), chance_of(3, 1, np.arange(100)).uniform("b", 4)):
        assert not np.isin(numbers, whole).any()


def test_chance_is_the_published_one() -> None:
    """A change of these numbers changes every run that is ever resumed."""
    numbers = chance_of(1, 0, np.array([0, 5])).uniform("scale", 2)
    assert numbers.ravel().tolist() == [
        0.6171207777603763,
        0.4698715285269265,
        0.7472625287285563,
        0.056443164619569886,
    ]


def test_chance_is_uniform_and_normal() -> None:
    uniform, normal = MANY.uniform("u", 3), MANY.normal("n", 3)
    assert 0 <= uniform.min() < 1e-3 < 0.999 < uniform.max() < 1
    assert np.allclose(np.histogram(uniform, 10)[0] / uniform.size, 0.1, atol=0.005)
    assert np.allclose(np.corrcoef(uniform.T), np.eye(3), atol=0.03)
    assert (normal.mean(), normal.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    assert np.mean(np.abs(normal) > 1.96) == pytest.approx(0.05, abs=0.005)


# Augmentation


def test_values_of_smpler_x() -> None:
    changes = changes_of(SMPLER_X, MANY)
    assert (changes.zoom.min(), changes.zoom.max()) == (pytest.approx(1 / 1.25), pytest.approx(1 / 0.75))
    assert np.std(1 / changes.zoom) == pytest.approx(0.25 * 0.718, rel=0.03)  # of a normal number clipped at 1
    angles = angles_deg(changes)
    assert np.abs(angles).max() == pytest.approx(60)
    assert np.mean(angles != 0) == pytest.approx(0.6, abs=0.015)
    assert np.mean(np.abs(angles[angles != 0]) < 30) == pytest.approx(0.683, abs=0.015)
    assert changes.is_mirrored.mean() == pytest.approx(0.5, abs=0.015)
    assert not changes.shift.any()
    assert changes.colour is not None
    gains = np.diagonal(changes.colour, axis1=1, axis2=2)
    assert (gains.min(), gains.max()) == (pytest.approx(0.8, abs=1e-3), pytest.approx(1.2, abs=1e-3))
    assert np.count_nonzero(changes.colour) == gains.size
    assert SMPLER_X.occluders == 0


@pytest.mark.parametrize("augment", [NONE, SMPLER_X, STRONG])
def test_turns_are_rotations_or_mirrors_of_rotations(augment: Augment) -> None:
    changes = changes_of(augment, MANY[:500])
    assert np.allclose(changes.spin @ changes.spin.swapaxes(1, 2), np.eye(3))
    assert np.allclose(np.linalg.det(changes.turn), np.where(changes.is_mirrored, -1, 1))
    assert np.allclose(np.sign(np.linalg.det(changes.turn)) < 0, changes.is_mirrored)


def test_nothing_is_changed_unless_asked() -> None:
    changes = changes_of(NONE, MANY[:50])
    assert (changes.colour, changes.is_mirrored.any(), changes.shift.any()) == (None, False, False)
    assert np.array_equal(changes.turn, np.broadcast_to(np.eye(2), (50, 2, 2)))
    assert np.array_equal(changes.zoom, np.ones(50))


def test_one_kind_of_change_does_not_move_another() -> None:
    alone, together = changes_of(Augment(rotation_deg=20), MANY), changes_of(replace(STRONG, rotation_deg=20), MANY)
    turned = (angles_deg(together) != 0) & (np.abs(angles_deg(alone)) < 90)
    assert np.allclose(angles_deg(alone)[turned], angles_deg(together)[turned])


def test_colours() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3)).astype(np.uint8)
    before = crops.copy()
    for augment in (Augment(colour=0.2), Augment(brightness=0.3), Augment(contrast=0.5), Augment(saturation=1)):
        changes = changes_of(augment, chance_of(0, 0, np.arange(2)))
        found = before.copy()
        recolour(changes, found)
        assert changes.colour is not None
        for i in range(2):
            expected = (before[i] @ changes.colour[i, :, :3].T + changes.colour[i, :, 3]).clip(0, 255)
            assert np.abs(found[i] - expected).max() <= 1
    grey = np.full((2, 8, 6, 3), 90, np.uint8)
    recolour(changes_of(Augment(saturation=1), chance_of(0, 0, np.arange(2))), grey)
    assert np.abs(grey.astype(int) - 90).max() <= 1  # grey has no saturation to change


def test_occluders_cover_within_their_bounds() -> None:
    augment = Augment(occluders=2, occluder_probability=0.5, occluder_size=0.4)
    crops = np.full((400, 64, 48, 3), 7, np.uint8)
    occlude(augment, crops, MANY[:400])
    covered = (crops != 7).any(axis=-1).mean(axis=(1, 2))
    assert np.mean(covered > 0) == pytest.approx(0.5, abs=0.08)
    assert 0.1 < covered.max() <= 2 * (0.4 * 64) ** 2 * 1.1 / (64 * 48)
    again = np.full((400, 64, 48, 3), 7, np.uint8)
    occlude(augment, again, MANY[:400])
    assert np.array_equal(crops, again)


@pytest.mark.parametrize(
    ("name", "value"),
    [("scale", 1.0), ("flip_probability", 1.5), ("occluders", 17), ("shift", -0.1), ("colour", np.nan)],
)
def test_impossible_values_are_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name}: expected 0 to"):
        Augment(**{name: value})


# The simulated detector


def people(num: int) -> np.ndarray:
    """Keypoints of one body shape in crops: 100 px high, with hands of 10 px."""
    rng = np.random.default_rng(0)
    points = np.ones((num, 144, 3), np.float32)
    points[..., :2] = rng.uniform([60, 70], [120, 170], (144, 2))
    for side, x in (("left", 70), ("right", 110)):
        hand = [i for i, name in enumerate(SMPLX_144) if name.startswith(f"{side}_index")]
        rest = [i for i, name in enumerate(SMPLX_144) if name.startswith(tuple(f"{side}_{f}" for f in FINGERS))]
        points[:, rest, :2] = rng.uniform([x, 100], [x + 10, 110], (len(rest), 2))
        points[:, hand[:2], :2] = [[x, 100], [x + 10, 110]]
    points[:, 0, :2], points[:, 1, :2] = [90, 70], [90, 170]
    return points


FINGERS = ("index", "middle", "pinky", "ring", "thumb")
HANDS = [i for i, name in enumerate(SMPLX_144) if name.split("_")[1:] and name.split("_")[1] in FINGERS]


def test_detector_without_errors_says_the_truth() -> None:
    truth = people(3)
    assert np.array_equal(detect(NO_ERRORS, truth, MANY[:3]), truth)


def test_jitter_is_of_the_size_of_the_part() -> None:
    truth = people(2000)
    found = detect(Detector(body_jitter=0.02, hand_jitter=0.1), truth, MANY[:2000])
    error = found[..., :2] - truth[..., :2]
    assert np.std(error[:, 3:6]) == pytest.approx(0.02 * 100, rel=0.05)
    assert np.std(error[:, HANDS]) == pytest.approx(0.1 * 10, rel=0.05)
    assert not error[:, 80:].any()  # the face was given none
    size = np.linalg.norm(error[:, 3:6], axis=-1).ravel()
    assert np.corrcoef(size, found[:, 3:6, 2].ravel())[0, 1] < -0.3
    together = detect(Detector(part_shift=0.2), truth, MANY[:2000])[..., :2] - truth[..., :2]
    assert np.ptp(together[:, 25:40], axis=1).max() < 1e-4
    assert np.std(together[:, 25]) == pytest.approx(0.2 * 10, rel=0.05)
    assert not together[:, 3].any()


def test_drop_outs_and_missing_parts() -> None:
    truth = people(4000)
    found = detect(Detector(drop_probability=0.2), truth, MANY[:4000])
    assert np.mean(found[..., 2] == 0) == pytest.approx(0.2, abs=0.01)
    assert not found[found[..., 2] == 0].any()
    found = detect(Detector(missing_hand_probability=0.3), truth, MANY[:4000])
    gone = found[:, HANDS, 2] == 0
    assert gone.mean() == pytest.approx(0.3, abs=0.02)
    assert np.array_equal(gone[:, :15].all(axis=1), gone[:, :15].any(axis=1))
    assert found[:, :25, 2].min() > 0


def test_left_is_taken_for_right_by_limbs() -> None:
    truth = people(500)
    found = detect(Detector(swap_probability=0.5), truth, MANY[:500])[..., :2]
    mirrored = truth[:, MIRRORED_JOINTS, :2]
    knees = [SMPLX_144.index("left_knee"), SMPLX_144.index("right_ankle")]
    arms = [SMPLX_144.index("left_wrist"), SMPLX_144.index("right_index_2")]
    for limb in (knees, arms):
        is_swapped = (found[:, limb] == mirrored[:, limb]).all(axis=(1, 2))
        assert is_swapped.mean() == pytest.approx(0.5, abs=0.07)
        assert np.array_equal(found[~is_swapped][:, limb], truth[~is_swapped][:, limb, :2])


def test_misses_stay_near_their_part() -> None:
    truth = people(1000)
    found = detect(Detector(miss_probability=1), truth, MANY[:1000])
    left = found[:, 25:40, :2]
    assert (left.min(axis=(0, 1)) >= np.array([65, 95]) - 0.1).all()
    assert (left.max(axis=(0, 1)) <= np.array([85, 115]) + 0.1).all()
    assert np.std(left[..., 0]) == pytest.approx(20 / 12**0.5, rel=0.05)


def test_unknown_points_stay_unknown_and_only_seen_points_are_found() -> None:
    truth = people(200)
    truth[:, 10:80, 2], truth[:, 10:80, :2] = 0, np.nan
    found = detect(TYPICAL, truth, MANY[:200])
    assert np.isfinite(found).all()
    assert not found[:, 10:80].any()
    seen = np.isin(SMPLX_144, convention("coco_wholebody_133").names)
    assert not found[:, ~seen].any()
    assert found[:, seen, 2].max() > 0
    assert np.array_equal(detect(TYPICAL, truth[50:60], MANY[50:60]), found[50:60])


def test_nobody_is_found_where_nothing_is_known() -> None:
    assert not detect(TYPICAL, np.zeros((2, 144, 3), np.float32), MANY[:2]).any()


def test_impossible_detectors_are_refused() -> None:
    with pytest.raises(UsageError, match="drop_probability: expected 0 to 1"):
        Detector(drop_probability=2)
    with pytest.raises(UsageError, match="nowhere"):
        Detector(sees="nowhere")
