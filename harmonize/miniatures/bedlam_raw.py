"""BEDLAM's full release in miniature (form "csv"): jobs as Unreal rendered them, at 30 pictures a second.

be_seq.csv places bodies in Unreal's world, ground_truth/camera says where the camera was in each picture, and a motion
file holds each body in a frame of its own (y up): neutral SMPL-X with eleven betas and absolute hands. A motion starts
before the pictures do and goes on after them, and two sequences share one; cameras turn, tilt and zoom; a bystander is
never in the picture. A camera that lies on its side filmed portraits, whatever the job's name says. One job has a video
in place of its pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.agora_cameras import unreal_to_opencv
from harmonize.miniatures.films import write_film
from harmonize.miniatures.points import Floats
from harmonize.miniatures.scene import clothes, write_picture
from harmonize.miniatures.studio import StudioCamera, plain_wall, see, take, true_person
from harmonize.miniatures.truth import TruePerson
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import Y_UP_TO_Y_DOWN, Person, model_of, random_person, stand
from harmonize.render import Picture

_STORED_SIZE = (1280, 720)
_SENSOR_MM = (36.0, 20.25)
_SEQUENCE_COLUMNS = "Index,Type,Body,X,Y,Z,Yaw,Pitch,Roll,Comment"
_CAMERA_COLUMNS = "name,x,y,z,yaw,pitch,roll,focal_length,sensor_width,sensor_height,hfov"
_MOTION_LENGTH = 8
_DECIMALS = 6  # of the numbers in both tables
_OUTSIDE = 1.7


@dataclass(frozen=True, slots=True)
class _Job:
    """bodies: of each sequence, (subject, start frame, column 0..1, distance in metres), number of pictures beside."""

    name: str
    focal_mm: float
    camera_cm: tuple[float, float, float]
    pitch_deg: float
    roll_deg: float
    ground_cm: float
    sequences: tuple[tuple[int, tuple[tuple[int, int, float, float], ...]], ...]
    is_film: bool = False

    @property
    def is_portrait(self) -> bool:
        """Whether the camera lies on its side, so that a quarter turn clockwise brings the picture upright."""
        return self.roll_deg > 45


_ORBIT = (3, ((0, 2, 0.3, 4.6), (1, 1, 0.65, 5.4), (2, 1, _OUTSIDE, 5.0)))
_JOBS = (
    _Job(
        name="20221013_3_250_batch01hand_orbit_bigOffice",
        focal_mm=28.0,
        camera_cm=(-120.0, 310.0, 152.0),
        pitch_deg=-4.0,
        roll_deg=2.5,
        ground_cm=12.5,
        sequences=(_ORBIT, (1, ((0, 4, 0.5, 4.0),))),
    ),
    _Job(
        name="20221011_1_250_batch01hand_closeup_suburb_a",
        focal_mm=35.0,
        camera_cm=(40.0, -15.0, 128.0),
        pitch_deg=-5.0,
        roll_deg=90.8,
        ground_cm=0.0,
        sequences=((2, ((1, 3, 0.5, 2.2),)),),
    ),
    _Job(
        name="20221017_1_250_batch01hand_closeup_suburb_a",
        focal_mm=35.0,
        camera_cm=(0.0, 0.0, 170.0),
        pitch_deg=-6.0,
        roll_deg=-1.5,
        ground_cm=0.0,
        sequences=((2, ((2, 1, 0.45, 3.6),)),),
    ),
    _Job(
        name="20221018_3-8_250_batch01hand_pitchDown52_stadium",
        focal_mm=30.0,
        camera_cm=(900.0, -400.0, 380.0),
        pitch_deg=-32.0,
        roll_deg=1.0,
        ground_cm=-30.0,
        sequences=((2, ((1, 5, 0.55, 4.8),)),),
        is_film=True,
    ),
)


@dataclass(frozen=True, slots=True)
class _Subject:
    """motion: one person a frame of the motion file, in the motion's own frame."""

    name: str
    gender: str
    motion: list[Person]
    outfit: Floats


@dataclass(frozen=True, slots=True)
class _CameraPose:
    """A row of the camera table: Unreal's world, centimetres and degrees; roll is positive clockwise."""

    position_cm: Floats
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    focal_mm: float

    def world_to_cam(self, is_portrait: bool) -> Floats:
        """(3, 3) world (OpenCV axes) to the camera, for portraits to the picture turned upright."""
        roll_deg = self.roll_deg - (90.0 if is_portrait else 0.0)
        turns = [-roll_deg, -self.pitch_deg, -self.yaw_deg]
        about = [Rotation.from_euler(axis, turn, degrees=True) for axis, turn in zip("zxy", turns, strict=True)]
        return np.asarray((about[0] * about[1] * about[2]).as_matrix())


def write_raw_release(
    rng: np.random.Generator, models: BodyModels, root: Path, num_sequences: int = 2
) -> list[TruePerson]:
    """Writes the jobs under root, the first of them with at least `num_sequences` sequences. Returns the people."""
    subjects = [_subject(rng, models, f"rp_subject{number}_posed_{number:03d}", "fmf"[number]) for number in range(3)]
    for number, subject in enumerate(subjects):
        folder = root / "neutral_ground_truth_motioninfo" / subject.name / _motion_id(number)
        folder.mkdir(parents=True)
        first = subject.motion[0]
        np.savez(
            folder / "motion_seq.npz",
            poses=np.array([person.pose_aa.ravel() for person in subject.motion]),
            trans=np.array([person.transl_m for person in subject.motion]),
            betas=first.betas,
            gender=first.gender,
            gender_sub=subject.gender,
            motion_info=np.array(["KIT/314/bend_left01_poses", "bend"]),
        )
    truth = []
    for job in _JOBS:
        sequences = job.sequences
        if job is _JOBS[0]:
            sequences = sequences + (_ORBIT,) * (num_sequences - len(sequences))
        rows = ["Comment,None,0,0,0,0,0,0,bodies_min=1;bodies_max=3"]
        for number, (num_frames, bodies) in enumerate(sequences):
            shooting = _Shooting(job, f"seq_{number:06d}", num_frames)
            rows.append(f"Group,None,0.0,0.0,{job.camera_cm[2]},0.0,0.0,0.0,{shooting.comment()}")
            placed, people = shooting.shoot(rng, models, root, [(subjects[body[0]], *body[1:]) for body in bodies])
            rows += [
                f"Body,{subjects[subject].name}_{_motion_id(subject)},{','.join(map(str, place))},0.0,0.0,"
                f"start_frame={start};texture_body=skin_{number:02d}_ALB"
                for place, (subject, start, _, _) in zip(placed, bodies, strict=True)
            ]
            truth += people
        lines = [_SEQUENCE_COLUMNS, *(f"{index},{row}" for index, row in enumerate(rows))]
        (root / job.name / "be_seq.csv").write_text("\n".join(lines) + "\n")
    return truth


def _motion_id(subject: int) -> str:
    return str(1038 + 7 * subject)


def _subject(rng: np.random.Generator, models: BodyModels, name: str, gender: str) -> _Subject:
    actor = replace(random_person(rng, "smplx", "neutral", num_betas=11), expression=np.zeros(10))
    change = rng.normal(0.0, 0.03, actor.pose_aa.shape)
    change[22:] = 0.0
    x, z, yaw = rng.uniform(-0.8, 0.8, 3)
    motion = [
        stand(models, replace(actor, pose_aa=actor.pose_aa + row * change), x + 0.03 * row, z, yaw + 0.05 * row)
        for row in range(_MOTION_LENGTH)
    ]
    return _Subject(name, gender, motion, clothes(rng, model_of(models, actor)))


@dataclass(frozen=True, slots=True)
class _Shooting:
    """One sequence of a job."""

    job: _Job
    name: str
    num_frames: int

    def comment(self) -> str:
        """What be_seq.csv says of the sequence."""
        return f"sequence_name={self.name};frames={self.num_frames};hdri=abandoned_hall_01"

    def shoot(
        self,
        rng: np.random.Generator,
        models: BodyModels,
        root: Path,
        bodies: Sequence[tuple[_Subject, int, float, float]],
    ) -> tuple[list[tuple[float, ...]], list[TruePerson]]:
        """Writes pictures and the camera table. Returns each body's (X, Y, Z, Yaw), and the people."""
        job = self.job
        poses = self._camera_track(rng)
        places = [self._place(rng, poses[0], subject.motion[start], *where) for subject, start, *where in bodies]
        size = _STORED_SIZE[::-1] if job.is_portrait else _STORED_SIZE
        pictures, truth = [], []
        wall = plain_wall(rng, size, size[1] / 2 + 900.0 * np.tan(np.deg2rad(job.pitch_deg)))
        for frame, pose in enumerate(poses):
            rotmat = pose.world_to_cam(job.is_portrait)
            views: list[View] = []
            for (*place_cm, yaw_deg), (subject, start, column, _) in zip(places, bodies, strict=True):
                turn = Rotation.from_euler("y", yaw_deg - 90.0, degrees=True).as_matrix()
                camera = StudioCamera(
                    focal_px=np.full(2, pose.focal_mm / _SENSOR_MM[0] * _STORED_SIZE[0]),
                    principal_point_px=np.array(size) / 2,
                    size=size,
                    rotmat=rotmat @ turn @ Y_UP_TO_Y_DOWN,
                    transl_m=rotmat @ unreal_to_opencv(np.array(place_cm) - pose.position_cm),
                )
                seen = see(models, subject.motion[start + frame], camera)
                truth.append(
                    true_person(
                        seen,
                        camera,
                        reject_hint="outside" if column == _OUTSIDE else "",
                        form="csv",
                        split="train",
                        sequence=f"{job.name}/{self.name}",
                        frame=f"{frame:04d}",
                        person=str(len(views)),
                        image_path=self._image_path(frame),
                        has_left_hand=True,
                        has_right_hand=True,
                    )
                )
                views.append(seen)
            pictures.append(as_stored(take(models, camera, views, [subject.outfit for subject, *_ in bodies], wall)))
        self._write_pictures(root, pictures)
        self._write_camera_table(root, poses)
        return places, truth

    def _camera_track(self, rng: np.random.Generator) -> list[_CameraPose]:
        job, yaw_deg = self.job, rng.uniform(-180, 180)
        return [
            _CameraPose(
                position_cm=np.round(np.array(job.camera_cm) + 4.0 * frame * rng.normal(size=3), _DECIMALS),
                yaw_deg=round(yaw_deg + 0.9 * frame, _DECIMALS),
                pitch_deg=round(job.pitch_deg + 0.4 * frame, _DECIMALS),
                roll_deg=round(job.roll_deg - 0.3 * frame, _DECIMALS),
                focal_mm=round(job.focal_mm + 0.7 * frame, _DECIMALS),
            )
            for frame in range(self.num_frames)
        ]

    def _place(
        self, rng: np.random.Generator, first: _CameraPose, person: Person, column: float, depth_m: float
    ) -> tuple[float, ...]:
        """(X, Y, Z, Yaw) of a body that is in a column of the first picture when its motion is where `person` is."""
        width = _STORED_SIZE[self.job.is_portrait]
        across_m = (column - 0.5) * width / (first.focal_mm / _SENSOR_MM[0] * _STORED_SIZE[0]) * depth_m
        facing = Rotation.from_euler("y", first.yaw_deg, degrees=True)
        spot_m = unreal_to_opencv(first.position_cm) + facing.apply([across_m, 0.0, depth_m])
        yaw_deg = round(first.yaw_deg + 90.0 + rng.normal(0.0, 50.0), _DECIMALS)
        turn = Rotation.from_euler("y", yaw_deg - 90.0, degrees=True)
        origin = spot_m - turn.apply(Y_UP_TO_Y_DOWN @ person.transl_m)
        x, y = 100.0 * origin[2], 100.0 * origin[0]
        return round(x, _DECIMALS), round(y, _DECIMALS), self.job.ground_cm, yaw_deg

    def _image_path(self, frame: int) -> str:
        if self.job.is_film:
            return f"{self.job.name}/mp4/{self.name}.mp4#{frame}"
        return f"{self.job.name}/png/{self.name}/{self.name}_{frame:04d}.png"

    def _write_pictures(self, root: Path, pictures: list[Picture]) -> None:
        """The film, or pictures and a mask that nobody asks for."""
        if self.job.is_film:
            write_film(root / self._image_path(0).partition("#")[0], pictures)
            return
        for frame, picture in enumerate(pictures):
            write_picture(root / self._image_path(frame), picture)
        mask = root / self.job.name / "masks" / self.name / f"{self.name}_0000_env.png"
        write_picture(mask, np.zeros_like(pictures[0]))

    def _write_camera_table(self, root: Path, poses: list[_CameraPose]) -> None:
        lines = [_CAMERA_COLUMNS]
        for frame, pose in enumerate(poses):
            hfov_deg = np.rad2deg(2 * np.arctan(_SENSOR_MM[0] / 2 / pose.focal_mm))
            angles = (pose.yaw_deg, pose.pitch_deg, pose.roll_deg)
            numbers = (*pose.position_cm.tolist(), *angles, pose.focal_mm, *_SENSOR_MM, round(float(hfov_deg)))
            lines.append(f"{self.name}_{frame:04d}.png,{','.join(map(str, numbers))}")
        path = root / self.job.name / "ground_truth" / "camera" / f"{self.name}_camera.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")


def as_stored(picture: Picture) -> Picture:
    """Portrait pictures are stored 1280 wide: a quarter turn clockwise brings them upright."""
    return np.ascontiguousarray(np.rot90(picture)) if picture.shape[0] > picture.shape[1] else picture
