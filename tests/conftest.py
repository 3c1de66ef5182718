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
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """miniature(name) -> (raw root, truth); written once a session, so tests must not change it."""
    from harmonize.miniatures import MINIATURES

    made: dict[str, tuple[Path, Any]] = {}

    def make(name: str) -> tuple[Path, Any]:
        if name not in made:
            root = tmp_path_factory.mktemp(f"raw-{name}")
            made[name] = (root, MINIATURES[name](root))
        return made[name]

    return make


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of licensed real records; skips where it is not given."""
    folder = os.environ.get("EHPS_SAMPLES")
    if not folder:
        pytest.skip("EHPS_SAMPLES is unset: real records are licensed and not part of the project")
    return Path(folder)
