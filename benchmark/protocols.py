"""What each benchmark measures: on which instances of a store, from which truth, which error is the one compared.

SMPLer-X (arXiv 2309.17448) tests on AGORA, UBody, EgoBody, 3DPW and EHF and adds ARCTIC and DNA-Rendering-HiRes; the
rules are those of its test code where they could be read there (`source` of each protocol says so, and what differs).
MPE, "mean primary error", is the plain mean of the first five, each counting the same whatever its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harmonize.errors import UsageError

Part = Literal["all", "body", "left_hand", "right_hand", "face"]
Truth = Literal["mesh", "neutral", "smpl"]
Unit = Literal["recording", "sequence", "subject", "picture"]

WHOLE_BODY: tuple[Part, ...] = ("all", "body", "left_hand", "right_hand", "face")

PART_FLAGS: Mapping[Part, tuple[str, ...]] = {
    "all": (),
    "body": (),
    "left_hand": ("body_has_left_hand",),
    "right_hand": ("body_has_right_hand",),
    "face": ("body_has_jaw", "body_has_expression"),
}
"""Flags of the record that must be up for an error of a part. As in the published evaluators, "all" counts every vertex
of an instance, labelled or not; protocols of datasets without hands and face do not measure it."""

INSTANCE_FLAGS = ("body_has_body", "body_has_betas")
"""Flags without which an instance has no truth, and no error of any part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One way to measure on one dataset.

    dataset, split: as in a store. every: of the split's samples, sorted by sequence, frame, person and key, the first
    and each n-th after it; instances without truth are then left out. parts: those with errors. primary: the column
    that is compared. unit: what is drawn for intervals, because errors within one are alike.

    truth: "mesh": the mesh as annotated (gendered SMPL-X) where it can be rebuilt, else the stored neutral SMPL-X body;
    "neutral": always that body; "smpl": the mesh as annotated, which must be SMPL.
    counts: "everything", or "in_picture": vertices and joints whose true place lies inside the whole source picture.
    """

    name: str
    title: str
    dataset: str
    split: str
    every: int
    parts: tuple[Part, ...]
    primary: str
    truth: Truth
    counts: Literal["everything", "in_picture"]
    unit: Unit
    joints: str
    regressor: str
    source: str

    @property
    def metrics(self) -> tuple[str, ...]:
        """The columns of errors in millimetres, in the order they are reported."""
        names = [*self.parts, *(["hands"] if {"left_hand", "right_hand"} <= set(self.parts) else [])]
        families = ("mpjpe", "pa_mpjpe") if self.truth == "smpl" else ("pve", "pa_pve", "mpjpe", "pa_mpjpe")
        return tuple(f"{family}_{name}" for family in families for name in names)


_FIELD_JOINTS = "SMPL-X: 22 of the body, 21 of each hand with tips, 51 landmarks of the face"
_FIELD_REGRESSOR = "kinematic joints and landmarks of neutral SMPL-X, from the posed meshes"


def _smplx(
    name: str,
    title: str,
    dataset: str,
    split: str,
    *,
    every: int = 1,
    unit: Unit,
    source: str,
    parts: tuple[Part, ...] = WHOLE_BODY,
    truth: Truth = "mesh",
    counts: Literal["everything", "in_picture"] = "everything",
) -> Protocol:
    return Protocol(
        name=name,
        title=title,
        dataset=dataset,
        split=split,
        every=every,
        parts=parts,
        primary=f"pve_{parts[0]}",
        truth=truth,
        counts=counts,
        unit=unit,
        joints=_FIELD_JOINTS,
        regressor=_FIELD_REGRESSOR,
        source=source,
    )


PROTOCOLS: Mapping[str, Protocol] = {
    one.name: one
    for one in (
        _smplx(
            "agora",
            "AGORA validation",
            "agora",
            "validation",
            unit="picture",
            source="SMPLer-X data/AGORA: validation, valid people only, PVE of all vertices aligned at the pelvis. "
            "NMVE and NMJE need the matching of whole pictures and are not part of it",
        ),
        _smplx(
            "ubody",
            "UBody intra-scene test",
            "ubody",
            "test",
            every=100,
            unit="sequence",
            counts="in_picture",
            source="SMPLer-X data/UBody/UBody.py: videos of intra_scene_test_list.npy, every 100th annotation, only "
            "vertices in the picture count. There they are projected with the predicted camera, so that a prediction "
            "decides what is counted; here with the annotated one. Order of annotations: see `every`",
        ),
        _smplx(
            "egobody",
            "EgoBody EgoSet test",
            "egobody_egoset",
            "test",
            unit="sequence",
            source="SMPLer-X data/EgoBody_Egocentric: the EgoSet test file, no sub-sampling, PVE aligned at the pelvis",
        ),
        Protocol(
            name="pw3d",
            title="3DPW test, 14 joints of each model's own regressor",
            dataset="pw3d",
            split="test",
            every=1,
            parts=("body",),
            primary="mpjpe_body",
            truth="smpl",
            counts="everything",
            unit="sequence",
            joints="hips, knees, ankles, neck, head, shoulders, elbows, wrists; aligned at the pelvis",
            regressor="kinematic joints: of neutral SMPL-X for the prediction, of neutral SMPL for the true SMPL mesh",
            source="SMPLer-X data/PW3D/PW3D.py: 3DPW_test.json, no sub-sampling, MPJPE with the SMPL-X pelvis brought "
            "to the SMPL pelvis. Not the 14 joints of the common 3DPW protocol",
        ),
        _smplx(
            "pw3d_smplx",
            "3DPW test, SMPL-X body",
            "pw3d",
            "test",
            parts=("body",),
            truth="neutral",
            unit="sequence",
            source="this project: PVE of the vertices that are neither hand nor face, against neutral SMPL-X fitted to "
            "the annotated SMPL mesh (truth_fit_error_mm); 3DPW labels neither hands nor face",
        ),
        _smplx(
            "ehf",
            "EHF",
            "ehf",
            "test",
            unit="picture",
            source="SMPLer-X data/EHF: all 100 pictures, PVE against the aligned meshes. A store keeps neutral SMPL-X "
            "fitted to these meshes (truth_fit_error_mm) and does not call the face labelled",
        ),
        _smplx(
            "arctic",
            "ARCTIC p1 validation",
            "arctic",
            "p1_val",
            every=10,
            unit="recording",
            source="SMPLer-X data/ARCTIC: p1_val, every 10th, PVE aligned at the pelvis. Its people have rest meshes "
            "of their own; the truth is neutral SMPL-X fitted to them (truth_fit_error_mm)",
        ),
        _smplx(
            "dna_rendering_hires",
            "DNA-Rendering-HiRes test",
            "dna_rendering_hires",
            "test",
            every=10,
            unit="subject",
            source="SMPLer-X data/RenBody_HiRes: test file, every 10th, PVE aligned at the pelvis; there only the "
            "first part of the file. The public release has no test list: forms renbody and humandata have",
        ),
    )
}

MPE_BENCHMARKS = ("agora", "egobody", "ubody", "pw3d", "ehf")
"""Those whose primary errors MPE is the mean of (README of SMPLer-X)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanPrimaryError:
    """value_mm: the plain mean of the primary errors of `benchmarks`; missing: those of the five that it lacks. With
    any missing it compares with no published MPE."""

    value_mm: float
    benchmarks: tuple[str, ...]
    missing: tuple[str, ...]


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UsageError: there is none; the message lists them.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"there is no benchmark {name!r}; there are {', '.join(PROTOCOLS)}", fix="choose one of them")
    return PROTOCOLS[name]


def mean_primary_error(primary_mm: Mapping[str, float], *, allow_missing: bool = False) -> MeanPrimaryError:
    """MPE of primary errors by benchmark; others than the five are not part of it.

    Raises:
        UsageError: one of the five is missing and that is not allowed, or none is there.
    """
    there = tuple(name for name in MPE_BENCHMARKS if name in primary_mm)
    missing = tuple(name for name in MPE_BENCHMARKS if name not in primary_mm)
    if not there or (missing and not allow_missing):
        raise UsageError(
            f"MPE: expected primary errors of {', '.join(MPE_BENCHMARKS)}, found none of {', '.join(missing)}",
            fix="evaluate these benchmarks too",
        )
    value = sum(primary_mm[name] for name in there) / len(there)
    return MeanPrimaryError(value_mm=value, benchmarks=there, missing=missing)
