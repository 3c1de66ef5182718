"""Members of zip, tar and HDF5 files: their bytes, and one error for what is damaged, hostile or of another form."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from harmonize.errors import RawFileError, UsageError
from harmonize.raw.archives import Archive, open_archive

PICTURE = np.random.default_rng(0).bytes(10_000)
MEMBER = "1/00010.jpg"


def write_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, PICTURE)
        archive.mkdir("1/empty")
    return path


def write_tar(path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo(f"./{MEMBER}")
        info.size = len(PICTURE)
        archive.addfile(info, io.BytesIO(PICTURE))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


def write_smc(path: Path) -> Path:
    with h5py.File(path, "w") as archive:
        archive[MEMBER] = np.frombuffer(PICTURE, np.uint8)
        archive["numbers"] = np.zeros(4)
        archive["link.jpg"] = h5py.ExternalLink("/etc/passwd", "x")
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {"a.zip": write_zip, "a.tar": write_tar, "a.smc": write_smc}


def opened(name: str, folder: Path) -> Archive:
    return open_archive(WRITERS[name](folder / name))


@pytest.mark.parametrize("name", WRITERS)
def test_a_member_comes_as_it_was_put_in(name: str, tmp_path: Path) -> None:
    archive = opened(name, tmp_path)
    assert archive.read(MEMBER, 1 << 20) == PICTURE
    assert archive.read("1/00011.jpg", 1 << 20) is None
    assert archive.read("../" + MEMBER, 1 << 20) is None
    archive.close()


@pytest.mark.parametrize("name", WRITERS)
def test_a_member_beyond_the_limit_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RawFileError, match="at most 100 are expected"):
        opened(name, tmp_path).read(MEMBER, 100)


def test_a_link_in_a_tar_is_no_member(tmp_path: Path) -> None:
    assert opened("a.tar", tmp_path).read("link.jpg", 1 << 20) is None


@pytest.mark.parametrize("member", ["link.jpg", "numbers", "1"])
def test_what_is_no_row_of_bytes_in_hdf5_is_refused(member: str, tmp_path: Path) -> None:
    with pytest.raises(RawFileError, match=r"link to another place|not a row of bytes"):
        opened("a.smc", tmp_path).read(member, 1 << 20)


def test_a_folder_in_a_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RawFileError, match="a folder"):
        opened("a.zip", tmp_path).read("1/empty/", 1 << 20)


def test_a_damaged_member_is_noticed(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(RawFileError, match=r"a\.zip"):
        open_archive(path).read(MEMBER, 1 << 20)


@pytest.mark.parametrize("name", WRITERS)
def test_a_truncated_archive_is_one_error(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(RawFileError, match=name):
        open_archive(path).read(MEMBER, 1 << 20)


def test_a_compressed_tar_has_to_be_unpacked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fit3d_train\.tar\.gz.*\n.*unpack"):
        open_archive(tmp_path / "fit3d_train.tar.gz")
