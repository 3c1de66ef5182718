"""How figures look, and how they are saved so that the same data give the same bytes.

Sizes are those of print: millimetres and points at the width the figure is given in a paper. Each dataset has one
colour and one marker in every figure, whatever else is drawn. matplotlib is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalogs.cards import DATASETS
from harmonize.errors import StoreError, UsageError
from harmonize.whole import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MM_PER_INCH = 25.4
COLUMN_MM, PAGE_MM = 85.0, 178.0
"""Width of one column and of the page in the two-column papers of the field."""

FORMATS = ("png", "svg", "pdf")
DPI = 300

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#6F6F6F")
"""Okabe and Ito's palette, which colour-blind people tell apart, but for its yellow: too pale on white."""

MARKERS = ("o", "s", "^", "D", "v")
GROUND = "#E9E9E9"

_SETTINGS: Mapping[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "legend.title_fontsize": 6.5,
    "legend.frameon": False,
    "axes.linewidth": 0.5,
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.4,
    # Text stays text: sharp at any size, and it can be searched and edited.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    # Names inside an SVG are otherwise drawn at random.
    "svg.hashsalt": "ehps",
}
_METADATA: Mapping[str, Mapping[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "ModDate": None},
}
"""What matplotlib would write of the moment and of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """width_mm: of the figure as printed; dpi: of PNG files, and of points in vector files that are drawn as pixels."""

    width_mm: float
    dpi: int = DPI


@contextmanager
def styled() -> Iterator[None]:
    """matplotlib with our settings and nobody else's."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(size: Size, height_mm: float) -> Figure:
    """An empty figure that finds room for its parts. It belongs to nobody: no display, no global state."""
    figure = bare_figure(size, height_mm)
    figure.set_layout_engine("constrained")
    return figure


def bare_figure(size: Size, height_mm: float) -> Figure:
    """The same, whose parts stay where they are put."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size.width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), dpi=size.dpi)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure whole or not at all; its format is that of the file's name. Same data, same bytes.

    Raises:
        UsageError: an unknown format.
        StoreError: the file cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UsageError(f"{path}: expected a name that ends with .{', .'.join(FORMATS)}", fix="-o figure.svg")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch:
            figure.savefig(scratch, format=kind, metadata=dict(_METADATA[kind]))
    except OSError as error:
        raise StoreError(f"{path}: cannot write ({error.strerror or error})", fix="choose another -o") from error
    return path


def dataset_style(dataset: str) -> tuple[str, str]:
    """Colour and marker of a dataset: the same in all figures, and no two alike among those with a card."""
    number = DATASETS.index(dataset) if dataset in DATASETS else len(DATASETS) + sum(dataset.encode()) % 7
    return COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]


def class_style(number: int) -> tuple[str, str]:
    """Colour and marker of a class other than a dataset, by its place in the legend."""
    return COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]


def handles(names: Sequence[str], styles: Sequence[tuple[str, str]], size_pt: float = 4) -> list[Any]:
    """Entries of a legend: a marker a name, at one size whatever the points have."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle="", marker=marker, color=colour, markersize=size_pt, markeredgewidth=0, label=name)
        for name, (colour, marker) in zip(names, styles, strict=True)
    ]


def bare(axis: Any) -> None:
    """Take ticks and spines from an axis whose units mean nothing, as those of a map of features."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color("#BBBBBB")
