"""NMVE and NMJE of AGORA: errors of the people that a model found in whole pictures, divided by F1.

Matching, F1 and the combination of parts are those of the published code (`metrics.agora`). What differs, because a
store holds what it holds: people whom AGORA calls invalid are rejects and take no part, so that a prediction on one of
them is a false positive also where it would have settled the match of another; meshes and joints are aligned at joints
regressed from the meshes, since predictions may be meshes alone. Test data of AGORA is scored by its server only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.bootstrap import LEAST_GROUPS, LEVEL
from benchmark.detections import Found
from benchmark.evaluation import STANDIN_NOTE, check_models, in_source_picture, predicted_meshes
from benchmark.metrics.agora import NUM_COMPARED, Detection, Matching, detection
from benchmark.metrics.measured import agora_errors, figures_of, matched_people, regressed
from benchmark.metrics.parts import agora_mesh_parts
from benchmark.predictions import BATCH_ROWS, Predictions
from benchmark.protocols import Protocol
from benchmark.truths import Candidate, choose, true_meshes
from harmonize.bodies import BodyModels
from harmonize.errors import UsageError
from harmonize.shards.read import Store, open_store

Floats = npt.NDArray[np.floating[Any]]

PARTS = ("body", "left_hand", "right_hand", "face")
KINDS = ("mve", "mpjpe")
_FIGURES = (*PARTS, "full_body", "normalised_body", "normalised_full_body")


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisedFigure:
    """kind: "mve" or "mpjpe"; figure: a part, full_body (B + (LH + RH + F) / 3) or normalised_* (divided by F1), in
    mm. low and high: its 95 % interval over pictures, None with fewer than five, or when a draw has no match."""

    kind: str
    figure: str
    value_mm: float | None
    low_mm: float | None
    high_mm: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """detection: the counts, with f1, precision and recall. num_pictures: with a true or a predicted person."""

    detection: Detection
    figures: tuple[NormalisedFigure, ...]
    num_pictures: int
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """All of it for JSON."""
        of = self.detection
        return {
            "f1": of.f1,
            "precision": of.precision,
            "recall": of.recall,
            "matched": of.num_matched,
            "missed": of.num_missed,
            "false_positives": of.num_false,
            "pictures": self.num_pictures,
            "figures": {
                kind: {
                    one.figure: {"mean_mm": one.value_mm, "low_mm": one.low_mm, "high_mm": one.high_mm}
                    for one in self.figures
                    if one.kind == kind
                }
                for kind in KINDS
            },
            "notes": list(self.notes),
        }


def evaluate_people(
    store: Path,
    protocol: Protocol,
    predictions: Predictions,
    detections: Callable[[frozenset[str]], Mapping[str, Found]],
    models: BodyModels,
    *,
    num_draws: int = 1000,
    seed: int = 0,
) -> Normalised:
    """F1, MVE, MPJPE, NMVE and NMJE of the people found in the pictures of a protocol's split.

    detections: given the names of the split's pictures, the people found in them (`load_detections`).

    Raises:
        UsageError: the store lacks the split, was made with other body models, or lacks people of it.
        DataError, RawFileError, StoreError: a file is damaged, or predictions are not finite.
    """
    opened = open_store(store)
    chosen = choose(opened, protocol, every=1)
    check_models(protocol, models, chosen, "cpu")
    by_picture: dict[str, list[Candidate]] = {}
    for one in chosen.candidates:
        if one.problem:
            raise UsageError(f"{protocol.name}: {one.key} has no truth to match with: {one.problem}")
        by_picture.setdefault(one.picture, []).append(one)
    found = detections(frozenset(by_picture))
    matchings: dict[str, Matching] = {}
    partner: dict[str, tuple[str, Candidate]] = {}
    for picture in sorted(by_picture):
        people = by_picture[picture]
        there = found.get(picture)
        nobody = np.empty((0, NUM_COMPARED, 2))
        matchings[picture] = matched_people(
            nobody if there is None else there.joints_px, _true_joints_px(opened, people, models)
        )
        for pred, true in matchings[picture].pairs:
            assert there is not None
            partner[there.keys[pred]] = picture, people[true]
    errors, pictures = _matched_errors(opened, predictions, partner, models)
    counts = detection(matchings.values())
    figures = []
    for kind in KINDS:
        value = figures_of({part: errors[kind, part] for part in PARTS}, counts)
        low, high = _intervals(matchings, {part: errors[kind, part] for part in PARTS}, pictures, num_draws, seed)
        figures += [
            NormalisedFigure(
                kind=kind,
                figure=name,
                value_mm=_number(value[name]),
                low_mm=_number(low[name]),
                high_mm=_number(high[name]),
            )
            for name in _FIGURES
        ]
    notes = [STANDIN_NOTE] if chosen.is_standin else []
    if chosen.num_rejects:
        notes.append(
            f"{chosen.num_rejects} people of {protocol.dataset}/{protocol.split} are rejects: predictions on them are "
            "false positives"
        )
    if len(matchings) < LEAST_GROUPS:
        notes.append(f"no intervals: {len(matchings)} pictures, at least {LEAST_GROUPS} are needed")
    return Normalised(detection=counts, figures=tuple(figures), num_pictures=len(matchings), notes=tuple(notes))


def _true_joints_px(store: Store, people: Sequence[Candidate], models: BodyModels) -> Floats:
    """(T, 127, 2) joints of the true meshes in the whole source picture."""
    instances = [store.sample(one.key).instance for one in people]
    if without := [one.key for one in instances if not one.camera.has_intrinsics]:
        raise UsageError(f"{without[0]}: expected a camera, to say where people are in the picture; found none")
    meshes = true_meshes(instances, [one.is_source for one in people], models)
    joints = regressed(agora_mesh_parts(models).regressor, meshes)
    return np.stack([in_source_picture(one, of) for one, of in zip(instances, joints, strict=True)])


def _matched_errors(
    store: Store, predictions: Predictions, partner: Mapping[str, tuple[str, Candidate]], models: BodyModels
) -> tuple[dict[tuple[str, str], Floats], list[str]]:
    """By kind and part, errors (M,) in mm of the matched people, and their pictures."""
    parts = agora_mesh_parts(models)
    rows: dict[tuple[str, str], list[Floats]] = {(kind, part): [] for kind in KINDS for part in PARTS}
    pictures: list[str] = []
    for batch in predictions.batches():
        at = [row for row, key in enumerate(batch.keys) if key in partner]
        for start in range(0, len(at), BATCH_ROWS):
            some = batch.rows(at[start : start + BATCH_ROWS])
            people = [partner[key] for key in some.keys]
            instances = [store.sample(one.key).instance for _, one in people]
            true = true_meshes(instances, [one.is_source for _, one in people], models)
            found = agora_errors(predicted_meshes(some, models), true, parts)
            for kind, part in rows:
                rows[kind, part].append(found[kind, part])
            pictures += [picture for picture, _ in people]
    return {of: np.concatenate([*some, np.empty(0)]) for of, some in rows.items()}, pictures


def _intervals(
    matchings: Mapping[str, Matching],
    errors: Mapping[str, Floats],
    pictures: Sequence[str],
    num_draws: int,
    seed: int,
) -> tuple[dict[str, float], dict[str, float]]:
    """Bounds of each figure by drawing pictures with replacement; the figures of a draw are not rounded."""
    if len(matchings) < LEAST_GROUPS or not num_draws:
        nothing = dict.fromkeys(_FIGURES, float("nan"))
        return nothing, nothing
    place = {picture: row for row, picture in enumerate(matchings)}
    of_pair = np.array([place[picture] for picture in pictures], np.int64)
    sums = [np.bincount(of_pair, errors[part], len(place)) for part in PARTS]
    counts = [detection([one]) for one in matchings.values()]
    columns = ("num_matched", "num_missed", "num_false", "num_missed_beside")
    table = np.array([*sums, *([getattr(one, of) for one in counts] for of in columns)], np.float64)
    drawn = np.random.default_rng(seed).integers(len(place), size=(num_draws, len(place)))
    *totals, matched, missed, false, beside = table[:, drawn].sum(2)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = {part: of / (matched + (part != "body") * beside) for part, of in zip(PARTS, totals, strict=True)}
        f1 = matched / (matched + (missed + false) / 2)
        means["full_body"] = means["body"] + (means["left_hand"] + means["right_hand"] + means["face"]) / 3
        means |= {f"normalised_{of}": means[of] / f1 for of in ("body", "full_body")}
    low, high = (
        {of: float(np.quantile(values, at)) for of, values in means.items()}
        for at in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    )
    return low, high


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
