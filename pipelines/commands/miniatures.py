"""`ehps miniatures`."""

from __future__ import annotations

from pathlib import Path


def miniatures(out: Path, /, *names: str, people: int = 16, workers: int | None = None) -> None:
    """Write datasets in miniature: made-up people in the official raw layouts, with what goes wrong in the real ones.

    Beside them lies a file that ingests them all: `ehps ingest all --config OUT/ingest.yaml`.

    Parameters
    ----------
    out
        Folder for the raw files, one folder a dataset; those that are there already are kept.
    names
        Names of datasets. Default: all.
    people
        About how many people each dataset gets.
    workers
        Number of worker processes. Default: one per CPU core that this process may use.
    """
    from harmonize.miniatures import MINIATURES
    from harmonize.readers import reader_class
    from pipelines.miniatures import write_config, write_miniatures
    from pipelines.workers import num_cores

    chosen = tuple(reader_class(name).name for name in names) or tuple(MINIATURES)
    write_miniatures(out, chosen, people, workers or num_cores())
    config = write_config(out, chosen)
    print(f"{len(chosen)} datasets under {out}; next: ehps ingest all --config {config}")
