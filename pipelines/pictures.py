"""Pictures that let a person judge a sample: its annotation drawn on it, and its body's mesh over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from harmonize.bodies import BodyModels
from harmonize.bodies.models import STANDIN
from harmonize.errors import UsageError
from harmonize.evidence import part_of
from harmonize.geometry.cameras import as_pinhole
from harmonize.keypoints import SMPLX_144
from harmonize.meshes import body_vertices_m
from harmonize.record import Instance
from harmonize.render import render
from harmonize.shards.decode import decode_rgb
from harmonize.shards.read import Sample, Store

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]
Colour = tuple[int, int, int]
Shade = tuple[float, float, float]

PANEL_PX = 480
"""Height of a panel; samples are often much smaller crops."""

COLOURS: dict[str, Colour] = {
    "body": (255, 200, 40),
    "left_hand": (60, 190, 255),
    "right_hand": (255, 90, 90),
    "face": (120, 230, 120),
    "other": (200, 120, 255),
}
"""By part of the body; "other" are points of the dataset that no SMPL-X joint corresponds to."""

MESH: Shade = (0.45, 0.66, 0.85)
MESH_ALPHA = 0.85
INK: Colour = (30, 30, 30)


def models_of(store: Store, sample: Sample, spec: str | None) -> BodyModels:
    """The body models that a sample was made with: the stand-in, or those that `spec` (see `BodyModels.open`) names.

    Raises:
        MissingBodyModelError: real ones are needed and not given.
        UsageError: a sample made with the stand-in is to be drawn with real models, or the other way round.
    """
    origin = sample.instance.provenance
    is_standin = next(
        manifest.is_standin
        for manifest in store.manifests()
        if (manifest.dataset, manifest.split) == (origin.dataset, origin.split)
    )
    models = BodyModels.open(STANDIN if is_standin and spec is None else spec)
    if models.is_standin != is_standin:
        made, given = ("the stand-in", "real models") if is_standin else ("real models", "the stand-in")
        raise UsageError(f"{sample.instance.key} was made with {made}, not with {given}", fix="change --body-models")
    return models


def view_picture(sample: Sample, models: BodyModels) -> Picture:
    """Two panels and a legend: left the dataset's 2D keypoints and boxes, right the mesh of the stored body."""
    instance, stored = sample.instance, stored_picture(sample)
    scale = PANEL_PX / stored.shape[0]
    left = _scaled(stored, scale)
    _draw_annotation(left, instance, scale)
    right = _scaled(with_mesh(stored, instance, models), scale)
    lines = [instance.key, _about_body(instance, models)]
    font = ImageFont.load_default(14)
    legend_px = 18 * (len(lines) + 1) + 12
    width = max(left.width + right.width + 8, 700)
    sheet = Image.new("RGB", (width, PANEL_PX + legend_px), (255, 255, 255))
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width + 8, 0))
    draw = ImageDraw.Draw(sheet)
    x = 8
    for name, colour in COLOURS.items():
        draw.ellipse((x, PANEL_PX + 9, x + 9, PANEL_PX + 18), fill=colour, outline=INK)
        text = f"{name.replace('_', ' ')}: points" + (", box" if name != "other" else "")
        draw.text((x + 14, PANEL_PX + 5), text, INK, font)
        x += 28 + int(draw.textlength(text, font))
    for i, line in enumerate(lines):
        draw.text((8, PANEL_PX + 5 + 18 * (i + 1)), line, INK, font)
    return np.asarray(sheet)


def stored_picture(sample: Sample) -> Picture:
    """The sample's pixels (H, W, 3); grey when only annotations were ingested.

    Raises:
        RawFileError: the picture cannot be decoded.
    """
    image = sample.instance.image
    if sample.picture is None:
        return np.full((image.height_px, image.width_px, 3), 128, np.uint8)
    return decode_rgb(sample.picture, sample.extension, sample.instance.key)


def with_mesh(
    picture: Picture, instance: Instance, models: BodyModels, colour: Shade = MESH, alpha: float = MESH_ALPHA
) -> Picture:
    """The picture (H, W, 3) with the mesh of the stored body over it; as it is where the body or its place is unknown.

    colour: red, green, blue in 0..1. alpha: opacity of the mesh.
    """
    body, camera = instance.body, instance.camera
    if not (body.has_body and body.has_transl and camera.has_intrinsics):
        return picture
    return render(
        as_pinhole(camera, body_vertices_m(instance, models)),
        models.get("smplx", "neutral").faces,
        camera.focal_px,
        camera.principal_point_px,
        (picture.shape[1], picture.shape[0]),
        background=picture,
        colour=colour,
        alpha=alpha,
    )


def _draw_annotation(panel: Image.Image, instance: Instance, scale: float) -> None:
    draw = ImageDraw.Draw(panel)
    boxes = instance.boxes
    for part, box in (
        ("body", boxes.person_xywh_px),
        ("left_hand", boxes.left_hand_xywh_px),
        ("right_hand", boxes.right_hand_xywh_px),
        ("face", boxes.face_xywh_px),
    ):
        x, y, width, height, confidence = box.tolist()
        if confidence > 0:
            corners = (x * scale, y * scale, (x + width) * scale, (y + height) * scale)
            draw.rectangle(corners, outline=COLOURS[part], width=2)
    keypoints = instance.keypoints
    parts = [part_of(name) for name in SMPLX_144] + ["other"] * len(keypoints.extra2d_px)
    points = [*keypoints.joints2d_px.tolist(), *keypoints.extra2d_px.tolist()]
    for part, (x, y, confidence) in zip(parts, points, strict=True):
        if confidence > 0:
            radius = 3 if part in ("body", "other") else 1.5
            at = (x * scale, y * scale)
            draw.ellipse(
                (at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), fill=COLOURS[part], outline=INK
            )


def _about_body(instance: Instance, models: BodyModels) -> str:
    if not instance.body.has_body:
        return "no body annotated"
    text = "neutral stand-in body, not SMPL-X" if models.is_standin else "neutral SMPL-X"
    source = instance.source_body
    if source is None or source.conversion == "identity":
        return f"{text}, as annotated"
    return f"{text}, from {source.gender} {source.model} ({source.conversion}): {source.fit_error_mm:.1f} mm apart"


def _scaled(picture: Picture, scale: float) -> Image.Image:
    width = picture.shape[1]
    return Image.fromarray(picture).resize((max(1, round(width * scale)), PANEL_PX), Image.Resampling.BICUBIC)
