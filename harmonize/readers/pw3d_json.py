"""The json files of 3DPW (forms json and neuralannot): one COCO-like file a split, compact and grouped by sequence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody
from harmonize.geometry.boxes import scaled
from harmonize.keypoints import convention
from harmonize.raw.jsons import iter_json_items
from harmonize.readers.fields import (
    MalformedRecord,
    box,
    concerns_file,
    entries,
    field,
    floats,
    integer,
    label,
    numbers,
    pinhole,
    size_px,
    text,
    with_confidence,
)
from harmonize.readers.kept import keep_last
from harmonize.readers.pw3d_parts import detected_points, smpl_gender
from harmonize.record import Boxes, Provenance

BOX_PADDING = 1.2
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


def json_person(
    provenance: Provenance, image: Mapping[str, Any], annotation: Mapping[str, Any], body: RawBody | None
) -> Annotation:
    """A person of the file with the given body: camera, box and points.

    Raises:
        MalformedRecord: one of them is missing or not of its size.
    """
    lens = entries(image, "cam_param")
    joints = floats(annotation, "joint_cam", 24, 3)
    projected = np.column_stack([floats(annotation, "joint_img", 24, 2), joints[:, 2] > 0])
    person_box = scaled(box(floats(annotation, "bbox", 4)), 1 / BOX_PADDING)
    names = convention("smpl_24").names
    return Annotation(
        provenance=provenance,
        image=ImageSource(path=provenance.image_path),
        camera=pinhole(floats(lens, "focal", 2), floats(lens, "princpt", 2), is_calibrated=True),
        boxes=Boxes(person_xywh_px=person_box, person_origin="dataset" if person_box[4] else "none"),
        body=body,
        keypoints2d=(
            *detected_points(floats(annotation, "openpose_result", 18, 3)),
            NamedPoints(names=names, values=projected, origin="projected"),
        ),
        keypoints3d=NamedPoints(names=names, values=with_confidence(joints), origin="measured"),
        image_size_px=size_px(image),
    )


def json_body(annotation: Mapping[str, Any]) -> RawBody:
    """The gendered SMPL body of a person; its place is that of the pelvis of `joint_cam`.

    Raises:
        MalformedRecord: a parameter is missing or not of its size.
    """
    smpl = entries(annotation, "smpl_param")
    return RawBody(
        model="smpl",
        gender=smpl_gender(field(smpl, "gender")),
        pose_aa=floats(smpl, "pose", 24, 3),
        betas=floats(smpl, "shape", -1)[:10],
        transl_m=floats(smpl, "trans", 3),
        pelvis_cam_m=floats(annotation, "joint_cam", 24, 3)[0],
        hands="absent",
    )
