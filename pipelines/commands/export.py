"""`ehps export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def export(
    store: Path,
    /,
    *,
    to: Literal["humandata", "coco"],
    out: Annotated[Path, Parameter(alias="-o")],
    dataset: str | None = None,
    where: str = "true",
    pictures: Literal["stored", "source"] = "stored",
    body_models: str | None = None,
) -> None:
    """Write samples in a format that other projects read.

    humandata: npz files that SMPLer-X's loader takes as they are; people without a body are left out. coco: one
    COCO-WholeBody-style json with NeuralAnnot's parameters.

    Parameters
    ----------
    store
        Folder of the store.
    to
        humandata or coco.
    out
        Folder for the files; pictures go into its folder `images`.
    dataset
        One dataset only. Default: all, each in files of its own.
    where
        SQL condition on `instances`. Example: "split = 'train' AND body_has_left_hand".
    pictures
        stored: write the stored pictures (crops) beside the annotations. source: name the raw root's own pictures, with
        all pixels counted in these.
    body_models
        Folder of the SMPL-family files, whose mean hand is taken off. Default: $EHPS_BODY_MODELS, or the stand-in for a
        store that was made with it.
    """
    from pipelines.export import export_store
    from pipelines.tables import show

    show(
        [
            {"file": str(path), "people": count}
            for path, count in export_store(
                store, out, to=to, dataset=dataset, where=where, pictures=pictures, body_models=body_models
            )
        ],
        as_json=False,
    )
