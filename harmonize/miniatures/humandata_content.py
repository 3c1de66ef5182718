"""The entries of a HumanData npz: boxes, parameters, keypoints, `meta` and `misc`."""

from __future__ import annotations

from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.humandata_files import EYES, HANDS, Draft, HumanDataFile
from harmonize.miniatures.humandata_points import keypoints
from harmonize.miniatures.points import Floats, padded, tight_box
from harmonize.miniatures.refit import neutral_refit
from harmonize.miniatures.world import relative_hands_of

PADDING = 1.2
"""Body boxes of HumanData are stored padded."""
_JOINTS = convention("smplx_144").names
_PARTS = {"face": _JOINTS[76:127], "lhand": _JOINTS[25:40], "rhand": _JOINTS[40:55]}
_COCO_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


def content_of(models: BodyModels, file: HumanDataFile, draft: Draft) -> None:
    """Fills `draft.content` from its people."""
    rows = len(draft.seen)
    content = draft.content
    content |= {
        "__key_strict__": np.array(False),
        "__data_len__": np.array(rows),
        "__keypoints_compressed__": np.array(file.is_compressed),
        "config": np.array(file.stem.split("_")[0]),
        "image_path": np.array(draft.image_names),
        "bbox_xywh": _boxes(draft, None, PADDING)[:, : file.box_columns],
    }
    if file.has_parts:
        for part, names in _PARTS.items():
            content[f"{part}_bbox_xywh"] = _boxes(draft, names, 1.0)
    if file.kind:
        content[file.kind] = _parameters(models, file, draft)
    sizes = [person.image_size_px for person in draft.truth]
    for points in file.points:
        content |= keypoints(draft.rng, models, points, draft.seen, sizes, is_compressed=file.is_compressed)
    if meta := _meta(file, draft):
        content["meta"] = meta
    if file.misc is not None:
        content["misc"] = dict(file.misc)
    for trap in file.traps:
        trap(draft)


def _boxes(draft: Draft, names: tuple[str, ...] | None, factor: float) -> Floats:
    """(N, 5): around all joints of the body, or around those of a part."""
    boxes = []
    for one in draft.seen:
        at = [one.joint_names.index(name) for name in _known(names, one.joint_names)] if names else slice(None)
        boxes.append(np.append(padded(tight_box(one.joints_px[at]), factor), 1.0))
    return np.array(boxes)


def _known(names: tuple[str, ...], joint_names: tuple[str, ...]) -> tuple[str, ...]:
    """The part's joints that the body model has; of SMPL without face and fingers, the few it has instead."""
    known = tuple(name for name in names if name in joint_names)
    if known:
        return known
    fingers = tuple(name for name in joint_names if names[0].split("_")[0] in name and "hand" in name)
    tips = ("thumb", "index", "middle", "ring", "pinky")
    side = names[0].split("_")[0]
    return fingers + tuple(f"{side}_{tip}" for tip in tips) if names[0].endswith("index_1") else _COCO_FACE


def _parameters(models: BodyModels, file: HumanDataFile, draft: Draft) -> dict[str, Any]:
    people = [one.person for one in draft.seen]
    poses, rows = np.array([person.pose_aa for person in people]), len(people)
    stored: dict[str, Any] = {
        "betas": np.array([person.betas for person in people]),
        "transl": np.array([person.transl_m for person in people]),
        "global_orient": poses[:, 0],
        "body_pose": poses[:, 1:24] if file.kind == "smpl" else poses[:, 1:22],
    }
    if file.kind != "smpl":
        hands = [person.hands_aa() if file.is_absolute else relative_hands_of(models, person) for person in people]
        stored |= dict(zip(HANDS, np.stack(hands, 1), strict=True))
    if file.kind == "smplx":
        stored |= {name: poses[:, place] for place, name in enumerate(("jaw_pose", *EYES), start=22)}
        expression = draft.rng.normal(size=(rows, max(10, file.num_expression)))
        expression[:, :10] = np.array([person.expression for person in people])
        stored["expression"] = expression
    if file.neutral_betas:
        stored["betas_neutral"] = np.array([neutral_refit(models, person).betas for person in people])
    stored = {name: values for name, values in stored.items() if name not in file.lacks}
    if file.is_flat:
        stored = {name: values.reshape(rows, -1) for name, values in stored.items()}
    if file.has_hand_flag:
        stored["flat_hand_mean"] = np.full(rows, file.is_absolute)
    return stored


def _meta(file: HumanDataFile, draft: Draft) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    if file.camera_in == "meta":
        meta["focal_length"] = np.array([one.focal_px for one in draft.seen])
        meta["principal_point"] = np.array([one.principal_point_px for one in draft.seen])
    if file.size_in_meta:
        width, height = zip(*(person.image_size_px for person in draft.truth), strict=True)
        meta |= {"height": list(height), "width": list(width)}
    genders: list[str] = [one.person.gender for one in draft.seen]
    if file.gender_in == "subject":
        genders = ["mf"[row % 2] for row in range(len(genders))]
    if file.gender_in:
        meta["gender"] = genders
    return meta
