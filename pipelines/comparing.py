"""Two bodies of one person on one picture, and how far their joints are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from catalogs import store as catalog
from harmonize.bodies import BodyModels
from harmonize.errors import UsageError
from harmonize.evidence import part_of
from harmonize.geometry.boxes import iou
from harmonize.keypoints import SMPLX_144
from harmonize.meshes import neutral_batch
from harmonize.record import Instance
from pipelines.form_differences import MIN_IOU, NUM_BODY_JOINTS
from pipelines.pictures import Picture, Shade, with_mesh

Floats = npt.NDArray[np.floating[Any]]

FIRST: Shade = (0.90, 0.62, 0.0)
SECOND: Shade = (0.0, 0.45, 0.70)
"""Orange and blue of Okabe and Ito, which colour-blind people tell apart."""

BOTH_ALPHA = 0.6

NOT_COMPARED = ("key", "shard", "store", "_sha256", "_offset", "_size", "frame", "image_path", "source_row")
"""Endings of columns that differ between any two samples and say nothing about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointDistances:
    """Mean distances in mm between the joints of two bodies; None where a part is unknown in one of them.

    body_mm: the 22 body joints in the camera frame. All others with pelvis on pelvis (body) or wrist on wrist (hands).
    """

    key: str
    other_key: str
    body_mm: float | None
    body_root_aligned_mm: float
    left_hand_mm: float | None
    right_hand_mm: float | None
    worst_joint: str
    worst_joint_mm: float


def counterpart(con: duckdb.DuckDBPyConnection, instance: Instance) -> str:
    """The key that the same person has in another store: the same key, or the person of the same picture (by its file
    name) whose box overlaps most, by at least half.

    Raises:
        UsageError: there is none.
    """
    if catalog.query(con, "SELECT 1 FROM instances WHERE key = $key", {"key": instance.key}).rows:
        return instance.key
    origin, image = instance.provenance, instance.image
    rows = catalog.query(
        con,
        "SELECT key, image_path, boxes_person_xywh_px, image_crop_x_px, image_crop_y_px, image_source_width_px "
        "FROM records WHERE dataset = $dataset AND ends_with(image_path, $name)",
        {"dataset": origin.dataset, "name": PurePosixPath(origin.image_path).name},
    ).rows
    ours = instance.boxes.person_xywh_px[:4] + np.array([image.crop_x_px, image.crop_y_px, 0, 0])
    overlaps = {}
    for key, path, box, crop_x, crop_y, source_width in rows:
        if PurePosixPath(path).name == PurePosixPath(origin.image_path).name:
            theirs = np.add(box[:4], (crop_x, crop_y, 0, 0)) * _scale(source_width, image.source_width_px)
            overlaps[str(key)] = float(iou(ours, theirs))
    nearest = max(overlaps, key=overlaps.__getitem__, default=None)
    if nearest is None or overlaps[nearest] < MIN_IOU:
        raise UsageError(
            f"{instance.key}: the other store has neither this key nor a person at this place in its picture",
            fix="give a store that holds the same dataset and split, perhaps from another annotation form",
        )
    return nearest


def joint_distances(one: Instance, other: Instance, models: BodyModels) -> JointDistances:
    """How far the joints of two stored bodies are apart; of both, the neutral body's own joints are taken.

    Raises:
        UsageError: one of them has no body.
    """
    for instance in (one, other):
        if not instance.body.has_body:
            raise UsageError(f"{instance.key}: no body is annotated, so there are no joints to compare")
    model = models.get("smplx", "neutral")
    first, second = (np.asarray(model.joints(neutral_batch(instance))[0], np.float64) for instance in (one, other))
    body = slice(0, NUM_BODY_JOINTS)
    aligned = np.linalg.norm((first - first[0]) - (second - second[0]), axis=1)[body]
    has_places = one.body.has_transl and other.body.has_transl
    worst = int(np.argmax(aligned))
    return JointDistances(
        key=one.key,
        other_key=other.key,
        body_mm=1000 * float(np.linalg.norm(first - second, axis=1)[body].mean()) if has_places else None,
        body_root_aligned_mm=1000 * float(aligned.mean()),
        left_hand_mm=_hand_mm(first, second, "left", one.body.has_left_hand and other.body.has_left_hand),
        right_hand_mm=_hand_mm(first, second, "right", one.body.has_right_hand and other.body.has_right_hand),
        worst_joint=SMPLX_144[worst],
        worst_joint_mm=1000 * float(aligned[worst]),
    )


def _hand_mm(first: Floats, second: Floats, side: str, is_known: bool) -> float | None:
    if not is_known:
        return None
    wrist = SMPLX_144.index(f"{side}_wrist")
    hand = [i for i, name in enumerate(SMPLX_144) if part_of(name) == f"{side}_hand"]
    return 1000 * float(np.linalg.norm((first - first[wrist]) - (second - second[wrist]), axis=1)[hand].mean())


def in_picture_of(instance: Instance, other: Instance) -> Instance:
    """`instance` with its camera moved to the stored picture of `other`, which is another cut (or another size) of the
    same source picture."""
    ours, theirs = instance.image, other.image
    scale = _scale(ours.source_width_px, theirs.source_width_px)
    corner = np.array([ours.crop_x_px, ours.crop_y_px], np.float32)
    other_corner = np.array([theirs.crop_x_px, theirs.crop_y_px], np.float32)
    camera = replace(
        instance.camera,
        focal_px=(instance.camera.focal_px * scale).astype(np.float32),
        principal_point_px=((instance.camera.principal_point_px + corner) * scale - other_corner).astype(np.float32),
    )
    return replace(instance, camera=camera)


def _scale(width_px: int, other_width_px: int) -> float:
    """From pixels of one copy of a source picture to those of another; 1 where a size is unknown."""
    return other_width_px / width_px if width_px and other_width_px else 1.0


def both_meshes(picture: Picture, one: Instance, other: Instance, models: BodyModels) -> Picture:
    """The picture of `one` with its mesh in orange and that of `other` in blue."""
    under = with_mesh(picture, one, models, FIRST, BOTH_ALPHA)
    return with_mesh(under, in_picture_of(other, one), models, SECOND, BOTH_ALPHA)


def differing(facts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns in which samples differ: one row a column, with the value of each sample under its name.

    facts: name -> column -> value. Numbers that are the same to six digits are not different;
    vectors are left out.
    """
    columns = list(dict.fromkeys(column for values in facts.values() for column in values))
    rows = []
    for column in columns:
        values = {name: found.get(column) for name, found in facts.items()}
        first = next(iter(values.values()))
        if any(isinstance(value, list | tuple) for value in values.values()):
            continue  # rotations, betas and the like: the pictures show them better than their numbers
        if not column.endswith(NOT_COMPARED) and any(not _is_same(first, value) for value in values.values()):
            rows.append({"attribute": column, **values})
    return rows


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)
