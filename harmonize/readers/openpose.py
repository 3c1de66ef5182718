"""OpenPose detections: 25 body points, 21 a hand, 70 on the face; several people a picture.

Body points keep the names of detections (`*_openpose`): their hips, neck and pelvis lie centimetres from the model's
joints. The hands' first point, a second opinion on the wrist, is `*_hand_root_openpose`; the pupils are not used.
A point that was not found is 0, 0 with confidence 0, and a part that was not run is an empty list or left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.annotation import NamedPoints
from harmonize.keypoints import convention
from harmonize.raw.jsons import load_json
from harmonize.readers.fields import Floats, MalformedRecord, concerns_file, is_listing, listing, shaped

MAX_FILE_BYTES = 16 << 20
PARTS: Mapping[str, int] = {
    "pose_keypoints_2d": 25,
    "hand_left_keypoints_2d": 21,
    "hand_right_keypoints_2d": 21,
    "face_keypoints_2d": 70,
}
"""Fields of a person in OpenPose's own json, in the order of the names, and their numbers of points."""


@cache
def names() -> tuple[str, ...]:
    """The 137 names, in the order body, left hand, right hand, face."""
    rest = list(convention("openpose_137").names[25:])
    rest[0], rest[21] = "left_hand_root_openpose", "right_hand_root_openpose"
    return (*convention("openpose_25").names, *rest)


def people_of(path: Path) -> list[NamedPoints]:
    """Everybody in a file of OpenPose's own format; people without any point are left out.

    Raises:
        RawFileError: the file is missing, damaged or of another format.
    """
    record = load_json(path, max_bytes=MAX_FILE_BYTES)
    with concerns_file(path):
        found = [points_of(person) for person in listing(record, "people")]
    return [points for points in found if points is not None]


def points_of(person: Any, parts: Mapping[str, int] = PARTS) -> NamedPoints | None:
    """The points of one person; None where nothing was found. `parts` names the fields of another spelling.

    Raises:
        MalformedRecord: a part has another number of points, or the record has none of the parts.
    """
    if not isinstance(person, Mapping) or not any(key in person for key in parts):
        raise MalformedRecord.of("people", f"a record with {', '.join(parts)}", person)
    return detected(np.concatenate([_part(person, key, count) for key, count in parts.items()]), names())


def _part(person: Mapping[str, Any], key: str, count: int) -> Floats:
    value = person.get(key, ())
    return np.zeros((count, 3)) if is_listing(value) and not len(value) else shaped(value, key, count, 3)


def body_points(points: Floats) -> NamedPoints | None:
    """BODY_25 points (25, 3) alone; None where nothing was found."""
    return detected(points, convention("openpose_25").names)


def detected(points: Floats, point_names: tuple[str, ...]) -> NamedPoints | None:
    """Points (K, 3) of a detector under their names; None where nothing was found."""
    if not (points[:, 2] > 0).any():
        return None
    points = np.column_stack([points[:, :2], np.clip(points[:, 2], 0.0, 1.0)])
    return NamedPoints(names=point_names, values=points, origin="detected")


def nearest(people: Sequence[NamedPoints], centre_px: npt.ArrayLike, within_px: float = np.inf) -> NamedPoints | None:
    """The person whose body points, weighted by confidence, lie around `centre_px` (2,); None where nobody is within
    `within_px` of it.

    Others in the picture are detected too, and the file's order says nothing.
    """
    centre = np.asarray(centre_px, np.float64)
    distances = [_distance_px(points.values[:25], centre) for points in people]
    best = int(np.argmin(distances)) if distances else -1
    return people[best] if distances and distances[best] <= within_px else None


def _distance_px(body: Floats, centre: Floats) -> float:
    weights = body[:, 2]
    if not (weights > 0).any():
        return float("inf")
    return float(np.linalg.norm(np.average(body[:, :2], axis=0, weights=weights) - centre))
