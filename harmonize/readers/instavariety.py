"""InstaVariety with NeuralAnnot SMPL fits.

Citation: Kanazawa, Zhang, Felsen, Malik, Learning 3D Human Dynamics from Video, CVPR 2019 (arXiv 1812.01601); Moon et
    al., NeuralAnnot, CVPRW 2022 (arXiv 2011.11232).
Licence: no explicit one found; content of Instagram users, released for research (unverified).
Access: links, tracks and TFRecords by the documentation of akanazawa/human_dynamics; the fits were listed in earlier
    revisions of the README of mks0601/NeuralAnnot_RELEASE.
Counts: 28 272 videos under 92 tags (documentation); lists of 2 000 train and 545 test videos; 2 184 800 train people
    (SMPLer-X table as recalled, unverified).
Frame: OpenCV camera, parameters are in it already. Virtual camera per person, so depth is not metric.
Units: metres (not metric), radians, pixels of the stored crop (224 x 224, moved and scaled at random by its authors).
Hands: absent. SMPL has no fingers, and no face is labelled.
Gender: neutral SMPL. Betas: 10. Rotations of wrists and ankles are marked as unknown.
Labels: neuralannot; tracks of OpenPose points, noisy (points of bystanders, mkocabas/VIBE issue 116).
Forms: `neuralannot` (a joblib table and SMPL fits, default), `tfrecord` (the authors' tubes), `vibe` (VIBE's HDF5
    of the same), `tracks` (per-frame OpenPose of the raw videos). tfrecord and tracks also have a test split.
Known defects:
    - The key of the 2D points in the joblib table is not documented: the column of shape (N, 25, 2 or 3) is taken.
    - `img_shape` is (height, width).
    - Tubes hold rows of x, then of y: (N, 2, 14) and not (N, 14, 2); see `instavariety_files`.
    - VIBE's names of videos are paths of the machine that wrote them: the TFRecord is found by its own name.
    - Videos vanish: listed ones without tracks are passed over, and tracks of videos that are not listed are not read.
    - The raw tracks count frames from 0, the names of their pictures from 1: the stored name is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

from harmonize.annotation import Annotation, ImageSource, NamedPoints, Reject
from harmonize.errors import RawFileError
from harmonize.raw.guard import one_error
from harmonize.raw.hdf5_tree import open_hdf5
from harmonize.raw.jsons import load_json
from harmonize.raw.paths import checked_size
from harmonize.raw.tfrecords import example, records
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import (
    FIX,
    MalformedRecord,
    box,
    concerns_file,
    integer,
    shaped,
    size_px,
    text,
)
from harmonize.readers.instavariety_files import (
    CROP_PX,
    Table,
    named_points,
    table,
    tfrecord_member,
    track_points,
    tube,
)
from harmonize.readers.neuralannot import fit_body, fit_camera
from harmonize.record import BodyKind, Boxes, Camera, Provenance

ROWS_PER_UNIT = 16384
MAX_TEXT_BYTES = 1 << 22
TRACKS = "InstaVariety_tracks"
_PEOPLE, _FITS = "annotations/insta_train_db.pt", "annotations/InstaVariety_train_SMPL_NeuralAnnot.json"


class Instavariety(Reader):
    """A unit is a run of rows, a TFRecord, or the tracks of a video. Table and fits are parsed once a process."""

    name = "instavariety"
    version = 1
    splits = ("train",)
    forms = ("neuralannot", "tfrecord", "vibe", "tracks")
    form_splits: ClassVar = {"tfrecord": ("train", "test"), "tracks": ("train", "test")}
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smpl", "smplx")
    licence: ClassVar[str] = "content of Instagram users (no explicit licence found)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        make = {
            "neuralannot": self._table_units,
            "tfrecord": self._tfrecord_units,
            "vibe": self._vibe_units,
            "tracks": self._track_units,
        }
        return make[self.form](split)

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        people = {
            "neuralannot": self._table,
            "tfrecord": self._tfrecord,
            "vibe": self._vibe,
            "tracks": self._tracks,
        }
        yield from people[self.form](split, unit)

    def _provenance(
        self, split: str, sequence: str, frame: str, image: ImageSource, source: tuple[str, str], **more: str
    ) -> Provenance:
        return Provenance(
            dataset=self.name,
            split=split,
            sequence=sequence,
            frame=frame,
            source_file=source[0],
            source_row=source[1],
            image_path=image.name,
            reader=self.name,
            reader_version=str(self.version),
            licence=self.licence,
            **({"person": "0"} | more),
        )

    # The joblib table with NeuralAnnot fits.

    def _table_units(self, split: str) -> list[Unit]:
        people = self.require(_PEOPLE, f"data/{_PEOPLE}")
        files = tuple(f"{'' if people == self.root / _PEOPLE else 'data/'}{name}" for name in (_PEOPLE, _FITS))
        self.require(files[1])
        count = len(table(*(self.root / file for file in files)).ids)
        return _row_units(files, count)

    def _table(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        rows = table(*(self.root / file for file in unit.files))
        folder = unit.files[0].removesuffix(_PEOPLE) + "images/"
        for row in _rows_of(unit, len(rows.ids)):
            path = PurePosixPath(rows.names[row])
            image = ImageSource(path=f"{folder}{path}", orientation=1)
            origin = "neuralannot" if rows.has_fit[row] else ""
            sequence = "" if str(path.parent) == "." else str(path.parent)
            provenance = self._provenance(
                split,
                sequence,
                path.stem,
                image,
                (unit.files[0], str(row)),
                person=rows.ids[row],
                label_origin=origin,
            )
            yield _table_person(provenance, image, rows, row)

    # Tubes of HMMR.

    def _tfrecord_units(self, split: str) -> list[Unit]:
        folder = self.require(f"insta_variety/{split}", split)
        files = sorted(folder.glob("*.tfrecord"))
        if not files:
            self.require(f"{folder.relative_to(self.root)}/<name>.tfrecord")
        return [Unit(id=file.stem, files=(str(file.relative_to(self.root)),)) for file in files]

    def _tfrecord(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        file = unit.files[0]
        for number, record in enumerate(records(self.root / file)):
            content = example(self.root / file, record)
            with concerns_file(self.root / file):
                one = tube(content)
            for frame, points in enumerate(one.points):
                image = ImageSource(path=file, member=f"{number}/{frame}", orientation=1)
                source = (file, f"record={number} frame={frame}")
                provenance = self._provenance(split, f"{unit.id}/{number}", str(frame), image, source)
                width, height = one.sizes_px[frame]
                yield _points_alone(provenance, image, named_points(points), {"width": width, "height": height})

    # VIBE's HDF5.

    def _vibe_units(self, split: str) -> list[Unit]:
        path = self.require("insta_train_db.h5", "annotations/insta_train_db.h5")
        with open_hdf5(path) as tree:
            shape = tree.shape("joints2D")
        with concerns_file(path):
            if shape is None or len(shape) != 3 or shape[1:] != (25, 3) or not shape[0]:
                raise MalformedRecord.of("joints2D", "a dataset (N, 25, 3)", shape)
        return _row_units((str(path.relative_to(self.root)),), shape[0])

    def _vibe(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        path = self.root / unit.files[0]
        first = _rows_of(unit, 1 << 62).start
        with open_hdf5(path) as tree:
            columns = [tree.rows(name, first, ROWS_PER_UNIT) for name in ("vid_name", "frame_id", "joints2D")]
        with concerns_file(path):
            videos, frames, points = columns
            if videos is None or frames is None or points is None:
                raise MalformedRecord.of("vid_name, frame_id, joints2D", "a dataset of each", columns)
            count = len(points)
            if videos.dtype.kind != "S" or videos.shape != (count,):
                raise MalformedRecord.of("vid_name", f"{count} names", videos)
            numbers_of_frames = shaped(frames, "frame_id", count)
            points = shaped(points, "joints2D", count, 25, 3)
            names = [integer({"frame_id": frame}, "frame_id") for frame in numbers_of_frames]
        for row in range(count):
            video, frame = videos[row].decode("utf-8", "replace"), names[row]
            where = tfrecord_member(video)
            image = ImageSource(path=f"{video}/{frame}", orientation=1)
            if where is not None:
                path_in_root = f"insta_variety/{split}/{where[0]}"
                image = ImageSource(path=path_in_root, member=f"{where[1]}/{frame}", orientation=1)
            source = (unit.files[0], str(first + row))
            provenance = self._provenance(split, video, str(frame), image, source)
            size = {"width": CROP_PX, "height": CROP_PX}
            yield _points_alone(provenance, image, named_points(points[row]), size)

    # Raw tracks.

    def _track_units(self, split: str) -> list[Unit]:
        self.require(TRACKS)
        name = f"insta_variety_{split}.txt"
        path = self.require(name, f"{TRACKS}/{name}")
        file = str(path.relative_to(self.root))
        units = []
        for video in _videos(path):
            tracks = [str(one.relative_to(self.root)) for one in sorted((self.root / TRACKS / video).glob("*/*.json"))]
            if tracks:
                units.append(Unit(id=video, files=(file, *tracks), num_hint=len(tracks)))
        if not units:
            raise RawFileError(
                f"{path}: expected videos with tracks in {TRACKS}, found none of the listed ones there",
                fix="extract the tracks",
                file=file,
            )
        return units

    def _tracks(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        for file in unit.files[1:]:
            path = PurePosixPath(file)
            sequence = f"{unit.id}/{path.parent.name}"
            record = load_json(self.root / file, max_bytes=MAX_TEXT_BYTES)
            try:
                frame, picture = integer(record, "frame"), text(record, "imloc")
                points, xywh = track_points(record)
            except MalformedRecord as error:
                image = ImageSource(path=f"frames_raw/{unit.id}/{path.stem}")
                provenance = self._provenance(split, sequence, path.stem, image, (file, ""))
                yield Reject(reason="malformed", provenance=provenance, detail=str(error))
                continue
            image = ImageSource(path=f"frames_raw/{unit.id}/{picture}")
            provenance = self._provenance(split, sequence, str(frame), image, (file, ""))
            person_box = box(xywh)
            yield Annotation(
                provenance=provenance,
                image=image,
                camera=Camera(),
                boxes=Boxes(person_xywh_px=person_box, person_origin="dataset" if person_box[4] else "none"),
                body=None,
                keypoints2d=(points,),
            )


def _row_units(files: tuple[str, ...], count: int) -> list[Unit]:
    return [
        Unit(id=f"rows-{part:04d}", files=files, num_hint=min(ROWS_PER_UNIT, count - first))
        for part, first in enumerate(range(0, count, ROWS_PER_UNIT))
    ]


def _rows_of(unit: Unit, count: int) -> range:
    first = int(unit.id.removeprefix("rows-")) * ROWS_PER_UNIT
    return range(first, min(first + ROWS_PER_UNIT, count))


def _table_person(provenance: Provenance, image: ImageSource, rows: Table, row: int) -> Annotation | Reject:
    if row in rows.problems:
        return Reject(reason="malformed", provenance=provenance, detail=rows.problems[row])
    fit = rows.fit(row)
    if fit is None and rows.points is None:
        return Reject(reason="no-fit", provenance=provenance)
    width, height = rows.sizes_px[row]
    try:
        size = size_px({"width": width, "height": height})
    except MalformedRecord as error:
        return Reject(reason="malformed", provenance=provenance, detail=f"img_shape: {error}")
    person_box = box(rows.boxes[row])
    return Annotation(
        provenance=provenance,
        image=image,
        camera=Camera() if fit is None else fit_camera(fit),
        boxes=Boxes(person_xywh_px=person_box, person_origin="dataset" if person_box[4] else "none"),
        body=None if fit is None else fit_body(fit),
        keypoints2d=() if rows.points is None else (named_points(rows.points[row]),),
        image_size_px=size,
    )


def _points_alone(
    provenance: Provenance, image: ImageSource, points: NamedPoints, size: dict[str, float] | dict[str, int]
) -> Annotation | Reject:
    try:
        pixels = size_px(size)
    except MalformedRecord as error:
        return Reject(reason="malformed", provenance=provenance, detail=str(error))
    return Annotation(
        provenance=provenance,
        image=image,
        camera=Camera(),
        boxes=Boxes(),
        body=None,
        keypoints2d=(points,),
        image_size_px=pixels,
    )


def _videos(path: Path) -> list[str]:
    """The lines `tag/video` of a list."""
    checked_size(path, MAX_TEXT_BYTES)
    with one_error(path, "lines of tag/video"):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for line in lines:
        if not re.fullmatch(r"[^/\\\0]+/[^/\\\0]+", line) or ".." in line.split("/") or len(line) > 200:
            raise RawFileError(f"{path}: expected lines of tag/video, found {line[:80]!r}", fix=FIX, file=str(path))
    if not lines:
        raise RawFileError(f"{path}: expected lines of tag/video, found none", fix=FIX, file=str(path))
    return list(dict.fromkeys(lines))
