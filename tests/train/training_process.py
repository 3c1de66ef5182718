"""One process of a run of several, as `torchrun` would start it: python training_process.py STORE OUT SETTING..."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from small_training import interrupting, select, small_config

from harmonize.bodies import BodyModels
from train import building
from train.data.batch import Batch
from train.distributed import joined
from train.loop import train
from train.meta.config import DualConfig
from train.plain_step import PlainStep
from train.settings import with_settings
from train.steps import StepLoss


class Poisoned(PlainStep):
    """Whose loss of the first sample is no number from one update on."""

    at, calls = 0, 0

    def forward(self, batch: Batch) -> StepLoss:
        loss = super().forward(batch)
        type(self).calls += 1
        if self.calls < self.at:
            return loss
        per_sample = loss.per_sample.clone()
        per_sample[0] = float("nan")
        return loss._replace(total=loss.total * float("nan"), per_sample=per_sample)


def main(store: Path, out: Path, settings: list[str]) -> None:
    """Settings beside those of the config: dual, resume, stop=UPDATE, poison=UPDATE (of the second process)."""
    ours = [one for one in settings if one in ("dual", "resume") or one.startswith(("stop=", "poison="))]
    config = small_config(dual=DualConfig(order="second", auxiliary="both") if "dual" in ours else None)
    config = with_settings(config, [one for one in settings if one not in ours])
    stop = next((int(one.removeprefix("stop=")) for one in ours if one.startswith("stop=")), 0)
    for one in ours:
        if one.startswith("poison=") and os.environ["RANK"] == "1":
            Poisoned.at = int(one.removeprefix("poison="))
            building.PlainStep = Poisoned  # type: ignore[misc]
    with joined("cpu") as process:
        train(
            store,
            select(store),
            out,
            config,
            BodyModels.open("standin"),
            process=process,
            is_resumed="resume" in ours,
            on_interval=interrupting(stop),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
