"""`ehps describe`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pipelines.tables import Json

if TYPE_CHECKING:
    from pipelines.describe_work import FamilySummary


def describe(
    store: Path | None = None,
    /,
    *,
    attributes: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    backbone: str | None = None,
    weights: Path | None = None,
    device: str | None = None,
    prototypes: Path | None = None,
    maps: bool = True,
    refit: bool = False,
    workers: int | None = None,
    body_models: str | None = None,
    listed: Annotated[bool, Parameter(name="--list", negative="")] = False,
    as_json: Json = False,
) -> None:
    """Compute the attributes of a store: everything that is missing, or stale because a shard or the code changed.

    Safe to interrupt and to repeat: what is complete is kept, and only shards that changed are described again. A
    shard that fails does not stop the others. At the end the catalog file is brought up to date.

        ehps describe STORE
        ehps describe STORE --attributes orientation pose
        ehps describe STORE --backbone vit_base_patch16_224 --weights vitpose_base.pth
        ehps describe --list

    Parameters
    ----------
    store
        Folder of the store.
    attributes
        Names of attribute families, and of tables over the store (duplicates, overlaps, maps); families that they need
        are computed too. Default: all families, image features by the default network if it is installed, all tables.
    backbone
        Network for image features, as timm calls it. Features of several networks are kept side by side.
    weights
        File with the network's weights (.pth, .safetensors). Default: those of the default network.
    device
        Where the network runs, as torch names it. Default: a GPU if there is one, else the processor.
    prototypes
        Folder with pictures of scenes, `CLASS/*.jpg`: samples are labelled with the class that looks most alike.
        Default: the prototypes in use, at first those of datasets whose card names one environment.
    maps
        Also find near-duplicates and overlaps, and lay out maps of features, orientations and skeletons.
    refit
        Fit the principal components and clusters of poses, and the prototypes of scenes, anew to the store as it is
        now. All values that depend on them are then computed again.
    workers
        Number of processes for attributes that read pictures, and for large stores. Default: one per CPU core that
        this process may use.
    body_models
        Folder of the SMPL-family files, or `standin`. Default: the stand-in for a store that was made with it, else
        $EHPS_BODY_MODELS.
    listed
        Only list the families with their columns, units and definitions.
    """
    from harmonize.errors import UsageError
    from pipelines.describe import Request, describe_store
    from pipelines.describe_work import DescribeFailedError
    from pipelines.tables import show
    from pipelines.workers import num_cores

    if listed:
        _list(as_json=as_json)
        return
    if store is None:
        raise UsageError("describe: expected the folder of a store", fix="ehps describe STORE, or ehps describe --list")
    num_workers = num_cores() if workers is None else workers
    if num_workers < 1:
        raise UsageError(f"--workers: expected at least 1, found {workers}")
    if weights is not None and backbone is None:
        raise UsageError("--weights and --backbone belong together", fix="say which network the weights are for")
    request = Request(
        store=store,
        names=None if attributes is None else tuple(attributes),
        backbone=backbone,
        weights=weights,
        device=device,
        prototypes=prototypes,
        with_tables=maps,
        is_refit=refit,
        num_workers=num_workers,
        body_models=body_models,
    )
    outcome = describe_store(request)
    show([_row(one) for one in outcome.summaries], as_json=as_json)
    for note in outcome.notes:
        print(note, file=sys.stderr)
    if outcome.failures:
        raise DescribeFailedError(outcome.failures)


def _row(one: FamilySummary) -> dict[str, Any]:
    return {
        "attributes": one.name,
        "shards made": one.num_made,
        "shards current": one.num_current,
        "failed": one.num_failed,
        "samples": one.num_rows,
        "seconds": round(one.seconds, 2),
        "samples/s": one.num_rows / one.seconds if one.num_rows and one.seconds > 0 else None,
    }


def _list(*, as_json: bool) -> None:
    from catalogs.attributes import FAMILIES
    from pipelines.tables import show

    show(
        [
            {"family": family.name, "column": one.name, "unit": one.unit, "kind": one.kind, "definition": one.doc}
            for family in FAMILIES.values()
            for one in family.attributes
        ],
        as_json=as_json,
    )
