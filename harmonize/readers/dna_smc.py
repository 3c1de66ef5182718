"""The public release of DNA-Rendering: SMC files, which are HDF5.

    dna_rendering_part<k>_main/<actor>_<motion>.smc                  attributes, Camera_5mp, Camera_12mp: pictures
    dna_rendering_part<k>_annotations/<actor>_<motion>_annots.smc    Camera_Parameter, Keypoints_2D, Keypoints_3D, SMPLx

Camera numbers have two digits in the annotations, and as few as they need beside the pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, Reject
from harmonize.keypoints import SMPLX_144, convention
from harmonize.raw.hdf5_tree import Hdf5Tree, open_hdf5
from harmonize.readers import dna_studio
from harmonize.readers.base import Reader, Unit
from harmonize.readers.dna_studio import LICENCE, Actor
from harmonize.readers.fields import Floats, MalformedRecord, concerns_file, shaped
from harmonize.record import Gender, Provenance

NUM_WHOLEBODY = 133
SAME_POINT_M = 0.0005
"""Points that no camera detected coincide: two of a frame that are nearer than this are none."""
_NEVER_DETECTED = ("spine_1", "spine_2", "spine_3", "left_collar", "right_collar")
_ANNOTATIONS, _MAIN = "_annotations", "_main"


def units(reader: Reader) -> list[Unit]:
    """A unit is one sequence in all its cameras.

    Raises:
        RawLayoutError: there is no annotation file.
    """
    files = sorted(reader.root.glob(f"*{_ANNOTATIONS}/*_annots.smc"))
    if not files:
        reader.require("dna_rendering_part<k>_annotations/<actor>_<motion>_annots.smc")
    return [Unit(id=_sequence(path), files=(str(path.relative_to(reader.root)),)) for path in files]


def people(reader: Reader, split: str, unit: Unit, *, hires: bool) -> Iterator[Annotation | Reject]:
    """The actor in every frame of the cameras that have 12 megapixels, or of those that have 5."""
    path = reader.root / unit.files[0]
    pictures = PurePosixPath(unit.files[0]).parent.with_name(path.parent.name.replace(_ANNOTATIONS, _MAIN))
    main = pictures / f"{unit.id}.smc"
    group = "Camera_12mp" if hires else "Camera_5mp"
    gender, resolution = _facts(reader.root / main, group)
    with open_hdf5(path) as tree, concerns_file(path):
        actor = _actor(tree, gender)
        camera_ids = tree.names("Camera_Parameter")
        if not camera_ids:
            raise MalformedRecord("field 'Camera_Parameter': expected cameras, found none")
        for camera_id in camera_ids:
            if not camera_id.isdigit():
                raise MalformedRecord.of("Camera_Parameter", "numbered cameras", camera_id)
            if dna_studio.is_hires(camera_id) != hires:
                continue
            base = f"Camera_Parameter/{camera_id}"
            seen_by = dna_studio.studio({key: tree.array(f"{base}/{key}") for key in ("K", "RT", "D")})
            size = None if resolution is None else _size_px(resolution, seen_by.camera.principal_point_px)
            detected = _detected(tree.array(f"Keypoints_2D/{camera_id}"))
            for frame in range(len(actor.pose_aa)):
                image = ImageSource(path=str(main), member=f"{group}/{int(camera_id)}/color/{frame}", orientation=1)
                provenance = Provenance(
                    dataset=reader.name,
                    split=split,
                    sequence=f"{unit.id}/{camera_id}",
                    frame=f"{frame:06d}",
                    subject=unit.id.partition("_")[0],
                    person="0",
                    source_file=unit.files[0],
                    source_row=f"camera={camera_id} frame={frame}",
                    image_path=image.name,
                    reader=reader.name,
                    reader_version=str(reader.version),
                    label_origin="multi-view",
                    licence=LICENCE,
                )
                yield dna_studio.person(provenance, actor, frame, seen_by, image, size, detected[frame : frame + 1])


def _sequence(path: Path) -> str:
    return path.stem.removesuffix("_annots")


def _facts(main: Path, group: str) -> tuple[Gender | None, Floats | None]:
    """The actor's gender and the resolution of the cameras, where the file of pictures is at hand."""
    if not main.is_file():
        return None, None
    with open_hdf5(main) as tree, concerns_file(main):
        resolution = tree.attribute(group, "resolution")
        return (
            dna_studio.gender_of(tree.attribute("", "gender")),
            None if resolution is None else shaped(resolution, "resolution", 2),
        )


def _size_px(resolution: Floats, principal_point_px: Floats) -> tuple[int, int]:
    """Width and height: which of the two numbers is which shows in the principal point, near the picture's centre."""
    orders = (resolution, resolution[::-1])
    width, height = min(orders, key=lambda size: float(np.abs(size / 2 - principal_point_px).sum()))
    return int(width), int(height)


def _actor(tree: Hdf5Tree, gender: Gender | None) -> Actor:
    """The SMPL-X rows. `scale` is left alone: with it the mesh no longer fits the pictures."""
    arrays: dict[str, Any] = {key: tree.array(f"SMPLx/{key}") for key in ("fullpose", "transl", "betas", "expression")}
    pose = dna_studio.rows(arrays["fullpose"], "SMPLx/fullpose", 55, 3)
    expression = arrays["expression"]
    joints = tree.array("Keypoints_3D/keypoints3d")
    return Actor(
        gender=gender,
        pose_aa=pose,
        transl_m=shaped(arrays["transl"], "SMPLx/transl", len(pose), 3),
        betas=dna_studio.rows(arrays["betas"], "SMPLx/betas", 10),
        expression=np.zeros((0, 10)) if expression is None else dna_studio.rows(expression, "SMPLx/expression", 10),
        joint_names=SMPLX_144,
        joints_m=None if joints is None else _joints(dna_studio.rows(joints, "Keypoints_3D/keypoints3d", 144, 4)),
    )


def _joints(joints_m: Floats) -> Floats:
    """(T, 144, 4) with confidence 0 for points that nobody saw."""
    joints = np.array(joints_m)
    xyz = np.nan_to_num(joints[..., :3])
    for row, points in enumerate(xyz):
        near = ((points[:, None] - points[None]) ** 2).sum(axis=-1) < SAME_POINT_M**2
        joints[row, near.sum(axis=1) > 1, 3] = 0.0
    joints[:, [SMPLX_144.index(name) for name in _NEVER_DETECTED], 3] = 0.0
    return joints


def _detected(points: Any) -> tuple[NamedPoints, ...]:
    """COCO-WholeBody points of every frame; none where there are no points, or of another number."""
    if points is None or points.ndim != 3 or points.shape[1:] != (NUM_WHOLEBODY, 3):
        return ()
    values = np.asarray(points, np.float64)
    known = np.isfinite(values).all(axis=-1, keepdims=True)
    values = np.where(known, values, 0.0)
    values[..., 2] = np.clip(values[..., 2], 0.0, 1.0)
    names = convention("coco_wholebody_133").names
    return tuple(NamedPoints(names=names, values=frame, origin="detected") for frame in values)
