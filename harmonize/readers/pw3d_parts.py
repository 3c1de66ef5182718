"""What 3DPW's pickles and json files share: genders and detections."""

from __future__ import annotations

from typing import Any

import numpy as np

from harmonize.annotation import NamedPoints
from harmonize.keypoints import convention
from harmonize.readers.fields import Floats, MalformedRecord
from harmonize.record import Gender

_GENDERS: dict[str, Gender] = {"m": "male", "male": "male", "f": "female", "female": "female"}


def smpl_gender(value: Any) -> Gender:
    """The SMPL model of a person.

    Raises:
        MalformedRecord: the value says neither m nor f.
    """
    gender = _GENDERS.get(str(value).lower())
    if gender is None:
        raise MalformedRecord.of("gender", "m or f", value)
    return gender


def detected_points(points: Floats) -> tuple[NamedPoints, ...]:
    """OpenPose-18 points (18, 3); nothing where the detector found nobody."""
    if not np.any(points):
        return ()
    points = np.column_stack([points[:, :2], np.clip(points[:, 2], 0.0, 1.0)])
    return (NamedPoints(names=convention("openpose_18").names, values=points, origin="detected"),)
