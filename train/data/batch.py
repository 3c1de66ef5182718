"""What a network is shown and what it is taught: one batch as a few large tensors.

`Observed` is all that exists at test time too; `Truth` is what the records know besides. Adaptation takes `Observed`
alone, so that no label can leak into it.

Dimension letters: B batch, J = 53 joints of `train.models.prediction`, K = 144 named joints of SMPL-X (package order).
Positions in the crop are continuous pixels, a pixel covers [i, i + 1).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from torch import Tensor


class _Tensors:
    """Moves and slices a frozen dataclass of tensors and of such dataclasses."""

    def to(self, device: Any) -> Self:
        """The same with its tensors on a device."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def rows(self, at: Any) -> Self:
        """Some of the samples: a slice, or an index tensor (N,)."""
        return self._each(lambda value: value[at])

    def _each(self, change: Any) -> Self:
        values = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        changed = {
            name: value._each(change) if isinstance(value, _Tensors) else change(value)
            for name, value in values.items()
        }
        return type(self)(**changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed(_Tensors):
    """What exists of a person in a picture before anything is known about the body.

    crop: (B, 3, height, width) uint8, RGB.
    to_crop: (B, 2, 3) affine map from normalised camera coordinates (X/Z, Y/Z, 1) to crop pixels: intrinsics, crop,
        and whatever augmentation turned or scaled, in one.
    has_intrinsics: (B,) bool; false where the focal length is a guess (the picture's diagonal).
    keypoints_px: (B, 144, 3) x, y in the crop and confidence: annotated, detected, or a simulated detector's. Where the
        lens is known, they are where a pinhole camera would see them.
    """

    crop: Tensor
    to_crop: Tensor
    has_intrinsics: Tensor
    keypoints_px: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth(_Tensors):
    """What the record says, in the camera frame that `Observed.to_crop` belongs to; flags are bool, and numbers under a
    lowered flag (or with confidence 0) mean nothing.

    rotmat: (B, 53, 3, 3), has_rotation (B, 53). betas: (B, 10), has_betas (B,). expression: (B, 10), has_expression
    (B,). pelvis_m: (B, 3) posed pelvis in the camera frame, has_pelvis (B,): metric and known.
    joints_m: (B, 144, 4) x, y, z relative to the pelvis, and confidence. keypoints_px: (B, 144, 3) as in `Observed`,
        without simulated errors: the dataset's own points, else the projected joints.
    """

    rotmat: Tensor
    has_rotation: Tensor
    betas: Tensor
    has_betas: Tensor
    expression: Tensor
    has_expression: Tensor
    pelvis_m: Tensor
    has_pelvis: Tensor
    joints_m: Tensor
    keypoints_px: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B samples. keys, sources (dataset, split): what was read, from the samples' own records."""

    observed: Observed
    truth: Truth
    keys: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]

    def to(self, device: Any) -> Batch:
        """The same batch with its tensors on a device."""
        return Batch(
            observed=self.observed.to(device), truth=self.truth.to(device), keys=self.keys, sources=self.sources
        )

    def rows(self, at: slice) -> Batch:
        """Some of the samples, such as one process's or one micro-batch's."""
        return Batch(
            observed=self.observed.rows(at), truth=self.truth.rows(at), keys=self.keys[at], sources=self.sources[at]
        )
