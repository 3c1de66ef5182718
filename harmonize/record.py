"""The one contract of the project: what is known about one person in one picture.

Frame: OpenCV camera (x right, y down, z forward). Metres, radians, pixels. Rotations are axis-angle ("aa"). Hands are
ABSOLUTE axis-angle (`flat_hand_mean=True`). The body is neutral SMPL-X with 10 betas and 10 expression values. Pixels
are those of the stored picture. A part that is not known has its flag down; its numbers then mean nothing.

Every field carries its shape, unit, frame and flag as metadata (`Spec`); `harmonize.layout` turns these into the vector
table, so there is no second list to keep in step. All arrays are float32 and are checked when a part is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from harmonize.errors import RecordError

Array = npt.NDArray[np.float32]

NUM_JOINTS = 144
MAX_EXTRA_KEYPOINTS = 64
MAX_SOURCE_JOINTS = 55
MAX_SOURCE_BETAS = 16

PointOrigin = Literal["none", "annotated", "detected", "projected", "body", "measured"]
BoxOrigin = Literal["none", "dataset", "keypoints", "projected"]
BodyKind = Literal["smplx", "smplh", "smpl"]
Gender = Literal["neutral", "female", "male"]
HandMean = Literal["absolute", "relative", "absent"]
Conversion = Literal["identity", "fit", "copy"]
LabelOrigin = Literal["capture", "multi-view", "imu", "synthetic", "eft", "neuralannot", "fit"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What one field of the record holds. `shape` is () for scalars; `codes` lists the values of an enumeration."""

    kind: Literal["array", "number", "count", "flag", "code", "text"]
    shape: tuple[int, ...] = ()
    unit: str = ""
    frame: str = ""
    flag: str = ""
    codes: tuple[str, ...] = ()
    doc: str = ""


def _zeros(shape: tuple[int, ...]) -> Array:
    zeros = np.zeros(shape, np.float32)
    zeros.flags.writeable = False
    return zeros


def array(*shape: int, unit: str, frame: str = "", flag: str = "", doc: str = "") -> Any:
    """A float32 array of fixed shape; absent by default (zeros under a lowered flag)."""
    zeros = _zeros(shape)
    return field(
        default_factory=lambda: zeros,
        metadata={"spec": Spec("array", shape, unit=unit, frame=frame, flag=flag, doc=doc)},
    )


def number(unit: str, *, flag: str = "", doc: str = "") -> Any:
    """A float; stored as float32."""
    return field(default=0.0, metadata={"spec": Spec("number", unit=unit, flag=flag, doc=doc)})


def count(unit: str = "", *, default: int = 0, doc: str = "") -> Any:
    """An integer below 2**24, which float32 holds exactly."""
    return field(default=default, metadata={"spec": Spec("count", unit=unit, doc=doc)})


def flag(doc: str = "") -> Any:
    """A statement that is true or false; false unless said otherwise."""
    return field(default=False, metadata={"spec": Spec("flag", doc=doc)})


def code(values: Any, default: str, doc: str = "") -> Any:
    """One of the strings of a Literal; stored as its position in it."""
    return field(default=default, metadata={"spec": Spec("code", codes=get_args(values), doc=doc)})


def text(doc: str = "") -> Any:
    """A string; kept in the sample's json, not in the vector."""
    return field(default="", metadata={"spec": Spec("text", doc=doc)})


def specs(part: type) -> dict[str, Spec]:
    """The `Spec` of each vector or text field of a part, in declaration order."""
    return {f.name: f.metadata["spec"] for f in fields(part) if "spec" in f.metadata}


def _array_shapes(part: type) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, spec.shape) for name, spec in specs(part).items() if spec.kind == "array")


_SHAPES: dict[type, tuple[tuple[str, tuple[int, ...]], ...]] = {}
_FLOAT32 = np.dtype(np.float32)


class _Part:
    """Checks on construction that every array has its declared shape and is float32.

    Raises:
        RecordError: an array has another shape or dtype; the message names part, field, expected and found.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        cls = type(self)
        shapes = _SHAPES.get(cls)
        if shapes is None:
            shapes = _SHAPES[cls] = _array_shapes(cls)
        for name, shape in shapes:
            value = getattr(self, name)
            if getattr(value, "shape", None) != shape or value.dtype != _FLOAT32:
                found = f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
                raise RecordError(f"{cls.__name__}.{name}: expected float32{shape}, found {found}", field=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(_Part):
    """The stored picture and the way back to the source's pixels.

    `orientation` is the EXIF code (1..8) that turns the source file's pixels into the picture a viewer shows; "source"
    sizes and the crop origin are those of that turned picture. source_xy = stored_xy + crop_xy.
    """

    width_px: int = count("px")
    height_px: int = count("px")
    source_width_px: int = count("px", doc="after orientation")
    source_height_px: int = count("px", doc="after orientation")
    crop_x_px: int = count("px", doc="left border of the stored picture in the oriented source")
    crop_y_px: int = count("px", doc="upper border of the stored picture in the oriented source")
    orientation: int = count(default=1, doc="EXIF code applied to the source file's pixels")
    has_pixels: bool = flag("false when only annotations were ingested")


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera(_Part):
    """Pinhole camera of the stored picture, with OpenCV distortion (k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4)."""

    focal_px: Array = array(2, unit="px", flag="has_intrinsics")
    principal_point_px: Array = array(2, unit="px", frame="stored image", flag="has_intrinsics")
    distortion: Array = array(12, unit="1", flag="has_intrinsics", doc="OpenCV order; zeros for none")
    world_to_cam_rotmat: Array = array(3, 3, unit="1", frame="world to camera", flag="has_extrinsics")
    world_to_cam_transl_m: Array = array(3, unit="m", frame="camera", flag="has_extrinsics")
    has_intrinsics: bool = flag()
    is_calibrated: bool = flag("false for virtual cameras made by a fit")
    has_extrinsics: bool = flag()


@dataclass(frozen=True, slots=True, kw_only=True)
class Body(_Part):
    """Neutral SMPL-X parameters in the camera frame. posed pelvis = rest pelvis(betas) + transl."""

    global_orient_aa: Array = array(3, unit="rad", frame="camera", flag="has_body")
    body_pose_aa: Array = array(21, 3, unit="rad", frame="parent joint", flag="has_body")
    known_body_joints: Array = array(
        21, unit="1", flag="has_body", doc="1 where the source knows the joint's rotation, else 0"
    )
    left_hand_pose_aa: Array = array(15, 3, unit="rad", frame="parent joint", flag="has_left_hand")
    right_hand_pose_aa: Array = array(15, 3, unit="rad", frame="parent joint", flag="has_right_hand")
    jaw_pose_aa: Array = array(3, unit="rad", frame="parent joint", flag="has_jaw")
    leye_pose_aa: Array = array(3, unit="rad", frame="parent joint", flag="has_eyes")
    reye_pose_aa: Array = array(3, unit="rad", frame="parent joint", flag="has_eyes")
    betas: Array = array(10, unit="1", flag="has_betas")
    expression: Array = array(10, unit="1", flag="has_expression")
    transl_m: Array = array(3, unit="m", frame="camera", flag="has_transl")
    has_body: bool = flag("global_orient and body_pose are known")
    has_betas: bool = flag()
    has_left_hand: bool = flag()
    has_right_hand: bool = flag()
    has_jaw: bool = flag()
    has_eyes: bool = flag()
    has_expression: bool = flag()
    has_transl: bool = flag()
    is_transl_metric: bool = flag("false where depth comes from a virtual camera")

    @property
    def has_face(self) -> bool:
        """Jaw and expression are both known: what trainers call a valid face."""
        return self.has_jaw and self.has_expression


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBody(_Part):
    """The source's own body, camera frame, kept where it is not neutral SMPL-X with absolute hands and 10 betas.

    `pose_aa` is in the order of `model` (24, 52 or 55 joints, global_orient first), hands as `hand_mean` says, so that
    the source's mesh can be rebuilt exactly (unless `is_rebuildable` is false).
    """

    model: BodyKind = code(BodyKind, "smplx")
    gender: Gender = code(Gender, "neutral")
    hand_mean: HandMean = code(
        HandMean, "absent", doc="whether the model's mean hand must be added to the stored hands"
    )
    conversion: Conversion = code(Conversion, "identity", doc="how Body was made from this body")
    pose_aa: Array = array(MAX_SOURCE_JOINTS, 3, unit="rad", frame="parent joint; joint 0 camera")
    num_joints: int = count()
    betas: Array = array(MAX_SOURCE_BETAS, unit="1")
    num_betas: int = count()
    kid_weight: float = number("1", doc="weight of the kid template; 0 for adults")
    expression: Array = array(10, unit="1")
    transl_m: Array = array(3, unit="m", frame="camera")
    fit_error_mm: float = number("mm", doc="mean vertex distance, Body against the source's mesh")
    is_rebuildable: bool = flag("false where the source is a mesh, or poses a subject's own rest mesh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keypoints(_Part):
    """Named points. The 144 are the joints of the `smplx` package, in its order.

    2D points are the dataset's own (confidence 0 where it has none); project `joints3d_cam_m` for the body's. Points
    without an SMPL-X equivalent keep their own names in the extra block (at most MAX_EXTRA_KEYPOINTS).
    """

    joints2d_px: Array = array(NUM_JOINTS, 3, unit="px, px, 1", frame="stored image", doc="x, y, confidence")
    joints3d_cam_m: Array = array(NUM_JOINTS, 4, unit="m, m, m, 1", frame="camera", doc="x, y, z, confidence")
    joints2d_origin: PointOrigin = code(PointOrigin, "none")
    joints3d_origin: PointOrigin = code(PointOrigin, "none", doc="body: joints of Body; measured: the dataset's own")
    extra2d_px: Array = array(MAX_EXTRA_KEYPOINTS, 3, unit="px, px, 1", frame="stored image")
    extra3d_cam_m: Array = array(MAX_EXTRA_KEYPOINTS, 4, unit="m, m, m, 1", frame="camera")
    extra_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes(_Part):
    """x, y, width, height, confidence; unpadded. Confidence 0: no such box."""

    person_xywh_px: Array = array(5, unit="px, px, px, px, 1", frame="stored image")
    left_hand_xywh_px: Array = array(5, unit="px, px, px, px, 1", frame="stored image")
    right_hand_xywh_px: Array = array(5, unit="px, px, px, px, 1", frame="stored image")
    face_xywh_px: Array = array(5, unit="px, px, px, px, 1", frame="stored image")
    person_origin: BoxOrigin = code(BoxOrigin, "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance(_Part):
    """Where a sample comes from. Identifiers are the dataset's own words."""

    dataset: str = text()
    split: str = text()
    sequence: str = text()
    frame: str = text()
    subject: str = text()
    person: str = text("which person of the picture")
    source_file: str = text("annotation file, relative to the raw root")
    source_row: str = text("where in that file")
    image_path: str = text("picture, relative to the raw root")
    image_sha256: str = text("hash of the source picture's file; empty when it was not opened")
    reader: str = text()
    reader_version: str = text()
    label_origin: str = text("one of LabelOrigin")
    licence: str = text("licence class of the dataset card")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One person in one picture. `key` is unique in its dataset and safe as a file name (see `make_key`)."""

    key: str
    image: Image
    camera: Camera
    body: Body
    keypoints: Keypoints
    boxes: Boxes
    provenance: Provenance
    source_body: SourceBody | None = None


PARTS: dict[str, type] = {
    "image": Image,
    "camera": Camera,
    "body": Body,
    "source_body": SourceBody,
    "keypoints": Keypoints,
    "boxes": Boxes,
    "provenance": Provenance,
}
