"""Figures of a run: what it drew of each source while it went on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalogs.atlas.style import Size, new_figure
from pipelines.study_figures import INK, QUIET, WIDTH_MM, marker, to_svg
from pipelines.study_page import short
from pipelines.study_runs import TrainingRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NAMED = 10
"""Most sources with a colour and a name: those with the most draws; the others are grey."""

MAX_MARKED = 40
"""More intervals than this are lines without marks."""


def mixture_figure(run: TrainingRun) -> bytes:
    """Draws, their difference from the request, distinct samples and repeats of each source, by draws so far."""
    return to_svg(lambda: _mixture(run))


def _mixture(run: TrainingRun) -> Figure:
    names = [f"{one.dataset}/{one.split}" for one in run.last.sources]
    available = {f"{one.dataset}/{one.split}": one.num_available for one in run.selection.members}
    ranked = sorted(range(len(names)), key=lambda number: -run.last.sources[number].num_draws)
    places = {number: place for place, number in enumerate(ranked[:MAX_NAMED])}
    figure = new_figure(Size(width_mm=WIDTH_MM), 122)
    (draws, difference), (distinct, repeats) = figure.subplots(2, 2, sharex=True)
    at = [point.num_draws for point in run.points]
    for number in reversed(ranked):  # the largest on top
        name = names[number]
        of = [point.sources[number] for point in run.points]
        colour, shape = marker(places[number]) if number in places else (QUIET, "")
        look: dict[str, Any] = {"color": colour, "marker": shape, "markersize": 3 if len(at) <= MAX_MARKED else 0}
        draws.plot(at, [one.num_draws for one in of], label=short(name) if number in places else None, **look)
        draws.plot(at, [one.requested for one in of], color=colour, linewidth=0.7, linestyle=(0, (4, 2)))
        difference.plot(at, [one.num_draws - one.requested for one in of], **look)
        num = available.get(name)
        if num:
            distinct.plot(at, [100 * one.num_distinct / num for one in of], **look)
        repeats.plot(at, [one.max_repeats for one in of], **look)
    difference.axhline(0, color=INK, linewidth=0.6, linestyle=":")
    if run.selection.repeat_cap is not None:
        repeats.axhline(run.selection.repeat_cap, color=INK, linewidth=0.8, linestyle="--")
        repeats.text(
            0.01, run.selection.repeat_cap, "repeat cap", transform=repeats.get_yaxis_transform(),
            va="bottom", color=INK, fontsize=7,
        )  # fmt: skip
    for axis, label in (
        (draws, "draws so far"),
        (difference, "counted less requested draws"),
        (distinct, "samples drawn at least once (%)"),
        (repeats, "most draws of a sample"),
    ):
        axis.set_ylabel(label)
        axis.grid(color="#EEEEEE", linewidth=0.6)
        axis.set_axisbelow(True)
    distinct.set_ylim(0, 105)
    for axis in (distinct, repeats):
        axis.set_xlabel("draws of the whole run")
    repeats.set_ylim(0, 1.15 * max([run.selection.repeat_cap or 1, *(one.max_repeats for one in run.last.sources)]))
    far = max(1.0, *(abs(value) for value in difference.get_ylim()))  # a draw more or less is no drift
    difference.set_ylim(-far, far)
    repeats.yaxis.get_major_locator().set_params(integer=True)
    handles, labels = draws.get_legend_handles_labels()
    title = f"the {len(places)} sources with the most draws of {len(names)}" if len(places) < len(names) else None
    figure.legend(handles[::-1], labels[::-1], loc="outside upper left", ncols=5, title=title, alignment="left")
    return figure
