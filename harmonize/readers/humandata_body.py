"""The body parameters of a HumanData file, of whichever model it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonize.annotation import RawBody
from harmonize.readers.fields import Floats, MalformedRecord, numbers, shaped
from harmonize.record import BodyKind, Gender

MODELS: tuple[BodyKind, ...] = ("smplx", "smpl", "smplh")
"""First present wins, in the order of SMPLer-X's loader."""

_POSES: dict[str, tuple[tuple[str, int], ...]] = {
    "smplx": (
        ("global_orient", 1),
        ("body_pose", 21),
        ("jaw_pose", 1),
        ("leye_pose", 1),
        ("reye_pose", 1),
        ("left_hand_pose", 15),
        ("right_hand_pose", 15),
    ),
    "smplh": (("global_orient", 1), ("body_pose", 21), ("left_hand_pose", 15), ("right_hand_pose", 15)),
    "smpl": (("global_orient", 1), ("body_pose", 23)),
}
_SIZES = (("betas", -1), ("transl", 3), ("expression", -1), ("betas_neutral", -1), ("betas_extra", -1))
_VALID = {"left": "left_hand_valid", "right": "right_hand_valid", "face": "face_valid"}


@dataclass(frozen=True, slots=True)
class Bodies:
    """The bodies of all rows.

    params: (N, ...) by name. modelled: those that are not zero in every row.
    valid: (N,) by left, right and face, where the file says it.
    are_hands_flat: whether hand poses already hold the mean hand.
    """

    model: BodyKind
    params: Mapping[str, Floats]
    modelled: frozenset[str]
    valid: Mapping[str, Floats]
    are_hands_flat: bool

    def row(self, row: int, gender: Gender | None, *, is_transl_metric: bool) -> RawBody:
        """The body of one person, of the gender that the file says."""
        p = self.params
        pose = [p[key][row] if key in p else np.zeros((count, 3)) for key, count in _POSES[self.model]]
        kid_weight = float(p["betas_extra"][row, 0]) if "betas_extra" in p else 0.0
        betas = p["betas"][row]
        neutral = p["betas_neutral"][row, :10] if "betas_neutral" in p else None
        if neutral is not None and gender is None:
            # Gendered betas of an unknown gender say nothing; their neutral refit does.
            betas, neutral = neutral, None
        if gender == "female" and kid_weight:
            gender = "neutral"  # AGORA's girls are fitted with the neutral kid model
        has_hands = "left_hand_pose" in p or "right_hand_pose" in p
        return RawBody(
            model=self.model,
            gender=gender or "neutral",
            pose_aa=np.concatenate(pose),
            betas=betas if len(betas) <= 16 else betas[:10],
            transl_m=p["transl"][row] if "transl" in p else None,
            hands=("absolute" if self.are_hands_flat else "relative") if has_hands else "absent",
            expression=p["expression"][row, :10] if "expression" in p else None,
            kid_weight=kid_weight,
            neutral_betas=None if gender in (None, "neutral") or kid_weight else neutral,
            has_left_hand=self._knows("left_hand_pose", row, "left"),
            has_right_hand=self._knows("right_hand_pose", row, "right"),
            has_jaw=self._knows("jaw_pose", row, "face"),
            has_eyes=self._knows("leye_pose", row) and self._knows("reye_pose", row),
            has_expression=self._knows("expression", row, "face"),
            is_transl_metric=is_transl_metric,
        )

    def _knows(self, key: str, row: int, part: str = "") -> bool:
        """Whether a parameter is modelled in this file at all, and valid in this row."""
        return key in self.modelled and (part not in self.valid or bool(self.valid[part][row]))


def read_bodies(
    model: BodyKind,
    given: Mapping[str, Any],
    num_rows: int,
    meta_valid: Mapping[str, Floats | None],
    *,
    are_hands_flat: bool,
) -> Bodies:
    """The bodies in the dictionary `given` of a model. Its own flags of valid parts count before those of meta.

    Raises:
        MalformedRecord: a parameter that every body needs is missing, or one has another size.
    """
    found = {key: numbers(value, f"{model}.{key}") for key, value in given.items() if key in _wanted(model)}
    found = {key: values for key, values in found.items() if values.size}  # UBody's converter writes empty eye poses
    for key in ("global_orient", "body_pose", "betas"):
        if key not in found:
            raise MalformedRecord(f"field '{model}.{key}': expected, found none")
    shapes: dict[str, tuple[int, ...]] = {key: (count, 3) for key, count in _POSES[model]}
    shapes |= {key: (size,) for key, size in _SIZES}
    params = {
        key: shaped(found[key], f"{model}.{key}", num_rows, *shape) for key, shape in shapes.items() if key in found
    }
    if "betas_neutral" in params and params["betas_neutral"].shape[1] < 10:
        raise MalformedRecord.of(f"{model}.betas_neutral", "at least 10", params["betas_neutral"].shape[1])
    valid = {part: rows[:, 0] for part, rows in meta_valid.items() if rows is not None}
    for part, key in _VALID.items():
        if key in found and found[key].size == num_rows:
            valid[part] = found[key].ravel()
    return Bodies(
        model=model,
        params=params,
        modelled=frozenset(key for key, values in params.items() if np.any(values)),
        valid=valid,
        are_hands_flat=are_hands_flat,
    )


def _wanted(model: BodyKind) -> set[str]:
    return {*dict(_POSES[model]), *dict(_SIZES), *_VALID.values()}
