"""`ehps view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

MAX_TILES = 400


def view(
    store: Path,
    key: str | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    where: str | None = None,
    worst: str | None = None,
    best: str | None = None,
    num: int = 24,
    columns: int | None = None,
    body_models: str | None = None,
) -> None:
    """Draw one sample, or a contact sheet of many.

    One sample: its 2D keypoints and boxes, and the mesh of its body over the stored picture. A contact sheet shows the
    picture of each sample with its mesh, its key, and the value that it was chosen by.

        ehps view STORE pw3d-train-courtyard-00000-0 -o one.png
        ehps view STORE --where "dataset = 'agora' AND visibility_truncation > 0.3" -o sheet.png
        ehps view STORE --worst reprojection_error --num 12 -o sheet.png

    Parameters
    ----------
    store
        Folder of the store.
    key
        Key of the sample, as in `ehps query STORE "SELECT key FROM instances"`. None: a contact sheet.
    out
        PNG file to write.
    where
        Condition in SQL over the columns of `samples`; `ehps query STORE "DESCRIBE samples"` lists them.
    worst
        Numeric column of `samples`; the samples with the worst values first: the largest, or the smallest of what is
        better when large (plausibility, sharpness, visible keypoints). `reprojection_error` and `fit_error` are short
        names. Samples without a value come last.
    best
        The same, beginning at the other end.
    num
        Number of samples on a contact sheet, 1 to 400.
    columns
        Tiles in a row. Default: about as many as rows.
    body_models
        Folder of the SMPL-family files, or `standin`. Default: the stand-in for a shard that was made with it, else
        $EHPS_BODY_MODELS.
    """
    from harmonize.errors import UsageError

    has_choice = where is not None or worst is not None or best is not None
    if (key is not None) == has_choice or (worst is not None and best is not None):
        raise UsageError(
            "view: expected a key, or --where and one of --worst and --best",
            fix="ehps view STORE KEY -o PNG, or ehps view STORE --worst reprojection_error -o PNG",
        )
    if not (1 <= num <= MAX_TILES and (columns is None or columns >= 1)):
        raise UsageError(f"view: expected --num of 1 to {MAX_TILES} and --columns of at least 1")
    if key is not None:
        _one(store, key, out, body_models)
    else:
        _sheet(store, out, where, worst, best, num, columns, body_models)
    print(out)


def _one(store: Path, key: str, out: Path, body_models: str | None) -> None:
    from catalogs import store as catalog
    from harmonize.shards.read import open_store
    from pipelines.choosing import check_key
    from pipelines.pictures import models_of, view_picture
    from pipelines.sheets import save_png

    opened = open_store(store)
    with catalog.open(store) as con:
        check_key(con, key)
    sample = opened.sample(key)
    save_png(view_picture(sample, models_of(opened, sample, body_models)), out)


def _sheet(
    store: Path,
    out: Path,
    where: str | None,
    worst: str | None,
    best: str | None,
    num: int,
    columns: int | None,
    body_models: str | None,
) -> None:
    from math import sqrt

    from catalogs import store as catalog
    from harmonize.shards.read import open_store
    from pipelines import choosing
    from pipelines.progress import Meter
    from pipelines.sheets import contact_sheet, sample_tiles, save_png

    with catalog.open(store) as con:
        order = None
        if worst is not None:
            order = choosing.worst(con, worst)
        elif best is not None:
            order = choosing.best(con, best)
        chosen = choosing.choose(con, where, order, num)
    parts = [] if where is None else [where]
    if order is not None:
        parts.append(f"{order.column}, {'largest' if order.is_largest_first else 'smallest'} first")
    with Meter("view", len(chosen), "samples") as meter:
        tiles = sample_tiles(open_store(store), chosen, None if order is None else order.column, body_models, meter)
        sheet = contact_sheet(tiles, columns or max(1, round(sqrt(1.5 * len(chosen)))), title="; ".join(parts))
    save_png(sheet, out)
