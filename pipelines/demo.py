"""The whole path on miniatures: from six datasets in their official raw layouts to shards, a mixture, and networks that
are trained on it and adapt themselves at test time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from catalogs import store as catalog
from catalogs.atlas.histograms import orientation_figure, pose_figure
from harmonize.bodies.models import STANDIN
from harmonize.errors import DataError
from harmonize.readers import splits_of
from harmonize.shards.plan import IngestJob
from harmonize.shards.read import open_store
from harmonize.shards.verify import verify
from pipelines import demo_training as training
from pipelines.atlas import write_atlas
from pipelines.describe import Request, describe_store
from pipelines.describe_work import DescribeFailedError
from pipelines.ingest import Runner, ingest
from pipelines.miniatures import write_miniatures
from pipelines.pictures import models_of, view_picture
from pipelines.tables import show

RUNNER: Runner = "local"
DATASETS = ("agora", "bedlam", "mscoco", "prox", "pw3d", "ubody")
"""Six of each kind: synthetic and real, SMPL and SMPL-X, kids, turned and mirrored pictures, annotators' points."""


def demo(out: Path, *, num_people: int, num_workers: int) -> None:
    """Make everything under `out` that is not there yet, and print where to look.

    Raises:
        DataError: the store does not pass its own check, or the loss did not fall.
        DescribeFailedError: some attributes could not be computed.
    """
    store, pictures, run, proxies = out / "store", out / "pictures", out / "run", out / "proxies"
    mixture = out / "mixture.json"
    with _step("raw files of six datasets, with made-up people"):
        write_miniatures(out / "raw", DATASETS, num_people, num_workers)
    with _step("ingest"):
        jobs = [
            IngestJob(reader=name, root=out / "raw" / name, split=split, store=store, body_models=STANDIN)
            for name in DATASETS
            for split in splits_of(name)
        ]
        ingest(jobs, runner=RUNNER, num_workers=num_workers)
    with _step("verify"):
        report = verify(store, decode=True)
        if not report.is_sound:
            raise DataError(f"{store}: {len(report.findings)} problems", fix=f"ehps verify {store}")
    with _step("describe: orientation, pose, camera, pictures, image features, duplicates, maps"):
        described = describe_store(Request(store=store, num_workers=num_workers))
        if described.failures:
            raise DescribeFailedError(described.failures)
    with _step("query"), catalog.open(store) as con:
        table = catalog.query(con, "@datasets")
        show([dict(zip(table.columns, row, strict=True)) for row in table.rows], as_json=False)
        orientation_figure(con, pictures / "orientation.png")
        pose_figure(con, pictures / "pose.png")
    with _step("pictures of samples"):
        draw_samples(store, pictures)
    with _step("atlas"):
        write_atlas(
            store, out / "atlas.html", num_points=200, num_pictures=12, body_models=None, num_workers=num_workers
        )
    with _step("rank the datasets by training on each alone"):
        training.rank(store, proxies, num_workers)
    with _step("choose a mixture"):
        selection = training.propose(store, mixture)
    with _step("train dual networks"):
        first, last = training.train(store, selection, run, num_workers)
        print(f"  loss {first:.3f} -> {last:.3f}")
    with _step("evaluate"):
        training.evaluate(store, run)
    with _step(f"adapt to each person of {training.ADAPTED} by 2D points alone"):
        if (adapted := training.adapt(store, run, out / "adapted", pictures / "adapted")) is not None:
            show(adapted.rows(), as_json=False)
            print(f"  {adapted.line()}")
    with _step("report on choosing"):
        choosing = out / "choosing.html"
        training.report(store, choosing, proxies=proxies, mixture=mixture, run=run, num_workers=num_workers)
    looks = {
        out / "atlas.html": "what is in the data: open it in a browser",
        pictures: "samples: keypoints, boxes, and the body's mesh over the picture",
        pictures / "orientation.png": "from where the bodies are seen",
        pictures / "pose.png": "how the bodies are posed",
        choosing: "ranking, distances, the mixture, what was drawn, errors: open it in a browser",
        mixture: "the mixture, with a reason for each dataset",
        run / "losses.png": "loss by training step",
        pictures / "adapted": "bodies before and after test-time optimisation",
        store: f"the shards; try: ehps query {_short(store)} @reprojection",
    }
    print("\nWhere to look")
    show([{"path": _short(path), "what": text} for path, text in looks.items()], as_json=False)


def draw_samples(store: Path, folder: Path) -> None:
    """For each dataset the picture of one sample: with hands and 2D points if there are any, the largest person."""
    sql = (
        "SELECT DISTINCT ON (dataset) dataset, key FROM instances WHERE body_has_body AND camera_has_intrinsics "
        "ORDER BY dataset, body_has_left_hand AND body_has_right_hand DESC, "
        "coalesce(isnan(evidence_reprojection_px), true), boxes_person_xywh_px[3] * boxes_person_xywh_px[4] DESC, key"
    )
    with catalog.open(store) as con:
        rows = catalog.query(con, sql).rows
    opened = open_store(store)
    folder.mkdir(parents=True, exist_ok=True)
    for dataset, key in rows:
        sample = opened.sample(key)
        picture = view_picture(sample, models_of(opened, sample, None))
        Image.fromarray(picture).save(folder / f"{dataset}.png", "PNG")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@contextmanager
def _step(name: str) -> Iterator[None]:
    print(f"{name} ...", flush=True)
    start = time.monotonic()
    yield
    print(f"  {time.monotonic() - start:.1f} s", flush=True)
