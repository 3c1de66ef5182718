"""Errors of predictions on a benchmark: one row an instance, and what they come to, with intervals.

Predictions come as an iterator of batches, from a file (`predictions`) or from a network, in any order; truth is read
from the store a batch at a time, so that memory holds one batch of meshes and a row of numbers for each instance.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.bootstrap import LEAST_GROUPS, mean_interval
from benchmark.metrics.measured import check_device, mesh_errors, only, pw3d_errors, regressed
from benchmark.metrics.parts import MeshParts, mesh_parts
from benchmark.predictions import BATCH_ROWS, PredictionBatch, check_keys, named
from benchmark.protocols import Protocol
from benchmark.truths import Candidate, Chosen, choose, true_meshes
from harmonize.bodies import BodyModels
from harmonize.errors import DataError, UsageError
from harmonize.geometry.cameras import project_with
from harmonize.record import Instance
from harmonize.shards.read import Store, open_store

Floats = npt.NDArray[np.floating[Any]]

STANDIN_NOTE = "bodies are the licence-free stand-in: no number here is a result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The mean of a metric over the instances that have it, in millimetres, and its 95 % interval over the protocol's
    units; None where there is none."""

    metric: str
    mean_mm: float | None
    low_mm: float | None
    high_mm: float | None
    num_instances: int
    num_groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an evaluation comes to. every: the step taken in the store; is_as_stated: whether the sub-sampling is the
    protocol's. num_chosen: after sub-sampling; num_without_truth: of these, by reason in the notes;
    num_rejects: people of the split that never became samples."""

    benchmark: str
    protocol: dict[str, Any]
    primary: str
    every: int
    is_as_stated: bool
    figures: tuple[Figure, ...]
    num_in_split: int
    num_chosen: int
    num_evaluated: int
    num_without_truth: int
    num_rejects: int
    num_draws: int
    seed: int
    is_standin: bool
    notes: tuple[str, ...]

    def figure(self, metric: str) -> Figure:
        """One of the figures.

        Raises:
            KeyError: the protocol has no such metric.
        """
        return {one.metric: one for one in self.figures}[metric]

    def document(self) -> dict[str, Any]:
        """All of it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """errors: an Arrow table, one row a chosen instance in the protocol's order (see docs/predictions.md)."""

    errors: Any
    summary: Summary


def evaluate(
    store: Path,
    protocol: Protocol,
    predictions: Iterable[PredictionBatch],
    models: BodyModels,
    *,
    device: str = "cpu",
    every: int | None = None,
    num_draws: int = 1000,
    seed: int = 0,
    also_allowed: frozenset[str] = frozenset(),
    on_progress: Callable[[int], None] = lambda num: None,
) -> Evaluation:
    """Errors of the predictions on the protocol's instances of a store.

    Predictions of samples of the split that the sub-sampling leaves out, or of keys in also_allowed (other benchmarks
    in one file), are passed over. Metrics are computed in float64 on `device`.

    Raises:
        UsageError: the store lacks the split or was made with other body models; no such device.
        DataError: predictions are missing, unknown, given twice, or not finite.
        StoreError, RawFileError, MissingBodyModelError: a file is damaged or not there.
    """
    opened = open_store(store)
    chosen = choose(opened, protocol, every=every)
    measure = _Measure(protocol, models, chosen, device)
    places = {one.key: row for row, one in enumerate(chosen.candidates) if not one.problem}
    values = np.full((len(chosen.candidates), len(protocol.metrics)), np.nan)
    seen: set[str] = set()
    for batch in predictions:
        twice = sorted({key for key, num in Counter(batch.keys).items() if num > 1} | (seen & set(batch.keys)))
        if twice:
            raise DataError(f"{protocol.name}: expected one prediction a sample, found several of {named(twice)}")
        seen.update(batch.keys)
        rows = [at for at, key in enumerate(batch.keys) if key in places]
        for start in range(0, len(rows), BATCH_ROWS):
            some = batch.rows(rows[start : start + BATCH_ROWS])
            at = [places[key] for key in some.keys]
            values[at] = measure(opened, some, [chosen.candidates[row] for row in at])
            on_progress(len(at))
    check_keys(protocol.name, seen, wanted=chosen.wanted, allowed=chosen.keys_of_split | also_allowed)
    return Evaluation(
        errors=_table(protocol, chosen, values), summary=_summary(protocol, chosen, values, num_draws, seed)
    )


def check_models(protocol: Protocol, models: BodyModels, chosen: Chosen, device: str) -> None:
    """The models are of the kind that the store was made with, and the device is there.

    Raises:
        UsageError: they are not.
    """
    if models.is_standin != chosen.is_standin:
        made, given = ("the stand-in", "real models") if chosen.is_standin else ("real models", "the stand-in")
        raise UsageError(
            f"{protocol.name}: the store was made with {made}, found {given}",
            fix="pass the body models it was made with, --body-models",
        )
    try:
        check_device(device)
    except ValueError as error:
        raise UsageError(f"{device}: expected a device of this machine: {error}", fix="--device cpu") from error


class _Measure:
    """Errors (N, metrics) of a batch of predictions, with the parts and models of a protocol at hand."""

    def __init__(self, protocol: Protocol, models: BodyModels, chosen: Chosen, device: str) -> None:
        check_models(protocol, models, chosen, device)
        self._protocol, self._models, self._device = protocol, models, device
        self._all: MeshParts = mesh_parts(models)
        self._parts = only(self._all, protocol.parts)
        self._smpl = mesh_parts(models, "smpl").regressor if protocol.truth == "smpl" else None

    def __call__(self, store: Store, batch: PredictionBatch, candidates: list[Candidate]) -> Floats:
        instances = [store.sample(key).instance for key in batch.keys]
        pred = predicted_meshes(batch, self._models)
        true = true_meshes(instances, [one.is_source for one in candidates], self._models)
        try:
            if self._smpl is not None:
                found = pw3d_errors(pred, true, self._all.regressor, self._smpl, device=self._device)
            else:
                found = self._mesh_errors(pred, true, instances, candidates)
        except DataError as error:
            bad = [batch.keys[row] for row in error.fields.get("samples", [])]
            raise DataError(f"{self._protocol.name}: {named(bad)}: {error}", keys=bad) from error
        return np.stack([found[metric] for metric in self._protocol.metrics], axis=1)

    def _mesh_errors(
        self, pred: Floats, true: Floats, instances: list[Instance], candidates: list[Candidate]
    ) -> dict[str, Floats]:
        valid: dict[str, npt.NDArray[np.bool_]] = {
            part: np.array([part in one.labelled for one in candidates], bool) for part in self._protocol.parts
        }
        counted = counted_joints = None
        if self._protocol.counts == "in_picture":
            joints = regressed(self._all.regressor, true)
            counted = np.stack([_inside(one, mesh) for one, mesh in zip(instances, true, strict=True)])
            counted_joints = np.stack([_inside(one, of) for one, of in zip(instances, joints, strict=True)])
        return mesh_errors(
            pred,
            true,
            self._parts,
            valid=valid,
            counted=counted,
            counted_joints=counted_joints,
            device=self._device,
        )


def predicted_meshes(batch: PredictionBatch, models: BodyModels) -> Floats:
    """(N, 10475, 3) in metres."""
    if batch.vertices_m is not None:
        return batch.vertices_m
    assert batch.bodies is not None
    return models.get("smplx", "neutral").vertices(batch.bodies)


def in_source_picture(instance: Instance, points_m: Floats) -> Floats:
    """Points (P, 3) of the camera frame in pixels of the whole source picture (P, 2), of which a crop may be stored."""
    image = instance.image
    return np.asarray(project_with(instance.camera, points_m) + np.array([image.crop_x_px, image.crop_y_px]))


def _inside(instance: Instance, points_m: Floats) -> npt.NDArray[np.bool_]:
    """Which points (P, 3) have their place in the whole source picture (P,)."""
    image = instance.image
    points_px = in_source_picture(instance, points_m)
    size_px = np.array([image.source_width_px or image.width_px, image.source_height_px or image.height_px])
    return np.asarray(((points_px > 0) & (points_px < size_px)).all(-1))


def _table(protocol: Protocol, chosen: Chosen, values: Floats) -> Any:
    import pyarrow as pa

    of = chosen.candidates
    primary = values[:, protocol.metrics.index(protocol.primary)]
    columns: dict[str, Any] = {
        "key": pa.array([one.key for one in of], pa.string()),
        "dataset": pa.array([protocol.dataset] * len(of), pa.string()),
        "split": pa.array([protocol.split] * len(of), pa.string()),
        "sequence": pa.array([one.sequence for one in of], pa.string()),
        "subject": pa.array([one.subject for one in of], pa.string()),
        "group": pa.array([one.group for one in of], pa.string()),
        "is_valid": pa.array((~np.isnan(primary)).tolist(), pa.bool_()),
        "problem": pa.array([one.problem for one in of], pa.string()),
        "truth": pa.array(["source" if one.is_source else "neutral" for one in of], pa.string()),
        "truth_fit_error_mm": pa.array([one.fit_error_mm for one in of], pa.float64()),
    }
    for at, metric in enumerate(protocol.metrics):
        columns[f"{metric}_mm"] = pa.array(values[:, at], pa.float64(), from_pandas=True)  # NaN becomes null
    table = pa.table(columns)
    return table.replace_schema_metadata({"ehps_protocol": json.dumps(asdict(protocol), sort_keys=True)})


def _summary(protocol: Protocol, chosen: Chosen, values: Floats, num_draws: int, seed: int) -> Summary:
    groups = [one.group for one in chosen.candidates]
    figures = []
    for at, metric in enumerate(protocol.metrics):
        found = mean_interval(values[:, at], groups, num_draws=num_draws, seed=seed)
        figures.append(
            Figure(
                metric=metric,
                mean_mm=_number(found.mean),
                low_mm=_number(found.low),
                high_mm=_number(found.high),
                num_instances=found.num_instances,
                num_groups=found.num_groups,
            )
        )
    by_metric = {one.metric: one for one in figures}
    return Summary(
        benchmark=protocol.name,
        protocol=asdict(protocol),
        primary=protocol.primary,
        every=chosen.every,
        is_as_stated=chosen.is_as_stated,
        figures=tuple(figures),
        num_in_split=len(chosen.keys_of_split),
        num_chosen=len(chosen.candidates),
        num_evaluated=by_metric[protocol.primary].num_instances,
        num_without_truth=sum(bool(one.problem) for one in chosen.candidates),
        num_rejects=chosen.num_rejects,
        num_draws=num_draws,
        seed=seed,
        is_standin=chosen.is_standin,
        notes=_notes(protocol, chosen, by_metric[protocol.primary]),
    )


def _notes(protocol: Protocol, chosen: Chosen, primary: Figure) -> tuple[str, ...]:
    found = [STANDIN_NOTE] if chosen.is_standin else []
    if not chosen.is_as_stated:
        found.append(
            f"not the protocol: the step in this store is {chosen.every}, that of the protocol {protocol.every}"
        )
    if chosen.num_rejects:
        found.append(f"{chosen.num_rejects} people of {protocol.dataset}/{protocol.split} are rejects, not samples")
    problems = Counter(one.problem for one in chosen.candidates if one.problem)
    found += [f"{num} instances have no truth: {problem}" for problem, num in sorted(problems.items())]
    fits = [one.fit_error_mm for one in chosen.candidates if not one.problem and not one.is_source and one.fit_error_mm]
    if fits:
        found.append(
            f"truth of {len(fits)} instances is neutral SMPL-X fitted to the annotated mesh, "
            f"{np.mean(fits):.1f} mm from it on average"
        )
    if primary.low_mm is None:
        found.append(f"no intervals: {primary.num_groups} {protocol.unit}s, at least {LEAST_GROUPS} are needed")
    return tuple(found)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
