"""Fits of SMPLify-X and its descendants: one pickle a frame, every array with a leading 1, hands as 12 coefficients.

The finger rotations of such a person are the body model's: its mean hand plus a sum of its own first 12 components.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.points import Floats
from harmonize.miniatures.world import Person, model_of, relative_hands_of, rest_pelvis_of

NUM_PCA = 12
_LEFT_HAND_AT = 25
_NUM_POSE_EMBEDDING = 32


def with_pca_hands(rng: np.random.Generator, models: BodyModels, person: Person) -> Person:
    """The SMPL-X person with two different hands out of the first 12 components of the person's model."""
    coefficients = rng.normal(0.0, 0.15, (2, NUM_PCA))
    coefficients[:, 0] = rng.uniform(0.2, 1.6, 2)
    pose = person.pose_aa.copy()
    moves = np.einsum("sn,snk->sk", coefficients, _components(models, person)).reshape(2, 15, 3)
    mean = person.hands_aa() - relative_hands_of(models, person)
    pose[_LEFT_HAND_AT : _LEFT_HAND_AT + 30] = (mean + moves).reshape(30, 3)
    return replace(person, pose_aa=pose)


def hand_coefficients(models: BodyModels, person: Person) -> Floats:
    """(2, 12), left and right, of hands that `with_pca_hands` made."""
    hands, components = relative_hands_of(models, person).reshape(2, 45), _components(models, person)
    return np.stack([np.linalg.lstsq(components[side].T, hands[side], rcond=None)[0] for side in range(2)])


def _components(models: BodyModels, person: Person) -> Floats:
    components = model_of(models, person).hand_components
    if components is None:
        raise ValueError(f"{person.kind} has no fingers")
    return np.asarray(components[:, :NUM_PCA], np.float64)


def smplx_fit(models: BodyModels, person: Person, *, has_leftovers: bool = False) -> dict[str, Any]:
    """The pickle's content. Leftovers of the optimisation are a pose embedding and a camera that nobody needs."""
    left, right = hand_coefficients(models, person)
    fit = {
        "betas": person.betas,
        "global_orient": person.pose_aa[0],
        "transl": person.transl_m,
        "body_pose": person.pose_aa[1:22],
        "left_hand_pose": left,
        "right_hand_pose": right,
        "jaw_pose": person.pose_aa[22],
        "leye_pose": person.pose_aa[23],
        "reye_pose": person.pose_aa[24],
        "expression": person.expression,
    }
    if has_leftovers:
        fit |= {"pose_embedding": np.linspace(-1.0, 1.0, _NUM_POSE_EMBEDDING), "camera_translation": np.ones(3)}
    batched = {name: np.asarray(value, np.float32).reshape(1, -1) for name, value in fit.items()}
    return batched | ({"camera_rotation": np.eye(3, dtype=np.float32)[None]} if has_leftovers else {})


def as_smpl(models: BodyModels, person: Person) -> Person:
    """SMPL's fit to an SMPL-X person: same gender, body pose and betas, hands straight, pelvis in the same place."""
    pose = np.concatenate([person.pose_aa[:22], np.zeros((2, 3))])
    smpl = replace(person, kind="smpl", pose_aa=pose, expression=None)
    return replace(smpl, transl_m=person.transl_m + rest_pelvis_of(models, person) - rest_pelvis_of(models, smpl))


def smpl_fit(person: Person) -> dict[str, Any]:
    """The content of the pickle that lies in the SMPL tree of the same release."""
    fit = {
        "transl": person.transl_m,
        "global_orient": person.pose_aa[0],
        "betas": person.betas,
        "body_pose": person.pose_aa[1:],
    }
    return {name: np.asarray(value, np.float32).reshape(1, -1) for name, value in fit.items()}
