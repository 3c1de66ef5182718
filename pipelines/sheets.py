"""Many samples on one picture: contact sheets with a caption under each tile, and rows of pictures side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harmonize.shards.read import Store
from pipelines.choosing import Chosen
from pipelines.pictures import INK, Colour, Picture, models_of, stored_picture, with_mesh
from pipelines.progress import Meter

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

TILE_PX = 240
"""Longer side of a picture on a contact sheet."""

GAP_PX = 8
CAPTION_PX = 12
LINE_PX = 16
PAPER: Colour = (255, 255, 255)
GROUND: Colour = (240, 240, 240)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A picture and the lines of text under it."""

    picture: Picture
    lines: tuple[str, ...]


def sample_tiles(
    store: Store, chosen: Sequence[Chosen], column: str | None, body_models: str | None, meter: Meter
) -> Iterable[Tile]:
    """The picture of each sample with its mesh, its key and its value of `column`.

    Raises:
        UsageError, StoreError: see `Store.sample` and `models_of`.
    """
    for one in chosen:
        sample = store.sample(one.key)
        models = models_of(store, sample, body_models)
        lines = [one.key]
        if column is not None:
            lines.append(f"{column} {'unknown' if one.value is None else f'{one.value:.4g}'}")
        yield Tile(picture=with_mesh(stored_picture(sample), sample.instance, models), lines=tuple(lines))
        meter.add(1)


def contact_sheet(tiles: Iterable[Tile], columns: int, tile_px: int = TILE_PX, title: str = "") -> Picture:
    """Tiles in rows of `columns`, each fitted into a square of `tile_px` with its lines under it."""
    font = ImageFont.load_default(CAPTION_PX)
    fitted = [(_fitted(tile.picture, tile_px), tile.lines) for tile in tiles]
    num_lines = max(len(lines) for _, lines in fitted)
    columns = min(columns, len(fitted))
    rows = -(-len(fitted) // columns)
    head_px = LINE_PX + GAP_PX if title else 0
    step = (tile_px + GAP_PX, tile_px + num_lines * LINE_PX + GAP_PX)
    sheet = Image.new("RGB", (columns * step[0] + GAP_PX, head_px + rows * step[1] + GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, GAP_PX), title, INK, font)
    for number, (picture, lines) in enumerate(fitted):
        row, column = divmod(number, columns)
        x, y = GAP_PX + column * step[0], head_px + GAP_PX + row * step[1]
        draw.rectangle((x, y, x + tile_px - 1, y + tile_px - 1), fill=GROUND)
        sheet.paste(picture, (x + (tile_px - picture.width) // 2, y + (tile_px - picture.height) // 2))
        for i, line in enumerate(lines):
            draw.text((x, y + tile_px + 2 + i * LINE_PX), _shortened(line, tile_px, draw, font), INK, font)
    return np.asarray(sheet)


def save_png(picture: Picture, path: Path) -> None:
    """Write a picture as PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, "PNG")


def _fitted(picture: Picture, side_px: int) -> Image.Image:
    height, width = picture.shape[:2]
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)


def _shortened(line: str, width_px: int, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """The line with as much of its middle left out as needed: keys begin with the dataset and end with the person."""
    if draw.textlength(line, font) <= width_px:
        return line
    keep = len(line) - 1
    while keep > 2 and draw.textlength(_without_middle(line, keep), font) > width_px:
        keep -= 1
    return _without_middle(line, keep)


def _without_middle(line: str, keep: int) -> str:
    head = -(-keep // 2)
    return f"{line[:head]}…{line[len(line) - (keep - head) :]}"
