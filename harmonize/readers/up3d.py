"""UP-3D: Unite the People.

Citation: Lassner, Romero, Kiefel, Bogo, Black, Gehler, Unite the People, CVPR 2017 (arXiv 1701.02468).
Licence: research (repository CC BY-NC 4.0); pictures of LSP, LSP-extended and MPII under their own terms.
Access: direct download (up-3d.zip) from the authors' file server.
Counts: 8 515 pictures with one person each: train 5 703, val 1 423, test 1 389, trainval 7 126 (recalled from the
    paper, unverified).
Frame: the model's own, moved to the OpenCV camera by `rt` (axis-angle) and `t`.
Units: metres (assumed focal length, hence not metric), radians, pixels of `_image.png`; the fit's camera is in pixels
    of the crop that was enlarged for fitting.
Hands: absent. SMPL has no fingers, and no face is labelled.
Gender: neutral SMPL. Betas: 10.
Labels: fit (SMPLify on 2D joints and silhouettes, accepted by annotators).
Splits: the lists of the release; trainval holds the people of train and val again.
Known defects:
    - The camera means the crop (`_fit_crop_info.txt`): projecting with the centre of the full picture is the common
      mistake (classner/up issue 1).
    - `rt` is reported to be always zero (issue 11), so mmhuman3d and SMPLer-X leave it out; it is applied here. The
      repository's own script that folds it in negates rotation vectors, and is not followed.
    - Lines of the lists start with a slash that some copies lack; `img[1:-10]` then cuts the first digit.
    - joints.npy holds rows, (3, 14) or (2, 14); in the second all positive points count, as in the authors' script.
    - `_render_light.png` is not opened: the box follows from the joints.
    - `test.txt` is not the LSP test list (namesUPlsp.txt) that papers use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.errors import RawFileError
from harmonize.geometry.rotations import aa_to_rotmat
from harmonize.keypoints import convention
from harmonize.raw.guard import Refused, one_error
from harmonize.raw.npz import load_npy
from harmonize.raw.paths import checked_size
from harmonize.raw.pickles import load_pickle
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import Floats, MalformedRecord, floats, number, numbers, pinhole
from harmonize.record import BodyKind, Boxes, Camera, Provenance

PEOPLE_PER_UNIT = 512
MAX_TEXT_BYTES = 1 << 22
MAX_SMALL_BYTES = 1 << 24
MAX_ASPECT_CHANGE = 1.25
"""Crops were resized alike in both directions, up to rounding of small ones."""

_LINE = re.compile(r"/?(\d{5})_image\.png")


class Up3d(Reader):
    """A unit is a run of ids of a split's list."""

    name = "up3d"
    version = 1
    splits = ("train", "val", "trainval", "test")
    forms = ("pkl",)
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smpl", "smplx")
    licence: ClassVar[str] = "research (repository CC BY-NC 4.0)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        folder, ids = self._ids(split)
        units = []
        for part, first in enumerate(range(0, len(ids), PEOPLE_PER_UNIT)):
            chosen = ids[first : first + PEOPLE_PER_UNIT]
            files = [
                f"{folder}{one}_{kind}"
                for one in chosen
                for kind in ("body.pkl", "joints.npy", "fit_crop_info.txt")
                if (self.root / f"{folder}{one}_{kind}").is_file()
            ]
            units.append(Unit(id=f"ids-{part:04d}", files=(f"{folder}{split}.txt", *files), num_hint=len(chosen)))
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        folder, ids = self._ids(split)
        first = int(unit.id.removeprefix("ids-")) * PEOPLE_PER_UNIT
        for one in ids[first : first + PEOPLE_PER_UNIT]:
            provenance = Provenance(
                dataset=self.name,
                split=split,
                frame=one,
                person="0",
                source_file=f"{folder}{one}_body.pkl",
                image_path=f"{folder}{one}_image.png",
                reader=self.name,
                reader_version=str(self.version),
                label_origin="fit",
                licence=self.licence,
            )
            missing = [
                f"{one}_{kind}"
                for kind in ("body.pkl", "fit_crop_info.txt")
                if not (self.root / f"{folder}{one}_{kind}").is_file()
            ]
            if missing:
                yield Reject(reason="no-fit", provenance=provenance, detail=f"{', '.join(missing)}: not there")
                continue
            try:
                yield self._person(provenance, folder, one)
            except MalformedRecord as error:
                yield Reject(reason="malformed", provenance=provenance, detail=str(error))

    def _ids(self, split: str) -> tuple[str, list[str]]:
        """The folder of the release, `up-3d/` or the root itself, and the ids of a list in its order."""
        path = self.require(f"up-3d/{split}.txt", f"{split}.txt")
        found: dict[str, None] = {}
        for line in _text(path).splitlines():
            match = _LINE.fullmatch(line.strip())
            if match is None and line.strip():
                raise RawFileError(
                    f"{path}: expected lines like /00042_image.png, found {line[:60]!r}",
                    fix="extract up-3d.zip again",
                    file=str(path),
                )
            if match is not None:
                found[match[1]] = None
        if not found:
            raise RawFileError(f"{path}: expected ids, found none", fix="extract up-3d.zip again", file=str(path))
        return "" if path.parent == self.root else "up-3d/", list(found)

    def _person(self, provenance: Provenance, folder: str, one: str) -> Annotation:
        path = self.root / f"{folder}{one}_body.pkl"
        fit = load_pickle(path, max_bytes=MAX_SMALL_BYTES)
        rotation = aa_to_rotmat(floats(fit, "rt", 3))
        joints = self.root / f"{folder}{one}_joints.npy"
        points = _joints(load_npy(joints, max_bytes=MAX_SMALL_BYTES)) if joints.is_file() else None
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path),
            camera=_camera(self.root / f"{folder}{one}_fit_crop_info.txt", number(fit, "f")),
            boxes=Boxes(),
            body=RawBody(
                model="smpl",
                gender="neutral",
                pose_aa=floats(fit, "pose", 24, 3),
                betas=floats(fit, "betas", 10),
                transl_m=floats(fit, "trans", 3),
                hands="absent",
                to_cam=RigidTransform(rotmat=rotation, transl_m=floats(fit, "t", 3)),
                is_transl_metric=False,
            ),
            keypoints2d=() if points is None else (points,),
        )


def _text(path: Path) -> str:
    checked_size(path, MAX_TEXT_BYTES)
    with one_error(path, "a text file"):
        return path.read_text(encoding="ascii")


def _camera(path: Path, focal_px: float) -> Camera:
    """The fit's camera in pixels of the picture: u = u_fit / factor + x0, with the crop's centre as principal point."""
    text = _text(path)
    with one_error(path, "six whole numbers: height and width of the fit, y0 y1 x0 x1 of its source"):
        words = text.split()
        if len(words) != 6 or not all(re.fullmatch(r"-?\d{1,6}(\.0*)?", word) for word in words):
            raise Refused(repr(text[:80]))
        height, width, y0, y1, x0, x1 = (float(word) for word in words)
        if min(height, width, y1 - y0, x1 - x0) <= 0:
            raise Refused(repr(text[:80]))
        factors = (height / (y1 - y0), width / (x1 - x0))
        if max(factors) / min(factors) > MAX_ASPECT_CHANGE:
            raise Refused(f"{text[:80]!r}, which changes the aspect")
    factor = sum(factors) / 2
    centre = np.array([width / (2 * factor) + x0, height / (2 * factor) + y0])
    if not focal_px > 0:
        raise MalformedRecord.of("f", "a positive focal length", focal_px)
    return pinhole(np.full(2, focal_px / factor), centre, is_calibrated=False)


def _joints(values: Floats) -> NamedPoints:
    """14 points of LSP from rows x, y and, where there is a third, validity."""
    rows = numbers(values, "joints")
    if rows.ndim != 2 or rows.shape[0] not in (2, 3) or rows.shape[1] != 14:
        raise MalformedRecord(f"joints: expected shape (3, 14) or (2, 14), found {rows.shape}")
    known = (rows > 0).all(axis=0) if len(rows) == 2 else np.clip(rows[2], 0.0, 1.0)
    return NamedPoints(
        names=convention("lsp_14").names, values=np.column_stack([rows[0], rows[1], known]), origin="annotated"
    )
