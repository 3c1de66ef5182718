"""The instances that a protocol measures on, and their true meshes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.protocols import INSTANCE_FLAGS, PART_FLAGS, Protocol
from catalogs import store as catalog
from harmonize.bodies import BodyBatch, BodyModel, BodyModels
from harmonize.errors import UsageError
from harmonize.meshes import neutral_batch, source_batch
from harmonize.record import MAX_SOURCE_BETAS, Instance
from harmonize.shards.read import Store

Floats = npt.NDArray[np.floating[Any]]

_PART_FLAGS = tuple(sorted({flag for flags in PART_FLAGS.values() for flag in flags}))
_COLUMNS = (
    *("key", "sequence", "subject", "image_path", *INSTANCE_FLAGS, *_PART_FLAGS, "camera_has_intrinsics"),
    *("source_body_is_present", "source_body_model", "source_body_is_rebuildable", "source_body_fit_error_mm"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A sample that the protocol's sub-sampling takes. picture: path of its source picture. group: what it is drawn
    with for intervals. labelled: the parts with labels. is_source: whether its truth is the source's own mesh, else the
    neutral body, whose mean distance from the source's mesh is fit_error_mm. problem: why it has no truth, empty if it
    has."""

    key: str
    picture: str
    sequence: str
    subject: str
    group: str
    labelled: frozenset[str]
    is_source: bool
    fit_error_mm: float
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a protocol measures on in a store: candidates in order, and every key of the split. every: the step taken
    in the store. is_as_stated: whether the sub-sampling is the protocol's."""

    candidates: tuple[Candidate, ...]
    keys_of_split: frozenset[str]
    num_rejects: int
    is_standin: bool
    every: int
    is_as_stated: bool

    @property
    def wanted(self) -> frozenset[str]:
        """Keys of the candidates with a truth: those that must be predicted."""
        return frozenset(one.key for one in self.candidates if not one.problem)


def choose(store: Store, protocol: Protocol, *, every: int | None = None) -> Chosen:
    """The protocol's instances in a store.

    every: overrides the protocol's sub-sampling. A store that was itself ingested with every k-th picture is thinned
    by what is left of the protocol's step.

    Raises:
        UsageError: the store lacks the split, is thinned in another way, or no instance has a truth.
        StoreError: the store is damaged.
    """
    plans = [one.plan for one in store.manifests() if (one.dataset, one.split) == (protocol.dataset, protocol.split)]
    name = f"{protocol.dataset}/{protocol.split}"
    if not plans:
        found = sorted({f"{one.dataset}/{one.split}" for one in store.manifests()})
        raise UsageError(
            f"{protocol.name}: expected samples of {name} in {store.path}, found {', '.join(found) or 'none'}",
            fix=f"ehps ingest {protocol.dataset} --split {protocol.split} ... ({protocol.source})",
        )
    ingested = {plan.get("options", {}).get("every", 1) for plan in plans}
    step = every if every is not None else _step(protocol, ingested)
    if step < 1:
        raise UsageError(f"{protocol.name}: expected a step of 1 or more, found {step}")
    where = [protocol.dataset, protocol.split]
    with catalog.open(store.path) as con:
        sql = f"SELECT {', '.join(_COLUMNS)} FROM instances WHERE dataset = $1 AND split = $2 "
        rows = catalog.query(con, sql + "ORDER BY sequence, frame, person, key", where).rows
        facts = "SELECT num_rejects, is_standin FROM datasets WHERE dataset = $1 AND split = $2"
        ((num_rejects, is_standin),) = catalog.query(con, facts, where).rows
    samples = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    candidates = tuple(_candidate(one, protocol) for one in samples[::step])
    if all(one.problem for one in candidates):
        problems = ", ".join(sorted({one.problem for one in candidates})) or "the split is empty"
        raise UsageError(f"{protocol.name}: expected an instance of {name} with a truth, found none: {problems}")
    return Chosen(
        candidates=candidates,
        keys_of_split=frozenset(one["key"] for one in samples),
        num_rejects=int(num_rejects),
        is_standin=bool(is_standin),
        every=step,
        is_as_stated=every is None or (ingested == {1} and step == protocol.every),
    )


def true_meshes(instances: Sequence[Instance], is_source: Sequence[bool], models: BodyModels) -> Floats:
    """Meshes (N, V, 3), camera frame, metres; of each instance its source's own or that of the neutral body.

    Raises:
        ValueError: meshes of different models.
        MissingBodyModelError, RawFileError: a model is not there or damaged.
    """
    by_model: dict[tuple[str, str], tuple[BodyModel, list[int], list[BodyBatch]]] = {}
    for at, (instance, of_source) in enumerate(zip(instances, is_source, strict=True)):
        if of_source:
            batch, model = source_batch(instance, models)
        else:
            batch, model = neutral_batch(instance), models.get("smplx", "neutral")
        _, rows, batches = by_model.setdefault((model.kind, model.gender), (model, [], []))
        rows.append(at)
        batches.append(batch)
    sizes = {model.num_vertices for model, _, _ in by_model.values()}
    if len(sizes) != 1:
        raise ValueError(f"expected meshes of one model, found {sorted(sizes)} vertices")
    out = np.empty((len(instances), sizes.pop(), 3), np.float32)
    for model, rows, batches in by_model.values():
        out[rows] = model.vertices(_joined(batches))
    return out


def _step(protocol: Protocol, ingested: set[int]) -> int:
    """What is left of the protocol's step in a store that was thinned by one."""
    if len(ingested) > 1 or protocol.every % min(ingested):
        found = ", ".join(map(str, sorted(ingested)))
        raise UsageError(
            f"{protocol.name}: expected every {protocol.every}th sample, found a store ingested with --every {found}",
            fix=f"ingest {protocol.dataset}/{protocol.split} with --every 1, or choose a step of your own with --every",
        )
    return protocol.every // min(ingested)


def _candidate(row: dict[str, Any], protocol: Protocol) -> Candidate:
    is_kept = bool(row["source_body_is_present"] and row["source_body_is_rebuildable"])
    lacking = [flag for flag in INSTANCE_FLAGS if not row[flag]]
    problem = f"{' and '.join(lacking)} not set" if lacking else ""
    if not problem and protocol.truth == "smpl" and not (is_kept and row["source_body_model"] == "smpl"):
        problem = "no SMPL body as annotated"
    if not problem and protocol.counts == "in_picture" and not row["camera_has_intrinsics"]:
        problem = "no camera to tell what is in the picture"
    is_smplx = is_kept and row["source_body_model"] == "smplx"
    # A sample without a source body was annotated as what is stored.
    fit_error = float(row["source_body_fit_error_mm"]) if row["source_body_is_present"] else 0.0
    is_source = protocol.truth == "smpl" or (protocol.truth == "mesh" and is_smplx)
    return Candidate(
        key=row["key"],
        picture=row["image_path"],
        sequence=row["sequence"],
        subject=row["subject"],
        group=_group(row, protocol),
        labelled=frozenset(part for part in protocol.parts if all(row[flag] for flag in PART_FLAGS[part])),
        is_source=is_source,
        fit_error_mm=0.0 if is_source else fit_error,
        problem=problem,
    )


def _group(row: dict[str, Any], protocol: Protocol) -> str:
    """The unit's name, that of the picture where the dataset has no such name."""
    name = {
        "recording": str(row["sequence"]).rpartition("/")[0],  # the last folder is the camera
        "sequence": row["sequence"],
        "subject": row["subject"],
        "picture": "",
    }[protocol.unit]
    return f"{protocol.unit}:{name}" if name else f"picture:{row['image_path']}"


def _joined(batches: Sequence[BodyBatch]) -> BodyBatch:
    """Bodies of one model as one batch; betas that a body lacks are zero."""
    betas = np.zeros((len(batches), MAX_SOURCE_BETAS), np.float32)
    for row, batch in enumerate(batches):
        betas[row, : batch.betas.shape[1]] = batch.betas[0]
    expressions = [one.expression for one in batches if one.expression is not None]
    return BodyBatch(
        pose_aa=np.concatenate([np.asarray(batch.pose_aa, np.float32) for batch in batches]),
        betas=betas,
        transl_m=np.concatenate([batch.transl_m for batch in batches]),
        expression=np.concatenate(expressions) if len(expressions) == len(batches) else None,
        kid_weight=np.array([0.0 if one.kid_weight is None else one.kid_weight[0] for one in batches]),
    )
