"""Working folders: seen by nobody, gone afterwards, and told apart from those of the living."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from harmonize.errors import StoreError
from harmonize.shards import staging as staging_module
from harmonize.shards.names import SUFFIXES
from harmonize.shards.staging import publish, remove_leftovers, remove_shard, staging, write_file


def files(tmp_path: Path, scratch: Path, text: str) -> dict[str, Path]:
    made = {suffix: scratch / f"x{suffix}" for suffix in SUFFIXES}
    for path in made.values():
        write_file(path, text.encode())
    return made


def test_a_folder_is_removed_however_the_work_ends(tmp_path: Path) -> None:
    with staging(tmp_path / "split") as scratch:
        (scratch / "file").write_text("x")

    def interrupted() -> None:
        with staging(tmp_path / "split") as scratch:
            (scratch / "file").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "split").iterdir()) == []


def test_leftovers_of_the_dead_are_removed_and_the_living_keep_theirs(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from harmonize.shards.staging import staging\n"
        "with staging(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"
    )
    root = Path(staging_module.__file__).parents[2]
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with staging(tmp_path) as ours:
            assert remove_leftovers(tmp_path) == 0
            assert len(list(tmp_path.iterdir())) == 2
            other.kill()
            other.wait()
            assert remove_leftovers(tmp_path) == 1
            assert list(tmp_path.iterdir()) == [ours]


def test_publishing_replaces_a_shard_manifest_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("old", "new"):
        with staging(tmp_path) as scratch:
            made = files(tmp_path, scratch, text)
            steps: list[list[str]] = []
            rename = Path.rename

            def watched(self: Path, target: Path, steps: list[list[str]] = steps, rename: object = rename) -> Path:
                steps.append(sorted(path.suffix for path in tmp_path.glob("s.*")))
                return rename(self, target)  # type: ignore[operator]

            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", watched)
                publish(made, tmp_path, "s")
            assert all(".json" not in there for there in steps)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f"s{suffix}": "new" for suffix in SUFFIXES}
    remove_shard(tmp_path, "s")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_plainly(tmp_path: Path, code: int) -> None:
    with pytest.raises(StoreError, match="disk is full"), staging(tmp_path):
        raise OSError(code, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_another_error_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"), staging(tmp_path):
        raise OSError(errno.EIO, "Input/output error")


def test_a_store_in_the_way_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreError, match="cannot write"), staging(tmp_path / "store" / "toy"):
        pass
