"""Samples as tar members, with every byte determined by name and content.

Headers are written here rather than by `tarfile`, whose padding of unused fields has changed between Python versions.
The result is plain USTAR: regular files, mode 644, owner and time zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harmonize.errors import StoreError

BLOCK = 512
END = bytes(2 * BLOCK)
"""Two empty blocks close an archive."""

MAX_NAME_BYTES = 100
MAX_MEMBER_BYTES = 8**11 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Where the content of one member lies in its tar, in bytes."""

    offset: int
    size: int
    sha256: str


def header(name: str, size: int) -> bytes:
    """The USTAR header block of a regular file.

    Raises:
        StoreError: the name or the size does not fit.
    """
    encoded = name.encode("ascii", "strict")
    if not 0 < len(encoded) <= MAX_NAME_BYTES or not 0 <= size <= MAX_MEMBER_BYTES:
        raise StoreError(f"{name}: a tar member has a name of 1 to {MAX_NAME_BYTES} bytes and at most 8 GiB")
    block = bytearray(BLOCK)
    block[0 : len(encoded)] = encoded
    block[100:108] = b"0000644\0"
    block[108:124] = b"0000000\0" * 2
    block[124:136] = b"%011o\0" % size
    block[136:148] = b"%011o\0" % 0
    block[148:156] = b" " * 8
    block[156:157] = b"0"
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(size: int) -> int:
    """Bytes that content of `size` takes in a tar."""
    return -(-size // BLOCK) * BLOCK


def sample_bytes(key: str, contents: Mapping[str, bytes], start: int) -> tuple[bytes, dict[str, Member]]:
    """The members `key.extension` of one sample, to be written at byte `start`, and where each then lies."""
    pieces, members, at = [], {}, start
    for extension, content in contents.items():
        size = len(content)
        pieces += [header(f"{key}.{extension}", size), content, bytes(padded(size) - size)]
        members[extension] = Member(offset=at + BLOCK, size=size, sha256=hashlib.sha256(content).hexdigest())
        at += BLOCK + padded(size)
    return b"".join(pieces), members


def differences(key: str, span: bytes, start: int, members: Mapping[str, Member]) -> Iterator[tuple[str, str]]:
    """What in the bytes of one sample is not as it was written: pairs of member extension and problem.

    span: the sample's bytes, read at `start`; members: in the order of the tar.
    """
    at = 0
    for extension, member in members.items():
        end = at + BLOCK + padded(member.size)
        if member.offset != start + at + BLOCK or end > len(span):
            yield extension, f"the index places it at byte {member.offset} with {member.size} bytes, where it is not"
            return
        if span[at : at + BLOCK] != header(f"{key}.{extension}", member.size):
            yield extension, "its tar header was altered"
        if hashlib.sha256(span[at + BLOCK : at + BLOCK + member.size]).hexdigest() != member.sha256:
            yield extension, "its content is not what the index says (sha256)"
        if any(span[at + BLOCK + member.size : end]):
            yield extension, "the padding behind it was altered"
        at = end
    if at != len(span):
        yield "", f"expected {at} bytes in its members, found {len(span)}"
