"""Selection: integer draws, validation that names the field, and files that cannot be altered unnoticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs.apportion import apportion
from catalogs.selection import Budget, Member, Pool, Selection, ShardRef, Source, select
from harmonize.errors import DataError, UsageError


def small() -> Selection:
    pool = Pool(
        sources=(
            Source(dataset="pw3d", split="train", num_available=10),
            Source(dataset="bedlam", split="train", num_available=30),
        ),
        shards=(ShardRef(shard="pw3d-train-000000", digest="b" * 64), ShardRef(shard="a-train-000000", digest="a")),
    )
    budget = Budget(draws_per_epoch=15, repeat_cap=2, seed=7)
    return select(
        pool,
        [1.0, 2.0],
        budget,
        method="natural",
        reasons=["größer", "b"],
        parameters={"tau": 1.5},
        overall=["two datasets"],
        residuals={"pose": 0.25, "note": "none"},
    )


@given(
    weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=40).filter(lambda w: sum(w) > 0),
    total=st.integers(0, 10**9),
)
def test_apportion_adds_up_within_one_of_each_quota(weights: list[float], total: int) -> None:
    counts = apportion(weights, total)
    assert sum(counts) == total
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - total * (weight / sum(weights))) < 1 + 1e-6


def test_apportion_gives_ties_to_the_first() -> None:
    assert apportion([1, 1, 1], 4) == (2, 1, 1)
    assert apportion([0.1, 0.2, 0.7], 10) == (1, 2, 7)


def test_members_are_sorted_and_draws_follow_the_weights() -> None:
    selection = small()
    assert [(m.name, m.num_draws) for m in selection.members] == [("bedlam/train", 10), ("pw3d/train", 5)]
    assert [ref.shard for ref in selection.shards] == ["a-train-000000", "pw3d-train-000000"]
    assert [m.num_distinct for m in selection.members] == [10, 5]
    assert [m.num_repeats for m in selection.members] == [1 / 3, 0.5]


def test_saved_selection_loads_equal_and_saves_the_same_bytes(tmp_path: Path) -> None:
    selection = small()
    selection.save(tmp_path / "a.json")
    loaded = Selection.load(tmp_path / "a.json")
    assert loaded == selection
    assert loaded.content_hash == selection.content_hash
    loaded.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_content_hash_depends_on_every_field() -> None:
    selection = small()
    first, second = selection.members
    others = [
        replace(selection, seed=8),
        replace(selection, repeat_cap=3),
        replace(selection, method="other"),
        replace(selection, parameters={"tau": 2.0}),
        replace(selection, shards=selection.shards[:1]),
        replace(selection, members=(replace(first, reason="?"), second)),
        replace(selection, sample_keys=tuple(f"key{i:02d}" for i in range(40))),
        replace(selection, reasons=("left out: agora",)),
        replace(selection, residuals={"pose": 0.5}),
    ]
    assert len({selection.content_hash, *(other.content_hash for other in others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("seed", lambda d: d.update(seed=8)),
        ("members", lambda d: d["members"][1].update(num_draws=6)),
        ("members", lambda d: d["members"][0].update(reason="because")),
        ("shards", lambda d: d["shards"].pop()),
        ("draws_per_epoch", lambda d: d.update(draws_per_epoch=16)),
        ("content_hash", lambda d: d.update(content_hash="0" * 64)),
        ("method", lambda d: d["hashes"].update(method="0" * 64)),
        ("members, seed", lambda d: (d.update(seed=1), d.update(members=[]))),
        ("method", lambda d: d.pop("method")),
        ("extra", lambda d: d.update(extra=1)),
    ],
)
def test_altered_file_is_refused_by_name_of_the_field(tmp_path: Path, field: str, change: Any) -> None:
    path = tmp_path / "selection.json"
    small().save(path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=field):
        Selection.load(path)


def test_a_file_of_an_older_format_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "selection.json"
    small().save(path)
    document = json.loads(path.read_text())
    del document["reasons"], document["residuals"]
    path.write_text(json.dumps({**document, "format_version": 1}))
    with pytest.raises(DataError, match=r"format_version: expected 2, found 1.*\n  fix: make the selection again"):
        Selection.load(path)


def test_keys_of_a_selection_are_sorted_and_counted() -> None:
    pool = Pool(sources=(Source(dataset="a", split="t", num_available=2),), shards=())
    chosen = select(pool, [1], Budget(draws_per_epoch=4), method="m", reasons=["r"], sample_keys=["b", "a"])
    assert chosen.sample_keys == ("a", "b")
    with pytest.raises(UsageError, match="sample_keys: expected 2 keys, found 3"):
        select(pool, [1], Budget(draws_per_epoch=4), method="m", reasons=["r"], sample_keys=["b", "a", "c"])


def test_files_that_are_no_selection_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.json"):
        Selection.load(tmp_path / "nothing.json")
    for text in ("", "[]", "{}", '{"members"'):
        (tmp_path / "broken.json").write_text(text)
        with pytest.raises(DataError, match=r"broken\.json"):
            Selection.load(tmp_path / "broken.json")


def member(**changes: Any) -> Member:
    return replace(Member(dataset="a", split="t", weight=1.0, num_available=5, num_draws=5, reason=""), **changes)


def selection_of(*members: Member, **changes: Any) -> Selection:
    return Selection(
        **{
            "members": members,
            "draws_per_epoch": 5,
            "repeat_cap": 1,
            "seed": 0,
            "method": "m",
            "shards": (),
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("members: expected at least one", lambda: selection_of()),
        ("members.weight", lambda: selection_of(member(weight=0.9))),
        (r"members\[0\] \(a/t\).weight", lambda: selection_of(member(weight=float("nan")))),
        (r"members\[0\] \(a/t\).num_draws", lambda: selection_of(member(num_draws=-5))),
        (r"members\[0\] \(a/t\).num_available", lambda: selection_of(member(num_available=0))),
        ("members.num_draws", lambda: selection_of(member(num_draws=4))),
        ("sorted", lambda: selection_of(member(weight=0.5), member(weight=0.5))),
        ("draws_per_epoch", lambda: selection_of(member(), draws_per_epoch=0)),
        ("repeat_cap", lambda: selection_of(member(), repeat_cap=0)),
        ("seed", lambda: selection_of(member(), seed=-1)),
        ("sample_keys", lambda: selection_of(member(), sample_keys=("a", "b"))),
        ("sample_keys", lambda: selection_of(member(), sample_keys=("a", "a", "b", "c", "d"))),
        ("format_version", lambda: selection_of(member(), format_version=1)),
        ("residuals|pose", lambda: selection_of(member(), residuals={"pose": float("nan")})),
        ("at most 4 draws", lambda: selection_of(member(num_available=4))),
    ],
)
def test_impossible_selection_names_the_field(field: str, make: Any) -> None:
    assert selection_of(member()).members[0].num_draws == 5
    with pytest.raises(UsageError, match=field):
        make()
