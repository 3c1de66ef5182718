"""EgoBody's multi-view set in miniature: three or five Kinects with bent lenses, two people, two body models.

All fits are in the master Kinect's frame, and calibrations map the other cameras to it. Pictures are missing here and
there, and some lie outside the annotated range.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.miniatures.egobody import (
    FORMS,
    INTERACTEE,
    RECORDINGS,
    WEARER,
    Recording,
    fits_of,
    invent,
    write_fits,
    write_scene,
    write_tables,
    write_transform,
)
from harmonize.miniatures.points import Floats
from harmonize.miniatures.rig import camera_at, lens, matrix, seen_from
from harmonize.miniatures.scene import background, clothes, write_picture
from harmonize.miniatures.studio import StudioCamera, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.world import model_of, moved, stand

SIZE = (1920, 1080)
VIEWS = {"master": 12, "sub_1": 11, "sub_2": 13, "sub_3": 14, "sub_4": 15}
"""View: its number in the names of calibrations."""
_FRAMES = (1888, 1305, 2222, 707)
"""Of each recording."""
_PICTURED = (("master", "sub_2"), ("sub_1", "sub_4"), ("sub_1",), ("sub_2",))
"""Views of each recording that have the picture."""
_OUTSIDE = "frame_01880"
"""A picture of the first recording, before the annotated range."""
_RATIONAL = np.array([0.52, -2.71, 0.0005, -0.0003, 1.58, 0.40, -2.53, 1.49])


def write_egobody_mvset(root: Path, *, seed: int = 0, people: int = 28, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder EgoBody); more frames of the first recording for more
    than 28 people in a form."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 22])
    write_tables(root)
    kinects = {view: _kinect(rng, root, view) for view in VIEWS}
    truth: list[TruePerson] = []
    for number, recording in enumerate(RECORDINGS):
        more = -(-max(0, people - 28) // 6) if number == 0 else 0
        frames = range(_FRAMES[number], _FRAMES[number] + 1 + more)
        truth.extend(_record(rng, models, root, recording, kinects, frames, _PICTURED[number]))
    first = RECORDINGS[0].name
    write_picture(root / f"kinect_color/{first}/master/{_OUTSIDE}.jpg", background(rng, SIZE, 110.0))
    order = {form: number for number, form in enumerate(FORMS)}
    return Truth("egobody_mvset", tuple(sorted(truth, key=lambda person: order[person.form])))


def _kinect(rng: np.random.Generator, root: Path, view: str) -> tuple[Floats, Floats, Floats]:
    """Writes a Kinect's own parameters. Returns focal_px (2,), principal_point_px (2,), distortion (12,)."""
    focal, centre = 912.0 + rng.uniform(-8, 8, 2), np.array(SIZE) / 2 + rng.uniform(-16, 16, 2)
    k = _RATIONAL * rng.uniform(0.97, 1.03, 8)
    color = {
        "f": focal.tolist(),
        "c": centre.tolist(),
        "camera_mtx": [[focal[0], 0.0, centre[0]], [0.0, focal[1], centre[1]], [0.0, 0.0, 1.0]],
        "k": k.tolist(),
    }
    folder = root / "kinect_cam_params" / f"kinect_{view}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Color.json").write_text(json.dumps(color))
    depth_to_color = matrix(np.eye(3), np.array([-0.032, -0.002, 0.004]))
    (folder / "IR.json").write_text(json.dumps(color | {"ext_depth2color": depth_to_color.tolist()}))
    return focal, centre, lens(*k)


def _cameras(
    rng: np.random.Generator, root: Path, recording: Recording, kinects: dict[str, tuple[Floats, Floats, Floats]]
) -> tuple[StudioCamera, dict[str, StudioCamera]]:
    """Writes a recording's calibration. Returns the master on the stage, and each view in the master's frame."""
    num_views = 5 if recording.name.startswith("recording_2022") else 3
    stage = {}
    for number, (view, (focal, centre, distortion)) in enumerate(list(kinects.items())[:num_views]):
        stage[view] = camera_at(
            1.25 * number + float(rng.uniform(-0.15, 0.15)),
            2.7,
            size=SIZE,
            focal_px=focal,
            principal_point_px=centre,
            distortion=distortion,
            height_m=1.6,
            roll_rad=float(rng.uniform(-0.05, 0.05)),
        )
    master = stage["master"]
    cameras = {view: seen_from(camera, master.rotmat, master.transl_m) for view, camera in stage.items()}
    for view, camera in cameras.items():
        if view != "master":
            to_master = np.linalg.inv(matrix(camera.rotmat, camera.transl_m))
            write_transform(root, recording, f"kinect_{VIEWS[view]}to12_color", to_master)
    write_transform(root, recording, "holo_to_kinect12", matrix(np.eye(3), rng.uniform(-1, 1, 3)))
    write_scene(rng, root, recording, master)
    return master, cameras


def _record(
    rng: np.random.Generator,
    models: BodyModels,
    root: Path,
    recording: Recording,
    kinects: dict[str, tuple[Floats, Floats, Floats]],
    frames: range,
    pictured: tuple[str, ...],
) -> list[TruePerson]:
    master, cameras = _cameras(rng, root, recording, kinects)
    cast = {role: invent(rng, models, recording.genders[recording.index_of(role)]) for role in (INTERACTEE, WEARER)}
    outfits = [clothes(rng, model_of(models, person)) for person in cast.values()]
    behind = background(rng, SIZE, 110.0)
    truth = []
    for frame in frames:
        fits = {}
        for number, (role, person) in enumerate(cast.items()):
            placed = stand(models, person, 0.7 * number - 0.35, float(rng.uniform(-0.2, 0.2)), 1.2 - 2.2 * number)
            fits[role] = fits_of(models, moved(models, placed, master.rotmat, master.transl_m))
            write_fits(models, root, recording, role, frame, fits[role])
        for view, camera in cameras.items():
            path = f"kinect_color/{recording.name}/{view}/frame_{frame:05d}.jpg"
            shown = [see(models, people["smplx"], camera) for people in fits.values()]
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            if view in pictured:
                write_picture(root / path, take(models, camera, shown, outfits, behind))
            hint = "" if view in pictured else "image-missing"
            for role, people in fits.items():
                for form, person in people.items():
                    stated = {
                        "form": form,
                        "split": recording.split,
                        "sequence": f"{recording.name}/{view}",
                        "frame": f"frame_{frame:05d}",
                        "person": role,
                        "image_path": path,
                        "distortion": kinects[view][2],
                    }
                    has = dict.fromkeys(("has_left_hand", "has_right_hand", "has_face"), form == "smplx")
                    seen = see(models, person, camera)
                    truth.append(true_person(seen, camera, reject_hint=hint, **stated, **has))
    return truth
