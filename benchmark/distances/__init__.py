"""Distances and coverage between summaries of sources and benchmarks: nothing is trained, no picture is read.

METRICS["frechet"].compute(summaries["pose"]["bedlam/train"], summaries["pose"]["pw3d/test"], space)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmark.distances.coverage import cover
from benchmark.distances.frechet import frechet
from benchmark.distances.jensen_shannon import jensen_shannon
from benchmark.distances.mmd import mmd2, mmd2_unbiased
from benchmark.distances.sliced_wasserstein import sliced_wasserstein
from benchmark.fitted import Space
from benchmark.summary import Floats, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """compute(source, target, space); is_symmetric: whether these may change places; is_good_when_large: coverage is,
    distances are not; needs_cells: only for spaces with cells; of_instances: values (n,) of the target's instances
    whose mean the metric is, where it is one."""

    name: str
    doc: str
    compute: Callable[[Summary, Summary, Space], float]
    is_symmetric: bool = True
    is_good_when_large: bool = False
    needs_cells: bool = False
    of_instances: Callable[[Summary, Summary], Floats] | None = None


_METRICS = (
    Metric(
        name="coverage",
        doc="share of the target's instances that the source has something like",
        compute=lambda source, target, space: cover(source, target).coverage,
        is_symmetric=False,
        is_good_when_large=True,
        of_instances=lambda source, target: cover(source, target).is_covered,
    ),
    Metric(
        name="density",
        doc="how often a source instance lies where the target's are; 1 for the same distribution",
        compute=lambda source, target, space: cover(source, target).density,
        is_symmetric=False,
        is_good_when_large=True,
        of_instances=lambda source, target: cover(source, target).crowding,
    ),
    Metric(
        name="frechet",
        doc="Fréchet distance of Gaussians with the same means and covariances, in the unit of the space",
        compute=lambda source, target, space: frechet(source, target),
    ),
    Metric(
        name="jensen_shannon",
        doc="Jensen-Shannon divergence over the space's cells, in bits, 0 to 1",
        compute=lambda source, target, space: jensen_shannon(source, target),
        needs_cells=True,
    ),
    Metric(
        name="mmd2",
        doc="squared maximum mean discrepancy by random Fourier features, of all instances",
        compute=lambda source, target, space: mmd2(source, target),
    ),
    Metric(
        name="mmd2_unbiased",
        doc="the same with the exact kernel and without bias, on samples",
        compute=mmd2_unbiased,
    ),
    Metric(
        name="sliced_wasserstein",
        doc="Wasserstein-1 distance averaged over directions, in the unit of the space",
        compute=sliced_wasserstein,
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _METRICS}
"""All metrics by name."""
