"""The atlas as one HTML file that needs no network and nothing beside it.

Text of datasets and keys of samples are data: they travel as JSON with every `<` escaped, and the page shows them as
text only. The content security policy allows the one script and the one style sheet of this file, by their hashes, and
pictures that are in the file; nothing can be fetched, framed or sent.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.atlas.data import PARTS, Atlas
from catalogs.atlas.maps import Map
from catalogs.atlas.measures import Measure
from catalogs.cards import DATASETS

SCRIPTS = (
    *("bytes.js", "dom.js", "data.js", "palette.js", "state.js", "geometry.js", "raster.js"),
    *("panel.js", "map.js", "sphere.js", "bars.js", "query.js", "card.js", "legend.js"),
    *("overview.js", "histogram.js", "dataset.js", "help.js", "main.js"),
)
"""In this order they make one script; each may use what those before it define."""

_ASSETS = files("catalogs.atlas") / "assets"


def page(atlas: Atlas, *, store: str, pictures: Mapping[int, bytes]) -> str:
    """The file. store: how commands on the page name the store. pictures: WebP by number of the point.

    The same arguments give the same text.
    """
    style = _asset("atlas.css")
    script = "(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in SCRIPTS) + "\n})();\n"
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": html.escape(policy, quote=True),
        "TITLE": html.escape(f"Atlas of {store}"),
        "STYLE": style,
        "DATA": to_json(document(atlas, store=store, pictures=pictures)),
        "SCRIPT": script,
    }
    pieces = _asset("atlas.html").split("%%")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def to_json(content: Any) -> str:
    """JSON that can stand in a script element: no `<`, hence no end tag and no comment, whatever the texts hold."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def document(atlas: Atlas, *, store: str, pictures: Mapping[int, bytes]) -> dict[str, Any]:
    """What the script of the page reads. Arrays are base64 of little-endian numbers.

    Point values are half floats: three digits, which is what a reader of a card can use.
    """
    names = [dataset.name for dataset in atlas.datasets]
    splits = sorted({split for _, split, _ in atlas.keys})
    dataset_code = {name: number for number, name in enumerate(names)}
    split_code = {name: number for number, name in enumerate(splits)}
    return {
        "store": store,
        "standin": atlas.is_standin,
        "parts": list(PARTS),
        "datasets": [{**asdict(one), "style": style_number(one.name)} for one in atlas.datasets],
        "splits": [asdict(split) for split in atlas.splits],
        "missing": list(atlas.missing),
        "points": {
            "num": len(atlas.keys),
            "dataset": _base64(np.array([dataset_code[dataset] for dataset, _, _ in atlas.keys], "<u2")),
            "split": _base64(np.array([split_code[split] for _, split, _ in atlas.keys], "<u2")),
            "splits": splits,
            "keys": [key for _, _, key in atlas.keys],
            "view": _base64(atlas.view_deg.astype("<f4")),
        },
        "maps": [_map(one) for one in atlas.maps],
        "orientation": atlas.orientation,
        "cells": _base64(atlas.cells.astype("<u4")),
        "measures": [_measure(measure) for measure in atlas.measures],
        "pictures": {str(point): base64.b64encode(pictures[point]).decode() for point in sorted(pictures)},
    }


def style_number(name: str) -> int:
    """Which colour and mark a dataset has: the same in every atlas, whatever else the store holds."""
    return DATASETS.index(name) if name in DATASETS else len(DATASETS) + sum(name.encode()) % 7


def _map(one: Map) -> dict[str, Any]:
    about = {name: getattr(one, name) for name in ("name", "kind", "title", "caption", "relation", "condition")}
    return {**about, "axes": list(one.axes), "xy": _base64(one.xy.astype("<f4"))}


def _measure(measure: Measure) -> dict[str, Any]:
    about = {name: getattr(measure, name) for name in ("family", "name", "unit", "doc")}
    common = {**about, "counts": _base64(measure.counts.astype("<u4"))}
    if measure.categories:
        return {**common, "categories": list(measure.categories), "values": _base64(measure.values.astype("u1"))}
    finite = np.abs(measure.values[np.isfinite(measure.values)])
    scale = 1.0 if not finite.size or finite.max() < 60000 else float(2.0 ** np.ceil(np.log2(finite.max() / 60000)))
    return {
        **common,
        "scale": scale,
        "values": _base64((measure.values / scale).astype("<f2")),
        "edges": measure.edges.tolist(),
        "isLog": measure.is_log,
        "quantiles": _base64(measure.quantiles.astype("<f4")),
    }


def _base64(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
