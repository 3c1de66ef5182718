"""Stored pictures against their sources, decoded independently with Pillow."""

from __future__ import annotations

import base64
import io
import random
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from harmonize.errors import RawFileError, RecordError
from harmonize.geometry import to_crop
from harmonize.record import Body as BodyPart
from harmonize.record import Boxes, Camera, Instance, Keypoints, Provenance
from harmonize.record import Image as ImagePart
from harmonize.shards import decode, jpeg
from harmonize.shards.images import StoredPicture, codecs, decode_rgb, read_header, store_picture

FRAME = 8  # decoders smooth chroma across blocks, so a new border changes this many pixels at most
SAMPLING = {"444": 0, "422": 1, "420": 2}
BLOCKS = {"444": (8, 8), "422": (16, 8), "420": (16, 16)}

# 48 x 32, 4:2:0, arithmetic coding (which Pillow cannot write): four flat colours.
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7gYKBTmCNl4x9lnN+"
    "gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHz/yQARCAAgADADASIAAhEB"
    "AxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD9yP8AdQmpA6/WH98mTbQyX8BaeMA3pglFDxzmlhXxBhaSAPgM1jwlyivsvDUqsQaX8e45xufqCNYD"
    "1HGS/tAVPzK1DAik2GypnMy4QS0tWv7Ku9Mj2+HKI9AjvnR2zvX0EaGcgUyxWL5pNuQX7Qziau9QPXZ1ZxH4OEqA/9k="
)


def texture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth colourful picture without any symmetry."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 12 + 2, width // 12 + 2, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def written(image: Image.Image, kind: str = "JPEG", orientation: int | None = None, **options: Any) -> bytes:
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 90} if kind == "JPEG" else {}) | options)
    return file.getvalue()


def pillow(data: bytes) -> np.ndarray:
    """The upright picture, by an independent decoder and an independent reading of EXIF."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"), np.int16)


def crop(data: bytes, box: tuple[float, ...], context: float = 1.25, orientation: int | None = None) -> StoredPicture:
    return store_picture(data, box_xywh_px=box, orientation=orientation, mode="crop", context=context)


def full(data: bytes, orientation: int | None = None) -> StoredPicture:
    return store_picture(data, box_xywh_px=None, orientation=orientation, mode="full", context=1.0)


def shown(stored: StoredPicture) -> np.ndarray:
    return decode_rgb(stored.data, stored.extension).astype(np.int16)


def cut(pixels: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    x, y, width, height = window
    return pixels[y : y + height, x : x + width]


def interior(pixels: np.ndarray) -> np.ndarray:
    return pixels[FRAME:-FRAME, FRAME:-FRAME]


def holds(window: tuple[int, int, int, int], box: tuple[float, ...], size: tuple[int, int]) -> bool:
    """Whether the window lies in the picture and contains the part of the box that does."""
    return all(
        0 <= window[axis] <= max(box[axis], 0)
        and min(box[axis] + box[axis + 2], size[axis]) <= window[axis] + window[axis + 2] <= size[axis]
        for axis in (0, 1)
    )


@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("is_progressive", [False, True])
def test_crop_keeps_the_pixels_of_the_source(sampling: str, is_progressive: bool) -> None:
    data = written(texture(237, 171), subsampling=SAMPLING[sampling], progressive=is_progressive)
    stored = crop(data, (77, 60, 50, 63))
    assert (stored.method, stored.extension, stored.detail) == ("lossless-crop", "jpg", "")
    assert [edge % block for edge, block in zip(stored.window[:2], BLOCKS[sampling], strict=True)] == [0, 0]
    expected = cut(pillow(data), stored.window)
    np.testing.assert_array_equal(interior(shown(stored)), interior(expected))
    assert np.abs(shown(stored) - expected).max() < 64
    assert read_header(stored.data).block_px == BLOCKS[sampling]


def test_grey_crop_is_lossless_to_its_border() -> None:
    data = written(texture(130, 120).convert("L"))
    stored = crop(data, (43, 43, 40, 40))
    assert stored.method == "lossless-crop"
    np.testing.assert_array_equal(shown(stored), cut(pillow(data), stored.window))


def test_arithmetic_coding_becomes_huffman_without_loss() -> None:
    stored = crop(ARITHMETIC, (18, 2, 20, 20), context=1.0)
    assert stored.method == "lossless-crop"
    assert (b"\xff\xc9" in ARITHMETIC, b"\xff\xc9" in stored.data) == (True, False)
    np.testing.assert_array_equal(interior(shown(stored)), interior(cut(pillow(ARITHMETIC), stored.window)))


def test_cmyk_is_encoded_once_as_rgb_and_says_so() -> None:
    data = written(texture(120, 90).convert("CMYK"), quality=95)
    stored = crop(data, (30, 20, 40, 40))
    assert stored.method == full(data).method == "encoded"
    assert "CMYK" in stored.detail
    assert not read_header(stored.data).is_cmyk
    assert np.abs(shown(stored) - cut(pillow(data), stored.window)).mean() < 2
    assert np.abs(decode_rgb(data, "jpg") - pillow(data)).max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-60, 190),
    y=st.floats(-60, 140),
    width=st.floats(0.5, 300),
    height=st.floats(0.5, 300),
    context=st.floats(1, 3),
    orientation=st.integers(1, 8),
)
def test_window_holds_the_box(
    x: float, y: float, width: float, height: float, context: float, orientation: int
) -> None:
    stored_size = (149, 203) if orientation >= 5 else (203, 149)
    box = (x, y, width, height)
    data = _PORTRAITS[orientation]
    if x + width <= 0 or y + height <= 0 or x >= stored_size[0] or y >= stored_size[1]:
        with pytest.raises(RecordError, match="overlaps"):
            crop(data, box, context)
        return
    stored = crop(data, box, context)
    assert stored.source_size_px == stored_size
    assert holds(stored.window, box, stored_size)
    assert shown(stored).shape[1::-1] == stored.window[2:]
    # Nothing beyond the asked-for square and its blocks, or a "crop" of everything would pass.
    assert all(stored.window[2 + axis] <= context * max(width, height) + 2 + 2 * 15 for axis in (0, 1))


_PORTRAITS = {code: written(texture(203, 149), orientation=code) for code in range(1, 9)}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(192, 160), (203, 149)])
@pytest.mark.parametrize("mode", ["crop", "full"])
def test_every_exif_orientation_as_pillow_shows_it(orientation: int, width: int, height: int, mode: str) -> None:
    data = written(texture(width, height), orientation=orientation)
    box = (60, 50, 30, 40)
    stored = crop(data, box) if mode == "crop" else full(data)
    upright = pillow(data)
    assert stored.orientation == orientation
    assert stored.source_size_px == upright.shape[1::-1]
    difference = np.abs(interior(shown(stored)) - interior(cut(upright, stored.window)))
    # Mirroring a block exactly still rounds differently in the inverse DCT and in chroma smoothing.
    limit = {"copied": 0, "lossless-crop": 0, "lossless-transform": 8, "encoded": 16}[stored.method]
    assert difference.max() <= limit
    assert difference.mean() < (2 if stored.method == "encoded" else 1)
    # The picture has no symmetry, so the comparison above can fail: mirrored or swapped, it does.
    for wrong in (shown(stored)[::-1], shown(stored)[:, ::-1]):
        assert np.abs(interior(wrong) - interior(cut(upright, stored.window))).mean() > 20
    if orientation > 1:
        # Pillow's own view of the stored file agrees, so no stale EXIF turns it a second time.
        np.testing.assert_array_equal(pillow(stored.data), shown(stored))
        assert b"Exif" not in stored.data


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turn_is_lossless_where_blocks_allow_and_encoded_elsewhere(orientation: int) -> None:
    whole_blocks, broken_blocks = (
        written(texture(*size), orientation=orientation) for size in [(192, 160), (203, 149)]
    )
    assert full(whole_blocks).method == "lossless-transform"
    assert crop(broken_blocks, (60, 50, 30, 40)).method == "lossless-transform"
    if orientation == 5:  # the transposed picture keeps its incomplete blocks at the right and lower border
        assert full(broken_blocks).method == "lossless-transform"
    else:
        assert full(broken_blocks).method == "encoded"
        assert "last complete block" in full(broken_blocks).detail


def test_turned_crop_leaves_out_broken_blocks_but_never_the_box() -> None:
    data = written(texture(203, 149), orientation=3)  # turned by 180 degrees: broken blocks come to the left and top
    beside = crop(data, (14, 20, 60, 60), context=1.5)
    assert beside.method == "lossless-transform"
    assert beside.window[0] == 203 % 16
    touching = crop(data, (8, 20, 60, 60), context=1.5)
    assert touching.method == "encoded"
    assert touching.window[0] == 0


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_other_formats_are_encoded_once(kind: str) -> None:
    data = written(texture(120, 90), kind, **({"lossless": True} if kind == "WEBP" else {}))
    stored = crop(data, (30, 20, 40, 40))
    assert (stored.method, stored.extension) == ("encoded", "jpg")
    assert "quality 95 4:4:4" in stored.detail
    assert read_header(stored.data).block_px == (8, 8)
    assert np.abs(shown(stored) - cut(pillow(data), stored.window)).mean() < 2


def test_orientation_given_by_the_dataset_overrides_the_file() -> None:
    image = texture(120, 90)
    stored = crop(written(image, "PNG"), (20, 30, 40, 40), orientation=6)
    clockwise = np.asarray(image.transpose(Image.Transpose.ROTATE_270), np.int16)
    assert stored.source_size_px == (90, 120)
    assert np.abs(shown(stored) - cut(clockwise, stored.window)).mean() < 2
    lying = full(written(image, orientation=6), orientation=1)
    assert lying.method == "lossless-transform"
    assert lying.source_size_px == (120, 90)
    assert b"Exif" not in lying.data
    np.testing.assert_array_equal(pillow(lying.data), decode_rgb(written(image), "jpg"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("channels", ["RGB", "RGBA"])
def test_full_copies_upright_files_byte_for_byte(kind: str, channels: str) -> None:
    if (kind, channels) == ("JPEG", "RGBA"):
        channels = "L"
    data = written(texture(50, 40).convert(channels), kind, orientation=1)
    stored = full(data)
    assert (stored.data, stored.method, stored.window) == (data, "copied", (0, 0, 50, 40))
    assert stored.extension == {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}[kind]


def test_full_of_bmp_is_encoded() -> None:
    assert full(written(texture(50, 40), "BMP")).method == "encoded"


def test_same_input_gives_same_bytes() -> None:
    for data in (
        written(texture(203, 149)),
        written(texture(203, 149), orientation=6),
        written(texture(99, 80), "PNG"),
    ):
        assert crop(data, (30, 20, 40, 40)) == crop(data, (30, 20, 40, 40))


def test_without_the_library_crops_are_encoded_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "library_path", lambda: None)
    monkeypatch.setattr(jpeg, "_library", lambda: None)
    stored = crop(written(texture(203, 149)), (60, 50, 30, 40))
    assert stored.method == "encoded"
    assert "no TurboJPEG library" in stored.detail
    assert codecs()["libjpeg-turbo"] == "none"


def test_this_environment_has_the_library() -> None:
    assert "turbojpeg" in codecs()["libjpeg-turbo"]


def test_to_crop_follows_the_pixel() -> None:
    """A marked spot is found at the moved keypoint, through a turn and a cut."""
    pixels = np.full((300, 400, 3), 40, np.uint8)
    pixels[96:112, 208:224] = (250, 30, 30)  # 16 x 16 on the block grid
    data = written(Image.fromarray(pixels), orientation=6, quality=95)
    # In the file the spot's centre is (216, 104); clockwise by 90 degrees that is (300 - 104, 216).
    joints = np.zeros((144, 3), np.float32)
    joints[15] = (196, 216, 1)
    box = np.array([150, 180, 90, 100, 1], np.float32)
    instance = Instance(
        key="k",
        image=ImagePart(width_px=300, height_px=400, source_width_px=300, source_height_px=400),
        camera=Camera(),
        body=BodyPart(),
        keypoints=Keypoints(joints2d_px=joints),
        boxes=Boxes(person_xywh_px=box),
        provenance=Provenance(),
    )
    stored = crop(data, tuple(box))
    moved = to_crop(instance, stored.window)
    x, y = moved.keypoints.joints2d_px[15, :2].astype(int)
    picture = shown(stored)
    assert picture.shape[:2] == (moved.image.height_px, moved.image.width_px)
    np.testing.assert_allclose(picture[y, x], (250, 30, 30), atol=12)
    reddish = np.argwhere(picture[..., 0] > 150)
    np.testing.assert_allclose(reddish.mean(axis=0) + 0.5, moved.keypoints.joints2d_px[15, 1::-1], atol=0.6)


@pytest.mark.parametrize("sampling", SAMPLING)
def test_header(sampling: str) -> None:
    header = read_header(written(texture(90, 50), subsampling=SAMPLING[sampling], orientation=6))
    assert (header.format, header.width_px, header.height_px) == ("jpg", 90, 50)
    assert (header.exif_orientation, header.block_px) == (6, BLOCKS[sampling])
    assert header.oriented_size_px(6) == (50, 90)


def test_header_of_other_formats() -> None:
    sizes = {}
    for kind, options in [
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"x"}),
    ]:
        header = read_header(written(texture(90, 50), kind, **options))
        sizes[kind, *options] = (header.width_px, header.height_px)
        assert header.block_px is None
    assert set(sizes.values()) == {(90, 50)}
    assert len(sizes) == 5
    assert read_header(written(texture(90, 50), "PNG", orientation=8)).exif_orientation == 8


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_is_read_in_both_byte_orders_and_ignored_when_damaged(order: str) -> None:
    mark = {"<": b"II", ">": b"MM"}[order]
    tiff = mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, 7, 0, 0)
    for block, expected in [(tiff, 7), (tiff[:19], 1), (b"xx" + tiff[2:], 1), (mark, 1)]:
        assert read_header(written(texture(32, 32), exif=b"Exif\0\0" + block)).exif_orientation == expected


@pytest.mark.parametrize("is_progressive", [False, True])
def test_truncated_jpeg_is_refused_wherever_it_is_cut(is_progressive: bool) -> None:
    data = written(texture(160, 120), progressive=is_progressive)
    random_ends = random.Random(7).sample(range(3, len(data)), 120)
    for end in [*random_ends, len(data) - 1, len(data) - 2, len(data) - 3]:
        for attempt in (lambda part: crop(part, (40, 30, 40, 40)), full, lambda part: decode_rgb(part, "jpg")):
            with pytest.raises(RawFileError):
                attempt(data[:end])
    assert crop(data, (40, 30, 40, 40)).method == "lossless-crop"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_truncated_files_of_other_formats_are_refused(kind: str) -> None:
    data = written(texture(80, 60), kind)
    end_mark = 12 if kind == "PNG" else 0  # a PNG's last chunk holds no pixels
    for end in random.Random(7).sample(range(3, len(data) - end_mark), 60):
        with pytest.raises(RawFileError):
            full(data[:end])


def test_not_a_picture() -> None:
    for data in (b"", b"<html>not found</html>", b"\xff\xd8\xff", b"RIFF\0\0\0\0AVI LIST0123456789"):
        with pytest.raises(RawFileError, match=r"frames/0001\.jpg"):
            read_header(data, "frames/0001.jpg")


def test_sizes_are_checked_before_anything_is_allocated() -> None:
    small = written(texture(16, 16))
    frame = small.index(b"\xff\xc0")
    big_jpeg = small[: frame + 5] + struct.pack(">HH", 65000, 65000) + small[frame + 9 :]
    png = written(texture(16, 16), "PNG")
    big_png = png[:16] + struct.pack(">II", 60000, 60000) + png[24:]
    webp = written(texture(16, 16), "WEBP", exif=b"x")
    big_webp = webp[:24] + (16000 - 1).to_bytes(3, "little") + (16000 - 1).to_bytes(3, "little") + webp[30:]
    bmp = written(texture(16, 16), "BMP")
    big_bmp = bmp[:18] + struct.pack("<ii", 60000, 60000) + bmp[26:]
    for data in (big_jpeg, big_webp, big_bmp):
        with pytest.raises(RawFileError, match="pixels, found"):
            read_header(data)
    with pytest.raises(RawFileError):  # the checksum of the header speaks first
        read_header(big_png)


def test_a_pile_of_scans_is_refused() -> None:
    data = written(texture(64, 64), progressive=True)
    last_scan = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[last_scan:-2] * decode.MAX_SCANS + data[-2:]
    with pytest.raises(RawFileError, match="scans"):
        full(bomb)


def test_twelve_bit_jpeg_and_animation_are_refused() -> None:
    data = bytearray(written(texture(32, 32)))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(RawFileError, match="8 bits"):
        crop(bytes(data), (4, 4, 20, 20))
    moving = written(texture(32, 32), "WEBP", save_all=True, append_images=[texture(32, 32, seed=1)])
    with pytest.raises(RawFileError, match="animation"):
        full(moving)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    pixels = decode_rgb(written(Image.fromarray(ramp), "PNG"), "png")
    np.testing.assert_array_equal(pixels[..., 0], ramp >> 8)
    assert pixels.shape == (64, 64, 3)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]), st.randoms(use_true_random=False))
def test_a_damaged_file_gives_a_picture_or_one_clear_error(kind: str, chance: random.Random) -> None:
    data = bytearray(written(texture(64, 48), kind))
    for _ in range(chance.choice([1, 3])):
        data[chance.randrange(min(len(data), chance.choice([40, 700, len(data)])))] = chance.randrange(256)
    try:
        stored = full(bytes(data))
    except RawFileError:
        return
    assert shown(stored).shape[1::-1] == stored.window[2:]


def test_crop_without_a_box_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="needs a box"):
        store_picture(written(texture(32, 32)), box_xywh_px=None, orientation=None, mode="crop", context=1.0)
