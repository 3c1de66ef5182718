"""The form neuralannot of 3DPW: NeuralAnnot's SMPL-X fits to the people of the json form, by their annotation ids.

An entry is flat: `root_pose` 3, `body_pose` 63, `shape` 10, `trans` 3 (mks0601/NeuralAnnot_RELEASE 3DPW/demo_smplx.py).
Neutral SMPL-X without hands and face, in metres of the camera frame; the camera is that of the json form's image, a
calibrated one, so depth is metric.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harmonize.annotation import RawBody
from harmonize.raw.jsons import iter_json_entries
from harmonize.readers.fields import MalformedRecord
from harmonize.readers.kept import keep_last
from harmonize.readers.neuralannot import BodyFit, body_fit_alone, fit_body


@keep_last
def pw3d_fits(path: Path) -> dict[str, BodyFit | str]:
    """The fits of a split by annotation id; where one could not be parsed, a str says why.

    Raises:
        RawFileError: the file is missing or no JSON.
    """
    fits: dict[str, BodyFit | str] = {}
    for person_id, entry in iter_json_entries(path, "", has_nan=True):
        try:
            fits[person_id] = body_fit_alone(entry, "smplx")
        except MalformedRecord as error:
            fits[person_id] = f"{path.name}: {error}"
    return fits


def pw3d_body(fit: BodyFit | str | None) -> RawBody | None:
    """The body of a fit; None where a person has none.

    Raises:
        MalformedRecord: the fit could not be parsed.
    """
    if isinstance(fit, str):
        raise MalformedRecord(fit)
    return None if fit is None else replace(fit_body(fit), is_transl_metric=True)
