"""The json form of 3DPW: one COCO-like file a split, kept in compact form and grouped by sequence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harmonize.raw.jsons import iter_json_items
from harmonize.readers.fields import MalformedRecord, concerns_file, field, integer, label, numbers, text
from harmonize.readers.kept import keep_last

Rows = list[tuple[Mapping[str, Any], Mapping[str, Any]]]


@keep_last
def json_sequences(path: Path) -> dict[str, Rows]:
    """(image, annotation) of each sequence, in file order; each image with its number in the sequence as `frame`.

    Raises:
        RawFileError: an image, or the way from a person to its image, is malformed. What else is malformed about a
            person is left as it is: the person alone is rejected for it.
    """
    grouped: dict[str, Rows] = {}
    with concerns_file(path):
        images = {
            integer(image, "id"): {**image, "frame": _frame_number(image)}
            for image in iter_json_items(path, "images.item")
        }
        for annotation in iter_json_items(path, "annotations.item"):
            image = field(images, integer(annotation, "image_id"))
            grouped.setdefault(text(image, "sequence"), []).append((image, _compact(annotation)))
        if not grouped:
            raise MalformedRecord("field 'annotations': expected people, found none")
    return grouped


def _compact(annotation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The annotation without what is not read; long lists as arrays, which take a tenth of the memory."""
    kept = ("id", "person_id", "bbox", "joint_cam", "joint_img", "openpose_result", "smpl_param")
    compact = {key: annotation[key] for key in kept if key in annotation}
    for key in ("joint_cam", "joint_img", "openpose_result"):
        with suppress(MalformedRecord):  # it is said when the person is read
            compact[key] = numbers(field(annotation, key), key)
    return compact


def _frame_number(image: Mapping[str, Any]) -> int:
    """`frame_idx`, else the last number of `file_name`; some editions leave out one, none leaves out both."""
    if "frame_idx" in image:
        return integer(image, "frame_idx")
    name = label(image, "file_name")
    found = re.search(r"(\d{1,9})\D*$", name)
    if found is None:
        raise MalformedRecord.of("frame_idx", "a number, or one in file_name", name)
    return int(found[1])
