"""How far two annotation forms of a dataset are apart, over the people that both hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs import store as catalog
from harmonize.geometry.boxes import iou
from harmonize.geometry.rotations import aa_to_rotmat

Floats = npt.NDArray[np.floating[Any]]

MIN_IOU = 0.5
"""Two boxes of one picture that overlap less are of two people."""

NUM_BODY_JOINTS = 22
_COLUMNS = (
    "split, image_path, boxes_person_xywh_px, image_crop_x_px, image_crop_y_px, "
    "body_global_orient_aa, keypoints_joints3d_cam_m, body_has_body"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Medians over one split. joints_mm: mean distance of the 22 body joints, pelvis on pelvis; aligned_joints_mm:
    after the best similarity (Procrustes) of each body."""

    split: str
    num_people: int
    joints_mm: float
    aligned_joints_mm: float
    global_orient_deg: float
    box_iou: float


@dataclass(frozen=True, slots=True)
class _Person:
    box: Floats
    global_orient_aa: Floats
    joints_m: Floats


def form_differences(store: Path, other: Path, dataset: str) -> list[Difference]:
    """One entry a split. People are the same when they are in the same picture (by its file name, as forms lay out
    folders differently) and their boxes overlap most, by at least half."""
    ours, theirs = _people(store, dataset), _people(other, dataset)
    pairs: dict[str, list[tuple[_Person, _Person, float]]] = {}
    for (split, picture), people in ours.items():
        candidates = list(theirs.get((split, picture), ()))
        for person in people:
            overlaps = [float(iou(person.box, candidate.box)) for candidate in candidates]
            if overlaps and max(overlaps) >= MIN_IOU:
                match = candidates.pop(int(np.argmax(overlaps)))
                pairs.setdefault(split, []).append((person, match, max(overlaps)))
    return [_difference(split, found) for split, found in sorted(pairs.items())]


def _people(store: Path, dataset: str) -> dict[tuple[str, str], list[_Person]]:
    with catalog.open(store) as con:
        sql = f"SELECT {_COLUMNS} FROM records WHERE dataset = $dataset AND body_has_body ORDER BY key"
        rows = catalog.query(con, sql, {"dataset": dataset}).rows
    people: dict[tuple[str, str], list[_Person]] = {}
    for split, path, box, crop_x, crop_y, orient, joints, _ in rows:
        xywh = np.add(box[:4], (crop_x, crop_y, 0, 0))
        points = np.array(joints).reshape(-1, 4)[:NUM_BODY_JOINTS, :3]
        people.setdefault((split, PurePosixPath(path).name), []).append(_Person(xywh, np.array(orient), points))
    return people


def _difference(split: str, pairs: list[tuple[_Person, _Person, float]]) -> Difference:
    one = np.stack([pair[0].joints_m for pair in pairs])
    other = np.stack([pair[1].joints_m for pair in pairs])
    one, other = one - one[:, :1], other - other[:, :1]
    turn = aa_to_rotmat(np.stack([pair[0].global_orient_aa for pair in pairs]))
    other_turn = aa_to_rotmat(np.stack([pair[1].global_orient_aa for pair in pairs]))
    trace = np.einsum("bij,bij->b", turn, other_turn)
    return Difference(
        split=split,
        num_people=len(pairs),
        joints_mm=_median_mm(one - other),
        aligned_joints_mm=_median_mm(_aligned(one, other) - other),
        global_orient_deg=float(np.degrees(np.median(np.arccos(np.clip((trace - 1) / 2, -1, 1))))),
        box_iou=float(np.median([pair[2] for pair in pairs])),
    )


def _median_mm(differences: Floats) -> float:
    return float(np.median(1000 * np.linalg.norm(differences, axis=-1).mean(axis=1)))


def _aligned(points: Floats, target: Floats) -> Floats:
    """Points (B, J, 3) under the similarity that brings them nearest to the target (Umeyama 1991)."""
    centre, target_centre = points.mean(axis=1, keepdims=True), target.mean(axis=1, keepdims=True)
    a, b = points - centre, target - target_centre
    u, sizes, vt = np.linalg.svd(np.einsum("bji,bjk->bik", a, b))
    flip = np.ones_like(sizes)
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotmat = (u * flip[:, None]) @ vt
    scale = (sizes * flip).sum(axis=1) / (a**2).sum(axis=(1, 2))
    return np.asarray(scale[:, None, None] * (a @ rotmat) + target_centre)
