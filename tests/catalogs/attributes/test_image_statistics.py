"""Image statistics against closed forms, and over a stored shard."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from small_store import person, write_shard

from catalogs.attributes import engine, files
from catalogs.attributes import image_statistics as stats
from catalogs.attributes.pictures import decode_at_least
from harmonize.errors import RawFileError

SIDE = stats.LONGER_SIDE_PX


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.round(values).astype(np.uint8)[..., None], 3, axis=2)


def noise(sigma: float, shape: tuple[int, int] = (SIDE, SIDE), seed: int = 0) -> np.ndarray:
    return grey(np.clip(np.random.default_rng(seed).normal(128, sigma, shape), 0, 255))


@pytest.mark.parametrize("level", [0, 51, 255])
def test_a_flat_grey_has_its_brightness_and_nothing_else(level: int) -> None:
    found = stats.statistics(encoded(grey(np.full((SIDE, SIDE), level))), "png")
    assert found == pytest.approx((level / 255, 0, 0, 0), abs=1e-4)


def test_a_ramp_has_the_mean_and_deviation_of_a_uniform_distribution() -> None:
    found = stats.statistics(encoded(grey(np.tile(np.arange(256.0), (SIDE, 1)))), "png")
    uniform = np.sqrt((256**2 - 1) / 12) / 255  # of 0, 1, ... 255
    assert found == pytest.approx((0.5, uniform, 0, 0), abs=1e-4)


def test_white_noise_has_twenty_times_its_variance_as_sharpness() -> None:
    brightness, contrast, sharpness, colour = stats.statistics(encoded(noise(20)), "png")
    assert brightness == pytest.approx(128 / 255, rel=0.01)
    assert contrast == pytest.approx(20 / 255, rel=0.01)
    assert sharpness == pytest.approx(20 * (20**2 + 1 / 12), rel=0.02)  # rounding to levels adds 1/12
    assert colour == pytest.approx(0, abs=1e-4)


def test_colourfulness_is_equation_5_of_the_paper() -> None:
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[: SIDE // 2] = (255, 0, 0)
    pixels[SIDE // 2 :] = (0, 0, 255)
    # rg: 255 and 0; yb: 127.5 and -255
    deviation, mean = np.hypot(127.5, 191.25), np.hypot(127.5, -63.75)
    assert stats.statistics(encoded(pixels), "png")[3] == pytest.approx(deviation + 0.3 * mean, rel=1e-6)


def test_blur_lowers_sharpness_and_leaves_brightness() -> None:
    sharp = noise(30, (200, SIDE))
    blurred = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(2)))
    ours, theirs = (stats.statistics(encoded(pixels), "png") for pixels in (sharp, blurred))
    assert theirs[2] < 0.05 * ours[2]
    assert theirs[0] == pytest.approx(ours[0], abs=0.005)


def test_size_is_taken_out() -> None:
    """The same scene photographed at 4 times the pixels is as sharp; enlarged from a quarter it is not."""
    coarse = np.asarray(Image.fromarray(noise(40, (64, 64))).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    large = np.asarray(Image.fromarray(coarse).resize((4 * SIDE, 4 * SIDE), Image.Resampling.NEAREST))
    at_size, at_large = (stats.statistics(encoded(pixels), "png") for pixels in (coarse, large))
    assert at_large == pytest.approx(at_size, rel=1e-5)
    small = np.asarray(Image.fromarray(noise(40)).resize((SIDE // 4, SIDE // 4), Image.Resampling.BOX))
    assert stats.statistics(encoded(small), "png")[2] < 0.2 * stats.statistics(encoded(noise(40)), "png")[2]


def test_a_jpeg_reduced_while_decoding_gives_what_a_whole_one_gives() -> None:
    scene = Image.fromarray(noise(60, (40, 40))).resize((1200, 900), Image.Resampling.BICUBIC)
    data = encoded(np.asarray(scene), "JPEG", quality=95)
    assert decode_at_least(data, "jpg", 600, "p").shape == (450, 600, 3)
    assert decode_at_least(data, "jpg", 601, "p").shape == (900, 1200, 3)
    lossless = encoded(np.asarray(Image.open(io.BytesIO(data))))
    ours, theirs = stats.statistics(data, "jpg"), stats.statistics(lossless, "png")
    assert ours[:2] == pytest.approx(theirs[:2], rel=0.01)
    assert ours[2] == pytest.approx(theirs[2], rel=0.1)
    assert ours[3] == pytest.approx(theirs[3], abs=0.5)


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (900, 2), (3, 3)])
def test_slivers_have_statistics_but_no_sharpness_below_three_pixels(shape: tuple[int, int]) -> None:
    brightness, contrast, sharpness, _ = stats.statistics(encoded(grey(np.full(shape, 77))), "png")
    assert brightness == pytest.approx(77 / 255, abs=1e-4)
    assert contrast == pytest.approx(0, abs=1e-6)
    assert np.isnan(sharpness) == (max(1, round(min(shape) * SIDE / max(shape))) < 3)


@pytest.mark.parametrize("quality", [*range(1, 101, 9), 95, 99])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_quality_is_the_one_it_was_saved_with(quality: int, mode: str) -> None:
    file = io.BytesIO()
    Image.fromarray(noise(40, (48, 64))).convert(mode).save(file, "JPEG", quality=quality)
    assert stats.jpeg_quality(Image.open(file).quantization) == pytest.approx(quality, abs=1)


def test_foreign_tables_get_the_nearest_quality() -> None:
    tables = {0: [7] * 64, 1: [9] * 64}
    assert 80 < stats.jpeg_quality(tables) < 97


def test_a_damaged_picture_is_refused() -> None:
    data = encoded(noise(40), "JPEG", quality=90)
    with pytest.raises(RawFileError, match="shard: picture of k"):
        stats.statistics(data[: len(data) // 2], "jpg", "shard: picture of k")


def test_a_shard_gets_one_row_a_sample_and_null_where_there_is_no_picture(tmp_path: Path) -> None:
    from dataclasses import replace

    people = [person("ehf", "test", number) for number in range(3)]
    people[1] = replace(people[1], image=replace(people[1].image, has_pixels=False))
    shard = write_shard(tmp_path, people)
    work = engine.plan(tmp_path, stats.FAMILY)
    for job in work.pending:
        engine.run(job)
    table = files.read_attributes(tmp_path / "ehf" / "test" / "attributes" / "image_statistics", shard)
    rows = table.to_pylist()
    assert [row["key"] for row in rows] == [one.key for one in people]
    assert rows[0]["jpeg_quality"] == 90
    assert 0 < rows[0]["brightness"] < 1
    assert [rows[1][attribute.name] for attribute in stats.FAMILY.attributes] == [None] * 5
    assert engine.plan(tmp_path, stats.FAMILY).pending == ()


def test_what_ingest_encoded_has_no_quality_of_its_own() -> None:
    import pyarrow as pa

    from catalogs.attributes.family import Rows

    data = encoded(noise(40), "JPEG", quality=70)
    table = pa.table({"key": ["a", "b"], "picture_method": ["encoded", "lossless-crop"]})
    rows = Rows(shard="s", table=table, open_pictures=lambda: iter([(0, data, "jpg"), (1, data, "jpg")]))
    found = stats.compute(rows, None)["jpeg_quality"]
    assert np.isnan(found[0])
    assert found[1] == 70
