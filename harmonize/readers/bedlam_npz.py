"""The form npz of BEDLAM: the processed training labels, one file a render job, one row a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody
from harmonize.errors import RawFileError
from harmonize.geometry.boxes import scaled
from harmonize.keypoints import convention
from harmonize.raw.npz import load_npz, npz_header
from harmonize.readers.fields import MalformedRecord, box, concerns_file, numbers, pinhole, require_keys, shaped
from harmonize.record import Boxes, Provenance

BOX_PADDING = 1.2
TURNED_CENTRE_PX = (360.0, 640.0)
SIZE_PX = (1280, 720)
TURNED_SIZE_PX = (720, 1280)
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


def load_labels(path: Path) -> dict[str, Any]:
    """The arrays of a job, each checked to have one row a person.

    Raises:
        RawFileError: the file is missing, damaged, or in another layout.
    """
    header = npz_header(path)
    require_keys(header, ("imgname", "gtkps", *_SHAPES), str(path))
    if "lh_c" in header:
        raise RawFileError(
            f"{path}: expected BEDLAM labels, found an export in BEDLAM2's layout (it has lh_c)",
            fix="use the npz files of all_npz_12_training.zip",
            file=str(path),
        )
    rows: dict[str, Any] = load_npz(path, keys=[k for k in ("imgname", "gtkps", "sub", *_SHAPES) if k in header])
    with concerns_file(path, "use the SMPL-X labels of all_npz_12_training.zip (all_npz_12_smpl_training holds SMPL)"):
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


def label_annotation(provenance: Provenance, rows: Mapping[str, Any], row: int) -> Annotation:
    """The person of a row of `load_labels`."""
    pose, intrinsics = rows["pose_cam"][row], rows["cam_int"][row]
    centre, side = rows["center"][row], 200.0 * rows["scale"][row]
    is_turned = tuple(np.round(intrinsics[:2, 2])) == TURNED_CENTRE_PX
    person_box = scaled(box(np.array([*(centre - side / 2), side, side])), 1 / BOX_PADDING)
    points = rows["gtkps"][row, :127, :2]
    return Annotation(
        provenance=provenance,
        image=ImageSource(path=provenance.image_path, orientation=TURN_CLOCKWISE if is_turned else 1),
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
        image_size_px=TURNED_SIZE_PX if is_turned else SIZE_PX,
    )
