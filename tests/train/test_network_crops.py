"""Crops: where the box goes, what the pixels show whatever was decoded, and what is refused."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture
from small_store import jpeg, person

from harmonize.errors import DataError, RawFileError, UsageError
from harmonize.layout import encode
from harmonize.record import Boxes, Image, Instance
from harmonize.shards.read import Sample
from train.data.crops import CropSize, Floats, Pixels, crop_maps, cut_crop, person_boxes, warp

SIZE = CropSize(height_px=128, width_px=96, padding=1.25)
ONE = person("pw3d", "train", 1)


def sample_of(pixels: Pixels, extension: str = "jpg", mode: str = "RGB") -> Sample:
    file = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if extension == "jpg" else {}
    Picture.fromarray(pixels).convert(mode).save(file, {"jpg": "JPEG"}.get(extension, extension), **options)
    image = Image(width_px=pixels.shape[1], height_px=pixels.shape[0], has_pixels=True)
    return sample_with(replace(ONE, image=image), file.getvalue(), extension)


def sample_with(instance: Instance, picture: bytes | None, extension: str) -> Sample:
    vector, strings = encode(instance)
    return Sample(vector=vector, strings=strings, picture=picture, extension=extension)


def similarity(scale: float, degrees: float = 0.0, mirrored: bool = False) -> Floats:
    """About the stored point (190, 230), which comes to lie at (150, 140) of the crop."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = scale * turn @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    return np.column_stack([linear, np.array([150, 140]) - linear @ [190, 230]])


@pytest.mark.parametrize(("width", "height"), [(48, 100), (300, 100), (75, 100)])
def test_box_is_centred_and_fits_with_padding(width: float, height: float) -> None:
    box = np.array([[20, 30, width, height]], float)
    linear, offset = crop_maps(box, SIZE)[0, :, :2], crop_maps(box, SIZE)[0, :, 2]
    low, high = linear @ [20, 30] + offset, linear @ [20 + width, 30 + height] + offset
    assert np.allclose((low + high) / 2, [48, 64])
    assert np.isclose(max((high - low)[0] / 96, (high - low)[1] / 128), 1 / 1.25)


def test_turn_zoom_and_shift_are_about_the_centre_of_the_crop() -> None:
    box = np.array([[20, 30, 48, 100]], float)
    turn = np.array([[[0.0, -1.0], [1.0, 0.0]]])
    plain = crop_maps(box, SIZE)[0]
    found = crop_maps(box, SIZE, turn, np.array([2.0]), np.array([[0.25, -0.5]]))[0]
    assert np.allclose(found @ [44, 80, 1], [48 + 24, 64 - 64])
    assert np.allclose(found[:, :2] @ [1, 0], 2 * plain[0, 0] * np.array([0, 1]))


@pytest.mark.parametrize("box", [(0, 0, 0, 0, 0), (5, 5, 0, 9, 1), (5, 5, 9, 9, 0)])
def test_missing_box_is_an_error_with_the_key(box: tuple[float, ...]) -> None:
    broken = replace(ONE, boxes=Boxes(person_xywh_px=np.array(box, np.float32)))
    with pytest.raises(DataError, match=ONE.key):
        person_boxes([sample_with(broken, b"", "jpg")])


@pytest.mark.parametrize("extension", ["jpg", "png"])
@pytest.mark.parametrize("scale", [1.7, 1.0, 0.75, 0.6, 0.45, 0.23, 0.06])
@pytest.mark.parametrize(("degrees", "mirrored"), [(0, False), (37, True)])
def test_pixels_and_points_go_through_the_same_map(
    scale: float, degrees: float, mirrored: bool, extension: str
) -> None:
    """A bright block must lie where the map sends its centre, at whatever size the picture was decoded."""
    pixels = np.zeros((600, 500, 3), np.uint8)
    pixels[200:260, 150:230] = 255
    out = np.full((300, 320, 3), 99, np.uint8)
    cut_crop(sample_of(pixels, extension), similarity(scale, degrees, mirrored), out)
    light = out[..., 0].astype(float) / 255
    assert light.sum() == pytest.approx(60 * 80 * scale**2, rel=0.05)
    ys, xs = np.mgrid[:300, :320] + 0.5
    assert np.allclose(np.array([(light * xs).sum(), (light * ys).sum()]) / light.sum(), [150, 140], atol=0.08)


@pytest.mark.parametrize("scale", [0.5, 0.4, 0.25, 0.13])
def test_fine_texture_does_not_alias_and_outside_is_black(scale: float) -> None:
    board = (np.indices((800, 800)).sum(axis=0) % 2 * 255).astype(np.uint8)
    out = np.empty((128, 96, 3), np.uint8)
    warp(np.repeat(board[..., None], 3, axis=2), np.array([[scale, 0, 20], [0, scale, 0]]), out)
    assert out[:, :19].max() == 0
    assert np.abs(out[4:90, 24:].astype(int) - 127).max() <= 3  # a block of 7 x 7 has one more of one colour


def test_unchanged_pixels_are_copied_exactly() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (200, 160, 3)).astype(np.uint8)
    out = np.empty((128, 96, 3), np.uint8)
    warp(pixels, np.array([[1, 0, -10], [0, 1, -20]], float), out)
    assert np.array_equal(out, pixels[20:148, 10:106])


def test_cmyk_pictures_show_their_colours() -> None:
    pixels = np.full((160, 120, 3), (200, 40, 90), np.uint8)
    out = np.empty((128, 96, 3), np.uint8)
    cut_crop(sample_of(pixels, mode="CMYK"), np.array([[0.5, 0, 20], [0, 0.5, 20]]), out)
    assert np.abs(out[60, 50].astype(int) - (200, 40, 90)).max() <= 4


def test_sample_without_a_whole_picture_is_named() -> None:
    out, where = np.empty((128, 96, 3), np.uint8), similarity(0.3)
    with pytest.raises(UsageError, match=f"{ONE.key}: expected a picture"):
        cut_crop(sample_with(ONE, None, ""), where, out)
    with pytest.raises(RawFileError, match=f"{ONE.key}: the jpg file does not decode"):
        cut_crop(sample_with(ONE, jpeg(ONE)[:-900], "jpg"), where, out)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="positive padding"):
        CropSize(padding=0)
    with pytest.raises(UsageError, match="1 x 1"):
        CropSize(width_px=0)
