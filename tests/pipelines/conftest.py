"""One small store for all tests of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def store(miniature: Callable[[str], tuple[Path, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ingested miniatures, one with neutral SMPL-X fits and one with gendered SMPL; tests must not change it."""
    from harmonize.readers import splits_of
    from harmonize.shards.plan import IngestJob
    from pipelines.ingest import ingest

    path = tmp_path_factory.mktemp("store")
    jobs = [
        IngestJob(reader=name, root=miniature(name)[0], split=split, store=path, body_models="standin")
        for name in ("mscoco", "pw3d")
        for split in splits_of(name)
    ]
    ingest(jobs, runner="inline", num_workers=1)
    return path
