"""A catalog made by hand: tables under the names of the catalog's views, filled with made-up samples of many datasets.

Attributes and coordinates are drawn from a seed; each dataset has a place of its own on every map, as real ones do.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from catalogs.atlas.data import PARTS
from catalogs.attributes import FAMILIES
from catalogs.cards import DATASETS
from catalogs.cards import card as card_of

MAPS = ("features_efficientnet_lite0", "features_vit_base", "orientation", "skeleton", "skeleton_pca")
WORDS = {
    "domain": lambda card: card.domain if card.domain != "mixed" else "real",
    "card_scene": lambda card: card.scene,
    "environment": lambda card: card.environments[0],
    "origin": lambda card: card.labels.origins[0],
    "camera": lambda card: "calibrated" if card.camera.kind == "calibrated" else "virtual",
}


def fake_catalog(
    num_each: int,
    datasets: Sequence[str] = DATASETS,
    *,
    maps: Sequence[str] = MAPS,
    families: Sequence[str] = tuple(FAMILIES),
    keys: Sequence[str] | None = None,
    seed: int = 0,
) -> duckdb.DuckDBPyConnection:
    """num_each: samples of each dataset. keys: those of the first dataset's first samples, for hostile ones."""
    rng = np.random.default_rng(seed)
    num = num_each * len(datasets)
    code = np.repeat(np.arange(len(datasets)), num_each)
    names = [f"{datasets[c]}-train-{i % num_each:06d}" for i, c in enumerate(code)]
    names[: len(keys or ())] = list(keys or ())
    split = np.where(np.arange(num) % 5 == 0, "validation", "train")
    identity = {"key": names, "dataset": np.array(datasets, object)[code], "split": split}
    con = duckdb.connect()

    def create(name: str, columns: dict[str, Any]) -> None:
        con.register("incoming", pa.table(columns))
        con.execute(f'CREATE TABLE "{name}" AS FROM incoming')
        con.unregister("incoming")

    flags = {flag: rng.random(num) < rng.random(len(datasets))[code] for flag in PARTS.values()}
    turns = rng.normal(0, 1, (num, 3)).astype(np.float32) * 0.5 + np.array([np.pi, 0, 0], np.float32)
    create("instances", {**identity, **flags, "body_global_orient_aa": list(turns)})
    con.execute((files("catalogs") / "sql" / "rotations.sql").read_text(encoding="utf-8"))
    con.execute(
        "CREATE VIEW datasets AS SELECT dataset, split, count(*) AS num_samples, (count(*) // 9) AS num_rejects, "
        "true AS is_standin FROM instances GROUP BY ALL"
    )
    for name in families:
        family = FAMILIES[name]
        if not family.is_wide and name != "pose_space":
            create(name, {**identity, **_values(name, family.attributes, code, datasets, rng)})
    if maps:
        parts = []
        for name in maps:
            centres = rng.normal(0, 6, (len(datasets), 2))[code]
            xy = centres + rng.normal(0, 1, (num, 2)) * rng.uniform(0.4, 1.6, (len(datasets), 1))[code]
            parts.append(
                pa.table({"map": [name] * num, **identity, "x": xy[:, 0].astype("f4"), "y": xy[:, 1].astype("f4")})
            )
        con.register("incoming", pa.concat_tables(parts))
        con.execute("CREATE TABLE maps AS FROM incoming")
        con.unregister("incoming")
    return con


def _values(family: str, attributes: Sequence[Any], code: Any, datasets: Sequence[str], rng: Any) -> dict[str, Any]:
    num, columns = len(code), {}
    for attribute in attributes:
        if attribute.size:
            continue
        if attribute.kind == "text":
            say = WORDS.get(attribute.name, lambda card: card.name[:3])
            columns[attribute.name] = np.array([say(card_of(name)) for name in datasets], object)[code]
        elif attribute.kind == "flag":
            columns[attribute.name] = rng.random(num) < 0.3
        elif attribute.kind == "count":
            columns[attribute.name] = rng.poisson(rng.uniform(1, 9, len(datasets))[code]).astype("i4")
        else:
            values = np.abs(
                rng.normal(rng.uniform(20, 60, len(datasets))[code], rng.uniform(3, 12, len(datasets))[code])
            )
            values[rng.random(num) < 0.05] = np.nan
            columns[attribute.name] = pa.array(values.astype("f4"), mask=np.isnan(values))
    if family == "orientation":
        azimuth, sine = rng.normal(0, 60, num), rng.normal(0.1, 0.25, num).clip(-1, 1)
        azimuth = (azimuth + 180) % 360 - 180
        columns["azimuth_deg"], columns["elevation_deg"] = (
            azimuth.astype("f4"),
            np.degrees(np.arcsin(sine)).astype("f4"),
        )
        row = np.minimum((sine + 1) / 2 * 9, 8).astype(int)
        columns["cell"] = (row * 24 + np.floor((azimuth + 180) / 15 + 0.5).astype(int) % 24).astype("i4")
    return columns
