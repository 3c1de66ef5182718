"""The made-up dataset, known as "toy" to the modules that ask for it, and a store made from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_dataset

from harmonize.readers import READERS
from harmonize.shards import hashes


@pytest.fixture(scope="module")
def toy_reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The reader is registered; hashes are remembered in a folder of the test's own."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, "toy", toy_dataset.ToyReader)
        patch.setattr(hashes, "cache_dir", lambda: cache)
        yield


@pytest.fixture(scope="module")
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files that tests only read."""
    return toy_dataset.write_raw(tmp_path_factory.mktemp("toy") / "raw")


@pytest.fixture(scope="module")
def toy_store(toy_reader: None, toy_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store that tests only read."""
    store = tmp_path_factory.mktemp("toy") / "store"
    toy_dataset.ingest(toy_dataset.toy_job(toy_root, store))
    return store


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Raw files of one's own, equal to those of `toy_root`."""
    return toy_dataset.write_raw(tmp_path / "raw")
