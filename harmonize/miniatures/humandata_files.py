"""How a HumanData file of a miniature is described: its habits, one field each; and the world it is photographed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harmonize.miniatures.truth import TruePerson
from harmonize.miniatures.virtual import View
from harmonize.record import BodyKind, Gender

Made = Literal["exact", "neutral", "flat-hands", "smpl", "imar", "legs", "parts"]
"""How keypoints were computed; all but the first are mistakes of converters (see `humandata_points`)."""

HANDS = ("left_hand_pose", "right_hand_pose")
EYES = ("leye_pose", "reye_pose")
FACE = ("jaw_pose", *EYES, "expression")
SCALES = {"bbox_body_scale": 1.2, "bbox_facehand_scale": 1.0}
"""What `misc` of most files says of the boxes."""
SMPLER_X = "preprocessed_datasets"
"""Where SMPLer-X keeps all npz files, beside the folders of the pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """One keypoint array and its mask.

    key: its name in the file, which says 2D or 3D. names: a keypoint convention; "" for the joints of the body model.
    noise_px: of annotators or detectors; points off the picture are then zero. is_root_aligned: relative to the pelvis;
    is_mm: in millimetres. has_mask: whether `<key>_mask` is there.
    """

    key: str
    names: str = ""
    made: Made = "exact"
    noise_px: float = 0.0
    is_root_aligned: bool = False
    is_mm: bool = False

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return 3 if "3d" in self.key else 2


def exact(suffix: str = "_smplx") -> tuple[Points, Points]:
    """The joints of the body in 2D and 3D."""
    return Points(key=f"keypoints2d{suffix}"), Points(key=f"keypoints3d{suffix}")


def marked(names: str, key: str = "keypoints2d", noise_px: float = 0.4) -> Points:
    """2D points of annotators or detectors."""
    return Points(key=key, names=names, noise_px=noise_px)


def original(names: str, *, made: Made = "exact") -> tuple[Points, Points]:
    """The dataset's own joints, in 2D and 3D."""
    two, three = (Points(key=f"keypoints{n}d_original", names=names, made=made) for n in (2, 3))
    return two, three


@dataclass(slots=True)
class Draft:
    """An npz before it is written: traps change its content. `truth` has a row a person."""

    content: dict[str, Any]
    seen: list[View]
    truth: list[TruePerson]
    image_names: list[str]
    rng: np.random.Generator

    @property
    def meta(self) -> dict[str, Any]:
        """The `meta` of the file, made when there is none."""
        stored: dict[str, Any] = self.content.setdefault("meta", {})
        return stored

    def body(self, kind: BodyKind = "smplx") -> dict[str, Any]:
        """The parameters of the file."""
        stored: dict[str, Any] = self.content[kind]
        return stored


Trap = Callable[[Draft], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDataFile:
    """One npz.

    images: each `image_path` in turn, with `{n}`, the number of the picture, or `{one}`, counted from 1. folder: what
    lies between the root and these, when not the dataset's. kind: "" where the file has no body. lacks: entries of the
    body's parameters that are not stored. genders: of the model, row after row; gender_in: "words" where `meta` has it,
    "subject" where `meta` has the letter of the subject's gender while the model is neutral.
    is_absolute: hands with the mean hand inside; has_hand_flag: the body's own `flat_hand_mean` says so.
    neutral_betas: whether a refit to the neutral model is stored too. kid_row: a row whose body is a kid's.
    is_flat: poses (N, 3 J). box_columns: of body boxes. has_parts: boxes of face and hands.
    view: a metric camera on a stage, the virtual one of NeuralAnnot, or EFT's crop. camera_in: "meta", "misc", "" for a
    constant of the dataset that no file holds, or "nowhere". size_in_meta: whether `meta` has height and width.
    sizes: (width, height) of the pictures, in turn. instead: number of a picture: what is written instead of it, a path
    under the root. lying: numbers of pictures that are stored lying on their left side.
    is_in_blocks: whether the first people of all pictures come before the second ones.
    hints: row: why it is not kept; -1 stands for every row. misc: None when the file has none.
    """

    stem: str
    split: str
    images: tuple[str, ...]
    kind: BodyKind | Literal[""] = "smplx"
    sizes: tuple[tuple[int, int], ...] = ((320, 240),)
    folder: str | None = None
    rows: int = 2
    per_picture: int = 1
    is_in_blocks: bool = False
    lacks: tuple[str, ...] = ()
    genders: tuple[Gender, ...] = ("neutral",)
    gender_in: Literal["", "words", "subject"] = ""
    is_absolute: bool = False
    has_hand_flag: bool = False
    neutral_betas: bool = False
    kid_row: int = -1
    num_betas: int = 10
    num_expression: int = 10
    is_flat: bool = False
    is_compressed: bool = True
    box_columns: int = 5
    has_parts: bool = False
    points: tuple[Points, ...] = field(default_factory=exact)
    view: Literal["stage", "virtual", "eft"] = "stage"
    camera_in: Literal["meta", "misc", "", "nowhere"] = "meta"
    focal_px: tuple[float, float] | None = None
    principal_point_px: tuple[float, float] | None = None
    size_in_meta: bool = True
    hints: Mapping[int, str] = field(default_factory=dict)
    instead: Mapping[int, str] = field(default_factory=dict)
    lying: tuple[int, ...] = ()
    misc: Mapping[str, Any] | None = None
    traps: tuple[Trap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDataSet:
    """The files of one dataset.

    folder: what lies between the root and the `image_path` of its pictures. npz_folder: where the files lie.
    strays: files beside them that a reader must leave alone, each written by its function.
    is_drawn: whether the pictures show the people; a constant size of two megapixels is one plain picture for all.
    """

    files: tuple[HumanDataFile, ...]
    folder: str = ""
    npz_folder: str = ""
    strays: tuple[Callable[[Path], None], ...] = ()
    is_drawn: bool = True
