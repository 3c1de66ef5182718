"""`ehps atlas`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def atlas(
    store: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    points: int = 3000,
    pictures: int = 24,
    workers: int | None = None,
    body_models: str | None = None,
) -> None:
    """Write the atlas of a store: one HTML file, without anything beside it, that shows what the store holds.

    An overview of datasets; maps of image features, orientation, skeletons, scenes, real and synthetic; histograms of
    every attribute of a dataset against all others; samples with their meshes; and the query for whatever is selected.
    It shows what `ehps describe` has computed, and says what else there could be.

    Parameters
    ----------
    store
        Folder of the store.
    out
        HTML file to write.
    points
        Points of each dataset on the maps, at most. Histograms count all samples, whatever this is.
    pictures
        Samples of each dataset whose pictures are in the file; about 6 kB each. 0: none.
    workers
        Number of processes that draw pictures. Default: one per CPU core that this process may use.
    body_models
        Folder of the SMPL-family files, or `standin`. Default: the stand-in for shards that were made with it, else
        $EHPS_BODY_MODELS.
    """
    from harmonize.errors import UsageError
    from pipelines.atlas import write_atlas
    from pipelines.workers import num_cores

    num_workers = num_cores() if workers is None else workers
    for name, number, least in (("points", points, 1), ("pictures", pictures, 0), ("workers", num_workers, 1)):
        if number < least:
            raise UsageError(f"--{name}: expected at least {least}, found {number}")
    made = write_atlas(
        store, out, num_points=points, num_pictures=pictures, body_models=body_models, num_workers=num_workers
    )
    if not made.maps:
        print(f"no maps yet: `ehps describe {store}` makes attributes and maps")
    print(out)
