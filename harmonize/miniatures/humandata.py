"""The HumanData files of any of the datasets in miniature, with the pictures they name.

One file or more a dataset, with the names, keys, shapes and mistakes of the converter that made it. The facts are in
`humandata_table`, `_rendered` and `_fits`; the mistakes in `humandata_traps` and `humandata_points`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harmonize.bodies import BodyModels
from harmonize.miniatures.eft import eft_view
from harmonize.miniatures.humandata_content import content_of
from harmonize.miniatures.humandata_files import EYES, FACE, HANDS, Draft, HumanDataFile, HumanDataSet
from harmonize.miniatures.humandata_table import CAPTURED
from harmonize.miniatures.humandata_table_fits import FITTED
from harmonize.miniatures.humandata_table_rendered import RENDERED
from harmonize.miniatures.scene import background, write_picture
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, paint_views, seen_by, side_by_side, true_person
from harmonize.miniatures.world import Person, StageCamera, model_of, moved, places, random_person, stand

SETS: dict[str, HumanDataSet] = CAPTURED | RENDERED | FITTED
"""name: the HumanData files of each dataset."""

_TALL_M = 1.8


def write_humandata(
    root: Path, *, dataset: str, seed: int = 0, people: int = 4, models: BodyModels | None = None
) -> Truth:
    """Writes the dataset's npz files and pictures under root, with at least `people` rows in all."""
    models = models or BodyModels.open("standin")
    layout = SETS[dataset]
    rng = np.random.default_rng([seed, 6, *dataset.encode()])
    usual = sum(file.rows for file in layout.files)
    factor = max(1, -(-people // usual))
    truth: list[TruePerson] = []
    (root / layout.npz_folder).mkdir(parents=True, exist_ok=True)
    for file in layout.files:
        draft = Draft({}, [], [], [], rng)
        for picture in range(file.rows * factor // file.per_picture):
            _shoot(models, layout, file, draft, picture, root)
        if file.is_in_blocks:
            order = np.arange(len(draft.seen)).reshape(-1, file.per_picture).T.ravel()
            draft.seen, draft.truth = [draft.seen[row] for row in order], [draft.truth[row] for row in order]
            draft.image_names = [draft.image_names[row] for row in order]
        draft.truth = [replace(person, person=str(row)) for row, person in enumerate(draft.truth)]
        content_of(models, file, draft)
        np.savez_compressed(root / layout.npz_folder / f"{file.stem}.npz", **_as_stored(draft.content))
        truth.extend(draft.truth)
    for stray in layout.strays:
        stray(root)
    return Truth(dataset, tuple(truth))


def _as_stored(content: dict[str, Any]) -> dict[str, Any]:
    """Dictionaries as arrays without dimensions, which is what numpy makes of them."""
    return {key: np.array(value, object) if isinstance(value, dict) else value for key, value in content.items()}


def _shoot(
    models: BodyModels, layout: HumanDataSet, file: HumanDataFile, draft: Draft, picture: int, root: Path
) -> None:
    """Adds the people of a picture to the draft, and writes the picture."""
    size = file.sizes[picture % len(file.sizes)]
    first = len(draft.seen)
    people = [_somebody(models, file, draft, first + slot) for slot in range(file.per_picture)]
    seen = _seen(models, file, draft.rng, people, size)
    name = file.images[picture % len(file.images)].format(n=picture, one=picture + 1)
    above = layout.folder if file.folder is None else file.folder
    path = file.instead.get(picture, f"{above}/{name.lstrip('/')}".lstrip("/"))
    folder, _, base = name.lstrip("/").rpartition("/")
    has_hands, has_face = file.kind in ("smplx", "smplh") and HANDS[0] not in file.lacks, file.kind == "smplx"
    for slot, one in enumerate(seen):
        draft.seen.append(one)
        draft.image_names.append(name)
        draft.truth.append(
            true_person(
                one,
                form="humandata",
                split=file.split,
                sequence=f"{file.stem}/{folder}".rstrip("/"),
                frame=base.rpartition(".")[0],
                person="",
                reject_hint=file.hints.get(first + slot, file.hints.get(-1, "")),
                image_path=path,
                image_size_px=size,
                has_body=bool(file.kind),
                has_camera=file.camera_in != "nowhere",
                is_transl_metric=file.view == "stage",
                has_left_hand=has_hands,
                has_right_hand=has_hands,
                has_face=has_face and not {"jaw_pose", "expression"} & set(file.lacks),
            )
        )
    if not layout.is_drawn:
        _write_plain(root / path, size)
        return
    behind = background(draft.rng, size, size[1] * 0.5)
    shown = paint_views(draft.rng, models, seen, behind)
    write_picture(root / path, np.rot90(shown) if picture in file.lying else shown)


def _beside_the_middle(rng: np.random.Generator, models: BodyModels, person: Person, size: tuple[int, int]) -> View:
    """The person in a crop of EFT that is not centred on them: a mirrored shift then shows."""
    middle, top, height = size[0] * rng.uniform(0.45, 0.55), 0.14 * size[1], 0.68 * size[1]
    side = 1.35 * height
    crop = (middle + side * rng.uniform(0.1, 0.14) * rng.choice((-1, 1)), top + height / 2, side)
    return eft_view(rng, models, person, (middle, top, height), crop)


def _write_plain(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_plain_picture("PNG" if path.suffix == ".png" else "JPEG", size))


@lru_cache(maxsize=8)
def _plain_picture(encoding: str, size: tuple[int, int]) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, (120, 120, 120)).save(file, encoding)
    return file.getvalue()


def _somebody(models: BodyModels, file: HumanDataFile, draft: Draft, row: int) -> Person:
    """A person whose body has what the file's parameters can say, and rests where they say nothing."""
    kind = file.kind or "smplx"
    gender = file.genders[row % len(file.genders)]
    is_kid = row == file.kid_row
    person = random_person(draft.rng, kind, gender, num_betas=file.num_betas, kid_weight=0.6 if is_kid else 0.0)
    if is_kid:
        person = replace(person, betas=0.4 * person.betas)
    if kind == "smpl":
        return person
    if HANDS[0] in file.lacks:
        mean = model_of(models, person).hand_mean_aa
        assert mean is not None
        person.hands_aa()[:] = mean
    if kind == "smplx":
        for place, name in enumerate(("jaw_pose", *EYES), start=22):
            if name in file.lacks:
                person.pose_aa[place] = 0.0
        if FACE[-1] in file.lacks or file.num_expression == 0:
            person = replace(person, expression=np.zeros(10))
    return person


def _seen(
    models: BodyModels, file: HumanDataFile, rng: np.random.Generator, people: list[Person], size: tuple[int, int]
) -> list[View]:
    """The people before the camera of the file."""
    if file.view == "virtual":
        return side_by_side(rng, models, people, size)
    if file.view == "eft":
        return [_beside_the_middle(rng, models, person, size) for person in people]
    focal_px = np.array(file.focal_px or 1.2 * max(size) * rng.uniform(0.95, 1.05) * np.array([1.0, 1.002]))
    centre_px = np.array(file.principal_point_px or np.array(size) * rng.uniform(0.49, 0.51, 2))
    camera = StageCamera(
        focal_px=focal_px,
        principal_point_px=centre_px,
        size=size,
        height_m=1.0,
        pitch_rad=float(rng.uniform(-0.04, 0.04) * size[1] / focal_px[1]),
        roll_rad=float(rng.uniform(-0.05, 0.05)),
    )
    near, far = (focal_px[1] * _TALL_M / (share * size[1]) for share in (0.78, 0.62))
    seen = []
    for person, (x, z, yaw) in zip(people, places(rng, camera, len(people), near, far), strict=True):
        person.pose_aa[0] = rng.uniform(0.06, 0.14, 3) * rng.choice((-1, 1), 3)
        placed = moved(models, stand(models, person, x, z, yaw), camera.rotmat, camera.transl_m)
        seen.append(seen_by(models, placed, camera.focal_px, camera.principal_point_px, np.zeros(4)))
    return seen
