"""Body models of the SMPL family: files, the licence-free stand-in, vertices, joints, and conversion to SMPL-X."""

from __future__ import annotations

from harmonize.bodies.fit import NeutralFit, from_meshes, to_neutral
from harmonize.bodies.models import BodyBatch, BodyModel, BodyModels

__all__ = ["BodyBatch", "BodyModel", "BodyModels", "NeutralFit", "from_meshes", "to_neutral"]
