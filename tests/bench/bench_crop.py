"""Lossless crop of a JPEG against decoding, cutting and encoding it. Run by `make bench`.

Both ways are timed in turn on the same file, so that a busy machine slows both; the ratio is the median over the pairs.
The lossless way is timed as ingest runs it, with the header read and the cut decoded as a check.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from harmonize.shards.images import JPEG_QUALITY, codecs, store_picture

SIZES = ((640, 480), (1920, 1080), (3840, 2160))
NUM_PAIRS = 21
CONTEXT = 1.25


def photograph(width: int, height: int) -> bytes:
    """A JPEG with about the detail of a photograph (0.25 bytes a pixel), quality 90, 4:2:0."""
    chance = np.random.default_rng(0)
    layers = np.zeros((height, width, 3))
    for cell, weight in ((64, 60.0), (16, 35.0), (4, 14.0), (1, 4.0)):
        noise = chance.normal(size=(height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(noise[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            layers[..., channel] += weight * np.asarray(layer)
    pixels = np.clip(layers + 128, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, subsampling=2)
    return file.getvalue()


def bench_crop() -> list[dict[str, Any]]:
    """One row a picture size: milliseconds of both ways, their ratio, and bytes stored by each."""
    return [_compare(width, height) for width, height in SIZES]


def _compare(width: int, height: int) -> dict[str, Any]:
    data = photograph(width, height)
    box = (width * 0.4, height * 0.2, height * 0.25, height * 0.5)
    stored = store_picture(data, box_xywh_px=box, orientation=None, mode="crop", context=CONTEXT)
    if stored.method != "lossless-crop":
        raise RuntimeError(f"expected a lossless crop, found {stored.method}: {stored.detail}")
    x, y, w, h = stored.window

    def lossless() -> bytes:
        return store_picture(data, box_xywh_px=box, orientation=None, mode="crop", context=CONTEXT).data

    def through_pixels() -> bytes:
        pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")[y : y + h, x : x + w]
        return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=JPEG_QUALITY, colorsubsampling="444")

    pairs = [(_milliseconds(lossless), _milliseconds(through_pixels)) for _ in range(NUM_PAIRS)]
    return {
        "source": f"{width}x{height}",
        "source_kb": len(data) // 1000,
        "crop": f"{w}x{h}",
        "lossless_ms": statistics.median(pair[0] for pair in pairs),
        "pixels_ms": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(pair[0] / pair[1] for pair in pairs),
        "lossless_kb": len(lossless()) // 1000,
        "pixels_kb": len(through_pixels()) // 1000,
    }


def _milliseconds(work: Callable[[], bytes]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    versions = ", ".join(f"{name} {version}" for name, version in codecs().items())
    print(f"JPEG 4:2:0 quality 90: lossless crop against decode, cut, encode at {JPEG_QUALITY} 4:4:4 ({versions})")
    rows = bench_crop()
    print("".join(f"{name:>13}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value:13.2f}" if isinstance(value, float) else f"{value:>13}" for value in row.values()))


if __name__ == "__main__":
    main()
