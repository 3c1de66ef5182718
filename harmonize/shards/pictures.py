"""Pictures of the raw root, each read and hashed once for all the people in it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from harmonize.errors import RawFileError
from harmonize.raw.paths import safe_join
from harmonize.shards.hashes import HashCache, state_of
from harmonize.shards.summary import MISSING

MAX_PICTURE_BYTES = 512 << 20
HELD_BYTES = 64 << 20
"""Pictures kept in memory: people of one picture mostly follow one another, or come sequence by sequence."""


class UnusablePictureError(Exception):
    """A picture is missing, damaged, or not to be touched; becomes a recorded reject with this reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class SourcePicture:
    """The bytes of a picture's file and their hash."""

    data: bytes
    sha256: str


class Pictures:
    """Reads pictures under a raw root and holds the last ones."""

    def __init__(self, root: Path, cache: HashCache) -> None:
        self._root, self._cache = root, cache
        self._held: OrderedDict[str, SourcePicture] = OrderedDict()
        self._held_bytes = 0

    def get(self, relative: str) -> SourcePicture:
        """A picture by its path relative to the raw root.

        Raises:
            UnusablePictureError: it is missing, not a file, too large, or its path leaves the raw root.
            RawFileError: it is there but cannot be read.
        """
        if relative in self._held:
            self._held.move_to_end(relative)
            return self._held[relative]
        picture = self._read(relative)
        self._held[relative] = picture
        self._held_bytes += len(picture.data)
        while self._held_bytes > HELD_BYTES and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._held_bytes -= len(dropped.data)
        return picture

    def _read(self, relative: str) -> SourcePicture:
        try:
            path = safe_join(self._root, relative)
        except RawFileError as error:
            raise UnusablePictureError("image-path", f"{relative!r} leads out of the raw root") from error
        if not path.is_file():
            raise UnusablePictureError(MISSING, f"expected a picture {relative} under the raw root, found none")
        try:
            state = state_of(path)
            if state[0] > MAX_PICTURE_BYTES:
                raise UnusablePictureError("image-damaged", f"{relative}: {state[0]} bytes are too many for a picture")
            data = path.read_bytes()
        except OSError as error:
            raise RawFileError(
                f"{path}: the picture is there but cannot be read ({error.strerror})",
                fix="mend the disk or the permissions, then run the same command again",
                file=relative,
            ) from error
        sha256 = hashlib.sha256(data).hexdigest()
        self._cache.remember(path, state, sha256)
        return SourcePicture(data, sha256)
