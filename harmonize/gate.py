"""The checks an instance must pass before it becomes a sample.

`check` looks at a converted instance in whole-picture pixels, with its evidence; the first failed check becomes a
recorded `Reject` with a reason and numbers. `check_stored` repeats, on a decoded record, what needs no raw data.
`check_shard` looks at many at once: a wrong convention shifts the median of a shard even where single people pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from harmonize.annotation import Reject
from harmonize.evidence import Evidence
from harmonize.geometry import boxes as box_math
from harmonize.geometry.cameras import project_with
from harmonize.geometry.rotations import is_rotation, orthogonality_error
from harmonize.layout import encode
from harmonize.record import Instance, Provenance

if TYPE_CHECKING:  # a verifier checks records without loading body models
    from harmonize.convert import Converted


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an instance may at most, or must at least, be. A dataset card may override single values."""

    min_box_px: float = 8.0
    """Shortest side of the visible person box. Below it there is no person to see."""
    max_betas: float = 20.0
    """Largest absolute beta. Fits of adults stay within 5; children, as adult bodies, were seen to need 13."""
    max_expression: float = 15.0
    max_distance_m: float = 500.0
    """Largest camera distance. NeuralAnnot's virtual cameras reach tens of metres; millimetres for metres exceed it."""
    min_visible_joints: int = 1
    """Joints of the body inside the picture."""
    max_behind_share: float = 0.0
    """Share of the body's joints that may lie behind the camera: of people who wear it, most do."""
    max_reprojection_share: float = 0.10
    """Median distance of body joints to annotated points, over the person box's diagonal."""
    max_part_share: float = 0.60
    """The same for a hand or the face, over the extent of its points. A hand of ten pixels is loose evidence."""
    max_exact_px: float = 0.5
    max_exact_share: float = 0.002
    """Exact 2D points: the larger of the two limits counts (float32 text and integer rounding in releases)."""
    max_exact_mm: float = 5.0
    max_measured_mm: float = 100.0
    """Median distance to measured 3D joints; regressors and markers sit centimetres from the model's joints."""
    max_fit_error_mm: float = 40.0
    min_shard_evidence: int = 8
    """Fewer instances with evidence say nothing about a shard."""
    max_shard_reprojection_share: float = 0.05
    max_shard_part_share: float = 0.25
    max_shard_other_hand_gain: float = 0.02
    """Medians over a shard. The last: hands fit their points better under the other hand-mean convention."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One failed check: a stable reason, words, and the numbers that decided it."""

    reason: str
    detail: str
    numbers: dict[str, float]

    def as_reject(self, provenance: Provenance) -> Reject:
        """The recorded reject of the person who failed."""
        return Reject(reason=self.reason, provenance=provenance, detail=self.detail, numbers=self.numbers)


def check(converted: Converted, limits: Limits) -> Reject | None:
    """The reject of the first failed check, or None.

    Order: finite, ranges, flags, box, in front of the camera, in the picture, exact points, reprojection, fit error.
    """
    instance, evidence = converted.instance, converted.evidence
    violations = chain(
        _finite(instance),
        _ranges(instance, limits),
        _flags(instance),
        _box(instance, limits),
        _in_view(instance, limits),
        _agreement(evidence, limits),
        _fit(instance, limits),
    )
    first = next(violations, None)
    return None if first is None else first.as_reject(instance.provenance)


def check_stored(instance: Instance, limits: Limits | None = None) -> tuple[Violation, ...]:
    """Every failed check of a stored record; empty when all hold."""
    limits = limits or Limits()
    return (
        *_finite(instance),
        *_ranges(instance, limits),
        *_flags(instance),
        *_box(instance, limits),
        *_in_view(instance, limits),
        *_fit(instance, limits),
    )


def check_shard(evidences: Sequence[Evidence], limits: Limits) -> Violation | None:
    """A shard whose typical instance disagrees with its own points, or None."""
    shares = {
        "reprojection_share": limits.max_shard_reprojection_share,
        "left_hand_share": limits.max_shard_part_share,
        "right_hand_share": limits.max_shard_part_share,
        "face_share": limits.max_shard_part_share,
        "other_hand_gain": limits.max_shard_other_hand_gain,
    }
    for name, limit in shares.items():
        values = np.array([getattr(evidence, name) for evidence in evidences])
        values = values[~np.isnan(values)]
        if len(values) >= limits.min_shard_evidence and float(np.median(values)) > limit:
            return Violation(
                f"shard-{name.replace('_', '-')}",
                "the typical instance misses its own keypoints: a convention is wrong, or the labels are",
                {"median": float(np.median(values)), "limit": limit, "num_instances": float(len(values))},
            )
    return None


def _finite(instance: Instance) -> Iterator[Violation]:
    if np.isfinite(encode(instance)[0]).all():  # all numbers at once; which they are matters only where some are not
        return
    for part_name in ("camera", "body", "keypoints", "boxes", "source_body"):
        part = getattr(instance, part_name)
        if part is None:
            continue
        for item in fields(part):
            value = getattr(part, item.name)
            if isinstance(value, (np.ndarray, float)) and not np.isfinite(value).all():
                count = float(np.size(value) - np.isfinite(value).sum())
                yield Violation("not-finite", f"{part_name}.{item.name}", {"num_not_finite": count})


def _ranges(instance: Instance, limits: Limits) -> Iterator[Violation]:
    body, camera = instance.body, instance.camera
    yield from _at_most("betas-range", "body.betas", body.betas, limits.max_betas)
    yield from _at_most("expression-range", "body.expression", body.expression, limits.max_expression)
    distance = float(np.linalg.norm(body.transl_m))
    if distance > limits.max_distance_m:
        yield Violation("distance-range", "body.transl_m", {"distance_m": distance, "limit_m": limits.max_distance_m})
    if camera.has_intrinsics and not (camera.focal_px > 0).all():
        yield Violation("focal-range", "camera.focal_px", {"focal_px": float(camera.focal_px.min())})
    if camera.has_extrinsics:
        rotmat = camera.world_to_cam_rotmat.astype(np.float64)
        if not is_rotation(rotmat):
            numbers = {"orthogonality_error": orthogonality_error(rotmat)}
            yield Violation("not-a-rotation", "camera.world_to_cam_rotmat", numbers)


def _at_most(reason: str, name: str, values: np.ndarray, limit: float) -> Iterator[Violation]:
    largest = float(np.abs(values).max())
    if largest > limit:
        yield Violation(reason, name, {"largest": largest, "limit": limit})


def _flags(instance: Instance) -> Iterator[Violation]:
    body, keypoints, camera = instance.body, instance.keypoints, instance.camera
    parts = body.has_left_hand or body.has_right_hand or body.has_jaw or body.has_eyes or body.has_expression
    statements = {
        "a hand, face, shape or translation is said to be known without a body": body.has_body
        or not (parts or body.has_betas or body.has_transl),
        "a translation that is not known cannot be metric": body.has_transl or not body.is_transl_metric,
        "a camera without intrinsics cannot be calibrated": camera.has_intrinsics or not camera.is_calibrated,
        "2D points and their origin disagree": (keypoints.joints2d_px[:, 2] > 0).any()
        == (keypoints.joints2d_origin != "none"),
        "3D points and their origin disagree": (keypoints.joints3d_cam_m[:, 3] > 0).any()
        == (keypoints.joints3d_origin != "none"),
        "3D joints of the body without a body": body.has_body or keypoints.joints3d_origin != "body",
        "a source body without a body": body.has_body or instance.source_body is None,
    }
    for statement, holds in statements.items():
        if not holds:
            yield Violation("flags", statement, {})


def _box(instance: Instance, limits: Limits) -> Iterator[Violation]:
    box = instance.boxes.person_xywh_px
    if box[4] <= 0:
        yield Violation("box-missing", "no person box, no 2D points and no joint in the picture", {})
        return
    numbers = {"x_px": float(box[0]), "y_px": float(box[1]), "width_px": float(box[2]), "height_px": float(box[3])}
    if box_math.area(box) <= 0:
        yield Violation("box-empty", "the person box has no area", numbers)
        return
    image = instance.image
    if image.width_px and image.height_px:
        visible = box_math.clip_to_image(box, (image.width_px, image.height_px))
        numbers |= {"image_width_px": image.width_px, "image_height_px": image.height_px}
        if box_math.area(visible) <= 0:
            yield Violation("box-outside", "the person box lies outside the picture", numbers)
            return
        box = visible
    if min(box[2], box[3]) < limits.min_box_px:
        yield Violation("box-small", "too small to see", {**numbers, "limit_px": limits.min_box_px})


def _in_view(instance: Instance, limits: Limits) -> Iterator[Violation]:
    joints = instance.keypoints.joints3d_cam_m
    known = joints[:, 3] > 0
    if instance.keypoints.joints3d_origin != "body" or not known.any() or not instance.camera.has_intrinsics:
        return
    behind = float((joints[known, 2] <= 0).mean())
    if behind > limits.max_behind_share:
        numbers = {"nearest_z_m": float(joints[known, 2].min()), "share_behind": behind}
        yield Violation("behind-camera", "a joint is not in front of the camera", numbers)
        return
    image = instance.image
    if not (image.width_px and image.height_px):
        return
    xy = project_with(instance.camera, joints[known, :3])  # NaN behind the camera, which is inside nothing
    inside = int(((xy >= 0) & (xy <= np.array([image.width_px, image.height_px]))).all(1).sum())
    if inside < limits.min_visible_joints:
        yield Violation(
            "outside-picture",
            "no joint falls into the picture",
            {"num_visible": inside, "limit": limits.min_visible_joints},
        )


def _agreement(evidence: Evidence, limits: Limits) -> Iterator[Violation]:
    if evidence.exact_px > limits.max_exact_px and not evidence.exact_share <= limits.max_exact_share:
        yield Violation(
            "exact-reprojection",
            "the body misses the dataset's own projection of it: a convention is wrong",
            {"exact_px": evidence.exact_px, "limit_px": limits.max_exact_px, "exact_share": evidence.exact_share},
        )
    if evidence.exact_mm > limits.max_exact_mm:
        yield Violation(
            "exact-joints",
            "the body misses the dataset's own 3D joints of it: a convention is wrong",
            {"exact_mm": evidence.exact_mm, "limit_mm": limits.max_exact_mm},
        )
    if evidence.measured_mm > limits.max_measured_mm:
        yield Violation(
            "measured-joints",
            "the body misses the dataset's measured 3D joints",
            {"measured_mm": evidence.measured_mm, "limit_mm": limits.max_measured_mm},
        )
    if evidence.reprojection_share > limits.max_reprojection_share:
        yield Violation(
            "reprojection",
            "the body misses the person's own 2D keypoints",
            {
                "reprojection_px": evidence.reprojection_px,
                "share": evidence.reprojection_share,
                "limit": limits.max_reprojection_share,
            },
        )
    for part in ("left_hand", "right_hand", "face"):
        share = getattr(evidence, f"{part}_share")
        if share > limits.max_part_share:
            yield Violation(
                f"{part.replace('_', '-')}-reprojection",
                f"the {part.replace('_', ' ')} misses its own 2D keypoints",
                {"share": share, "limit": limits.max_part_share},
            )


def _fit(instance: Instance, limits: Limits) -> Iterator[Violation]:
    source = instance.source_body
    if source is not None and source.conversion == "fit" and source.fit_error_mm > limits.max_fit_error_mm:
        yield Violation(
            "fit-error",
            "neutral SMPL-X does not reach the source's mesh",
            {"fit_error_mm": source.fit_error_mm, "limit_mm": limits.max_fit_error_mm},
        )
