"""MTP: Mimic The Pose.

Citation: Mueller, Osman, Tang, Huang, Black, On Self-Contact and Human Pose, CVPR 2021 (arXiv 2104.03176).
Licence: non-commercial scientific research.
Access: registration at tuch.is.tue.mpg.de.
Counts: 3 731 pictures of 148 subjects, 1 653 presented poses (from memory, unverified); 3 187 train people (SMPLer-X
    assets/factor_data.pdf; that the marker is this dataset is unverified).
Frame: the model's own; `camera_rotation` and `camera_translation` of the fit lead into the OpenCV camera.
Units: metres (focal length optimised by the fit, hence not metric), radians; points in pixels of the picture as EXIF
    turns it, the fit's camera in pixels of the picture resized to a height of 500.
Hands: relative, 12 components of the model's hand space (6 or 12: as many as are stored).
Gender: female or male SMPL-X by subject_meta.json; neutral SMPL in its form. Betas: 10.
Labels: fit (SMPLify-XMC with the presented pose, its contacts, OpenPose points, gender, height and weight).
Forms: `smplx` (default), `smpl` (the same fits converted; their camera is that of the SMPL-X fit).
Known defects:
    - `pose[:3]` of the SMPL files is not in the camera: muelea/tuch turns it by `camera_rotation`, the public
      MtpConverter does not. They have no translation (issue 2 of muelea/tuch): it is solved from the 2D points.
    - The height of the picture is needed for the camera and stands in the picture's header alone; without pictures
      people have no intrinsics.
    - OpenPose finds bystanders: the fitting code chose by a centre written as (H/2, W/2), the training code by
      (W/2, H/2). Here the person around the projected fit is taken.
    - Face and eyes were not optimised: not known, whatever is stored.
    - Fits hold torch tensors and parameters, perhaps of a GPU: read without torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.geometry.cameras import project
from harmonize.raw.jsons import load_json
from harmonize.raw.sizes import picture_size_px
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import (
    Floats,
    MalformedRecord,
    concerns_file,
    entries,
    floats,
    label,
    listing,
    number,
    pinhole,
)
from harmonize.readers.openpose import nearest, people_of
from harmonize.readers.smplifyx import GENDERS, load_fit
from harmonize.record import BodyKind, Boxes, Camera, Provenance

PEOPLE_PER_UNIT = 256
FIT_HEIGHT_PX = 500.0
MAX_CENTRE_DIFFERENCE_PX = 1.0
MAX_HAND_COMPONENTS = 45
MAX_NAME_CHARS = 200
SPLIT_FILE, SUBJECTS_FILE = "train_val_split.json", "subject_meta.json"
_POSE = (("global_orient", 1), ("body_pose", 21))


@dataclass(frozen=True, slots=True)
class _View:
    """How the fit sees its person: the map into the camera, and camera and fitted mesh where the picture's height
    is known."""

    to_cam: RigidTransform
    camera: Camera
    vertices_m: Floats | None

    def centre_px(self) -> Floats | None:
        """(2,) where in the picture the body is; None where that is not known."""
        if self.vertices_m is None:
            return None
        vertices = self.vertices_m @ self.to_cam.rotmat.T + self.to_cam.transl_m
        pixels = project(vertices, self.camera.focal_px, self.camera.principal_point_px)
        seen = pixels[np.isfinite(pixels).all(axis=1)]
        return seen.mean(axis=0) if len(seen) else None


class Mtp(Reader):
    """A unit is a run of pictures of a split's list."""

    name = "mtp"
    version = 1
    splits = ("train", "val")
    forms = ("smplx", "smpl")
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smplx", "smpl")
    licence: ClassVar[str] = "non-commercial scientific research"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        base, stems = self._stems(split)
        shared = [f"{base}{SPLIT_FILE}"]
        if self.form == "smplx":
            self.require(f"{base}{SUBJECTS_FILE}")
            shared.append(f"{base}{SUBJECTS_FILE}")
        self.require(f"{base}smplify-xmc/{self.form}/params")
        units = []
        for part, first in enumerate(range(0, len(stems), PEOPLE_PER_UNIT)):
            chosen = stems[first : first + PEOPLE_PER_UNIT]
            files = [file for stem in chosen if _parts(stem) for file in self._there(base, stem)]
            units.append(Unit(id=f"pictures-{part:04d}", files=(*shared, *files), num_hint=len(chosen)))
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        base, stems = self._stems(split)
        subjects: Any = {}
        if self.form == "smplx":
            path = self.root / base / SUBJECTS_FILE
            subjects = load_json(path)
            with concerns_file(path):
                if not isinstance(subjects, Mapping):
                    raise MalformedRecord.of("subject_meta", "a record for each picture", subjects)
        first = int(unit.id.removeprefix("pictures-")) * PEOPLE_PER_UNIT
        for row, stem in enumerate(stems[first : first + PEOPLE_PER_UNIT], start=first):
            parts = _parts(stem)
            subset = parts[1] if parts else ""
            names = [f"{base}images/{subset}/{stem}{suffix}" for suffix in (".png", ".jpg", ".jpeg")]
            image = self.image(*map(_source, names)) if parts else _source(names[0])
            provenance = Provenance(
                dataset=self.name,
                split=split,
                sequence=subset,
                frame=stem,
                subject=parts[3] if parts else "",
                person="0",
                source_file=f"{base}smplify-xmc/{self.form}/params/{subset}/{stem}.pkl",
                source_row=f"{split}[{row}]",
                image_path=image.path,
                reader=self.name,
                reader_version=str(self.version),
                label_origin="fit",
                licence=self.licence,
            )
            if not parts:
                detail = f"expected <image>_<subset>_<pose>_<subject>, found {stem[:80]!r}"
                yield Reject(reason="malformed", provenance=provenance, detail=detail)
                continue
            missing = [file for file in _files(base, stem, self.form)[:-1] if not (self.root / file).is_file()]
            if missing:
                yield Reject(reason="no-fit", provenance=provenance, detail=f"{', '.join(missing)}: not there")
                continue
            try:
                yield self._person(provenance, image, base, stem, subjects)
            except MalformedRecord as error:
                yield Reject(reason="malformed", provenance=provenance, detail=str(error))

    def _there(self, base: str, stem: str) -> list[str]:
        """The files that are read of a picture: none where a fit is missing."""
        *fits, points = _files(base, stem, self.form)
        if not all((self.root / fit).is_file() for fit in fits):
            return []
        return [*fits, points] if (self.root / points).is_file() else fits

    def _stems(self, split: str) -> tuple[str, list[str]]:
        """The folder of the release, `mtp/` or the root itself, and the pictures of a split in the list's order."""
        path = self.require(SPLIT_FILE, f"mtp/{SPLIT_FILE}")
        content = load_json(path)
        with concerns_file(path):
            stems = [str(stem) for stem in listing(content, split) if isinstance(stem, str)]
            if len(stems) != len(content[split]) or not stems:
                raise MalformedRecord.of(split, "names of pictures", content[split])
        return "" if path.parent == self.root else "mtp/", list(dict.fromkeys(stems))

    def _person(
        self, provenance: Provenance, image: ImageSource, base: str, stem: str, subjects: Mapping[str, Any]
    ) -> Annotation:
        *fit_files, points_file = _files(base, stem, self.form)
        fits = [load_fit(self.root / file) for file in fit_files]
        size = picture_size_px(self.root / image.path)
        view = _view(fits[-1], size)
        points = _points(self.root / points_file, view)
        if self.form == "smplx":
            gender = GENDERS.get(label(entries(subjects, stem), "SubjectGender").lower())
            if gender is None:
                raise MalformedRecord.of("SubjectGender", "female or male", subjects[stem].get("SubjectGender"))
            body = _smplx_body(fits[0], view, gender)
        else:
            body = _smpl_body(fits[0], view)
        return Annotation(
            provenance=provenance,
            image=image,
            camera=view.camera,
            boxes=Boxes(),
            body=body,
            keypoints2d=() if points is None else (points,),
            image_size_px=size,
        )


def _source(path: str) -> ImageSource:
    return ImageSource(path=path)


def _parts(stem: str) -> list[str]:
    """Picture, subset, presented pose, subject; empty where the name is not made of them."""
    parts = stem.split("_")
    is_plain = len(stem) <= MAX_NAME_CHARS and not any(sign in stem for sign in "/\\\0")
    is_plain = is_plain and len(parts) == 4 and all(parts) and parts[1] not in (".", "..")
    return parts if is_plain else []


def _files(base: str, stem: str, form: str) -> list[str]:
    """The fit, the SMPL-X fit whose camera it shares, and the detections."""
    subset = stem.split("_")[1]
    forms = [form] if form == "smplx" else [form, "smplx"]
    fits = [f"{base}smplify-xmc/{one}/params/{subset}/{stem}.pkl" for one in forms]
    return [*fits, f"{base}keypoints/openpose/{subset}/{stem}.json"]


def _view(fit: Mapping[str, Any], size_px: tuple[int, int] | None) -> _View:
    """The camera of an SMPL-X fit in pixels of the picture, and the body in it."""
    to_cam = RigidTransform(rotmat=floats(fit, "camera_rotation", 3, 3), transl_m=floats(fit, "camera_translation", 3))
    if size_px is None:
        return _View(to_cam, Camera(), None)
    centre = floats(fit, "camera_center", 2)
    if not abs(centre[1] - FIT_HEIGHT_PX / 2) <= MAX_CENTRE_DIFFERENCE_PX:
        raise MalformedRecord.of("camera_center", f"y of {FIT_HEIGHT_PX / 2}", centre)
    prefix = "camera_focal_length" if "camera_focal_length_x" in fit else "focal_length"
    focal = np.array([number(fit, f"{prefix}_{axis}") for axis in "xy"])
    scale = size_px[1] / FIT_HEIGHT_PX
    camera = pinhole(focal * scale, centre * scale, is_calibrated=False)
    return _View(to_cam, camera, floats(fit, "vertices", -1, 3) if "vertices" in fit else None)


def _points(path: Path, view: _View) -> NamedPoints | None:
    """The detection that lies around the fit; None where there is none, or nothing to choose by among several."""
    people = people_of(path) if path.is_file() else []
    if len(people) < 2:
        return people[0] if people else None
    centre_px = view.centre_px()
    return None if centre_px is None else nearest(people, centre_px)


def _smplx_body(fit: Mapping[str, Any], view: _View, gender: Any) -> RawBody:
    hands = [floats(fit, key, -1) for key in ("left_hand_pose", "right_hand_pose")]
    if not all(0 < len(hand) <= MAX_HAND_COMPONENTS for hand in hands):
        raise MalformedRecord.of("left_hand_pose, right_hand_pose", "hand components", [len(hand) for hand in hands])
    rows = [floats(fit, key, count, 3) for key, count in _POSE]
    rest = [
        floats(fit, key, 1, 3) if key in fit else np.zeros((1, 3)) for key in ("jaw_pose", "leye_pose", "reye_pose")
    ]
    return RawBody(
        model="smplx",
        gender=gender,
        pose_aa=np.concatenate([*rows, *rest, np.zeros((30, 3))]),
        betas=floats(fit, "betas", 10),
        transl_m=floats(fit, "transl", 3) if "transl" in fit else np.zeros(3),
        hands="relative",
        expression=floats(fit, "expression", 10) if "expression" in fit else None,
        to_cam=view.to_cam,
        left_hand_pca=hands[0],
        right_hand_pca=hands[1],
        has_left_hand=True,
        has_right_hand=True,
        is_transl_metric=False,
    )


def _smpl_body(fit: Mapping[str, Any], view: _View) -> RawBody:
    return RawBody(
        model="smpl",
        gender="neutral",
        pose_aa=floats(fit, "pose", 24, 3),
        betas=floats(fit, "betas", 10),
        transl_m=None,
        hands="absent",
        to_cam=RigidTransform(rotmat=view.to_cam.rotmat, transl_m=np.zeros(3)),
        is_transl_solved=view.camera.has_intrinsics,
        is_transl_metric=False,
    )
