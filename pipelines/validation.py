"""Validation in training: a network's errors by the protocols of the benchmarks that a store holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.errors import DataError
from pipelines.evaluate import choose_all
from pipelines.evaluate_checkpoint import evaluate_regressor

if TYPE_CHECKING:
    from train.config import TrainConfig
    from train.steps import Regressor


def validator(
    store: Path, config: TrainConfig, models: BodyModels | None, device: str
) -> Callable[[Regressor, int], Mapping[str, float]]:
    """What `train.loop.train` calls: the primary error of each of `config.benchmarks`, and their mean as `primary_mm`.

    models: by default the stand-in for a store that was made with it, else those of $EHPS_BODY_MODELS.

    Raises:
        UsageError: no such benchmark, or the store lacks its split or was made with other body models.
    """
    chosen = choose_all(store, config.benchmarks)
    is_standin = all(one.is_standin for one in chosen.values())
    bodies = models or BodyModels.open_like(is_standin)

    def validate(regressor: Regressor, step: int) -> Mapping[str, float]:
        from train.checkpoints import SCORE

        errors: dict[str, float] = {}
        for name, found in evaluate_regressor(regressor, config, store, chosen, bodies, device=device).items():
            mean_mm = found.summary.figure(found.summary.primary).mean_mm
            if mean_mm is None:
                raise DataError(f"validation: {name}: expected samples with {found.summary.primary}, found none")
            errors[f"{name}/{found.summary.primary}_mm"] = mean_mm
        return {SCORE: float(np.mean(list(errors.values()))), **errors}

    return validate
