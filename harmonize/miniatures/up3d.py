"""UP-3D in miniature: one flat folder of pictures, 2D joints, SMPL fits to a resized crop, and lists of names.

Traps: the principal point is the crop's centre, not the picture's; crops whose two scales differ; pickles of Python 2;
joints with coordinates along the rows, one file without the row of validity; a list whose lines lack their slash; one
fit with a camera that turns; `trainval` lists people a second time; renderings and notes that are no annotation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures import python2
from harmonize.miniatures.labels import points_px
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.scene import background, write_picture
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, facing, paint_views, seen_by, true_person
from harmonize.miniatures.world import model_of, moved, project, random_person
from harmonize.render import render

FOCAL_PX = 5000.0
_NOISE_PX = 1.5


@dataclass(frozen=True, slots=True)
class _Crop:
    """Rows y0:y1 and columns x0:x1 of a picture of `size`, resized to `fit_size` (width, height)."""

    size: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]
    fit_size: tuple[int, int]

    @property
    def factor(self) -> float:
        """Fit pixels in a picture's pixel: the mean over both axes."""
        spans = self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]
        return float(np.mean([self.fit_size[1] / spans[0], self.fit_size[0] / spans[1]]))

    def camera(self) -> tuple[Floats, Floats]:
        """(focal_px (2,), principal_point_px (2,)) on the picture."""
        corner = np.array([self.columns[0], self.rows[0]])
        return np.full(2, FOCAL_PX / self.factor), np.array(self.fit_size) / 2 / self.factor + corner

    def text(self) -> str:
        width, height = self.fit_size
        return f"{height} {width} {self.rows[0]} {self.rows[1]} {self.columns[0]} {self.columns[1]}"


_CROPS = (
    _Crop((180, 240), (0, 240), (0, 180), (180, 240)),
    _Crop((320, 240), (20, 200), (120, 270), (450, 540)),
    _Crop((200, 260), (10, 251), (15, 182), (208, 300)),
)


def write_up3d(root: Path, *, seed: int = 0, people: int = 8, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder up-3d): `people` pictures, half of them for training."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 22])
    root.mkdir(parents=True, exist_ok=True)
    splits: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    found: dict[int, TruePerson] = {}
    for number in range(people):
        split = ("train", "val", "train", "test")[number % 4]
        splits[split].append(number)
        found[number] = _write_person(rng, models, number, root)
    splits["trainval"] = sorted(splits["train"] + splits["val"])
    truth = []
    for split, numbers in splits.items():
        slash = "" if split == "test" else "/"
        lines = [f"{slash}{number:05d}_image.png" for number in numbers]
        (root / f"{split}.txt").write_text("\n".join([*lines, "", ""]))
        truth += [replace(found[number], split=split) for number in numbers]
    return Truth("up3d", tuple(truth))


def _write_person(rng: np.random.Generator, models: BodyModels, number: int, root: Path) -> TruePerson:
    stem, crop = root / f"{number:05d}", _CROPS[number % len(_CROPS)]
    focal, centre = crop.camera()
    upright, vertices = facing(rng, models, random_person(rng, "smpl", "neutral"))
    tall_px = 0.85 * (crop.rows[1] - crop.rows[0])
    depth = focal[0] * np.ptp(vertices[:, 1]) / tall_px
    middle = (vertices.min(0) + vertices.max(0)) / 2
    place = np.array([*(rng.uniform(-0.05, 0.05, 2) - middle[:2]), depth])
    person = replace(upright, transl_m=upright.transl_m + place)
    box = tight_box(project(vertices + place, focal, centre), crop.size)
    seen = seen_by(models, person, focal, centre, box)

    picture = paint_views(rng, models, [seen], background(rng, crop.size, 0.5 * crop.size[1]))
    write_picture(root / f"{stem.name}_image.png", picture)
    light = render(seen.vertices_cam_m, model_of(models, person).faces, focal, centre, crop.size)
    write_picture(root / f"{stem.name}_render_light.png", light)  # shaded skin is never white
    write_picture(root / f"{stem.name}_render.png", light[::2, ::2])
    Path(f"{stem}_fit_crop_info.txt").write_text(f"{crop.text()}\n")
    Path(f"{stem}_quality_info.txt").write_text("high\n")
    np.save(f"{stem}_joints.npy", _joints(rng, seen, has_validity=number != 3))
    Path(f"{stem}_body.pkl").write_bytes(_body(rng, models, seen, is_turned=number == 2))
    return true_person(
        seen,
        split="",
        sequence="",
        frame=stem.name,
        person="0",
        image_path=f"{stem.name}_image.png",
        image_size_px=crop.size,
    )


def _joints(rng: np.random.Generator, seen: View, *, has_validity: bool) -> Floats:
    """(3, 14) rows x, y, valid, or (2, 14)."""
    points = points_px(seen, convention("lsp_14").names)
    points = points + rng.normal(0.0, _NOISE_PX, points.shape)
    valid = rng.random(14) > 0.15
    return np.concatenate([points.T, valid[None]]) if has_validity else points.T


def _body(rng: np.random.Generator, models: BodyModels, seen: View, *, is_turned: bool) -> bytes:
    """The pickle: x_cam = R(rt) x + t of a body with pose, betas and trans."""
    turn = rng.normal(0.0, 0.5, 3) if is_turned else np.zeros(3)
    rotmat = Rotation.from_rotvec(turn).as_matrix()
    offset = np.array([*rng.uniform(-0.3, 0.3, 2), seen.person.transl_m[2]])
    stored = moved(models, seen.person, rotmat.T, -rotmat.T @ offset)
    return python2.dumps(
        {
            "pose": stored.pose_aa.ravel(),
            "betas": stored.betas,
            "trans": stored.transl_m,
            "rt": turn,
            "t": offset,
            "f": FOCAL_PX,
        }
    )
