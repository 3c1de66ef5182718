"""Where an exported file's pictures are: written beside it as stored, or those of the raw root."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harmonize.errors import UsageError
from harmonize.geometry.crops import to_crop
from harmonize.record import Instance
from harmonize.shards.read import Sample

PictureMode = Literal["stored", "source"]


def placed(sample: Sample, out: Path, mode: PictureMode) -> tuple[str, Instance]:
    """The picture's path as the exported file states it, and the instance in that picture's pixels.

    stored: the picture is written under `out`/images. source: the raw root's own picture is named and nothing written.

    Raises:
        UsageError: the sample has no stored picture; or its source is no plain, upright picture file.
    """
    instance = sample.instance
    if mode == "source":
        whole = (0, 0, instance.image.source_width_px, instance.image.source_height_px)
        return _source_path(instance), to_crop(instance, whole)
    if sample.picture is None:
        raise UsageError(
            f"{instance.key}: was ingested without its picture", fix="export with --pictures source, or ingest pictures"
        )
    relative = f"images/{instance.key}.{sample.extension}"
    path = out / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sample.picture)
    return relative, instance


def _source_path(instance: Instance) -> str:
    path = instance.provenance.image_path
    if instance.image.orientation != 1 or "!" in path or "#" in path:
        raise UsageError(
            f"{instance.key}: its source {path} is turned, or inside an archive or a video",
            fix="export with --pictures stored",
        )
    return path
