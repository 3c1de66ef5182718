"""The form csv of BEDLAM: every frame of the full release, from scenes, cameras and motions.

A body of a sequence goes from the frame of its motion to the camera by the rigid map of `bedlam_csv.body_to_cam`; with
the rest pelvis, which convert adds, that is the arithmetic of data_processing/df_full_body.py, from which the npz
labels come. That script leaves out people of whom fewer than 8 of 22 joints are in the picture or a part is behind the
camera; here they are handed on, and what no picture shows is left to the gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from harmonize.annotation import Annotation, ImageSource, RawBody, Reject, VideoFrame
from harmonize.errors import RawLayoutError
from harmonize.readers.base import Reader, Unit
from harmonize.readers.bedlam_csv import (
    BE_SEQ,
    SENSOR_WIDTH_MM,
    Motion,
    SceneBody,
    SceneSequence,
    Shot,
    body_to_cam,
    load_motion,
    load_sequences,
    load_shots,
)
from harmonize.readers.bedlam_npz import SIZE_PX, TURN_CLOCKWISE, TURNED_SIZE_PX
from harmonize.readers.kept import keep_last
from harmonize.record import Boxes, Camera, Provenance

WIDE_CLOSEUP = "20221017_1_250_batch01hand_closeup_suburb_a"
"""Called a close-up, but its scene is staticzoomed-suburba-frameocc, which the official code does not turn."""

_MOTION_FOLDERS = tuple(
    f"{parent}neutral_ground_truth{kind}" for parent in ("", "smplx_gt/") for kind in ("_motioninfo", "")
)
_sequences = keep_last(load_sequences)


@dataclass(frozen=True, slots=True)
class _Files:
    """Where the files of a job lie, relative to the root; `folder` is the job's."""

    folder: str
    motions: str

    @property
    def be_seq(self) -> str:
        return f"{self.folder}/{BE_SEQ}"

    def camera(self, sequence: str) -> str:
        return f"{self.folder}/ground_truth/camera/{sequence}_camera.csv"

    def motion(self, body: SceneBody) -> str:
        return f"{self.motions}/{body.subject}/{body.motion}/motion_seq.npz"


def job_units(reader: Reader) -> list[Unit]:
    """One unit a sequence, job by job; jobs lie in the root, or in images/ as the official scripts want them.

    Raises:
        RawLayoutError: there is no job, or a camera or motion of one is missing.
        RawFileError: a be_seq.csv is damaged.
    """
    scenes = sorted(reader.root.glob(f"*/{BE_SEQ}")) or sorted(reader.root.glob(f"images/*/{BE_SEQ}"))
    if not scenes:
        reader.require(f"<job>/{BE_SEQ}")
    motions = str(reader.require(*_MOTION_FOLDERS).relative_to(reader.root))
    units = []
    for path in scenes:
        files = _Files(str(path.parent.relative_to(reader.root)), motions)
        for sequence in load_sequences(path).values():
            needed = (files.camera(sequence.name), *dict.fromkeys(map(files.motion, sequence.bodies)))
            for file in needed:
                if not (reader.root / file).is_file():
                    raise RawLayoutError(
                        f"{reader.name}: {path} needs {file} under {reader.root}, found none",
                        fix="extract the job's ground truth (an early archive of it was incomplete) and the motions",
                    )
            unit_id = f"{path.parent.name}/{sequence.name}"
            num_people = sequence.num_frames * len(sequence.bodies)
            units.append(Unit(id=unit_id, files=(files.be_seq, *needed), num_hint=num_people))
    return units


def job_people(reader: Reader, unit: Unit, source: Provenance) -> Iterator[Annotation | Reject]:
    """The people of a sequence, frame by frame; `source` is what their provenances have in common.

    Raises:
        RawFileError: a file of the sequence is damaged.
    """
    folder = str(PurePosixPath(unit.files[0]).parent)
    job, _, name = unit.id.rpartition("/")
    files = _Files(folder, str(reader.require(*_MOTION_FOLDERS).relative_to(reader.root)))
    sequence: SceneSequence = _sequences(reader.root / files.be_seq)[name]
    shots = load_shots(reader.root / files.camera(name), name)
    paths = [files.motion(body) for body in sequence.bodies]
    motions = {path: load_motion(reader.root / path) for path in dict.fromkeys(paths)}
    is_turned = "closeup" in job and job != WIDE_CLOSEUP
    for shot in shots:
        picture = _picture(reader, folder, name, shot, len(shots), is_turned)
        for number, (body, path) in enumerate(zip(sequence.bodies, paths, strict=True)):
            motion, row = motions[path], body.start_frame + shot.frame
            provenance = replace(
                source,
                sequence=unit.id,
                frame=f"{shot.frame:04d}",
                subject=body.subject,
                person=str(number),
                source_row=f"{name} body={number}",
                image_path=picture.name,
            )
            if row < len(motion.pose_aa):
                yield _annotation(provenance, picture, shot, body, motion, row, is_turned)
            else:
                yield Reject(
                    reason="no-fit",
                    provenance=provenance,
                    detail="its motion ends before this frame",
                    numbers={"row": row, "num_rows": len(motion.pose_aa)},
                )


def _picture(reader: Reader, folder: str, sequence: str, shot: Shot, num_frames: int, is_turned: bool) -> ImageSource:
    """The picture as rendered, or the movie, which is upright also for close-ups (the pipeline that made the movies
    turns them: bedlam_render tools/post_render_pipeline)."""
    return reader.image(
        ImageSource(
            path=f"{folder}/png/{sequence}/{sequence}_{shot.frame:04d}.png",
            orientation=TURN_CLOCKWISE if is_turned else 1,
        ),
        ImageSource(
            path=f"{folder}/mp4/{sequence}.mp4",
            orientation=1,
            video=VideoFrame(index=shot.frame, num_frames=num_frames),
        ),
    )


def _annotation(
    provenance: Provenance,
    picture: ImageSource,
    shot: Shot,
    body: SceneBody,
    motion: Motion,
    row: int,
    is_turned: bool,
) -> Annotation:
    world_to_cam = shot.world_to_cam(is_turned=is_turned)
    size_px = TURNED_SIZE_PX if is_turned else SIZE_PX
    focal_px = shot.focal_mm / SENSOR_WIDTH_MM * SIZE_PX[0]
    return Annotation(
        provenance=provenance,
        image=picture,
        camera=Camera(
            focal_px=np.full(2, focal_px, np.float32),
            principal_point_px=np.array([side / 2 for side in size_px], np.float32),
            world_to_cam_rotmat=world_to_cam.rotmat.astype(np.float32),
            world_to_cam_transl_m=world_to_cam.transl_m.astype(np.float32),
            has_intrinsics=True,
            is_calibrated=True,
            has_extrinsics=True,
        ),
        boxes=Boxes(),
        body=RawBody(
            model="smplx",
            gender="neutral",
            pose_aa=motion.pose_aa[row],
            betas=motion.betas,
            transl_m=motion.transl_m[row],
            hands="absolute",
            to_cam=body_to_cam(body, world_to_cam),
            has_left_hand=True,
            has_right_hand=True,
            has_jaw=True,
            has_eyes=True,
        ),
        image_size_px=size_px,
    )
