"""Pose: joint angles, plausibility, self-contact, hands and face.

All angles in degrees, of rotations against the parent joint; the rest pose is SMPL-X's T-pose. A joint whose rotation
the source does not know (`known_body_joints` 0) has null columns and counts in no mean. The definitions, with their
sources, are in `pose_angles` (angles and flexions), `pose_limits` (plausibility), `pose_contact` (self-contact) and
`hands` (articulation). expression_norm is the Euclidean norm of the 10 expression values; jaw_deg the angle of the
jaw's rotation, 0 for a closed mouth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes import hands, pose_angles, pose_contact, pose_limits
from catalogs.attributes.family import Attribute, Columns, Family, Rows
from catalogs.attributes.kinematics import BODY_JOINTS, READS, bones, forward, is_placed
from catalogs.attributes.rest_body import RestBody, rest_body
from catalogs.attributes.rotations import canonical, components, matrices, norm, quaternions


def compute(rows: Rows, rest: RestBody) -> Columns:
    """The poses of a shard."""
    has_body = rows.array("body_has_body")
    is_known = (rows.array("body_known_body_joints").T != 0) & has_body
    pose = components(rows.array("body_body_pose_aa"))
    quaternion, short = quaternions(pose), canonical(pose)
    turns = matrices(quaternion)
    angles = np.where(is_known, pose_angles.angles_deg(short), np.nan)
    columns: dict[str, Any] = {f"{name}_deg": angles[joint] for joint, name in enumerate(BODY_JOINTS)}
    for name, bend in pose_angles.flexions_deg(quaternion).items():
        columns[f"{name}_flexion_deg"] = np.where(is_known[BODY_JOINTS.index(name)], bend, np.nan)
    num_known = is_known.sum(axis=0)
    columns["rest_distance_deg"] = np.nansum(angles, axis=0) / np.where(num_known > 0, num_known, np.nan)
    beyond, score = pose_limits.plausibility(pose_limits.excess_deg(short, turns), is_known)
    columns["num_joints_beyond_limits"], columns["plausibility"] = beyond, score
    columns |= _contact(rows, rest, turns, is_known)
    return columns | _hands_and_face(rows, rest)


def _contact(rows: Rows, rest: RestBody, turns: pose_angles.Floats, is_known: npt.NDArray[np.bool_]) -> dict[str, Any]:
    parents = rest.parents.tolist()
    places, whole = forward(parents, turns, bones(rest, rows))
    distance = pose_contact.hand_distance_m(rest, places, whole, is_placed(parents, is_known), is_known)
    return {
        "self_contact_distance_m": distance,
        "self_contact": np.ma.masked_array(distance < pose_contact.CONTACT_M, np.isnan(distance)),
    }


def _hands_and_face(rows: Rows, rest: RestBody) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for side, relaxed in zip(("left", "right"), rest.hand_mean_aa, strict=True):
        spread = hands.articulation_deg(rows.array(f"body_{side}_hand_pose_aa"), relaxed)
        columns[f"{side}_hand_articulation_deg"] = np.where(rows.array(f"body_has_{side}_hand"), spread, np.nan)
    expression = rows.array("body_expression")
    size = np.sqrt((expression * expression).sum(axis=1))
    columns["expression_norm"] = np.where(rows.array("body_has_expression"), size, np.nan)
    jaw = np.degrees(norm(canonical(components(rows.array("body_jaw_pose_aa")))))
    columns["jaw_deg"] = np.where(rows.array("body_has_jaw"), jaw, np.nan)
    return columns


def _degrees(name: str, doc: str) -> Attribute:
    return Attribute(name=name, unit="deg", doc=doc)


FAMILY = Family(
    name="pose",
    doc="Joint angles, plausibility, self-contact, hands and face.",
    attributes=(
        *(
            _degrees(f"{name}_deg", f"Angle of the rotation of {name} against its parent, 0..180.")
            for name in BODY_JOINTS
        ),
        *(
            _degrees(f"{name}_flexion_deg", f"Bend of the bone below {name}, 0 when straight, without its twist.")
            for name in pose_angles.HINGES
        ),
        _degrees("rest_distance_deg", "Mean angle of the known body joints: distance from the T-pose."),
        Attribute(
            name="num_joints_beyond_limits",
            unit="",
            kind="count",
            doc="Known body joints outside the normal range of motion by more than 15 degrees; ranges of the American "
            "Academy of Orthopaedic Surgeons (1965), see pose_limits.",
        ),
        Attribute(
            name="plausibility",
            unit="1",
            doc="Mean over known body joints of 1 - excess / 45 degrees, at least 0, the excess being that over the "
            "range of motion widened by 15 degrees; 1 when all are within it.",
        ),
        Attribute(
            name="self_contact",
            unit="",
            kind="flag",
            doc="Whether self_contact_distance_m is below 0.02.",
        ),
        Attribute(
            name="self_contact_distance_m",
            unit="m",
            doc="Smallest gap between a hand and head, trunk, thighs, feet or the other hand, as balls and capsules of "
            "an average adult; negative where they overlap; parts whose place is unknown are left out.",
        ),
        *(
            _degrees(
                f"{side}_hand_articulation_deg",
                f"Mean angle of the {side} hand's 15 finger joints from the model's relaxed (mean) hand.",
            )
            for side in ("left", "right")
        ),
        Attribute(name="expression_norm", unit="1", doc="Euclidean norm of the 10 expression values."),
        _degrees("jaw_deg", "Angle of the jaw's rotation; 0 for a closed mouth."),
    ),
    reads=(
        *("body_body_pose_aa", "body_known_body_joints", "body_has_body", *READS),
        *("body_left_hand_pose_aa", "body_right_hand_pose_aa", "body_has_left_hand", "body_has_right_hand"),
        *("body_jaw_pose_aa", "body_has_jaw"),
    ),
    compute=compute,
    prepare=rest_body,
)
