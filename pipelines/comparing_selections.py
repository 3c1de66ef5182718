"""Two selections side by side: what each draws of every source, and a chart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalogs.selection import Member, Selection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACTS = ("method", "draws_per_epoch", "repeat_cap", "seed")


def facts(one: Selection, other: Selection) -> list[dict[str, Any]]:
    """What the two are as wholes: a row a fact."""
    rows = [{"fact": name, "first": getattr(one, name), "second": getattr(other, name)} for name in FACTS]
    names = sorted({*one.parameters, *other.parameters} - {*FACTS})
    rows += [{"fact": name, "first": one.parameters.get(name), "second": other.parameters.get(name)} for name in names]
    sizes = [sum(member.num_distinct for member in selection.members) for selection in (one, other)]
    rows.append({"fact": "distinct samples", "first": sizes[0], "second": sizes[1]})
    rows.append({"fact": "content hash", "first": one.content_hash[:12], "second": other.content_hash[:12]})
    return [{"fact": row["fact"], **{side: _text(row[side]) for side in ("first", "second")}} for row in rows]


def members(one: Selection, other: Selection) -> list[dict[str, Any]]:
    """A row a source, the largest change of weight first; a source that one of the two lacks has no draws there."""
    first, second = ({member.name: member for member in selection.members} for selection in (one, other))
    rows = []
    for name in sorted({*first, *second}):
        a, b = first.get(name), second.get(name)
        rows.append(
            {
                "source": name,
                "weight": _of(a, "weight"),
                "weight_2": _of(b, "weight"),
                "change": _of(b, "weight") - _of(a, "weight"),
                "draws": _of(a, "num_draws"),
                "draws_2": _of(b, "num_draws"),
                "repeats": _of(a, "num_repeats"),
                "repeats_2": _of(b, "num_repeats"),
                "distinct": _of(a, "num_distinct"),
                "distinct_2": _of(b, "num_distinct"),
            }
        )
    return sorted(rows, key=lambda row: (-abs(float(row["change"])), str(row["source"])))


def apart(one: Selection, other: Selection) -> float:
    """Total variation distance of the two mixtures of sources: the share of draws that would have to change, 0 to 1."""
    return sum(abs(float(row["change"])) for row in members(one, other)) / 2


def draw(one: Selection, other: Selection, names: tuple[str, str], path: Path) -> Path:
    """Write the chart; its format is that of the file's name.

    Raises:
        UsageError: an unknown format.
        StoreError: the file cannot be written.
    """
    from catalogs.atlas.style import PAGE_MM, Size, save, styled

    with styled():
        return save(_figure(one, other, names, Size(width_mm=PAGE_MM)), path)


def _figure(one: Selection, other: Selection, names: tuple[str, str], size: Any) -> Figure:
    from catalogs.atlas.style import COLOURS, new_figure

    rows = sorted(
        members(one, other), key=lambda row: (-float(row["weight_2"]), -float(row["weight"]), str(row["source"]))
    )
    figure = new_figure(size, 22 + 6.0 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    places = list(range(len(rows)))
    for side, key, colour in ((0, "", COLOURS[1]), (1, "_2", COLOURS[0])):
        at = [place + (side - 0.5) * 0.38 for place in places]
        left.barh(at, [100 * float(row[f"weight{key}"]) for row in rows], 0.36, color=colour, label=names[side])
        right.barh(at, [float(row[f"repeats{key}"]) for row in rows], 0.36, color=colour)
    left.set_yticks(places, [str(row["source"]) for row in rows])
    left.invert_yaxis()
    left.set_xlabel("share of the draws (%)")
    right.set_xlabel("draws of each sample in an epoch")
    right.axvline(1, color="#444444", linewidth=0.5, linestyle=":")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def _of(member: Member | None, name: str) -> Any:
    return 0 if member is None else getattr(member, name)


def _text(value: object) -> str:
    return (
        "" if value is None else f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    )
