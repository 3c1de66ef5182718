"""The studio of Human3.6M in miniature: metadata.xml, four cameras a subject, and recordings of one person.

World: z up, the floor at z = 0. The lens is the one of the toolbox, written out here. Subject S7's four pictures are
all 1002 high, those of the others by camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.points import Floats
from harmonize.miniatures.studio import StudioCamera, looking_at, walk
from harmonize.miniatures.world import Person, moved

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
SUBJECTS = tuple(f"S{number}" for number in range(1, 12))
_HEIGHTS = {"54138969": 1002, "55011271": 1000, "58860488": 1000, "60457274": 1002}
_TALL_SUBJECTS = ("S4", "S7", "S10")
_ACTORS = ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K")
_ACTIONS = {
    1: "_ALL",
    2: "Directions",
    3: "Discussion",
    4: "Eating",
    5: "Greeting",
    6: "Phoning",
    7: "Posing",
    8: "Purchases",
    9: "Sitting",
    10: "SittingDown",
    11: "Smoking",
    12: "Photo",
    13: "Waiting",
    14: "Walking",
    15: "WalkDog",
    16: "WalkTogether",
}
_PREFIXES = {
    ("S1", 4, 1): "Eating 2",
    ("S1", 12, 1): "TakingPhoto 1",
    ("S1", 12, 2): "TakingPhoto",
    ("S1", 15, 1): "WalkingDog 1",
    ("S1", 15, 2): "WalkingDog",
    ("S5", 2, 2): "Directions 2",
    ("S5", 3, 1): "Discussion 2",
    ("S5", 3, 2): "Discussion 3",
    ("S9", 10, 1): "SittingDown",
    ("S9", 10, 2): "SittingDown 1",
}
"""File prefixes that are not "<action> 1" for the first sub-action and "<action>" for the second."""
Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """focal_px (2,), centre_px (2,), radial (3,) k1 k2 k3, tangential (2,) p1 p2: shared by all subjects."""

    focal_px: Floats
    centre_px: Floats
    radial: Floats
    tangential: Floats

    def distortion(self) -> Floats:
        """(12,) the same lens in OpenCV's terms: half the tangential ones, the other half as thin prism."""
        (k1, k2, k3), (p1, p2) = self.radial, self.tangential
        return np.array([k1, k2, p1 / 2, p2 / 2, k3, 0.0, 0.0, 0.0, p2 / 2, 0.0, p1 / 2, 0.0])


@dataclass(frozen=True, slots=True)
class Rig:
    """The cameras of all subjects. poses[camera][subject]: Euler angles about x, y, z (radians) and centre (mm)."""

    intrinsics: dict[str, Intrinsics]
    poses: dict[str, dict[str, tuple[Floats, Floats]]]

    def camera(self, subject: str, name: str) -> StudioCamera:
        """x_cam = R (X - C): R the intrinsic x-y-z rotation of the angles, C the centre."""
        inner, (angles, centre_mm) = self.intrinsics[name], self.poses[name][subject]
        rotmat = Rotation.from_euler("XYZ", angles).as_matrix()
        return StudioCamera(
            focal_px=inner.focal_px,
            principal_point_px=inner.centre_px,
            size=picture_size(subject, name),
            rotmat=rotmat,
            transl_m=-rotmat @ centre_mm / 1000.0,
            bend=lens(inner.radial, inner.tangential),
        )


def picture_size(subject: str, camera: str) -> tuple[int, int]:
    """(width, height) in pixels."""
    return 1000, 1002 if subject in _TALL_SUBJECTS else _HEIGHTS[camera]


def lens(radial: Floats, tangential: Floats) -> Callable[[Floats], Floats]:
    """The toolbox's distortion of rays (N, 2): x (radial + tangential term) + p2 r2, and likewise y with p1."""

    def bend(rays: Floats) -> Floats:
        r2 = (rays**2).sum(1, keepdims=True)
        factor = 1.0 + radial[0] * r2 + radial[1] * r2**2 + radial[2] * r2**3
        mixed = tangential[0] * rays[:, 1:] + tangential[1] * rays[:, :1]
        return np.asarray(rays * (factor + mixed) + r2 * tangential[::-1])

    return bend


def build(rng: np.random.Generator) -> Rig:
    """Four cameras in the corners of the room, each turned and moved a little from subject to subject."""
    intrinsics: dict[str, Intrinsics] = {}
    poses: dict[str, dict[str, tuple[Floats, Floats]]] = {}
    for number, name in enumerate(CAMERAS):
        intrinsics[name] = Intrinsics(
            focal_px=1147.0 + rng.uniform(-4, 4, 2),
            centre_px=np.array([512.0, 508.0]) + rng.uniform(-7, 7, 2),
            radial=np.array([-0.2, 0.24, -0.003]) + rng.uniform(-0.01, 0.01, 3),
            tangential=rng.uniform(0.0008, 0.002, 2) * (-1, -1),
        )
        corner = np.array([(1.9, 4.9), (1.9, -5.1), (-1.8, 4.8), (-1.9, -4.8)][number])
        poses[name] = {}
        for subject in SUBJECTS:
            centre = np.array([*(corner + rng.uniform(-0.1, 0.1, 2)), 1.55 + rng.uniform(-0.05, 0.05)])
            target = np.array([0.0, 0.0, 0.9]) + rng.uniform(-0.1, 0.1, 3)
            rotmat, _ = looking_at(centre, target, np.array([0.0, 0.0, 1.0]), float(rng.uniform(-0.02, 0.02)))
            angles = Rotation.from_matrix(rotmat).as_euler("XYZ")
            poses[name][subject] = angles, 1000.0 * centre
    return Rig(intrinsics, poses)


def perform(rng: np.random.Generator, models: BodyModels, num_frames: int) -> tuple[list[Person], Floats]:
    """A `walk` in the studio's world."""
    people, outfit = walk(rng, models, num_frames)
    return [moved(models, person, Y_UP_TO_Z_UP, np.zeros(3)) for person in people], outfit


def file_prefix(subject: str, action: int, subaction: int) -> str:
    """What the files of a recording begin with; names differ from subject to subject."""
    usual = f"{_ACTIONS[action]} 1" if subaction == 1 else _ACTIONS[action]
    return _PREFIXES.get((subject, action, subaction), usual)


def write_metadata(path: Path, rig: Rig) -> None:
    """metadata.xml: the names of recordings, the sizes of pictures, the calibration and the action names."""
    header = ["Action", "subaction", *SUBJECTS]
    rows = [
        [str(action), str(subaction), *(file_prefix(subject, action, subaction) for subject in SUBJECTS)]
        for action in _ACTIONS
        for subaction in (1, 2)
    ]
    sizes = [";".join(f"{picture_size(s, name)[1]} 1000" for name in CAMERAS) for s in SUBJECTS]
    tail = [["Action", "subaction", *_ACTORS], ["", "", *(f"[{size}]" for size in sizes)]]
    outside = [[*angles, *centre] for name in CAMERAS for angles, centre in rig.poses[name].values()]
    inside = [
        [*inner.focal_px, *inner.centre_px, *inner.radial, *inner.tangential] for inner in rig.intrinsics.values()
    ]
    numbers = " ".join(f"{value:.15g}" for row in (*outside, *inside) for value in row)
    mapping = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in [header, *rows, *tail])
    ids = "".join(f"<item>{name}</item>" for name in CAMERAS)
    names = "".join(f"<item>{name}</item>" for name in ("Miscellaneous", *list(_ACTIONS.values())[1:]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<a>\n<mapping>\n{mapping}</mapping>\n<w0>[{numbers}]</w0>\n'
        f"<dbcameras><index2id>{ids}</index2id></dbcameras>\n<actionnames>{names}</actionnames>\n</a>\n"
    )


def _cell(text: str) -> str:
    return f"<td>{text}</td>" if text else "<td/>"
