"""A run that takes seconds: people of two datasets, and a network of a few thousand parameters."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from small_store import person, write_shard

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Selection
from catalogs.store import open, pool
from train.config import OptimConfig, TrainConfig
from train.models.tokens import TokensConfig
from train.models.vit import VitConfig
from train.run_log import Interval

TINY = TokensConfig(
    vit=VitConfig(width=32, depth=2, num_heads=2, height_px=64, width_px=48),
    decoder_width=32,
    num_layers=1,
    num_heads=2,
)


def small_store(folder: Path, *, is_standin: bool = True) -> Path:
    """30 people of two datasets in three shards."""
    write_shard(folder, [person("pw3d", "train", i) for i in range(12)], is_standin=is_standin)
    write_shard(folder, [person("pw3d", "train", i) for i in range(12, 20)], number=1, is_standin=is_standin)
    write_shard(folder, [person("agora", "train", i) for i in range(10)], is_standin=is_standin)
    return folder


def select(store: Path, draws: int = 44, cap: int | None = 3, seed: int = 1) -> Selection:
    """Both datasets alike."""
    with open(store) as con:
        budget = Budget(draws_per_epoch=draws, repeat_cap=cap, seed=seed)
        return PROPOSERS["uniform"](Problem(pool=pool(con), budget=budget))


def small_config(**changes: Any) -> TrainConfig:
    """12 updates of 8 samples; 44 draws an epoch make its last batch 4."""
    values: dict[str, Any] = {
        "model": TINY,
        "batch_size": 8,
        "steps": 12,
        "log_every": 1,
        "threads": 0,
        "checkpoint_every": None,
        "optim": OptimConfig(lr=1e-3, min_lr=1e-4, warmup=3, weight_decay=0.01),
    }
    return TrainConfig(**(values | changes))


def interrupting(at: int) -> Any:
    """Sends this process SIGTERM while an update is logged."""

    def on_interval(interval: Interval) -> None:
        if interval.step == at:
            os.kill(os.getpid(), signal.SIGTERM)

    return on_interval
