"""What EgoBody's two sets share: tables of recordings, calibrations, two trees of fits in the master Kinect's frame."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.points import Floats
from harmonize.miniatures.rig import matrix
from harmonize.miniatures.smplifyx import as_smpl, smpl_fit, smplx_fit, with_pca_hands
from harmonize.miniatures.studio import StudioCamera
from harmonize.miniatures.world import Person, random_person
from harmonize.record import Gender

INTERACTEE, WEARER = "interactee", "camera_wearer"
FORMS = ("smplx", "smpl")
SPLITS = ("train", "val", "test")
_Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class Recording:
    """genders: of bodies 0 and 1. interactee: which of the two. frames: first and last of the annotated range."""

    split: str
    name: str
    scene: str
    genders: tuple[Gender, Gender]
    interactee: int
    frames: tuple[int, int]

    def index_of(self, role: str) -> int:
        """The number of a body in the names of folders."""
        return self.interactee if role == INTERACTEE else 1 - self.interactee


RECORDINGS = (
    Recording("train", "recording_20210907_S02_S01_01", "seminar_g110", ("female", "male"), 1, (1885, 2199)),
    Recording("train", "recording_20220225_S27_S26_01", "cab_e", ("female", "male"), 0, (1301, 1310)),
    Recording("val", "recording_20210929_S05_S16_01", "seminar_j716", ("male", "female"), 1, (2200, 2240)),
    Recording("test", "recording_20211004_S19_S06_01", "foodlab_0312", ("male", "male"), 0, (700, 1290)),
)


def write_tables(root: Path) -> None:
    """data_info_release.csv and data_splits.csv; the columns of the latter differ in length."""
    lines = ["scene_name,body_idx_0,body_idx_1,start_frame,end_frame,body_idx_fpv,recording_name"]
    for recording in RECORDINGS:
        bodies = [f"{number} {gender}" for number, gender in enumerate(recording.genders)]
        row = [recording.scene, *bodies, *map(str, recording.frames), bodies[recording.interactee], recording.name]
        lines.append(",".join(row))
    root.mkdir(parents=True, exist_ok=True)
    (root / "data_info_release.csv").write_text("\n".join(lines) + "\n")
    columns = [[one.name for one in RECORDINGS if one.split == split] for split in SPLITS]
    rows = [",".join(row) for row in zip_longest(*columns, fillvalue="")]
    (root / "data_splits.csv").write_text("\n".join([",".join(SPLITS), *rows]) + "\n")


def write_transform(root: Path, recording: Recording, name: str, transform: Floats) -> None:
    """A 4x4 matrix of a recording's calibration."""
    path = root / "calibrations" / recording.name / "cal_trans" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"trans": transform.tolist()}))


def write_scene(rng: np.random.Generator, root: Path, recording: Recording, master: StudioCamera) -> None:
    """kinect12_to_world: from the master camera to the scene's mesh, whose z points up."""
    turn = Rotation.from_euler("z", rng.uniform(-np.pi, np.pi)).as_matrix() @ _Y_UP_TO_Z_UP
    stage_to_world = matrix(turn, rng.uniform(-2, 2, 3))
    to_world = stage_to_world @ np.linalg.inv(matrix(master.rotmat, master.transl_m))
    write_transform(root, recording, f"kinect12_to_world/{recording.scene}", to_world)


def invent(rng: np.random.Generator, models: BodyModels, gender: Gender) -> Person:
    """Somebody with hands by components."""
    return with_pca_hands(rng, models, random_person(rng, "smplx", gender))


def fits_of(models: BodyModels, person: Person) -> dict[str, Person]:
    """The person as either form has them."""
    return {"smplx": person, "smpl": as_smpl(models, person)}


def write_fits(
    models: BodyModels, root: Path, recording: Recording, role: str, frame: int, fits: dict[str, Person]
) -> None:
    """Both pickles of a person, who is in the master Kinect's frame."""
    for form, person in fits.items():
        folder = root / f"{form}_{role}_{recording.split}" / recording.name / f"body_idx_{recording.index_of(role)}"
        path = folder / "results" / f"frame_{frame:05d}" / "000.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        fit = smpl_fit(person) if form == "smpl" else smplx_fit(models, person, has_leftovers=True)
        path.write_bytes(pickle.dumps(fit | {"gender": person.gender}, protocol=4))


def posed(person: Person, motion: Floats, step: int) -> Person:
    """The person some frames later; hands stay."""
    return replace(person, pose_aa=person.pose_aa + step * motion)
