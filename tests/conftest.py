"""Fixtures that many tests share: stand-in bodies, and one miniature of each dataset a session."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def standin() -> Any:
    """The licence-free body models."""
    from harmonize.bodies import BodyModels

    return BodyModels.open("standin")


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Any]]:
    """miniature(name, form=None) -> (raw root, truth); written once a session, so tests must not change it.

    The official layout holds every official form; HumanData is a raw root of its own.
    """
    from harmonize.miniatures import MINIATURES
    from harmonize.miniatures.humandata import write_humandata

    made: dict[tuple[str, bool], tuple[Path, Any]] = {}

    def make(name: str, form: str | None = None) -> tuple[Path, Any]:
        is_humandata = form == "humandata"
        if (name, is_humandata) not in made:
            root = tmp_path_factory.mktemp(f"raw-{name}")
            truth = write_humandata(root, dataset=name) if is_humandata else MINIATURES[name](root)
            made[name, is_humandata] = (root, truth)
        return made[name, is_humandata]

    return make


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of licensed real records; skips where it is not given."""
    folder = os.environ.get("EHPS_SAMPLES")
    if not folder:
        pytest.skip("EHPS_SAMPLES is unset: real records are licensed and not part of the project")
    return Path(folder)
