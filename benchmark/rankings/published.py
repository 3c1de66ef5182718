"""SMPLer-X's ranking of 32 datasets (arXiv 2309.17448): one model trained on each, tested on five benchmarks.

Verified are the places for three architectures, decoded from a figure in the repository. The errors behind them are
recalled, and only had on request; the place of a dataset without such errors cannot be computed from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from benchmark.published import DATASET_NAMES, table
from benchmark.rankings.scores import ErrorTable, Ranking, in_domain_mask

Proxy = Literal["s", "b", "h4w"]
PROXIES: Mapping[Proxy, tuple[str, str]] = {
    "s": ("rank_smplerx_s", "SMPLer-X-S"),
    "b": ("rank_smplerx_b", "SMPLer-X-B"),
    "h4w": ("rank_hand4whole", "Hand4Whole"),
}
"""Short name of a proxy architecture -> its column in `single_dataset_benchmark`, and its name."""

BENCHMARKS: Mapping[str, str] = {
    "agora": "unverified_agora_val_pve",
    "egobody": "unverified_egobody_pve",
    "ubody": "unverified_ubody_pve",
    "pw3d": "unverified_3dpw_mpjpe",
    "ehf": "unverified_ehf_pve",
}
"""Benchmark -> the column of its recalled errors (PVE in mm, for 3DPW MPJPE)."""


def published_ranking(proxy: Proxy) -> Ranking:
    """The places of the 32 datasets as drawn, by our dataset names; the score of a dataset is its place."""
    column, name = PROXIES[proxy]
    rows = table("single_dataset_benchmark")
    return Ranking.of(name, {DATASET_NAMES[str(row["dataset"])]: float(str(row[column])) for row in rows})


def recalled_errors() -> ErrorTable:
    """The recalled errors of SMPLer-X-S, unverified: 31 datasets by 5 benchmarks; those of AGORA are missing."""
    rows = table("single_dataset_benchmark", with_unverified=True)
    datasets = tuple(DATASET_NAMES[str(row["dataset"])] for row in rows)
    cells = [[float(row[column] or math.nan) for column in BENCHMARKS.values()] for row in rows]
    return ErrorTable(
        datasets=datasets,
        benchmarks=tuple(BENCHMARKS),
        error_mm=np.array(cells),
        is_in_domain=in_domain_mask(datasets, tuple(BENCHMARKS)),
    )
