"""Articulation of the hands: how far the fingers are from the relaxed hand.

The mean over a hand's 15 finger joints of the angle between the joint's rotation and that of the relaxed hand, in
degrees. The relaxed hand is SMPL-X's mean hand pose, as its model file has it; records hold absolute hands. SMPLest-X
compares datasets by the distance of each hand to a relaxed pose (arXiv 2501.09782, Figure 3). The wrist does not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes.rotations import between_deg, components, quaternions

Floats = npt.NDArray[np.floating[Any]]


def articulation_deg(hand_pose_aa: Floats, relaxed_aa: Floats) -> Floats:
    """Mean angle (N,) in degrees of the finger joints (N, 15, 3) from the relaxed hand (15, 3), radians."""
    relaxed = quaternions(components(relaxed_aa[None].astype(np.float32)))
    return np.asarray(between_deg(quaternions(components(hand_pose_aa)), relaxed).mean(axis=0))
