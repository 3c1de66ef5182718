"""Does meta-training with dual networks make test-time optimisation gain more than every control? Run by
`make bench-meta`, which writes the measured part of docs/adaptation.md.

Each network and each result is kept in the cache folder as soon as it is there, so that an interrupted run goes on.
`--quick` takes one seed and writes no page.
"""

from __future__ import annotations

import argparse

import torch
from measured_page import DOCS, write_measured
from meta_report import figure, report
from meta_runs import BenchConfig, all_results


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="one seed, tables on the screen only")
    is_quick = arguments.parse_args().quick
    torch.set_num_threads(1)
    results, qualities = all_results(BenchConfig(seeds=(0,)) if is_quick else BenchConfig())
    measured = report(results, qualities)
    print(measured)
    if not is_quick:
        figure(results, DOCS / "adaptation.png")
        print(f"written to {write_measured('adaptation.md', measured)}")


if __name__ == "__main__":
    main()
