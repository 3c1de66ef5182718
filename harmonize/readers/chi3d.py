"""CHI3D: close human interactions in 3D.

Citation: Fieraru et al., Three-Dimensional Reconstruction of Human Interactions, CVPR 2020.
Licence: non-commercial research (text unverified).
Access: on request at the project's site; chi3d_train.tar.gz and a few json files.
Counts: 1 492 train videos (HumanData file names: 373 actions in 4 cameras, two people each); 252 416 train people
    (SMPLer-X assets/factor_data.pdf; that the marker is this dataset is unverified). Evaluation subjects s01, s05 have
    no public labels.
Frame: world, moved by each camera's `extrinsics`; x_cam = R (x - T), T is the camera's centre.
Units: metres; rotation matrices (axis-angle here), pixels of the distorted 900x900 video.
Hands: absolute (the official tool's model layer adds no mean hand).
Gender: neutral SMPL-X 1.1. Betas: 10, with 10 expression values. How well the face was observed is unverified.
Labels: capture for person 0, who wears markers; multi-view for person 1, who does not and whose fit is expected to be
    weaker.
Forms: `smplx` (official json files).
Known defects:
    - Downloads older than June 2023 have person 0 alone, and arrays without the axis of people: both are read.
    - Videos may have more frames than the labels, which count; extracted frames are 0-based with four digits.
    - Pictures are distorted, so `intrinsics_w_distortion` is used with the toolbox's own lens model; the official
      overlays use the pinhole of `intrinsics_wo_distortion`.
    - The 25 joints are Human3.6M-like, left leg first; mmhuman3d's converter takes them for OpenPose's 25.
    - Strong mutual occlusion is normal, and nothing in the files marks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from harmonize.annotation import Annotation, Reject
from harmonize.readers import imar
from harmonize.readers.base import Reader, Unit


class Chi3d(Reader):
    """A unit is one action of one pair of subjects, in all cameras."""

    name = "chi3d"
    version = 1
    splits = ("train",)
    forms = ("smplx",)
    licence: ClassVar[str] = "non-commercial research (text unverified)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        return imar.units(self, ("chi3d", "CHI3D"))

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        yield from imar.people(self, split, unit, licence=self.licence, origins=("capture", "multi-view"))
