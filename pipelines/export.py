"""Export: which samples, through which writer, into which files."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal

from catalogs import store as catalog
from harmonize.bodies import BodyModels
from harmonize.bodies.models import STANDIN
from harmonize.errors import UsageError
from harmonize.export.coco import CocoWriter
from harmonize.export.humandata import HumanDataWriter
from harmonize.export.pictures import PictureMode, placed
from harmonize.shards.read import Store, open_store
from pipelines.progress import Meter

Format = Literal["humandata", "coco"]


def export_store(
    store: Path,
    out: Path,
    *,
    to: Format,
    dataset: str | None,
    where: str,
    pictures: PictureMode,
    body_models: str | None,
) -> list[tuple[Path, int]]:
    """Write the samples that `where` admits; the files and how many people each dataset's and split's files hold.

    Raises:
        UsageError: nothing is admitted, or pictures cannot be given as asked for.
        MissingBodyModelError: the neutral SMPL-X model is not at hand.
    """
    condition = where if dataset is None else f"dataset = '{dataset.replace(chr(39), chr(39) * 2)}' AND ({where})"
    if to == "humandata":
        condition = f"body_has_body AND ({condition})"
    with catalog.open(store) as con:
        rows = catalog.query(con, f"SELECT dataset, split, key FROM instances WHERE {condition} ORDER BY ALL").rows
    if not rows:
        raise UsageError(f"{store}: no sample fulfils {condition}", fix=f"ehps query {store} @datasets")
    keys: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, split, key in rows:
        keys[name, split].append(key)
    opened = open_store(store)
    models = _models(opened, body_models)
    written: list[tuple[Path, int]] = []
    with Meter("export", len(rows), "people") as meter:
        for (name, split), chosen in keys.items():
            stem = f"{name}_{split}"
            writer: HumanDataWriter | CocoWriter
            if to == "humandata":
                writer = HumanDataWriter(folder=out, stem=stem, models=models)
            else:
                writer = CocoWriter(path=out / f"{stem}.json", models=models)
            for key in chosen:
                path, instance = placed(opened.sample(key), out, pictures)
                writer.add(path, instance)
                meter.add(1)
            writer.close()
            written += writer.files
    return written


def _models(store: Store, spec: str | None) -> BodyModels:
    is_standin = any(manifest.is_standin for manifest in store.manifests())
    return BodyModels.open(STANDIN if is_standin and spec is None else spec)
