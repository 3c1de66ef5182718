"""One process of a run of several, as `torchrun` would start it: python training_process.py STORE OUT SETTING..."""

from __future__ import annotations

import sys
from pathlib import Path

from small_training import interrupting, select, small_config

from harmonize.bodies import BodyModels
from train.distributed import joined
from train.loop import train
from train.meta.config import DualConfig
from train.settings import with_settings


def main(store: Path, out: Path, settings: list[str]) -> None:
    """Settings beside those of the config: dual, resume, stop=UPDATE."""
    ours = [one for one in settings if one in ("dual", "resume") or one.startswith("stop=")]
    config = small_config(dual=DualConfig(order="second", auxiliary="both") if "dual" in ours else None)
    config = with_settings(config, [one for one in settings if one not in ours])
    stop = next((int(one.removeprefix("stop=")) for one in ours if one.startswith("stop=")), 0)
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
