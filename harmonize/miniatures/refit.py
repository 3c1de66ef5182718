"""A gendered body's shape on the neutral model, as some releases ship it beside their own."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.points import Floats
from harmonize.miniatures.world import Person, rest_pelvis_of, vertices_of

_NUM_BETAS = 10


def neutral_refit(models: BodyModels, person: Person) -> Person:
    """The same pose on neutral SMPL-X, betas by least squares on the unposed mesh, pelvis in the same place."""
    rest = replace(person, pose_aa=np.zeros((55, 3)), transl_m=np.zeros(3), expression=np.zeros(10))
    wanted = vertices_of(models, rest) - vertices_of(
        models, replace(rest, gender="neutral", betas=np.zeros(_NUM_BETAS))
    )
    betas = np.linalg.lstsq(_shape_directions(models), (wanted - wanted.mean(0)).ravel(), rcond=None)[0]
    neutral = replace(person, gender="neutral", betas=betas)
    shift = rest_pelvis_of(models, person) - rest_pelvis_of(models, neutral)
    return replace(neutral, transl_m=person.transl_m + shift)


@lru_cache(maxsize=2)
def _shape_directions(models: BodyModels) -> Floats:
    """(3 V, 10): how each beta moves the unposed neutral mesh about its mean vertex."""
    base = Person(
        kind="smplx",
        gender="neutral",
        pose_aa=np.zeros((55, 3)),
        betas=np.zeros(_NUM_BETAS),
        transl_m=np.zeros(3),
        expression=None,
    )
    origin = vertices_of(models, base)
    moves = [vertices_of(models, replace(base, betas=unit)) - origin for unit in np.eye(_NUM_BETAS)]
    return np.stack([(move - move.mean(0)).ravel() for move in moves], 1)
