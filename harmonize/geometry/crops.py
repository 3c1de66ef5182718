"""The window that is cut around a person, and a person's annotation moved into it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harmonize.errors import RecordError
from harmonize.record import Array, Boxes, Instance

Window = tuple[int, int, int, int]
"""x, y, width, height in whole pixels of the oriented source picture."""


def crop_window(
    box_xywh_px: npt.ArrayLike, image_size_px: tuple[int, int], context: float, block_px: tuple[int, int] = (1, 1)
) -> Window:
    """The square around a box's centre with side `context` times its longer side, clipped to the picture.

    Args:
        box_xywh_px: (4,) or (5,) unpadded person box.
        image_size_px: width and height of the oriented picture.
        context: at least 1, so that the window holds all of the box that lies inside the picture.
        block_px: grid of the picture's compression blocks; the window's left and upper borders move out to it.

    Raises:
        RecordError: the box is not finite, has no area, or lies outside the picture; or `context` is below 1.
    """
    x, y, width, height = (float(value) for value in np.asarray(box_xywh_px, np.float64)[:4])
    seen = [
        min(low + length, size) - max(low, 0)
        for low, length, size in zip((x, y), (width, height), image_size_px, strict=True)
    ]
    if not (min(width, height) > 0 and min(seen) > 0 and np.isfinite((x, y, width, height)).all()):
        raise RecordError(
            f"crop: expected a box that overlaps the {image_size_px} px picture, found {(x, y, width, height)}"
        )
    if not context >= 1:
        raise RecordError(f"crop: expected a context of at least 1, found {context}")
    half = context * max(width, height) / 2
    (x0, x1), (y0, y1) = (
        _span(low, low + length, half, size, block)
        for low, length, size, block in zip((x, y), (width, height), image_size_px, block_px, strict=True)
    )
    return x0, y0, x1 - x0, y1 - y0


def _span(low: float, high: float, half: float, size: int, block: int) -> tuple[int, int]:
    centre = (low + high) / 2
    # min and max: with a context of 1, rounding of the centre must not cut the box.
    start = math.floor(max(min(centre - half, low), 0.0))
    return start - start % block, min(math.ceil(max(centre + half, high)), size)


def to_crop(instance: Instance, window: Window) -> Instance:
    """The instance with its pixels counted from the corner of `window`, and the picture's size and origin set to it.

    Principal point, 2D keypoints and boxes move; points and boxes with confidence 0 mean nothing and stay as they are.
    `window` is in the oriented source picture, so an instance that is a crop already may be cropped again.

    Raises:
        RecordError: the window is empty or leaves the source picture.
    """
    image = instance.image
    x, y, width, height = window
    inside = x >= 0 and y >= 0 and x + width <= image.source_width_px and y + height <= image.source_height_px
    if not inside or width <= 0 or height <= 0:
        raise RecordError(
            f"{instance.key}: expected a window inside {image.source_width_px} x {image.source_height_px} px, "
            f"found {window}"
        )
    shift = np.array([x - image.crop_x_px, y - image.crop_y_px], np.float32)
    keypoints, boxes, camera = instance.keypoints, instance.boxes, instance.camera
    return replace(
        instance,
        image=replace(image, width_px=width, height_px=height, crop_x_px=x, crop_y_px=y),
        camera=replace(camera, principal_point_px=camera.principal_point_px - shift)
        if camera.has_intrinsics
        else camera,
        keypoints=replace(
            keypoints,
            joints2d_px=_moved(keypoints.joints2d_px, shift),
            extra2d_px=_moved(keypoints.extra2d_px, shift),
        ),
        boxes=_moved_boxes(boxes, shift),
    )


def _moved(values: Array, shift: Array) -> Array:
    moved = values.copy()
    moved[..., :2] -= np.where(values[..., -1:] > 0, shift, np.float32(0))
    return moved


def _moved_boxes(boxes: Boxes, shift: Array) -> Boxes:
    return replace(
        boxes,
        person_xywh_px=_moved(boxes.person_xywh_px, shift),
        left_hand_xywh_px=_moved(boxes.left_hand_xywh_px, shift),
        right_hand_xywh_px=_moved(boxes.right_hand_xywh_px, shift),
        face_xywh_px=_moved(boxes.face_xywh_px, shift),
    )
