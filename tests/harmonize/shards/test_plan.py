"""Plans: the same for the same input, another for any other, and shards that mix."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_dataset import change_person, toy_job, with_options, write_raw

from harmonize.bodies import BodyModels
from harmonize.errors import RawFileError, RawLayoutError, StoreError, UnknownDatasetError, UsageError
from harmonize.readers import READERS
from harmonize.readers.base import Unit
from harmonize.shards import fingerprint
from harmonize.shards.hashes import HashCache
from harmonize.shards.plan import MIN_SHARDS, IngestOptions, make_plan, make_tasks

pytestmark = pytest.mark.usefixtures("toy_reader")


def units(hints: list[int]) -> list[Unit]:
    return [Unit(f"sequence {i}", (f"{i}.json",), hint) for i, hint in enumerate(hints)]


@given(
    hints=st.lists(st.integers(0, 5000), min_size=1, max_size=60),
    shard_samples=st.integers(1, 2000),
    task_samples=st.integers(1, 9000),
    order=st.randoms(),
)
def test_tasks_hold_each_unit_once_and_number_shards_without_gaps(
    hints: list[int], shard_samples: int, task_samples: int, order: Any
) -> None:
    options = IngestOptions(shard_samples=shard_samples, task_samples=task_samples)
    given_units = units(hints)
    tasks = make_tasks(given_units, options)
    assert Counter(unit.id for task in tasks for unit in task.units) == Counter(unit.id for unit in given_units)
    numbers = [task.first_shard + i for task in tasks for i in range(task.num_shards)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= MIN_SHARDS
    order.shuffle(given_units)
    assert make_tasks(given_units, options) == tasks


def test_hints_size_tasks_and_shards() -> None:
    tasks = make_tasks(units([100] * 200), IngestOptions(shard_samples=100, task_samples=500))
    assert [len(task.units) for task in tasks] == [5] * 40
    assert {task.num_shards for task in tasks} == {5}
    halved = make_tasks(units([100] * 200), IngestOptions(shard_samples=100, task_samples=500, every=2))
    assert [len(task.units) for task in halved] == [10] * 20


def test_neighbouring_units_are_spread_over_tasks() -> None:
    tasks = make_tasks(units([100] * 200), IngestOptions(shard_samples=100, task_samples=500))
    where = {unit.id: task.index for task in tasks for unit in task.units}
    together = sum(where[f"sequence {i}"] == where[f"sequence {i + 1}"] for i in range(199))
    assert together < 20  # 5 at random, 160 in the order of the dataset


def test_the_people_of_a_unit_are_spread_over_the_shards_of_its_task() -> None:
    (task,) = make_tasks(units([100] * 8), IngestOptions(shard_samples=50, task_samples=8000))
    of_unit, of_shard = defaultdict(set), defaultdict(set)
    for sequence in range(8):
        for frame in range(100):
            shard = task.shard_of(f"d-train-sequence_{sequence}-{frame:04d}-0")
            of_unit[sequence].add(shard)
            of_shard[shard].add(sequence)
    assert all(len(shards) == task.num_shards for shards in of_unit.values())
    assert all(len(sequences) >= 6 for sequences in of_shard.values())


def test_two_units_of_one_id_are_refused() -> None:
    with pytest.raises(StoreError, match="'same'"):
        make_tasks([Unit("same", ()), Unit("same", ())], IngestOptions())


def test_the_plan_depends_on_content_and_not_on_place_or_time(tmp_path: Path) -> None:
    one = write_raw(tmp_path / "one")
    other = Path(shutil.copytree(one, tmp_path / "elsewhere" / "other"))
    (other / "annotations/seq_00.json").touch()
    (other / "annotations/notes.txt").write_text("not an annotation file")
    plans = [make_plan(toy_job(root, tmp_path / "store")) for root in (one, one, other)]
    assert plans[0] == plans[1] == plans[2]
    assert str(tmp_path) not in repr(plans[0].content)


def test_any_other_input_option_body_or_code_makes_another_plan(
    tmp_path: Path, toy_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = toy_job(toy_root, tmp_path / "store")
    digests = [make_plan(job).digest]
    changes: list[dict[str, Any]] = [
        {"images": "full"},
        {"context": 1.6},
        {"every": 2},
        {"body_mode": "copy"},
        {"max_reject_share": 0.1},
        {"shard_samples": 5},
    ]
    digests += [make_plan(with_options(job, **change)).digest for change in changes]
    changed = Path(shutil.copytree(toy_root, tmp_path / "raw"))
    change_person(changed, 5, 3, frame="0099")
    digests.append(make_plan(toy_job(changed, tmp_path / "store")).digest)
    for name, value in (
        ("code_sha256", "0" * 64),
        ("reader_sha256", "0" * 64),
        ("libraries", {"numpy": "1.0"}),
        ("body_model_files", {"smplx/neutral": "0" * 64}),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(fingerprint, name, lambda *_, value=value: value)
            digests.append(make_plan(job).digest)
    monkeypatch.setattr(READERS["toy"], "version", 2)
    digests.append(make_plan(job).digest)
    assert len(set(digests)) == len(digests)


def test_what_cannot_be_planned_says_why(tmp_path: Path, toy_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = toy_job(toy_root, tmp_path / "store")
    with pytest.raises(UnknownDatasetError, match="nothing"):
        make_plan(type(job)(reader="nothing", root=toy_root, split="train", store=tmp_path, body_models="standin"))
    with pytest.raises(UsageError, match="split"):
        make_plan(type(job)(reader="toy", root=toy_root, split="all", store=tmp_path, body_models="standin"))
    with pytest.raises(RawLayoutError, match="not a folder"):
        make_plan(toy_job(tmp_path / "no", tmp_path / "store"))
    for path, error in (("annotations/absent.json", RawLayoutError), ("../outside.json", RawFileError)):
        monkeypatch.setattr(READERS["toy"], "units", lambda self, split, path=path: [Unit("u", (path,))])
        with pytest.raises(error, match=r"absent\.json|outside\.json"):
            make_plan(job)


@pytest.mark.parametrize(
    "wrong",
    [{"images": "all"}, {"context": 0.5}, {"every": 0}, {"body_mode": "guess"}, {"max_reject_share": 2.0}],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        IngestOptions(**wrong)


def test_the_reader_hash_covers_what_it_imports_and_no_other_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "harmonize"
    readers = package / "readers"
    readers.mkdir(parents=True)
    (package / "record.py").write_text("x = 1")
    (readers / "mine.py").write_text("from harmonize.readers.helper import help_me")
    (readers / "helper.py").write_text("from harmonize.readers import base")
    (readers / "base.py").write_text("y = 1")
    (readers / "other.py").write_text("z = 1")
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    monkeypatch.setattr(fingerprint.inspect, "getfile", lambda _: str(readers / "mine.py"))

    def state() -> tuple[str, str]:
        fingerprint.code_sha256.cache_clear()
        fingerprint.reader_sha256.cache_clear()
        return fingerprint.code_sha256(), fingerprint.reader_sha256(READERS["toy"])

    try:
        code, reader = state()
        (readers / "other.py").write_text("z = 2")
        assert state() == (code, reader)
        (readers / "base.py").write_text("y = 2")
        assert state()[0] == code
        assert state()[1] != reader
        (package / "record.py").write_text("x = 2")
        assert state()[0] != code
    finally:
        fingerprint.code_sha256.cache_clear()
        fingerprint.reader_sha256.cache_clear()


def test_only_the_models_that_annotations_use_bind_their_shards(tmp_path: Path) -> None:
    def put(name: str) -> dict[str, str]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
        return fingerprint.body_model_files(BodyModels.open(tmp_path), ("smplx",), HashCache())

    neutral = put("smplx/SMPLX_NEUTRAL.npz")
    assert set(neutral) == {"smplx/neutral"}
    assert put("smplh/SMPLH_MALE.pkl") == neutral
    assert set(put("smplx/SMPLX_MALE.npz")) == {"smplx/neutral", "smplx/male"}


def test_parts_of_one_file_are_read_one_after_the_other() -> None:
    parts = [Unit(f"{name} {i}", (f"{name}.npz",), 10) for i in range(5) for name in ("a", "b", "c")]
    [task] = make_tasks(parts, IngestOptions())
    files = [unit.files[0] for unit in task.units]
    assert files == sorted(files)
