"""The unposed neutral SMPL-X body that the shards of a store were made with, as plain arrays.

A record's body is neutral SMPL-X with 10 betas and 10 expression values. Its rest joints are linear in both (a smile
moves the head's joint by part of a millimetre): the model file's joint regressor applied to template and directions
(Loper et al. 2015, eq. 10; Pavlakos et al. 2019). Torch and the model are loaded when a family is
prepared; workers get the arrays.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes.family import Prepared, Scope

Floats = npt.NDArray[np.floating[Any]]

NUM_BETAS = NUM_EXPRESSION = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RestBody:
    """Metres; x left, y up, z front; 55 joints in SMPL-X's order.

    joints_m (55, 3) of the mean shape with a neutral face; joints_per_beta_m (55, 3, 10) and joints_per_expression_m
    (55, 3, 10): how betas and expression move them; parents (55,) with -1 for the pelvis.
    hand_mean_aa (2, 15, 3): the relaxed hand, left and right, absolute axis-angle in radians.
    """

    joints_m: Floats
    joints_per_beta_m: Floats
    joints_per_expression_m: Floats
    parents: npt.NDArray[np.intp]
    hand_mean_aa: Floats


def rest_body(scope: Scope) -> Prepared:
    """The store's neutral SMPL-X body as a `RestBody`; facts: `body_model`, the hash of its file.

    Raises:
        MissingBodyModelError: the model file is not there; the message says how to get it.
        RawFileError: it is damaged.
    """
    from harmonize.bodies import BodyModels

    models = BodyModels.open(scope.body_models)
    sha256 = models.sha256("smplx", "neutral")
    spec = "standin" if models.is_standin else str(models.root)
    return Prepared(value=_read(spec, sha256), facts={"body_model": sha256})


@functools.lru_cache(maxsize=2)
def _read(spec: str, sha256: str) -> RestBody:
    from harmonize.bodies import BodyModels

    model = BodyModels.open(spec).get("smplx", "neutral")
    regressor, directions = model.regressor.numpy().astype(np.float64), model.directions.numpy().astype(np.float64)
    moved = np.einsum("jv,vcn->jcn", regressor, directions)
    return RestBody(
        joints_m=np.einsum("jv,vc->jc", regressor, model.template.numpy().astype(np.float64)),
        joints_per_beta_m=moved[:, :, :NUM_BETAS],
        joints_per_expression_m=moved[:, :, model.num_betas : model.num_betas + NUM_EXPRESSION],
        parents=np.array(model.parents, np.intp),
        hand_mean_aa=np.asarray(model.hand_mean_aa, np.float64),
    )
