"""A 2D detector that makes mistakes: what training shows in place of one, made from the true keypoints.

The adapted network has to live with a detector's errors at test time, so it should meet their kinds in training: spread
by the size of the part, parts that are displaced as a whole, gross misses, points and hands that are not found, left
taken for right, and less confidence where points are hard.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from harmonize.errors import UsageError
from harmonize.keypoints import SMPLX_144, convention
from train.data.chance import Chance
from train.data.crops import Floats
from train.data.targets import MIRRORED_JOINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """How a simulated detector errs. Sizes of parts are the longer sides of the boxes around their true points.

    body_jitter, hand_jitter, face_jitter: root mean square error of a point in each direction, as share of the part's
        size. part_shift: that of a hand or face as a whole, as share of its size.
    miss_probability: of a point that lies anywhere in its part's box, enlarged twice. drop_probability: of a point that
        is not found. missing_hand_probability, missing_face_probability: of a part that is not found.
    swap_probability: of left taken for right, for arms with hands and for legs apart.
    sees: the convention whose points it knows ("" for all 144).
    """

    body_jitter: float = 0.0
    hand_jitter: float = 0.0
    face_jitter: float = 0.0
    part_shift: float = 0.0
    miss_probability: float = 0.0
    drop_probability: float = 0.0
    missing_hand_probability: float = 0.0
    missing_face_probability: float = 0.0
    swap_probability: float = 0.0
    sees: str = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "sees" and not 0 <= value <= 1:
                raise UsageError(
                    f"detector: {item.name}: expected 0 to 1, found {value}",
                    fix="give a share or a probability",
                    field=item.name,
                )
        if self.sees:
            convention(self.sees)


NO_ERRORS = Detector()
TYPICAL = Detector(
    body_jitter=0.015,
    hand_jitter=0.06,
    face_jitter=0.02,
    part_shift=0.05,
    miss_probability=0.01,
    drop_probability=0.05,
    missing_hand_probability=0.1,
    missing_face_probability=0.03,
    swap_probability=0.02,
    sees="coco_wholebody_133",
)
"""Errors of the order of a whole-body detector's on people of the size of the crop; not fitted to one detector."""
PRESETS = {"none": NO_ERRORS, "typical": TYPICAL}


def detect(detector: Detector, keypoints_px: npt.NDArray[np.float32], chance: Chance) -> npt.NDArray[np.float32]:
    """What the detector says (N, 144, 3) of true keypoints (N, 144, 3): x, y in pixels, confidence; 0 if not found."""
    if detector == NO_ERRORS:
        return keypoints_px
    points, confidence = keypoints_px[..., :2].astype(np.float64), keypoints_px[..., 2].astype(np.float64)
    known = confidence > 0
    points = np.where(known[..., None], points, 0.0)
    centre, size = _part_boxes(points, known)
    # Hard points are worse and less sure; 3 times the mean square of a uniform number is 1.
    hardness = chance.uniform("hardness", len(SMPLX_144))
    jitter = np.array([detector.body_jitter, detector.hand_jitter, detector.hand_jitter, detector.face_jitter])
    spread = (jitter * size)[:, _PART] * hardness * 3**0.5
    error = spread[..., None] * chance.normal("jitter", len(SMPLX_144), 2)
    together = detector.part_shift * size[..., None] * chance.normal("together", len(_PARTS), 2)
    together[:, 0] = 0
    found = points + error + together[:, _PART]
    places = centre[:, _PART] + 2 * size[:, _PART, None] * (chance.uniform("places", len(SMPLX_144), 2) - 0.5)
    is_miss = chance.uniform("miss?", len(SMPLX_144)) < detector.miss_probability
    found = np.where(is_miss[..., None], places, found)
    confidence = confidence * (1 - hardness / 2)
    confidence[chance.uniform("drop?", len(SMPLX_144)) < detector.drop_probability] = 0
    gone = chance.uniform("gone?", len(_PARTS)) < [
        0,
        detector.missing_hand_probability,
        detector.missing_hand_probability,
        detector.missing_face_probability,
    ]
    confidence[gone[:, _PART]] = 0
    _swap_sides(detector, found, confidence, chance)
    if detector.sees:
        confidence[:, ~_is_seen(detector.sees)] = 0
    found = np.where((confidence > 0)[..., None], found, 0.0)
    return np.concatenate([found, confidence[..., None]], axis=-1).astype(np.float32)


def _part_boxes(points: Floats, known: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Centres (N, 4, 2) of the boxes around the parts' known points, and their longer sides (N, 4). The body's box is
    that of all points; a part with fewer than two points has a tenth of the body's size."""
    is_part = np.stack([np.ones(len(SMPLX_144), bool), *(part == _PART for part in range(1, len(_PARTS)))])
    counts = (known[:, None] & is_part)[..., None]
    has_points = counts.any(axis=2)
    low = np.where(has_points, np.where(counts, points[:, None], np.inf).min(axis=2), 0.0)
    high = np.where(has_points, np.where(counts, points[:, None], -np.inf).max(axis=2), 0.0)
    size = (high - low).max(axis=-1)
    return (low + high) / 2, np.where(size > 0, size, size[:, :1] / 10)


def _swap_sides(detector: Detector, found: Floats, confidence: Floats, chance: Chance) -> None:
    swaps = chance.uniform("swap?", len(_LIMBS)) < detector.swap_probability
    for limb, swap in zip(_LIMBS, swaps.T, strict=True):
        order = np.where(limb, MIRRORED_JOINTS, np.arange(len(SMPLX_144)))
        found[swap], confidence[swap] = found[swap][:, order], confidence[swap][:, order]


def _is_seen(name: str) -> npt.NDArray[np.bool_]:
    return np.isin(SMPLX_144, convention(name).names)


def _part_of(name: str, number: int) -> str:
    finger = any(part in name for part in ("index", "middle", "ring", "pinky", "thumb"))
    if finger and name.startswith(("left_", "right_")):
        return name.split("_")[0] + "_hand"
    return "face" if number >= _FIRST_LANDMARK else "body"


def _has(*words: str) -> npt.NDArray[np.bool_]:
    return np.array(
        [any(word in name for word in words) for name in SMPLX_144[:_FIRST_LANDMARK]]
        + [False] * (len(SMPLX_144) - _FIRST_LANDMARK)
    )


_PARTS = ("body", "left_hand", "right_hand", "face")
_FIRST_LANDMARK = SMPLX_144.index("right_eyebrow_1")
_PART = np.array([_PARTS.index(_part_of(name, i)) for i, name in enumerate(SMPLX_144)])
_LIMBS = (
    _has("collar", "shoulder", "elbow", "wrist") | np.isin(_PART, (1, 2)),
    _has("hip", "knee", "ankle", "foot", "toe", "heel"),
)
