"""Frames of videos by number, exactly.

The packets are listed once, without decoding, so that every frame has a known time stamp; a frame is then found by
that stamp, whether by decoding on from the frame before or by jumping to the key frame before it. Files whose packets
carry no usable stamps are decoded from their start.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused, one_error

Pixels = npt.NDArray[np.uint8]

MAX_FRAMES = 10_000_000
MAX_PIXELS = 1 << 26

_EXPECTED = "a video"
# Frames that are decoded rather than jumped over: about what a key frame costs to reach.
_NEAR = 64


class Video:
    """An open video file: its first video stream.

    num_frames: frames that the file holds. Raises RawFileError where the file is damaged or no video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with one_error(path, _EXPECTED):
            import av

            self._container: Any = av.open(str(path), options={"protocol_whitelist": "file"})
            if not self._container.streams.video:
                raise Refused("no video stream")
            self._stream: Any = self._container.streams.video[0]
            if not 0 < self._stream.width * self._stream.height <= MAX_PIXELS:
                raise Refused(f"frames of {self._stream.width} x {self._stream.height}")
            # Two threads and more would hold more frames than the caller knows of; files are read in parallel anyway.
            self._stream.thread_type = "NONE"
            stamps, self._has_stamps = self._list_frames()
            self.num_frames = len(stamps)
            self._stamps = stamps
            self._frames: Iterator[Any] = iter(())
            self._next: int = 0
            self._rewind(0)

    def _list_frames(self) -> tuple[list[int], bool]:
        stamps: list[int | None] = []
        for packet in self._container.demux(self._stream):
            if packet.size and not packet.is_discard:
                stamps.append(packet.pts)
                if len(stamps) > MAX_FRAMES:
                    raise Refused(f"more than {MAX_FRAMES} frames")
        known = sorted(stamp for stamp in stamps if stamp is not None)
        if len(known) == len(stamps) and len(set(known)) == len(known):
            return known, True
        return list(range(len(stamps))), False

    def frame(self, index: int) -> tuple[Pixels, int]:
        """RGB pixels (H, W, 3) of a frame, and the quarter turns (counter-clockwise, degrees) a viewer gives it.

        Raises:
            IndexError: there is no such frame.
            RawFileError: the file does not decode up to it.
        """
        if not 0 <= index < self.num_frames:
            raise IndexError(index)
        with one_error(self.path, f"{_EXPECTED} that decodes up to frame {index}"):
            if index < self._next or (self._has_stamps and index > self._next + _NEAR):
                self._rewind(index)
            while True:
                frame = next(self._frames, None)
                if frame is None:
                    raise Refused(f"an end after {self._next} frames where {self.num_frames} are listed")
                at = self._number_of(frame)
                self._next = at + 1
                if at == index:
                    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), int(frame.rotation or 0)
                if at > index:
                    raise Refused(f"no frame {index}: the one after {at - 1} is missing")

    def index_at(self, time_s: float) -> int:
        """The last frame shown at or before a time, counted from the start of the stream; -1 before the first.

        Raises:
            RawFileError: the file states no times.
        """
        with one_error(self.path, "a video with time stamps"):
            if not self._has_stamps or self._stream.time_base is None:
                raise Refused("packets without time stamps")
            ticks = time_s / float(self._stream.time_base) + self._start()
            return bisect.bisect_right(self._stamps, ticks + 1e-6 * max(1.0, abs(ticks))) - 1

    def end_s(self) -> float:
        """When the last frame is over, in seconds from the start of the stream, its length being the mean one.

        Raises:
            RawFileError: the file states no times.
        """
        with one_error(self.path, "a video with time stamps"):
            if not self._has_stamps or self._stream.time_base is None or not self._stamps:
                raise Refused("packets without time stamps")
            length = (self._stamps[-1] - self._stamps[0]) / max(1, self.num_frames - 1)
            return float(self._stream.time_base) * (self._stamps[-1] + length - self._start())

    def _start(self) -> int:
        return int(self._stamps[0] if self._stream.start_time is None else self._stream.start_time)

    def _number_of(self, frame: Any) -> int:
        if not self._has_stamps:
            return self._next
        at = bisect.bisect_left(self._stamps, frame.pts)
        if at == len(self._stamps) or self._stamps[at] != frame.pts:
            raise Refused(f"a frame with the time stamp {frame.pts}, which no packet has")
        return at

    def _rewind(self, index: int) -> None:
        target = self._stamps[index] if self._has_stamps and self._stamps else 0
        start = self._stamps[0] if self._has_stamps and self._stamps else 0
        self._container.seek(min(target, start) if index == 0 else target, stream=self._stream, backward=True)
        self._stream.codec_context.flush_buffers()
        self._frames = iter(self._container.decode(self._stream))
        self._next = 0

    def close(self) -> None:
        """Closes the file."""
        self._container.close()
