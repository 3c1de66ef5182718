"""Real records through the whole ingest, for the tests of several datasets.

The samples are subsets that others made, in their own containers: a test lays them out as the official release does,
values unchanged, under its own folder. Nothing of them is part of the project.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import catalogs
from harmonize.geometry.cameras import project
from harmonize.keypoints import SMPLX_144
from harmonize.record import Instance
from harmonize.shards.decode import decode_rgb
from harmonize.shards.plan import IngestJob, IngestOptions, make_plan
from harmonize.shards.read import Sample, open_store
from harmonize.shards.verify import verify
from harmonize.shards.write import finalise, pending, run_task

Floats = npt.NDArray[np.floating[Any]]


def ingest(
    reader: str, root: Path, split: str, store: Path, *, form: str | None = None, **options: Any
) -> tuple[int, dict[str, int]]:
    """Number of samples, and of rejects by reason, of a dataset ingested into a store of its own."""
    job = IngestJob(
        reader=reader,
        root=root,
        split=split,
        store=store,
        form=form,
        body_models="standin",
        options=IngestOptions(max_reject_share=1.0, **options),
    )
    plan = make_plan(job)
    results = [run_task(job, plan, task) for task in pending(plan, job)]
    finalise(plan, job)
    assert verify(store).findings == ()
    with catalogs.open(store) as connection:
        reasons = dict(connection.execute("SELECT reason, count(*) FROM rejects GROUP BY reason").fetchall())
    return sum(result.num_samples for result in results), reasons


def samples_of(path: Path) -> list[Sample]:
    """All samples of a store, by key."""
    with catalogs.open(path) as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM instances ORDER BY key").fetchall()]
    store = open_store(path)
    return [store.sample(key) for key in keys]


def place(source: Path, *target: str | Path) -> Path:
    """Copy a file to where the official layout has it (links out of a raw root are refused)."""
    path = Path(*target)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
    return path


def offset_px(instance: Instance) -> Floats:
    """What to add to a sample's pixels for those of the whole picture."""
    return np.array([instance.image.crop_x_px, instance.image.crop_y_px], float)


def stored_points(instance: Instance, names: tuple[str, ...]) -> Floats:
    """(K, 3) the 2D points by their names, in pixels of the whole picture, with confidence; zeros where unknown."""
    keypoints = instance.keypoints
    points = _named(keypoints.joints2d_px, keypoints.extra2d_px, instance, names)
    points[:, :2] += offset_px(instance) * (points[:, 2:] > 0)
    return points


def stored_joints(instance: Instance, names: tuple[str, ...]) -> Floats:
    """(K, 3) the 3D joints by their names, in camera metres; zeros where unknown."""
    keypoints = instance.keypoints
    return _named(keypoints.joints3d_cam_m, keypoints.extra3d_cam_m, instance, names)[:, :3]


def _named(joints: Floats, extra: Floats, instance: Instance, names: tuple[str, ...]) -> Floats:
    values = {name: value for name, value in zip(SMPLX_144, joints, strict=True) if value[-1] > 0}
    values |= dict(zip(instance.keypoints.extra_names, extra, strict=False))
    return np.array([values.get(name, np.zeros(joints.shape[1])) for name in names], float)


def reprojection_px(instance: Instance, names: tuple[str, ...]) -> Floats:
    """Distances of the projected joints of a sample, camera and lens as stored, from its labelled points."""
    camera, points = instance.camera, stored_points(instance, names)
    pixels = project(stored_joints(instance, names), camera.focal_px, camera.principal_point_px, camera.distortion)
    return np.asarray(np.linalg.norm(pixels + offset_px(instance) - points[:, :2], axis=1))


def check_points(instance: Instance, names: tuple[str, ...], labelled: Floats) -> int:
    """Labelled points (K, 3: x, y, 0 where there is no label) are stored with their pixels, and no other: how many."""
    found = stored_points(instance, names)
    known = labelled[:, 2] > 0
    np.testing.assert_array_equal(found[:, 2] > 0, known)
    np.testing.assert_allclose(found[known, :2], labelled[known, :2], atol=1e-3)
    return int(known.sum())


def check_pixels(sample: Sample, picture: Path) -> None:
    """The stored window shows what the upright picture shows at its place."""
    whole = decode_rgb(picture.read_bytes(), "jpg")
    assert sample.picture is not None
    stored = decode_rgb(sample.picture, sample.extension)
    (x, y), (height, width) = offset_px(sample.instance).astype(int), stored.shape[:2]
    cut = whole[y : y + height, x : x + width]
    border = 16  # chroma is interpolated across the new border
    np.testing.assert_array_equal(stored[border:-border, border:-border], cut[border:-border, border:-border])
