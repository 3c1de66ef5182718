"""Every dataset from its raw files to shards, pictures included: everyone of the truth arrives, and where the picture
shows them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalogs import store as catalog
from catalogs.cards import card
from harmonize.gate import Limits
from harmonize.geometry.cameras import as_pinhole
from harmonize.meshes import body_vertices_m, source_vertices_m
from harmonize.readers import READERS, splits_of
from harmonize.render import rasterise
from harmonize.shards.decode import decode_rgb
from harmonize.shards.plan import IngestJob, IngestOptions
from harmonize.shards.read import open_store
from harmonize.shards.verify import verify
from pipelines.ingest import ingest

NUM_LOOKED_AT = 8
MAY_BE_REFUSED = ("image-missing", "image-damaged", "image-size", "video-short")
"""Reasons that a truth without pictures in mind does not know of."""


@pytest.mark.parametrize("name", sorted(READERS))
def test_everyone_arrives_and_the_picture_shows_them(name: str, miniature: Any, standin: Any, tmp_path: Path) -> None:
    root, truth = miniature(name)
    form = READERS[name].forms[0]
    limits = Limits(**card(name).gate)  # type: ignore[arg-type]
    options = IngestOptions(max_reject_share=1.0, limits=limits, shard_samples=100_000)
    jobs = [
        IngestJob(reader=name, root=root, split=split, store=tmp_path, body_models="standin", options=options)
        for split in splits_of(name)
    ]
    ingest(jobs, runner="inline", num_workers=1)
    assert verify(tmp_path).findings == ()

    with catalog.open(tmp_path) as con:
        samples = catalog.query(con, "SELECT split, sequence, frame, person, key FROM instances").rows
        rejects = catalog.query(con, "SELECT split, sequence, frame, person, reason FROM rejects").rows
    kept = {row[:4]: row[4] for row in samples}
    refused = {row[:4]: row[4] for row in rejects}
    expected = {p.identity[1:]: p for p in truth.people if p.form in ("", form) and p.split in splits_of(name)}
    assert set(kept) | set(refused) == set(expected)
    assert {reason for who, reason in refused.items() if expected[who].is_kept} <= set(MAY_BE_REFUSED)
    known = [who for who in kept if expected[who].is_kept]
    assert len(known) > 0.5 * sum(person.is_kept for person in expected.values())

    opened = open_store(tmp_path)
    instances = [opened.sample(kept[who]) for who in sorted(known)]
    drawn = [sample for sample in instances if sample.instance.body.has_transl]
    there, mirrored, shifted = [], [], []
    for sample in drawn[:: max(1, len(drawn) // NUM_LOOKED_AT)]:
        gradient = edges(decode_rgb(sample.picture, sample.extension).astype(float).mean(axis=2))
        outline = outline_of(sample.instance, standin)
        there.append(gradient[outline].mean())
        mirrored.append(gradient[:, ::-1][outline].mean())
        shifted.append(gradient[np.roll(outline, (6, 6), (0, 1))].mean())
    if any(person.is_kept and person.has_body for person in expected.values()):
        assert len(there) >= 2
        assert np.mean(there) > 1.7 * np.mean(mirrored)
        assert np.mean(there) > 1.7 * np.mean(shifted)


PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".mp4", ".webm", ".avi", ".zip", ".tar")


@pytest.mark.parametrize("name", sorted(READERS))
def test_annotations_alone_are_enough(name: str, miniature: Any, tmp_path: Path) -> None:
    root, truth = miniature(name)
    raw, store = tmp_path / "raw", tmp_path / "store"
    for path in root.rglob("*"):
        if path.is_file() and path.suffix.lower() not in PICTURES:
            (raw / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, raw / path.relative_to(root))
    form = READERS[name].forms[0]
    limits = Limits(**card(name).gate)  # type: ignore[arg-type]
    options = IngestOptions(images="none", max_reject_share=1.0, limits=limits, shard_samples=100_000)
    jobs = [
        IngestJob(reader=name, root=raw, split=split, store=store, body_models="standin", options=options)
        for split in splits_of(name)
    ]
    ingest(jobs, runner="inline", num_workers=1)
    with catalog.open(store) as con:
        rows = catalog.query(con, "SELECT split, sequence, frame, person FROM instances").rows
        assert not catalog.query(con, "FROM instances WHERE image_has_pixels").rows
        rejects = catalog.query(con, "SELECT split, sequence, frame, person, reason FROM rejects").rows
    expected = {p.identity[1:] for p in truth.people if p.form in ("", form) and p.is_kept}
    missing = {who for who in expected if who[0] in splits_of(name)} - set(rows)
    # MTP's camera and choice of detection hang on the picture's height: without it a person may have no box.
    assert {row[4] for row in rejects if row[:4] in missing} <= {"box-missing"}
    assert len(missing) <= (name == "mtp")


def edges(grey: Any) -> Any:
    """The largest change of brightness to a neighbour, (H - 1, W - 1)."""
    return np.maximum(np.abs(np.diff(grey, axis=0))[:, :-1], np.abs(np.diff(grey, axis=1))[:-1])


def outline_of(instance: Any, models: Any) -> Any:
    """Pixels of the stored picture on the outline of the record's body, seen by the record's camera and its lens."""
    source, camera = instance.source_body, instance.camera
    if source is None or not source.is_rebuildable:
        mesh, model = body_vertices_m(instance, models), models.get("smplx", "neutral")
    else:
        mesh, model = source_vertices_m(instance, models), models.get(source.model, source.gender)
    mesh = as_pinhole(camera, mesh)
    size = (instance.image.width_px, instance.image.height_px)
    seen = rasterise(mesh, model.faces, camera.focal_px, camera.principal_point_px, size)
    body = (seen.face >= 0)[:-1, :-1]
    return body & ~(np.roll(body, 1, 0) & np.roll(body, -1, 0) & np.roll(body, 1, 1) & np.roll(body, -1, 1))
