"""TalkSHOW in miniature: pickles of SHOW, extracted frames, and web videos whose frame rate is another.

A camera displacement of which two signs turn; hands of 12 coefficients, relative and different left and right; 300
betas and 100 expressions; CUDA tensors nobody needs. Some clips lie as the split script leaves them, others as they
came with the published list; one is in no list. Clips are shorter than their names say.
"""

from __future__ import annotations

import csv
import json
import pickle
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.films import write_film
from harmonize.miniatures.points import Floats
from harmonize.miniatures.scene import clothes, write_picture
from harmonize.miniatures.smplifyx import hand_coefficients, with_pca_hands
from harmonize.miniatures.studio import StudioCamera, plain_wall, see, take, true_person
from harmonize.miniatures.torch_scalar import dumps_with_scalars
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import Y_UP_TO_Y_DOWN, Person, model_of, moved, random_person, vertices_of
from harmonize.render import Picture

RELEASE = "ExpressiveWholeBodyDatasetReleaseV1.0"
_FPS = 30
_NUM_BETAS, _NUM_EXPRESSIONS = 300, 100
_LOSSES = {"loss_kpts_hand": 12.5, "shape_reg": 0.25}


@dataclass(frozen=True, slots=True)
class _Clip:
    """pictures: "frames" (of them num_pictures), "video" of the given rate and with num_pictures of the clip's, or "".

    folder: "split" (as the script leaves it), "clip" or "flat" (as published); trap: "nan", "readme" for the shapes and
    the list that the README describes, "unlisted".
    """

    speaker: str
    video: str
    name: str
    split: str
    num_frames: int
    pictures: str = "frames"
    num_pictures: int | None = None
    folder: str = "split"
    fps: int = _FPS
    trap: str = ""
    height_px: int = 360

    @property
    def size(self) -> tuple[int, int]:
        return self.height_px * 16 // 9, self.height_px

    @property
    def focal_px(self) -> float:
        """5000 for the height of 720 that nearly all videos have."""
        return 5000.0 / 720 * self.height_px

    @property
    def sequence(self) -> str:
        return f"{self.speaker}/{self.video}/{self.name}"

    @property
    def file(self) -> str:
        video = f"{RELEASE}/{self.speaker}/{self.video}"
        middle = {"split": f"{self.split}/{self.name}/", "clip": f"{self.name}/", "flat": ""}[self.folder]
        return f"{video}/{middle}{self.name}.pkl"

    @property
    def start_s(self) -> int:
        hours, minutes, seconds = map(int, self.name.split("-")[1].split("_"))
        return 3600 * hours + 60 * minutes + seconds

    def has_all_pictures(self) -> bool:
        return self.num_pictures is None or self.num_pictures == self.num_frames

    def reject_hint(self) -> str:
        if self.pictures == "":
            return "image-missing"
        return self.trap if self.trap == "nan" else "" if self.has_all_pictures() else "video-short"


_SPACED = "A Closer Look - Late Night-pVAD70eSWA8.webm"
_CLIPS = (
    _Clip("seth", _SPACED, "5046-00_01_23-00_01_27", "train", 3, height_px=720),
    _Clip("seth", _SPACED, "5051-00_01_28-00_01_38", "train", 3, num_pictures=2),
    _Clip("seth", _SPACED, "5052-00_01_50-00_02_00", "test", 2, trap="nan"),
    _Clip("oliver", "Net_Neutrality-fpbOEoRrHyU.mp4", "101-00_00_01-00_00_03", "val", 4, pictures="video", fps=60),
    _Clip("oliver", "Retirement-gvZSpET11ZY.mp4", "7-00_10_02-00_10_06", "train", 2, trap="readme"),
    _Clip("conan", "Scraps-00001.mp4", "33-00_00_00-00_00_02", "test", 2, "video", 1, folder="flat"),
    _Clip("chemistry", "Lecture_3-00002.mp4", "9-00_00_05-00_00_09", "train", 2, pictures="", folder="clip"),
    _Clip("chemistry", "Lecture_3-00002.mp4", "10-00_00_09-00_00_10", "", 1, "", folder="clip", trap="unlisted"),
)


def write_talkshow(root: Path, *, seed: int = 0, people: int = 18, models: BodyModels | None = None) -> Truth:
    """Writes release, frames, videos and split list under root, with at least `people` annotations."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 38])
    clips = list(_CLIPS)
    missing = people - sum(clip.num_frames for clip in clips if clip.split)
    clips += [
        _Clip("conan", f"More-{number:05d}.mp4", "1-00_00_00-00_00_03", "train", 1, folder="clip")
        for number in range(missing)
    ]
    truth = [true for clip in clips for true in _record(rng, models, clip, root)]
    listed = {split: [clip.sequence for clip in clips if clip.split == split] for split in ("train", "val", "test")}
    (root / "train_val_test.json").write_text(json.dumps(listed))
    _write_intervals(root / "SHOW_intervals_subject4.csv", clips)
    return Truth("talkshow", tuple(truth))


def _record(rng: np.random.Generator, models: BodyModels, clip: _Clip, root: Path) -> list[TruePerson]:
    """Writes a clip's pickle, sound and pictures; nobody is true of a clip that no split lists."""
    displacement = np.array([rng.uniform(-0.3, 0.3), rng.uniform(-0.8, -0.5), rng.uniform(6.2, 6.8)])
    camera = StudioCamera(
        focal_px=np.full(2, clip.focal_px),
        principal_point_px=np.array(clip.size) / 2,
        size=clip.size,
        rotmat=np.eye(3),
        transl_m=displacement * (-1, -1, 1),
    )
    frames = _speak(rng, models, clip, camera)
    path = root / clip.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_pickle(rng, models, clip, frames, displacement))
    with wave.open(str(path.with_suffix(".wav")), "wb") as sound:
        sound.setparams((1, 2, 22000, 0, "NONE", ""))
        sound.writeframes(bytes(440))
    if not clip.split:
        return []
    seen = [see(models, person, camera) for person in frames]
    outfit = clothes(rng, model_of(models, frames[0]))
    wall = plain_wall(rng, clip.size, 0.83 * clip.height_px)
    paths = _write_pictures(models, clip, camera, seen, outfit, wall, root)
    return [
        true_person(
            view,
            camera,
            reject_hint=clip.reject_hint(),
            note=clip.trap,
            split=clip.split,
            sequence=clip.sequence,
            frame=f"{frame + 1:06d}",
            person="0",
            image_path=paths[frame],
            is_transl_metric=False,
            has_left_hand=True,
            has_right_hand=True,
            has_face=True,
        )
        for frame, view in enumerate(seen)
    ]


def _speak(rng: np.random.Generator, models: BodyModels, clip: _Clip, camera: StudioCamera) -> list[Person]:
    """The speaker, facing the camera, in the frame before its displacement: from the head down to about the hips."""
    person = with_pca_hands(rng, models, random_person(rng, "smplx", "neutral"))
    pose = person.pose_aa.copy()
    for joint, mirror in ((16, (1, 1, 1)), (17, (1, -1, -1))):  # upper arms down, forearms towards the camera
        pose[joint] = rng.uniform((-0.1, -0.3, -1.2), (0.1, 0.0, -0.9)) * mirror
        pose[joint + 2] = rng.uniform((-0.2, -1.7, -0.1), (0.2, -1.2, 0.1)) * mirror
    motion = np.concatenate([np.zeros((12, 3)), rng.normal(0.0, 0.05, (10, 3)), np.zeros((33, 3))])
    facing = Y_UP_TO_Y_DOWN @ Rotation.from_rotvec(rng.uniform(-0.3, 0.3, 3) * (0.3, 1.0, 0.3)).as_matrix()
    speaker = moved(models, replace(person, pose_aa=pose), facing, np.zeros(3))
    head_top = vertices_of(models, speaker)[:, 1].min()
    wanted = clip.height_px * np.array([rng.uniform(0.15, 0.35), 0.05 - 0.5]) / clip.focal_px * camera.transl_m[2]
    shift = np.append(wanted - camera.transl_m[:2] - (speaker.transl_m[0], head_top), 0.08)
    return [
        replace(
            speaker,
            pose_aa=speaker.pose_aa + frame * motion,
            transl_m=speaker.transl_m + shift + (0.01 * frame, 0.0, 0.005 * frame),
        )
        for frame in range(clip.num_frames)
    ]


def _write_pictures(
    models: BodyModels,
    clip: _Clip,
    camera: StudioCamera,
    seen: Sequence[View],
    outfit: Floats,
    wall: Picture,
    root: Path,
) -> list[str]:
    """Writes what pictures the clip has, and says where each frame's is or would be.

    Between the frames of a faster video, and before the clip, there is the empty room.
    """
    count = clip.num_frames if clip.num_pictures is None else clip.num_pictures
    if clip.pictures == "":
        return [f"videos/{clip.speaker}/{clip.video}"] * clip.num_frames
    pictures = [take(models, camera, [view], [outfit], wall) for view in seen[:count]]
    if clip.pictures == "frames":
        folder = f"frames/{clip.speaker}/{clip.video.replace(' ', '_')}/{clip.name}"
        paths = [f"{folder}/{frame + 1:06d}.jpg" for frame in range(clip.num_frames)]
        for path, picture in zip(paths, pictures, strict=False):
            write_picture(root / path, picture)
        return paths
    step = clip.fps // _FPS
    film = [wall] * (clip.start_s * clip.fps)
    for picture in pictures:
        film += [picture] + [wall] * (step - 1)
    path = f"videos/{clip.speaker}/{clip.video}"
    write_film(root / path, film, clip.fps)
    return [f"{path}#{clip.start_s * clip.fps + step * frame}" for frame in range(clip.num_frames)]


def _pickle(
    rng: np.random.Generator, models: BodyModels, clip: _Clip, frames: Sequence[Person], displacement: Floats
) -> bytes:
    """The content of a clip's file."""
    num = len(frames)
    pose = np.array([person.pose_aa for person in frames], np.float32)
    left, right = np.array([hand_coefficients(models, person) for person in frames], np.float32).transpose(1, 0, 2)
    betas = np.append(frames[0].betas, rng.normal(0.0, 0.3, _NUM_BETAS - 10))
    face = np.array([person.expression for person in frames])
    fit: dict[str, Any] = {
        "width": clip.size[0],
        "height": clip.size[1],
        "center": [clip.size[0] / 2, clip.size[1] / 2],
        "batch_size": num,
        "camera_transl": displacement.astype(np.float32),
        "focal_length": np.array(clip.focal_px, np.float32),
        "expression": np.concatenate([face, rng.normal(0, 0.2, (num, _NUM_EXPRESSIONS - 10))], 1).astype(np.float32),
        "jaw_pose": pose[:, 22],
        "betas": betas[None].astype(np.float32),
        "global_orient": pose[:, :1],
        "transl": np.array([person.transl_m for person in frames], np.float32),
        "left_hand_pose": left,
        "right_hand_pose": right,
        "leye_pose": pose[:, 23],
        "reye_pose": pose[:, 24],
        "pose_embedding": rng.normal(size=(num, 32)).astype(np.float32),
        "mica_head_transl": np.zeros((1, 3), np.float32),
        "body_pose_axis": pose[:, 1:22].reshape(num, 63),
        "speaker_name": clip.speaker,
    }
    if clip.trap == "nan":
        fit["body_pose_axis"][-1, 40] = np.nan
    if clip.trap != "readme":
        return dumps_with_scalars(fit, _LOSSES)
    fit |= {
        "betas": fit["betas"][0],
        "global_orient": pose[:, 0],
        "body_pose_axis": pose[:, 1:22],
    }
    for extra in ("mica_head_transl", "speaker_name"):
        del fit[extra]
    return pickle.dumps([fit], 2)


def _write_intervals(path: Path, clips: Sequence[_Clip]) -> None:
    """The table of all intervals; its `dataset` is the speech data set's own split, which is not the published one."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        columns = ("interval_id", "dataset", "start_time", "end_time", "split_index", "notexist")
        table.writerow(("", "Unnamed: 0.1", "speaker", "video_fn", *columns))
        for row, clip in enumerate(clips):
            number, *times = clip.name.split("-")
            times = [time.replace("_", ":") for time in times]
            gone = int(clip.pictures == "")
            table.writerow((row, row, clip.speaker, clip.video, number, ("dev", "train")[row % 2], *times, 210, gone))
