"""Frames by number: each frame of a test video says its own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from harmonize.errors import RawFileError
from harmonize.raw.videos import Video

SIZE = 64


def write_video(path: Path, count: int, *, codec: str = "libx264", fps: int = 30, options: dict | None = None) -> Path:
    """Frame i has the binary digits of i as black and white columns."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            columns = np.array([(number >> bit & 1) * 255 for bit in range(8)], np.uint8)
            pixels = np.broadcast_to(np.repeat(columns, SIZE // 8)[None, :, None], (SIZE, SIZE, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def number_in(pixels: np.ndarray) -> int:
    digits = pixels[SIZE // 2, SIZE // 16 :: SIZE // 8, 1] > 127
    return int((digits << np.arange(8)).sum())


KINDS = [
    ("a.mp4", "libx264", {"g": "12", "bf": "2"}),
    ("a.mp4", "libx264", {"g": "250", "bf": "3"}),
    ("a.avi", "mpeg4", {"g": "10"}),
    ("a.webm", "libvpx", {"g": "20"}),
]


@pytest.mark.parametrize(("name", "codec", "options"), KINDS)
def test_every_frame_is_the_one_asked_for_in_any_order(
    name: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    video = Video(write_video(tmp_path / name, 200, codec=codec, options=options))
    assert video.num_frames == 200
    wanted = [0, 1, 2, 150, 3, 3, 199, 0, 90, 160, *range(40, 60), 41]
    assert [number_in(video.frame(index)[0]) for index in wanted] == wanted
    with pytest.raises(IndexError):
        video.frame(200)
    video.close()


def test_frames_by_time_are_those_on_show(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / "a.mp4", 50, fps=25))
    assert video.index_at(0.0) == 0
    assert video.index_at(0.99) == 24
    assert video.index_at(1.0) == 25
    assert video.index_at(-0.1) == -1
    assert video.index_at(99) == 49
    assert video.end_s() == pytest.approx(2.0)


def test_what_is_no_video_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video" * 100)
    with pytest.raises(RawFileError, match=r"a\.mp4"):
        Video(tmp_path / "a.mp4")


def test_a_truncated_video_is_one_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 240, codec="mpeg4", options={"g": "1"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    video = Video(path)
    assert 0 < video.num_frames < 240
    with pytest.raises((RawFileError, IndexError)):
        video.frame(239)
