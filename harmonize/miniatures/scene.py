"""Pictures of the synthetic world: procedural backgrounds, dressed people, jpg and png files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from harmonize.bodies import BodyBatch, BodyModel
from harmonize.render import NEAR_M, Mesh, Picture, merge, rasterise, render

Floats = npt.NDArray[np.floating[Any]]

JPEG_QUALITY = 92
_SKINS = ((0.96, 0.80, 0.69), (0.88, 0.68, 0.54), (0.72, 0.52, 0.39), (0.50, 0.35, 0.26))
_HAIRS = ((0.13, 0.10, 0.08), (0.33, 0.22, 0.13), (0.72, 0.56, 0.32), (0.55, 0.53, 0.51))


def background(rng: np.random.Generator, size: tuple[int, int], horizon_px: float) -> Picture:
    """(H, W, 3) uint8: sky or wall, ground, some blocks and round shapes on the horizon, and grain."""
    width, height = size
    v, u = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    horizon = float(np.clip(horizon_px, -height, 2 * height))
    sky, haze = _muted(rng, 0.5, 0.95, 2)
    near, far = _muted(rng, 0.25, 0.6, 2)
    above = ((v - (horizon - height)) / height).clip(0, 1)
    below = ((v - horizon) / height).clip(0, 1)
    rows = np.where(v < horizon, sky * (1 - above) + haze * above, far * (1 - below) + near * below)
    picture = np.repeat(rows.astype(np.float32)[:, None], width, 1)
    for _ in range(int(rng.integers(5, 10))):
        centre, span = rng.uniform(0, width), rng.uniform(0.04, 0.16) * width
        top = horizon - rng.uniform(0.08, 0.45) * height
        colour = _muted(rng, 0.25, 0.85, 1)[0]
        columns = slice(max(0, int(centre - span)), int(centre + span) + 1)
        across = abs(u[columns] - centre)
        if rng.random() < 0.6:
            inside = (across < span) & (v > top) & (v < horizon)
        else:
            inside = np.hypot(across / span, (v - top) / (1.4 * span)) < 1.0
        picture[:, columns][inside] = colour
    coarse = rng.normal(0.0, 1.0, (height // 24 + 2, width // 24 + 2))
    mottle = np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC))
    grain = rng.normal(0.0, 0.012, (height, width)) + 0.02 * mottle
    picture += grain.astype(np.float32)[..., None]
    picture *= 255.0
    return np.asarray(np.rint(picture.clip(0, 255, out=picture), out=picture), np.uint8)


def _muted(rng: np.random.Generator, low: float, high: float, count: int) -> Floats:
    """(count, 3) RGB of random brightness and little saturation."""
    return (rng.uniform(low, high, (count, 1)) + rng.uniform(-0.17, 0.17, (count, 3))).clip(0.03, 0.97)


def clothes(rng: np.random.Generator, model: BodyModel) -> Floats:
    """(V, 3) RGB 0..1: skin, hair, a shirt with sleeves, trousers and shoes, cut out of the rest pose by height."""
    rest = BodyBatch(
        pose_aa=np.zeros((1, model.num_joints, 3), np.float32),
        betas=np.zeros((1, 10), np.float32),
        transl_m=np.zeros((1, 3), np.float32),
        expression=None,
        kid_weight=None,
    )
    x, y, z = np.asarray(model.vertices(rest)[0], np.float64).T
    height = (y - y.min()) / np.ptp(y)
    head = height > 0.87
    depth = (z - z[head].min()) / np.ptp(z[head])
    shirt, trousers = _muted(rng, 0.1, 0.9, 2)
    colours = np.tile(np.array(_SKINS[rng.integers(len(_SKINS))]), (len(x), 1))
    sleeve = rng.uniform(0.16, 0.36) * np.ptp(y)
    neckline = np.where(abs(x) > 0.05 * np.ptp(y), 0.88, 0.835)
    colours[(height > 0.5) & (height < neckline) & (abs(x) < sleeve)] = shirt
    colours[height <= 0.5] = trousers
    colours[height < 0.045] = (0.15, 0.13, 0.12)
    colours[head & ((height > 0.965) | ((depth < 0.45) & (height > 0.9)))] = _HAIRS[rng.integers(len(_HAIRS))]
    return colours


@dataclass(frozen=True, slots=True)
class Wall:
    """A square post of the given RGB standing before the camera: hides whoever is behind it."""

    left_m: float
    right_m: float
    top_m: float
    bottom_m: float
    depth_m: float
    colour: tuple[float, float, float] = (0.55, 0.52, 0.48)

    def mesh(self) -> Mesh:
        """A rectangle parallel to the picture, camera frame."""
        corners = [(x, y, self.depth_m) for y in (self.top_m, self.bottom_m) for x in (self.left_m, self.right_m)]
        return Mesh(np.array(corners), np.array([[0, 1, 2], [1, 3, 2]]), self.colour)


def paint(meshes: Sequence[Mesh], focal_px: Floats, principal_point_px: Floats, behind: Picture) -> Picture:
    """The meshes over a picture; nearer ones hide farther ones. Only the part around them is drawn."""
    size = (behind.shape[1], behind.shape[0])
    whole, _ = merge(meshes)
    left, top, right, bottom = _window(whole.vertices_cam_m, focal_px, principal_point_px, size)
    picture, centre = behind.copy(), principal_point_px - (left, top)
    picture[top:bottom, left:right] = render(
        whole.vertices_cam_m,
        whole.faces,
        focal_px,
        centre,
        (right - left, bottom - top),
        background=behind[top:bottom, left:right],
        colour=whole.colour,
    )
    return picture


def _window(
    vertices_cam_m: Floats, focal_px: Floats, principal_point_px: Floats, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the part of a picture that a mesh can be seen in, at least a pixel."""
    if vertices_cam_m[:, 2].min() <= NEAR_M:
        return (0, 0, *size)
    pixels = vertices_cam_m[:, :2] / vertices_cam_m[:, 2:] * focal_px + principal_point_px
    left, top = np.floor(pixels.min(0)).clip(0, np.array(size) - 1).astype(int).tolist()
    right, bottom = np.ceil(pixels.max(0) + 1).clip((left + 1, top + 1), size).astype(int).tolist()
    return left, top, right, bottom


def hidden_percent(
    meshes: Sequence[Mesh], focal_px: Floats, principal_point_px: Floats, size: tuple[int, int]
) -> list[float]:
    """For each mesh, how much of its silhouette in the picture others hide, 0..100; 100 when it is all outside."""
    depths = np.stack(
        [rasterise(mesh.vertices_cam_m, mesh.faces, focal_px, principal_point_px, size).depth_m for mesh in meshes]
    )
    is_there = np.isfinite(depths)
    is_seen = is_there & (depths == depths.min(0))
    total_px, seen_px = is_there.sum((1, 2)).tolist(), is_seen.sum((1, 2)).tolist()
    return [100.0 * (1.0 - seen / total) if total else 100.0 for seen, total in zip(seen_px, total_px, strict=True)]


def write_picture(path: Path, picture: Picture) -> None:
    """A .jpg or .jpeg (quality 92, 4:2:0), .png or .bmp, as the name says; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".jpg", ".jpeg"):
        path.write_bytes(
            simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=JPEG_QUALITY, colorsubsampling="420")
        )
    else:
        Image.fromarray(picture).save(path, compress_level=1)
