"""InstaVariety in miniature: NeuralAnnot's release, the authors' tfrecords, VIBE's h5, and the raw tracks.

Traps: the points start with the heels, the ankles come last; coordinates in tfrecords are two rows of fourteen, and in
[-1, 1] where features of a network lie beside them; keys spelled in two ways, more file names than frames, cameras and
3D full of zeros; frames from 0 and pictures from 1; the head never tracked; points of low logits; videos of the lists
that are gone, and videos of no list; pictures that nobody has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import simplejpeg

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.labels import annotated
from harmonize.miniatures.neuralannot import smpl_fit
from harmonize.miniatures.points import Floats, padded, tight_box
from harmonize.miniatures.scene import background, write_picture
from harmonize.miniatures.tfrecords import Feature, write_tfrecord
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, paint_views, true_person, view
from harmonize.miniatures.world import random_person
from harmonize.miniatures.world_fits import write_json
from harmonize.render import Picture

CROP, UNSCALED, VIDEO = (224, 224), (300, 300), (180, 320)
NAMES = convention("instavariety_25").names
TRACKED = (
    *("R Heel", "R Knee", "R Hip", "L Hip", "L Knee", "L Heel"),
    *("R Wrist", "R Elbow", "R Shoulder", "L Shoulder", "L Elbow", "L Wrist", "Neck", "Head"),
    *("Nose", "L Eye", "R Eye", "L Ear", "R Ear"),
    *("L Big Toe", "R Big Toe", "L Small Toe", "R Small Toe", "L Ankle", "R Ankle"),
)
"""The names of the tracks' files, in the order of `NAMES`."""
_NOISE_PX = 1.5
_MIN_LOGITS = 0.1
_NETWORK = "hmr_noS5.ckpt-642561"


@dataclass(frozen=True, slots=True)
class _Frame:
    """A picture, who is seen in it, and the (25, 3) points x, y, visible."""

    picture: Picture
    seen: View
    points: Floats


def write_instavariety(root: Path, *, seed: int = 0, people: int = 6, models: BodyModels | None = None) -> Truth:
    """Writes all four forms under root (the folder InstaVariety), NeuralAnnot's with `people` crops."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 26])
    truth = _write_neuralannot(rng, models, people, root)
    truth += _write_tfrecords(rng, models, root)
    truth += _write_tracks(rng, models, root)
    return Truth("instavariety", tuple(truth))


def _frame(rng: np.random.Generator, models: BodyModels, size: tuple[int, int]) -> _Frame:
    middle = size[0] * rng.uniform(0.44, 0.56)
    person = random_person(rng, "smpl", "neutral")
    seen = view(rng, models, person, size, middle, size[1] * rng.uniform(0.04, 0.1), size[1] * rng.uniform(0.76, 0.84))
    picture = paint_views(rng, models, [seen], background(rng, size, 0.5 * size[1]))
    points = annotated(rng, seen, NAMES, size, _NOISE_PX)
    points[:, 2] = (points[:, 2] > 0) & (rng.random(25) > 0.1)
    return _Frame(picture, seen, points)


# --- NeuralAnnot -----------------------------------------------------------------------------------------------------


def _write_neuralannot(rng: np.random.Generator, models: BodyModels, people: int, root: Path) -> list[TruePerson]:
    """A joblib dictionary of columns, and the fits; every fifth crop has none."""
    from joblib import dump  # only whoever writes this miniature needs the package

    columns: dict[str, list[Any]] = {"ann_id": [], "file_name": [], "img_shape": [], "bbox": [], "joints2D": []}
    fits: dict[str, Any] = {}
    truth = []
    for number in range(people):
        frame = _frame(rng, models, CROP)
        clip, ann_id = f"insta_variety_{number // 3:02d}-{7 * (number // 3)}", 100 + 3 * number
        name = f"{clip}/{number % 3:06d}.jpg"
        write_picture(root / "images" / name, frame.picture)
        has_fit = number % 5 != 4
        if has_fit:
            fits[str(ann_id)] = smpl_fit(frame.seen)
        row = (ann_id, name, CROP[::-1], padded(frame.seen.box_xywh, 1.1), frame.points)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
        truth.append(
            true_person(
                frame.seen,
                form="neuralannot",
                split="train",
                sequence=clip,
                frame=Path(name).stem,
                person=str(ann_id),
                image_path=f"images/{name}",
                image_size_px=CROP,
                has_body=has_fit,
                has_camera=has_fit,
            )
        )
    write_json(root / "annotations" / "InstaVariety_train_SMPL_NeuralAnnot.json", fits)
    dump({key: np.array(column) for key, column in columns.items()}, root / "annotations" / "insta_train_db.pt")
    return truth


# --- tfrecords, and VIBE's copy of them ------------------------------------------------------------------------------


def _write_tfrecords(rng: np.random.Generator, models: BodyModels, root: Path) -> list[TruePerson]:
    stem = f"insta_variety_00_copy00_{_NETWORK}"
    train = [[_frame(rng, models, CROP) for _ in range(3)] for _ in range(2)]
    test = [[_frame(rng, models, UNSCALED) for _ in range(2)]]
    examples = [
        _tube(train[0], {"phi": "image/phis", "toes": "image/toe_pts"}),
        _tube(train[1], {"phi": "image/phi", "toes": "image/toes_pts"}),
    ]
    write_tfrecord(root / "insta_variety" / "train" / f"{stem}.tfrecord", examples)
    held_out = "teaching_45184041_497635877402800"
    write_tfrecord(
        root / "insta_variety" / "test" / f"{held_out}.tfrecord", [_tube(test[0], {"toes": "image/toe_pts"})]
    )
    truth = []
    for split, name, tubes in (("train", stem, train), ("test", held_out, test)):
        for number, frames in enumerate(tubes):
            for index, frame in enumerate(frames):
                size = frame.picture.shape[1], frame.picture.shape[0]
                stated: dict[str, Any] = {"split": split, "sequence": f"{name}/{number}", "frame": str(index)}
                stated |= {"person": "0", "image_size_px": size, "has_body": False, "has_camera": False}
                path = f"insta_variety/{split}/{name}.tfrecord!{number}/{index}"
                truth.append(true_person(frame.seen, form="tfrecord", image_path=path, **stated))
    return truth + _write_vibe(rng, models, train, stem, root)


def _tube(frames: Sequence[_Frame], keys: dict[str, str]) -> dict[str, Feature]:
    """An Example. keys: how "toes" and, where the network's features are there, "phi" are spelled."""
    count = len(frames)
    size = np.array(frames[0].picture.shape[1::-1])
    rows = np.array([frame.points.T for frame in frames])  # (N, 3, 25)
    if "phi" in keys:
        rows[:, :2] = 2 * rows[:, :2] / size[:, None] - 1
    tube: dict[str, Feature] = {
        "meta/N": [count],
        "meta/has_3d": [0],
        "image/filenames": [f"frame{number + 1:06d}.jpg".encode() for number in range(count + 2)],
        "image/heightwidths": [int(length) for _ in frames for length in size[::-1]],
        "image/centers": [int(length) // 2 for _ in frames for length in size],
        "image/scale_factors": np.ones((count, 2)),
        "image/crop_pts": [25] * (2 * count),
        "image/xys": rows[:, :2, :14],
        "image/visibilities": [int(value) for value in rows[:, 2, :14].ravel()],
        "image/face_pts": rows[:, :, 14:19],
        keys["toes"]: rows[:, :, 19:],
        "image/encoded": [_jpeg(frame.picture) for frame in frames],
        "image/cams": np.zeros((count, 3)),
        "mosh/poses": np.zeros((count, 72)),
        "mosh/shape": np.zeros(10),
        "mosh/gt3ds": np.zeros((count, 14, 3)),
    }
    return tube | ({keys["phi"]: np.full((count, 2048), 0.25)} if "phi" in keys else {})


def _jpeg(picture: Picture) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=92, colorsubsampling="420"))


def _write_vibe(
    rng: np.random.Generator, models: BodyModels, tubes: Sequence[Sequence[_Frame]], stem: str, root: Path
) -> list[TruePerson]:
    """The training tubes again, and one of a record that is not here; coordinates in pixels of the crops."""
    missing = [_frame(rng, models, CROP) for _ in range(2)]
    names, ids, points, truth = [], [], [], []
    for number, (record, frames) in enumerate([*((stem, tube) for tube in tubes), (stem.replace("00", "01"), missing)]):
        is_here = record == stem
        tube = number if is_here else 31
        video = f"data/insta_variety/train/{record}.tfrecord-{tube}"
        for index, frame in enumerate(frames):
            names.append(video.encode())
            ids.append(index)
            points.append(frame.points)
            truth.append(
                true_person(
                    frame.seen,
                    reject_hint="" if is_here else "image-missing",
                    form="vibe",
                    split="train",
                    sequence=video,
                    frame=str(index),
                    person="0",
                    image_path=f"insta_variety/train/{record}.tfrecord!{tube}/{index}",
                    image_size_px=CROP,
                    has_body=False,
                    has_camera=False,
                )
            )
    with h5py.File(root / "insta_train_db.h5", "w") as file:
        file["vid_name"], file["frame_id"], file["joints2D"] = np.array(names), np.array(ids), np.array(points)
        file.create_dataset("features", data=np.zeros((len(ids), 2048), np.float32), compression="gzip")
    return truth


# --- tracks ----------------------------------------------------------------------------------------------------------


def _write_tracks(rng: np.random.Generator, models: BodyModels, root: Path) -> list[TruePerson]:
    """Two tracks of a training video, one of a test video whose pictures are gone, one of a video of no list."""
    lists = {
        "train": ["jumprope/44626104_311851126301087_n", "yoga/40000000_100000000000000_n"],
        "test": ["deadlift/44825418_754097171600390_n"],
    }
    shown = [
        ("train", lists["train"][0], "0", (0, 1)),
        ("train", lists["train"][0], "3", (40, 41)),
        ("test", lists["test"][0], "0", (7, 8)),
        ("", "parkour/41111111_200000000000000_n", "0", (0,)),
    ]
    truth = []
    for split, video, track, frames in shown:
        for number in frames:
            frame = _frame(rng, models, VIDEO)
            image = f"frame{number + 1:06d}.jpg"
            folder = root / "InstaVariety_tracks" / video / track
            write_json(folder / f"{number:06d}.json", _track_entry(rng, frame, number, image, int(track)))
            if split == "train":
                write_picture(root / "frames_raw" / video / image, frame.picture)
            if split:
                truth.append(
                    true_person(
                        frame.seen,
                        reject_hint="" if split == "train" else "image-missing",
                        form="tracks",
                        split=split,
                        sequence=f"{video}/{track}",
                        frame=str(number),
                        person="0",
                        image_path=f"frames_raw/{video}/{image}",
                        image_size_px=VIDEO,
                        has_body=False,
                        has_camera=False,
                    )
                )
    for split, videos in lists.items():
        (root / f"insta_variety_{split}.txt").write_text("\n".join(videos))  # no newline at the end
    write_json(root / "InstaVariety.json", [{"urls": [video], "is_video": True} for _, video, *_ in shown])
    return truth


def _track_entry(rng: np.random.Generator, frame: _Frame, number: int, image: str, track: int) -> dict[str, Any]:
    """A frame's file: points by name, the head's left out, uncertain ones with logits below the authors' limit."""
    left, top, width, height = tight_box(frame.points[frame.points[:, 2] > 0, :2])
    entry: dict[str, Any] = {
        "frame": number,
        "imloc": image,
        "track_id": track,
        "bbox": {"xmin": left, "ymin": top, "xmax": left + width, "ymax": top + height},
    }
    for name, (x, y, visible) in zip(TRACKED, frame.points, strict=True):
        if name != "Head":
            logits = rng.uniform(0.3, 0.95) if visible else rng.uniform(0.0, 0.5 * _MIN_LOGITS)
            entry[name] = {"x": x, "y": y, "logits": logits, "probability": None}
    return entry
