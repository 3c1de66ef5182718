"""RICH in miniature: SMPLify-X pickles in the frame of the calibration, OpenCV xml files, bmp, png and jpeg pictures.

train and test lie as the toolkit lays them out, val as the site's archives unpack. Two people of three-digit number
share a sequence, and one of them is not fitted in every frame; a camera that moved has pictures and no calibration;
one picture is missing; a release of JPEGs stands where the toolkit's table says bmp; cameras differ in their format.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from harmonize.bodies import BodyModels
from harmonize.miniatures.rig import camera_at, lens, seen_from
from harmonize.miniatures.scene import JPEG_QUALITY, background, clothes
from harmonize.miniatures.smplifyx import smplx_fit, with_pca_hands
from harmonize.miniatures.studio import StudioCamera, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import Person, model_of, moved, random_person, stand
from harmonize.record import Gender
from harmonize.render import Picture

LANDSCAPE, PORTRAIT = (412, 300), (300, 412)
_GENDERS: dict[int, Gender] = {1: "male", 4: "male", 5: "male", 9: "female", 18: "female", 21: "female"}
_TYPES = {
    "Gym": "bmp",
    "BBQ": "bmp",
    "ParkingLot2": "bmp",
    "Pavallion": "png",
    "ParkingLot1": "bmp",
    "LectureHall": "png",
}
_DISTORTION = (-0.11, 0.08, 0.0006, -0.0004, -0.02)
_NUM_CONTACT, _NUM_DISTANCES = 6890, 10475


@dataclass(frozen=True, slots=True)
class _Sequence:
    """subjects: numbers. views: calibrated cameras. moving: number of a camera without calibration. suffix: of the
    pictures. skipped: (frame, subject) without a fit. missing: (frame, view) without a picture."""

    split: str
    scene: str
    action: str
    subjects: tuple[int, ...]
    frames: tuple[int, ...]
    views: tuple[int, ...]
    suffix: str
    scan: str = "scan_camcoord"
    moving: int | None = None
    skipped: tuple[tuple[int, int], ...] = ()
    missing: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        return "_".join([self.scene, *[f"{subject:03d}" for subject in self.subjects], self.action])


_SEQUENCES = (
    _Sequence(
        "train",
        "ParkingLot1",
        "greetingchattingeating1",
        (4, 5),
        (24, 150),
        (0, 1),
        "jpeg",
        skipped=((150, 5),),
        missing=((150, 1),),
    ),
    _Sequence("train", "Pavallion", "plankjack", (18,), (7, 9), (0, 1), "png", moving=2),
    _Sequence("val", "BBQ", "guitar", (1,), (310,), (1,), "bmp"),
    _Sequence(
        "test", "LectureHall", "reparingprojector1", (9, 21), (1042,), (1,), "png", scan="scan_chair_scene_camcoord"
    ),
)


def write_rich(root: Path, *, seed: int = 0, people: int = 13, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder RICH); more frames of the first sequence for more than 13 people."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 20])
    truth: list[TruePerson] = []
    rigs: dict[str, list[StudioCamera]] = {}
    for number, sequence in enumerate(_SEQUENCES):
        if sequence.scene not in rigs:
            rigs[sequence.scene] = _calibrate(rng, root, sequence)
        more = tuple(range(200, 200 + -(-(people - 13) // 4))) if number == 0 else ()
        for frame in sequence.frames + more:
            truth.extend(_shoot(rng, models, root, sequence, frame, rigs[sequence.scene]))
    _write_tables(root)
    return Truth("rich", tuple(truth))


def _calibrate(rng: np.random.Generator, root: Path, sequence: _Sequence) -> list[StudioCamera]:
    """The cameras of a scene, number 0 first, in the calibration's frame: that of number 0. Writes their xml files."""
    stage = []
    for number in range(3):
        size = PORTRAIT if number == 1 and sequence.split == "train" else LANDSCAPE
        stage.append(
            camera_at(
                2.1 * number + rng.uniform(-0.2, 0.2),
                4.2,
                size=size,
                focal_px=540.0 + rng.uniform(-4, 4, 2),
                principal_point_px=np.array(size) / 2 + rng.uniform(-4, 4, 2),
                distortion=lens(*_DISTORTION),
                height_m=1.3 + 0.4 * number,
                roll_rad=float(rng.uniform(-0.05, 0.05)),
            )
        )
    first = stage[0]
    cameras = [seen_from(camera, first.rotmat, first.transl_m) for camera in stage]
    folder = root / "scan_calibration" / sequence.scene / "calibration"
    folder.mkdir(parents=True, exist_ok=True)
    for number, camera in enumerate(cameras):
        if number != sequence.moving:
            (folder / f"{number:03d}.xml").write_text(_xml(camera))
    # Rows: x_world = scale * x_cam @ R + t.
    to_world = {"R": first.rotmat.tolist(), "t": (-first.transl_m @ first.rotmat).tolist(), "c": 1.0}
    (root / "multicam2world").mkdir(exist_ok=True)
    (root / "multicam2world" / f"{sequence.scene}_multicam2world.json").write_text(json.dumps(to_world))
    # Set aside what the stage is: people are placed on it and moved into the calibration's frame.
    return [*cameras, first]


def _xml(camera: StudioCamera) -> str:
    (fx, fy), (cx, cy) = camera.focal_px, camera.principal_point_px
    tables = {
        "CameraMatrix": np.column_stack([camera.rotmat, camera.transl_m]),
        "Intrinsics": np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]),
        "Distortion": np.array(_DISTORTION)[:, None],
    }
    parts = []
    for name, table in tables.items():
        rows, columns = table.shape
        numbers = "\n    ".join(" ".join(repr(float(value)) for value in row) for row in table)
        parts.append(
            f'<{name} type_id="opencv-matrix">\n  <rows>{rows}</rows>\n  <cols>{columns}</cols>\n  <dt>d</dt>\n'
            f"  <data>\n    {numbers}</data></{name}>"
        )
    return '<?xml version="1.0"?>\n<opencv_storage>\n' + "\n".join(parts) + "\n</opencv_storage>\n"


def _shoot(
    rng: np.random.Generator,
    models: BodyModels,
    root: Path,
    sequence: _Sequence,
    frame: int,
    rig: list[StudioCamera],
) -> list[TruePerson]:
    *cameras, reference = rig
    cast: dict[int, Person] = {}
    for slot, subject in enumerate(sequence.subjects):
        person = with_pca_hands(rng, models, random_person(rng, "smplx", _GENDERS[subject]))
        across = 0.9 * slot - 0.45 * (len(sequence.subjects) - 1)
        placed = stand(models, person, across, float(rng.uniform(-0.2, 0.2)), float(rng.uniform(-0.6, 0.6)))
        cast[subject] = moved(models, placed, reference.rotmat, reference.transl_m)
    outfits = [clothes(rng, model_of(models, person)) for person in cast.values()]
    for subject, person in cast.items():
        if (frame, subject) not in sequence.skipped:
            _write_fit(root, sequence, frame, subject, smplx_fit(models, person))
    truth = []
    for view in sequence.views if sequence.moving is None else (*sequence.views, sequence.moving):
        sights = [see(models, person, cameras[view]) for person in cast.values()]
        is_missing = (frame, view) in sequence.missing
        path = _picture_path(sequence, frame, view)
        if not is_missing:
            _write_picture(root / path, take(models, cameras[view], sights, outfits, _behind(rng, cameras[view])))
        if view == sequence.moving:
            continue
        for subject, sight in zip(cast, sights, strict=True):
            if (frame, subject) not in sequence.skipped:
                hint = "image-missing" if is_missing else ""
                truth.append(_true_person(sequence, frame, view, subject, sight, cameras[view], path, hint))
    return truth


def _behind(rng: np.random.Generator, camera: StudioCamera) -> Picture:
    return background(rng, camera.size, 0.45 * camera.size[1])


def _picture_path(sequence: _Sequence, frame: int, view: int) -> str:
    above = "val" if sequence.split == "val" else f"images/{sequence.split}"
    return f"{above}/{sequence.name}/cam_{view:02d}/{frame:05d}_{view:02d}.{sequence.suffix}"


def _write_picture(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpeg":
        path.write_bytes(simplejpeg.encode_jpeg(picture, quality=JPEG_QUALITY, colorsubsampling="420"))
    else:
        Image.fromarray(picture).save(path)


def _write_fit(root: Path, sequence: _Sequence, frame: int, subject: int, fit: dict[str, Any]) -> None:
    """The pickle; and of the first frame, as contact is not labelled everywhere, the contact with the scene."""
    bodies, contacts = (
        ("val_body", "val_hsc")
        if sequence.split == "val"
        else (f"bodies/{sequence.split}", f"human_scene_contact/{sequence.split}")
    )
    name = f"{sequence.name}/{frame:05d}/{subject:03d}.pkl"
    path = root / bodies / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(fit, protocol=4))
    if (frame, subject) == (24, 4):
        contact = {
            "contact": np.arange(_NUM_CONTACT) < 100,
            "s2m_dist_id": np.zeros((_NUM_DISTANCES, 3), np.float32),
            "closest_triangles_id": np.zeros((_NUM_DISTANCES, 3, 3), np.float32),
        }
        path = root / contacts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(contact, protocol=4))


def _write_tables(root: Path) -> None:
    """The toolkit's resource folder."""
    folder = root / "resource"
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    (folder / "gender.json").write_text(json.dumps({str(subject): gender for subject, gender in _GENDERS.items()}))
    (folder / "imgext.json").write_text(json.dumps(_TYPES))
    for split in ("train", "val", "test"):
        header = ["sequence_name", "capture_name", "scan_name", "id", "moving_cam", "gender"]
        header += ["view_id"] if split == "train" else ["scene", "action/scene-interaction", "subjects", "view_id"]
        lines = ["\t".join(header)]
        for sequence in _SEQUENCES:
            if sequence.split != split:
                continue
            for subject in sequence.subjects:
                row = [sequence.name, sequence.scene, sequence.scan, f"{subject:03d}"]
                row += ["X" if sequence.moving is None else "V", _GENDERS[subject]]
                row += [] if split == "train" else ["V", "X", "V"]
                lines.append("\t".join([*row, ",".join(map(str, sequence.views))]))
        (folder / "meta" / f"{split}.txt").write_text("\n".join(lines) + "\n")


def _true_person(
    sequence: _Sequence, frame: int, view: int, subject: int, sight: View, camera: StudioCamera, path: str, hint: str
) -> TruePerson:
    return true_person(
        sight,
        camera,
        reject_hint=hint,
        split=sequence.split,
        sequence=f"{sequence.name}/cam_{view:02d}",
        frame=f"{frame:05d}",
        person=f"{subject:03d}",
        image_path=path,
        distortion=lens(*_DISTORTION),
        has_left_hand=True,
        has_right_hand=True,
        has_face=True,
    )
