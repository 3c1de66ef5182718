"""The fixed vertices: which, how spread, and always the same."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from harmonize.bodies import BodyModels
from harmonize.errors import RawFileError
from train.losses.parts import PARTS, VERTEX_PART
from train.losses.vertex_subset import vertex_subset


def test_blocks_lie_on_their_parts(standin: BodyModels) -> None:
    ids = vertex_subset(standin)
    part = np.array(VERTEX_PART)
    assert 500 <= len(ids) <= 1000
    assert len(ids) == len(part) == len(set(ids.tolist()))
    assert ids.dtype == np.int64
    model = standin.get("smplx", "neutral")
    place, weights = model.template.numpy(), model.weights.numpy()
    strongest = weights.argmax(1)
    hands = {"left_hand": {20, *range(25, 40)}, "right_hand": {21, *range(40, 55)}}
    for name, joints in hands.items():
        at = ids[part == PARTS.index(name)]
        assert set(strongest[at].tolist()) <= joints
        assert len(set(strongest[at].tolist())) == len(joints)
        # y up, facing +z, so the left side is at +x.
        assert ((place[at, 0] > 0) == (name == "left_hand")).all()
    face = ids[part == PARTS.index("face")]
    assert set(strongest[face].tolist()) <= {12, 15, 22}
    head = place[strongest == 15, 2]
    assert (place[face, 2] > (head.min() + head.max()) / 2).mean() > 0.9
    body = ids[part == PARTS.index("body")]
    assert not set(strongest[body].tolist()) & ({23, 24} | set.union(*hands.values()))
    assert len(set(strongest[body].tolist())) >= 20


def test_hands_and_face_are_denser_and_every_vertex_has_one_near(standin: BodyModels) -> None:
    ids = vertex_subset(standin)
    model = standin.get("smplx", "neutral")
    place = model.template.numpy().astype(np.float64)
    part = np.array(VERTEX_PART)
    strongest = model.weights.numpy().argmax(1)
    left = np.flatnonzero(np.isin(strongest, [20, *range(25, 40)]))
    body = np.flatnonzero(np.isin(strongest, range(12)))

    def farthest(vertices: Any, name: str) -> float:
        chosen = place[ids[part == PARTS.index(name)]]
        return float(np.linalg.norm(place[vertices, None] - chosen, axis=2).min(axis=1).max())

    assert farthest(left, "left_hand") < 0.015
    assert farthest(body, "body") < 0.10
    share = len(left) / len(place)
    assert (part == PARTS.index("left_hand")).mean() > 1.9 * share


def test_the_same_every_time_and_fast(standin: BodyModels) -> None:
    first = vertex_subset(standin)
    start = time.process_time()
    second = vertex_subset(standin)
    assert time.process_time() - start < 0.5
    assert np.array_equal(first, second)


def test_a_model_without_hands_is_refused(standin: BodyModels) -> None:
    model = standin.get("smplx", "neutral")
    weights = model.weights.clone()
    weights[:, 3] = 2.0
    broken = SimpleNamespace(
        template=model.template,
        weights=weights,
        directions=model.directions,
        num_betas=model.num_betas,
        path=model.path,
    )
    models = cast(BodyModels, SimpleNamespace(get=lambda kind, gender: broken))
    with pytest.raises(RawFileError, match="160 vertices of the left_hand, found 0"):
        vertex_subset(models)
