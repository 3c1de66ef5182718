"""Plausibility of a body pose: which joints leave the normal range of motion, and by how much.

Ranges are the normal ranges of active motion of the American Academy of Orthopaedic Surgeons (Joint Motion: Method of
Measuring and Recording, 1965), as tabled by Norkin & White (Measurement of Joint Motion, appendix); the clavicle's are
those of Levangie & Norkin (Joint Structure and Function, the shoulder complex). Every range is widened by
TOLERANCE_DEG: people vary, goniometers err by 5 degrees and more, and fits put a part of a motion into a neighbouring
joint.

An angle is a component of the joint's rotation vector (angle in [0, 180] degrees times the axis) about the axes of the
rest pose: the clinical angle where the motion is about one axis, and a part of it where motions are combined. Knees and
elbows are hinges: theirs is the signed flexion of the bone in the hinge's plane, negative when over-extended; twist and
sideways bend of a hinge have no clinical range and are not judged. Zero is SMPL-X's rest pose, a T-pose with palms
down; the arm at the side is a shoulder turned by 90 degrees. Motions that several joints share (the spine's three, neck
and head, the forearm's twist) may happen whole in any one of them: what is beyond limits here is beyond doubt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes.kinematics import BODY_JOINTS

Floats = npt.NDArray[np.floating[Any]]

TOLERANCE_DEG = 15.0
ABSURD_DEG = 45.0
"""Beyond limits by this much, a joint counts as not plausible at all."""

_SPINE = ((-25, 80), (-45, 45), (-35, 35))  # extension..flexion, rotation, lateral bend
_NECK = ((-45, 45), (-60, 60), (-45, 45))  # extension..flexion, rotation, lateral bend
_LEFT_LIMITS_DEG: dict[str, tuple[tuple[float, float], ...]] = {
    "hip": ((-120, 30), (-45, 45), (-30, 45)),  # flexion..extension, outward..inward rotation, adduction..abduction
    "ankle": ((-20, 50), (-20, 20), (-35, 15)),  # dorsi..plantar flexion, (no clinical range), inversion..eversion
    "foot": ((-70, 45), (0, 0), (0, 0)),  # extension..flexion of the toes
    "collar": ((-50, 50), (-30, 30), (-15, 45)),  # rotation, protraction..retraction, depression..elevation
    "shoulder": ((-90, 70), (-135, 45), (-120, 90)),  # outward..inward rotation, horizontal flexion..extension, raising
    "wrist": ((-80, 80), (-20, 30), (-80, 70)),  # supination..pronation, radial..ulnar deviation, flexion..extension
}
_HINGE_DEG = {"knee": (-10.0, 135.0), "elbow": (-10.0, 150.0)}  # over-extension..flexion


def _ball_limits() -> tuple[list[int], Floats, Floats]:
    """Joints that are no hinges, and their limits (3, K) with tolerance; the right side mirrors the left."""
    joints, low, high = [], [], []
    for number, name in enumerate(BODY_JOINTS):
        side, _, part = name.rpartition("_")
        if part in _HINGE_DEG:
            continue
        ranges = _SPINE if name.startswith("spine") else _NECK if name in ("neck", "head") else _LEFT_LIMITS_DEG[part]
        if side == "right":
            (x, (y_low, y_high), (z_low, z_high)) = ranges
            ranges = (x, (-y_high, -y_low), (-z_high, -z_low))
        joints.append(number)
        low.append([limits[0] - TOLERANCE_DEG for limits in ranges])
        high.append([limits[1] + TOLERANCE_DEG for limits in ranges])
    return joints, np.array(low, np.float32).T, np.array(high, np.float32).T


_BALLS, _LOW_DEG, _HIGH_DEG = _ball_limits()


def excess_deg(canonical_aa: Floats, turns: Floats) -> Floats:
    """By how many degrees each joint leaves its range (21, N), 0 inside: the worst of its angles.

    canonical_aa (3, 21, N) with angles in [0, pi] radians; turns (3, 3, 21, N) the same as matrices.
    """
    angles = np.degrees(canonical_aa[:, _BALLS])
    beyond = np.maximum(_LOW_DEG[:, :, None] - angles, angles - _HIGH_DEG[:, :, None]).max(axis=0)
    out = np.empty(canonical_aa.shape[1:], canonical_aa.dtype)
    out[_BALLS] = beyond
    for name, flexion in signed_flexions_deg(turns).items():
        low, high = _HINGE_DEG[name.rpartition("_")[2]]
        out[BODY_JOINTS.index(name)] = np.maximum(low - TOLERANCE_DEG - flexion, flexion - high - TOLERANCE_DEG)
    return np.maximum(out, 0, out=out)


def signed_flexions_deg(turns: Floats) -> dict[str, Floats]:
    """Flexion (N,) of each hinge in its plane, in (-180, 180], negative when over-extended; matrices (3, 3, 21, N).

    Shins point along -y and bend backwards, to -z; left forearms along x, right ones along -x, and bend to the front.
    """
    found = {}
    for name, axis, sign in (("left_knee", 1, 1), ("right_knee", 1, 1), ("left_elbow", 0, 1), ("right_elbow", 0, -1)):
        joint = BODY_JOINTS.index(name)
        found[name] = np.degrees(np.arctan2(sign * turns[2, axis, joint], turns[axis, axis, joint]))
    return found


def plausibility(excess: Floats, is_known: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Number of known joints beyond limits (N,), and the mean over them of 1 - excess / ABSURD_DEG, at least 0 (N,).

    1: all known joints are within limits. Both are NaN where no joint is known. excess, is_known (21, N).
    """
    num_known = is_known.sum(axis=0)
    beyond = ((excess > 0) & is_known).sum(axis=0)
    score = np.where(is_known, 1 - np.minimum(excess, ABSURD_DEG) / ABSURD_DEG, 0).sum(axis=0)
    known = np.where(num_known > 0, num_known, np.nan)
    return beyond + 0 * known, score / known
