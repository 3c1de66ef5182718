"""SSP-3D in miniature: frames of sports videos, silhouettes, one npz of gendered SMPL fits.

Traps: box centres are (row, column); the betas are those of the gendered model, the same for all frames of a person;
the root is turned, the camera is not; silhouettes bear the names of the pictures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.labels import annotated
from harmonize.miniatures.points import tight_box
from harmonize.miniatures.scene import write_picture
from harmonize.miniatures.studio import plain_wall
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import facing, paint_views, seen_by, true_person
from harmonize.miniatures.world import Person, model_of, project, random_person
from harmonize.record import Gender
from harmonize.render import rasterise

SIZE = (512, 512)
FOCAL_PX = np.full(2, 5000.0)
CENTRE_PX = np.full(2, 256.0)
_FRAMES = 3
_NOISE_PX = 2.0


def write_ssp3d(root: Path, *, seed: int = 0, people: int = 12, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder ssp_3d) with at least `people` pictures, three a subject."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 23])
    rows: list[dict[str, Any]] = []
    truth: list[TruePerson] = []
    for subject in range(-(-people // _FRAMES)):
        gender: Gender = ("male", "female")[subject % 2]
        actor = random_person(rng, "smpl", gender)
        name = f"{('clip', 'long_jump', 'hurdles')[subject % 3]}{subject}_clip_{subject + 1}_person_{subject % 2}"
        for frame in range(_FRAMES):
            posed = replace(random_person(rng, "smpl", gender), betas=actor.betas)
            row, true = _write_frame(rng, models, posed, name, 1 + 7 * frame, root)
            rows.append(row)
            truth.append(true)
    columns: dict[str, Any] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    floats = {key: value.astype(np.float32) for key, value in columns.items() if value.dtype.kind == "f"}
    np.savez(root / "labels.npz", **(columns | floats))
    return Truth("ssp3d", tuple(truth))


def _write_frame(
    rng: np.random.Generator, models: BodyModels, posed: Person, name: str, frame: int, root: Path
) -> tuple[dict[str, Any], TruePerson]:
    """Writes a picture and its silhouette. Returns the row of the labels, and what is true."""
    upright, vertices = facing(rng, models, posed)
    depth = FOCAL_PX[0] * np.ptp(vertices[:, 1]) / rng.uniform(180, 230)
    aside = np.array([rng.choice([-1, 1]) * rng.uniform(1.0, 1.5), rng.uniform(-0.5, 0.3), depth])
    middle = np.array([*(vertices.min(0) + vertices.max(0))[:2] / 2, 0.0])
    place = aside * (depth / 45.0, depth / 45.0, 1.0) - middle
    # The labels are float32: what they say is true.
    transl = (upright.transl_m + place).astype(np.float32).astype(np.float64)
    person = replace(upright, transl_m=transl)
    seen = seen_by(models, person, FOCAL_PX, CENTRE_PX, np.zeros(4))
    pixels = project(seen.vertices_cam_m, FOCAL_PX, CENTRE_PX)
    box = tight_box(pixels, SIZE)
    file = f"{name}_frame_{frame}.png"
    write_picture(root / "images" / file, paint_views(rng, models, [seen], plain_wall(rng, SIZE, 300.0)))
    faces = model_of(models, person).faces
    mask = rasterise(seen.vertices_cam_m, faces, FOCAL_PX, CENTRE_PX, SIZE).face >= 0
    write_picture(root / "silhouettes" / file, mask.astype(np.uint8) * 255)
    points = annotated(rng, seen, convention("coco_17").names, SIZE, _NOISE_PX)
    points[:, 2] = rng.uniform(0.4, 0.95, len(points)) * (points[:, 2] > 0)
    row = {
        "fnames": file,
        "shapes": person.betas,
        "poses": person.pose_aa.ravel(),
        "genders": person.gender[0],
        "joints2D": points,
        "cam_trans": transl,
        "bbox_centres": (box[:2] + box[2:] / 2)[::-1],
        "bbox_whs": box[2:].max(),
    }
    true = true_person(
        seen, split="all", sequence=name, frame=file[:-4], person="0", image_path=f"images/{file}", image_size_px=SIZE
    )
    return row, true
