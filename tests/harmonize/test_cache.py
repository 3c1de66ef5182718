from __future__ import annotations

from pathlib import Path

import pytest

from harmonize.cache import build_once, cache_dir


def test_environment_chooses_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHPS_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("EHPS_CACHE")
    assert cache_dir().name == "ehps"


def test_built_once(tmp_path: Path) -> None:
    calls = []

    def build(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").write_text("content")

    for _ in range(2):
        assert (build_once(tmp_path / "deep" / "made", build) / "file").read_text() == "content"
    assert len(calls) == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["made"]


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        build_once(tmp_path / "made", fail)
    assert list(tmp_path.iterdir()) == []


def test_loser_of_a_race_takes_the_winners_folder(tmp_path: Path) -> None:
    def slow(folder: Path) -> None:
        (folder / "file").write_text("loser")
        build_once(tmp_path / "made", lambda other: (other / "file").write_text("winner") and None)

    assert (build_once(tmp_path / "made", slow) / "file").read_text() == "winner"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
