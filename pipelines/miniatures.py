"""Miniatures on disk: made-up people in the official raw layouts, and the file that ingests them all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from harmonize.bodies.models import STANDIN
from harmonize.miniatures import MINIATURES
from pipelines.workers import Workers

CONFIG = "ingest.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Miniature:
    """A miniature to be written under `root`; `num_people` is about how many people it gets."""

    name: str
    root: Path
    num_people: int


def write_miniatures(root: Path, names: Sequence[str], num_people: int, num_workers: int) -> None:
    """Write the miniatures that are not there yet, one folder each under `root`."""
    todo = [
        Miniature(name=name, root=root / name, num_people=num_people) for name in names if not (root / name).is_dir()
    ]
    with Workers(write_miniature, todo, num_workers) as workers:
        workers.run_all()


def write_miniature(miniature: Miniature, count: Callable[[int], None]) -> None:
    """Write one miniature under another name, and give it its own when it is whole."""
    partial = miniature.root.with_name(f".{miniature.name}")
    shutil.rmtree(partial, ignore_errors=True)
    MINIATURES[miniature.name](partial, people=miniature.num_people)
    partial.rename(miniature.root)
    count(miniature.num_people)


def write_config(root: Path, names: Sequence[str]) -> Path:
    """The file for `ehps ingest all`: the miniatures under `root` into `root`/store, with the stand-in body.

    Miniatures are full of what goes wrong in real datasets, so no share of rejects is too large.
    """
    path = root / CONFIG
    content = {
        "store": "store",
        "body_models": STANDIN,
        "defaults": {"max_rejects": 1.0},
        "datasets": {name: {"raw": name} for name in names},
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path
