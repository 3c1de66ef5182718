"""Does meta-training with dual networks make test-time optimisation gain more than every control? Run by
`make bench-meta`, which writes the measured part of docs/adaptation.md.

Each network and each result is kept in the cache folder as soon as it is there, so that an interrupted run goes on.
`--quick` takes one seed and writes no page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from meta_report import figure, report
from meta_runs import BenchConfig, all_results

PAGE = Path(__file__).parents[2] / "docs" / "adaptation.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def put_between_marks(page: str, measured: str) -> str:
    """The page with its measured part replaced.

    Raises:
        ValueError: the page does not have both marks, in order.
    """
    before, found, rest = page.partition(BEGIN)
    _, is_closed, after = rest.partition(END)
    if not found or not is_closed:
        raise ValueError(f"expected a page with {BEGIN} and {END}, found none")
    return f"{before}{BEGIN}\n{measured}{END}{after}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="one seed, tables on the screen only")
    is_quick = arguments.parse_args().quick
    torch.set_num_threads(1)
    results, qualities = all_results(BenchConfig(seeds=(0,)) if is_quick else BenchConfig())
    measured = report(results, qualities)
    print(measured)
    if not is_quick:
        figure(results, PAGE.with_suffix(".png"))
        PAGE.write_text(put_between_marks(PAGE.read_text(), measured))
        print(f"written to {PAGE}")


if __name__ == "__main__":
    main()
