"""Angles of the 21 body joints: how far each is turned, and what knees and elbows bend.

All in degrees. A joint's angle is that of its rotation against the parent, 0..180 whatever the number of turns in its
axis-angle vector. A hinge's flexion is the angle between its bone at rest and after the rotation, without the twist
about the bone (`aa_bend_deg` in catalogs/sql/rotations.sql): shins hang along -y and forearms lie along x in SMPL-X's
rest pose.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes.kinematics import BODY_JOINTS
from catalogs.attributes.rotations import norm

Floats = npt.NDArray[np.floating[Any]]

HINGES = {"left_knee": 1, "right_knee": 1, "left_elbow": 0, "right_elbow": 0}
"""Axis along which the bone below the joint lies at rest."""


def angles_deg(canonical_aa: Floats) -> Floats:
    """Rotation angles (21, N) of canonical axis-angle components (3, 21, N)."""
    return np.asarray(np.degrees(norm(canonical_aa)))


def flexions_deg(quaternion: Floats) -> dict[str, Floats]:
    """Bend (N,) in 0..180 of each hinge, from quaternions (4, 21, N).

    With k the bone's axis, cos = R[k, k] = 1 - 2 (q_i^2 + q_j^2) of the other two axes.
    """
    bends = {}
    for name, axis in HINGES.items():
        w, x, y, z = quaternion[:, BODY_JOINTS.index(name)]
        along, one, other = {0: (x, y, z), 1: (y, x, z)}[axis]
        across = np.sqrt(one * one + other * other)
        bends[name] = np.degrees(2 * np.arctan2(across, np.sqrt(w * w + along * along)))
    return bends
