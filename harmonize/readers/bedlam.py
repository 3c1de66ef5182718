"""BEDLAM: Bodies Exhibiting Detailed Lifelike Animated Motion.

Citation: Black, Patel, Tesch, Yang, BEDLAM, CVPR 2023 (arXiv 2306.16940).
Licence: BEDLAM licence, non-commercial research.
Access: registration at bedlam.is.tue.mpg.de.
Counts: 29 render jobs in bedlam_scene_names.csv; 951 100 train people after every fifth (SMPLer-X table as recalled,
    unverified).
Frame: OpenCV camera. `pose_cam` is in it already; posed translation = `trans_cam` + `cam_ext[:3, 3]`, no rotation.
Units: metres, radians, pixels of the picture after the rotation of close-ups.
Hands: absolute (the labels were made with flat_hand_mean=True, pixelite1201/BEDLAM data_processing/df_full_body.py).
Gender: neutral SMPL-X, whatever `gender` says (issue 55). Betas: 11.
Labels: synthetic. The expression is not animated, so it is not marked as known.
Known defects:
    - Close-up jobs are stored as 1280x720 landscape but labelled for the picture turned 90 degrees clockwise. Which
      ones is decided by the principal point (360, 640): `20221017_1_250_batch01hand_closeup_suburb_a` has the word in
      its name, but the official label script does not turn it.
    - `cam_ext` has one translation PER PERSON: it is no camera pose, and none is given (issue 43).
    - `gtkps` has a third column of ones from the projection, which the official trainer reads as confidence.
    - Job 20221020-3-8_250_highbmihand_zoom_highSchoolGym_a is spelled with a hyphen or an underscore after the date.
    - Rows are grouped by body, not by picture.
    - `agora-bfh.npz` and `agora-body.npz` beside the jobs hold AGORA people and are left to the agora reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject
from harmonize.errors import RawFileError
from harmonize.geometry.boxes import scaled
from harmonize.keypoints import convention
from harmonize.raw.npz import load_npz, npz_header
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import MalformedRecord, box, concerns_file, numbers, pinhole, require_keys, shaped
from harmonize.record import Boxes, Provenance

BOX_PADDING = 1.2
ROTATED_CENTRE_PX = (360.0, 640.0)
ROTATED_SIZE_PX = (720, 1280)
SIZE_PX = (1280, 720)
TURN_CLOCKWISE = 6  # EXIF code

_SHAPES: dict[str, tuple[int, ...]] = {
    "center": (2,),
    "scale": (),
    "pose_cam": (55, 3),
    "shape": (-1,),
    "trans_cam": (3,),
    "cam_int": (3, 3),
    "cam_ext": (4, 4),
}


class Bedlam(Reader):
    """A unit is the npz of one render job."""

    name = "bedlam"
    version = 1
    splits = ("train",)
    forms = ("npz",)
    licence: ClassVar[str] = "non-commercial research (BEDLAM licence)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        folder = self.require("all_npz_12_training")
        files = [path for path in sorted(folder.glob("*.npz")) if not path.name.startswith("agora-")]
        if not files:
            self.require("all_npz_12_training/<job>_6fps.npz")
        units = []
        for path in files:
            header = npz_header(path)
            require_keys(header, ("imgname",), str(path))
            shape, _ = header["imgname"]
            units.append(
                Unit(id=path.stem, files=(str(path.relative_to(self.root)),), num_hint=shape[0] if shape else 0)
            )
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        rows = self._load(unit)
        pictures = self._picture_folder(unit.id)
        for row, name in enumerate(rows["imgname"]):
            picture = PurePosixPath(str(name))
            provenance = Provenance(
                dataset=self.name,
                split=split,
                sequence=f"{unit.id}/{picture.parent}",
                frame=picture.stem.rpartition("_")[2],
                subject=str(rows["sub"][row]) if "sub" in rows else "",
                person=str(row),
                source_file=unit.files[0],
                source_row=str(row),
                image_path=f"{pictures}/{picture}",
                reader=self.name,
                reader_version=str(self.version),
                label_origin="synthetic",
                licence=self.licence,
            )
            yield _annotation(provenance, rows, row)

    def _load(self, unit: Unit) -> dict[str, Any]:
        """The arrays of a job, each checked to have one row a person."""
        path = self.root / unit.files[0]
        header = npz_header(path)
        require_keys(header, ("imgname", "gtkps", *_SHAPES), str(path))
        if "lh_c" in header:
            raise RawFileError(
                f"{path}: expected BEDLAM labels, found an export in BEDLAM2's layout (it has lh_c)",
                fix="use the npz files of all_npz_12_training.zip",
                file=str(path),
            )
        rows: dict[str, Any] = load_npz(path, keys=[k for k in ("imgname", "gtkps", "sub", *_SHAPES) if k in header])
        with concerns_file(
            path, "use the SMPL-X labels of all_npz_12_training.zip (all_npz_12_smpl_training holds SMPL)"
        ):
            names = rows["imgname"]
            if names.ndim != 1 or not names.size:
                raise MalformedRecord(f"field 'imgname': expected one name a person, found shape {names.shape}")
            if "sub" in rows and rows["sub"].shape != names.shape:
                raise MalformedRecord(f"field 'sub': expected shape {names.shape}, found {rows['sub'].shape}")
            for key, shape in _SHAPES.items():
                rows[key] = shaped(rows[key], key, len(names), *shape)
            points = rows["gtkps"] = numbers(rows["gtkps"], "gtkps")
            if points.ndim != 3 or len(points) != len(names) or points.shape[1] < 127 or points.shape[2] not in (2, 3):
                expected = f"({len(names)}, 127 or more, 2 or 3)"
                raise MalformedRecord(f"field 'gtkps': expected shape {expected}, found {points.shape}")
        return rows

    def _picture_folder(self, job: str) -> str:
        """training_images/<job>/png, in whichever spelling of the job is there."""
        for spelled in (job, job.replace("-", "_", 1), job.replace("_", "-", 1)):
            folder = f"training_images/{spelled}/png"
            if (self.root / folder).is_dir():
                return folder
        return f"training_images/{job}/png"


def _annotation(provenance: Provenance, rows: Mapping[str, Any], row: int) -> Annotation:
    pose, intrinsics = rows["pose_cam"][row], rows["cam_int"][row]
    centre, side = rows["center"][row], 200.0 * rows["scale"][row]
    is_rotated = tuple(np.round(intrinsics[:2, 2])) == ROTATED_CENTRE_PX
    person_box = scaled(box(np.array([*(centre - side / 2), side, side])), 1 / BOX_PADDING)
    points = rows["gtkps"][row, :127, :2]
    return Annotation(
        provenance=provenance,
        image=ImageSource(path=provenance.image_path, orientation=TURN_CLOCKWISE if is_rotated else 1),
        camera=pinhole(intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2], is_calibrated=True),
        boxes=Boxes(person_xywh_px=person_box, person_origin="dataset" if person_box[4] else "none"),
        body=RawBody(
            model="smplx",
            gender="neutral",
            pose_aa=pose,
            betas=rows["shape"][row],
            transl_m=rows["trans_cam"][row] + rows["cam_ext"][row, :3, 3],
            hands="absolute",
            has_left_hand=True,
            has_right_hand=True,
            has_jaw=True,
            has_eyes=True,
        ),
        keypoints2d=(
            NamedPoints(
                names=convention("agora_127").names,
                values=np.column_stack([points, np.ones(127)]),
                origin="projected",
                is_exact=True,
            ),
        ),
        image_size_px=ROTATED_SIZE_PX if is_rotated else SIZE_PX,
    )
