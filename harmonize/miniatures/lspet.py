"""LSP Extended (high resolution) in miniature: png pictures with gaps in their numbers, joints.mat, EFT fits.

The columns of joints.mat follow the sorted file names, not their numbers. Joints that nobody marked are flagged, some
of them at (0, 0); one athlete leaves the picture. Only some fits have OpenPose detections beside the marked joints.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.eft import LSP, eft_entry, eft_points, eft_view, write_eft
from harmonize.miniatures.labels import points_px
from harmonize.miniatures.mat5 import write_mat5
from harmonize.miniatures.points import Floats
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import photograph, true_person
from harmonize.miniatures.world import random_person

SIZES = ((240, 320), (300, 260))
NOISE_PX = 0.8
_NAMES = convention("lsp_14").names


@dataclass(frozen=True, slots=True)
class _Case:
    """One picture. split: of EFT, "" for a picture without fit."""

    number: int
    split: str
    has_detections: bool = False
    is_cut: bool = False


_CASES = (
    _Case(1, "train"),
    _Case(2, "train", has_detections=True),
    _Case(4, "test"),
    _Case(5, "train"),
    _Case(8, "", is_cut=True),
    _Case(9, "test", has_detections=True),
    _Case(11, "train"),
    _Case(9998, "test"),
)


def write_lspet(root: Path, *, seed: int = 0, people: int = 8, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder LSPET or hr-lspet) with at least `people` pictures."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 26])
    truth: list[TruePerson] = []
    entries: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    columns: list[Floats] = []
    more = [_Case(20 + 3 * number, "train") for number in range(max(0, people - len(_CASES)))]
    for case in sorted([*_CASES, *more], key=lambda case: case.number):
        size = SIZES[len(columns) % len(SIZES)]
        stem = f"im{case.number:05d}"
        height = size[1] * (1.1 if case.is_cut else rng.uniform(0.7, 0.82))
        place = (size[0] * rng.uniform(0.46, 0.54), size[1] * rng.uniform(0.06, 0.12), height)
        seen = eft_view(rng, models, random_person(rng, "smpl", "neutral"), place)
        photograph(rng, models, [seen], size, root / f"{stem}.png")
        marked = points_px(seen, _NAMES)
        columns.append(_column(rng, marked + rng.normal(0.0, NOISE_PX, marked.shape)))
        stated: dict[str, Any] = {"frame": stem, "image_path": f"{stem}.png", "image_size_px": size}
        stated |= {"sequence": "", "person": "0"}
        truth.append(true_person(seen, form="joints", split="train", has_body=False, has_camera=False, **stated))
        if case.split:
            points = eft_points(rng, seen, size, LSP, NOISE_PX, has_detections=case.has_detections)
            entries[case.split].append(eft_entry(rng, seen, points, f"{stem}.png", annotId=0))
            truth.append(true_person(seen, form="eft", split=case.split, **stated))
    write_mat5(root / "joints.mat", {"joints": np.stack(columns, axis=2)})
    for split, fits in entries.items():
        write_eft(root / "eft_fit" / f"LSPet_{split}_ver10.json", "lspet", fits)
    return Truth("lspet", tuple(truth))


def _column(rng: np.random.Generator, points: Floats) -> Floats:
    """(14, 3) x, y, visible; of two joints that are not marked one is at (0, 0), the other at a guess."""
    labelled = np.column_stack([points, np.ones(len(points))])
    nowhere, guessed = rng.choice(12, 2, replace=False)
    labelled[nowhere] = 0.0
    labelled[guessed] += (6.0, -4.0, -1.0)
    return labelled
