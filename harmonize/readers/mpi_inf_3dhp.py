"""MPI-INF-3DHP.

Citation: Mehta et al., Monocular 3D Human Pose Estimation In The Wild Using Improved CNN Supervision, 3DV 2017; Moon et
    al., NeuralAnnot, CVPRW 2022 (arXiv 2011.11232).
Licence: research use (text unverified).
Access: download scripts of the authors, whose conf.ig must say ready_to_download=1; the parsed release through
    mks0601/NeuralAnnot_RELEASE.
Counts: 8 subjects x 2 sequences x 14 cameras, 6 054 to 12 820 frames a sequence; six test sequences with 24 888 frames;
    939 847 train people before sub-sampling (SMPLer-X assets/factor_data.pdf; that the marker is this dataset is
    unverified).
Frame: fits and json joints: world, moved by each camera (R X + t). Official joints: camera.
Units: joints and `t` in millimetres, fits in metres; pixels of the stored picture (those of the parsed release are
    reduced, and its cameras with them).
Hands: absent. The mesh that the fits were made with shows the mean hand.
Gender: neutral SMPL-X (or SMPL in its form). Betas: 10. Rotations of wrists and ankles are marked as unknown.
Labels: neuralannot; multi-view (markerless capture) where there are joints alone.
Forms: `neuralannot` (SMPL-X fits, default), `neuralannot_smpl`, both train alone; `official` (joints and videos).
Known defects:
    - S6/Seq2 video_2 is shorter than its annotation (3 911 usable frames, isarandi/posepile; margipose leaves it out):
      its frames are asked for one by one, so that those beyond the end alone are rejected.
    - SPIN pairs annotations with an unsorted list of pictures; here the number in the name counts.
    - `univ_annot3` is a rescaled skeleton that projects to the same pixels; `annot3` is read.
    - The arrays of the test set name no camera: see `mpi_inf_3dhp_official`. Only frames with valid_frame 1 are kept.
    - mmpose's cameras_train.pkl gives heights of 204 px, a slip in cutting lines: sizes are those of the calibration.
    - Points may lie outside the picture, as projections do: SPIN drops such people, here they are kept.
    - 2D hips and pelvis lie 1 to 2 px beside their projected 3D joints, the other joints on them (mmpose's test data).
    - Sequences of 12 000 frames were recorded at 50 fps, the others at 25 (inferred, unverified): indices count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from harmonize.annotation import Annotation, ImageSource, Reject, VideoFrame
from harmonize.keypoints import convention
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import box
from harmonize.readers.mpi_inf_3dhp_official import (
    NUM_CAMERAS,
    calibration,
    scored_sequence,
    train_sequence,
)
from harmonize.readers.world_fits import WorldCamera, measured_points, projected_points, world_body
from harmonize.readers.world_release import Layout, Row, release_reader
from harmonize.record import Array, BodyKind, Boxes, Provenance

SHORT_VIDEO = "S6/Seq2/video_2"
_NAMES_17 = convention("mpi_inf_3dhp_test_17").names
_NAMES_28 = convention("mpi_inf_3dhp_28").names
_LAYOUT = Layout(("subject_idx", "seq_idx", "cam_idx"), 3, "focal", "princpt")
_MODELS: dict[str, BodyKind] = {"neuralannot": "smplx", "neuralannot_smpl": "smpl"}
_RELEASES = {form: release_reader(_LAYOUT, model) for form, model in _MODELS.items()}
_EXTRACTED = (
    ("{folder}/video_{camera}", "{number:06d}.jpg", 1),  # open-mmlab/mmhuman3d docs/preprocess_dataset.md
    ("{folder}/imageFrames/video_{camera}", "frame_{number:06d}.jpg", 1),  # nkolot/SPIN
)
"""Where others extract frames to: folder, name, first number."""


class MpiInf3dhp(Reader):
    """A unit is one sequence seen by one camera. The json files, and an annot.mat, are parsed once a process."""

    name = "mpi_inf_3dhp"
    version = 1
    splits = ("train",)
    forms = ("neuralannot", "neuralannot_smpl", "official")
    form_splits: ClassVar = {"official": ("train", "test")}
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smplx", "smpl")
    licence: ClassVar[str] = "research (text unverified)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        if self.form != "official":
            return self._release_units()
        return self._test_units() if split == "test" else self._train_units()

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        if self.form != "official":
            yield from self._release(split, unit)
        elif split == "test":
            yield from self._test(split, unit)
        else:
            yield from self._train(split, unit)

    def _provenance(self, split: str, unit: Unit, frame: int, row: str, image: str, origin: str) -> Provenance:
        return Provenance(
            dataset=self.name,
            split=split,
            sequence=unit.id,
            frame=f"{frame:06d}",
            subject=unit.id.split("/")[0],
            person="0",
            source_file=unit.files[0],
            source_row=row,
            image_path=image,
            reader=self.name,
            reader_version=str(self.version),
            label_origin=origin,
            licence=self.licence,
        )

    # The parsed release.

    def _release_units(self) -> list[Unit]:
        people = self.require("MPI-INF-3DHP_1k.json", "data/MPI-INF-3DHP_1k.json")
        base = "" if people.parent == self.root else "data/"
        fits = f"{_MODELS[self.form].upper()}_NeuralAnnot"
        files = tuple(f"{base}MPI-INF-3DHP_{kind}.json" for kind in ("1k", "camera_1k", "joint_3d", fits))
        for file in files:
            self.require(file)
        rows = _RELEASES[self.form](*(self.root / file for file in files)).rows
        return [
            Unit(
                id=f"S{subject}/Seq{sequence}/video_{camera}",
                files=files,
                num_hint=len(rows[subject, sequence, camera]),
            )
            for subject, sequence, camera in sorted(rows)
        ]

    def _release(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        release = _RELEASES[self.form](*(self.root / file for file in unit.files))
        subject, sequence, video = unit.id.split("/")
        key = (int(subject[1:]), int(sequence[3:]), int(video[6:]))
        camera = release.camera(key)
        base = unit.files[0].removesuffix("MPI-INF-3DHP_1k.json")
        for row in release.rows[key]:
            points, fit = release.of_frame(row)
            path = f"{base}images_1k/{subject}/{sequence}/imageSequence/{row.picture.file_name}"
            origin = "multi-view" if fit is None or isinstance(fit, str) else "neuralannot"
            provenance = self._provenance(split, unit, row.picture.frame, f"id={row.id}", path, origin)
            if row.why or isinstance(camera, str) or isinstance(points, str) or isinstance(fit, str):
                problem = next(item for item in (row.why, camera, points, fit) if isinstance(item, str) and item)
                yield Reject(reason="malformed", provenance=provenance, detail=problem)
            else:
                yield self._person(provenance, row, points, fit, camera)

    def _person(
        self, provenance: Provenance, row: Row, points: Array | None, fit: Array | None, camera: WorldCamera
    ) -> Annotation:
        given = None if points is None else camera.to_cam(points)
        person_box = box(row.box_xywh) if row.box_xywh is not None else Boxes().person_xywh_px
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path, orientation=1),
            camera=camera.record(),
            boxes=Boxes(person_xywh_px=person_box, person_origin="dataset" if person_box[4] else "none"),
            body=None if fit is None else world_body(fit, _MODELS[self.form], camera),
            keypoints2d=() if given is None else (projected_points(_NAMES_17, camera.project(given)),),
            keypoints3d=None if given is None else measured_points(_NAMES_17, given),
            image_size_px=row.picture.size_px,
        )

    # The official release.

    def _train_units(self) -> list[Unit]:
        folders = [f"S{subject}/Seq{sequence}" for subject in range(1, 9) for sequence in (1, 2)]
        there = [folder for folder in folders if (self.root / folder / "annot.mat").is_file()]
        if not there:
            self.require(*(f"{folder}/annot.mat" for folder in folders[:2]))
        units = []
        for folder in there:
            files = (f"{folder}/annot.mat", f"{folder}/camera.calibration")
            self.require(files[1])
            units += [Unit(id=f"{folder}/video_{camera}", files=files) for camera in range(NUM_CAMERAS)]
        return units

    def _train(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        folder, _, video = unit.id.rpartition("/")
        number = int(video.removeprefix("video_"))
        joints = train_sequence(self.root / unit.files[0])
        cameras, sizes = calibration(self.root / unit.files[1])
        pixels, points = joints.pixels[number], joints.joints_cam_m[number]
        camera = cameras[number].record()
        extracted = next(
            (entry for entry in _EXTRACTED if (self.root / entry[0].format(folder=folder, camera=number)).is_dir()),
            None,
        )
        for frame in range(len(points)):
            if extracted is None:
                num_frames = frame + 1 if unit.id == SHORT_VIDEO else len(points)
                path = f"{folder}/imageSequence/{video}.avi"
                image = ImageSource(path=path, video=VideoFrame(index=frame, num_frames=num_frames))
            else:
                where, name, first = extracted
                path = f"{where.format(folder=folder, camera=number)}/{name.format(number=frame + first)}"
                image = ImageSource(path=path, orientation=1)
            yield Annotation(
                provenance=self._provenance(
                    split, unit, frame, f"camera={number} row={frame}", image.name, "multi-view"
                ),
                image=image,
                camera=camera,
                boxes=Boxes(),
                body=None,
                keypoints2d=(projected_points(_NAMES_28, pixels[frame]),),
                keypoints3d=measured_points(_NAMES_28, points[frame]),
                image_size_px=sizes[number],
            )

    def _test_units(self) -> list[Unit]:
        files = [
            f"{folder}TS{number}/annot_data.mat" for folder in ("mpi_inf_3dhp_test_set/", "") for number in range(1, 7)
        ]
        there = [file for file in files if (self.root / file).is_file()]
        if not there:
            self.require(files[0], files[6])
        return [Unit(id=file.split("/")[-2], files=(file,)) for file in there]

    def _test(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        sequence = scored_sequence(self.root / unit.files[0], int(unit.id.removeprefix("TS")))
        folder = unit.files[0].removesuffix("/annot_data.mat")
        for row, is_valid in enumerate(sequence.is_valid):
            path = f"{folder}/imageSequence/img_{row + 1:06d}.jpg"
            provenance = self._provenance(split, unit, row + 1, f"row={row}", path, "multi-view")
            if not is_valid:
                yield Reject(reason="invalid-frame", provenance=provenance, detail="the dataset says valid_frame 0")
                continue
            yield Annotation(
                provenance=provenance,
                image=ImageSource(path=path, orientation=1),
                camera=sequence.camera,
                boxes=Boxes(),
                body=None,
                keypoints2d=(projected_points(_NAMES_17, sequence.pixels[row]),),
                keypoints3d=measured_points(_NAMES_17, sequence.joints_cam_m[row]),
            )
