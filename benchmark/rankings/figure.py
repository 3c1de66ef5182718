"""Rank against dataset size, as SMPLer-X draws it: does a larger dataset train a better model?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmark.rankings.scores import Ranking
from catalogs.atlas.style import COLOURS, MARKERS, Size, new_figure
from harmonize.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GUIDES = (30_000, 100_000)
"""Sizes at which SMPLer-X draws lines: no dataset below the first is among the best of every architecture."""

ROW_MM, MARGIN_MM, MIN_HEIGHT_MM = 2.7, 18.0, 50.0


def rank_figure(rankings: Sequence[Ranking], num_instances: Mapping[str, int], size: Size) -> Figure:
    """A panel a ranking: datasets by number of instances (logarithmic) and place, the best on top, each with its name.

    A dataset without a known size is not drawn; the panel's title says how many are.

    Raises:
        UsageError: no dataset of a ranking has a known size.
    """
    num_rows = max(len(ranking.datasets) for ranking in rankings)
    figure = new_figure(size, max(MIN_HEIGHT_MM, MARGIN_MM + ROW_MM * num_rows))
    axes = figure.subplots(1, len(rankings), sharex=True, sharey=True, squeeze=False)[0]
    for number, (ranking, axis) in enumerate(zip(rankings, axes, strict=True)):
        places = ranking.ranks
        drawn = [name for name in ranking.datasets if name in num_instances]
        if not drawn:
            raise UsageError(f"{ranking.name}: none of its datasets has a known number of instances: nothing to draw")
        x, y = [num_instances[name] for name in drawn], [places[name] for name in drawn]
        axis.set_xscale("log")
        for guide in GUIDES:
            axis.axvline(guide, color="#BBBBBB", linewidth=0.5, linestyle=(0, (3, 2)), zorder=0)
        axis.plot(
            x,
            y,
            linestyle="",
            marker=MARKERS[number % len(MARKERS)],
            markersize=3.5,
            markeredgewidth=0,
            color=COLOURS[number % len(COLOURS)],
        )
        middle = (min(num_instances.values()) * max(num_instances.values())) ** 0.5
        for name, across, down in zip(drawn, x, y, strict=True):
            is_left = across > middle
            axis.annotate(
                name,
                (across, down),
                xytext=(-3 if is_left else 3, 0),
                textcoords="offset points",
                ha="right" if is_left else "left",
                va="center",
                fontsize=5,
                color="#333333",
            )
        is_all = len(drawn) == len(ranking.datasets)
        axis.set_title(ranking.name if is_all else f"{ranking.name} ({len(drawn)} of {len(ranking.datasets)})")
        axis.set_xlabel("instances in the dataset")
    axes[0].set_ylabel("place (1 is best)")
    axes[0].set_ylim(num_rows + 0.7, 0.3)
    return figure
