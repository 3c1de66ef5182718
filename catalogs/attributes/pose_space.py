"""The space of poses: principal components of the skeletons, clusters, and how unusual a pose is.

Skeletons (`skeleton.joints_m`, 66 numbers in metres, orientation removed) are projected on the store's basis, which is
fitted once to a sample balanced over its datasets and kept with its version (`pose_basis`): values of different shards
and times can be compared as long as the basis is the same, and a shard that changes changes no other.

With c the 16 components of a pose, v their variances and r the mean variance of the directions left out:
    mahalanobis          sqrt(sum c^2 / (v + max(r, 1 mm^2))): distance from the mean pose in standard deviations; r
                         keeps directions that hardly vary from dominating (probabilistic PCA, Tipping & Bishop 1999)
    cluster_distance_m   |c - centre| / sqrt(22): root mean square distance per joint from the cluster's centre
"""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogs.attributes.family import Attribute, Columns, Family, Prepared, Rows, Scope
from catalogs.attributes.kinematics import NUM_BODY
from catalogs.attributes.pose_basis import NUM_COMPONENTS, SKELETON, VALUES, PoseBasis, current_or_fit
from catalogs.attributes.pose_clusters import nearest_centre

MIN_RESIDUAL_M2 = 1e-6


def prepare(scope: Scope) -> Prepared:
    """The store's basis; facts: `basis`, its hash, none where no sample has a skeleton. Fits it when there is none."""
    found = current_or_fit(scope)
    return Prepared(facts={"basis": None}) if found is None else Prepared(value=found[0], facts={"basis": found[1]})


def compute(rows: Rows, basis: PoseBasis | None) -> Columns:
    """Where the poses of a shard lie in the space of the basis; nowhere without one."""
    if basis is None:
        nowhere = np.full(len(rows), np.nan)
        columns: dict[str, Any] = dict.fromkeys(("cluster", "cluster_distance_m", "mahalanobis"), nowhere)
        return {**columns, "components": np.full((len(rows), NUM_COMPONENTS), np.nan)}
    skeletons = rows.of(SKELETON, VALUES)
    unknown = np.isnan(skeletons[:, -1])
    centred = np.where(unknown[:, None], 0, skeletons - basis.mean.astype(np.float32))
    components = centred @ basis.components.T.astype(np.float32)
    centres = basis.centres.astype(np.float32)
    cluster = nearest_centre(components, centres)
    apart = components - centres[cluster]
    spread = (basis.variance_m2 + max(float(basis.residual_m2), MIN_RESIDUAL_M2)).astype(np.float32)
    distance = np.sqrt((apart * apart).sum(axis=1) / NUM_BODY)
    unusual = np.sqrt((components * components / spread).sum(axis=1))
    return {
        "components": np.where(unknown[:, None], np.nan, components),
        "cluster": np.ma.masked_array(cluster, unknown),
        "cluster_distance_m": np.where(unknown, np.nan, distance),
        "mahalanobis": np.where(unknown, np.nan, unusual),
    }


FAMILY = Family(
    name="pose_space",
    doc="Principal components of the skeleton, pose cluster, and how unusual the pose is in this store.",
    attributes=(
        Attribute(
            name="components",
            unit="m",
            kind="vector",
            size=NUM_COMPONENTS,
            doc="Principal components of joints_m on the store's basis, strongest first; zeros beyond those it has.",
        ),
        Attribute(name="cluster", unit="", kind="count", doc="Nearest cluster of the basis; 0 was the largest."),
        Attribute(
            name="cluster_distance_m",
            unit="m",
            doc="Root mean square distance per joint from the centre of the cluster, in the space of the components.",
        ),
        Attribute(
            name="mahalanobis",
            unit="1",
            doc="Distance from the mean pose in standard deviations of the components, regularised by the mean "
            "variance left out (Tipping & Bishop 1999).",
        ),
    ),
    reads=(),
    compute=compute,
    prepare=prepare,
    follows=(SKELETON,),
)
