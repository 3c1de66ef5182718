"""TalkSHOW: SHOW's fits of four speakers in videos of talk shows and lectures.

Citation: Yi et al., Generating Holistic 3D Human Motion from Speech, CVPR 2023 (arXiv 2212.04420).
Licence: non-commercial scientific research; the videos are their owners'.
Access: registration, then SHOW_dataset_v1.0.zip. The videos are fetched by their ids (videos_links.csv), and some are
    gone.
Counts: 13 727 train, 1 722 val and 1 716 test clips of at most 10 s (train_val_test.json); 3 326 880 train people
    before sub-sampling (SMPLer-X assets/factor_data.pdf; that the marker is this dataset is unverified). SMPLer-X keeps
    every 10th.
Frame: x_cam = v + (-Tx, -Ty, Tz) with `camera_transl` (Tx, Ty, Tz) and no rotation: SHOW renders with an OpenGL camera
    at (Tx, -Ty, Tz) after a half turn about x.
Units: metres (not metric: one focal length, 5000, for all), radians, pixels.
Hands: relative, as 12 coefficients of the model's hand components (use_pca, flat_hand_mean False).
Gender: neutral SMPL-X. Betas: 300 with 100 expression values, of which the first 10 each are taken; that they equal
    those of SMPL-X 1.1 is unverified.
Labels: fit (monocular: PIXIE and PyMAF-X, then an optimisation with the face of DECA and MICA).
Forms: `pkl`.
Known defects:
    - Legs are not seen: hips, knees, ankles and feet are marked as unknown. The authors advise to fix them to a sitting
      or standing pose, and orientation and translation to those of a clip's first frame; values here are the stored
      ones.
    - Clips are found under the folders of the official split script, or by train_val_test.json where it was not run;
      both depths of the READMEs are accepted. Clips of no list (2 s or less) belong to no split.
    - Video names may have spaces, which the lists and extracted frames write as `_`.
    - Frames follow `ffmpeg -r 30 -ss start`; where another number of them was extracted than there are labels, the
      clip is rejected with both numbers.
    - SMPLer-X overwrites the right hand with the left; here both are as stored.
    - Some frames hold numbers that are none (TalkSHOW drops such clips whole): those frames are rejected.
    - `losses_to_log` holds torch tensors, of which nothing is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from harmonize.annotation import Annotation, ImageSource, RawBody, Reject, RigidTransform, VideoFrame
from harmonize.errors import RawFileError
from harmonize.raw.jsons import load_json
from harmonize.raw.pickles import load_pickle
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import Floats, MalformedRecord, concerns_file, floats, listing, number, pinhole, size_px
from harmonize.record import Boxes, Camera, Provenance

RELEASE = "ExpressiveWholeBodyDatasetReleaseV1.0"
SPEAKERS = ("chemistry", "conan", "oliver", "seth")
CLIP_LIST = "train_val_test.json"
FPS = 30.0
NUM_HAND_COMPONENTS = 12
UNSEEN_JOINTS = tuple(f"{side}_{joint}" for joint in ("hip", "knee", "ankle", "foot") for side in ("left", "right"))

_TO_OPENCV = np.array([-1.0, -1.0, 1.0])
_TIMES = re.compile(r".+-(\d+)_(\d+)_(\d+(?:\.\d+)?)-\d+_\d+_\d+(?:\.\d+)?")


class Talkshow(Reader):
    """A unit is one clip."""

    name = "talkshow"
    version = 1
    splits = ("train", "val", "test")
    forms = ("pkl",)
    licence: ClassVar[str] = "non-commercial scientific research"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        folders = ("", RELEASE, f"SHOW_dataset_v1.0/{RELEASE}")
        base = next((self.root / name for name in folders if _speakers(self.root / name)), None)
        if base is None:
            self.require(*(f"{name}/<speaker>/<video>/<clip>/<clip>.pkl".lstrip("/") for name in folders[::-1]))
            return []
        in_folders, loose = _clips(base)
        chosen = dict(in_folders[split])
        if loose:
            listed = self._listed(base, split)
            chosen |= {name: path for name, path in loose.items() if name.replace(" ", "_") in listed}
        return [Unit(id=name, files=(str(chosen[name].relative_to(self.root)),)) for name in sorted(chosen)]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        speaker, video, clip_name = unit.id.split("/")
        clip = _load(self.root / unit.files[0])
        folder = self._frames_folder(speaker, video, clip_name)
        has_frames = (self.root / folder).is_dir()
        num_pictures = sum(1 for _ in (self.root / folder).glob("*.jpg")) if has_frames else clip.num_frames
        film = None if has_frames else self._film(speaker, video, clip_name)
        num_not_finite = clip.num_not_finite()
        for row in range(clip.num_frames):
            frame = f"{row + 1:06d}"
            image = ImageSource(path=f"{folder}/{frame}.jpg", orientation=1)
            if film is not None:
                moment = VideoFrame(index=row, num_frames=clip.num_frames, fps=FPS, start_s=film[1])
                image = ImageSource(path=film[0], orientation=1, video=moment)
            provenance = Provenance(
                dataset=self.name,
                split=split,
                sequence=unit.id,
                frame=frame,
                subject=speaker,
                person="0",
                source_file=unit.files[0],
                source_row=str(row),
                image_path=image.name,
                reader=self.name,
                reader_version=str(self.version),
                label_origin="fit",
                licence=self.licence,
            )
            if num_pictures != clip.num_frames:
                numbers = {"expected": float(clip.num_frames), "found": float(num_pictures)}
                detail = "another number of extracted frames than of labels"
                yield Reject(reason="frame-count", provenance=provenance, detail=detail, numbers=numbers)
                continue
            if num_not_finite[row]:
                numbers = {"num_not_finite": float(num_not_finite[row])}
                yield Reject(reason="not-finite", provenance=provenance, numbers=numbers)
                continue
            yield Annotation(
                provenance=provenance,
                image=image,
                camera=clip.camera,
                boxes=Boxes(),
                body=_body(clip, row),
                image_size_px=clip.size_px,
            )

    def _listed(self, base: Path, split: str) -> set[str]:
        """The clips of a split by the published list."""
        candidates = dict.fromkeys((CLIP_LIST, str((base / CLIP_LIST).relative_to(self.root))))
        path = self.require(*candidates)
        with concerns_file(path):
            return {str(name).replace(" ", "_") for name in listing(load_json(path), split)}

    def _frames_folder(self, speaker: str, video: str, clip: str) -> str:
        """Where extracted frames of a clip are, or would be."""
        inside = f"{speaker}/{video.replace(' ', '_')}/{clip}"
        candidates = (f"frames/{inside}", f"Talkshow/{inside}", f"{RELEASE}/frames/{inside}")
        return next((folder for folder in candidates if (self.root / folder).is_dir()), candidates[0])

    def _film(self, speaker: str, video: str, clip: str) -> tuple[str, float] | None:
        """The video, if it is there, and the second at which a clip starts."""
        times = _TIMES.fullmatch(clip)
        if times is None:
            return None
        hours, minutes, seconds = map(float, times.groups())
        for folder in (f"videos/{speaker}", f"raw_videos/{speaker}/videos", f"{RELEASE}/{speaker}/videos"):
            if (self.root / folder / video).is_file():
                return f"{folder}/{video}", 3600 * hours + 60 * minutes + seconds
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The labels of a clip, one row a frame; `betas` (10,) are those of all."""

    camera: Camera
    size_px: tuple[int, int]
    pose_aa: Floats
    betas: Floats
    transl_m: Floats
    to_cam: RigidTransform
    expression: Floats
    left_hand_pca: Floats
    right_hand_pca: Floats

    @property
    def num_frames(self) -> int:
        return len(self.pose_aa)

    def num_not_finite(self) -> npt.NDArray[np.intp]:
        """(num_frames,) how many numbers of a frame are none."""
        rows = (self.pose_aa.reshape(self.num_frames, -1), self.transl_m, self.expression)
        numbers = np.concatenate([*rows, self.left_hand_pca, self.right_hand_pca], axis=1)
        return np.asarray((~np.isfinite(numbers)).sum(axis=1))


def _speakers(base: Path) -> list[Path]:
    return [base / speaker for speaker in SPEAKERS if (base / speaker).is_dir()]


def _clips(base: Path) -> tuple[dict[str, dict[str, Path]], dict[str, Path]]:
    """Label files by "<speaker>/<video>/<clip>": those in folders of a split, by split, and those in none."""
    in_folders: dict[str, dict[str, Path]] = {split: {} for split in Talkshow.splits}
    loose: dict[str, Path] = {}
    for speaker in _speakers(base):
        for video in sorted(folder for folder in speaker.iterdir() if folder.is_dir()):
            name = f"{speaker.name}/{video.name}"
            loose |= {f"{name}/{clip}": path for clip, path in _label_files(video)}
            for split, clips in in_folders.items():
                if (video / split).is_dir():
                    clips |= {f"{name}/{clip}": path for clip, path in _label_files(video / split)}
    return in_folders, loose


def _label_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Clips and their files: <clip>/<clip>.pkl, or <clip>.pkl."""
    for entry in sorted(folder.iterdir()):
        if entry.suffix == ".pkl" and entry.is_file():
            yield entry.stem, entry
        elif (inner := entry / f"{entry.name}.pkl").is_file():
            yield entry.name, inner


def _load(path: Path) -> Clip:
    content = load_pickle(path)
    if isinstance(content, list) and content:
        content = content[0]
    if not isinstance(content, Mapping):
        raise RawFileError(f"{path}: expected a dictionary, found {type(content).__name__}", file=str(path))
    with concerns_file(path):
        return _clip(content)


def _clip(content: Mapping[str, Any]) -> Clip:
    orient = floats(content, "global_orient", -1, 1, 3)
    num = len(orient)
    # The README says (300,) where the files have (1, 300).
    betas = floats(content, "betas", -1)[:10]
    expression = floats(content, "expression", num, -1)[:, :10]
    if len(betas) < 10 or expression.shape[1] < 10:
        raise MalformedRecord(f"expected 10 betas and expressions or more, found {len(betas)}, {expression.shape[1]}")
    face = [floats(content, key, num, 1, 3) for key in ("jaw_pose", "leye_pose", "reye_pose")]
    return Clip(
        camera=pinhole(np.full(2, number(content, "focal_length")), floats(content, "center", 2), is_calibrated=False),
        size_px=size_px(content),
        pose_aa=np.concatenate(
            [orient, floats(content, "body_pose_axis", num, 21, 3), *face, np.zeros((num, 30, 3))], axis=1
        ),
        betas=betas,
        transl_m=floats(content, "transl", num, 3),
        to_cam=RigidTransform(rotmat=np.eye(3), transl_m=floats(content, "camera_transl", 3) * _TO_OPENCV),
        expression=expression,
        left_hand_pca=floats(content, "left_hand_pose", num, NUM_HAND_COMPONENTS),
        right_hand_pca=floats(content, "right_hand_pose", num, NUM_HAND_COMPONENTS),
    )


def _body(clip: Clip, row: int) -> RawBody:
    return RawBody(
        model="smplx",
        gender="neutral",
        pose_aa=clip.pose_aa[row],
        betas=clip.betas,
        transl_m=clip.transl_m[row],
        hands="relative",
        expression=clip.expression[row],
        to_cam=clip.to_cam,
        left_hand_pca=clip.left_hand_pca[row],
        right_hand_pca=clip.right_hand_pca[row],
        unknown_joints=UNSEEN_JOINTS,
        has_left_hand=True,
        has_right_hand=True,
        has_jaw=True,
        has_eyes=True,
        has_expression=True,
        is_transl_metric=False,
    )
