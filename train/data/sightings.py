"""What is known of a person at test time: the picture, 2D points that somebody marked or a detector found, the camera
where it was measured. Nothing of a record's 3D labels is read, and nothing that was projected from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from harmonize.errors import EhpsError, RawFileError
from harmonize.geometry.boxes import clip_to_image, from_points, scaled
from harmonize.keypoints import SMPLX_144
from harmonize.raw.paths import checked_size, safe_join
from harmonize.record import NUM_JOINTS, Camera
from harmonize.shards.decode import decode_rgb, read_header
from harmonize.shards.images import turned
from harmonize.shards.read import Sample
from train.data.batch import Observed
from train.data.crops import CropSize, Floats, Pixels, crop_maps, cut_crop, warp
from train.data.detections import Detected, Reason, Refused, is_of_detector, to_joints
from train.data.lens import undistorted_rays
from train.losses.reprojection import MIN_CONFIDENCE

BoxSource = Literal["keypoints", "stored"]

MIN_POINTS = 4
"""Fewer points than this say nothing about a pose."""

BOX_SCALE = 1.1
"""A body reaches further than its points: crown, fingertips, soles."""

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_MAX_PICTURE_BYTES = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFile:
    """A picture in a folder. orientation: the EXIF code that turns its pixels to those that points are counted in."""

    path: Path
    orientation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One person in one picture.

    source: where the picture is. camera: pinhole and lens of the picture; is_camera_known: false where its focal length
    is a guess. points_px: (144, 3) x, y in pixels of the picture, confidence. box_xywh_px: (4,) around the person.
    crop: (height, width, 3) what a network sees; to_crop: (2, 3) map from pixels of the picture to it.
    """

    key: str
    picture: str
    person: str
    source: Sample | PictureFile
    camera: Camera
    is_camera_known: bool
    points_px: Floats
    box_xywh_px: Floats
    crop: Pixels
    to_crop: Floats


def sight_stored(sample: Sample, size: CropSize, boxes: BoxSource = "keypoints") -> Sighting | Refused:
    """A person of a store, by the 2D points that were annotated or detected. A virtual camera, which came with a fit,
    is a label: the focal length is then guessed.

    boxes: "keypoints", around these points, or "stored", the record's own box, which may come from labels; then people
    without points are taken too, and have nothing to adapt to.

    Raises:
        StoreError, RawFileError: the sample is damaged. UsageError: it has no picture.
    """
    instance = sample.instance
    keypoints, camera, image = instance.keypoints, instance.camera, instance.image
    picture, person, origin = instance.provenance.image_path, instance.provenance.person, keypoints.joints2d_origin
    names = (*SMPLX_144, *keypoints.extra_names)
    points = np.concatenate([keypoints.joints2d_px, keypoints.extra2d_px[: len(keypoints.extra_names)]])
    is_seen = origin in ("annotated", "detected")
    if not is_seen:
        # Names that only detectors use are a detector's points, whatever the joints' own are.
        points[[not is_of_detector(name) for name in names]] = 0
    box = _box_of(points)
    if boxes == "stored":
        stored = instance.boxes.person_xywh_px
        box = stored[:4].astype(np.float64) if stored[4] > 0 and min(stored[2:4]) > 0 else None
    if box is None:
        is_projected = not (is_seen or origin == "none" or points.any())
        reason: Reason = "projected-points" if is_projected else "few-points"
        detail = f"expected annotated or detected points, found origin {origin!r}" if is_projected else _few(points)
        return Refused(key=instance.key, picture=picture, person=person, reason=reason, detail=detail)
    is_known = camera.has_intrinsics and camera.is_calibrated
    if not is_known:
        # A record without source size was ingested whole.
        whole = image.source_width_px or image.width_px, image.source_height_px or image.height_px
        camera = guessed_camera(whole, corner_px=(image.crop_x_px, image.crop_y_px))
    (to_crop,) = crop_maps(box[None], size)
    crop = np.empty((size.height_px, size.width_px, 3), np.uint8)
    cut_crop(sample, to_crop, crop)
    return Sighting(
        key=instance.key,
        picture=picture,
        person=person,
        source=sample,
        camera=camera,
        is_camera_known=is_known,
        points_px=to_joints(names, points),
        box_xywh_px=box,
        crop=crop,
        to_crop=to_crop,
    )


def sight(person: Detected, folder: Path, size: CropSize, focal_px: float | None = None) -> Sighting | Refused:
    """A person of a file of points, in a picture under `folder`. focal_px: of the camera, None where nobody knows."""

    def refused(reason: Reason, detail: str) -> Refused:
        return Refused(key=person.key, picture=person.picture, person=person.person, reason=reason, detail=detail)

    box = _box_of(person.points)
    if box is None:
        return refused("few-points", _few(person.points))
    try:
        path = _find(folder, person)
        file = PictureFile(path=path, orientation=_orientation(path, person.size_px))
        pixels = pixels_of(file)
    except EhpsError as error:
        return refused("no-picture", str(error).splitlines()[0])
    height, width = pixels.shape[:2]
    if not clip_to_image(box, (width, height)).any():
        return refused("outside", f"the points lie outside of the picture of {width} x {height} px")
    (to_crop,) = crop_maps(box[None], size)
    crop = np.empty((size.height_px, size.width_px, 3), np.uint8)
    warp(pixels, to_crop, crop)
    return Sighting(
        key=person.key,
        picture=str(path.relative_to(folder)),
        person=person.person,
        source=file,
        camera=guessed_camera((width, height), focal_px=focal_px),
        is_camera_known=focal_px is not None,
        points_px=to_joints(person.names, person.points),
        box_xywh_px=box,
        crop=crop,
        to_crop=to_crop,
    )


def guessed_camera(
    size_px: tuple[int, int], *, corner_px: tuple[int, int] = (0, 0), focal_px: float | None = None
) -> Camera:
    """A camera that looks at the centre of the whole picture of a width and height; its focal length is the picture's
    diagonal unless given. corner_px: of the stored part in it."""
    focal = math.hypot(*size_px) if focal_px is None else focal_px
    centre = [side / 2 - corner for side, corner in zip(size_px, corner_px, strict=True)]
    return Camera(
        focal_px=np.array([focal, focal], np.float32),
        principal_point_px=np.array(centre, np.float32),
        has_intrinsics=True,
    )


def pixels_of(source: Sample | PictureFile) -> Pixels:
    """The picture (H, W, 3) that a sighting's points are counted in.

    Raises:
        RawFileError: it does not decode completely.
    """
    if isinstance(source, PictureFile):
        return _decoded(source.path, source.orientation)
    assert source.picture is not None
    return decode_rgb(source.picture, source.extension, source.instance.key)


def observed(people: Sequence[Sighting]) -> Observed:
    """What an adapted network is shown of people (B of them), as `train.data.targets` makes it for training, from the
    points alone."""
    maps = np.stack([one.to_crop for one in people])
    matrices = np.zeros((len(people), 3, 3))
    for matrix, one in zip(matrices, people, strict=True):
        (matrix[0, 0], matrix[1, 1]), matrix[:2, 2], matrix[2, 2] = (
            one.camera.focal_px,
            one.camera.principal_point_px,
            1,
        )
    to_crop = maps @ matrices
    points = np.stack([one.points_px for one in people]).astype(np.float64)
    has_point = points[..., 2] > 0
    focal_px, centre_px = matrices[:, None, (0, 1), (0, 1)], matrices[:, None, :2, 2]
    rays = np.where(has_point[..., None], (points[..., :2] - centre_px) / focal_px, 0.0)
    lenses = np.stack([one.camera.distortion for one in people]).astype(np.float64)
    if (bent := lenses.any(axis=1)).any():
        rays[bent] = undistorted_rays(rays[bent], lenses[bent])
    confidence = np.where(has_point & np.isfinite(rays).all(axis=-1), points[..., 2], 0.0)
    rays = np.where(confidence[..., None] > 0, rays, 0.0)
    keypoints = np.empty((len(people), NUM_JOINTS, 3), np.float32)
    keypoints[..., :2] = rays @ to_crop[:, :, :2].swapaxes(1, 2) + to_crop[:, None, :, 2]
    keypoints[..., 2] = confidence
    return Observed(
        crop=torch.from_numpy(np.stack([one.crop for one in people])).permute(0, 3, 1, 2),
        to_crop=torch.from_numpy(to_crop.astype(np.float32)),
        has_intrinsics=torch.tensor([one.is_camera_known for one in people]),
        keypoints_px=torch.from_numpy(keypoints),
    )


def _box_of(points: npt.NDArray[np.floating]) -> Floats | None:
    """x, y, width, height around the confident points, a little larger; None where they are too few."""
    is_confident = points[:, 2] >= MIN_CONFIDENCE
    box = from_points(points[:, :2], is_confident)
    if is_confident.sum() < MIN_POINTS or box[4] <= 0:
        return None
    return scaled(box[:4], BOX_SCALE).astype(np.float64)


def _few(points: npt.NDArray[np.floating]) -> str:
    num = int((points[:, 2] >= MIN_CONFIDENCE).sum())
    return f"expected {MIN_POINTS} points of confidence {MIN_CONFIDENCE:g} with some area, found {num}"


def _find(folder: Path, person: Detected) -> Path:
    if person.has_ending:
        return safe_join(folder, person.picture)
    for ending in (*ENDINGS, *(ending.upper() for ending in ENDINGS)):
        path = safe_join(folder, f"{person.picture}{ending}")
        if path.is_file():
            return path
    raise RawFileError(f"{folder}: expected a picture {person.picture} ({', '.join(ENDINGS)}), found none")


def _orientation(path: Path, size_px: tuple[int, int] | None) -> int:
    """The EXIF code under which points were marked: none where the file of points has the size of the picture as it
    lies, as COCO does, else the picture's own, as detectors apply it.

    Raises:
        RawFileError: the picture cannot be read, or has another size than the points' picture.
    """
    checked_size(path, _MAX_PICTURE_BYTES)
    header = read_header(path.read_bytes(), str(path))
    if size_px is None:
        return header.exif_orientation
    for code in (1, header.exif_orientation):
        if header.oriented_size_px(code) == size_px:
            return code
    found = f"{header.width_px} x {header.height_px}"
    raise RawFileError(f"{path}: expected the size that its points are counted in, {size_px}, found {found}")


@lru_cache(maxsize=1)
def _decoded(path: Path, orientation: int) -> Pixels:
    """The last picture is kept, because the people of a picture come one after the other."""
    data = path.read_bytes()
    name = str(path)
    pixels = np.ascontiguousarray(turned(decode_rgb(data, read_header(data, name).format, name), orientation))
    pixels.flags.writeable = False
    return pixels
