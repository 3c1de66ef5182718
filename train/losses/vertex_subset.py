"""A fixed few vertices that stand for the mesh in a loss: spread over each part, dense on hands and face.

All 10475 vertices of every sample, kept for second order, are what fills the memory of a meta step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.bodies.models import BodyModels
from harmonize.errors import RawFileError
from train.losses.parts import NUM_PART_VERTICES
from train.models.prediction import NUM_EXPRESSION

_HANDS = {"left_hand": (20, *range(25, 40)), "right_hand": (21, *range(40, 55))}
_EYEBALLS = (23, 24)
_LEAST_EXPRESSION = 0.05

Ids = npt.NDArray[np.int64]


def vertex_subset(models: BodyModels) -> Ids:
    """Ids (768,) of vertices of neutral SMPL-X, in blocks as `train.losses.parts.VERTEX_PART` says.

    A hand's are those that wrist and fingers move most; the face's those that expressions move (by more than 5 % of the
    most moved); the body's the rest without the eyeballs, whose turns nobody predicts. Each block is chosen by
    farthest-point sampling of the template from the vertex that lies farthest from the part's middle, so that it is the
    same for the same model file.

    Raises:
        MissingBodyModelError: there is no neutral SMPL-X; the message says how to get it.
        RawFileError: the model has a part of fewer vertices than are to be chosen.
    """
    model = models.get("smplx", "neutral")
    template = model.template.numpy().astype(np.float64)
    strongest = model.weights.numpy().argmax(axis=1)
    expression = model.directions.numpy()[:, :, model.num_betas : model.num_betas + NUM_EXPRESSION]
    moved = np.linalg.norm(expression, axis=1).max(axis=1)
    member = {part: np.isin(strongest, joints) for part, joints in _HANDS.items()}
    is_free = ~(member["left_hand"] | member["right_hand"] | np.isin(strongest, _EYEBALLS))
    member["face"] = is_free & (moved > _LEAST_EXPRESSION * moved.max())
    member["body"] = is_free & ~member["face"]
    blocks = []
    for part, count in NUM_PART_VERTICES.items():
        ids = np.flatnonzero(member[part])
        if len(ids) < count:
            raise RawFileError(
                f"{model.path}: expected at least {count} vertices of the {part}, found {len(ids)}",
                fix="use the model file as it was released",
            )
        blocks.append(ids[_farthest_points(template[ids], count)])
    return np.concatenate(blocks)


def _farthest_points(points: npt.NDArray[Any], count: int) -> Ids:
    """Rows (count,) of points (N, 3), each the farthest from those before it; the first of equals is taken."""
    chosen = np.empty(count, np.int64)
    distance = np.full(len(points), np.inf)
    chosen[0] = np.square(points - points.mean(axis=0)).sum(axis=1).argmax()
    for i in range(1, count):
        distance = np.minimum(distance, np.square(points - points[chosen[i - 1]]).sum(axis=1))
        chosen[i] = distance.argmax()
    return chosen
