"""The environment that a picture looks most like: the nearest class prototype by the cosine of image features.

A statement about looks, by one backbone, with the classes that its prototypes have (`scene_prototypes`): a picture of
something else still gets the nearest one, with little margin. One family for each family of image features.
"""

from __future__ import annotations

import functools

import numpy as np

from catalogs.attributes import scene_prototypes
from catalogs.attributes.family import Attribute, Columns, Family, Prepared, Rows, Scope
from catalogs.attributes.scene_prototypes import Prototypes, unit

TEMPERATURE = 0.05
"""Cosines a twentieth apart differ by a factor e in confidence."""


def family(features: Family) -> Family:
    """The family `scene_<backbone>` that follows a family of image features."""
    return Family(
        name=f"scene_{scene_prototypes.slug_of(features)}",
        doc=f"The environment whose prototype is nearest by {features.name}.",
        attributes=(
            Attribute(
                name="environment",
                unit="",
                kind="text",
                doc="Class of the prototype with the largest cosine to the picture's features. Null without a picture.",
            ),
            Attribute(
                name="environment_confidence",
                unit="1",
                doc=f"Softmax of the cosines to all prototypes, divided by {TEMPERATURE}, at that class. Not a "
                "probability: compare within one set of prototypes.",
            ),
            Attribute(name="margin", unit="1", doc="That cosine less the second largest, 0 to 2."),
        ),
        reads=(),
        follows=(features.name,),
        compute=functools.partial(_compute, features.name),
        prepare=functools.partial(_prepare, features),
    )


def _prepare(features: Family, scope: Scope) -> Prepared:
    prototypes, sha256 = scene_prototypes.current_or_fit(scope, features)
    return Prepared(value=prototypes, facts={"prototypes": sha256, "features": features.name})


def _compute(features: str, rows: Rows, prototypes: Prototypes) -> Columns:
    vectors = rows.of(features, "vector").astype(np.float32)
    unknown = ~(np.linalg.norm(vectors, axis=1) > 0)
    cosines = unit(np.where(unknown[:, None], 0, vectors)) @ prototypes.vectors.T
    best = cosines.argmax(axis=1)
    two = np.partition(cosines, -2, axis=1)[:, -2:]
    confidence = 1 / np.exp((cosines - two[:, 1:]) / TEMPERATURE).sum(axis=1)
    return {
        "environment": np.ma.array(np.array(prototypes.names)[best], mask=unknown),
        "environment_confidence": np.where(unknown, np.nan, confidence),
        "margin": np.where(unknown, np.nan, two[:, 1] - two[:, 0]),
    }
