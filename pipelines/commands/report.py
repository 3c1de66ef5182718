"""`ehps report`."""

from __future__ import annotations

from pathlib import Path


def report(
    store: Path, dataset: str | None = None, /, *, against: Path | None = None, body_models: str | None = None
) -> None:
    """Write the conversion report of a dataset into the store: people left out by reason, histograms of reprojection
    and fit error, overlays of good and bad samples, and how far two annotation forms are apart.

    Parameters
    ----------
    store
        Folder of the store; reports go into STORE/reports.
    dataset
        One dataset only. Default: every dataset of the store.
    against
        Another store that holds the same dataset, ingested from another of its annotation forms.
    body_models
        Folder of the SMPL-family files, for the overlays. Default: $EHPS_BODY_MODELS, or the stand-in for a store that
        was made with it.
    """
    from harmonize.errors import UsageError
    from pipelines.report import write_reports

    paths = write_reports(store, None if dataset is None else [dataset], against, body_models)
    if not paths:
        raise UsageError(f"{store}: holds nothing of {dataset}", fix=f"ehps query {store} @datasets")
    print("\n".join(map(str, paths)))
