"""Validation in training: a network's errors by the protocols of the benchmarks that a store holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.evaluation import evaluate
from benchmark.predictions import PredictionBatch
from benchmark.protocols import protocol
from benchmark.truths import choose
from harmonize.bodies import BodyBatch, BodyModels
from harmonize.bodies.models import STANDIN
from harmonize.errors import DataError
from harmonize.shards.read import open_store

if TYPE_CHECKING:
    from train.config import TrainConfig
    from train.predictions import Predicted
    from train.steps import Regressor


def validator(
    store: Path, config: TrainConfig, models: BodyModels | None, device: str
) -> Callable[[Regressor, int], Mapping[str, float]]:
    """What `train.loop.train` calls: the primary error of each of `config.benchmarks`, and their mean as `primary_mm`.

    models: by default the stand-in for a store that was made with it, else those of $EHPS_BODY_MODELS.

    Raises:
        UsageError: no such benchmark, or the store lacks its split or was made with other body models.
    """
    opened = open_store(store)
    protocols = {name: protocol(name) for name in config.benchmarks}
    chosen = {name: choose(opened, one) for name, one in protocols.items()}
    wanted = {name: sorted(one.wanted) for name, one in chosen.items()}
    is_standin = all(one.is_standin for one in chosen.values())
    bodies = models or BodyModels.open(STANDIN if is_standin else None)

    def validate(regressor: Regressor, step: int) -> Mapping[str, float]:
        from train.checkpoints import SCORE
        from train.predictions import predict_store

        errors: dict[str, float] = {}
        for name, one in protocols.items():
            predicted = predict_store(
                regressor,
                store,
                wanted[name],
                bodies,
                padding=config.crop_padding,
                device=device,
                precision=config.precision,
                num_threads=config.threads,
            )
            found = evaluate(store, one, batches(predicted), bodies, num_draws=0).summary
            mean_mm = found.figure(found.primary).mean_mm
            if mean_mm is None:
                raise DataError(f"validation: {name}: expected samples with {found.primary}, found none")
            errors[f"{name}/{found.primary}_mm"] = mean_mm
        return {SCORE: float(np.mean(list(errors.values()))), **errors}

    return validate


def batches(predicted: Iterator[Predicted]) -> Iterator[PredictionBatch]:
    """Predictions of this project's networks as an evaluation takes them; eyes at rest."""
    for one in predicted:
        columns, num = one.columns, len(one.keys)
        pose = [
            *(columns["global_orient_aa"][:, None], columns["body_pose_aa"], columns["jaw_pose_aa"][:, None]),
            *(np.zeros((num, 2, 3), np.float32), columns["left_hand_pose_aa"], columns["right_hand_pose_aa"]),
        ]
        body = BodyBatch(
            pose_aa=np.concatenate(pose, axis=1),
            betas=columns["betas"],
            transl_m=columns["transl_m"],
            expression=columns["expression"],
        )
        yield PredictionBatch(keys=one.keys, bodies=body)
