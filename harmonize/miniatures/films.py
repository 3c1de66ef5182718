"""Videos of the synthetic world: real files that hold each picture as one frame."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from harmonize.render import Picture

_CODECS = {
    ".webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "crf": "12", "b": "2M"}),
    ".mp4": ("libx264", {"crf": "20", "preset": "veryfast"}),
    ".avi": ("mpeg4", {"qscale": "3"}),
}


def write_film(path: Path, pictures: Sequence[Picture], fps: int = 30) -> None:
    """An .mp4 (H.264, with frames predicted from later ones), .webm (VP8) or .avi (MPEG-4); folders are made.

    Widths and heights must be even. The same pictures give the same bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    codec, options = _CODECS[path.suffix]
    height, width = pictures[0].shape[:2]
    with av.open(path, "w", options={"fflags": "+bitexact"}) as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=fps, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, fps)
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
