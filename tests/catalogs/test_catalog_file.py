"""The catalog file: answers never depend on it, it takes over only what changed, and it never stands in the way."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from made_attributes import describe, write_family
from small_store import person, write_shard

from catalogs import file, store
from catalogs.attributes import files
from catalogs.shard_facts import facts_of
from catalogs.stamps import ATTRIBUTES, scan
from harmonize.annotation import Reject
from harmonize.errors import StoreError, UsageError
from harmonize.record import Provenance

FAMILIES = ("orientation", "pose_space", "label", "skeleton")
VIEWS = ("instances", "samples", "records", "rejects", "shards", "shard_attributes", "attributes", *FAMILIES)
CROWD = Reject(reason="crowd", provenance=Provenance(dataset="pw3d", split="train"), numbers={"iou": 0.9})


def fill(folder: Path) -> Path:
    """Four shards of two datasets, three with attributes."""
    write_shard(folder, [person("pw3d", "train", i) for i in range(4)], rejects=[CROWD])
    write_shard(folder, [person("pw3d", "train", i) for i in range(4, 7)], number=1)
    write_shard(folder, [person("agora", "validation", i) for i in range(3)])
    write_shard(folder, [person("agora", "train", i) for i in range(2)])
    described = ["pw3d-train-000000", "pw3d-train-000001", "agora-validation-000000"]
    describe(folder, FAMILIES, shards=described)
    return folder


def contents(folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """Every row of every view, whatever the order of rows and columns."""
    found = {}
    with store.open(folder) as con:
        for view in VIEWS:
            try:
                table = store.query(con, f"FROM {view}")
            except UsageError as error:
                assert "fix: ehps describe" in str(error)  # noqa: PT017
                continue
            order = sorted(range(len(table.columns)), key=table.columns.__getitem__)
            rows = sorted(tuple(repr(row[i]) for i in order) for row in table.rows)
            found[view] = [tuple(table.columns[i] for i in order), *rows]
    return found


def without_file(folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """`contents` of the store as it would be without its catalog file."""
    path = folder / file.NAME
    path.rename(folder / "aside")
    try:
        return contents(folder)
    finally:
        (folder / "aside").rename(path)


def add_shard(folder: Path) -> None:
    write_shard(folder, [person("pw3d", "train", i) for i in range(7, 9)], number=2)


def describe_another(folder: Path) -> None:
    describe(folder, FAMILIES, shards=["agora-train-000000"])


def change_shard(folder: Path) -> None:
    write_shard(folder, [person("pw3d", "train", i) for i in range(20, 25)], number=1)


def remove_shard(folder: Path) -> None:
    (folder / "agora" / "validation" / "agora-validation-000000.json").unlink()


def remove_attributes(folder: Path) -> None:
    (folder / "pw3d" / "train" / ATTRIBUTES / "orientation" / "pw3d-train-000000.json").unlink()


def new_values(folder: Path) -> None:
    describe(folder, ["orientation"], shards=["pw3d-train-000000"], seed=1)


def new_code_for_all(folder: Path) -> None:
    describe(folder, ["orientation"], shards=["pw3d-train-000000", "pw3d-train-000001"], seed=2, code="other")


def new_code_for_one(folder: Path) -> None:
    describe(folder, ["orientation"], shards=["pw3d-train-000000"], seed=2, code="other")


def new_family(folder: Path) -> None:
    describe(folder, ["shape"])


def lose_a_table(folder: Path) -> None:
    (folder / "pw3d" / "train" / ATTRIBUTES / "orientation" / "pw3d-train-000000.parquet").unlink()
    (folder / "pw3d" / "train" / ATTRIBUTES / "orientation" / "pw3d-train-000000.json").touch()


CHANGES: list[Callable[[Path], None]] = [
    add_shard,
    describe_another,
    change_shard,
    remove_shard,
    remove_attributes,
    new_values,
    new_code_for_all,
    new_code_for_one,
    new_family,
    lose_a_table,
]


@pytest.mark.parametrize("change", CHANGES)
def test_answers_are_those_of_the_shards_before_and_after_a_refresh(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    fill(tmp_path)
    bare = contents(tmp_path)
    file.refresh(tmp_path)
    assert contents(tmp_path) == bare
    change(tmp_path)
    expected = without_file(tmp_path)
    assert expected != bare
    assert contents(tmp_path) == expected
    result = file.refresh(tmp_path)
    assert result.num_samples == len(expected["instances"]) - 1
    assert contents(tmp_path) == expected
    with store.open(tmp_path) as con:  # all of it comes from the file now
        assert con.execute("SELECT count(*) FROM file0.samples").fetchone() == (result.num_samples,)
        assert con.execute("SELECT count(*) FROM internal.replaced").fetchone() == (0,)


def test_refresh_takes_over_what_changed_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path)
    told: list[int] = []
    first = file.refresh(tmp_path, told.append)
    assert (first.num_shards_added, first.num_samples, first.is_rebuilt, sum(told)) == (4, 12, True, 12)
    before = (tmp_path / file.NAME).stat().st_ino
    again = file.refresh(tmp_path, told.append)
    assert (again.num_shards_added, again.num_shards_changed, again.num_shards_removed, sum(told)) == (0, 0, 0, 12)
    assert (tmp_path / file.NAME).stat().st_ino == before
    change_shard(tmp_path)
    add_shard(tmp_path)
    third = file.refresh(str(tmp_path), told.append)
    assert (third.num_shards_added, third.num_shards_changed, third.num_shards_removed) == (1, 1, 0)
    assert (third.is_rebuilt, sum(told)) == (False, 12 + 5 + 2)


def test_attributes_of_a_changed_shard_are_stale_and_the_answer_says_so(tmp_path: Path) -> None:
    fill(tmp_path)
    file.refresh(tmp_path)
    change_shard(tmp_path)
    for refreshed in (False, True):
        if refreshed:
            file.refresh(tmp_path)
        with store.open(tmp_path) as con:
            cells = store.query(con, "SELECT count(*) FROM orientation")
            assert cells.rows == ((4 + 3,),)
            (note,) = cells.notes
            assert "orientation: 2 of 4 shards" in note
            assert "1 of them because what they describe has changed" in note
            assert f"fix: ehps describe {tmp_path} --attributes orientation" in note
            prefixed = store.query(con, "SELECT count(*) FROM samples WHERE orientation_cell IS NOT NULL")
            assert prefixed.notes == (note,)
            assert store.query(con, "SELECT count(*) FROM samples").notes == ()
            sql = "SELECT num_current, num_stale, num_missing FROM attributes WHERE family = 'orientation'"
            assert set(store.query(con, sql).rows) == {(1, 0, 0), (0, 0, 1), (1, 1, 0)}


def test_versions_of_a_family_are_never_mixed(tmp_path: Path) -> None:
    fill(tmp_path)
    new_code_for_one(tmp_path)
    with store.open(tmp_path) as con:
        sql = "SELECT DISTINCT shard FROM samples WHERE orientation_cell IS NOT NULL ORDER BY ALL"
        assert store.query(con, sql).rows == (("agora-validation-000000",), ("pw3d-train-000001",))


def test_readers_keep_the_file_that_they_opened(tmp_path: Path) -> None:
    fill(tmp_path)
    file.refresh(tmp_path)
    with store.open(tmp_path) as con:
        add_shard(tmp_path)
        file.refresh(tmp_path)
        assert store.query(con, "SELECT count(key) FROM samples").rows == ((12,),)
        with store.open(tmp_path) as later:
            assert store.query(later, "SELECT count(key) FROM samples").rows == ((14,),)


def test_many_read_while_one_writes(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", 0)])
    problems: list[object] = []
    done = threading.Event()

    def read() -> None:
        last = 0
        while not done.is_set():
            try:
                with store.open(tmp_path) as con:
                    ((num,),) = store.query(con, "SELECT count(DISTINCT key) FROM samples").rows
                    ((stated,),) = store.query(con, "SELECT sum(num_samples) FROM shards").rows
            except Exception as error:
                problems.append(error)
                return
            if num != stated or num < last:
                problems.append((last, num, stated))
            last = num

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 6):
        write_shard(tmp_path, [person("pw3d", "train", number)], number=number)
        file.refresh(tmp_path)
    done.set()
    for reader in readers:
        reader.join()
    assert problems == []


def test_shard_that_is_taken_away_while_it_is_looked_at_is_not_there(tmp_path: Path) -> None:
    fill(tmp_path)
    seen = scan(tmp_path).shards
    remove_shard(tmp_path)
    assert set(facts_of(tmp_path, seen, {})) == set(seen) - {"agora-validation-000000"}


def test_two_refreshes_do_not_run_at_once(tmp_path: Path) -> None:
    fill(tmp_path)
    file.refresh(tmp_path)
    with (tmp_path / f"{file.NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process is refreshing"):
            file.refresh(tmp_path)
    file.refresh(tmp_path)


@pytest.mark.parametrize("damage", ["garbage", "cut short", "other version", "other database"])
def test_file_that_cannot_be_used_changes_no_answer(tmp_path: Path, damage: str) -> None:
    fill(tmp_path)
    expected = contents(tmp_path)
    file.refresh(tmp_path)
    path = tmp_path / file.NAME
    if damage == "garbage":
        path.write_bytes(b"nonsense" * 1000)
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:9000])
    else:
        with duckdb.connect(path) as con:
            con.execute("UPDATE about SET format_version = 99" if damage == "other version" else "DROP TABLE about")
    with store.open(tmp_path) as con:
        (note,) = store.query(con, "SELECT count(*) FROM samples").notes
    assert str(path) in note
    assert f"fix: ehps catalog {tmp_path}" in note
    assert contents(tmp_path) == expected
    assert file.refresh(tmp_path).is_rebuilt
    with store.open(tmp_path) as con:
        assert store.query(con, "SELECT count(*) FROM samples").notes == ()


def test_what_a_killed_refresh_left_is_not_taken_over(tmp_path: Path) -> None:
    fill(tmp_path)
    file.refresh(tmp_path)
    add_shard(tmp_path)
    for name in (f".tmp-{file.NAME}", f".tmp-{file.NAME}.wal"):
        (tmp_path / name).write_bytes(b"half of something")
    file.refresh(tmp_path)
    assert contents(tmp_path) == without_file(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [file.NAME, f"{file.NAME}.lock"]


def test_damaged_table_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    fill(tmp_path)
    file.refresh(tmp_path)
    before = (tmp_path / file.NAME).read_bytes()
    path = write_family(tmp_path / "pw3d" / "train", "pw3d-train-000000", "orientation", seed=3)
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{path}[\s\S]*fix: remove it and run `ehps describe`"):
        file.refresh(tmp_path)
    assert (tmp_path / file.NAME).read_bytes() == before
    with pytest.raises(StoreError, match=str(path)), store.open(tmp_path) as con:
        store.query(con, "SELECT sum(cell), sum(azimuth_deg) FROM orientation")
    path.write_bytes(path.read_bytes()[:100])
    with store.open(tmp_path) as con:  # of another size than its manifest says: as good as missing
        assert store.query(con, "SELECT count(cell) FROM orientation").notes


def test_values_of_other_samples_are_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    folder = tmp_path / "pw3d" / "train"
    path = write_family(folder, "pw3d-train-000001", "orientation")
    other = folder / ATTRIBUTES / "orientation"
    for suffix in (files.TABLE, files.MANIFEST):
        (other / f"pw3d-train-000001{suffix}").unlink()
    table = files.read_attributes(other, "pw3d-train-000000").slice(0, 3)
    columns = {name: table.column(name) for name in table.column_names}
    write_family(folder, "pw3d-train-000001", "orientation", columns=columns)
    with pytest.raises(StoreError, match=rf"{path}[\s\S]*is not in the index"):
        file.refresh(tmp_path)


def test_refresh_of_no_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected the folder of a store"):
        file.refresh(tmp_path / "nothing")
    with pytest.raises(StoreError, match="no finished shard"):
        file.refresh(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folder_names_agree() -> None:
    assert ATTRIBUTES == files.FOLDER
