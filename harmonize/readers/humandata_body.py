"""The body parameters of a HumanData file, of whichever model it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harmonize.annotation import RawBody
from harmonize.readers.fields import MalformedRecord, numbers
from harmonize.record import Array, BodyKind, Gender

MODELS: tuple[BodyKind, ...] = ("smplx", "smpl", "smplh")
"""First present wins, in the order of SMPLer-X's loader."""

MAX_BETAS = 16

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
_NEEDED = ("global_orient", "body_pose", "betas")
_VALID = {"left": "left_hand_valid", "right": "right_hand_valid", "face": "face_valid"}
_NUM_NEUTRAL_BETAS = 10

Part = Literal["left", "right", "face"]


def float32(value: Any, name: str) -> Array:
    """A value as float32; numbers beyond its range become infinite, and are refused like these.

    Raises:
        MalformedRecord: the value is not numeric.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return numbers(value, name).astype(np.float32)


def body_columns(
    model: BodyKind, given: dict[str, Any], num_rows: int, *, may_be_longer: bool = False
) -> dict[str, Array]:
    """The parameters in the dictionary `given` of a model, which is emptied: (N, ...) float32 by name.

    "parts" are the names of the poses that were there; together they are "pose". `may_be_longer`: rows behind the last
    are left away.

    Raises:
        MalformedRecord: a parameter that every body needs is missing, or one has another size.
    """
    shapes: dict[str, tuple[int, ...]] = {key: (count, 3) for key, count in _POSES[model]}
    shapes |= {key: (size,) for key, size in _SIZES} | dict.fromkeys(_VALID.values(), (1,))
    columns = {}
    for key, shape in shapes.items():
        values = None if given.get(key) is None else float32(given.pop(key), f"{model}.{key}")
        if values is None or not values.size:  # UBody's converter writes empty eye poses
            if key in _NEEDED:
                raise MalformedRecord(f"field '{model}.{key}': expected, found none")
            continue
        if may_be_longer and values.ndim > 1:
            values = values[:num_rows]
        try:
            columns[key] = values.reshape(num_rows, *shape)
        except ValueError:
            expected = (num_rows, *shape)
            raise MalformedRecord(f"field '{model}.{key}': expected shape {expected}, found {values.shape}") from None
    if "betas_neutral" in columns and columns["betas_neutral"].shape[1] < _NUM_NEUTRAL_BETAS:
        raise MalformedRecord.of(f"{model}.betas_neutral", "at least 10", columns["betas_neutral"].shape[1])
    if columns["betas"].shape[1] > MAX_BETAS:
        columns["betas"] = columns["betas"][:, :10]
    parts = np.array([key for key, _ in _POSES[model] if key in columns])
    columns["pose"] = np.concatenate(
        [columns.pop(key, np.zeros((num_rows, count, 3), np.float32)) for key, count in _POSES[model]], axis=1
    )
    return columns | {"parts": parts}


def joints_of(model: BodyKind) -> dict[str, slice]:
    """Where each parameter's rotations are in the pose."""
    found, at = {}, 0
    for key, count in _POSES[model]:
        found[key] = slice(at, at + count)
        at += count
    return found


@dataclass(frozen=True, slots=True)
class Bodies:
    """The bodies of all rows, or of some.

    columns: (N, ...) by name, see `body_columns`. has_hands: whether the file has hand poses.
    modelled: parameters that are not zero in every row. valid: (N,) by left, right and face, where the file says it.
    are_hands_flat: whether hand poses already hold the mean hand.
    unknown_joints: whose rotations the source cannot know.
    """

    model: BodyKind
    columns: Mapping[str, Array]
    has_hands: bool
    modelled: frozenset[str]
    valid: Mapping[Part, Array]
    are_hands_flat: bool
    is_transl_metric: bool
    unknown_joints: tuple[str, ...]

    def rows(self, first: int, last: int) -> Bodies:
        """Those of a range of rows."""
        return Bodies(
            model=self.model,
            columns={key: np.asarray(values[first:last]) for key, values in self.columns.items()},
            has_hands=self.has_hands,
            modelled=self.modelled,
            valid={part: values[first:last] for part, values in self.valid.items()},
            are_hands_flat=self.are_hands_flat,
            is_transl_metric=self.is_transl_metric,
            unknown_joints=self.unknown_joints,
        )

    def row(self, row: int, gender: Gender | None) -> RawBody:
        """The body of one person, of the gender that the file says (None: it says none, or not the model's)."""
        c = self.columns
        kid_weight = float(c["betas_extra"][row, 0]) if "betas_extra" in c else 0.0
        betas = c["betas"][row]
        neutral = c["betas_neutral"][row, :_NUM_NEUTRAL_BETAS] if "betas_neutral" in c else None
        if neutral is not None and gender is None:
            # Gendered betas of an unknown gender say nothing; their neutral refit does.
            betas, neutral = c["betas_neutral"][row, :MAX_BETAS], None
        if gender == "female" and kid_weight:
            gender = "neutral"  # AGORA's girls are fitted with the neutral kid model
        return RawBody(
            model=self.model,
            gender=gender or "neutral",
            pose_aa=c["pose"][row],
            betas=betas,
            transl_m=c["transl"][row] if "transl" in c else None,
            hands=("absolute" if self.are_hands_flat else "relative") if self.has_hands else "absent",
            expression=c["expression"][row, :10] if "expression" in c else None,
            kid_weight=kid_weight,
            neutral_betas=None if gender in (None, "neutral") or kid_weight else neutral,
            unknown_joints=self.unknown_joints,
            has_left_hand=self._knows("left_hand_pose", row, "left"),
            has_right_hand=self._knows("right_hand_pose", row, "right"),
            has_jaw=self._knows("jaw_pose", row, "face"),
            has_eyes=self._knows("leye_pose", row) and self._knows("reye_pose", row),
            has_expression=self._knows("expression", row, "face"),
            is_transl_metric=self.is_transl_metric,
        )

    def _knows(self, key: str, row: int, part: Part | None = None) -> bool:
        """Whether a parameter is modelled in this file at all, and valid in this row."""
        return key in self.modelled and (part is None or part not in self.valid or bool(self.valid[part][row]))


def read_bodies(
    model: BodyKind,
    columns: Mapping[str, Array],
    meta_valid: Mapping[Part, Array | None],
    *,
    are_hands_flat: bool,
    is_transl_metric: bool,
    unknown_joints: tuple[str, ...],
) -> Bodies:
    """The bodies of columns of `body_columns`. The model's own flags of valid parts count before those of meta."""
    valid: dict[Part, Array] = {part: rows[:, 0] for part, rows in meta_valid.items() if rows is not None}
    for part, key in _VALID.items():
        if key in columns:
            valid[part] = columns[key][:, 0]  # type: ignore[index]
    modelled = {key for key, at in joints_of(model).items() if np.any(columns["pose"][:, at])}
    modelled |= {key for key in ("expression",) if key in columns and np.any(columns[key])}
    return Bodies(
        model=model,
        columns={key: values for key, values in columns.items() if key not in ("parts", *_VALID.values())},
        has_hands=bool(np.isin(columns["parts"], ("left_hand_pose", "right_hand_pose")).any()),
        modelled=frozenset(modelled),
        valid=valid,
        are_hands_flat=are_hands_flat,
        is_transl_metric=is_transl_metric,
        unknown_joints=unknown_joints,
    )
