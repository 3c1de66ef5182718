"""The parsed release of Human3.6M (mks0601) with NeuralAnnot fits: one subject's json files in compact form.

`_data.json` is COCO-like; `_camera.json` is {camera: {R, t, f, c}}; `_joint_3d.json` and the fits are nested
[action][sub-action][frame]. All keys are text. Joints and `t` are millimetres of the world, fits are metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmonize.raw.jsons import iter_json_entries, iter_json_items, load_json
from harmonize.readers.fields import (
    Floats,
    MalformedRecord,
    concerns_file,
    field,
    floats,
    integer,
    label,
    numbers,
    size_px,
    text,
)
from harmonize.readers.kept import keep_last
from harmonize.readers.world_fits import WorldCamera, key_number, nested, world_fit, world_joints
from harmonize.record import Array, BodyKind

Frame = tuple[int, int, int]
"""Action, sub-action, frame."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An entry of `images`; sequence is (action, sub-action, camera)."""

    file_name: str
    size_px: tuple[int, int]
    sequence: tuple[int, int, int]
    frame: int


@dataclass(frozen=True, slots=True)
class Row:
    """A person: the annotation's id and box (x, y, w, h), which of the 17 points are visible; or why there is none."""

    id: str
    picture: Picture
    box_xywh: Floats | None = None
    visible: Floats | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """All that the files say about one subject. Where joints or a fit could not be parsed, a str says why."""

    rows: dict[tuple[int, int, int], list[Row]]
    cameras: dict[int, WorldCamera | str]
    joints_m: dict[Frame, Array | str]
    fits: dict[Frame, Array | str]


@keep_last
def smplx_subject(data: Path, cameras: Path, joints: Path, fits: Path | None = None) -> Subject:
    """One subject with SMPL-X fits.

    Raises:
        RawFileError: a file is damaged, or lacks what all of its people need.
    """
    return _subject(data, cameras, joints, fits, "smplx")


@keep_last
def smpl_subject(data: Path, cameras: Path, joints: Path, fits: Path | None = None) -> Subject:
    """One subject with SMPL fits; raises as `smplx_subject`."""
    return _subject(data, cameras, joints, fits, "smpl")


def _subject(data: Path, cameras: Path, joints: Path, fits: Path | None, model: BodyKind) -> Subject:
    rows: dict[tuple[int, int, int], list[Row]] = {}
    with concerns_file(data):
        pictures = {integer(image, "id"): _picture(image) for image in iter_json_items(data, "images.item")}
        for annotation in iter_json_items(data, "annotations.item"):
            row = _row(annotation, field(pictures, integer(annotation, "image_id")))
            rows.setdefault(row.picture.sequence, []).append(row)
        if not rows:
            raise MalformedRecord("field 'annotations': expected people, found none")
    with concerns_file(cameras):
        lenses = load_json(cameras)
        parsed = {path[0]: _camera(entry) for path, entry in nested(lenses, "cameras", 1)}
    return Subject(
        rows, parsed, _frames(joints, world_joints), _frames(fits, lambda e: world_fit(e, model)) if fits else {}
    )


def _picture(image: Any) -> Picture:
    sequence = (integer(image, "action_idx"), integer(image, "subaction_idx"), integer(image, "cam_idx"))
    if not all(0 <= index <= 99 for index in sequence):
        raise MalformedRecord.of("action_idx, subaction_idx, cam_idx", "0 to 99", sequence)
    return Picture(text(image, "file_name"), size_px(image), sequence, integer(image, "frame_idx"))


def _row(annotation: Any, picture: Picture) -> Row:
    person = label(annotation, "id")
    try:
        visible = None
        if "keypoints_vis" in annotation:
            visible = numbers(annotation["keypoints_vis"], "keypoints_vis").ravel()
            if len(visible) != 17:
                raise MalformedRecord.of("keypoints_vis", "17 values", annotation["keypoints_vis"])
        return Row(person, picture, floats(annotation, "bbox", 4), visible)
    except MalformedRecord as error:
        return Row(person, picture, why=str(error))


def _camera(entry: Any) -> WorldCamera | str:
    try:
        return WorldCamera.of(entry, "f", "c")
    except MalformedRecord as error:
        return f"camera: {error}"


def _frames(path: Path, parse: Any) -> dict[Frame, Array | str]:
    found: dict[Frame, Array | str] = {}
    with concerns_file(path):
        for action, entry in iter_json_entries(path, ""):
            for (subaction, frame), value in nested(entry, action, 2):
                try:
                    found[key_number(action), subaction, frame] = parse(value)
                except MalformedRecord as error:
                    found[key_number(action), subaction, frame] = f"{path.name}: {error}"
        if not found:
            raise MalformedRecord("expected entries for actions, found none")
    return found
