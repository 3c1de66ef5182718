"""HumanSC3D: human self-contact in 3D.

Citation: Fieraru et al., Learning Complex 3D Human Self-Contact, AAAI 2021.
Licence: non-commercial research (text unverified).
Access: on request at the project's site; humansc3d_train.tar.gz and a few json files.
Counts: 2 752 train videos (HumanData file names: 688 actions in 4 cameras); 288 362 train people (SMPLer-X
    assets/factor_data.pdf; that the marker is this dataset is unverified). Evaluation subjects s04, s05 have no public
    labels.
Frame: world, moved by each camera's `extrinsics`; x_cam = R (x - T), T is the camera's centre.
Units: metres; rotation matrices (axis-angle here), pixels of the distorted 900x900 video.
Hands: absolute (the official tool's model layer adds no mean hand).
Gender: neutral SMPL-X 1.1. Betas: 10, with 10 expression values. How well the face was observed is unverified.
Labels: capture (markers, with multi-view fits).
Forms: `smplx` (official json files).
Known defects:
    - Videos may have more frames than the labels, which count; extracted frames are 0-based with four digits.
    - Pictures are distorted, so `intrinsics_w_distortion` is used with the toolbox's own lens model; the official
      overlays use the pinhole of `intrinsics_wo_distortion`.
    - The 25 joints are Human3.6M-like, left leg first; mmhuman3d's converter takes them for OpenPose's 25.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from harmonize.annotation import Annotation, Reject
from harmonize.readers import imar
from harmonize.readers.base import Reader, Unit


class Humansc3d(Reader):
    """A unit is one action of one subject, in all cameras."""

    name = "humansc3d"
    version = 1
    splits = ("train",)
    forms = ("smplx",)
    licence: ClassVar[str] = "non-commercial research (text unverified)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        return imar.units(self, ("humansc3d", "HumanSC3D"))

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        yield from imar.people(self, split, unit, licence=self.licence, origins=("capture",))
