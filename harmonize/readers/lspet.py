"""Leeds Sports Pose Extended (high resolution) with EFT SMPL fits, or its own points alone.

Citation: Johnson and Everingham, Learning Effective Human Pose Estimation from Inaccurate Annotation, CVPR 2011; fits:
    see `harmonize.readers.eft`.
Licence: pictures from Flickr, terms unknown (unverified); EFT fits CC BY-NC 4.0.
Access: hr-lspet.zip (datasets.d2.mpi-inf.mpg.de/hr-lspet); fits by facebookresearch/eft scripts/download_eft.sh.
Counts: 10 000 pictures in the original, 9 428 in high resolution (recalled, unverified); fits of 2 946 people (train)
    and 2 433 (test), filtered by hand (EFT README).
Frame: OpenCV camera, parameters are in it already. Weak perspective made a virtual pinhole, so depth is not metric.
Units: metres (not metric), radians, pixels of the whole picture.
Hands: none (SMPL).
Gender: neutral SMPL. Betas: 10.
Labels: eft; the form joints has 2D points alone.
Forms: eft (train, test), joints (train).
Known defects:
    - LSPet_ver01.json is an older file of train, which EFT's download script calls outdated (its count is unknown).
      It is read where LSPet_train_ver10.json is missing, and the unit names it.
    - Column i of joints.mat belongs to the i-th picture in order of file names, not to im<i+1>: the high-resolution set
      has gaps. Where pictures and columns differ in number nobody can be named. Without any picture the names are those
      of a set without gaps, which only the full 10 000 are sure to be.
    - Others ignore the visibility flag and keep points at (0, 0) with confidence 1; here a point counts if it is
      flagged visible and is not at (0, 0). Whether points count from 0 or 1 is unverified: they are taken as they are.
    - The points of the original are by non-experts: many left and right are swapped, and limbs are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, Reject
from harmonize.errors import RawLayoutError
from harmonize.keypoints import convention
from harmonize.raw.mat import load_mat
from harmonize.readers.base import Reader, Unit
from harmonize.readers.coco_people import CocoPerson, Picture, coco_annotation, existing
from harmonize.readers.eft import eft_annotation, eft_units, read_eft, rows_of
from harmonize.readers.fields import MalformedRecord, concerns_file, field, numbers
from harmonize.readers.kept import keep_last
from harmonize.record import Array, Provenance

NUM_WITHOUT_GAPS = 10_000

_FOLDERS = ("", "LSPET/", "hr-lspet/", "LSPET/hr-lspet/")
_FITS = {"train": ("LSPet_train_ver10.json", "LSPet_ver01.json"), "test": ("LSPet_test_ver10.json",)}
_FIT_FOLDERS = ("eft_fit/", "LSPet_fit/", "")
_PICTURES = ("im*.png", "im*.jpg", "images/im*.png", "images/im*.jpg")


class Lspet(Reader):
    """A unit is a run of rows of the fit file, or joints.mat."""

    name = "lspet"
    version = 1
    splits = ("train", "test")
    form_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"joints": ("train",)}
    forms = ("eft", "joints")
    body_kinds = ("smpl", "smplx")
    licence: ClassVar[str] = "of the pictures, unknown (EFT fits CC BY-NC 4.0)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        if self.form == "joints":
            file = existing(self, *(folder + "joints.mat" for folder in _FOLDERS))
            count = len(_joints(self.root / file))
            self._paths(file, count)
            return [Unit(id="joints", files=(file,), num_hint=count)]
        names = (sub + name for name in _FITS[split] for sub in _FIT_FOLDERS)
        file = existing(self, *(folder + name for name in names for folder in _FOLDERS))
        return eft_units(len(read_eft(self.root / file)), file)

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        file = unit.files[0]
        if self.form == "joints":
            yield from self._labelled(split, file)
            return
        folder = self._picture_folder()
        for row, fit in rows_of(read_eft(self.root / file), unit):
            path = folder + PurePosixPath(fit.image_name).name
            provenance = self._provenance(split, path, file, f"data[{row}]")
            yield eft_annotation(fit, provenance, ImageSource(path=path, orientation=1))

    def _picture_folder(self) -> str:
        for folder in _FOLDERS:
            for pattern in _PICTURES:
                if next((self.root / folder).glob(pattern), None) is not None:
                    return folder + ("images/" if "/" in pattern else "")
        return next((folder for folder in _FOLDERS[1:] if (self.root / folder).is_dir()), "")

    def _labelled(self, split: str, file: str) -> Iterator[Annotation | Reject]:
        people = _joints(self.root / file)
        names = convention("lsp_14").names
        for at, (path, points) in enumerate(zip(self._paths(file, len(people)), people, strict=True)):
            provenance = self._provenance(split, path, file, f"joints(:,:,{at + 1})")
            person = CocoPerson(id=0, is_crowd=False, xywh_px=None, points=points)
            yield coco_annotation(person, Picture(path, None), provenance, names)

    def _paths(self, file: str, count: int) -> list[str]:
        """The picture of each column.

        Raises:
            RawLayoutError: there are pictures, but not as many; or there are none, and the set may have gaps.
        """
        folder = Path(file).parent
        found = next((found for pattern in _PICTURES if (found := list((self.root / folder).glob(pattern)))), [])
        if len(found) == count:
            return sorted(str(path.relative_to(self.root)) for path in found)
        if not found and count == NUM_WITHOUT_GAPS:
            return [str(folder / f"im{number:05d}.jpg") for number in range(1, count + 1)]
        raise RawLayoutError(
            f"{self.name}: expected {count} pictures im*.png beside {self.root / file}, one a column, found "
            f"{len(found)}: which column belongs to which picture follows from the order of all file names",
            fix="unpack all of hr-lspet.zip under the raw root, with nothing else called im*",
            dataset=self.name,
        )

    def _provenance(self, split: str, path: str, source_file: str, source_row: str) -> Provenance:
        return Provenance(
            dataset=self.name,
            split=split,
            frame=PurePosixPath(path).stem,
            person="0",
            source_file=source_file,
            source_row=source_row,
            image_path=path,
            reader=self.name,
            reader_version=str(self.version),
            label_origin="eft" if self.form == "eft" else "",
            licence=self.licence,
        )


@keep_last
def _joints(path: Path) -> Array:
    """(N, 14, 3) x, y px and confidence."""
    with concerns_file(path):
        joints = numbers(field(load_mat(path), "joints"), "joints")
        joints = joints[..., None] if joints.ndim == 2 else joints
        if joints.ndim != 3 or joints.shape[:2] != (14, 3) or not joints.size:
            raise MalformedRecord(f"field 'joints': expected shape (14, 3, N), found {joints.shape}")
    points = np.ascontiguousarray(np.moveaxis(joints, -1, 0), np.float32)
    is_known = np.isfinite(points).all(-1) & (points[..., :2] != 0).any(-1) & (points[..., 2] > 0)
    return np.where(is_known[..., None], np.concatenate([points[..., :2], is_known[..., None]], -1), 0).astype(
        np.float32
    )
