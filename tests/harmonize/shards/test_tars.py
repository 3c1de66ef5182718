"""Tar members: plain USTAR to everyone else, and every altered byte has a name."""

from __future__ import annotations

import io
import tarfile

import pytest

from harmonize.errors import StoreError
from harmonize.shards.tars import BLOCK, END, differences, header, padded, sample_bytes

CONTENTS = {"npy": b"a" * 700, "json": b"{}", "jpg": b"x" * 512}


def test_tarfile_reads_what_was_written() -> None:
    first, members = sample_bytes("k0", CONTENTS, 0)
    second, _ = sample_bytes("k1", {"npy": b"", "json": b"{}"}, len(first))
    archive = first + second + END
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        found = {item.name: item for item in tar.getmembers()}
        assert list(found) == ["k0.npy", "k0.json", "k0.jpg", "k1.npy", "k1.json"]
        for extension, content in CONTENTS.items():
            item = found[f"k0.{extension}"]
            assert (item.offset_data, item.size) == (members[extension].offset, len(content))
            assert (item.mtime, item.uid, item.gid, item.mode, item.uname) == (0, 0, 0, 0o644, "")
            member = tar.extractfile(item)
            assert member is not None
            assert member.read() == content


def test_the_header_is_the_one_of_tarfile() -> None:
    info = tarfile.TarInfo("key.npy")
    info.size = 12345
    theirs = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    ours = bytearray(header("key.npy", 12345))
    for block in (theirs, ours):
        block[148:156] = b""
        assert len(block) == BLOCK - 8
    # Older Pythons write zeros as device numbers of regular files.
    assert ours[:321] == theirs[:321]


@pytest.mark.parametrize(("name", "size"), [("", 1), ("k" * 101, 1), ("k", -1), ("k", 8**11)])
def test_what_does_not_fit_is_refused(name: str, size: int) -> None:
    with pytest.raises(StoreError):
        header(name, size)


def test_an_untouched_sample_has_no_differences() -> None:
    span, members = sample_bytes("k", CONTENTS, 1024)
    assert list(differences("k", span, 1024, members)) == []


def test_every_altered_byte_is_placed() -> None:
    span, members = sample_bytes("k", CONTENTS, 0)
    at = 0
    for extension, content in CONTENTS.items():
        end = at + BLOCK + padded(len(content))
        for position in range(at, end):
            altered = bytearray(span)
            altered[position] ^= 0x10
            (found,) = differences("k", bytes(altered), 0, members)
            where = "header" if position < at + BLOCK else "content"
            where = "padding" if position >= at + BLOCK + len(content) else where
            assert found[0] == extension
            assert where in found[1]
        at = end


def test_another_name_size_or_place_shows() -> None:
    span, members = sample_bytes("k", CONTENTS, 0)
    assert {problem for _, problem in differences("other", span, 0, members)} == {"its tar header was altered"}
    assert list(differences("k", span[:-512], 0, members))[-1][0] == "jpg"
    assert list(differences("k", span + bytes(512), 0, members))[-1][0] == ""
    assert "where it is not" in next(differences("k", span, 512, members))[1]
