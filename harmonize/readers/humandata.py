"""HumanData: the preprocessed npz of mmhuman3d and SMPLer-X, of any dataset.

Citation: open-mmlab/mmhuman3d (docs/human_data.md of branch convertors); Cai et al., SMPLer-X (arXiv 2309.17448) for
    the loader whose key order is followed (data/humandata.py).
Licence: that of the dataset inside.
Access: written by the converters of mmhuman3d, or by hand; put the npz files into the folder that `image_path` starts
    from.
Counts: one row a person; rows are counted by `image_path`, as `__data_len__` may be -1 or wrong.
Frame: OpenCV camera (the format says so; exact points in the file let the gate check it).
Units: metres, radians, pixels of the whole picture.
Hands: `misc['flat_hand_mean']`, else `smplx['flat_hand_mean']` (BEDLAM), else False: relative. GTA-Human is absolute
    and records it nowhere, so it is known by its file name.
Gender: `meta['gender']`, else neutral; BEDLAM's is the subject's and not the model's. Betas: as stored (10 or 11).
Labels: `misc['smplx_source' | 'smpl_source']`: neural_annot, eft, else fit.
Known defects (all tolerated, none silently):
    - `__keypoints_compressed__` may be missing; the second axis against the mask's length tells the form.
    - `body_pose` comes flat or (J, 3), boxes with four or five columns, `leye_pose` empty (UBody), arrays as dtype
      object.
    - The pre-release form has `keypoints2d` (N, 144, 3) with a plain `mask`, and absolute image paths.
    - Boxes can be plainly wrong: such a box is dropped, its person is kept.
    - `misc['image_size']` is (w, h) in some files and (h, w) in others: only `meta['height'|'width']` is used.
    - A parameter that is zero in every row (hands, expression, jaw, eyes) is not modelled and not marked as known.
    - 3D points may be relative to the pelvis (`misc['kps3d_root_aligned']`, or points not in front of the camera):
      left out.
    - AGORA: the converter made the points with the neutral model whatever the gender, so they are not exact.
    - Files without `transl` (EFT and older ones) have no place in the camera frame: their people keep pose
      and shape without a position.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError
from harmonize.raw.npz import npz_header
from harmonize.readers.base import Reader, Unit
from harmonize.readers.humandata_file import HumanDataFile
from harmonize.readers.humandata_sets import SETS
from harmonize.readers.kept import keep_last
from harmonize.record import Provenance

ROWS_PER_UNIT = 65536
"""Units are read in no order of files, and a file may take half a minute to load: that must not come every few rows."""

FOLDERS = ("", "preprocessed_datasets/")
"""Where under the root the files may lie; the second is the layout of SMPLer-X."""


class HumanData(Reader):
    """The HumanData files of one dataset. A unit is a range of rows of one file; the last file read stays loaded in the
    process. `splits` are those whose files are at hand; all that are known where none is."""

    version = 2
    splits = ()  # each dataset has its own
    forms = ("humandata",)
    licence: ClassVar[str] = "as the dataset inside"

    def __init__(self, root: Path, *, dataset: str) -> None:
        self.name = dataset
        self.facts = SETS[dataset]
        self.body_kinds = self.facts.body_kinds  # type: ignore[misc]  # each dataset's files have their own models
        super().__init__(root)
        found = tuple(split for split in self.facts.splits if self._files(split))
        self.splits = found or self.facts.splits

    def _files(self, split: str) -> list[Path]:
        """The files of the first build of a split that is at hand, sorted."""
        for pattern in self.facts.files[split]:
            found = [path for folder in FOLDERS for path in self.root.glob(folder + pattern)]
            if found:
                return sorted(found)
        return []

    def check_split(self, split: str) -> None:
        if split not in self.facts.splits:
            super().check_split(split)

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        files = self._files(split)
        if not files:
            self.require(*(folder + pattern for pattern in self.facts.files[split] for folder in FOLDERS))
        units = []
        for path in files:
            header = npz_header(path)
            if "image_path" not in header:
                found = ", ".join(sorted(header)[:20])
                raise RawFileError(f"{path}: expected HumanData with image_path, found {found}", file=str(path))
            shape, _ = header["image_path"]
            num_rows = shape[0] if len(shape) == 1 or shape[1:] == (1,) else 0
            if not num_rows:
                raise RawFileError(f"{path}: image_path: expected one path a row, found shape {shape}", file=str(path))
            relative = str(path.relative_to(self.root))
            for first in range(0, num_rows, ROWS_PER_UNIT):
                last = min(first + ROWS_PER_UNIT, num_rows)
                units.append(Unit(id=f"{relative}:{first:08d}-{last:08d}", files=(relative,), num_hint=last - first))
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        first, last = map(int, unit.id.rpartition(":")[2].split("-"))
        file = _load(self.root / unit.files[0], self.root)
        stem = PurePosixPath(unit.files[0]).stem
        for row in range(first, last):
            picture = PurePosixPath(file.image_path(row))
            yield file.person(
                row,
                Provenance(
                    dataset=self.name,
                    split=split,
                    sequence=str(PurePosixPath(stem, picture.parent)),
                    frame=picture.stem,
                    person=str(row),
                    source_file=unit.files[0],
                    source_row=str(row),
                    image_path=str(picture),
                    reader="humandata",
                    reader_version=str(self.version),
                    label_origin=file.label_origin,
                    licence=self.licence,
                ),
            )


_load = keep_last(HumanDataFile)
