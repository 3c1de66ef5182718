"""`ehps propose` where samples to choose from are part of what they would be judged on."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_store import person, write_shard

from catalogs import store as catalog
from catalogs.selection import Selection
from harmonize.record import Instance
from pipelines import cli

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
