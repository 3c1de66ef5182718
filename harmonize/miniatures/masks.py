"""Masks of people as COCO keeps them: run lengths, as numbers or packed into text."""

from __future__ import annotations

from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.points import Floats
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import model_of
from harmonize.render import rasterise


def silhouette(models: BodyModels, seen: View, size: tuple[int, int]) -> Any:
    """(H, W) bool: where the person is in the picture, whoever stands before."""
    faces = model_of(models, seen.person).faces
    return rasterise(seen.vertices_cam_m, faces, seen.focal_px, seen.principal_point_px, size).face >= 0


def run_lengths(mask: Any) -> list[int]:
    """COCO's run lengths of a mask (H, W): column by column, starting with background."""
    changes = np.flatnonzero(np.diff(mask.T.ravel(), prepend=False, append=not mask[-1, -1]))
    return [int(count) for count in np.diff(changes, prepend=0)]


def packed(counts: list[int]) -> str:
    """Run lengths as COCO's text: from the third on less the one two before; five bits a character, low ones first."""
    text = []
    for at, count in enumerate(counts):
        value = count - counts[at - 2] if at > 2 else count
        while True:
            bits, value = value & 0x1F, value >> 5
            is_last = value == (-1 if bits & 0x10 else 0)
            text.append(chr(48 + (bits if is_last else bits | 0x20)))
            if is_last:
                break
    return "".join(text)


def outline(mask: Any) -> Floats:
    """(2 N,) x, y of a polygon about the mask: down its left edge and up its right one."""
    rows = np.flatnonzero(mask.any(1))[::4]
    left = np.argmax(mask[rows], 1)
    right = mask.shape[1] - 1 - np.argmax(mask[rows, ::-1], 1)
    return np.concatenate([np.column_stack([left, rows]), np.column_stack([right, rows])[::-1]]).ravel().astype(float)
