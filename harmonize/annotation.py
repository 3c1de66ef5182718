"""What a reader says: one person as the dataset states it, before unification.

A reader declares conventions (body model, gender, hand mean, frame) and hands over the dataset's numbers unchanged;
`harmonize.convert` does all arithmetic, once, for every dataset. Pixels here are those of the whole picture as a viewer
shows it (after `ImageSource.orientation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.record import BodyKind, Boxes, Camera, Gender, HandMean, PointOrigin, Provenance

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFrame:
    """A frame of a video, counted from 0.

    num_frames: how many frames the annotations cover; people of a video with fewer are rejected by name and number.
    fps, start_s: for web videos whose frame rate is not that of the annotations: frame i is the one on show at
    start_s + i / fps, as ffmpeg's `-ss start -r fps` extracts it. None: the file's own frames, one by one.
    """

    index: int
    num_frames: int
    fps: float | None = None
    start_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """A picture of the raw root: a file, a member of an archive (zip, tar, HDF5), or a frame of a video.

    path: the file, relative to the raw root. member: name inside the archive, or the HDF5 dataset that holds the
    encoded picture. orientation: an EXIF code (2 mirrors left and right); None means: as the picture's own EXIF says.
    """

    path: str
    orientation: int | None = None
    member: str = ""
    video: VideoFrame | None = None

    @property
    def name(self) -> str:
        """The picture in one string, unique under the raw root: path, path!member or path#frame."""
        if self.video is not None:
            clip = f"@{self.video.start_s:g}s/{self.video.fps:g}fps" if self.video.fps is not None else ""
            return f"{self.path}{clip}#{self.video.index}"
        return f"{self.path}!{self.member}" if self.member else self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class RigidTransform:
    """x' = rotmat @ x + transl_m, for column vectors; rotmat (3, 3), transl_m (3,)."""

    rotmat: Floats
    transl_m: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBody:
    """Body-model parameters in the model's own order and the dataset's own frame.

    pose_aa: (24 | 52 | 55, 3), joint 0 is global_orient. `hands` says whether the model's mean hand still has to be
    added ("relative"), is already inside ("absolute"), or the pose has no measured hands ("absent").
    betas: (n,), at most 16 are kept. `kid_weight`: interpolation weight of the kid template, 0 for adults.
    transl_m: (3,) metres, or None where the dataset has no position for the body.
    to_cam: rigid map from the parameters' frame to the OpenCV camera; None when they are in the camera frame already.
    pelvis_cam_m: (3,) the posed pelvis in the camera frame, where the dataset states it better than transl_m (the 3DPW
    json); the translation is then derived from it.
    neutral_betas: (10,) the dataset's own refit of the shape to neutral SMPL-X, when it ships one.
    left_hand_pca, right_hand_pca: (n,) coefficients of the model's first n hand components; they then make the finger
    rotations (whose rows in pose_aa are zero), to which `hands` applies as to any other.
    rest_mesh_m: (V, 3) the subject's own rest mesh in the model's topology, instead of betas, which are zeros; one
    array object a subject.
    mesh_m: (10475, 3) a posed mesh in SMPL-X topology, where the dataset has no parameters at all; pose_aa, betas and
    transl_m are then zeros of the right shape. `to_cam` applies.
    unknown_joints: names of body joints (SMPLX_144, of the 21) whose rotation the source cannot know.
    is_transl_solved: there is no translation, but intrinsics and 2D points of this body, from which it is to be solved.
    """

    model: BodyKind
    gender: Gender
    pose_aa: Floats
    betas: Floats
    transl_m: Floats | None
    hands: HandMean
    expression: Floats | None = None
    kid_weight: float = 0.0
    to_cam: RigidTransform | None = None
    pelvis_cam_m: Floats | None = None
    neutral_betas: Floats | None = None
    left_hand_pca: Floats | None = None
    right_hand_pca: Floats | None = None
    rest_mesh_m: Floats | None = None
    mesh_m: Floats | None = None
    unknown_joints: tuple[str, ...] = ()
    is_transl_solved: bool = False
    has_left_hand: bool = False
    has_right_hand: bool = False
    has_jaw: bool = False
    has_eyes: bool = False
    has_expression: bool = False
    is_transl_metric: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPoints:
    """Points of a keypoint convention: values (K, 3) x y confidence in px, or (K, 4) x y z confidence in camera metres.

    `names` are canonical names (see `harmonize.keypoints`), one a row.
    `origin`: annotated by people, detected by a network, projected from a body, or measured in 3D.
    `is_exact`: made from the very body that is annotated, so that body and points must agree within rounding; the gate
    then holds them to a tight limit instead of the annotators' one.
    """

    names: tuple[str, ...]
    values: Floats
    origin: PointOrigin
    is_exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One person of one picture. `image_size_px` (w, h) is the oriented picture's; None: ask the file."""

    provenance: Provenance
    image: ImageSource
    camera: Camera
    boxes: Boxes
    body: RawBody | None
    keypoints2d: tuple[NamedPoints, ...] = ()
    keypoints3d: NamedPoints | None = None
    image_size_px: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A person that does not become a sample: recorded with a reason and numbers, never dropped silently.

    `reason` is a short stable slug (`crowd`, `no-fit`, `image-missing`, `reprojection`); `numbers` says expected and
    found.
    """

    reason: str
    provenance: Provenance
    detail: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
