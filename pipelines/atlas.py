"""The atlas of a store: gathered from its catalog, with small pictures that workers draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalogs import store as catalog
from catalogs.atlas.data import Atlas, gather
from catalogs.atlas.page import page
from catalogs.atlas.pictures import chosen, small, to_webp
from catalogs.attributes.map_files import map_facts, maps_in
from harmonize.bodies import BodyModels
from harmonize.errors import StoreError, UsageError
from harmonize.shards.read import open_store
from harmonize.whole import write_whole
from pipelines.pictures import models_of, stored_picture, with_mesh
from pipelines.progress import Meter
from pipelines.workers import Workers

MESH_ALPHA = 0.75
"""A small picture needs more of the person behind the mesh than a large one."""
CHUNK = 32
"""Fewest pictures that a worker draws in one go: it opens the store and the bodies once for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawJob:
    """Samples of one store, to be drawn small."""

    store: Path
    body_models: str | None
    keys: tuple[str, ...]


def write_atlas(
    store: Path, out: Path, *, num_points: int, num_pictures: int, body_models: str | None, num_workers: int
) -> Atlas:
    """Write the HTML file; it appears whole or not at all.

    num_points, num_pictures: at most so many a dataset.

    Raises:
        UsageError, StoreError: see `catalogs.store.open`; or the file cannot be written.
        MissingBodyModelError: pictures of real bodies need their models.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"{out}: expected a file in an existing folder", fix="change -o")
    with catalog.open(store) as con:
        facts = {name: map_facts(store, name) for name in maps_in(store)}
        atlas = gather(con, num_points=num_points, map_facts=facts)
    points = chosen(atlas, num_pictures)
    drawn = draw(store, [atlas.keys[point][2] for point in points], body_models, num_workers)
    pictures = {point: drawn[atlas.keys[point][2]] for point in points if atlas.keys[point][2] in drawn}
    try:
        write_whole(out, page(atlas, store=str(store), pictures=pictures).encode())
    except OSError as error:
        raise StoreError(f"{out}: cannot write ({error.strerror})", fix="free space, or change -o") from error
    return atlas


def draw(store: Path, keys: Sequence[str], body_models: str | None, num_workers: int) -> Mapping[str, bytes]:
    """Small pictures with meshes, as WebP by key; samples without a stored picture are left out."""
    chunk = max(CHUNK, -(-len(keys) // (2 * num_workers)))
    jobs = [
        DrawJob(store=store, body_models=body_models, keys=tuple(keys[i : i + chunk]))
        for i in range(0, len(keys), chunk)
    ]
    with Meter("atlas", len(keys), "pictures") as meter:
        if num_workers == 1 or len(jobs) < 2:
            parts = [draw_all(job, meter.add) for job in jobs]
        else:
            with Workers(draw_all, jobs, min(num_workers, len(jobs))) as workers, workers.watched(meter.reach):
                parts = workers.run_all()
    return {key: picture for part in parts for key, picture in part.items()}


def draw_all(job: DrawJob, count: Callable[[int], None]) -> dict[str, bytes]:
    """The pictures of a job by key.

    Raises:
        MissingBodyModelError, StoreError: see `models_of` and `Store.sample`.
    """
    opened = open_store(job.store)
    models: dict[tuple[str, str], BodyModels] = {}
    drawn = {}
    for key in job.keys:
        sample = opened.sample(key)
        if sample.picture is not None:
            origin = sample.instance.provenance
            place = (origin.dataset, origin.split)
            if place not in models:
                models[place] = models_of(opened, sample, job.body_models)
            picture, instance = small(stored_picture(sample), sample.instance)
            drawn[key] = to_webp(with_mesh(picture, instance, models[place], alpha=MESH_ALPHA))
        count(1)
    return drawn
