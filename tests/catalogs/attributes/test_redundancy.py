from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_attributes import vectors, write_family
from small_store import person, write_shard

from catalogs.attributes import files
from catalogs.attributes.near import NearLimits, near_pairs
from catalogs.attributes.overlaps import is_current
from catalogs.attributes.pose_runs import PoseLimits, repeats
from catalogs.attributes.redundancy import DuplicateLimits, duplicates, overlaps, redundancy, shared_pictures
from catalogs.attributes.source_ids import picture_hashes, picture_numbers, recordings, time_order
from harmonize.errors import UsageError
from harmonize.record import Instance


def pictured(dataset: str, split: str, number: int, picture: str, *, path: str = "", **names: str) -> Instance:
    one = person(dataset, split, number)
    names = {"image_path": path or f"images/{number}.jpg", "image_sha256": picture, **names}
    return replace(one, provenance=replace(one.provenance, **names))


def rows(table: pa.Table, *columns: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


def test_pictures_are_shared_by_hash_between_datasets_and_splits(tmp_path: Path) -> None:
    write_shard(tmp_path, [pictured("mpii", "train", i, h) for i, h in enumerate(["aa", "aa", "bb", ""])])
    write_shard(tmp_path, [pictured("up3d", "train", i, h) for i, h in enumerate(["aa", "cc", "dd", ""])])
    write_shard(tmp_path, [pictured("up3d", "val", 10 + i, h) for i, h in enumerate(["cc", "aa"])])
    assert rows(overlaps(tmp_path), "kind", "dataset_a", "split_a", "dataset_b", "split_b", "num") == [
        ("picture", "mpii", None, "up3d", None, 1),
        ("picture", "up3d", "train", "up3d", "val", 2),
    ]
    assert rows(overlaps(tmp_path), "num_people_a", "num_people_b", "share_a", "share_b") == [
        (2, 2, 0.5, 1 / 3),
        (2, 2, 0.5, 1.0),
    ]
    shared = shared_pictures(tmp_path)
    of_mpii = shared.filter(pa.compute.equal(shared.column("dataset_a"), "mpii"))
    assert rows(of_mpii, "id", "key_a", "split_b", "key_b") == [
        ("aa", "mpii-train-00000-0", "train", "up3d-train-00000-0"),
        ("aa", "mpii-train-00001-0", "train", "up3d-train-00000-0"),
        ("aa", "mpii-train-00000-0", "val", "up3d-val-00011-0"),
        ("aa", "mpii-train-00001-0", "val", "up3d-val-00011-0"),
    ]
    assert shared.num_rows == 4 + (2 + 1) + (2 + 1) + (1 - 1)


def test_frames_of_one_video_file_are_different_pictures() -> None:
    paths = pa.array(["v.mp4#1", "v.mp4#2", "w/v.mp4@1s/30fps#2", "a#1/b.jpg", "a.smc!Camera/0"])
    hashes = pa.array(["h", "h", "h", "h", ""])
    assert picture_hashes(paths, hashes).to_pylist() == ["h#1", "h#2", "h@1s/30fps#2", "h", None]


def test_names_are_compared_only_where_they_mean_the_same(tmp_path: Path) -> None:
    frames = pa.array(["COCO_train2014_000000000139", "000000000139", "abc"])
    nothing, some = pa.array(["", "", ""]), pa.array(["x.jpg", "x.jpg", ""])
    assert picture_numbers("mscoco", frames, nothing, nothing).to_pylist() == ["coco:139", "coco:139", None]
    assert picture_numbers("mpii", frames, some, nothing).to_pylist() == ["mpii:x.jpg", "mpii:x.jpg", None]
    assert picture_numbers("mpii", frames, some, pa.array(["a", "", ""])).to_pylist() == [None, "mpii:x.jpg", None]
    for dataset in ("mpii", "lspet"):
        write_shard(tmp_path, [pictured(dataset, "train", 1, "", path="000001.jpg", frame="000001")])
    assert overlaps(tmp_path).num_rows == 0


@pytest.mark.parametrize(
    ("dataset", "sequence", "recording"),
    [
        ("egobody_mvset", "recording_20210907_S02_S01_01/master", "egobody:recording_20210907_S02_S01_01"),
        ("egobody_egoset", "recording_20210907_S02_S01_01", "egobody:recording_20210907_S02_S01_01"),
        ("dna_rendering_hires", "0018_05/59", "dna_rendering:0018_05"),
        ("chi3d", "s02/60457274/Grab 10", "chi3d:s02/Grab 10"),
        ("h36m", "s_05_act_03_subact_02_ca_03", "h36m:s_05_act_03_subact_02"),
        ("mscoco", "", None),
        ("pw3d", "pw3d_train_without_mmhuman/imageFiles/x", None),
        ("muco_3dhp", "augmented_set", None),
    ],
)
def test_recordings_leave_the_camera_out(dataset: str, sequence: str, recording: str | None) -> None:
    assert recordings(dataset, pa.array([sequence])).to_pylist() == [recording]


def test_recordings_are_shared_where_a_card_says_so(tmp_path: Path) -> None:
    name = "recording_20210907_S02_S01_01"
    write_shard(tmp_path, [pictured("egobody_egoset", "train", i, "", sequence=name) for i in range(3)])
    write_shard(tmp_path, [pictured("egobody_mvset", "train", 9, "", path="b", sequence=f"{name}/master")])
    assert rows(overlaps(tmp_path), "kind", "dataset_a", "dataset_b", "num", "num_people_a") == [
        ("recording", "egobody_egoset", "egobody_mvset", 1, 3)
    ]


def test_overlaps_are_made_again_when_an_index_changed(tmp_path: Path) -> None:
    write_shard(tmp_path, [pictured("mpii", "train", 0, "aa")])
    assert not is_current(tmp_path)
    assert overlaps(tmp_path).num_rows == shared_pictures(tmp_path).num_rows == 0
    assert is_current(tmp_path)
    before = files.read_manifest(files.store_folder(tmp_path), "overlaps")
    write_shard(tmp_path, [pictured("up3d", "train", 0, "aa")])
    assert not is_current(tmp_path)
    assert overlaps(tmp_path).num_rows == 1
    assert files.read_manifest(files.store_folder(tmp_path), "overlaps") != before


def test_numbers_in_frame_names_count_as_numbers() -> None:
    names = pa.array(["s001_frame_10__x", "s001_frame_9__x", "s001_frame_2__x", "s001_frame_10__x"])
    assert time_order(names).tolist() == [2, 1, 0, 2]


def tracks(values_mm: Sequence[float], track: Sequence[int], turn_deg: Sequence[float] | None = None) -> list[Any]:
    joints = np.zeros((len(values_mm), 66))
    joints[:, 20] = np.array(values_mm) / 1000
    turns = np.zeros((len(values_mm), 3))
    turns[:, 1] = np.radians(turn_deg or [0] * len(values_mm))
    found = repeats(joints, turns, np.array(track), np.arange(len(track)), PoseLimits(max_joint_mm=30, max_turn_deg=5))
    return sorted(zip(found.rows.tolist(), found.representatives.tolist(), strict=True))


def test_slow_motion_is_measured_from_the_representative() -> None:
    assert tracks([0, 10, 20, 40, 50, 60, 71], [0] * 7) == [(1, 0), (2, 0), (4, 3), (5, 3)]


def test_tracks_and_turns_and_unknown_skeletons_are_told_apart() -> None:
    assert tracks([0, 0, 0, 0], [0, 1, 0, 1]) == [(2, 0), (3, 1)]
    assert tracks([0, 0, 0], [0, 0, 0], [179, 182, 187]) == [(1, 0)]
    assert tracks([0, np.nan, 0], [0, 0, 0]) == [(2, 0)]
    assert tracks([], []) == []
    assert tracks([0], [0]) == []


def test_a_run_does_not_come_back_to_an_older_representative() -> None:
    assert tracks([0, 100, 0, 1], [0, 0, 0, 0]) == [(3, 2)]


def families(store: Path, poses_mm: dict[str, float], directions: dict[str, Sequence[float]]) -> None:
    def skeleton(table: pa.Table) -> dict[str, Any]:
        joints = np.zeros((table.num_rows, 66), np.float32)
        joints[:, 3] = [poses_mm.get(key, np.nan) / 1000 for key in table.column("key").to_pylist()]
        return {"joints_m": vectors(joints)}

    def features(table: pa.Table) -> dict[str, Any]:
        unknown = [np.nan] * 2
        values = [directions.get(key, unknown) for key in table.column("key").to_pylist()]
        return {"vector": vectors(np.array(values, np.float16))}

    write_family(store, "skeleton", skeleton)
    write_family(store, "features_a", features, facts={"weights_sha256": "w"})


def test_duplicates_of_a_store_and_what_share_they_are(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i, global_orient_aa=(0, 0, 0)) for i in (8, 9, 10, 11)])
    write_shard(tmp_path, [person("bedlam", "train", i) for i in (0, 1)])
    key = "{}-train-{:05d}-0".format
    poses = {key("pw3d", i): mm for i, mm in ((8, 0.0), (9, 6.0), (10, 100.0), (11, 101.0))}
    turned = {key("pw3d", 8): (1, 0), key("pw3d", 10): (0, 1), key("bedlam", 0): (2, 0.02), key("bedlam", 1): (4, 0)}
    families(tmp_path, poses, turned)
    table = duplicates(tmp_path, "features_a")
    assert rows(table, "kind", "key_a", "key_b") == [
        ("embedding", key("bedlam", 1), key("bedlam", 0)),
        ("embedding", key("pw3d", 8), key("bedlam", 0)),
        ("embedding", key("pw3d", 8), key("bedlam", 1)),
        ("pose-in-time", key("pw3d", 9), key("pw3d", 8)),
        ("pose-in-time", key("pw3d", 11), key("pw3d", 10)),
    ]
    assert table.column("similarity").to_pylist()[2] == 1
    assert table.column("similarity").to_pylist()[3] == pytest.approx(1 - 6 / 30)
    assert table.column("distance_mm").to_pylist()[3:] == pytest.approx([6, 1], abs=1e-3)
    assert table.column("distance_mm").null_count == 3
    assert rows(table, "dataset_a", "dataset_b")[1] == ("pw3d", "bedlam")
    manifest = files.read_manifest(files.store_folder(tmp_path), "duplicates")
    assert manifest is not None
    assert manifest.facts["features_facts"] == {"weights_sha256": "w"}
    assert manifest.facts["result"] == {
        "num_vectors": 4, "num_without_vector": 2, "num_capped": 0, "is_exact": True,
    }  # fmt: skip
    summary = redundancy(tmp_path, table)
    assert summary.to_pylist() == [
        {"dataset": "bedlam", "num_samples": 2, "num_pose_in_time": 0, "num_embedding": 1, "num_redundant": 1,
         "share_redundant": 0.5, "num_across": 2, "share_across": 1.0},
        {"dataset": "pw3d", "num_samples": 4, "num_pose_in_time": 2, "num_embedding": 0, "num_redundant": 2,
         "share_redundant": 0.5, "num_across": 1, "share_across": 0.25},
    ]  # fmt: skip


def test_duplicates_are_read_when_current_and_made_again_with_other_limits(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i, global_orient_aa=(0, 0, 0)) for i in range(3)])
    families(tmp_path, {f"pw3d-train-{i:05d}-0": 10.0 * i for i in range(3)}, {})
    assert duplicates(tmp_path).num_rows == 2
    path = files.store_folder(tmp_path) / "duplicates.json"
    before = path.stat().st_mtime_ns
    assert duplicates(tmp_path).num_rows == 2
    assert path.stat().st_mtime_ns == before
    strict = DuplicateLimits(pose=PoseLimits(max_joint_mm=15.0))
    assert rows(duplicates(tmp_path, limits=strict), "key_a", "key_b") == [("pw3d-train-00001-0", "pw3d-train-00000-0")]
    assert duplicates(tmp_path, "features_a").num_rows == 2
    assert not list(files.store_folder(tmp_path).glob(".tmp-*"))


def test_duplicates_say_what_is_missing(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", 0)])
    with pytest.raises(UsageError, match="--attributes skeleton"):
        duplicates(tmp_path)
    families(tmp_path, {}, {})
    with pytest.raises(UsageError, match="--backbone b"):
        duplicates(tmp_path, "features_b")
    with pytest.raises(UsageError, match=r"expected a family features_\.\.\., found skeleton"):
        duplicates(tmp_path, "skeleton")
    assert duplicates(tmp_path, "features_a").num_rows == 0


def crowd(num: int, seed: int = 0) -> Any:
    """Vectors of which every fifth is another one with a little noise."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(num, 48)) * np.exp(-np.arange(48) / 16)
    later = np.arange(num // 5, num, 5)
    values[later] = values[rng.integers(0, num // 5, len(later))] + rng.normal(0, 0.02, (len(later), 48))
    return values.astype(np.float16)


def pairs_of(found: Any) -> set[tuple[int, int]]:
    return set(zip(found.later.tolist(), found.earlier.tolist(), strict=True))


def test_blocks_find_every_pair_that_all_similarities_show() -> None:
    values = crowd(2500)
    found = near_pairs(values, np.zeros(2500, np.intp), NearLimits(max_pairs=2500))
    unit = values.astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    expected = {(int(a), int(b)) for a, b in zip(*np.nonzero(np.tril(unit @ unit.T, -1) >= 0.95), strict=True)}
    assert pairs_of(found) == expected
    assert len(expected) > 400
    assert not found.is_capped.any()


def test_cells_find_nearly_every_pair_and_make_none_up() -> None:
    values, groups = crowd(6000), np.arange(6000) % 3
    exact = near_pairs(values, groups, NearLimits())
    limits = NearLimits(exact_limit=2000, cell_size=500)
    cells = near_pairs(values, groups, limits)
    assert pairs_of(cells) <= pairs_of(exact)
    assert len(pairs_of(cells)) > 0.98 * len(pairs_of(exact))
    again = near_pairs(values, groups, limits)
    assert np.array_equal(cells.later, again.later)
    assert np.array_equal(cells.similarity, again.similarity)


def test_the_cap_keeps_the_most_similar_inside_and_across_and_says_so() -> None:
    angles = np.radians([0, 1, 2, 3, 4, 5.5])
    values = np.column_stack([np.cos(angles), np.sin(angles)])
    found = near_pairs(values, np.array([0, 0, 0, 1, 1, 0]), NearLimits(max_pairs=1))
    assert pairs_of(found) == {(1, 0), (2, 1), (3, 2), (4, 3), (4, 2), (5, 2), (5, 4)}
    assert found.is_capped.tolist() == [False, False, True, True, True, True]


def test_masses_of_equal_vectors_stay_within_the_cap() -> None:
    found = near_pairs(np.ones((3000, 8)), np.zeros(3000, np.intp), NearLimits(max_pairs=3))
    assert np.bincount(found.later, minlength=3000)[3:].tolist() == [3] * 2997
    assert found.is_capped.sum() == 2996


def test_vectors_of_zeros_and_no_vectors_are_like_nothing() -> None:
    assert len(near_pairs(np.zeros((3, 4)), np.zeros(3, np.intp), NearLimits()).later) == 0
    assert len(near_pairs(np.zeros((0, 4)), np.zeros(0, np.intp), NearLimits()).later) == 0
