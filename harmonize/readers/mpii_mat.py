"""The official annotation file of MPII Human Pose: one struct RELEASE of nested structs.

MATLAB writes a list of one as the thing itself and an empty list as an empty array; most fields may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.raw.mat import load_mat
from harmonize.readers.coco_people import CocoFile, CocoPerson, Malformed, Picture
from harmonize.readers.fields import (
    MalformedRecord,
    concerns_file,
    entries,
    field,
    integer,
    is_listing,
    number,
    shaped,
    text,
)

_NUM_POINTS = 16


def read_release(path: Path) -> CocoFile[Picture, CocoPerson]:
    """The train pictures by their position in `annolist` (from 0), and their people by their position in `annorect`.

    Raises:
        RawFileError: the file is missing, damaged, or has not the fields that all pictures need.
    """
    variables = load_mat(path)
    pictures: dict[int, Picture] = {}
    people: dict[int, list[CocoPerson | Malformed]] = {}
    with concerns_file(path):
        release = entries(variables, "RELEASE")
        images = _listed(field(release, "annolist"), "annolist")
        is_train = shaped(field(release, "img_train"), "img_train", len(images))
        for at, image in enumerate(images):
            if is_train[at]:
                pictures[at] = Picture(text(entries(image, "image"), "name"), None)
                rects = _listed(image.get("annorect", []), "annorect")
                people[at] = [_person(rect, index) for index, rect in enumerate(rects)]
        if not any(people.values()):
            raise MalformedRecord("field 'annolist': expected people with img_train 1, found none")
    return CocoFile(pictures, people)


def _listed(value: Any, name: str) -> list[Any]:
    if isinstance(value, Mapping):
        return [value]
    if is_listing(value):
        return list(value)
    raise MalformedRecord.of(name, "structs", value)


def _person(rect: Any, index: int) -> CocoPerson | Malformed:
    points = np.zeros((_NUM_POINTS, 3), np.float32)
    try:
        listed = rect.get("annopoints", []) if isinstance(rect, Mapping) else []
        if isinstance(listed, Mapping):
            for point in _listed(field(listed, "point"), "point"):
                joint = integer(point, "id")
                if not 0 <= joint < _NUM_POINTS:
                    raise MalformedRecord.of("id", f"0 to {_NUM_POINTS - 1}", joint)
                points[joint] = (number(point, "x") - 1, number(point, "y") - 1, 1)
    except MalformedRecord as error:
        return Malformed(str(index), str(error))
    return CocoPerson(id=index, is_crowd=False, xywh_px=None, points=points)
