"""Changes of scale, turn, place, side, colour and visibility that a network should not mind, and the values in use.

Turns and mirrors are about the crop's centre in the picture and about the optical axis in the camera frame
(`train.data.targets`), so labels stay exact. Colour is one affine map of RGB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt

from harmonize.errors import UsageError
from train.data.chance import Chance
from train.data.crops import Floats, Pixels

Flags = npt.NDArray[np.bool_]

_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """How much of what. Zero leaves a thing alone.

    scale: the box is 1 + scale * n times as large, n normal and clipped to [-1, 1].
    rotation_deg, rotation_limit_deg: standard deviation and bound of the turn, which happens with rotation_probability.
    shift: the person moves by up to this share of the crop's width and height, uniformly.
    flip_probability: of a mirrored picture.
    colour: each channel times 1 - colour to 1 + colour. contrast, saturation: the same about mid grey, and about the
        pixel's own grey. brightness: up to this share of white is added or taken away.
    occluders: up to this many patches cover parts, with occluder_probability; occluder_size: their largest side, as
        share of the crop's.
    """

    scale: float = 0.0
    rotation_deg: float = 0.0
    rotation_limit_deg: float = 180.0
    rotation_probability: float = 1.0
    shift: float = 0.0
    flip_probability: float = 0.0
    colour: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    occluders: int = 0
    occluder_probability: float = 1.0
    occluder_size: float = 0.4

    def __post_init__(self) -> None:
        limits = {"scale": 0.99, "rotation_deg": 180, "rotation_limit_deg": 180, "occluders": 16}
        for item in fields(self):
            value, limit = getattr(self, item.name), limits.get(item.name, 1)
            if not 0 <= value <= limit:
                raise UsageError(
                    f"augmentation: {item.name}: expected 0 to {limit}, found {value}",
                    fix="choose a value within these bounds",
                    field=item.name,
                )

    @property
    def changes_colour(self) -> bool:
        """Whether any pixel's value is changed beside occlusion."""
        return bool(self.colour or self.brightness or self.contrast or self.saturation)


NONE = Augment()
SMPLER_X = Augment(
    scale=0.25,
    rotation_deg=30,
    rotation_limit_deg=60,
    rotation_probability=0.6,
    flip_probability=0.5,
    colour=0.2,
)
"""As in the released training code of SMPLer-X (Cai et al., NeurIPS 2023): no occluders, no shift."""
STRONG = Augment(
    scale=0.3,
    rotation_deg=30,
    rotation_limit_deg=90,
    rotation_probability=0.6,
    shift=0.1,
    flip_probability=0.5,
    colour=0.2,
    brightness=0.15,
    contrast=0.3,
    saturation=0.5,
    occluders=3,
    occluder_probability=0.5,
)
PRESETS = {"none": NONE, "smpler_x": SMPLER_X, "strong": STRONG}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What happens to N samples. zoom: (N,) enlargement. shift: (N, 2) in sizes of the crop. turn: (N, 2, 2) rotation
    after mirror, in pixels and in the camera frame's x, y. is_mirrored: (N,). colour: (N, 3, 4) affine map of RGB in
    [0, 255], or None."""

    zoom: Floats
    shift: Floats
    turn: Floats
    is_mirrored: Flags
    colour: Floats | None

    @property
    def spin(self) -> Floats:
        """`turn` as a map of the camera frame (N, 3, 3)."""
        spin = np.zeros((len(self.turn), 3, 3))
        spin[:, :2, :2], spin[:, 2, 2] = self.turn, 1
        return spin


def changes_of(augment: Augment, chance: Chance) -> Changes:
    """What chance has in store for N draws."""
    num = len(chance.state)
    zoom, angle, shift = np.ones(num), np.zeros(num), np.zeros((num, 2))
    if augment.scale:
        zoom = 1 / (1 + augment.scale * chance.normal("scale").clip(-1, 1))
    if augment.rotation_deg:
        limit = augment.rotation_limit_deg
        angle = np.radians((augment.rotation_deg * chance.normal("rotation")).clip(-limit, limit))
        angle = np.where(chance.uniform("turn?") < augment.rotation_probability, angle, 0.0)
    if augment.shift:
        shift = augment.shift * (2 * chance.uniform("shift", 2) - 1)
    is_mirrored = chance.uniform("flip?") < augment.flip_probability
    cos, sin = np.cos(angle), np.sin(angle)
    side = np.where(is_mirrored, -1.0, 1.0)
    return Changes(
        zoom=zoom,
        shift=shift,
        turn=np.stack([cos * side, -sin, sin * side, cos], axis=-1).reshape(num, 2, 2),
        is_mirrored=is_mirrored,
        colour=_colours(augment, chance) if augment.changes_colour else None,
    )


def _colours(augment: Augment, chance: Chance) -> Floats:
    spread = 2 * chance.uniform("colour", 6) - 1
    saturation = 1 + augment.saturation * spread[:, 0, None, None]
    contrast = 1 + augment.contrast * spread[:, 1]
    linear = contrast[:, None, None] * (saturation * np.eye(3) + (1 - saturation) * _GREY)
    offset = 127.5 * (1 - contrast) + 255 * augment.brightness * spread[:, 2]
    whole = np.concatenate([linear, np.broadcast_to(offset[:, None, None], (len(offset), 3, 1))], axis=2)
    return np.asarray(whole * (1 + augment.colour * spread[:, 3:, None]), np.float64)


def recolour(changes: Changes, crops: Pixels) -> None:
    """Give crops (N, height, width, 3) their colours, in place."""
    if changes.colour is not None:
        for crop, colour in zip(crops, changes.colour, strict=True):
            cv2.transform(crop, colour, dst=crop)


_GRID = 4
_SHAPE, _PAINT = 6, _GRID * _GRID * 3


def occlude(augment: Augment, crops: Pixels, chance: Chance) -> None:
    """Cover parts of crops (N, height, width, 3) by rectangles and ellipses of soft random colours, in place."""
    if not augment.occluders:
        return
    height, width = crops.shape[1:3]
    numbers = chance.uniform("occlude", augment.occluders, _SHAPE + _PAINT)
    first = chance.uniform("covers", 2)
    counts = np.where(
        first[:, 0] < augment.occluder_probability, 1 + (first[:, 1] * augment.occluders).astype(np.int64), 0
    )
    for crop, count, patches in zip(crops, counts.tolist(), numbers, strict=True):
        for patch in patches[:count]:
            x, y, long, slender, turn, kind = patch[:_SHAPE].tolist()
            side = augment.occluder_size * max(height, width) * (0.25 + 0.75 * long)
            centre, size = (x * width, y * height), (side, side * (0.3 + 0.7 * slender))
            _cover(crop, (centre, size, 180 * turn), patch[_SHAPE:], is_round=kind < 0.5)


def _cover(
    crop: Pixels,
    box: tuple[tuple[float, float], tuple[float, float], float],
    paint: Floats,
    *,
    is_round: bool,
) -> None:
    (x, y), (along, across), _ = box
    reach = math.hypot(along, across) / 2 + 1
    left, upper = max(0, int(x - reach)), max(0, int(y - reach))
    part = crop[upper : int(y + reach) + 1, left : int(x + reach) + 1]
    if not part.size:
        return
    mask = np.zeros(part.shape[:2], np.uint8)
    moved = ((x - left, y - upper), (along, across), box[2])
    if is_round:
        cv2.ellipse(mask, moved, 1, thickness=-1)
    else:
        cv2.fillConvexPoly(mask, np.round(cv2.boxPoints(moved)).astype(np.int32), 1)
    grid = (255 * paint).astype(np.uint8).reshape(_GRID, _GRID, 3)
    cloth = cv2.resize(grid, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_LINEAR)
    np.copyto(part, cloth, where=mask[..., None].astype(bool))
