"""Scene, from the cards."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from one_shard import record, values

from catalogs import cards
from catalogs.attributes import engine, scene
from catalogs.attributes.family import Rows, Scope


def test_cards_say_what_is_real_and_which_environment_is_the_only_one() -> None:
    table = pa.table(
        {
            "dataset": ["bedlam", "arctic", "spec", "spec", "made_up"],
            "label_origin": ["synthetic", "capture", "synthetic", "fit", "fit"],
        }
    )
    stated = scene.prepare(Scope(store=Path(), body_models=None, shards={})).value
    found = scene.compute(Rows(shard="", table=table), stated)
    assert found["domain"].to_pylist() == ["synthetic", "real", "synthetic", "real", None]
    assert found["card_scene"].to_pylist() == ["mixed", "laboratory", "in-the-wild", "in-the-wild", None]
    assert found["environment"].to_pylist() == [None, "mocap-studio", None, None, None]
    assert (found["environment_confidence"] == 1).tolist() == [False, True, False, False, False]


def test_an_edited_card_makes_the_values_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [found] = values(tmp_path, scene.FAMILY, [record(1)])
    assert {found["domain"], found["environment"], found["environment_confidence"]} == {None}
    assert not engine.plan(tmp_path, scene.FAMILY).pending
    first, *others = cards.cards()
    noted = first.model_copy(update={"title": "Another title"})
    monkeypatch.setattr(cards, "cards", lambda: (noted, *others))
    assert not engine.plan(tmp_path, scene.FAMILY).pending
    edited = first.model_copy(update={"environments": ("moon",)})
    monkeypatch.setattr(cards, "cards", lambda: (edited, *others))
    assert len(engine.plan(tmp_path, scene.FAMILY).pending) == 1
