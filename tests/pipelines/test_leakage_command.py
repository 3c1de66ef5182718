"""`ehps propose` where samples to choose from are part of what they would be judged on."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_store import person, write_shard

from benchmark.leakage import guard, leaks
from catalogs import store as catalog
from catalogs.selection import Pool, Selection
from harmonize.errors import UsageError
from harmonize.record import Instance
from pipelines import cli
from pipelines.mixture import training_pool

Ran = tuple[int, str, str]
SHARED = "recording_20211004_S19_S06_01"


def recorded(source: str, number: int, sequence: str, subject: str, picture: str) -> Instance:
    made = person(*source.split("/"), number)
    names = {"sequence": sequence, "subject": subject, "image_sha256": picture}
    return replace(made, provenance=replace(made.provenance, **names))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of six people of MVSet two are of a recording that EgoSet evaluates on; one of MPII is a picture of EHF; the only
    one of LSP extended is too."""
    folder = tmp_path_factory.mktemp("leaking")
    other = "recording_20210907_S02_S01_01"
    write_shard(folder, [recorded("egobody_egoset/test", i, SHARED, "S06", f"e{i}") for i in range(3)])
    write_shard(
        folder,
        [
            recorded(
                "egobody_mvset/train", i, f"{SHARED if i < 2 else other}/master", "S06" if i == 0 else "S02", f"m{i}"
            )
            for i in range(6)
        ],
    )
    write_shard(folder, [recorded("ehf/test", i, "", "", f"h{i}") for i in range(4)])
    write_shard(folder, [recorded("mpii/train", i, "", "", "h3" if i == 0 else f"p{i}") for i in range(5)])
    write_shard(folder, [recorded("lspet/train", 0, "", "", "h1")])
    write_shard(folder, [recorded("bedlam/train", i, "", "", f"b{i}") for i in range(8)])
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, store: Path, tmp_path: Path) -> Callable[[str], Ran]:
    def propose(line: str) -> Ran:
        words = ["ehps", "propose", str(store), "--method", "natural", "--budget", "90", "-o", "m.json", *line.split()]
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.chdir(tmp_path)
        output, errors = io.StringIO(), io.StringIO()
        code = 0
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                cli.main()
            except SystemExit as left:
                code = int(left.code or 0)
        return code, output.getvalue(), errors.getvalue()

    return propose


def names_of(path: Path) -> dict[str, int]:
    return {member.name: member.num_available for member in Selection.load(path).members}


def test_a_mixture_with_recordings_of_the_benchmark_is_refused(run: Callable[[str], Ran], tmp_path: Path) -> None:
    code, _, errors = run("--for egobody")
    words = " ".join(errors.split())
    assert code == 1
    assert f"egobody_mvset/train for egobody (egobody_egoset/test): recording: {SHARED}; 2 samples" in words
    assert "egobody_mvset/train for egobody (egobody_egoset/test): subject: S06; 1 samples" in words
    assert "egobody_mvset-train-00001-0" in words
    assert "mpii" not in words
    assert "--exclude egobody_mvset" in words
    assert not (tmp_path / "m.json").exists()


def test_excluding_what_leaks_is_enough(run: Callable[[str], Ran], tmp_path: Path) -> None:
    assert run("--for egobody --exclude egobody_mvset")[0] == 0
    assert names_of(tmp_path / "m.json") == {"bedlam/train": 8, "lspet/train": 1, "mpii/train": 5}
    selection = Selection.load(tmp_path / "m.json")
    assert selection.parameters["drop_leaks"] is False
    assert selection.sample_keys is None


def test_all_benchmarks_that_the_store_holds_are_guarded_by_default(run: Callable[[str], Ran]) -> None:
    code, _, errors = run("")
    assert code == 1
    assert "for egobody" in errors
    assert "mpii/train for ehf (ehf/test): picture" in " ".join(errors.split())


def test_leaks_can_be_dropped_by_sample_and_are_recorded(
    run: Callable[[str], Ran], store: Path, tmp_path: Path
) -> None:
    assert run("--drop-leaks")[0] == 0
    assert names_of(tmp_path / "m.json") == {"bedlam/train": 8, "egobody_mvset/train": 4, "mpii/train": 4}
    selection = Selection.load(tmp_path / "m.json")
    assert selection.parameters["drop_leaks"] is True
    with catalog.open(store) as con:
        rows = catalog.query(
            con,
            "SELECT key FROM instances WHERE split = 'train' AND sequence NOT LIKE $one "
            "AND image_sha256 NOT IN (SELECT image_sha256 FROM instances WHERE split = 'test') ORDER BY key",
            {"one": f"{SHARED}%"},
        ).rows
    assert selection.sample_keys == tuple(row[0] for row in rows)
    dropped = [reason for reason in selection.reasons if reason.startswith("left out: egobody_mvset/train for egobody")]
    assert len(dropped) == 2
    assert any("lspet/train left out: none of its samples is allowed" in reason for reason in selection.reasons)


def test_a_condition_may_leave_nothing_that_leaks(run: Callable[[str], Ran], tmp_path: Path) -> None:
    code, _, errors = run(f"--for egobody --where sequence<>'{SHARED}/master'")
    assert code == 0, errors
    assert names_of(tmp_path / "m.json")["egobody_mvset/train"] == 4


def test_dropping_adds_to_a_condition(run: Callable[[str], Ran], tmp_path: Path) -> None:
    assert run("--for egobody --drop-leaks --where dataset<>'bedlam'")[0] == 0
    assert names_of(tmp_path / "m.json") == {"egobody_mvset/train": 4, "lspet/train": 1, "mpii/train": 5}


def test_a_benchmark_that_the_store_lacks_cannot_be_guarded(run: Callable[[str], Ran]) -> None:
    code, _, errors = run("--for pw3d")
    assert code == 1
    assert "no samples of pw3d/test" in errors
    assert "ehps ingest pw3d --split test" in errors


def test_readers_name_recordings_so_that_both_views_of_a_session_meet(
    miniature: Callable[[str], tuple[Path, Any]], tmp_path: Path
) -> None:
    """EgoSet and MVSet through their readers: the training splits may be chosen for EgoBody, MVSet's test may not."""
    from harmonize.readers import splits_of
    from harmonize.shards.plan import IngestJob
    from pipelines.ingest import ingest

    jobs = [
        IngestJob(reader=name, root=miniature(name)[0], split=split, store=tmp_path, body_models="standin")
        for name in ("egobody_egoset", "egobody_mvset")
        for split in splits_of(name)
    ]
    ingest(jobs, runner="inline", num_workers=1)
    with catalog.open(tmp_path) as con:
        found = guard(con, training_pool(tmp_path), ["egobody"])
        assert {leak.source for leak in found} == {"egobody_egoset/train", "egobody_mvset/train"}
        assert {leak.kind for leak in found} == {"in-domain"}
        every = catalog.pool(con, splits=["train", "val", "test"])
        other = Pool(
            sources=tuple(source for source in every.sources if source.dataset == "egobody_mvset"), shards=every.shards
        )
        refused = {leak.source: leak for leak in leaks(con, other, ["egobody"]) if leak.kind == "recording"}
        assert set(refused) == {"egobody_mvset/test"}
        of_test = "FROM instances WHERE split = 'test' AND dataset = $dataset"
        names = catalog.query(con, f"SELECT DISTINCT sequence {of_test}", {"dataset": "egobody_egoset"})
        assert refused["egobody_mvset/test"].what == ", ".join(sorted(row[0] for row in names.rows))
        num = catalog.query(con, f"SELECT count(*) {of_test}", {"dataset": "egobody_mvset"})
        assert refused["egobody_mvset/test"].num_samples == num.rows[0][0]
        with pytest.raises(UsageError, match="egobody_mvset/test for egobody"):
            guard(con, other, ["egobody"])
