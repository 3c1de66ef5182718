"""The parts of a page without scripts: sections, tables, figures, galleries, in one HTML file that needs nothing else.

Names of runs, files, datasets and samples are data: every text passes through `html.escape` here, and figures are
pictures, in which nothing runs. The content security policy allows the style sheet of this file and pictures that are
in it; nothing can be fetched, run or sent.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, NewType

Html = NewType("Html", str)
"""Text that may stand in the page as it is: made by the functions of this module only."""

_NUMBER = re.compile(r"[-–+]?[\d.,]*\d( ?%)?\*?( (±|#|\[).*)?")
"""Also of text that is a number with its interval or place, or in per cent."""

NUM_SHADES = 10
"""Of a heat map: the classes h0 to h9 of the style sheet."""

STANDIN_MARK = "Made with the licence-free stand-in body: no number here is a result."


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the page. headline: what it comes to, in a line, for the top of the page; is_missing: there was no
    input for it."""

    anchor: str
    title: str
    headline: str
    blocks: tuple[Html, ...]
    is_missing: bool = False
    is_standin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """rows: a name and, for each column, its text and its shade from 0, pale, to 1, dark; None: nothing is known."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[str, float | None]]]]


def missing(anchor: str, title: str, what: str, commands: Sequence[str]) -> Section:
    """A section without input, which says what makes it."""
    codes = "".join(f"<code>{html.escape(command)}</code>" for command in commands)
    block = Html(f"<div class='missing-input'>{html.escape(what)}{codes}</div>")
    return Section(anchor=anchor, title=title, headline="not given", blocks=(block,), is_missing=True)


def paragraph(text: str, *, is_quiet: bool = False) -> Html:
    """A paragraph; quiet ones are smaller print."""
    return Html(f"<p{' class=quiet' if is_quiet else ''}>{html.escape(text)}</p>")


def heading(text: str, level: Literal[3, 4] = 3) -> Html:
    """A heading inside a section."""
    return Html(f"<h{level}>{html.escape(text)}</h{level}>")


def mark(text: str, *, is_good: bool) -> Html:
    """A line that must be seen: a check that was passed, or one that was not."""
    return Html(f"<p class='mark{' good' if is_good else ''}'>{html.escape(text)}</p>")


def notes(texts: Sequence[str]) -> Html:
    """A list of remarks in small print; nothing for none."""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    return Html(f"<ul class=quiet>{items}</ul>" if items else "")


def details(summary: str, blocks: Sequence[Html]) -> Html:
    """Blocks that are folded away until somebody wants them."""
    return Html(f"<details><summary>{html.escape(summary)}</summary>{''.join(blocks)}</details>")


def table(rows: Sequence[Mapping[str, Any]], caption: str = "") -> Html:
    """Rows (same keys in each) as a table; columns of numbers are set to the right."""
    if not rows:
        return paragraph("None.", is_quiet=True)
    names = list(rows[0])
    numeric = {name for name in names if all(_is_number(row[name]) for row in rows)}
    head = "".join(_cell("th", name, name in numeric) for name in names)
    body = "".join(f"<tr>{''.join(_cell('td', row[name], name in numeric) for name in names)}</tr>" for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return Html(f"<div class=scroll><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>")


def heat_maps(maps: Sequence[HeatMap]) -> Html:
    """Tables whose cells are shaded, side by side where there is room."""
    return Html(f"<div class=heats>{''.join(map(_heat_map, maps))}</div>")


def chart(picture: bytes, alt: str, caption: str = "") -> Html:
    """A figure over the width of the page; picture: SVG. alt: what it shows, for who cannot see it."""
    image = f"<img alt='{html.escape(alt)}' src='{_data(picture)}'>"
    text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return Html(f"<figure class=chart>{image}{text}</figure>")


def gallery(tiles: Sequence[tuple[bytes | None, Sequence[str]]]) -> Html:
    """Small pictures, each with lines of text; None where there is no picture."""
    found = []
    for picture, lines in tiles:
        image = "<img alt='no picture stored'>" if picture is None else f"<img alt='' src='{_data(picture)}'>"
        text = "".join(f"<span>{html.escape(line)}</span>" for line in lines)
        found.append(f"<figure>{image}<figcaption>{text}</figcaption></figure>")
    return Html(f"<div class=gallery>{''.join(found)}</div>")


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The file. The same arguments give the same text."""
    style = (files("pipelines") / "study.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    links = "".join(f'<li><a href="#{one.anchor}">{html.escape(one.title)}</a></li>' for one in sections)
    glance = "".join(
        f"<li{' class=missing' if one.is_missing else ''}><b>{html.escape(one.title)}</b>"
        f"{html.escape(one.headline)}</li>"
        for one in sections
    )
    standin = f"<p class=standin>{STANDIN_MARK}</p>" if any(one.is_standin for one in sections) else ""
    body = "".join(
        f'<section id="{one.anchor}"><h2>{html.escape(one.title)}</h2>{"".join(one.blocks)}</section>\n'
        for one in sections
    )
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">'
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{style}</style></head>\n"
        f"<body><header><h1>{html.escape(title)}</h1><p>{html.escape(subtitle)}</p>{standin}"
        f"<ul class=glance>{glance}</ul></header>\n<nav><ul>{links}</ul></nav>\n<main>{body}</main></body></html>\n"
    )


def number_text(value: float, digits: int = 4) -> str:
    """A number for people, to so many significant digits."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:,.{digits}g}"


def interval_text(value: float, low: float | None, high: float | None, digits: int = 3) -> str:
    """`82.1 [79.5, 84.2]`, or the value alone."""
    text = number_text(value, digits)
    return text if low is None or high is None else f"{text} [{number_text(low, digits)}, {number_text(high, digits)}]"


def short(text: str, most: int = 30) -> str:
    """A name for a figure or a heading: without control characters, its middle left out where it is too long."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= most else f"{line[: most // 2]}…{line[-(most // 2 - 1) :]}"


def _heat_map(one: HeatMap) -> str:
    head = "".join(f"<th><span>{html.escape(name)}</span></th>" for name in one.columns)
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(_shaded(text, shade) for text, shade in cells)}</tr>"
        for name, cells in one.rows
    )
    return (
        f"<table class=heat><caption>{html.escape(one.title)}</caption><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _shaded(text: str, shade: float | None) -> str:
    kind = "none" if shade is None else f"h{min(NUM_SHADES - 1, int(shade * NUM_SHADES))}"
    return f"<td class={kind}>{html.escape(text)}</td>"


def _cell(element: str, value: Any, is_number: bool) -> str:
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif value is None:
        text = "–"
    else:
        text = number_text(value) if isinstance(value, int | float) else str(value)
    kind = "number" if is_number else "text"
    return f"<{element} class={kind}>{html.escape(text)}</{element}>"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return not value or _NUMBER.fullmatch(value) is not None
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _data(picture: bytes) -> str:
    kind = "svg+xml" if picture.lstrip().startswith((b"<?xml", b"<svg")) else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
