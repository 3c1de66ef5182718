"""Label: where the annotation comes from, and how well it agrees with what else the source says of the same person.

    origin              how the body was labelled: capture, multi-view, imu, synthetic, eft, neuralannot or fit
    camera              calibrated, virtual (made up by a fit; its focal length and depth are not real), or none
    is_metric           whether depth and translation are metres of the scene; null where there is no translation
    num_parts           how many of body, left hand, right hand and face (jaw and expression) have parameters
    reprojection_px     median distance of the body's joints to the source's annotated or detected body points, and
    reprojection_share  the same over the diagonal of the person box
    {left_hand,right_hand,face}_reprojection_share   the same for a part, over the diagonal of its points
    exact_px, exact_mm  largest distance to points that were made from this very body: rounding, unless a convention
                        is wrong
    measured_mm         median distance to 3D points that the source measured
    fit_error_mm        mean vertex distance of the neutral SMPL-X body to the source's own mesh, where it was fitted

Distances are those of ingest (`harmonize.evidence`), between the source's own body and its own points. Null where there
is nothing to compare: fewer than four points, no camera, no body.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalogs.attributes.family import Attribute, Columns, Family, Rows

CAMERAS = ("none", "virtual", "calibrated")

_EVIDENCE = {
    "reprojection_px": ("px", "Median distance of body joints to the source's annotated or detected points."),
    "reprojection_share": ("1", "The same over the diagonal of the person box."),
    "left_hand_reprojection_share": ("1", "The same for the left hand, over the diagonal of its points."),
    "right_hand_reprojection_share": ("1", "The same for the right hand, over the diagonal of its points."),
    "face_reprojection_share": ("1", "The same for the face, over the diagonal of its points."),
    "exact_px": ("px", "Largest distance of joints to 2D points that were made from this very body."),
    "exact_mm": ("mm", "Largest distance of joints to 3D points that were made from this very body."),
    "measured_mm": ("mm", "Median distance of joints to 3D points that the source measured."),
}


def _column(name: str) -> str:
    """The index column of a distance."""
    short = name if name in ("reprojection_px", "reprojection_share") else name.replace("_reprojection", "")
    return f"evidence_{short}"


def compute(rows: Rows, prepared: None) -> Columns:
    """Every row by itself."""
    table = rows.table
    origin = table.column("label_origin").combine_chunks()
    has_intrinsics, is_calibrated = rows.array("camera_has_intrinsics"), rows.array("camera_is_calibrated")
    kind = np.where(has_intrinsics, 1 + is_calibrated.astype(np.int8), 0)
    is_fitted = np.asarray(pc.equal(table.column("source_body_conversion"), "fit"))
    has_fit = rows.array("source_body_is_present") & is_fitted
    return {
        "origin": pc.if_else(pc.equal(origin, ""), pa.scalar(None, pa.string()), origin),
        "camera": pa.array(CAMERAS).take(pa.array(kind)),
        "is_metric": np.ma.masked_array(rows.array("body_is_transl_metric"), mask=~rows.array("body_has_transl")),
        "num_parts": _num_parts(rows),
        **{name: rows.array(_column(name)) for name in _EVIDENCE},
        "fit_error_mm": np.where(has_fit, rows.array("source_body_fit_error_mm"), np.nan),
    }


def _num_parts(rows: Rows) -> npt.NDArray[Any]:
    has_face = rows.array("body_has_jaw") & rows.array("body_has_expression")
    parts = (rows.array(f"body_has_{part}") for part in ("body", "left_hand", "right_hand"))
    return np.asarray(np.sum([has_face, *parts], axis=0, dtype=np.int32))


FAMILY = Family(
    name="label",
    doc="Where the annotation comes from, and how well it agrees with what else the source says.",
    attributes=(
        Attribute(
            name="origin",
            unit="",
            kind="text",
            doc="How the body was labelled: capture, multi-view, imu, synthetic, eft, neuralannot, fit.",
        ),
        Attribute(
            name="camera", unit="", kind="text", doc="calibrated, virtual (made up by a fit) or none (no intrinsics)."
        ),
        Attribute(
            name="is_metric",
            unit="",
            kind="flag",
            doc="Whether depth and translation are metres of the scene. Null without a translation.",
        ),
        Attribute(
            name="num_parts",
            unit="",
            kind="count",
            doc="How many of body, left hand, right hand and face (jaw and expression) have parameters.",
        ),
        *(Attribute(name=name, unit=unit, doc=doc) for name, (unit, doc) in _EVIDENCE.items()),
        Attribute(
            name="fit_error_mm",
            unit="mm",
            doc="Mean vertex distance of the neutral SMPL-X body to the source's mesh. Null where nothing was fitted.",
        ),
    ),
    reads=(
        *("label_origin", "camera_has_intrinsics", "camera_is_calibrated", "body_has_transl", "body_is_transl_metric"),
        *("body_has_body", "body_has_left_hand", "body_has_right_hand", "body_has_jaw", "body_has_expression"),
        *("source_body_is_present", "source_body_conversion", "source_body_fit_error_mm"),
        *(_column(name) for name in _EVIDENCE),
    ),
    compute=compute,
)
