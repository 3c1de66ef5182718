"""Keypoint conventions as ordered names, and the map from any of them to the 144 SMPL-X joints: by name only.

Two points share a name only if they share a definition. The suffix tells definitions apart: none for joints of the
SMPL family, `_extra` for points that annotators mark on the surface, `_openpose` for detections, `_3dhp`, `_h36m` and
`_pt` for points of one dataset. Spelling is that of HUMAN_DATA (open-mmlab/mmhuman3d).
"""

from __future__ import annotations

from harmonize.keypoints.conventions import CONVENTIONS, SMPLX_144, Convention, convention
from harmonize.keypoints.mapping import to_smplx

__all__ = ["CONVENTIONS", "SMPLX_144", "Convention", "convention", "to_smplx"]
