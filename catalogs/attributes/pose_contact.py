"""A hint of self-contact: how near the hands come to head, trunk, thighs, feet and each other.

Parts are balls and capsules on the skeleton, with the sizes of an average adult: each hand a ball at the palm and one
at the middle finger, the head a ball, each half of the trunk a capsule from hip to collar, thighs, and feet. Distances
are between surfaces, negative where parts overlap; within CONTACT_M counts as contact. It is a hint: bodies are thicker
or thinner than the average, and fingers bend; against meshes distances are right to a few centimetres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes.rest_body import RestBody
from catalogs.attributes.rotations import turned

Floats = npt.NDArray[np.floating[Any]]

CONTACT_M = 0.02

_HEAD, _WRISTS = 15, [20, 21]
_HEAD_CENTRE_M, _HEAD_RADIUS_M = (0.0, 0.05, 0.02), 0.105
_KNUCKLES, _FINGERS = [28, 43], [29, 44]
"""First and second joint of the middle fingers: the palm's ball lies half-way to the one, the fingers' at the other."""
_PALM_RADIUS_M, _FINGERS_RADIUS_M = 0.045, 0.05

_AXES = ([1, 2, 1, 2, 7, 8], [13, 14, 4, 5, 10, 11])
"""Joints at the ends of the capsules: trunk halves, thighs, feet."""
_RADII_M = np.array([0.105, 0.105, 0.085, 0.085, 0.04, 0.04], np.float32)


def hand_distance_m(
    rest: RestBody, places: Floats, turns: Floats, is_placed: npt.NDArray[np.bool_], is_known: npt.NDArray[np.bool_]
) -> Floats:
    """The smallest gap (N,) in metres between a hand and any part whose place is known; NaN where no hand's is.

    places (3, 22, N) and turns (3, 3, 22, N) as `kinematics.forward` makes them; is_placed (22, N); is_known (21, N):
    the joints' own rotations.
    """
    hands = _hand_centres(rest, places, turns)
    hand_known = is_placed[_WRISTS] & is_known[[wrist - 1 for wrist in _WRISTS]]
    radii = np.array([_PALM_RADIUS_M, _FINGERS_RADIUS_M], np.float32)[None, :, None]
    gaps = [
        _to_capsules(hands, places) - radii[:, :, None] - _RADII_M[:, None],
        (_to_head(hands, places, turns) - radii - _HEAD_RADIUS_M)[:, :, None],
    ]
    ends_known = is_placed[_AXES[0]] & is_placed[_AXES[1]]
    head_known = is_placed[_HEAD] & is_known[_HEAD - 1]
    both_known = np.concatenate([ends_known, head_known[None]])[None] & hand_known[:, None]
    nearest = np.concatenate(gaps, axis=2).min(axis=1)
    apart = np.where(both_known, nearest, np.inf).min(axis=(0, 1))
    apart = np.where(hand_known.all(axis=0), np.minimum(apart, _between_hands(hands, radii[0, :, 0])), apart)
    return np.where(np.isfinite(apart), apart, np.nan)


def _hand_centres(rest: RestBody, places: Floats, turns: Floats) -> Floats:
    """(3, 2, 2, N): left and right hand, palm and fingers; hands of the mean shape, fingers straight."""
    wrists = rest.joints_m[_WRISTS]
    offsets = np.stack([(rest.joints_m[_KNUCKLES] - wrists) / 2, rest.joints_m[_FINGERS] - wrists], axis=1)
    offsets = offsets.transpose(2, 0, 1)[..., None].astype(np.float32)
    return places[:, _WRISTS, None] + turned(turns[:, :, _WRISTS, None], offsets)


def _to_capsules(hands: Floats, places: Floats) -> Floats:
    """Distances (2, 2, P, N) from the balls' centres to the axes of the capsules."""
    start, along = places[:, _AXES[0]], places[:, _AXES[1]] - places[:, _AXES[0]]
    apart = hands[:, :, :, None] - start[:, None, None]
    along = along[:, None, None]
    share = (apart * along).sum(axis=0) / np.maximum((along * along).sum(axis=0), 1e-8)
    apart -= np.clip(share, 0, 1) * along
    return np.asarray(np.sqrt((apart * apart).sum(axis=0)))


def _to_head(hands: Floats, places: Floats, turns: Floats) -> Floats:
    """Distances (2, 2, N) from the balls' centres to that of the head."""
    offset = np.array(_HEAD_CENTRE_M, np.float32)[:, None]
    centre = places[:, _HEAD] + turned(turns[:, :, _HEAD], offset)
    apart = hands - centre[:, None, None]
    return np.asarray(np.sqrt((apart * apart).sum(axis=0)))


def _between_hands(hands: Floats, radii: Floats) -> Floats:
    """The smallest gap (N,) between the balls of one hand and those of the other."""
    apart = hands[:, 0, :, None] - hands[:, 1, None, :]
    gaps = np.sqrt((apart * apart).sum(axis=0)) - (radii[:, None] + radii)[:, :, None]
    return np.asarray(gaps.min(axis=(0, 1)))
