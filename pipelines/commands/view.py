"""`ehps view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def view(
    store: Path,
    key: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    body_models: str | None = None,
) -> None:
    """Draw one sample: its 2D keypoints and boxes, and the mesh of its body over the stored picture.

    Parameters
    ----------
    store
        Folder of the store.
    key
        Key of the sample, as in `ehps query STORE "SELECT key FROM instances"`.
    out
        PNG file to write.
    body_models
        Folder of the SMPL-family files, or `standin`. Default: the stand-in for a shard that was made with it, else
        $EHPS_BODY_MODELS.
    """
    from PIL import Image

    from harmonize.shards.read import open_store
    from pipelines.pictures import models_of, view_picture

    opened = open_store(store)
    sample = opened.sample(key)
    Image.fromarray(view_picture(sample, models_of(opened, sample, body_models))).save(out, "PNG")
    print(out)
