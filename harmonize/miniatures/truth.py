"""What a miniature's writer knows and its raw files only imply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.record import BodyKind, Gender

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TruePerson:
    """One annotated person of one picture. Pixels are those of the whole picture as a viewer shows it.

    split, sequence, frame, person: the identifiers that a reader puts into `Provenance`.
    image_path: under the root: a file, `archive!member`, or `video#frame` with frames counted from 0.
    form: the annotation form that lists this person; "" when the miniature has only one.
    is_kept: whether a reader must hand the person over, placed in the camera frame; `reject_hint` says why not ("" when
    kept). For "no-transl" the raw files lack the place, for "no-detection" the 2D points: what to do then is a policy.
    note: what is special about a person ("" for nothing), for instance a known defect of the release, kept on purpose.
    kind, gender: the body model of the annotation; the mesh below is that model's, in the camera frame.
    has_body: whether the raw files hold body parameters of this person; the mesh is true in any case.
    vertices_cam_m (V, 3); joints_cam_m (K, 3) and joints_px (K, 2) under `joint_names` (the 17 face-contour joints of
    SMPL-X depend on the neck's angle to the camera and are those of the camera-frame parameters).
    has_camera: whether the raw files hold intrinsics; focal_px (2,) and principal_point_px (2,) are true in any case.
    distortion: (12,) of a lens that is not ideal, OpenCV's order; joints_px are seen through it. None: an ideal lens.
    is_transl_metric: false where depth belongs to a virtual camera.
    """

    split: str
    sequence: str
    frame: str
    person: str
    form: str = ""
    is_kept: bool = True
    reject_hint: str = ""
    note: str = ""
    kind: BodyKind
    gender: Gender
    image_path: str
    image_size_px: tuple[int, int]
    focal_px: Floats
    principal_point_px: Floats
    vertices_cam_m: Floats
    joints_cam_m: Floats
    joints_px: Floats
    joint_names: tuple[str, ...]
    distortion: Floats | None = None
    has_body: bool = True
    has_camera: bool = True
    is_transl_metric: bool = True
    has_left_hand: bool = False
    has_right_hand: bool = False
    has_face: bool = False

    @property
    def identity(self) -> tuple[str, str, str, str, str]:
        """form, split, sequence, frame, person: unique in a miniature."""
        return (self.form, self.split, self.sequence, self.frame, self.person)


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything a miniature holds, in the order it was written."""

    dataset: str
    people: tuple[TruePerson, ...]

    def kept(self, *, form: str = "", split: str | None = None) -> tuple[TruePerson, ...]:
        """The people a reader of that form (and split, when given) must hand over."""
        return tuple(
            person for person in self.people if person.is_kept and person.form == form and split in (None, person.split)
        )
