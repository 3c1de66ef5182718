"""Sizes of pictures without their pixels."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from harmonize.raw.sizes import picture_size_px


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_size_of_a_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (7, 5)).save(path)
    assert picture_size_px(path) == (7, 5)


def test_exif_turns_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (7, 5)).save(path, exif=exif)
    assert picture_size_px(path) == (5, 7)


def test_a_header_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.effect_noise((200, 100), 50).save(path)
    path.write_bytes(path.read_bytes()[:100])
    assert picture_size_px(path) == (200, 100)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"GIF89a\x01\0\x01\0\0\0\0"])
def test_no_size(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    assert picture_size_px(path) is None
    path.write_bytes(content)
    assert picture_size_px(path) is None
