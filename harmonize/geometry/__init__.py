"""Rotations, rigid frames, cameras, boxes and crops. Knows nothing of datasets."""

from __future__ import annotations

from harmonize.geometry.boxes import area, clip_to_image, from_points, iou, scaled
from harmonize.geometry.cameras import project, project_with
from harmonize.geometry.crops import Window, crop_window, to_crop
from harmonize.geometry.frames import change_frame
from harmonize.geometry.rotations import aa_to_rotmat, canonical_aa, rotmat_to_aa

__all__ = [
    "Window",
    "aa_to_rotmat",
    "area",
    "canonical_aa",
    "change_frame",
    "clip_to_image",
    "crop_window",
    "from_points",
    "iou",
    "project",
    "project_with",
    "rotmat_to_aa",
    "scaled",
    "to_crop",
]
