"""AGORA's matching, counted by hand and against a literal search; F1 and the figures derived from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.metrics.agora import (
    Detection,
    agora_figures,
    box_ious,
    detection,
    full_body_mm,
    match_people,
    normalised_mm,
)
from harmonize.errors import DataError

SHAPE = np.random.default_rng(0).uniform(0, 1, (24, 2))
SHAPE[0], SHAPE[1] = (0, 0), (1, 1)


def people(*places: tuple[float, float], size: float = 100, joints: int = 24) -> Tensor:
    """The same figure at several places, its box `size` wide and high; joints beyond 24 lie inside."""
    shape = np.concatenate([SHAPE, np.full((joints - 24, 2), 0.5)])
    return torch.tensor(np.array(places).reshape(-1, 1, 2) + size * shape)


def all_valid(num: int) -> Tensor:
    return torch.ones(num, dtype=torch.bool)


def literal(pred: Any, true: Any, valid: list[bool]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """The rule in words, on numpy arrays: look at the nearest pair not yet looked at, again and again."""

    def iou(p: Any, t: Any) -> float:
        low, high = np.maximum(p.min(0), t.min(0)), np.minimum(p.max(0), t.max(0))
        common = np.prod(np.maximum(high - low + 1, 0))
        sizes = [np.prod(of.max(0) - of.min(0) + 1) for of in (p, t)]
        return float(common / (sum(sizes) - common))

    left = {(i, j): np.linalg.norm(p[:24] - t[:24], 2) for i, p in enumerate(pred) for j, t in enumerate(true)}
    gone_pred: set[int] = set()
    gone_true: set[int] = set()
    matched: list[tuple[int, int]] = []
    too_far = 0
    while len(gone_true) < len(true) and len(gone_pred) + too_far < len(pred):
        while True:
            i, j = min(left, key=lambda pair: left[pair])
            del left[i, j]
            is_far = iou(pred[i], true[j]) < 0.1
            if is_far or (i not in gone_pred and j not in gone_true):
                break
        too_far += is_far
        if not valid[j]:
            gone_true.add(j)
        elif not is_far:
            matched.append((i, j))
            gone_pred.add(i)
            gone_true.add(j)
    seen_pred, seen_true = {i for i, _ in matched}, {j for _, j in matched}
    misses = [j for j in range(len(true)) if valid[j] and j not in seen_true]
    return matched, [i for i in range(len(pred)) if i not in seen_pred], misses


def test_each_person_is_matched_to_the_nearest_prediction() -> None:
    true = people((0, 0), (300, 0), (600, 0))
    found = match_people(people((610, 0), (5, 0), (305, 5)), true, all_valid(3))
    assert set(found.pairs) == {(0, 2), (1, 0), (2, 1)}
    assert found.pairs[0] == (1, 0)
    assert found.false_positives == found.misses == ()


def test_people_without_overlap_are_misses_and_false_positives() -> None:
    found = match_people(people((0, 0), (2000, 0)), people((10, 0), (900, 0)), all_valid(2))
    assert (found.pairs, found.false_positives, found.misses) == (((0, 0),), (1,), (1,))


def test_one_person_takes_one_prediction() -> None:
    found = match_people(people((20, 0), (3, 0)), people((0, 0)), all_valid(1))
    assert (found.pairs, found.false_positives, found.misses) == (((1, 0),), (0,), ())


@pytest.mark.parametrize(("shift", "is_match"), [(81, True), (83, False)])
def test_boxes_must_overlap_by_a_tenth(shift: float, is_match: bool) -> None:
    # Two boxes of side s, shifted by d: overlap (s - d) / (s + d), a tenth at d = 9 s / 11; here s = 101 pixels: 82.6.
    pred, true = people((shift, 0)), people((0, 0))
    assert box_ious(pred, true).item() == pytest.approx((101 - shift) / (101 + shift))
    assert bool(match_people(pred, true, all_valid(1)).pairs) == is_match


def test_boxes_hold_all_joints_but_distance_only_the_first_24() -> None:
    true = people((0, 0), joints=127)
    true[0, 100] = torch.tensor([-900.0, 50.0])
    pred = people((0, 0))
    assert box_ious(pred, true).item() == pytest.approx(101 / 1001)
    assert match_people(pred, true, all_valid(1)).pairs == ((0, 0),)
    # Nearer by the first 24 joints, farther by the rest.
    far = people((0, 0), (10, 0), joints=30)
    far[0, 24:] = 99.0
    assert match_people(far, people((0, 0), joints=30), all_valid(1)).pairs == ((0, 0),)


def test_distance_is_the_spectral_norm() -> None:
    # Off by 10 in x and 10 in y at other joints: spectral norm 10, Frobenius norm 14; off by 12 in x: both 12.
    true = people((0, 0))
    pred = torch.cat([true, true])
    pred[0, 4, 0] += 10
    pred[0, 5, 1] += 10
    pred[1, 4, 0] += 12
    assert match_people(pred, true, all_valid(1)).pairs == ((0, 0),)


def test_people_who_do_not_count_are_no_misses() -> None:
    true, valid = people((0, 0), (400, 0)), torch.tensor([True, False])
    found = match_people(people((5, 0)), true, valid)
    assert (found.pairs, found.false_positives, found.misses) == (((0, 0),), (), ())
    # A prediction of a person who does not count is a false positive in the published code.
    found = match_people(people((5, 0), (401, 0)), true, valid)
    assert (found.pairs, found.false_positives, found.misses) == (((0, 0),), (1,), ())


def test_matching_stops_when_far_pairs_have_used_up_the_predictions() -> None:
    # Both predictions fit; but the pair (0, 1), too far apart, is nearer than (1, 1), a prediction far too large.
    true = people((0, 0), (110, 0))
    pred = torch.cat([people((1, 0)), people((110, 0), size=350)])
    assert float(box_ious(pred, true)[0, 1]) < 0.1
    assert float(box_ious(pred[1:], true[1:])) < 0.1
    pred[1, :, 0] = 110 + (pred[1, :, 0] - 110) * 0.3
    assert float(box_ious(pred, true)[1, 1]) >= 0.1
    found = match_people(pred, true, all_valid(2))
    assert (found.pairs, found.false_positives, found.misses) == (((0, 0),), (1,), (1,))
    # Without the first person there is nothing that stops it.
    assert match_people(pred[1:], true[1:], all_valid(1)).pairs == ((0, 0),)


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_the_rule_in_words(seed: int) -> None:
    chance = np.random.default_rng(seed)
    num_pred, num_true = chance.integers(0, 9, 2)
    true = people(*chance.uniform(0, 400, (num_true, 2)), joints=127)
    pred = people(*chance.uniform(0, 400, (num_pred, 2))) + torch.tensor(chance.normal(0, 10, (num_pred, 24, 2)))
    valid = chance.random(num_true) < 0.8
    found = match_people(pred, true, torch.tensor(valid))
    matched, false, misses = literal(pred.numpy(), true.numpy(), valid.tolist())
    assert (found.pairs, found.false_positives, found.misses) == (tuple(matched), tuple(false), tuple(misses))
    assert len(found.pairs) + len(found.misses) == valid.sum()
    assert len(found.pairs) + len(found.false_positives) == num_pred


def test_nobody_there_is_no_error() -> None:
    nobody = people()
    assert match_people(nobody, people((0, 0), (1, 1)), all_valid(2)).misses == (0, 1)
    assert match_people(people((0, 0)), nobody, all_valid(0)).false_positives == (0,)
    assert match_people(nobody, nobody, all_valid(0)).pairs == ()


def test_input_is_checked() -> None:
    some = people((0, 0), (5, 5))
    with pytest.raises(ValueError, match="24"):
        match_people(some[:, :23], some, all_valid(2))
    with pytest.raises(ValueError, match="is_valid"):
        match_people(some, some, all_valid(3))
    spoilt = some.clone()
    spoilt[1, 0, 0] = math.nan
    with pytest.raises(DataError, match=r"predicted joints.*sample 1"):
        match_people(spoilt, some, all_valid(2))


def test_counts_of_pictures_add_up() -> None:
    here = match_people(people((0, 0), (2000, 0)), people((10, 0), (900, 0)), all_valid(2))
    empty = match_people(people(), people((0, 0), (1, 1), (2, 2)), all_valid(3))
    found = detection([here, empty, here])
    assert found == Detection(num_matched=2, num_missed=5, num_false=2, num_missed_beside=2)
    assert (found.f1, found.precision, found.recall) == (round(2 / 5.5, 2), 0.5, round(2 / 7, 2))
    assert detection([]).f1 == detection([]).precision == detection([]).recall == 0


def test_published_figures_follow_from_each_other() -> None:
    # SMPLer-X on AGORA's test set: MVE of body, face and hands to NMVE.
    assert full_body_mm(63.5, 39.1, 39.5, 29.9) == 99.7
    assert normalised_mm(99.7, 0.93) == 107.2
    assert normalised_mm(63.5, 0.93) == 68.3
    assert math.isnan(normalised_mm(99.7, 0.0))


def test_figures_are_rounded_before_they_are_combined() -> None:
    found = Detection(num_matched=93, num_missed=7, num_false=7, num_missed_beside=0)
    assert found.f1 == 0.93
    means = {"body": 63.54, "left_hand": 39.14, "right_hand": 39.46, "face": 29.94}
    errors = {part: torch.full((93,), mean).double() for part, mean in means.items()}
    figures = agora_figures(errors, found)
    assert figures == {
        **{"body": 63.5, "left_hand": 39.1, "right_hand": 39.5, "face": 29.9},
        **{"full_body": 99.7, "normalised_body": 68.3, "normalised_full_body": 107.2},
    }


def test_missed_hands_count_as_zero_only_by_the_published_rule() -> None:
    found = Detection(num_matched=3, num_missed=4, num_false=0, num_missed_beside=1)
    errors = {part: torch.tensor([10.0, 20.0, 30.0]) for part in ("body", "left_hand", "right_hand", "face")}
    published, fair = agora_figures(errors, found), agora_figures(errors, found, counts_missed_hands=False)
    assert (published["body"], published["left_hand"], published["face"]) == (20, 15, 15)
    assert (fair["body"], fair["left_hand"], fair["face"]) == (20, 20, 20)
    assert (published["full_body"], fair["full_body"]) == (35, 40)


def test_nobody_matched_has_no_figures() -> None:
    found = Detection(num_matched=0, num_missed=4, num_false=1, num_missed_beside=1)
    errors = {part: torch.zeros(0) for part in ("body", "left_hand", "right_hand", "face")}
    assert all(math.isnan(value) for value in agora_figures(errors, found).values())


def test_errors_must_be_of_the_matched_people() -> None:
    found = Detection(num_matched=3, num_missed=0, num_false=0, num_missed_beside=0)
    errors = {part: torch.zeros(3) for part in ("body", "left_hand", "right_hand")}
    with pytest.raises(ValueError, match="face"):
        agora_figures(errors, found)
    with pytest.raises(ValueError, match="4"):
        agora_figures(errors | {"face": torch.zeros(4)}, found)
