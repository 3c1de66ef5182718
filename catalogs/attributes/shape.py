"""Shape: how tall a body is, and how far from the mean.

    stature_m    height of the neutral model's mesh in the rest T-pose with the sample's 10 betas: highest minus lowest
                 y, in metres; the head's top to the soles, without hair and shoes
    betas_norm   Euclidean norm of the 10 betas, which are units of standard deviation of the model's training scans

Both are null where the shape is not known. The stature is that of the body model that the shards were made with: in a
store of stand-in bodies it is the stand-in's, and says nothing of people.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogs.attributes.family import Attribute, Columns, Family, Prepared, Rows, Scope
from catalogs.attributes.stature import Stature


def prepare(scope: Scope) -> Prepared:
    """The extreme vertices of the neutral SMPL-X model.

    Raises:
        MissingBodyModelError: the model is not there.
        RawFileError: its file is damaged.
    """
    from harmonize.bodies import BodyModels

    models = BodyModels.open(scope.body_models)
    model = models.get("smplx", "neutral")
    rest_m, directions_m = model.template.numpy()[:, 1], model.directions.numpy()[:, 1, :10]
    return Prepared(
        value=Stature.from_mesh(rest_m, directions_m), facts={"body_model": models.sha256("smplx", "neutral")}
    )


def compute(rows: Rows, stature: Any) -> Columns:
    """stature: a `Stature` for 10 betas."""
    is_known = rows.array("body_has_betas")
    betas = np.where(is_known[:, None], rows.array("body_betas"), 0).astype(np.float64)
    return {
        "stature_m": np.where(is_known, stature.of(betas), np.nan),
        "betas_norm": np.where(is_known, np.sqrt((betas * betas).sum(axis=1)), np.nan),
    }


FAMILY = Family(
    name="shape",
    doc="How tall a body is, and how far from the mean shape.",
    attributes=(
        Attribute(
            name="stature_m",
            unit="m",
            doc="Height of the neutral mesh in the rest T-pose with the sample's betas, top of the head to the soles; "
            "that of the stand-in where shards were made with it. Null where the shape is unknown.",
        ),
        Attribute(name="betas_norm", unit="1", doc="Euclidean norm of the 10 betas. Null where the shape is unknown."),
    ),
    reads=("body_betas", "body_has_betas"),
    compute=compute,
    prepare=prepare,
)
