"""SSP-3D: Sports Shape and Pose 3D.

Citation: Sengupta, Budvytis, Cipolla, Synthetic Training for Accurate 3D Human Pose and Shape Estimation in the Wild,
    BMVC 2020 (arXiv 2009.10013).
Licence: repository MIT; the frames are from Sports-1M videos, whose rights are with the uploaders.
Access: the archive is in the repository akashsengupta1997/SSP-3D; no registration.
Counts: 311 pictures with one person each (README); 62 subjects (recalled, unverified).
Frame: OpenCV camera, parameters are in it already; no turn of half a circle (the repository's renderer turns for
    OpenGL alone).
Units: metres (assumed focal length of 5000 px, hence not metric), radians, pixels of pictures of 512 x 512.
Hands: absent. SMPL has no fingers, and no face is labelled.
Gender: female or male SMPL, one a row. Betas: 10, of the gendered model.
Labels: fit (many frames of a person together, with one shape).
Known defects:
    - Centres of boxes are (row, column), which is y before x.
    - SMPLer-X reads the fits with the neutral model, which moves the joints; the genders count here.
    - The authors meant it for evaluation of body shape; SMPLer-X trains on all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject
from harmonize.keypoints import convention
from harmonize.raw.npz import load_npz, npz_header
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import MalformedRecord, box, concerns_file, pinhole, require_keys, shaped
from harmonize.record import BodyKind, Boxes, Gender, Provenance

SIZE_PX = (512, 512)
FOCAL_PX = 5000.0
_GENDERS: dict[str, Gender] = {"m": "male", "male": "male", "f": "female", "female": "female"}
_SHAPES: dict[str, tuple[int, ...]] = {
    "shapes": (10,),
    "poses": (24, 3),
    "joints2D": (17, 3),
    "cam_trans": (3,),
    "bbox_centres": (2,),
    "bbox_whs": (),
}


class Ssp3d(Reader):
    """One unit: labels.npz is small."""

    name = "ssp3d"
    version = 1
    splits = ("all",)
    forms = ("npz",)
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smpl", "smplx")
    licence: ClassVar[str] = "repository MIT; pictures of their uploaders"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        path = self.require("ssp_3d/labels.npz", "labels.npz")
        header = npz_header(path)
        require_keys(header, ("fnames",), str(path))
        shape, _ = header["fnames"]
        return [Unit(id="labels", files=(str(path.relative_to(self.root)),), num_hint=shape[0] if shape else 0)]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        rows = self._rows(unit.files[0])
        folder = unit.files[0].removesuffix("labels.npz")
        for row, name in enumerate(rows["fnames"]):
            stem = PurePosixPath(name).stem
            sequence = stem.partition("_frame_")[0]
            provenance = Provenance(
                dataset=self.name,
                split=split,
                sequence=sequence,
                frame=stem,
                subject=sequence,
                person="0",
                source_file=unit.files[0],
                source_row=str(row),
                image_path=f"{folder}images/{name}",
                reader=self.name,
                reader_version=str(self.version),
                label_origin="fit",
                licence=self.licence,
            )
            gender = _GENDERS.get(rows["genders"][row].lower())
            if gender is None:
                error = MalformedRecord.of("genders", "m or f", rows["genders"][row])
                yield Reject(reason="malformed", provenance=provenance, detail=str(error))
            else:
                yield _annotation(provenance, rows, row, gender)

    def _rows(self, file: str) -> dict[str, Any]:
        """The arrays, each checked to have one row a person."""
        path = self.root / file
        require_keys(npz_header(path), ("fnames", "genders", *_SHAPES), str(path))
        rows: dict[str, Any] = load_npz(path, keys=["fnames", "genders", *_SHAPES])
        with concerns_file(path):
            for key in ("fnames", "genders"):
                rows[key] = [_word(value) for value in rows[key].ravel()]
            count = len(rows["fnames"])
            if not count or len(rows["genders"]) != count:
                raise MalformedRecord(
                    f"fields fnames and genders: expected one a person, found {count}, {len(rows['genders'])}"
                )
            for key, shape in _SHAPES.items():
                rows[key] = shaped(rows[key], key, count, *shape)
        return rows


def _word(value: Any) -> str:
    """A name or gender, as text or bytes."""
    if isinstance(value, bytes):
        return value.decode("ascii", "replace")
    if not isinstance(value, str):
        raise MalformedRecord.of("fnames, genders", "text", value)
    return str(value)


def _annotation(provenance: Provenance, rows: dict[str, Any], row: int, gender: Gender) -> Annotation:
    side = rows["bbox_whs"][row]
    y, x = rows["bbox_centres"][row] - side / 2
    person_box = box(np.array([x, y, side, side]))
    joints = rows["joints2D"][row]
    points = np.column_stack([joints[:, :2], np.clip(joints[:, 2], 0.0, 1.0)])
    return Annotation(
        provenance=provenance,
        image=ImageSource(path=provenance.image_path, orientation=1),
        camera=pinhole(np.full(2, FOCAL_PX), np.array(SIZE_PX) / 2, is_calibrated=False),
        boxes=Boxes(person_xywh_px=person_box, person_origin="dataset" if person_box[4] else "none"),
        body=RawBody(
            model="smpl",
            gender=gender,
            pose_aa=rows["poses"][row],
            betas=rows["shapes"][row],
            transl_m=rows["cam_trans"][row],
            hands="absent",
            is_transl_metric=False,
        ),
        keypoints2d=(NamedPoints(names=convention("coco_17").names, values=points, origin="detected"),),
        image_size_px=SIZE_PX,
    )
