"""Spaces fitted to made-up numbers, and summaries of such numbers in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.fitted import Space, fit
from benchmark.gathering import summarise
from benchmark.spaces import Kind
from benchmark.summary import Summary


def kind_of(num_cells: int = 0, name: str = "made_up") -> Kind:
    """A kind whose points are its numbers."""
    return Kind(
        name=name,
        families=("made_up",),
        columns=("x",),
        vectors=lambda values: values["x"],
        scaling="as_is",
        cells=(lambda values: values["cell"]) if num_cells else None,
        num_cells=num_cells,
    )


def space_of(num_dimensions: int, *, num_cells: int = 0, sample_limit: int = 2000, facts: Any = None) -> Space:
    """A space of unit scale, the same in every call with the same arguments."""
    pooled = np.random.default_rng(3).normal(size=(400, num_dimensions))
    return fit(kind_of(num_cells), pooled, facts or {}, sample_limit=sample_limit)


def summary_of(
    space: Space, points: Any, cells: Any = None, name: str = "a", keys: Sequence[str] | None = None
) -> Summary:
    """Of points (N, d), with keys made up from a name unless given."""
    points = np.asarray(points, float)
    cells = np.zeros(len(points)) if cells is None and space.num_cells else cells
    return summarise(space, points, cells, keys or [f"{name}-{row:06d}" for row in range(len(points))])
