"""EHF: Expressive Hands and Faces.

Citation: Pavlakos et al., Expressive Body Capture: 3D Hands, Face, and Body from a Single Image, CVPR 2019
    (arXiv 1904.05866).
Licence: non-commercial scientific research; nothing of it may be passed on.
Access: registration at smpl-x.is.tue.mpg.de (EHF.zip).
Counts: 100 pictures with one person each (SMPL-X paper). One subject in one scanner (unverified).
Frame: the scanner's (y up); moved by the camera of EHF_camera.txt, the same for all pictures, which is kept here as
    numbers. The scanner is the world of the camera's extrinsics.
Units: metres, radians, pixels.
Hands: absolute, as the fit to the mesh gives them; the meshes have no parameters.
Gender: none (meshes alone); fitted as neutral SMPL-X. Betas: 10, of that fit.
Labels: multi-view (SMPL-X registered to 4D scans, kept by hand as pseudo ground truth). Evaluation only.
Known defects:
    - No parameters are distributed, only meshes. Jaw and expression of a fit to a mesh cannot be told apart and are not
      marked as known. Other projects' `fitted_params` are refits of their own.
    - Without the rotation of the camera (171 degrees about x) meshes are upside down.
    - mmhuman3d overwrites the confidence of detections with 1; here it is kept.
    - Names have two or three digits: pictures are sorted by number.
    - Each picture comes as png and as jpg; the first is taken, if it is there.
    - EHF.json (boxes) belongs to the release of OSX and SMPLer-X; without it boxes follow from the detections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, RawBody, Reject, RigidTransform
from harmonize.raw.jsons import load_json
from harmonize.raw.meshes import load_ply_vertices
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import NO_BOX, MalformedRecord, box, concerns_file, floats, integer, listing, text
from harmonize.readers.openpose import people_of
from harmonize.record import Array, Boxes, Camera, Provenance

SIZE_PX = (1600, 1200)
NUM_VERTICES = 10475
ROTMAT = np.array(
    [
        [0.9992446911215604, -0.00488005490154719, 0.03855168387417714],
        [-0.01071995339058574, -0.9882043318990019, 0.1527654444413082],
        [0.03735143725052992, -0.15306333159906274, -0.9875102463544945],
    ]
)
"""Of the axis-angle (-2.9874789618512025, 0.011724572107320893, -0.05704686818955933) in EHF_camera.txt."""
TRANSL_M = np.array([-0.03609917, 0.43416458, 2.37101226])
FOCAL_PX = 1498.22426237
PRINCIPAL_POINT_PX = (790.263706, 578.90334)

_BOXES = ("body_bbox", "lefthand_bbox", "righthand_bbox", "face_bbox")


class Ehf(Reader):
    """One unit: a hundred small files."""

    name = "ehf"
    version = 1
    splits = ("test",)
    forms = ("mesh",)
    licence: ClassVar[str] = "non-commercial scientific research"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        base = self._base()
        frames = self._frames(base)
        boxes = self._box_file()
        files = [boxes] if boxes else []
        for frame in frames:
            files += [f for f in _files(base, frame) if (self.root / f).is_file()]
        return [Unit(id="ehf", files=tuple(files), num_hint=len(frames))]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        base, box_file = self._base(), self._box_file()
        boxes = _load_boxes(self.root / box_file) if box_file else {}
        for frame in self._frames(base):
            yield self._person(split, base, frame, boxes.get(frame))

    def _base(self) -> str:
        """The folder of the meshes: as extracted from EHF.zip, or as OSX and SMPLer-X arrange it."""
        bases = ("", "EHF/", "data/", "EHF/data/")
        for base in bases:
            if any((self.root / base).glob("*_align.ply")):
                return base
        self.require(*(f"{base}01_align.ply" for base in bases))
        return ""

    def _frames(self, base: str) -> list[str]:
        names = [path.name.split("_")[0] for path in (self.root / base).glob("*_align.ply")]
        return sorted((name for name in names if re.fullmatch(r"\d{1,9}", name)), key=lambda name: (int(name), name))

    def _box_file(self) -> str:
        files = [f"{base}EHF.json" for base in ("", "data/", "EHF/", "EHF/data/")]
        return next((file for file in files if (self.root / file).is_file()), "")

    def _person(self, split: str, base: str, frame: str, boxes: Mapping[str, Any] | None) -> Annotation | Reject:
        mesh_file, points_file = _files(base, frame)
        image = self.image(*(ImageSource(path=f"{base}{frame}_img.{extension}") for extension in ("png", "jpg")))
        provenance = Provenance(
            dataset=self.name,
            split=split,
            frame=frame,
            person="0",
            source_file=mesh_file,
            image_path=image.name,
            reader=self.name,
            reader_version=str(self.version),
            label_origin="multi-view",
            licence=self.licence,
        )
        vertices = load_ply_vertices(self.root / mesh_file)
        people = people_of(self.root / points_file) if (self.root / points_file).is_file() else []
        try:
            if vertices.shape != (NUM_VERTICES, 3):
                raise MalformedRecord.of("vertices", f"{NUM_VERTICES} of SMPL-X", len(vertices))
            given = [NO_BOX] * len(_BOXES) if boxes is None else [_box(boxes, key) for key in _BOXES]
        except MalformedRecord as error:
            return Reject(reason="malformed", provenance=provenance, detail=str(error))
        return Annotation(
            provenance=provenance,
            image=image,
            camera=_camera(),
            boxes=Boxes(
                person_xywh_px=given[0],
                left_hand_xywh_px=given[1],
                right_hand_xywh_px=given[2],
                face_xywh_px=given[3],
                person_origin="dataset" if given[0][4] else "none",
            ),
            body=RawBody(
                model="smplx",
                gender="neutral",
                pose_aa=np.zeros((55, 3)),
                betas=np.zeros(10),
                transl_m=np.zeros(3),
                hands="absolute",
                to_cam=RigidTransform(rotmat=ROTMAT, transl_m=TRANSL_M),
                mesh_m=vertices,
                has_left_hand=True,
                has_right_hand=True,
            ),
            # One person stands in the scanner, and OpenPose's first is that one.
            keypoints2d=tuple(people[:1]),
            image_size_px=SIZE_PX,
        )


def _files(base: str, frame: str) -> tuple[str, str]:
    return f"{base}{frame}_align.ply", f"{base}{frame}_2Djnt.json"


def _camera() -> Camera:
    return Camera(
        focal_px=np.full(2, FOCAL_PX, np.float32),
        principal_point_px=np.array(PRINCIPAL_POINT_PX, np.float32),
        world_to_cam_rotmat=ROTMAT.astype(np.float32),
        world_to_cam_transl_m=TRANSL_M.astype(np.float32),
        has_intrinsics=True,
        is_calibrated=True,
        has_extrinsics=True,
    )


def _load_boxes(path: Path) -> dict[str, Mapping[str, Any]]:
    """Frame -> annotation of a COCO-like file."""
    record = load_json(path)
    with concerns_file(path):
        images = {integer(one, "id"): PurePosixPath(text(one, "file_name")).name for one in listing(record, "images")}
        found: dict[str, Mapping[str, Any]] = {}
        for annotation in listing(record, "annotations"):
            image = integer(annotation, "image_id")
            if image not in images:
                raise MalformedRecord.of("image_id", "one of `images`", image)
            found[images[image].split("_")[0]] = annotation
        return found


def _box(boxes: Mapping[str, Any], key: str) -> Array:
    """A box, or none where the release has none for the part."""
    return box(floats(boxes, key, 4)) if boxes.get(key) is not None else NO_BOX
