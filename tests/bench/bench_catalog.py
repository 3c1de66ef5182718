"""What it costs to describe a store, to open its catalog and to ask it, as rows grow; and the same questions answered
from HumanData files with numpy. Run by `make bench`.

    python tests/bench/bench_catalog.py            4,500 to 450,000 rows
    python tests/bench/bench_catalog.py --full     45,000 to 4,500,000 rows: half an hour and 30 GB of disk
    python tests/bench/bench_catalog.py --in DIR   keep stores and files there, and measure those that are there

Queries are timed in fresh processes, three times each. The page cache is warm: files have just been written, and the
median of three is compared. Absolute times are those of the machine (a busy one shows in the difference between time
and processor time); ratios are of two sides measured in one run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scale_humandata as humandata
from scale_attributes import computed, describe, drawn
from scale_measure import measured
from scale_store import spread, write_store
from scale_tables import write_tables

from catalogs import file as catalog_file
from catalogs import store as catalog

FULL, REDUCED = (45_000, 450_000, 4_500_000), (4_500, 45_000, 450_000)
LIMIT_S, LIMIT_MB, RATIO = 1.0, 4096, 20
MAX_ROWS_WITH_POINTS = 500_000
"""Above this, HumanData files are written without keypoint arrays, which would take half an hour: what reads one key is
not affected, what reads all keys is then measured without them."""

QUESTIONS = {
    "orientation": "SELECT dataset, cell, count(*) FROM orientation WHERE cell IS NOT NULL GROUP BY ALL",
    "flexion": f"SELECT dataset, joint, bin, num_joints FROM ({catalog.named_query('flexion').rstrip().rstrip(';')})",
    "betas": """
        SELECT dataset, count(*), avg(shape_betas_norm), stddev_pop(shape_betas_norm)
        FROM samples WHERE body_has_body AND shape_betas_norm IS NOT NULL GROUP BY dataset""",
}
"""What both sides answer: from where people are seen, how far knees and elbows are bent, how far shapes spread."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Measure attributes and catalog as rows grow.")
    parser.add_argument("--full", action="store_true", help=f"up to {FULL[-1]:,} rows")
    parser.add_argument("--in", dest="folder", type=Path, help="keep what is made here, and use what is there")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        bench(chosen.folder or Path(scratch), FULL if chosen.full else REDUCED, chosen.workers)


def bench(folder: Path, sizes: Sequence[int], num_workers: int) -> None:
    """Print all tables."""
    stores = {num_rows: folder / f"store-{num_rows}" for num_rows in sizes}
    show(f"steps as rows grow ({num_workers} processes)", [steps(stores[n], n, num_workers) for n in sizes])
    show(
        f"queries as rows grow: first and median of three in ms (limit {LIMIT_S * 1e3:.0f}); at the largest size "
        f"processor ms of all threads, and peak memory in MB (limit {LIMIT_MB})",
        list(queries(stores)),
    )
    largest = max(sizes)
    npz = folder / f"npz-{largest}"
    if not npz.is_dir():
        has_points = largest <= MAX_ROWS_WITH_POINTS
        spread(humandata.write_part, humandata.parts(stores[largest], npz, has_points=has_points), num_workers, "npz")
    show(
        f"{largest:,} people: seconds of numpy over HumanData files ({_megabytes(npz):,.0f} MB, page cache "
        "warm) against the catalog",
        list(comparison(stores[largest], npz)),
    )
    print(f"ratio: numpy that reads the one key it needs, over the catalog (limit {RATIO})")


def steps(store: Path, num_rows: int, num_workers: int) -> dict[str, Any]:
    """Seconds to make a store of this size (unless it is there), its attributes, its catalog file, and to open it."""
    found: dict[str, Any] = {"rows": num_rows, "index s": None, "attributes s": None}
    if not store.is_dir():
        found["index s"] = write_store(store, num_rows, num_workers=num_workers)
        found["attributes s"] = sum(describe(store, [*computed(), *drawn()], num_workers=num_workers).values())
        write_tables(store)
    for name in ("refresh s", "refresh again s"):
        start = time.monotonic()
        catalog_file.refresh(store)
        found[name] = time.monotonic() - start
    opened = measured("ask", store, "SELECT 1")
    size = sum(path.stat().st_size for path in store.glob("catalog.duckdb"))
    return {
        **found,
        "open s": opened["open_s"],
        "open cpu s": opened["open_cpu_s"],
        "open MB": opened["memory_mb"],
        "store GB": _megabytes(store) / 1e3,
        "catalog GB": size / 1e9,
        "memory limit": opened["settings"][0],
        "threads": opened["settings"][1],
    }


def queries(stores: dict[int, Path]) -> Iterator[dict[str, Any]]:
    """Each named query at each size."""
    for name in catalog.named_queries():
        row: dict[str, Any] = {"query": f"@{name}"}
        for num_rows, store in stores.items():
            found = measured("ask", store, f"@{name}")
            if found["error"]:
                row["error"] = f"{row.get('error', '')} {num_rows:,}: {found['error']}".strip()
                continue
            first, middle, cpu = found["seconds"][0], *(statistics.median(found[name]) for name in ("seconds", "cpu_s"))
            memory = max(row.pop("MB", 0.0), found["memory_mb"])
            row.pop("cpu", None)  # the last columns are of the largest size
            row |= {f"{num_rows:,} first": first * 1e3, f"{num_rows:,}": middle * 1e3, "cpu": cpu * 1e3, "MB": memory}
        yield row


def comparison(store: Path, npz: Path) -> Iterator[dict[str, Any]]:
    """Each question both ways.

    Raises:
        RuntimeError: the answers differ.
    """
    for question, sql in QUESTIONS.items():
        numpy, loader = measured("numpy", npz, question), measured("loader", npz, question)
        asked = measured("ask", store, sql)
        if asked["error"]:
            raise RuntimeError(asked["error"])
        check_same(question, numpy["answer"], asked["answer"])
        seconds = {name: statistics.median(one["seconds"]) for name, one in (("n", numpy), ("l", loader), ("c", asked))}
        yield {
            "question": question,
            "all keys s": seconds["l"],
            "one key s": seconds["n"],
            "catalog s": seconds["c"],
            "open + first s": asked["open_s"] + asked["seconds"][0],
            "ratio": seconds["n"] / seconds["c"],
            "ratio of all keys": seconds["l"] / seconds["c"],
            "ratio with opening": seconds["n"] / (asked["open_s"] + asked["seconds"][0]),
            "numpy MB": numpy["memory_mb"],
            "catalog MB": asked["memory_mb"],
        }


def check_same(question: str, one: list[list[Any]], other: list[list[Any]]) -> None:
    """Counts must agree but for one in a thousand (values on the border of a bin), statistics to float32.

    Raises:
        RuntimeError: they do not.
    """
    num_names = 1 if question == "betas" else len(one[0]) - 1
    ours, theirs = ({tuple(row[:num_names]): np.array(row[num_names:]) for row in rows} for rows in (one, other))
    zero = np.zeros(len(one[0]) - num_names)
    moved = sum(np.abs(ours.get(name, zero) - theirs.get(name, zero)) for name in ours.keys() | theirs.keys())
    limit = (0 if question == "betas" else 1e-3) * sum(ours.values()) + 1e-4
    if (moved > limit).any():
        raise RuntimeError(f"{question}: numpy and the catalog disagree by {moved} of {sum(ours.values())}")


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as an aligned table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    print(f"\n{title}")
    for row in cells:
        first, *rest = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *rest]), flush=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
