"""Parsed releases with NeuralAnnot fits to multi-view joints (Human3.6M, MPI-INF-3DHP): four json files, compact.

The first is COCO-like, with one person a picture; its images say which sequence, camera and frame they are. Cameras,
joints and fits are dictionaries in dictionaries, whose keys are numbers as text. Joints and `t` are millimetres of the
world, fits are metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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

Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """What differs between the releases.

    sequence: the three fields of an image that name its sequence; the last is the camera. Joints and fits lie under the
    first two and the frame, cameras under the last `camera_depth` of the three.
    """

    sequence: tuple[str, str, str]
    camera_depth: int
    focal: str
    principal_point: str


@dataclass(frozen=True, slots=True)
class Picture:
    """An entry of `images`."""

    file_name: str
    size_px: tuple[int, int]
    sequence: Key
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
class Release:
    """All that the files say. Where a camera, joints or a fit could not be parsed, a str says why."""

    layout: Layout
    rows: dict[Key, list[Row]]
    cameras: dict[Key, WorldCamera | str]
    joints_m: dict[Key, Array | str]
    fits: dict[Key, Array | str]

    def camera(self, sequence: Key) -> WorldCamera | str:
        """The camera of a sequence."""
        key = sequence[3 - self.layout.camera_depth :]
        return self.cameras.get(key, f"camera {'/'.join(map(str, key))}: expected, found none")

    def of_frame(self, row: Row) -> tuple[Array | str | None, Array | str | None]:
        """Joints (17, 3) and fit of the frame that a row shows, None where there are none."""
        key = (*row.picture.sequence[:2], row.picture.frame)
        return self.joints_m.get(key), self.fits.get(key)


def release_reader(layout: Layout, model: BodyKind) -> Callable[..., Release]:
    """A function of the four files (people, cameras, joints, fits) that remembers its last result.

    Its error: RawFileError, where a file is damaged or lacks what all of its people need.
    """
    return keep_last(partial(_release, layout, model))


def _release(layout: Layout, model: BodyKind, people: Path, cameras: Path, joints: Path, fits: Path) -> Release:
    rows: dict[Key, list[Row]] = {}
    with concerns_file(people):
        pictures = {integer(image, "id"): _picture(image, layout) for image in iter_json_items(people, "images.item")}
        for annotation in iter_json_items(people, "annotations.item"):
            row = _row(annotation, field(pictures, integer(annotation, "image_id")))
            rows.setdefault(row.picture.sequence, []).append(row)
        if not rows:
            raise MalformedRecord("field 'annotations': expected people, found none")
    with concerns_file(cameras):
        entries = nested(load_json(cameras), "cameras", layout.camera_depth)
        parsed = {key: _camera(entry, layout) for key, entry in entries}
    return Release(layout, rows, parsed, _frames(joints, world_joints), _frames(fits, partial(world_fit, model=model)))


def _picture(image: Any, layout: Layout) -> Picture:
    sequence = tuple(integer(image, key) for key in layout.sequence)
    if not all(0 <= index <= 99 for index in sequence):
        raise MalformedRecord.of(", ".join(layout.sequence), "0 to 99", sequence)
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


def _camera(entry: Any, layout: Layout) -> WorldCamera | str:
    try:
        return WorldCamera.of(entry, layout.focal, layout.principal_point)
    except MalformedRecord as error:
        return f"camera: {error}"


def _frames(path: Path, parse: Callable[[Any], Array]) -> dict[Key, Array | str]:
    found: dict[Key, Array | str] = {}
    with concerns_file(path):
        for first, entry in iter_json_entries(path, "", has_nan=True):
            for (second, frame), value in nested(entry, first, 2):
                key = (key_number(first), second, frame)
                try:
                    found[key] = parse(value)
                except MalformedRecord as error:
                    found[key] = f"{path.name}: {error}"
        if not found:
            raise MalformedRecord("expected entries by number, found none")
    return found
