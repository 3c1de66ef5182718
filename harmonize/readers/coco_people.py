"""COCO-style files: pictures, and people with a box and points, kept in compact form and grouped by picture.

A point is x, y, v. v is 0 (not labelled), 1 (labelled; hidden where the file also knows 2) or 2 (visible). Confidence
is v cut to [0, 1]: a hidden point that an annotator placed counts as labelled, and a 2 weighs no more than a 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, Reject
from harmonize.geometry.boxes import area, clip_to_image
from harmonize.raw.jsons import iter_json_items
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import (
    Floats,
    MalformedRecord,
    box,
    concerns_file,
    flag,
    floats,
    integer,
    label,
    size_px,
    text,
)
from harmonize.record import Array, Boxes, Camera, Provenance

PICTURES_PER_UNIT = 2048

PictureT = TypeVar("PictureT")
PersonT = TypeVar("PersonT")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture; `size_px` (w, h) is None where the file has none."""

    file_name: str
    size_px: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class CocoPerson:
    """One annotation. points (K, 3): x, y px and confidence. xywh_px (4,), None where the annotation has no box."""

    id: int
    is_crowd: bool
    xywh_px: Array | None
    points: Array

    @property
    def has_points(self) -> bool:
        return bool((self.points[:, 2] > 0).any())


@dataclass(frozen=True, slots=True)
class Malformed:
    """An annotation that could not be parsed, and why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class CocoFile(Generic[PictureT, PersonT]):
    """One file: pictures by id, and the people of each picture id in file order."""

    pictures: dict[int, PictureT]
    people: dict[int, list[PersonT | Malformed]]

    def units(self, files: tuple[str, ...]) -> list[Unit]:
        """Runs of picture ids, each a unit that reads `files`."""
        ids = sorted(self.people)
        runs = [ids[first : first + PICTURES_PER_UNIT] for first in range(0, len(ids), PICTURES_PER_UNIT)]
        return [
            Unit(id=f"images-{part:04d}", files=files, num_hint=sum(len(self.people[image_id]) for image_id in run))
            for part, run in enumerate(runs)
        ]

    def people_of(self, unit: Unit) -> Iterator[tuple[int, PersonT | Malformed]]:
        """(picture id, person) of a unit, in order."""
        first = int(unit.id.removeprefix("images-")) * PICTURES_PER_UNIT
        for image_id in sorted(self.people)[first : first + PICTURES_PER_UNIT]:
            for person in self.people[image_id]:
                yield image_id, person


def read_grouped(
    path: Path, picture: Callable[[Any], PictureT], person: Callable[[Any], PersonT], *, may_be_empty: bool = False
) -> CocoFile[PictureT, PersonT]:
    """Parse a file, streamed, with the given parsers of an image and of an annotation.

    may_be_empty: pictures without any people are no sign of damage, as in a sequence of which no frame is labelled.

    Raises:
        RawFileError: the file is missing or no JSON, a picture is malformed, a person names no picture id, or there
            are no people. What else is malformed about a person concerns that person alone.
    """
    pictures: dict[int, PictureT] = {}
    people: dict[int, list[PersonT | Malformed]] = {}
    with concerns_file(path):
        for image in iter_json_items(path, "images.item"):
            pictures[integer(image, "id")] = picture(image)
        for annotation in iter_json_items(path, "annotations.item"):
            group = people.setdefault(integer(annotation, "image_id"), [])
            try:
                group.append(person(annotation))
            except MalformedRecord as error:
                group.append(Malformed(label(annotation, "id"), str(error)))
        if not (people or (may_be_empty and pictures)):
            raise MalformedRecord("field 'annotations': expected people, found none")
    return CocoFile(pictures, people)


def read_coco(path: Path, num_points: int, *, may_be_empty: bool = False) -> CocoFile[Picture, CocoPerson]:
    """Parse a file of people with `num_points` points each; see `read_grouped`."""
    parse = partial(coco_person, num_points=num_points)
    return read_grouped(path, coco_picture, parse, may_be_empty=may_be_empty)


def coco_picture(image: Any) -> Picture:
    """Parse an image.

    Raises:
        MalformedRecord: the name is missing, or there is a size that is none.
    """
    has_size = isinstance(image, Mapping) and ("width" in image or "height" in image)
    return Picture(text(image, "file_name"), size_px(image) if has_size else None)


def coco_person(annotation: Any, num_points: int) -> CocoPerson:
    """Parse an annotation; one without `keypoints` has no labelled point.

    Raises:
        MalformedRecord: a field is of another kind or size.
    """
    person_id, is_crowd = integer(annotation, "id"), "iscrowd" in annotation and flag(annotation, "iscrowd")
    points: Floats = np.zeros((num_points, 3))
    if "keypoints" in annotation:
        points = floats(annotation, "keypoints", num_points, 3).copy()
        points[:, 2] = np.clip(points[:, 2], 0.0, 1.0)
    if not np.isfinite(points).all():
        raise MalformedRecord.of("keypoints", "finite numbers", annotation["keypoints"])
    box = floats(annotation, "bbox", 4).astype(np.float32) if "bbox" in annotation else None
    return CocoPerson(id=person_id, is_crowd=is_crowd, xywh_px=box, points=points.astype(np.float32))


def coco_annotation(
    person: CocoPerson | Malformed,
    picture: Picture | None,
    provenance: Provenance,
    names: tuple[str, ...],
    *,
    has_fit: bool = False,
) -> Annotation | Reject:
    """A person with the points called `names` and no body, or why there is none: malformed, a crowd, neither labelled
    points nor a fit, or a box without area in the picture. The picture is `provenance.image_path`, EXIF ignored."""
    if isinstance(person, Malformed):
        return Reject(reason="malformed", provenance=provenance, detail=person.why)
    if picture is None:
        return Reject(reason="malformed", provenance=provenance, detail="its image_id is not in `images`")
    if person.is_crowd:
        return Reject(reason="crowd", provenance=provenance)
    if not person.has_points and not has_fit:
        return Reject(reason="no-keypoints", provenance=provenance)
    if person.xywh_px is not None:
        inside = person.xywh_px if picture.size_px is None else clip_to_image(person.xywh_px, picture.size_px)
        if area(inside) <= 0:
            numbers = dict(zip("xywh", map(float, person.xywh_px), strict=True))
            return Reject(reason="empty-box", provenance=provenance, numbers=numbers)
    return Annotation(
        provenance=provenance,
        image=ImageSource(path=provenance.image_path, orientation=1),
        camera=Camera(),
        boxes=Boxes() if person.xywh_px is None else Boxes(person_xywh_px=box(person.xywh_px), person_origin="dataset"),
        body=None,
        keypoints2d=(NamedPoints(names=names, values=person.points, origin="annotated"),),
        image_size_px=picture.size_px,
    )


def existing(reader: Reader, *candidates: str) -> str:
    """The first of the paths relative to the root that exists.

    Raises:
        RawLayoutError: none does; the message lists them.
    """
    return str(reader.require(*candidates).relative_to(reader.root))
