"""Which attributes are made again and which are kept, and what becomes of a run that stops half-way."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_store import person, write_shard

from catalogs.attributes import engine, files
from catalogs.attributes.family import Attribute, Columns, Family, Prepared, Rows, Scope
from harmonize.annotation import Reject
from harmonize.errors import StoreError, UsageError
from harmonize.record import Instance, Provenance


def first_beta(rows: Rows, context: Any) -> Columns:
    return {"beta": np.where(rows.array("body_has_betas"), rows.array("body_betas")[:, 0] * (context or 1), np.nan)}


def doubled(rows: Rows, context: Any) -> Columns:
    return {"twice": 2 * rows.of("toy", "beta"), "pair": np.stack([rows.of("toy", "beta")] * 2, axis=1)}


def neighbours(rows: Rows, context: Any) -> Columns:
    return {"num": np.full(len(rows), rows.people.num_rows), "refused": np.full(len(rows), sum(refused(rows)))}


def refused(rows: Rows) -> list[bool]:
    return list(rows.people.column("is_reject").to_pylist())


def picture_bytes(rows: Rows, context: Any) -> Columns:
    sizes = np.full(len(rows), np.nan)
    for row, content, extension in rows.open_pictures():
        assert extension == "jpg"
        sizes[row] = len(content)
    return {"size": sizes}


def family(name: str, compute: Callable[[Rows, Any], Columns], *attributes: Attribute, **options: Any) -> Family:
    return Family(name=name, doc="a toy", attributes=attributes, compute=compute, **{"reads": (), **options})


TOY = family("toy", first_beta, Attribute(name="beta", unit="1", doc="."), reads=("body_betas", "body_has_betas"))
TWICE = family(
    "twice",
    doubled,
    Attribute(name="twice", unit="1", doc="."),
    Attribute(name="pair", unit="1", doc=".", kind="half", size=2),
    follows=("toy",),
)
PEOPLE = family(
    "people",
    neighbours,
    Attribute(name="num", unit="1", doc=".", kind="count"),
    Attribute(name="refused", unit="1", doc=".", kind="count"),
    reads_people=True,
)
PICTURES = family("pictures", picture_bytes, Attribute(name="size", unit="B", doc="."), reads_pictures=True)


def in_picture(instance: Instance, path: str) -> Instance:
    return dataclasses.replace(instance, provenance=dataclasses.replace(instance.provenance, image_path=path))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for number in range(3):
        people = [in_picture(person("toy", "train", 10 * number + i), f"{i % 2}.jpg") for i in range(5)]
        write_shard(tmp_path, people, number=number)
    return tmp_path


def describe(store: Path, one: Family) -> list[str]:
    jobs = engine.plan(store, one).pending
    for job in jobs:
        engine.run(job)
    return [job.shard for job in jobs]


def table(store: Path, name: str, number: int = 0) -> dict[str, list[Any]]:
    folder = files.folder_of(store / "toy" / "train", name)
    return dict(files.read_attributes(folder, f"toy-train-{number:06d}").to_pydict())


def test_values_stand_in_the_order_of_the_index_and_unknown_ones_are_null(store: Path) -> None:
    assert describe(store, TOY) == [f"toy-train-{number:06d}" for number in range(3)]
    found = table(store, "toy")
    people = [person("toy", "train", i) for i in range(5)]
    assert found["key"] == [one.key for one in people]
    expected = [float(one.body.betas[0]) if one.body.has_betas else None for one in people]
    assert found["beta"] == expected
    assert None in expected


def test_what_is_current_is_kept(store: Path) -> None:
    describe(store, TOY)
    assert describe(store, TOY) == []
    assert engine.plan(store, TOY).num_current == 3


def test_a_changed_shard_alone_is_made_again(store: Path) -> None:
    describe(store, TOY)
    write_shard(store, [person("toy", "train", 90)], number=1)
    assert describe(store, TOY) == ["toy-train-000001"]
    assert table(store, "toy", 1)["key"] == ["toy-train-00090-0"]


def test_other_code_or_other_facts_make_everything_stale(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(store, TOY)
    facts = dataclasses.replace(TOY, prepare=lambda scope: Prepared(value=3.0, facts={"scale": 3}))
    assert len(describe(store, facts)) == 3
    monkeypatch.setattr(engine, "code_sha256", lambda *functions: "other")
    assert len(engine.plan(store, facts).pending) == 3


def test_a_run_that_stops_goes_on_where_it_was(store: Path) -> None:
    jobs = engine.plan(store, TOY).pending
    engine.run(jobs[0])
    assert [job.shard for job in engine.plan(store, TOY).pending] == [job.shard for job in jobs[1:]]


def test_a_failure_leaves_nothing_behind(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(store, TOY)
    write_shard(store, [person("toy", "train", 90)], number=1)
    job = engine.plan(store, TOY).pending[0]

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(StoreError, match="No space left"):
            engine.run(job)
    folder = files.folder_of(store / "toy" / "train", "toy")
    assert not (folder / "toy-train-000001.json").exists()
    assert not list(folder.glob(".tmp-*"))
    assert describe(store, TOY) == ["toy-train-000001"]


def test_leftovers_of_killed_runs_are_removed_and_the_work_of_others_is_not(store: Path) -> None:
    describe(store, TOY)
    folder = files.folder_of(store / "toy" / "train", "toy")
    old, new = folder / ".tmp-old", folder / ".tmp-new"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    describe(store, TOY)
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("damage", ["table", "manifest", "no table"])
def test_damaged_attributes_are_made_again(store: Path, damage: str) -> None:
    describe(store, TOY)
    folder = files.folder_of(store / "toy" / "train", "toy")
    path = folder / ("toy-train-000001.json" if damage == "manifest" else "toy-train-000001.parquet")
    before = path.read_bytes()
    path.unlink() if damage == "no table" else path.write_bytes(before[:-9])
    assert describe(store, TOY) == ["toy-train-000001"]
    assert path.read_bytes() == before


def test_a_family_follows_another(store: Path) -> None:
    with pytest.raises(UsageError, match=r"expected toy .* found none[\s\S]*--attributes toy"):
        engine.plan(store, TWICE)
    with pytest.raises(UsageError, match="expected toy too"):
        engine.in_order([TWICE])
    assert [one.name for one in engine.in_order([TWICE, PICTURES, TOY])] == ["toy", "twice", "pictures"]
    describe(store, TOY)
    describe(store, TWICE)
    beta, twice = table(store, "toy")["beta"], table(store, "twice")
    assert twice["twice"] == [None if value is None else 2 * value for value in beta]
    assert [pair is None for pair in twice["pair"]] == [value is None for value in beta]
    write_shard(store, [person("toy", "train", 91)], number=2)
    describe(store, TOY)
    assert describe(store, TWICE) == ["toy-train-000002"]


def test_a_shard_whose_followed_family_is_missing_waits_and_stops_no_other(store: Path) -> None:
    describe(store, TOY)
    (files.folder_of(store / "toy" / "train", "toy") / "toy-train-000001.json").unlink()
    work = engine.plan(store, TWICE)
    assert work.blocked == ("toy-train-000001",)
    assert [job.shard for job in work.pending] == ["toy-train-000000", "toy-train-000002"]


def test_families_share_one_reading_of_the_index(store: Path) -> None:
    jobs = [engine.plan(store, one).pending[0] for one in (TOY, PICTURES)]
    index = engine.read_index(jobs)
    assert {"key", "body_betas", "picture_offset"} <= set(index.column_names)
    for job in jobs:
        alone = engine.run(job)
        assert engine.run(job, index=index) == alone


def test_people_of_one_picture_are_found_in_all_shards(store: Path) -> None:
    provenance = Provenance(dataset="toy", split="train", frame="x", image_path="0.jpg")
    write_shard(
        store,
        [in_picture(person("toy", "train", 50), "0.jpg"), in_picture(person("toy", "train", 51), "lonely.jpg")],
        number=3,
        rejects=[Reject(provenance=provenance, reason="crowd")],
    )
    describe(store, PEOPLE)
    assert set(table(store, "people", 0)["num"]) == {17}
    assert table(store, "people", 3) == {
        "key": ["toy-train-00050-0", "toy-train-00051-0"],
        "dataset": ["toy", "toy"],
        "split": ["train", "train"],
        "num": [12, 12],
        "refused": [1, 1],
    }
    write_shard(store, [in_picture(person("toy", "train", 50), "1.jpg")], number=3)
    assert len(describe(store, PEOPLE)) == 4
    write_shard(store, [in_picture(person("toy", "train", 52), "another.jpg")], number=3)
    assert len(describe(store, PEOPLE)) == 4
    write_shard(store, [in_picture(person("toy", "train", 53), "third.jpg")], number=3)
    assert describe(store, PEOPLE) == ["toy-train-000003"]


def test_pictures_are_read_by_their_place_and_counted(store: Path) -> None:
    done: list[int] = []
    for job in engine.plan(store, PICTURES).pending:
        engine.run(job, done.append)
    assert sum(done) == 15
    assert all(size > 100 for size in table(store, "pictures")["size"])


def test_stand_in_and_real_bodies_are_not_described_together(store: Path) -> None:
    write_shard(store, [person("other", "train", 1)], is_standin=False)
    with pytest.raises(UsageError, match="two stores"):
        engine.plan(store, TOY)


def test_a_store_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ehps ingest"):
        engine.plan(tmp_path, TOY)


def test_a_family_that_forgets_a_column_is_a_bug(store: Path) -> None:
    one = dataclasses.replace(TOY, compute=lambda rows, context: {})
    with pytest.raises(ValueError, match=r"expected the columns \['beta'\]"):
        describe(store, one)


def test_prepare_sees_every_shard_and_which_bodies_they_have(store: Path) -> None:
    seen: list[Scope] = []

    def prepare(scope: Scope) -> Prepared:
        seen.append(scope)
        return Prepared()

    engine.plan(store, dataclasses.replace(TOY, prepare=prepare))
    assert seen[0].body_models == "standin"
    assert sorted(seen[0].shards) == [f"toy-train-{number:06d}" for number in range(3)]
