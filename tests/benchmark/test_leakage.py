"""Leaks planted in stores of made-up people, one kind at a time, and stores that have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_attributes import write_store_table
from small_store import person, write_shard

from benchmark.distances.table import benchmark_splits
from benchmark.leakage import Leak, guard, held_benchmarks, leaking_keys, leaks
from catalogs import store as catalog
from catalogs.selection import Pool
from harmonize.errors import UsageError
from harmonize.record import Instance

EGOBODY_TEST = "recording_20211004_S19_S06_01"
EGOBODY_TRAIN = "recording_20210907_S02_S01_01"


def one(source: str, number: int, **names: str) -> Instance:
    """A person whose picture was opened, and is like no other, unless said otherwise."""
    dataset, split = source.split("/")
    made = person(dataset, split, number)
    named = {"sequence": "", "image_path": f"{source}/{number}.jpg", "image_sha256": f"{source}-{number}", **names}
    return replace(made, provenance=replace(made.provenance, **named))


def write(store: Path, people: Sequence[Instance]) -> None:
    sources = sorted({(who.provenance.dataset, who.provenance.split) for who in people})
    for source in sources:
        write_shard(store, [who for who in people if (who.provenance.dataset, who.provenance.split) == source])


def found_in(
    store: Path, *benchmarks: str, pool: Sequence[str], samples: dict[str, tuple[str, ...]] | None = None
) -> tuple[Leak, ...]:
    with catalog.open(store) as con:
        return leaks(con, pool_of(store, pool), benchmarks, samples=samples)


def pool_of(store: Path, names: Sequence[str]) -> Pool:
    with catalog.open(store) as con:
        every = catalog.pool(con, splits=["train", "test", "val", "validation", "p1_train", "p1_val", "all"])
    assert set(names) <= {source.name for source in every.sources}
    return Pool(sources=tuple(source for source in every.sources if source.name in names), shards=every.shards)


def kinds(found: Sequence[Leak]) -> list[tuple[str, str, int]]:
    return [(leak.kind, leak.source, leak.num_samples) for leak in found]


def test_evaluation_splits_of_a_benchmark_are_leaks(tmp_path: Path) -> None:
    write(tmp_path, [one("pw3d/test", i) for i in range(3)] + [one("pw3d/validation", 1), one("pw3d/train", 1)])
    found = found_in(tmp_path, "pw3d", pool=["pw3d/test", "pw3d/train", "pw3d/validation"])
    assert kinds(found) == [
        ("evaluation-split", "pw3d/test", 3),
        ("evaluation-split", "pw3d/validation", 1),
        ("in-domain", "pw3d/train", 1),
    ]
    assert found[0].examples == tuple(f"pw3d-test-0000{i}-0" for i in range(3))
    assert leaking_keys(found) == (*found[0].keys, *found[1].keys)


def test_a_recording_is_the_same_in_another_camera_and_dataset(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            one("egobody_egoset/test", 0, sequence=EGOBODY_TEST),
            one("egobody_egoset/train", 0, sequence=EGOBODY_TRAIN),
            one("egobody_mvset/train", 0, sequence=f"{EGOBODY_TRAIN}/master"),
            one("egobody_mvset/train", 1, sequence=f"{EGOBODY_TEST}/sub_2"),
            one("egobody_mvset/train", 2, sequence=f"{EGOBODY_TEST}/master"),
        ],
    )
    found = found_in(tmp_path, "egobody", pool=["egobody_egoset/train", "egobody_mvset/train"])
    assert kinds(found) == [
        ("recording", "egobody_mvset/train", 2),
        ("in-domain", "egobody_egoset/train", 1),
        ("in-domain", "egobody_mvset/train", 3),
    ]
    assert found[0].what == EGOBODY_TEST
    assert found[0].keys == ("egobody_mvset-train-00001-0", "egobody_mvset-train-00002-0")


def test_a_subject_is_the_same_within_a_campaign_only(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            one("arctic/p1_val", 0, sequence="s05/box_grab_01/4", subject="s05"),
            one("arctic/p1_train", 0, sequence="s01/box_grab_01/4", subject="s01"),
            one("arctic/p1_train", 1, sequence="s05/box_use_02/4", subject="s05"),
            one("chi3d/train", 0, sequence="s05/1/Grab 10", subject="s05"),
        ],
    )
    found = found_in(tmp_path, "arctic", pool=["arctic/p1_train", "chi3d/train"])
    assert kinds(found) == [("subject", "arctic/p1_train", 1), ("in-domain", "arctic/p1_train", 2)]
    assert found[0].keys == ("arctic-p1_train-00001-0",)
    assert found[0].what == "s05"


def test_the_same_people_without_names_are_no_subject(tmp_path: Path) -> None:
    write(tmp_path, [one("pw3d/test", 0, subject=""), one("pw3d/train", 0, subject="")])
    assert kinds(found_in(tmp_path, "pw3d", pool=["pw3d/train"])) == [("in-domain", "pw3d/train", 1)]


def test_a_picture_is_found_by_its_hash_in_any_dataset(tmp_path: Path) -> None:
    same = {"image_sha256": "beef"}
    write(tmp_path, [one("ehf/test", 0, **same), one("mpii/train", 0, **same), one("mpii/train", 1)])
    found = found_in(tmp_path, "ehf", pool=["mpii/train"])
    assert kinds(found) == [("picture", "mpii/train", 1)]
    assert found[0].keys == ("mpii-train-00000-0",)


def test_other_frames_of_a_video_are_other_pictures(tmp_path: Path) -> None:
    video = {"image_sha256": "beef"}
    write(
        tmp_path,
        [
            one("ubody/test", 0, **video, image_path="a.mp4#10"),
            one("ubody/train", 0, **video, image_path="b.mp4#10"),
            one("ubody/train", 1, **video, image_path="a.mp4#11"),
        ],
    )
    found = found_in(tmp_path, "ubody", pool=["ubody/train"])
    assert kinds(found)[0] == ("picture", "ubody/train", 1)
    assert found[0].keys == ("ubody-train-00000-0",)


def test_unopened_pictures_are_compared_by_path_and_said_to_be_unchecked(tmp_path: Path) -> None:
    shut = {"image_sha256": ""}
    write(
        tmp_path,
        [
            one("ubody/test", 0, image_path="x/1.jpg"),
            one("ubody/train", 0, **shut, image_path="x/1.jpg"),
            one("ubody/train", 1, **shut, image_path="x/2.jpg"),
            one("mpii/train", 0, **shut, image_path="x/1.jpg"),
        ],
    )
    found = found_in(tmp_path, "ubody", pool=["mpii/train", "ubody/train"])
    assert kinds(found) == [
        ("picture", "ubody/train", 1),
        ("unchecked", "mpii/train", 1),
        ("in-domain", "ubody/train", 2),
        ("unchecked", "ubody/train", 2),
    ]


def test_what_only_a_card_says_is_said_and_not_refused(tmp_path: Path) -> None:
    write(tmp_path, [one("agora/validation", 0), one("bedlam/train", 0), one("mpii/train", 0)])
    found = found_in(tmp_path, "agora", pool=["bedlam/train", "mpii/train"])
    assert kinds(found) == [("card", "bedlam/train", 1)]
    assert not leaking_keys(found)
    with catalog.open(tmp_path) as con:
        assert guard(con, pool_of(tmp_path, ["bedlam/train", "mpii/train"]), ["agora"]) == found


def near(store: Path, *pairs: tuple[str, str]) -> None:
    """The table that `ehps describe` writes, with these pairs of keys."""
    sides: dict[str, list[str]] = {f"{part}_{side}": [] for side in "ab" for part in ("key", "dataset", "split")}
    for pair in pairs:
        for side, key in zip("ab", pair, strict=True):
            dataset, split = key.split("-")[:2]
            for part, value in (("key", key), ("dataset", dataset), ("split", split)):
                sides[f"{part}_{side}"].append(value)
    write_store_table(
        store, "duplicates", {"kind": ["embedding"] * len(pairs), **sides, "similarity": [0.975] * len(pairs)}
    )


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_picture_encoded_anew_is_found_by_its_features(tmp_path: Path, is_turned: bool) -> None:
    write(tmp_path, [one("ehf/test", 0), *(one("mpii/train", i) for i in range(3)), one("mpii/val", 0)])
    pair = ("mpii-train-00001-0", "ehf-test-00000-0")
    near(tmp_path, pair[::-1] if is_turned else pair, ("mpii-train-00002-0", "mpii-train-00000-0"))
    found = found_in(tmp_path, "ehf", pool=["mpii/train"])
    assert kinds(found) == [("near-duplicate", "mpii/train", 1)]
    assert found[0].keys == ("mpii-train-00001-0",)
    assert found[0].what == "like ehf-test-00000-0 by 0.975"
    with catalog.open(tmp_path) as con, pytest.raises(UsageError, match="near-duplicate: like ehf-test"):
        guard(con, pool_of(tmp_path, ["mpii/train"]), ["ehf"])


def test_pictures_of_one_room_are_said_and_not_refused(tmp_path: Path) -> None:
    write(tmp_path, [one("pw3d/test", 0), one("pw3d/train", 0), one("pw3d/train", 1)])
    near(tmp_path, ("pw3d-train-00001-0", "pw3d-test-00000-0"))
    found = found_in(tmp_path, "pw3d", pool=["pw3d/train"])
    assert kinds(found) == [("alike", "pw3d/train", 1), ("in-domain", "pw3d/train", 2)]
    assert not leaking_keys(found)


@pytest.mark.parametrize("side", ["test", "train"])
def test_recordings_that_cannot_be_named_are_said_to_be_unchecked(tmp_path: Path, side: str) -> None:
    names = {"test": EGOBODY_TEST, "train": EGOBODY_TRAIN} | {side: "egobody_file/images"}
    write(tmp_path, [one(f"egobody_egoset/{split}", 0, sequence=names[split]) for split in names])
    found = found_in(tmp_path, "egobody", pool=["egobody_egoset/train"])
    assert [(leak.kind, leak.what) for leak in found][1:] == [
        ("unchecked", "their recordings have names of another form")
    ]


def test_only_samples_that_may_be_drawn_leak(tmp_path: Path) -> None:
    same = {"image_sha256": "beef"}
    write(tmp_path, [one("ehf/test", 0, **same), one("mpii/train", 0, **same), one("mpii/train", 1)])
    assert not found_in(tmp_path, "ehf", pool=["mpii/train"], samples={"mpii/train": ("mpii-train-00001-0",)})
    assert found_in(tmp_path, "ehf", pool=["mpii/train"], samples={"mpii/train": ("mpii-train-00000-0",)})


def test_the_guard_names_every_leak_and_the_way_out(tmp_path: Path) -> None:
    same = {"image_sha256": "beef"}
    write(tmp_path, [one("ehf/test", 0, **same), one("mpii/train", 0, **same), one("up3d/train", 0, **same)])
    with (
        catalog.open(tmp_path) as con,
        pytest.raises(UsageError, match=r"2 samples.*\n.*mpii/train for ehf.*\n.*up3d/train for ehf") as refused,
    ):
        guard(con, pool_of(tmp_path, ["mpii/train", "up3d/train"]), ["ehf"])
    assert "--exclude mpii up3d" in str(refused.value)
    assert "mpii-train-00000-0" in str(refused.value)


def test_what_cannot_be_known_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [one("pw3d/train", 0), one("ehf/test", 0)])
    with pytest.raises(UsageError, match=r"no samples of pw3d/test.*\n.*ehps ingest pw3d --split test"):
        found_in(tmp_path, "pw3d", pool=["pw3d/train"])
    with pytest.raises(UsageError, match="no benchmark 'coco'"):
        found_in(tmp_path, "coco", pool=["pw3d/train"])
    with catalog.open(tmp_path) as con:
        assert held_benchmarks(con) == ("ehf",)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    benchmark=st.sampled_from(sorted(benchmark_splits())),
    places=st.sets(st.tuples(st.sampled_from(["mpii/train", "rich/train", "bedlam/train"]), st.integers(0, 4))),
)
def test_a_picture_planted_anywhere_is_found_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, benchmark: str, places: set[tuple[str, int]]
) -> None:
    store, pool = tmp_path_factory.mktemp("planted"), ["bedlam/train", "mpii/train", "rich/train"]
    evaluated = [one(benchmark_splits()[benchmark], i) for i in range(3)]
    people = [
        one(source, i, **({"image_sha256": evaluated[i % 3].provenance.image_sha256} if (source, i) in places else {}))
        for source in pool
        for i in range(5)
    ]
    write(store, [*evaluated, *people])
    planted = {f"{source.replace('/', '-')}-{i:05d}-0" for source, i in places}
    assert set(leaking_keys(found_in(store, benchmark, pool=pool))) == planted
