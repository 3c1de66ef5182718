"""HumanData: the preprocessed npz of mmhuman3d and SMPLer-X, a form of every dataset.

Citation: open-mmlab/mmhuman3d (docs/human_data.md of branch convertors); Cai et al., SMPLer-X (arXiv 2309.17448) for
    the loader whose key order is followed (data/humandata.py).
Licence: that of the dataset inside.
Access: written by the converters of mmhuman3d, or handed on by SMPLer-X's authors (some names are unverified). The raw
    root holds the npz files, or has them in preprocessed_datasets/ as SMPLer-X does, and the pictures under the names
    that `image_path` has, with or without the folder in front that SMPLer-X calls the dataset by.
Counts: one row a person; rows are counted by `image_path`, as `__data_len__` may be -1 or wrong.
Frame: OpenCV camera (the format says so; exact points in the file let the gate check it).
Units: metres, radians, pixels of the whole picture.
Hands: `misc['flat_hand_mean']`, else `smplx['flat_hand_mean']` (BEDLAM), else what is known of the dataset's converter
    (`harmonize.readers.humandata_sets`), else False: relative.
Gender: `meta['gender']`, else neutral; BEDLAM's is the subject's and not the model's. Betas: as stored (10 or 11).
Labels: `misc['smplx_source' | 'smpl_source']` where it says neural_annot or eft, else the dataset's own.
Known defects of the format (all tolerated, none silently; those of one dataset's files are in `humandata_sets`):
    - `__keypoints_compressed__` may be missing; the second axis against the mask's length tells the form.
    - `body_pose` comes flat or (J, 3), boxes with four or five columns, `leye_pose` empty (UBody), arrays as dtype
      object.
    - The pre-release form has `keypoints2d` (N, 144, 3) with a plain `mask`, and absolute image paths.
    - Boxes can be plainly wrong: such a box is dropped, its person is kept.
    - `misc['image_size']` is (w, h) in some files and (h, w) in others: `meta['height'|'width']` is used, else the size
      that SMPLer-X asserts of all pictures of the dataset; where neither is known the picture is asked.
    - A parameter that is zero in every row (hands, expression, jaw, eyes) is not modelled and not marked as known.
    - 3D points may be relative to the pelvis (`misc['kps3d_root_aligned']`, or points not in front of the camera):
      left out.
    - Files without `transl` (older ones) have no place in the camera frame: their people keep pose and shape without a
      position. EFT's are placed by `meta['pred_cam']` where they have it, as EFT's own fits are.
    - BEDLAM: its converter wrote upright copies of close-ups, under their names without `_closeup`; where only the raw
      close-ups are at hand, those are turned.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from harmonize.annotation import Annotation, ImageSource, Reject
from harmonize.raw.npz import npz_header
from harmonize.readers.base import Reader, Unit
from harmonize.readers.humandata_file import HumanDataFile, num_people
from harmonize.readers.humandata_people import people
from harmonize.readers.humandata_pictures import Pictures
from harmonize.readers.humandata_sets import SETS
from harmonize.readers.kept import keep_last
from harmonize.record import Provenance

HUMANDATA = "humandata"
ROWS_PER_UNIT = 4096
"""So few that workers share the rows of one file."""

FOLDERS = ("", "preprocessed_datasets/")
"""Where under the root the files may lie; the second is the layout of SMPLer-X."""


class HumanData(Reader):
    """The HumanData files of one dataset. A unit is a range of rows of one file; the last file read stays loaded in the
    process. `splits` are those whose files are at hand; all that are known where none is."""

    version = 2
    splits: tuple[str, ...] = ()  # each dataset has its own
    forms = (HUMANDATA,)

    def __init__(self, root: Path, *, dataset: str, licence: str = "that of the dataset") -> None:
        self.name = dataset
        self.licence = licence  # type: ignore[misc]  # each dataset's own
        self.facts = SETS[dataset]
        self.body_kinds = self.facts.body_kinds  # type: ignore[misc]  # each dataset's files have their own models
        super().__init__(root)
        found = tuple(split for split in self.facts.splits if self._files(split))
        self.splits = found or self.facts.splits

    def _files(self, split: str) -> list[Path]:
        """The files of the first build of a split that is at hand, sorted."""
        for pattern in self._builds(split):
            found = [path for folder in FOLDERS for path in self.root.glob(folder + pattern)]
            found = [path for path in found if not fnmatch(path.name, self.facts.left_out)]
            if found:
                return sorted(found)
        return []

    def _builds(self, split: str) -> tuple[str, ...]:
        """File-name patterns, the best first; the last are those of `ehps export`."""
        return (*self.facts.files[split], f"{self.name}_{split}_*.npz", f"{self.name}_{split}-*.npz")

    def check_split(self, split: str) -> None:
        if split not in self.facts.splits:
            super().check_split(split)

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        files = self._files(split)
        if not files:
            self.require(*(folder + pattern for pattern in self._builds(split) for folder in FOLDERS))
        units = []
        for path in files:
            num_rows = num_people(npz_header(path), self.facts, path)
            relative = str(path.relative_to(self.root))
            for first in range(0, num_rows, ROWS_PER_UNIT):
                last = min(first + ROWS_PER_UNIT, num_rows)
                units.append(Unit(id=f"{relative}:{first:08d}-{last:08d}", files=(relative,), num_hint=last - first))
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        first, last = map(int, unit.id.rpartition(":")[2].split("-"))
        file = _load(self.root / unit.files[0], self.name)
        stem = PurePosixPath(unit.files[0]).stem
        pictures = Pictures.of(file, self.root)

        def source(row: int) -> tuple[Provenance, ImageSource]:
            stored = pictures.name(row)
            image = pictures.image(stored)
            folder, name = posixpath.split(stored)
            provenance = Provenance(
                dataset=self.name,
                split=split,
                sequence=f"{stem}/{folder}" if folder else stem,
                frame=posixpath.splitext(name)[0],
                person=str(row),
                source_file=unit.files[0],
                source_row=str(row),
                image_path=image.name,
                reader=HUMANDATA,
                reader_version=str(self.version),
                label_origin=file.origin,
                licence=self.licence,
            )
            return provenance, image

        yield from people(file, first, last, source)


_load = keep_last(HumanDataFile)
