"""The conversion report of a dataset: one HTML file in the store that says what became of everyone, and shows some."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from PIL import Image

from catalogs import store as catalog
from catalogs.cards import card
from catalogs.store import Table
from harmonize.shards.names import REPORTS
from harmonize.shards.read import Store, open_store
from pipelines.form_differences import Difference, form_differences
from pipelines.pictures import models_of, view_picture
from pipelines.progress import Meter

NUM_OVERLAYS = 12
NUM_BINS = 40
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums } img { max-width: 100% }
figure { margin: 1.5em 0 } figcaption { color: #666; font-size: 90% }
.standin { background: #fff3c0; padding: .6em 1em }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number of each sample that a histogram shows."""

    title: str
    sql: str
    unit: str


MEASURES = (
    Measure(title="Reprojection error", sql="evidence_reprojection_px", unit="px, median of a person's 2D points"),
    Measure(title="Reprojection error, relative", sql="100 * evidence_reprojection_share", unit="% of the person box"),
    Measure(
        title="Fit error",
        sql="CASE WHEN source_body_is_present AND source_body_conversion = 'fit' THEN source_body_fit_error_mm END",
        unit="mm, mean over vertices, neutral SMPL-X against the source's mesh",
    ),
    Measure(title="Distance from measured 3D joints", sql="evidence_measured_mm", unit="mm, median of a person"),
)


def write_reports(
    store: Path, datasets: Sequence[str] | None, against: Path | None, body_models: str | None
) -> list[Path]:
    """One report a dataset (None: all of the store), under STORE/reports.

    against: another store, of the same datasets ingested from another annotation form, to compare with.

    Raises:
        UsageError, StoreError: see `catalogs.store.open`.
    """
    opened = open_store(store)
    written = []
    with catalog.open(store) as con:
        found = [row[0] for row in catalog.query(con, "SELECT DISTINCT dataset FROM datasets ORDER BY ALL").rows]
        chosen = found if datasets is None else [name for name in found if name in datasets]
        with Meter("report", len(chosen), "datasets") as meter:
            for name in chosen:
                differences = [] if against is None else form_differences(store, against, name)
                text = "\n".join(_page(con, opened, name, differences, against, body_models))
                path = store / REPORTS / f"{name}.html"
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
                written.append(path)
                meter.add(1)
    return written


def _page(
    con: duckdb.DuckDBPyConnection,
    store: Store,
    dataset: str,
    differences: list[Difference],
    against: Path | None,
    body_models: str | None,
) -> Iterator[str]:
    about = card(dataset)
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{dataset}</title><style>{STYLE}</style>"
    yield f"<h1>{html.escape(about.title)}</h1>"
    yield f"<p>{', '.join(about.labels.origins)}. {html.escape(about.labels.detail)}</p>"
    manifests = [manifest for manifest in store.manifests() if manifest.dataset == dataset]
    if any(manifest.is_standin for manifest in manifests):
        yield "<p class=standin>Made with the licence-free stand-in body: no number here is a result.</p>"
    yield "<h2>Samples</h2>" + _table(
        _ask(con, "SELECT split, num_samples, num_rejects, num_skipped, num_shards, num_bytes FROM datasets", dataset)
    )
    forms = sorted({(manifest.split, manifest.plan["form"]) for manifest in manifests})
    yield f"<p>Annotation forms: {', '.join(f'{form} ({split})' for split, form in forms)}.</p>"
    yield "<h2>Left out</h2>" + _table(
        _ask(
            con,
            "SELECT split, stage, reason, count(*) AS people, any_value(detail) AS example FROM rejects",
            dataset,
            "GROUP BY ALL ORDER BY split, people DESC",
        )
    )
    yield "<h2>What is known of them</h2>" + _table(
        _ask(con, f"SELECT split, {_FLAGS} FROM instances", dataset, "GROUP BY ALL ORDER BY ALL")
    )
    yield "<h2>How far labels and bodies are apart</h2>"
    for measure in MEASURES:
        table = _ask(con, f"SELECT {measure.sql} AS value FROM instances", dataset)
        values = np.array([row[0] for row in table.rows if row[0] is not None], np.float64)
        if len(values):
            yield f"<h3>{measure.title}</h3>" + _figure(_histogram(values, measure), _caption(values))
    yield "<h2>Samples, spread over the reprojection error</h2>"
    for key, picture in _overlays(con, store, dataset, body_models):
        yield _figure(picture, key)
    if against is not None:
        yield f"<h2>Against {html.escape(str(against))}</h2>" + _differences(differences)
    yield "</html>"


_FLAGS = ", ".join(
    f"round(100 * avg({column}::INTEGER), 1) AS '{title} %'"
    for title, column in (
        ("body", "body_has_body"),
        ("betas", "body_has_betas"),
        ("left hand", "body_has_left_hand"),
        ("right hand", "body_has_right_hand"),
        ("jaw", "body_has_jaw"),
        ("expression", "body_has_expression"),
        ("place", "body_has_transl"),
        ("metric place", "body_is_transl_metric"),
        ("calibrated", "camera_is_calibrated"),
    )
)


def _ask(con: duckdb.DuckDBPyConnection, select: str, dataset: str, rest: str = "") -> Table:
    return catalog.query(con, f"{select} WHERE dataset = $dataset {rest}", {"dataset": dataset})


def _table(table: Table) -> str:
    if not table.rows:
        return "<p>Nobody.</p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"<td class=number>{value:,}</td>"
    return f"<td>{html.escape(str(value))}</td>"


def _caption(values: Any) -> str:
    low, middle, high = np.percentile(values, [5, 50, 95])
    return f"{len(values):,} samples; median {middle:.3g}, 5 % below {low:.3g}, 5 % above {high:.3g}"


def _histogram(values: Any, measure: Measure) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axis = figure.subplots()
    shown = np.minimum(values, np.percentile(values, 99.5))
    axis.hist(shown, bins=NUM_BINS, color="#4878a8")
    axis.set_xlabel(f"{measure.unit} (the last bin holds all that is larger)")
    axis.set_ylabel("samples")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _overlays(
    con: duckdb.DuckDBPyConnection, store: Store, dataset: str, body_models: str | None
) -> Iterator[tuple[str, bytes]]:
    """Samples at even steps of their reprojection error, so that good and bad ones are both seen."""
    table = _ask(con, "SELECT key FROM instances", dataset, "ORDER BY evidence_reprojection_share NULLS LAST, key")
    keys = [row[0] for row in table.rows]
    for i in np.unique(np.linspace(0, len(keys) - 1, NUM_OVERLAYS).round().astype(int)) if keys else ():
        sample = store.sample(keys[i])
        buffer = io.BytesIO()
        Image.fromarray(view_picture(sample, models_of(store, sample, body_models))).save(buffer, "JPEG", quality=85)
        yield keys[i], buffer.getvalue()


def _figure(picture: bytes, caption: str) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    data = base64.b64encode(picture).decode()
    return (
        f"<figure><img src='data:image/{kind};base64,{data}'><figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _differences(differences: list[Difference]) -> str:
    if not differences:
        return "<p>No person is in both.</p>"
    columns = ("split", "people in both", "joints mm", "aligned joints mm", "global_orient deg", "box IoU")
    rows = tuple(
        (
            one.split,
            one.num_people,
            round(one.joints_mm, 2),
            round(one.aligned_joints_mm, 2),
            round(one.global_orient_deg, 2),
            round(one.box_iou, 3),
        )
        for one in differences
    )
    return "<p>Medians over the people that both forms hold.</p>" + _table(Table(columns, rows))
