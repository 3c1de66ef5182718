"""Pictures that let a person judge an adaptation: the 2D points it was given, the mesh before and the mesh after."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from harmonize.bodies import BodyModels
from harmonize.evidence import part_of
from harmonize.geometry.cameras import as_pinhole
from harmonize.geometry.crops import crop_window
from harmonize.keypoints import SMPLX_144
from harmonize.record import Camera
from harmonize.render import render
from pipelines.evaluate_checkpoint import prediction_batch
from pipelines.pictures import COLOURS, INK, MESH, MESH_ALPHA, Floats, Picture, Shade
from pipelines.sheets import Tile, contact_sheet, save_png

if TYPE_CHECKING:
    from train.adapting import AdaptedPeople

CONTEXT = 1.4
"""Side of what is shown, in longer sides of the box around the points."""

TILE_PX = 400
BEFORE: Shade = (0.87, 0.62, 0.42)
_MAX_NAME = 120


def before_after_picture(found: AdaptedPeople, at: int, models: BodyModels) -> Picture:
    """Three panels of one person, number `at` of those adapted together: points, mesh before, mesh after.

    Raises:
        RawFileError: the picture cannot be read again.
    """
    from train.data.sightings import pixels_of

    one, figures = found.people[at], found.figures
    shown, camera, scale, corner = _cut(pixels_of(one.source), one.box_xywh_px, one.camera)
    tiles = [
        Tile(
            picture=_with_points(shown, one.points_px, scale, corner),
            lines=(f"{figures['num_points'][at]:.0f} 2D points",),
        )
    ]
    for name, predicted, colour in (("before", found.before, BEFORE), ("after", found.after, MESH)):
        bodies = prediction_batch(predicted).rows([at]).bodies
        assert bodies is not None
        model = models.get("smplx", "neutral")
        mesh = render(
            as_pinhole(camera, model.vertices(bodies)[0]),
            model.faces,
            camera.focal_px,
            camera.principal_point_px,
            (shown.shape[1], shown.shape[0]),
            background=shown,
            colour=colour,
            alpha=MESH_ALPHA,
        )
        error = f"points {figures[f'error_px_{name}'][at]:.1f} px off"
        moved = f", moved {figures['movement_mm'][at]:.0f} mm in {figures['steps'][at]:.0f} steps"
        lines = (f"{name}: {error}", f"inner loss {figures[f'loss_{name}'][at]:.3g}{moved if name == 'after' else ''}")
        tiles.append(Tile(picture=mesh, lines=lines))
    return contact_sheet(tiles, columns=len(tiles), tile_px=TILE_PX, title=one.key)


def draw_people(found: AdaptedPeople, rows: range, folder: Path, models: BodyModels) -> list[Path]:
    """A file for each of some people, named by its key."""
    paths = []
    for at in rows:
        name = re.sub(r"[^\w.-]+", "_", found.people[at].key, flags=re.ASCII)[-_MAX_NAME:]
        paths.append(folder / f"{name}.png")
        save_png(before_after_picture(found, at, models), paths[-1])
    return paths


def _cut(pixels: Picture, box_xywh_px: Floats, camera: Camera) -> tuple[Picture, Camera, float, Floats]:
    """The person's surroundings at the size of a tile, their camera, their scale and their corner in the picture."""
    x, y, width, height = crop_window(box_xywh_px, (pixels.shape[1], pixels.shape[0]), CONTEXT)
    scale = TILE_PX / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shown = Image.fromarray(pixels[y : y + height, x : x + width]).resize(size, Image.Resampling.LANCZOS)
    corner = np.array([x, y], np.float32)
    moved = Camera(
        focal_px=camera.focal_px * np.float32(scale),
        principal_point_px=(camera.principal_point_px - corner) * np.float32(scale),
        distortion=camera.distortion,
        has_intrinsics=True,
    )
    return np.asarray(shown), moved, scale, corner


def _with_points(picture: Picture, points_px: Floats, scale: float, corner: Floats) -> Picture:
    shown = Image.fromarray(picture)
    draw = ImageDraw.Draw(shown)
    for name, (x, y, confidence) in zip(SMPLX_144, points_px.tolist(), strict=True):
        if confidence > 0:
            part = part_of(name)
            radius = 3.5 if part == "body" else 1.8
            at = (x - corner[0]) * scale, (y - corner[1]) * scale
            draw.ellipse(
                (at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), fill=COLOURS[part], outline=INK
            )
    return np.asarray(shown)
