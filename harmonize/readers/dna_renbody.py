"""The pre-release of DNA-Rendering, which SMPLer-X calls RenBody.

new_<split>_230207.txt                                       lines: <date>/<actor>/<sequence>
smpl/<date>/<actor>/<sequence>/smplx_xrmocap/human_data_smplx.npz
smpl/<date>/<actor>/<sequence>/smplx_xrmocap/human_data_optimized_keypoints3d.npz
image/<date>/<actor>/<sequence>/image/<camera>/*.jpg
image/<date>/<actor>/annots.npy                              cameras of all sequences of the actor
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.annotation import Annotation, ImageSource, Reject
from harmonize.errors import RawFileError
from harmonize.keypoints import convention
from harmonize.raw.npz import load_npy, load_npz, npz_header
from harmonize.raw.paths import checked_size, safe_join
from harmonize.readers import dna_studio
from harmonize.readers.base import Reader, Unit
from harmonize.readers.dna_studio import LICENCE, Actor
from harmonize.readers.fields import Floats, MalformedRecord, concerns_file, entries, numbers, require_keys, shaped
from harmonize.record import Provenance

MAX_LIST_BYTES = 1 << 24
_FITS = "smplx_xrmocap/human_data_smplx.npz"
_JOINTS = "smplx_xrmocap/human_data_optimized_keypoints3d.npz"
_POSES = (
    ("global_orient", 1),
    ("body_pose", 21),
    ("jaw_pose", 1),
    ("leye_pose", 1),
    ("reye_pose", 1),
    ("left_hand_pose", 15),
    ("right_hand_pose", 15),
)


def units(reader: Reader, split: str) -> list[Unit]:
    """A unit is one line of the split's list: a sequence in all its cameras.

    Raises:
        RawLayoutError: the list, or a file of a sequence that it names, is missing.
        RawFileError: the list names something outside the root.
    """
    name = f"new_{split}_230207.txt"
    path = reader.require(name, f"renbody/{name}", f"RenBody/{name}")
    checked_size(path, MAX_LIST_BYTES)
    base = path.parent.relative_to(reader.root)
    result = []
    for line in sorted({line.strip().strip("/") for line in path.read_text(errors="replace").splitlines()} - {""}):
        safe_join(path.parent, line)
        if line.count("/") != 2:
            raise RawFileError(
                f"{path}: expected lines <date>/<actor>/<sequence>, found {line[:100]!r}", file=str(path)
            )
        files = [base / "smpl" / line / _FITS, base / "image" / Path(line).parent / "annots.npy"]
        for file in files:
            reader.require(str(file))
        joints = base / "smpl" / line / _JOINTS
        if (reader.root / joints).is_file():
            files.append(joints)
        result.append(Unit(id=line, files=tuple(map(str, files))))
    return result


def people(reader: Reader, split: str, unit: Unit, *, hires: bool) -> Iterator[Annotation | Reject]:
    """The actor in every frame of the cameras that have 12 megapixels, or of those that have 5."""
    fits, cameras, *joints = (reader.root / file for file in unit.files)
    actor = _actor(fits, joints[0] if joints else None)
    with concerns_file(cameras):
        found = entries(_content(cameras), "cams")
        if not found:
            raise MalformedRecord("field 'cams': expected cameras, found none")
        numbered = {str(name): matrices for name, matrices in found.items() if str(name).isdigit()}
        studios = {
            name: dna_studio.studio(_matrices(name, matrices))
            for name, matrices in sorted(numbered.items())
            if dna_studio.is_hires(name) == hires
        }
    # smpl/<unit>/smplx_xrmocap/<file> -> image/<unit>
    pictures = fits.parents[1].relative_to(reader.root).parents[3] / "image" / unit.id / "image"
    for name, seen_by in studios.items():
        folder = pictures / name
        for row, stem in _frames(reader.root / folder, len(actor.pose_aa)):
            image = ImageSource(path=str(folder / f"{stem}.jpg"), orientation=1)
            provenance = Provenance(
                dataset=reader.name,
                split=split,
                sequence=f"{unit.id}/{name}",
                frame=stem,
                subject=fits.parents[2].name,
                person="0",
                source_file=unit.files[0],
                source_row=f"camera={name} row={row}",
                image_path=image.name,
                reader=reader.name,
                reader_version=str(reader.version),
                label_origin="multi-view",
                licence=LICENCE,
            )
            yield dna_studio.person(provenance, actor, row, seen_by, image, None)


def _content(path: Path) -> Any:
    array = load_npy(path)
    if array.shape != () or array.dtype != object:
        raise RawFileError(f"{path}: expected a dictionary, found an array {array.shape}", file=str(path))
    return array.item()


def _matrices(name: str, matrices: Any) -> Mapping[str, Any]:
    if not isinstance(matrices, Mapping):
        raise MalformedRecord.of(f"cams, {name}", "a record", matrices)
    return matrices


def _frames(folder: Path, num_rows: int) -> list[tuple[int, str]]:
    """Row and file stem of every frame: pictures in order of their names, as many as there are rows.

    Where pictures are missing, numbered ones are counted from the first; without any, names are made up from 000000.
    """
    stems = sorted(path.stem for path in folder.glob("*.jpg"))
    if not stems:
        return [(row, f"{row:06d}") for row in range(num_rows)]
    if len(stems) < num_rows and all(stem.isdigit() for stem in stems):
        numbered = [(int(stem) - int(stems[0]), stem) for stem in stems]
        return [(row, stem) for row, stem in numbered if row < num_rows]
    return list(enumerate(stems[:num_rows]))


def _actor(fits: Path, joints: Path | None) -> Actor:
    header = npz_header(fits)
    keys = ("gender", "betas", "transl", "expression", *(key for key, _ in _POSES))
    require_keys(header, keys, str(fits))
    content: dict[str, Any] = load_npz(fits, keys)
    with concerns_file(fits):
        transl = dna_studio.rows(content["transl"], "transl", 3)
        poses = [shaped(content[key], key, len(transl), count, 3) for key, count in _POSES]
        gender = dna_studio.gender_of(content["gender"].item() if content["gender"].size == 1 else content["gender"])
        return Actor(
            gender=gender,
            pose_aa=np.concatenate(poses, axis=1),
            transl_m=transl,
            betas=dna_studio.rows(content["betas"], "betas", 10),
            expression=dna_studio.rows(content["expression"], "expression", 10),
            joint_names=convention("human_data_190").names,
            joints_m=None if joints is None else _joints(joints),
        )


def _joints(path: Path) -> Floats:
    """(T, 190, 4) metres and confidence."""
    require_keys(npz_header(path), ("keypoints3d", "keypoints3d_mask"), str(path))
    content = load_npz(path, ["keypoints3d", "keypoints3d_mask"])
    with concerns_file(path):
        points = numbers(content["keypoints3d"], "keypoints3d")
        if points.ndim != 3 or points.shape[1] != 190 or points.shape[2] not in (3, 4):
            raise MalformedRecord(f"field 'keypoints3d': expected shape (frames, 190, 3), found {points.shape}")
        mask = dna_studio.rows(content["keypoints3d_mask"], "keypoints3d_mask", 190)
        if len(mask) not in (1, len(points)):
            raise MalformedRecord(f"field 'keypoints3d_mask': expected {len(points)} rows, found {len(mask)}")
        known = np.broadcast_to(mask > 0, points.shape[:2])
        return np.concatenate([points[..., :3], known[..., None]], axis=2)
