"""EgoBody's egocentric set in miniature: a HoloLens that moves and refocuses, the other person before it.

The head camera looks along -z in a world of its own, that changes with every recording. One frame each has too few
detections, a singular pose, no line in the text file, no picture, no fit; one more has a fit and was dropped by the
HoloLens, and one lies outside the annotated range in every file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.egobody import (
    FORMS,
    INTERACTEE,
    RECORDINGS,
    Recording,
    fits_of,
    invent,
    posed,
    write_fits,
    write_scene,
    write_tables,
    write_transform,
)
from harmonize.miniatures.openpose import detect
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.rig import UP, camera_at, matrix, seen_from
from harmonize.miniatures.scene import background, clothes, write_picture
from harmonize.miniatures.studio import StudioCamera, looking_at, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import model_of, moved, stand

SIZE = (480, 270)
_OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_FIRST_TIMESTAMP, _TICKS_PER_FRAME = 132754997786014666, 333333
_DATES = ("2021-09-07-155421", "2022-02-25-180211", "2021-09-29-094010", "2021-10-04-131747")
_DETECTION_NOISE_PX = 0.7

# Frames of a recording, by what is wrong with them; "" for nothing. Those in `_UNLISTED` are nobody's: the picture was
# dropped, or the frame precedes or follows the annotated range.
_FAULTS = (
    ("", "no-detection", "", "singular", "", "no-line", "image-missing", "", "no-fit", "dropped", "before"),
    ("", ""),
    ("", "after", ""),
    ("", ""),
)
_HINTS = {"singular": "no-camera", "no-line": "no-camera"}
_UNLISTED = ("dropped", "before", "after")
_LAP = 11  # frames after which a longer recording comes round to its first


@dataclass(slots=True)
class _Tables:
    """Rows of the recording's files: text lines, then by column the rows of the two npz files."""

    lines: list[str]
    keypoints: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in ("imgname", "center", "scale", "keypoints", "gender")}
    )
    valid: dict[str, list[Any]] = field(default_factory=lambda: {"imgname": [], "valid": []})


def write_egobody_egoset(root: Path, *, seed: int = 0, people: int = 15, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder EgoBody); more good frames of the last recording for more than 15 people
    in a form."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 23])
    write_tables(root)
    truth: list[TruePerson] = []
    for number, (recording, faults) in enumerate(zip(RECORDINGS, _FAULTS, strict=True)):
        more = ("",) * max(0, people - 15) if number == len(RECORDINGS) - 1 else ()
        truth.extend(_record(rng, models, root, recording, _DATES[number], faults + more))
    order = {form: number for number, form in enumerate(FORMS)}
    return Truth("egobody_egoset", tuple(sorted(truth, key=lambda person: order[person.form])))


def _record(
    rng: np.random.Generator, models: BodyModels, root: Path, recording: Recording, date: str, faults: tuple[str, ...]
) -> list[TruePerson]:
    centre = np.array(SIZE) / 2 + rng.uniform(-5, 5, 2)
    kinect = camera_at(0.7, 2.6, size=SIZE, focal_px=np.full(2, 230.0), principal_point_px=centre)
    write_scene(rng, root, recording, kinect)
    holo_to_kinect = matrix(Rotation.from_rotvec(rng.normal(0.0, 0.8, 3)).as_matrix(), rng.uniform(-2, 2, 3))
    write_transform(root, recording, "holo_to_kinect12", holo_to_kinect)
    gender = recording.genders[recording.interactee]
    person = invent(rng, models, gender)
    outfit = clothes(rng, model_of(models, person))
    motion = rng.normal(0.0, 0.02, (55, 3))
    motion[22:] = 0.0
    behind = background(rng, SIZE, 120.0)
    folder = f"egocentric_color/{recording.name}/{date}"
    (root / folder / "PV").mkdir(parents=True, exist_ok=True)
    tables = _Tables([",".join(map(str, (*centre.tolist(), *SIZE)))])
    truth = []
    for step, fault in enumerate(faults):
        first, last = recording.frames
        frame = {"before": first - 2, "after": last + 1}.get(fault, first + step)
        timestamp = _FIRST_TIMESTAMP + frame * _TICKS_PER_FRAME
        stem = f"{timestamp}_frame_{frame:05d}"
        lap = step % _LAP
        camera = seen_from(_head(rng, lap, centre), kinect.rotmat, kinect.transl_m)
        placed = stand(models, posed(person, motion, lap), 0.1 * lap - 0.3, 0.0, 0.3 - 0.15 * lap)
        fits = fits_of(models, moved(models, placed, kinect.rotmat, kinect.transl_m))
        shown = see(models, fits["smplx"], camera)
        if fault not in ("no-fit", "before", "after"):
            write_fits(models, root, recording, INTERACTEE, frame, fits)
        if fault == "dropped":
            continue
        path = f"{folder}/PV/{stem}.jpg"
        if fault != "image-missing":
            write_picture(root / path, take(models, camera, [shown], [outfit], behind))
        if fault != "no-line":
            pose = np.zeros((4, 4)) if fault == "singular" else _pv2world(camera, holo_to_kinect)
            tables.lines.append(f"{timestamp}," + ",".join(repr(float(x)) for x in (*camera.focal_px, *pose.ravel())))
        _detect(rng, tables, shown, path, gender, is_valid=fault != "no-detection")
        if fault in _UNLISTED:
            continue
        for form, fit in fits.items():
            stated: dict[str, Any] = {
                "form": form,
                "split": recording.split,
                "sequence": recording.name,
                "frame": stem,
                "person": "0",
                "image_path": path,
                "has_body": fault != "no-fit",
                "has_camera": fault not in ("singular", "no-line"),
            }
            has = dict.fromkeys(("has_left_hand", "has_right_hand", "has_face"), form == "smplx")
            seen = see(models, fit, camera)
            truth.append(true_person(seen, camera, reject_hint=_HINTS.get(fault, fault), **stated, **has))
    (root / folder / f"{date}_pv.txt").write_text("\n".join(tables.lines) + "\n")
    for name, rows in (("keypoints", tables.keypoints), ("valid_frame", tables.valid)):
        columns: dict[str, Any] = {column: np.array(values) for column, values in rows.items()}
        np.savez(root / folder / f"{name}.npz", **columns)
    return truth


def _head(rng: np.random.Generator, step: int, centre_px: Floats) -> StudioCamera:
    """The head camera on the stage: it comes nearer, looks about, tilts, and sets its focus anew in every frame."""
    position = np.array([0.3 * np.sin(step), 1.65, 2.6 - 0.05 * step])
    target = np.array([rng.uniform(-0.2, 0.2), 0.95 + rng.uniform(-0.1, 0.1), 0.0])
    rotmat, transl = looking_at(position, target, UP, float(rng.uniform(-0.15, 0.15)))
    return StudioCamera(
        focal_px=np.array([1.0, 1.003]) * (290.0 + 4.0 * step),
        principal_point_px=centre_px,
        size=SIZE,
        rotmat=rotmat,
        transl_m=transl,
    )


def _pv2world(camera: StudioCamera, holo_to_kinect: Floats) -> Floats:
    """(4, 4): the OpenGL camera to the HoloLens's world; the camera given is in the master Kinect's frame."""
    kinect_to_camera = matrix(camera.rotmat, camera.transl_m)
    return np.linalg.inv(_OPENCV_TO_OPENGL @ kinect_to_camera @ holo_to_kinect)


def _detect(rng: np.random.Generator, tables: _Tables, shown: View, path: str, gender: str, *, is_valid: bool) -> None:
    """Enters a frame into both npz files; the one with keypoints lists valid frames alone."""
    tables.valid["imgname"].append(path)
    tables.valid["valid"].append(is_valid)
    if not is_valid:
        return
    found = detect(rng, shown.joint_names, shown.joints_px, SIZE, _DETECTION_NOISE_PX)["body"]
    box = tight_box(found[found[:, 2] > 0, :2])
    row = (path, box[:2] + box[2:] / 2, 1.2 * box[2:].max() / 200.0, found, gender)
    for column, value in zip(tables.keypoints.values(), row, strict=True):
        column.append(value)
