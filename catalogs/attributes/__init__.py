"""What can be said of each sample beyond its record: one file a family, all of them listed here."""

from __future__ import annotations

from catalogs.attributes import (
    camera,
    image_statistics,
    label,
    orientation,
    pose,
    pose_space,
    scene,
    shape,
    skeleton,
    visibility,
)
from catalogs.attributes.family import Family

FAMILIES: dict[str, Family] = {
    "camera": camera.FAMILY,
    "image_statistics": image_statistics.FAMILY,
    "label": label.FAMILY,
    "orientation": orientation.FAMILY,
    "pose": pose.FAMILY,
    "pose_space": pose_space.FAMILY,
    "scene": scene.FAMILY,
    "shape": shape.FAMILY,
    "skeleton": skeleton.FAMILY,
    "visibility": visibility.FAMILY,
}
"""The families that every store can have, by name. Those that depend on a backbone are made by `features.family`."""
