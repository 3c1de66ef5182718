"""`ehps distance`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pipelines.tables import Json

DEFAULT_METRICS = ("coverage", "frechet", "jensen_shannon", "sliced_wasserstein")

Names = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def distance(
    store: Path,
    /,
    *,
    space: Names = None,
    metric: Names = None,
    to: Names = None,
    bootstrap: int = 0,
    seed: int = 0,
    plot: Path | None = None,
    uncovered: Path | None = None,
    csv: Path | None = None,
    save: Path | None = None,
    spaces_of: Path | None = None,
    body_models: str | None = None,
    as_json: Json = False,
) -> None:
    """Measure how far the sources of a store are from the benchmarks, or from each other, without training.

    Each training split is compared with each benchmark in each space of attributes: table, heat map, and the benchmark
    instances that no source has anything like. Sources with too few instances for a metric have an empty cell, and a
    note says how many it needs. `*` marks sources of the benchmark's own kind, as their cards say.

        ehps distance STORE --space pose orientation --metric frechet coverage
        ehps distance STORE --to source --plot sources.svg
        ehps distance STORE --space pose --to ehf --uncovered missing.png

    Parameters
    ----------
    store
        Folder of the store, described; or a file of summaries written by --save.
    space
        Spaces: camera, distance, framing, hands, orientation, pose, shape, visibility, or a family of image features
        (features_...). Default: all that the store has attributes of.
    metric
        coverage, density (both: larger is better), frechet, jensen_shannon (spaces with cells only), mmd2,
        mmd2_unbiased, sliced_wasserstein. Default: coverage, frechet, jensen_shannon and sliced_wasserstein.
    to
        Benchmarks (agora, egobody, ehf, pw3d, ubody, arctic, dna_rendering_hires), any DATASET/SPLIT, or `source`: all
        training splits. Default: the benchmarks that the store holds.
    bootstrap
        Number of draws of sequences for 95 % intervals; 0: none. Fewer than 5 sequences have none. A file of summaries
        names no sequences: instances are drawn, which is too sure of video.
    seed
        Seed of these draws.
    plot
        Heat map to write: .png, .svg or .pdf.
    uncovered
        PNG to write: the benchmark instances that no source covers, the farthest first. They are listed too.
    csv
        File to write: one line a cell, with intervals, counts and problems.
    save
        File (.npz) to write the summaries to; distances and proposals can be had from it without the store.
    spaces_of
        File of summaries whose fitted spaces are used, so that this store can be compared with what is in it. Default:
        spaces are fitted to this store.
    body_models
        For the meshes on the contact sheet: folder of the SMPL-family files, or `standin`. Default: the stand-in for a
        shard that was made with it, else $EHPS_BODY_MODELS.
    """
    from pipelines import distance as work
    from pipelines.tables import show, show_json

    metrics = list(metric or DEFAULT_METRICS)
    work.check(store, metrics, bootstrap=bootstrap, uncovered=uncovered, spaces_of=spaces_of)
    summaries = work.summaries_of(store, space, spaces_of)
    if save is not None:
        work.save_summaries(summaries, save)
    sources, targets = work.sides(summaries, to)
    cells = work.measure(store, summaries, sources, targets, metrics, space, num_draws=bootstrap, seed=seed)
    missing = work.missing(summaries, sources, targets, space) if uncovered is not None else ()
    if csv is not None:
        work.write_csv(cells, csv)
    if plot is not None:
        work.draw(cells, plot)
    if uncovered is not None and missing:
        work.draw_missing(store, missing, uncovered, body_models)
    if as_json:
        show_json(work.document(summaries, cells, missing))
        return
    for title, rows in work.pivots(cells):
        print(title)
        show(rows, as_json=False)
        print()
    if uncovered is not None:
        print("instances that no source covers:" if missing else "no instance without a source that covers it")
        if missing:
            show(work.missing_rows(missing), as_json=False)
    for note in work.notes(store, summaries, cells, bootstrap):
        work.say(note)
