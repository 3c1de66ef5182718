"""Parts of JPEG pictures: the very pixels of the whole, whatever is cut, scaled and subsampled; damage is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import simplejpeg

from harmonize.shards import jpeg_part
from harmonize.shards.jpeg_part import Pixels, decode_part

SIZES = [(301, 203), (64, 48), (17, 250), (9, 11)]


def picture(width: int, height: int, subsampling: str, seed: int = 0) -> bytes:
    """Squares of random colours, whose borders show every fault of upsampling."""
    chance = np.random.default_rng(seed)
    squares = chance.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3)).astype(np.uint8)
    pixels = np.ascontiguousarray(np.kron(squares, np.ones((5, 5, 1), np.uint8))[:height, :width])
    if subsampling == "Gray":
        return bytes(simplejpeg.encode_jpeg(pixels[..., :1].copy(), colorspace="GRAY", colorsubsampling="Gray"))
    return bytes(simplejpeg.encode_jpeg(pixels, quality=85, colorsubsampling=subsampling))


def whole(data: bytes, size: tuple[int, int], eighths: int) -> Pixels:
    width, height = (-(-side * eighths // 8) for side in size)
    found = decode_part(data, size, eighths, (0, 0, width, height))
    assert found is not None
    pixels, left, top = found
    assert pixels.shape[:2] == (height, width)
    assert (left, top) == (0, 0)
    return pixels[..., :3].copy()


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411", "Gray"])
@pytest.mark.parametrize("eighths", [1, 2, 4, 8])
def test_a_part_has_the_pixels_of_the_whole(subsampling: str, eighths: int) -> None:
    chance = np.random.default_rng([eighths, len(subsampling)])
    num_smaller = 0
    for size in SIZES:
        data = picture(*size, subsampling)
        expected = whole(data, size, eighths)
        height, width = expected.shape[:2]
        for _ in range(20):
            left, right = sorted(chance.integers(-8, width + 8, 2).tolist())
            upper, lower = sorted(chance.integers(-8, height + 8, 2).tolist())
            found = decode_part(data, size, eighths, (left, upper, right, lower))
            assert found is not None
            pixels, x, y = found
            num_smaller += pixels.size < 4 * width * height
            # One pixel around the window, too: the warp interpolates with it.
            low_x, low_y = max(left - 1, 0), max(upper - 1, 0)
            seen = expected[low_y : lower + 1, low_x : right + 1] if right >= 0 and lower >= 0 else expected[:0]
            part = pixels[low_y - y :, low_x - x :, :3][: seen.shape[0], : seen.shape[1]]
            assert seen.size == 0 or np.array_equal(part, seen)
    assert num_smaller > 10


@pytest.mark.parametrize("eighths", [1, 4, 8])
def test_without_the_library_the_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch, eighths: int) -> None:
    data = picture(301, 203, "420")
    expected = whole(data, (301, 203), eighths)
    monkeypatch.setattr(jpeg_part, "_library", lambda: None)
    found = decode_part(data, (301, 203), eighths, (40, 20, 90, 80))
    assert found is not None
    assert np.array_equal(found[0], expected)
    assert found[1:] == (0, 0)


def test_threads_do_not_share_pixels() -> None:
    pictures = [picture(120, 80, "420", seed) for seed in range(24)]
    expected = [whole(data, (120, 80), 8) for data in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda data: whole(data, (120, 80), 8), pictures * 4))
    assert all(np.array_equal(one, other) for one, other in zip(found, expected * 4, strict=True))


@pytest.mark.parametrize("has_library", [True, False])
def test_what_is_not_the_expected_whole_picture_is_refused(monkeypatch: pytest.MonkeyPatch, has_library: bool) -> None:
    if not has_library:
        monkeypatch.setattr(jpeg_part, "_library", lambda: None)
    data = picture(120, 80, "420")
    window = (0, 0, 120, 80)
    assert decode_part(data, (120, 80), 8, window) is not None
    assert decode_part(data, (80, 120), 8, window) is None
    assert decode_part(data[:-300], (120, 80), 8, window) is None
    assert decode_part(data[:700] + bytes(300) + data[1000:], (120, 80), 8, window) is None
    assert decode_part(data[:20] + data[-2:], (120, 80), 8, window) is None
    inks = np.zeros((80, 120, 4), np.uint8)
    cmyk = simplejpeg.encode_jpeg(inks, colorspace="CMYK", colorsubsampling="444")
    assert decode_part(cmyk, (120, 80), 8, window) is None
