"""Fit3D: fitness exercises in 3D.

Citation: Fieraru et al., AIFit: Automatic 3D Human-Interpretable Feedback Models for Fitness Training, CVPR 2021.
Licence: non-commercial research (text unverified).
Access: on request at the project's site; fit3d_train.tar.gz and a few json files.
Counts: 1 504 train videos (HumanData file names: 376 actions in 4 cameras); 1 779 292 train people before
    sub-sampling (SMPLer-X assets/factor_data.pdf; that the marker is this dataset is unverified). SMPLer-X keeps every
    10th. Evaluation subjects s02, s12, s13 have no public labels.
Frame: world, moved by each camera's `extrinsics`; x_cam = R (x - T), T is the camera's centre.
Units: metres; rotation matrices (axis-angle here), pixels of the distorted 900x900 video.
Hands: absolute (the official tool's model layer adds no mean hand).
Gender: neutral SMPL-X 1.1. Betas: 10, with 10 expression values. How well the face was observed is unverified.
Labels: capture (markers, with multi-view fits).
Forms: `smplx` (official json files).
Known defects:
    - Videos may have more frames than the labels, which count; extracted frames are 0-based with four digits.
    - Both intrinsics of a camera file are fits to one lens. Pictures are distorted, so `intrinsics_w_distortion` is
      used with the toolbox's own lens model; the official overlays use the pinhole of `intrinsics_wo_distortion`, and
      mmhuman3d's converter the first one's focal length without its distortion.
    - The 25 joints are Human3.6M-like, left leg first; mmhuman3d's converter takes them for OpenPose's 25.
    - Long clips of repetitions: split by subject, never by frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from harmonize.annotation import Annotation, Reject
from harmonize.readers import imar
from harmonize.readers.base import Reader, Unit


class Fit3d(Reader):
    """A unit is one action of one subject, in all cameras."""

    name = "fit3d"
    version = 1
    splits = ("train",)
    forms = ("smplx",)
    licence: ClassVar[str] = "non-commercial research (text unverified)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        return imar.units(self, ("fit3d", "FIT3D"))

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        yield from imar.people(self, split, unit, licence=self.licence, origins=("capture",))
