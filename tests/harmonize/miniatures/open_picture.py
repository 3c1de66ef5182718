"""A picture of a miniature by its `image_path`, opened with the plain libraries of the files' formats."""

from __future__ import annotations

import io
import tarfile
import zipfile
from functools import lru_cache
from pathlib import Path

import av
import h5py
from PIL import Image


def open_picture(root: Path, image_path: str) -> Image.Image:
    """`file`, `archive.zip!member`, `archive.tar!member`, `file.smc!dataset` or `video#frame`, as stored."""
    if "#" in image_path:
        path, _, number = image_path.rpartition("#")
        return _frames(root / path)[int(number)]
    path, _, member = image_path.partition("!")
    if not member:
        return _loaded(root / path)
    if path.endswith(".zip"):
        with zipfile.ZipFile(root / path) as archive:
            return _loaded(io.BytesIO(archive.read(member)))
    if ".tar" in path:
        with tarfile.open(root / path) as archive:
            stored = archive.extractfile(member)
            assert stored is not None
            return _loaded(io.BytesIO(stored.read()))
    with h5py.File(root / path) as file:
        return _loaded(io.BytesIO(file[member][()].tobytes()))


def _loaded(file: Path | io.BytesIO) -> Image.Image:
    with Image.open(file) as picture:
        picture.load()
        return picture


@lru_cache(maxsize=4)
def _frames(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]
