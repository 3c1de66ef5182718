"""Frames in which something has moved, instead of every n-th: a greedy cover of each recording in time.

A frame is kept when, against every one of the poses kept last, some joint has moved far enough. Replaces fixed strides,
which keep thousands of frames of somebody standing and skip the turn in between.

The rule is that of PosePile (I. Sarandi et al., WACV 2023): 0.1 m and a buffer of 200 poses for EgoBody.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from benchmark.limits import Floats
from benchmark.problem import Problem, Samples
from benchmark.quotas import allowed
from catalogs.selection import Scalar, Selection
from harmonize.errors import UsageError


def motion_frames(
    problem: Problem, *, samples: Mapping[str, Samples], min_move_m: float = 0.1, buffer: int = 200
) -> Selection:
    """Every kept frame counts the same. samples: by source name, values (N, J * 3) root-relative joints in m in the
    order of time, `sequences` saying which recording (and person) each is of.

    Raises:
        UsageError: a source has no rows or no sequences, a parameter is out of range, or the frames kept cannot meet
            the constraints or the budget.
    """
    if not (min_move_m >= 0 and buffer >= 1):
        raise UsageError(f"motion_frames: min_move_m {min_move_m} (0 or more) or buffer {buffer} (1 or more) is wrong")
    rows = allowed(problem, samples, "motion_frames", is_in_time=True)
    chosen: dict[str, list[str]] = {}
    why: dict[str, str] = {}
    residuals: dict[str, Scalar] = {}
    for name, one in rows.items():
        if not one.keys:
            chosen[name], why[name], residuals[f"kept/{name}"] = [], "no frame with 3D joints", 0.0
            continue
        if not one.sequences or one.values.ndim != 2 or one.values.shape[1] % 3:
            raise UsageError(f"motion_frames: {name}: expected joints (N, J * 3) with their sequences")
        joints = np.asarray(one.values, np.float64).reshape(len(one.keys), -1, 3)
        keep: list[str] = []
        names = np.array(one.sequences)
        for sequence in sorted(set(one.sequences)):
            at = np.flatnonzero(names == sequence)
            keep += [one.keys[at[i]] for i in moved(joints[at], min_move_m, buffer)]
        chosen[name] = keep
        why[name] = f"{len(keep)} of {len(one.keys)} frames moved {min_move_m:g} m or more"
        residuals[f"kept/{name}"] = len(keep) / len(one.keys)
    parameters: dict[str, Scalar] = {"min_move_m": min_move_m, "buffer": buffer}
    return problem.select_samples(chosen, method="motion_frames", why=why, parameters=parameters, residuals=residuals)


def moved(joints: Floats, min_move: float, buffer: int) -> list[int]:
    """Positions of the frames (N, J, 3) that are kept; the first always is."""
    ring = np.empty((buffer, *joints.shape[1:]))
    kept: list[int] = []
    for i, pose in enumerate(joints):
        held = ring[: min(len(kept), buffer)]
        far: npt.NDArray[np.floating] = np.square(held - pose).sum(axis=2).max(axis=1)
        if (far >= min_move**2).all():
            ring[len(kept) % buffer] = pose
            kept.append(i)
    return kept
