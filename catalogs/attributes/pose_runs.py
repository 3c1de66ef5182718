"""Samples that repeat the pose of an earlier frame of the same person: what video adds without adding poses.

A track is one person of one sequence of one split, as the dataset names it; datasets that number people picture by
picture have tracks of one frame, and nothing is said of them. Along a track the first frame represents those after it
until one differs from IT, not from its neighbour, by more than the limits; that one represents what follows. So slow
motion is kept where it has moved, and a standing person counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes.rotations import between_deg, components, quaternions

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseLimits:
    """Two samples have the same pose when no joint is farther apart, and the bodies are turned no further.

    max_joint_mm: the largest of the distances of 22 joints, root-relative, orientation removed. max_turn_deg: angle
    between the global orientations in the camera frame.
    """

    max_joint_mm: float = 30.0
    max_turn_deg: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Which samples repeat which. rows, representatives: (M,) positions; distance_mm, turn_deg: (M,) between them."""

    rows: npt.NDArray[np.intp]
    representatives: npt.NDArray[np.intp]
    distance_mm: Floats
    turn_deg: Floats


def repeats(
    joints_m: Floats,
    global_orient_aa: Floats,
    track: npt.NDArray[np.intp],
    time: npt.NDArray[np.intp],
    limits: PoseLimits,
) -> Repeats:
    """The samples that repeat an earlier one of their track.

    joints_m: (N, 66), NaN where unknown; global_orient_aa: (N, 3) radians; track: (N,) code of the track; time: (N,)
    order inside it. Unknown samples neither repeat nor represent. All tracks advance together, a frame a step.
    """
    known = np.flatnonzero(np.isfinite(joints_m).all(axis=1) & np.isfinite(global_orient_aa).all(axis=1))
    order = known[np.lexsort((known, time[known], track[known]))]
    starts = np.flatnonzero(np.r_[True, np.diff(track[order]) != 0]) if len(order) else np.zeros(0, np.intp)
    lengths = np.diff(np.r_[starts, len(order)])
    by_length = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[by_length], lengths[by_length]
    turns = quaternions(components(global_orient_aa.astype(np.float64)))
    current = order[starts]
    found: list[tuple[Any, Any, Any, Any]] = []
    for step in range(1, int(lengths[0]) if len(lengths) else 0):
        alive = int(np.searchsorted(-lengths, -step, side="left"))  # tracks with more than `step` frames come first
        rows, held = order[starts[:alive] + step], current[:alive]
        distance_mm = _joint_distance_mm(joints_m[rows], joints_m[held])
        turn_deg = between_deg(turns[:, rows], turns[:, held])
        is_same = (distance_mm <= limits.max_joint_mm) & (turn_deg <= limits.max_turn_deg)
        found.append((rows[is_same], held[is_same], distance_mm[is_same], turn_deg[is_same]))
        current[:alive] = np.where(is_same, held, rows)
    if not found:
        nothing = np.zeros(0, np.intp)
        return Repeats(rows=nothing, representatives=nothing, distance_mm=np.zeros(0), turn_deg=np.zeros(0))
    rows, held, distance, turn = (np.concatenate(column) for column in zip(*found, strict=True))
    return Repeats(rows=rows, representatives=held, distance_mm=distance, turn_deg=turn)


def _joint_distance_mm(a: Floats, b: Floats) -> Floats:
    offsets = (a - b).reshape(len(a), -1, 3)
    largest: Floats = 1000 * np.sqrt(np.square(offsets).sum(axis=2).max(axis=1, initial=0))
    return largest
