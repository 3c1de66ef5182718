"""AGORA's fits: one small pickle a scan, in the scan's own frame, for SMPL-X (gendered) and for SMPL (neutral)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from harmonize.annotation import RawBody, RigidTransform
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.raw.paths import safe_join
from harmonize.raw.pickles import load_pickle
from harmonize.readers.fields import Floats, MalformedRecord, flag, floats, text
from harmonize.record import Gender

SMPLX_FOLDER = "smplx_gt"
NEUTRAL_FOLDER = "smplx_gt_neutral_gender"
SMPL_FOLDER = "smpl_gt"

_SMPLX_POSE = (
    ("global_orient", 1),
    ("body_pose", 21),
    ("jaw_pose", 1),
    ("leye_pose", 1),
    ("reye_pose", 1),
    ("left_hand_pose", 15),
    ("right_hand_pose", 15),
)
_SMPL_NAMES = {"root_pose": "global_orient", "translation": "transl"}
"""The two keys that the tool which made the SMPL fits calls otherwise (get_joints_verts_from_dataframe.py)."""
_GENDERS: dict[str, Gender] = {"male": "male", "female": "female", "neutral": "neutral"}


@dataclass(frozen=True, slots=True)
class Fits:
    """The fits under a raw root, kept: a scan appears in many pictures."""

    root: Path
    kept: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def files(self, *folders: str) -> tuple[str, ...]:
        """All fits of some folders, relative to the root."""
        return tuple(
            str(path.relative_to(self.root))
            for folder in folders
            for path in sorted((self.root / folder).rglob("*.pkl"))
        )

    def get(self, relative: str) -> Mapping[str, Any]:
        """A fit.

        Raises:
            RawLayoutError: it is missing.
            RawFileError: it is damaged, or its path leads out of the root.
        """
        if relative not in self.kept:
            path = safe_join(self.root, relative)
            if not path.is_file():
                folder = PurePosixPath(relative).parts[0]
                raise RawLayoutError(
                    f"agora: expected the fit {relative} under {self.root}, found none",
                    fix=f"extract {folder}.zip completely",
                )
            fit = load_pickle(path)
            if not isinstance(fit, Mapping):
                raise RawFileError(f"{path}: expected a dictionary, found {type(fit).__name__}", file=str(path))
            self.kept[relative] = fit
        return self.kept[relative]


def smplx_body(record: Mapping[str, Any], fits: Fits, to_cam: RigidTransform) -> RawBody:
    """The SMPL-X fit of a person, with the betas of the neutral refit where that is there.

    Raises:
        MalformedRecord: the record or the fit lacks a number, or has one of another kind.
        RawLayoutError, RawFileError: see `Fits.get`.
    """
    inside = _path_inside(record, "gt_path_smplx", SMPLX_FOLDER)
    fit = fits.get(f"{SMPLX_FOLDER}/{inside}")
    gender = _GENDERS.get(text(record, "gender"))
    if gender is None:
        raise MalformedRecord.of("gender", "male, female or neutral", record["gender"])
    is_kid = flag(record, "kid")
    betas, kid_weight = _shape(fit, is_kid)
    neutral_betas = None
    # Children's shape needs the kid template, which ten neutral betas cannot express.
    if not is_kid and (fits.root / NEUTRAL_FOLDER).is_dir():
        neutral_betas = floats(fits.get(f"{NEUTRAL_FOLDER}/{inside}"), "betas", -1)[:10]
        if len(neutral_betas) != 10:
            raise MalformedRecord(f"field 'betas' of the neutral fit: expected 10, found {len(neutral_betas)}")
    has_parts = not inside.parent.name.endswith("_body")
    return RawBody(
        model="smplx",
        gender="neutral" if is_kid and gender == "female" else gender,
        pose_aa=np.concatenate([floats(fit, key, count, 3) for key, count in _SMPLX_POSE]),
        betas=betas,
        transl_m=floats(fit, "transl", 3),
        hands="relative",
        expression=floats(fit, "expression", 10),
        kid_weight=kid_weight,
        to_cam=to_cam,
        neutral_betas=neutral_betas,
        has_left_hand=has_parts,
        has_right_hand=has_parts,
        has_jaw=has_parts,
        has_eyes=has_parts,
        has_expression=has_parts,
    )


def smpl_body(record: Mapping[str, Any], fits: Fits, to_cam: RigidTransform) -> RawBody:
    """The SMPL fit of a person: neutral whatever the gender, children with the kid template of SMPL.

    Raises:
        MalformedRecord, RawLayoutError, RawFileError: see `smplx_body`.
    """
    stored = fits.get(f"{SMPL_FOLDER}/{_path_inside(record, 'gt_path_smpl', SMPL_FOLDER)}")
    fit = {_SMPL_NAMES.get(key, key): value for key, value in stored.items()}
    betas, kid_weight = _shape(fit, flag(record, "kid"))
    return RawBody(
        model="smpl",
        gender="neutral",
        pose_aa=np.concatenate([floats(fit, "global_orient", 1, 3), floats(fit, "body_pose", 23, 3)]),
        betas=betas,
        transl_m=floats(fit, "transl", 3),
        hands="absent",
        kid_weight=kid_weight,
        to_cam=to_cam,
    )


def _shape(fit: Mapping[str, Any], is_kid: bool) -> tuple[Floats, float]:
    """Betas (10,) and the weight of the kid template; an 11th beta of an adult is none."""
    betas = floats(fit, "betas", -1)
    if is_kid and len(betas) != 11:
        raise MalformedRecord(f"field 'betas' of a child: expected 11 with the kid weight, found {len(betas)}")
    return betas[:10], float(betas[10]) if is_kid else 0.0


def _path_inside(record: Mapping[str, Any], key: str, folder: str) -> PurePosixPath:
    """Where a fit lies inside a folder of fits; the frames say `.obj` or `.pkl`."""
    path = PurePosixPath(text(record, key).removeprefix(f"{folder}/"))
    if not path.name:
        raise MalformedRecord.of(key, "the path of a file", record[key])
    return path.with_suffix(".pkl")
