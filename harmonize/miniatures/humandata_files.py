"""The HumanData files of the miniature: each has the habits of another converter."""

from __future__ import annotations

from dataclasses import dataclass

from harmonize.record import BodyKind, Gender


@dataclass(frozen=True, slots=True)
class HumanDataFile:
    """One npz and its habits.

    hands: "misc" | "inside" when `flat_hand_mean` is stated there, "" when it is not stated (then relative by default).
    points: suffix of the keypoint keys; names: the convention of the annotated points, "" for the body's own joints.
    camera: "meta" (a row each) | "misc" (a constant) | "" (none, and no translation either).
    has_face: whether jaw, eyes and expression are stored. has_invalid: whether `meta` marks the last row as invalid.
    """

    stem: str
    split: str
    kind: BodyKind
    genders: tuple[Gender, ...]
    hands: str = ""
    is_absolute: bool = False
    is_flat: bool = False
    is_compressed: bool = True
    num_betas: int = 10
    box_columns: int = 5
    points: str = "_smplx"
    names: str = ""
    camera: str = "meta"
    has_face: bool = True
    has_invalid: bool = False


_NEUTRAL: tuple[Gender, ...] = ("neutral",)
FILES = (
    HumanDataFile("ubody_intra_train_240409_4_0", "train", "smplx", _NEUTRAL, hands="misc", has_invalid=True),
    HumanDataFile(
        "bedlam_train", "train", "smplx", _NEUTRAL, hands="inside", is_absolute=True, num_betas=11, box_columns=4
    ),
    HumanDataFile("studio_take3", "train", "smplx", _NEUTRAL),
    # Nothing in these files says that their hands are absolute; the data set's description does.
    HumanDataFile("gta_human2multiple_230406_4_0", "train", "smplx", _NEUTRAL, is_absolute=True, has_face=False),
    HumanDataFile(
        "arctic_p1_val",
        "validation",
        "smplx",
        _NEUTRAL,
        hands="misc",
        is_absolute=True,
        is_flat=True,
        is_compressed=False,
        camera="misc",
    ),
    HumanDataFile(
        "pw3d_test_240116_012",
        "test",
        "smpl",
        ("male", "female"),
        is_flat=True,
        is_compressed=False,
        points="_smpl",
    ),
    HumanDataFile("mpii_train", "train", "smplx", _NEUTRAL, hands="misc", points="", names="coco_17"),
    HumanDataFile(
        "eft_coco_all", "train", "smpl", _NEUTRAL, is_compressed=False, points="", names="coco_17", camera=""
    ),
)
