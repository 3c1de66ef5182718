"""Pictures of the raw root, each read and hashed once for all the people in it: files, members of archives, frames of
videos.

What a picture is hashed by is the file under the raw root that holds it: the picture itself, or the video; members of
archives, which may be terabytes, are hashed one by one.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmonize.annotation import ImageSource, VideoFrame
from harmonize.errors import RawFileError
from harmonize.raw.archives import Archive, open_archive
from harmonize.raw.paths import safe_join
from harmonize.raw.videos import Video
from harmonize.shards.decode import PictureHeader, Pixels, frame_header, read_header
from harmonize.shards.hashes import HashCache, state_of
from harmonize.shards.summary import MISSING

MAX_PICTURE_BYTES = 512 << 20
HELD_BYTES = 64 << 20
"""Pictures kept in memory: people of one picture mostly follow one another, or come sequence by sequence."""

_OPEN_FILES = 4
_QUARTER_TURNS = {0: 1, 90: 8, 180: 3, 270: 6}
"""Counter-clockwise degrees that a viewer turns a video by -> EXIF code."""

_FRAME = re.compile(r"(?P<path>.+?)(?:@[0-9.e+-]+s/[0-9.e+-]+fps)?#[0-9]+")


class UnusablePictureError(Exception):
    """A picture is missing, damaged, or not to be touched; becomes a recorded reject with this reason."""

    def __init__(self, reason: str, detail: str, **numbers: float) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.numbers = numbers


@dataclass(frozen=True, slots=True)
class SourcePicture:
    """The bytes of a picture's file, or the pixels of a video's frame with the EXIF code that turns them upright."""

    data: bytes | Pixels
    sha256: str
    orientation: int | None = None

    def header(self, name: str) -> PictureHeader:
        """Format, size and orientation. Raises RawFileError: see `read_header`."""
        if isinstance(self.data, bytes):
            return read_header(self.data, name)
        return frame_header(self.data, self.orientation or 1)

    def __len__(self) -> int:
        return len(self.data) if isinstance(self.data, bytes) else self.data.nbytes


class Pictures:
    """Reads pictures under a raw root and holds the last ones, and the last archives and videos open."""

    def __init__(self, root: Path, cache: HashCache) -> None:
        self._root, self._cache = root, cache
        self._held: OrderedDict[str, SourcePicture] = OrderedDict()
        self._held_bytes = 0
        self._open: OrderedDict[Path, Archive | Video] = OrderedDict()

    def get(self, source: ImageSource) -> SourcePicture:
        """A picture of the raw root.

        Raises:
            UnusablePictureError: it is missing, not a file, too large, its path leaves the raw root, or the video is
                shorter than its annotations.
            RawFileError: its file is there but cannot be read.
            UsageError: it lies in an archive of a form that has to be unpacked first.
        """
        name = source.name
        if name in self._held:
            self._held.move_to_end(name)
            return self._held[name]
        picture = self._read(source)
        self._held[name] = picture
        self._held_bytes += len(picture)
        while self._held_bytes > HELD_BYTES and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._held_bytes -= len(dropped)
        return picture

    def current_sha256(self, name: str) -> str:
        """The hash that the picture of that `ImageSource.name` has now; "" when it is not there.

        Raises:
            EhpsError, OSError: its file cannot be read.
        """
        path = safe_join(self._root, name)
        if path.is_file():
            return self._cache.sha256(path)
        if (frame := _FRAME.fullmatch(name)) is not None:
            video = safe_join(self._root, frame["path"])
            if video.is_file():
                return self._cache.sha256(video)
        at = name.find("!")
        while at >= 0:
            archive = safe_join(self._root, name[:at])
            if archive.is_file():
                return self._member_sha256(archive, name[at + 1 :])
            at = name.find("!", at + 1)
        return ""

    def _member_sha256(self, path: Path, member: str) -> str:
        known = self._cache.recall(path, member)
        if known is not None:
            return known
        try:
            return self._member(path, member).sha256
        except UnusablePictureError:
            return ""

    def close(self) -> None:
        """Closes the archives and videos that are open."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def _read(self, source: ImageSource) -> SourcePicture:
        try:
            path = safe_join(self._root, source.path)
        except RawFileError as error:
            raise UnusablePictureError("image-path", f"{source.path!r} leads out of the raw root") from error
        if not path.is_file():
            raise UnusablePictureError(MISSING, f"expected a picture {source.path} under the raw root, found none")
        try:
            if source.video is not None:
                return self._frame(path, source.video)
            return self._member(path, source.member) if source.member else self._file(path, source.path)
        except OSError as error:
            raise RawFileError(
                f"{path}: the picture is there but cannot be read ({error.strerror})",
                fix="mend the disk or the permissions, then run the same command again",
                file=source.path,
            ) from error

    def _file(self, path: Path, relative: str) -> SourcePicture:
        state = state_of(path)
        if state[0] > MAX_PICTURE_BYTES:
            raise UnusablePictureError("image-damaged", f"{relative}: {state[0]} bytes are too many for a picture")
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        self._cache.remember(path, state, sha256)
        return SourcePicture(data, sha256)

    def _member(self, path: Path, member: str) -> SourcePicture:
        state = state_of(path)
        archive: Archive = self._opened(path, open_archive)
        data = archive.read(member, MAX_PICTURE_BYTES)
        if data is None:
            raise UnusablePictureError(MISSING, f"expected a picture {member} in {path.name}, found none")
        sha256 = hashlib.sha256(data).hexdigest()
        self._cache.remember(path, state, sha256, member)
        return SourcePicture(data, sha256)

    def _frame(self, path: Path, wanted: VideoFrame) -> SourcePicture:
        video: Video = self._opened(path, Video)
        index = wanted.index
        if wanted.fps is not None:
            # ffmpeg's rounding: an output frame shows the last input frame whose own number rounds to at most its own.
            index = video.index_at(wanted.start_s + (wanted.index + 0.5) / wanted.fps)
            is_short = video.end_s() <= wanted.start_s + (wanted.num_frames - 1) / wanted.fps
        else:
            is_short = index >= video.num_frames
        if is_short or index < 0:
            detail = f"{path.name} has fewer frames than its annotations"
            numbers = {"num_frames": video.num_frames, "num_annotated": wanted.num_frames, "frame": wanted.index}
            raise UnusablePictureError("video-short", detail, **numbers)
        pixels, turn = video.frame(index)
        return SourcePicture(pixels, self._cache.sha256(path), _QUARTER_TURNS.get(turn % 360, 1))

    def _opened(self, path: Path, opener: Callable[[Path], Any]) -> Any:
        if path not in self._open:
            while len(self._open) >= _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[path] = opener(path)
        self._open.move_to_end(path)
        return self._open[path]
