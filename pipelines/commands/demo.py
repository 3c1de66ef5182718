"""`ehps demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def demo(
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("demo"),
    people: int = 16,
    workers: int | None = None,
) -> None:
    """The whole path on made-up people: raw files, ingest, verify, query, rank, choose, train, adapt. Some minutes.

    Six small datasets are written in their official raw layouts, with licence-free stand-in bodies, and go the way that
    real ones go. Run it again on the same folder and it keeps what is finished.

    Parameters
    ----------
    out
        Folder for everything that is made.
    people
        About how many people each dataset gets.
    workers
        Number of worker processes. Default: one per CPU core that this process may use.
    """
    from pipelines.demo import demo as run
    from pipelines.workers import num_cores

    run(out.absolute(), num_people=people, num_workers=workers or num_cores())
