"""`ehps report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Paths = Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")]


def report(
    store: Path,
    dataset: str | None = None,
    /,
    *,
    against: Path | None = None,
    choosing: Path | None = None,
    proxies: Path | None = None,
    selection: Paths = None,
    run: Paths = None,
    evaluation: Paths = None,
    body_models: str | None = None,
) -> None:
    """Write the conversion report of a dataset into the store: people left out by reason, histograms of reprojection
    and fit error, overlays of good and bad samples, and how far two annotation forms are apart.

    With --choosing, write the report on choosing data instead, one HTML file: ranking, distances, proposals, realised
    mixture, evaluation. A part without input says which command makes it.

        ehps report STORE
        ehps report STORE --choosing study.html --proxies proxies --selection a.json b.json --run run

    Parameters
    ----------
    store
        Folder of the store; conversion reports go into STORE/reports.
    dataset
        One dataset only. Default: every dataset of the store.
    against
        Another store that holds the same dataset, ingested from another of its annotation forms.
    choosing
        HTML file to write.
    proxies
        Folder of `ehps proxy`, or a run table: the ranking.
    selection
        Files of `ehps propose`. Default: those in STORE/selections.
    run
        Folders of `ehps train`. Default: those in STORE/runs.
    evaluation
        Folders of `ehps evaluate -o`. Default: the folders `evaluation` in the runs.
    body_models
        Folder of the SMPL-family files, for the pictures. Default: $EHPS_BODY_MODELS, or the stand-in for a store that
        was made with it.
    """
    from harmonize.errors import UsageError

    inputs = {"--proxies": proxies, "--selection": selection, "--run": run, "--evaluation": evaluation}
    conversion = {"DATASET": dataset, "--against": against}
    if wrong := [name for name, value in (inputs if choosing is None else conversion).items() if value is not None]:
        kind, fix = ("the conversion report", "add --choosing FILE.html") if choosing is None else (
            "the report on choosing", f"leave {' and '.join(wrong)} out",
        )  # fmt: skip
        raise UsageError(f"report: {', '.join(wrong)}: not for {kind}", fix=fix)
    if choosing is not None:
        from pipelines.study import Given, write_study

        given = Given(
            proxies=proxies,
            selections=tuple(selection or ()),
            runs=tuple(run or ()),
            evaluations=tuple(evaluation or ()),
        )
        write_study(store, choosing, given, body_models=body_models)
        print(choosing)
        return
    from pipelines.report import write_reports

    paths = write_reports(store, None if dataset is None else [dataset], against, body_models)
    if not paths:
        raise UsageError(f"{store}: holds nothing of {dataset}", fix=f"ehps query {store} @datasets")
    print("\n".join(map(str, paths)))
