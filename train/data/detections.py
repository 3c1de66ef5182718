"""People's 2D points in other projects' files: COCO-WholeBody annotations and results, and OpenPose's folders.

The files are foreign: what is wrong with one person refuses that person, with the reason; what is wrong with the whole
file is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harmonize.errors import RawFileError, UsageError
from harmonize.keypoints import SMPLX_144, convention
from harmonize.raw.jsons import iter_json_items, load_json
from harmonize.raw.paths import checked_size
from harmonize.readers import openpose
from harmonize.readers.fields import (
    Floats,
    MalformedRecord,
    concerns_file,
    field,
    flag,
    floats,
    integer,
    is_listing,
    label,
    listing,
    size_px,
    text,
)

Reason = Literal["malformed", "crowd", "few-points", "projected-points", "no-picture", "outside", "twice"]

OPENPOSE_SUFFIX = "_keypoints.json"

_FARTHEST_PX = 1e6
_MAX_FILE_BYTES = 64 << 30
_PARTS = (
    ("foot_kpts", 6, "foot_valid"),
    ("face_kpts", 68, "face_valid"),
    ("lefthand_kpts", 21, "lefthand_valid"),
    ("righthand_kpts", 21, "righthand_valid"),
)
_NUM_BODY, _NUM_ALL = 17, 133
_OPENPOSE = "_openpose"
_PLACE = {name: at for at, name in enumerate(SMPLX_144)}
_APART = ("left_hip", "right_hip", "neck", "pelvis")
"""A detector's points of these names lie centimetres from the model's joints: no body could meet them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """One person of a file.

    key: the picture's name without its ending, and the person. picture: the name of its file, with or without the
    ending (`has_ending`). size_px: width and height that the points are counted in, None where the file does not say.
    names, points: (K, 3) x, y in pixels of the whole picture, and confidence in [0, 1]."""

    key: str
    picture: str
    has_ending: bool
    person: str
    size_px: tuple[int, int] | None
    names: tuple[str, ...]
    points: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A person who cannot be adapted, and why. detail: for people to read."""

    key: str
    picture: str
    person: str
    reason: Reason
    detail: str


def coco_people(path: Path) -> Iterator[Detected | Refused]:
    """The people of a COCO-WholeBody file, streamed: annotations with `images`, or a list of results.

    Points are `keypoints` (17, or all 133), `foot_kpts`, `face_kpts`, `lefthand_kpts` and `righthand_kpts`; a part that
    is left out was not found. Results name pictures by `image_id`: a number as COCO writes it in file names, or a name.

    Raises:
        RawFileError: the file is missing, no JSON, or of another format.
    """
    if _begins_list(path):
        yield from _results(path)
        return
    pictures: dict[int, tuple[str, tuple[int, int] | None]] = {}
    with concerns_file(path):
        for image in iter_json_items(path, "images.item", has_nan=True):
            has_size = isinstance(image, Mapping) and "width" in image
            pictures[integer(image, "id")] = text(image, "file_name"), size_px(image) if has_size else None
    num = 0
    for num, record in enumerate(iter_json_items(path, "annotations.item", has_nan=True), 1):
        person, picture, of = label(record, "id"), "", None
        try:
            image_id = integer(record, "image_id")
            if image_id not in pictures:
                raise MalformedRecord.of("image_id", "an id of `images`", image_id)
            picture, of = pictures[image_id]
            person = str(integer(record, "id"))
            points = _whole_body(record)
            is_crowd = "iscrowd" in record and flag(record, "iscrowd")
        except MalformedRecord as error:
            yield _refused(picture, person or f"row-{num}", "malformed", str(error))
            continue
        if is_crowd:
            yield _refused(picture, person, "crowd", "the annotation is of a crowd")
            continue
        yield _detected(picture, person, of, convention("coco_wholebody_133").names, points)
    if num == 0:
        raise RawFileError(
            f"{path}: expected COCO-WholeBody `annotations`, or a list of results, found neither", file=str(path)
        )


def openpose_people(folder: Path) -> Iterator[Detected | Refused]:
    """The people of a folder of OpenPose's json files, `<picture's name>_keypoints.json` each, by name.

    Raises:
        UsageError: there is no such file.
    """
    paths = sorted(folder.glob(f"*{OPENPOSE_SUFFIX}"))
    if not paths:
        raise UsageError(
            f"{folder}: expected files NAME{OPENPOSE_SUFFIX}, found none", fix="give the folder of --write_json"
        )
    for path in paths:
        picture = path.name.removesuffix(OPENPOSE_SUFFIX)
        try:
            record = load_json(path, max_bytes=openpose.MAX_FILE_BYTES)
            with concerns_file(path):
                people = listing(record, "people")
        except RawFileError as error:
            yield _refused(picture, "", "malformed", str(error).splitlines()[0], has_ending=False)
            continue
        for number, person in enumerate(people):
            try:
                named = openpose.points_of(person)
                points = np.zeros((1, 3)) if named is None else _finite(np.asarray(named.values, np.float64), "points")
            except MalformedRecord as error:
                yield _refused(picture, str(number), "malformed", str(error), has_ending=False)
                continue
            names = ("nose_openpose",) if named is None else tuple(named.names)
            yield _detected(picture, str(number), None, names, points, has_ending=False)


def is_of_detector(name: str) -> bool:
    """Whether only detectors have a point of this name."""
    return name.endswith(_OPENPOSE)


def to_joints(names: tuple[str, ...], points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Named points (K, 3) as the 144 joints (144, 3) that they can be held against; confidence 0 for the others.

    A detector's points (`*_openpose`) stand for the joint where a body can meet them, but for hips, neck and pelvis;
    where a dataset has a point of its own, that one counts.
    """
    found, values = np.zeros((len(SMPLX_144), 3)), np.asarray(points, np.float64)
    for name, value in zip(names, values, strict=True):
        joint = name.removesuffix(_OPENPOSE)
        if is_of_detector(name) and joint in _PLACE and joint not in _APART:
            found[_PLACE[joint]] = value
    for name, value in zip(names, values, strict=True):
        if name in _PLACE and value[2] > 0:
            found[_PLACE[name]] = value
    return found


def _results(path: Path) -> Iterator[Detected | Refused]:
    seen: Counter[str] = Counter()
    num = 0
    for num, record in enumerate(iter_json_items(path, "item", has_nan=True), 1):
        picture, person = "", f"row-{num}"
        try:
            named = field(record, "image_id")
            picture = named if isinstance(named, str) and named else f"{integer(record, 'image_id'):012d}.jpg"
            person = str(seen[picture])
            seen[picture] += 1
            points = _whole_body(record)
        except MalformedRecord as error:
            yield _refused(picture, person, "malformed", str(error))
            continue
        yield _detected(picture, person, None, convention("coco_wholebody_133").names, points)
    if num == 0:
        raise RawFileError(f"{path}: expected a list of results, found an empty one", file=str(path))


def _whole_body(record: Any) -> Floats:
    """133 points of an annotation or a result; confidence is v or the score, cut to [0, 1]."""
    body = field(record, "keypoints")
    if not is_listing(body):
        raise MalformedRecord.of("keypoints", "a list", body)
    if np.size(np.asarray(body, object)) == 3 * _NUM_ALL:
        points = floats(record, "keypoints", _NUM_ALL, 3)
    else:
        rows = [floats(record, "keypoints", _NUM_BODY, 3)]
        for name, num, valid in _PARTS:
            is_there = record.get(name) is not None and (valid not in record or flag(record, valid))
            rows.append(floats(record, name, num, 3) if is_there else np.zeros((num, 3)))
        points = np.concatenate(rows)
    return _finite(points, "keypoints")


def _finite(points: Floats, name: str) -> Floats:
    """The points with confidence in [0, 1]; places of points that were not found may be anything, even NaN."""
    confidence = points[:, 2]
    is_found = ~(confidence <= 0)
    if not np.isfinite(points[is_found]).all():
        raise MalformedRecord.of(name, "finite numbers", points[is_found][~np.isfinite(points[is_found]).all(1)][0])
    if is_found.any() and np.abs(points[is_found, :2]).max() > _FARTHEST_PX:
        raise MalformedRecord.of(name, f"places within {_FARTHEST_PX} px", np.abs(points[is_found, :2]).max())
    return np.where(is_found[:, None], np.column_stack([points[:, :2], np.clip(confidence, 0.0, 1.0)]), 0.0)


def _detected(
    picture: str,
    person: str,
    size: tuple[int, int] | None,
    names: tuple[str, ...],
    points: Floats,
    *,
    has_ending: bool = True,
) -> Detected:
    key = _key(picture, person, has_ending=has_ending)
    return Detected(
        key=key, picture=picture, has_ending=has_ending, person=person, size_px=size, names=names, points=points
    )


def _refused(picture: str, person: str, reason: Reason, detail: str, *, has_ending: bool = True) -> Refused:
    key = _key(picture, person, has_ending=has_ending)
    return Refused(key=key, picture=picture, person=person, reason=reason, detail=detail)


def _key(picture: str, person: str, *, has_ending: bool) -> str:
    stem = str(PurePosixPath(picture).with_suffix("")) if has_ending and PurePosixPath(picture).name else picture
    return f"{stem}-{person}" if person else stem


def _begins_list(path: Path) -> bool:
    checked_size(path, _MAX_FILE_BYTES)
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"[")
