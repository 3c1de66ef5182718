"""BEDLAM: Bodies Exhibiting Detailed Lifelike Animated Motion.

Citation: Black, Patel, Tesch, Yang, BEDLAM, CVPR 2023 (arXiv 2306.16940).
Licence: BEDLAM licence, non-commercial research.
Access: registration at bedlam.is.tue.mpg.de.
Counts: 30 render jobs in bedlam_scene_names.csv; 951 100 train people after every fifth (SMPLer-X table as recalled,
    unverified).
Forms: `npz` (all_npz_12_training, 6 frames a second, default), `csv` (the full release: be_seq.csv, camera csv files
    and motions of each job, every frame at 30 a second).
Frame: npz: OpenCV camera; `pose_cam` is in it already, posed translation = `trans_cam` + `cam_ext[:3, 3]`, no rotation.
    csv: each motion's own; moved by place and yaw of the body and by the camera (Unreal: centimetres, degrees).
Units: metres, radians, pixels of the picture after the rotation of close-ups.
Hands: absolute (the labels were made with flat_hand_mean=True, pixelite1201/BEDLAM data_processing/df_full_body.py).
Gender: neutral SMPL-X, whatever `gender` says (issue 55). Betas: 11 (10 are accepted in motions).
Labels: synthetic. The expression is not animated, so it is not marked as known.
Known defects:
    - Close-up jobs are stored as 1280x720 landscape but labelled for the picture turned 90 degrees clockwise. Which
      ones is decided by the principal point (360, 640): `20221017_1_250_batch01hand_closeup_suburb_a` has the word in
      its name, but the official label script does not turn it. The form csv has no principal point: there the name
      decides, but for this one. Movies of close-ups are upright as they are (bedlam_render's pipeline turns them).
    - `cam_ext` has one translation PER PERSON: it is no camera pose, and none is given (issue 43). The camera csv files
      have one a picture, which the form csv gives.
    - `gtkps` has a third column of ones from the projection, which the official trainer reads as confidence.
    - Job 20221020-3-8_250_highbmihand_zoom_highSchoolGym_a is spelled with a hyphen or an underscore after the date.
    - Rows are grouped by body, not by picture.
    - `agora-bfh.npz` and `agora-body.npz` beside the jobs hold AGORA people and are left to the agora reader.
    - csv: picture i of a sequence shows row i + `start_frame` of a motion, i at 30 a second. The official script counts
      the pictures in their folder; here i is the number in the camera's `name`.
    - csv: the ground truth of 20221013_3_250_batch01hand_static_bigOffice was once incomplete (issue 21): a camera file
      that is missing is an error that names it.
    - csv: motions of the edition with locked heads have 16 betas of another model and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import ClassVar

from harmonize.annotation import Annotation, Reject
from harmonize.raw.npz import npz_header
from harmonize.readers.base import Reader, Unit
from harmonize.readers.bedlam_jobs import job_people, job_units
from harmonize.readers.bedlam_npz import label_annotation, load_labels
from harmonize.readers.fields import require_keys
from harmonize.record import Provenance


class Bedlam(Reader):
    """A unit is the npz of one render job, in the form csv one sequence of a job."""

    name = "bedlam"
    version = 1
    splits = ("train",)
    forms = ("npz", "csv")
    licence: ClassVar[str] = "non-commercial research (BEDLAM licence)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        return self._label_units() if self.form == "npz" else job_units(self)

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        source = Provenance(
            dataset=self.name,
            split=split,
            source_file=unit.files[0],
            reader=self.name,
            reader_version=str(self.version),
            label_origin="synthetic",
            licence=self.licence,
        )
        yield from self._label_people(unit, source) if self.form == "npz" else job_people(self, unit, source)

    def _label_units(self) -> list[Unit]:
        folder = self.require("all_npz_12_training")
        files = [path for path in sorted(folder.glob("*.npz")) if not path.name.startswith("agora-")]
        if not files:
            self.require("all_npz_12_training/<job>_6fps.npz")
        units = []
        for path in files:
            header = npz_header(path)
            require_keys(header, ("imgname",), str(path))
            shape, _ = header["imgname"]
            units.append(
                Unit(id=path.stem, files=(str(path.relative_to(self.root)),), num_hint=shape[0] if shape else 0)
            )
        return units

    def _label_people(self, unit: Unit, source: Provenance) -> Iterator[Annotation]:
        rows = load_labels(self.root / unit.files[0])
        pictures = self._picture_folder(unit.id)
        for row, name in enumerate(rows["imgname"]):
            picture = PurePosixPath(str(name))
            provenance = replace(
                source,
                sequence=f"{unit.id}/{picture.parent}",
                frame=picture.stem.rpartition("_")[2],
                subject=str(rows["sub"][row]) if "sub" in rows else "",
                person=str(row),
                source_row=str(row),
                image_path=f"{pictures}/{picture}",
            )
            yield label_annotation(provenance, rows, row)

    def _picture_folder(self, job: str) -> str:
        """training_images/<job>/png, in whichever spelling of the job is there."""
        for spelled in (job, job.replace("-", "_", 1), job.replace("_", "-", 1)):
            folder = f"training_images/{spelled}/png"
            if (self.root / folder).is_dir():
                return folder
        return f"training_images/{job}/png"
