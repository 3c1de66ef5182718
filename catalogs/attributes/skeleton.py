"""The 3D skeleton: root-relative, in metres, orientation removed.

22 joints of SMPL-X's body (pelvis, then the joints of `body_pose`) in body axes: x to the person's left, y up, z to the
front, the pelvis at the origin. Made from body_pose, betas and expression by forward kinematics of the neutral model;
the mean shape and a neutral face where these are unknown. SMPLer-X compares datasets by such joints (arXiv 2309.17448,
Figure 2d).

A joint's rotation that the source does not know leaves the joints below it without a place. The skeleton is null where
that concerns more than the feet; where it is the feet alone, they are drawn with unbent ankles and `has_feet` is false.
"""

from __future__ import annotations

import numpy as np

from catalogs.attributes.family import Attribute, Columns, Family, Rows
from catalogs.attributes.kinematics import BODY_JOINTS, NUM_BODY, READS, bones, forward, is_placed
from catalogs.attributes.rest_body import RestBody, rest_body
from catalogs.attributes.rotations import components, matrices, quaternions

_FEET = [1 + BODY_JOINTS.index(name) for name in ("left_foot", "right_foot")]


def compute(rows: Rows, rest: RestBody) -> Columns:
    """The skeletons of a shard."""
    has_body, is_known = rows.array("body_has_body"), rows.array("body_known_body_joints").T != 0
    turns = matrices(quaternions(components(rows.array("body_body_pose_aa"))))
    parents = rest.parents.tolist()
    places, _ = forward(parents, turns, bones(rest, rows))
    placed = is_placed(parents, is_known)
    has_feet = placed[_FEET].all(axis=0)
    placed[_FEET] = True
    is_whole = has_body & placed.all(axis=0)
    joints = places.transpose(2, 1, 0).reshape(len(rows), NUM_BODY * 3)
    joints[~is_whole] = np.nan
    return {"joints_m": joints, "has_feet": np.ma.masked_array(has_feet, ~is_whole)}


FAMILY = Family(
    name="skeleton",
    doc="22 body joints, root-relative, orientation removed, of each person's own shape.",
    attributes=(
        Attribute(
            name="joints_m",
            unit="m",
            kind="vector",
            size=NUM_BODY * 3,
            doc="x, y, z of the pelvis and the 21 joints of body_pose: x left, y up, z front; the pelvis is 0. Null "
            "where rotations above any joint but the feet are unknown.",
        ),
        Attribute(
            name="has_feet",
            unit="",
            kind="flag",
            doc="Whether the rotations that place the feet are known; if not, the ankles are drawn unbent.",
        ),
    ),
    reads=("body_body_pose_aa", "body_known_body_joints", "body_has_body", *READS),
    compute=compute,
    prepare=rest_body,
    is_wide=True,
)
