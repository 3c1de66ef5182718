"""PROX in miniature: mirrored pictures, one SMPLify-X pickle a frame, OpenPose files of the pictures as they should be.

The qualitative fits lie in the colour camera's frame, the quantitative ones (MoSh) in the Vicon's. Frame names have
dots. One frame has a picture and no fit, one a fit and no picture, one no detections, one no file of them, and in two a
passer-by comes first. The calibration states a lens that neither fits nor pictures know.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures import python2
from harmonize.miniatures.openpose import detect, openpose_json
from harmonize.miniatures.points import Floats
from harmonize.miniatures.rig import camera_at, matrix
from harmonize.miniatures.scene import clothes, write_picture
from harmonize.miniatures.smplifyx import smplx_fit, with_pca_hands
from harmonize.miniatures.studio import StudioCamera, plain_wall, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import Person, model_of, moved, random_person, stand
from harmonize.record import Gender

SIZE = (1920, 1080)
FOCAL_PX, CENTRE_PX = np.array([1060.53, 1060.38]), np.array([951.30, 536.77])
MIRRORED = "the picture is stored mirrored"
_QUALITATIVE, _QUANTITATIVE = "prox_qualitative_dataset", "prox_quantitative_dataset"
_UNUSED_LENS = [0.0412, -0.0611, 0.0008, -0.0002, 0.0144]
_DETECTION_NOISE_PX = 2.0
_DEPTH_SIZE = (512, 424)
_Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class _Recording:
    """Of the frames, counted from 1: those without fit, picture, detection or detection file, with a passer-by."""

    split: str
    name: str
    gender: Gender
    num_frames: int
    unfitted: int = 0
    unpictured: int = 0
    undetected: int = 0
    unlisted: int = 0
    passed: int = 0

    @property
    def folder(self) -> str:
        return _QUALITATIVE if self.split == "qualitative" else _QUANTITATIVE

    @property
    def scene(self) -> str:
        return self.name.split("_")[0]

    def frame(self, number: int) -> str:
        millis = 29 + 33 * (number - 1)
        return f"s001_frame_{number:05d}__00.00.{millis // 1000:02d}.{millis % 1000:03d}"


_RECORDINGS = (
    _Recording("qualitative", "N3OpenArea_00157_01", "male", 6, unfitted=2, unpictured=3, undetected=4, passed=5),
    _Recording("qualitative", "MPH8_00162_01", "female", 3, unlisted=2, passed=3),
    _Recording("qualitative", "Werkraum_03403_01", "female", 2),
    _Recording("quantitative", "vicon_03301_01", "male", 3),
)


def write_prox(root: Path, *, seed: int = 0, people: int = 13, models: BodyModels | None = None) -> Truth:
    """Writes both datasets under root; more frames of the last recording for more than 13 people."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 21])
    truth: list[TruePerson] = []
    for recording in _RECORDINGS:
        more = max(0, people - 13) if recording.split == "quantitative" else 0
        truth.extend(_record(rng, models, root, recording, recording.num_frames + more))
    return Truth("prox", tuple(truth))


def _record(
    rng: np.random.Generator, models: BodyModels, root: Path, recording: _Recording, num_frames: int
) -> list[TruePerson]:
    folder = root / recording.folder
    camera = camera_at(
        float(rng.uniform(-0.4, 0.4)),
        2.9,
        size=SIZE,
        focal_px=FOCAL_PX,
        principal_point_px=CENTRE_PX,
        height_m=1.7,
        roll_rad=float(rng.uniform(-0.04, 0.04)),
    )
    to_vicon = _write_calibration(rng, folder, recording, camera)
    person = random_person(rng, "smplx", recording.gender)
    outfit = clothes(rng, model_of(models, person))
    behind = plain_wall(rng, SIZE, 400.0)
    motion = rng.normal(0.0, 0.05, (55, 3))
    motion[22:] = 0.0
    truth = []
    for number in range(1, num_frames + 1):
        posed = person.pose_aa + number * motion
        acting = with_pca_hands(rng, models, replace(person, pose_aa=posed))
        placed = stand(models, acting, 0.25 * number - 0.8, 0.1 * number, 0.5 - 0.2 * number)
        seen = see(models, placed, camera)
        frame = recording.frame(number)
        if number != recording.unfitted:
            _write_fit(models, folder, recording, frame, seen, moved(models, placed, *to_vicon))
        picture = f"{recording.folder}/recordings/{recording.name}/Color/{frame}.jpg"
        if number != recording.unpictured:
            taken = take(models, camera, [seen], [outfit], behind)
            write_picture(root / picture, np.ascontiguousarray(taken[:, ::-1]))
        _write_detections(rng, folder, recording, number, seen)
        if number != recording.unfitted:
            truth.append(
                true_person(
                    seen,
                    camera,
                    reject_hint="image-missing" if number == recording.unpictured else "",
                    split=recording.split,
                    sequence=recording.name,
                    frame=frame,
                    person="0",
                    note=MIRRORED,
                    image_path=picture,
                    has_left_hand=True,
                    has_right_hand=True,
                    has_face=True,
                )
            )
    return truth


def _write_fit(
    models: BodyModels, folder: Path, recording: _Recording, frame: str, seen: View, in_vicon: Person
) -> None:
    """PROXD's fits are in the camera's frame; MoSh's are in the Vicon's, and Python 2 pickled them."""
    if recording.split == "qualitative":
        path = folder / "PROXD" / recording.name / "results" / frame / "000.pkl"
        data = pickle.dumps(smplx_fit(models, seen.person, has_leftovers=True), protocol=2)
    else:
        path = folder / "fittings" / "mosh" / recording.name / "results" / frame / "000.pkl"
        data = python2.dumps(smplx_fit(models, in_vicon))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _write_detections(rng: np.random.Generator, folder: Path, recording: _Recording, number: int, seen: View) -> None:
    if number == recording.unlisted:
        return
    path = folder / "keypoints" / recording.name / f"{recording.frame(number)}_keypoints.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    people = [detect(rng, seen.joint_names, seen.joints_px, SIZE, _DETECTION_NOISE_PX)]
    if number == recording.undetected:
        people = []
    if number == recording.passed:  # whoever walks by behind is smaller, and may come first
        smaller = 0.7 * seen.joints_px + (50.0, 60.0)
        people.insert(0, detect(rng, seen.joint_names, smaller, SIZE, _DETECTION_NOISE_PX))
    path.write_text(json.dumps(openpose_json(people)))


def _write_calibration(
    rng: np.random.Generator, folder: Path, recording: _Recording, camera: StudioCamera
) -> tuple[Floats, Floats]:
    """Writes the camera's files. Returns the map (rotmat, transl_m) from the stage to the Vicon's frame."""
    for name in ("calibration", "cam2world", f"recordings/{recording.name}/Depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (fx, fy), (cx, cy) = FOCAL_PX, CENTRE_PX
    depth_to_color = {"R": np.eye(3).tolist(), "T": [[-0.052], [0.0], [0.001]]}
    color = {
        "camera_mtx": [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]],
        "k": _UNUSED_LENS,
        "view_mtx": np.eye(3, 4).tolist(),
    }
    (folder / "calibration" / "Color.json").write_text(json.dumps(color | depth_to_color))
    infrared = color | {"camera_mtx": [[367.8, 0.0, 255.9], [0.0, 367.8, 208.3], [0.0, 0.0, 1.0]]}
    (folder / "calibration" / "IR.json").write_text(json.dumps(infrared))
    to_scene = _upright(rng)
    to_cam = matrix(camera.rotmat, camera.transl_m)
    cam2world = to_scene @ np.linalg.inv(to_cam)
    (folder / "cam2world" / f"{recording.scene}.json").write_text(json.dumps(cam2world.tolist()))
    to_vicon = _upright(rng)
    if recording.split == "quantitative":
        (folder / "vicon2scene.json").write_text(json.dumps((to_scene @ np.linalg.inv(to_vicon)).tolist()))
    depth = Image.fromarray(np.full(_DEPTH_SIZE[::-1], 8 * 2500, np.uint16))
    depth.save(folder / "recordings" / recording.name / "Depth" / f"{recording.frame(1)}.png")
    return to_vicon[:3, :3], to_vicon[:3, 3]


def _upright(rng: np.random.Generator) -> Floats:
    """(4, 4): the stage to some frame whose z points up."""
    turn = Rotation.from_euler("z", rng.uniform(-np.pi, np.pi)).as_matrix()
    return matrix(turn @ _Y_UP_TO_Z_UP, rng.uniform(-2, 2, 3))
