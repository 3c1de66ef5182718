"""EFT fits: SMPL as rotation matrices, weak-perspective cameras in square crops, and the json that holds them.

The person stands before the pinhole that posetrack's page makes of such a crop: focal length 5000 px over the 224 px of
the network's input, principal point at the crop's centre. The weak perspective of the file follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.labels import annotated
from harmonize.miniatures.points import Floats
from harmonize.miniatures.virtual import View, facing, seen_by
from harmonize.miniatures.world import Person

NAMES = convention("spin_49").names
LSP = frozenset(convention("lsp_14").names)
"""What every dataset of EFT labels: limbs, neck and the top of the head."""
NUM_DETECTED = 25
PADDING = 1.2
_FOCAL, _NETWORK_SIDE = 5000.0, 224.0
_DRIFT = 1e-4  # the matrices of a network are rotations only about


def eft_view(
    rng: np.random.Generator,
    models: BodyModels,
    person: Person,
    outline: tuple[float, float, float],
    crop: tuple[float, float, float] | None = None,
) -> View:
    """The person turned to the camera of a crop, whose square is the view's box.

    outline: the middle (x), top and height of the person in pixels. crop: centre x, y and side; by default the square
    about the person, padded.
    """
    upright, around_pelvis = facing(rng, models, person)
    low, high = around_pelvis.min(0), around_pelvis.max(0)
    middle, top, height = outline
    px_per_m = height / (high[1] - low[1])
    if crop is None:
        side = PADDING * px_per_m * float((high - low)[:2].max())
        crop = (round(middle, 1), round(top + height / 2, 1), side)
    side = 200.0 * round(crop[2] / 200.0, 3)
    centre, focal = np.array(crop[:2]), np.full(2, _FOCAL * side / _NETWORK_SIDE)
    target = np.array([middle - (low[0] + high[0]) / 2 * px_per_m, top - low[1] * px_per_m])
    pelvis = np.array([*((target - centre) / px_per_m), focal[0] / px_per_m])
    placed = replace(upright, transl_m=upright.transl_m + pelvis)
    return seen_by(models, placed, focal, centre, np.array([*(centre - side / 2), side, side]))


def eft_points(
    rng: np.random.Generator,
    seen: View,
    size: tuple[int, int],
    labelled: Collection[str],
    noise_px: float,
    *,
    has_detections: bool = False,
) -> Floats:
    """(49, 3) x, y, 0 or 1: 25 of a detector, zero where it was not run, and 24 slots for a dataset's own labels."""
    points = annotated(rng, seen, NAMES, size, noise_px)
    is_known = [name in labelled if row >= NUM_DETECTED else has_detections for row, name in enumerate(NAMES)]
    points[~np.array(is_known)] = 0.0
    points[:, 2] = points[:, 2] > 0
    return points


def eft_entry(
    rng: np.random.Generator, seen: View, points: Floats, image_name: str, **optional: str | int
) -> dict[str, Any]:
    """One element of `data`; `optional` are annotId and subjectId, which not every file has."""
    stretch = rng.uniform(-_DRIFT, _DRIFT, (24, 3, 3))
    rotations = Rotation.from_rotvec(seen.person.pose_aa).as_matrix() @ (np.eye(3) + stretch + stretch.mT)
    x, y, side, _ = seen.box_xywh
    scale = 2.0 * seen.focal_px[0] / (seen.person.transl_m[2] * side)
    is_labelled = {name for name, (_, _, v) in zip(NAMES[NUM_DETECTED:], points[NUM_DETECTED:], strict=True) if v > 0}
    openpose = (name.removesuffix("_openpose") for name in convention("openpose_18").names)
    return {
        "parm_pose": rotations.tolist(),
        "parm_shape": seen.person.betas.tolist(),
        "parm_cam": [scale, *(scale * seen.person.transl_m[:2]).tolist()],
        "bbox_scale": side / 200.0,
        "bbox_center": [x + side / 2, y + side / 2],
        "gt_keypoint_2d": points.tolist(),
        "joint_validity_openpose18": [int(bool({name, f"{name}_extra"} & is_labelled)) for name in openpose],
        "smpltype": "smpl",
        "imageName": image_name,
        **optional,
    }


def write_eft(path: Path, database: str, entries: Sequence[dict[str, Any]]) -> None:
    """Writes the entries as one file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"ver": 0.1, "data": list(entries), "meta": {"dbname": database, "rawname": path.name}}
    path.write_text(json.dumps(content))
