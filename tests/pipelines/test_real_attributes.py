"""Attributes and atlas of real records: labelled people with pictures, a clip of bodies, and an old HumanData file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from atlas_screenshots import chromium, started
from real_records import ingest, place

import catalogs
from catalogs.attributes import FAMILIES
from catalogs.store import query
from pipelines.atlas import write_atlas
from pipelines.describe import FEATURE_PACKAGES, Request, describe_store

RELEASE = "ExpressiveWholeBodyDatasetReleaseV1.0"
CLIP = "seth/Trump_Modeling_Agency_-_A_Couple_Things-pVAD70eSWA8.webm/5051-00_01_28-00_01_38"


@pytest.fixture(scope="module")
def described(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People of COCO and PoseTrack18 with pictures, a clip of 300 bodies of SHOW, a record of MPI-INF-3DHP."""
    folder = tmp_path_factory.mktemp("real")
    store, raw = folder / "store", folder / "raw"
    ingest("mscoco", samples / "coco", "val", store)
    ingest("posetrack", samples / "posetrack18", "val", store, form="posetrack18")
    place(samples / "talkshow/show_all.pkl", raw / RELEASE / CLIP / f"{Path(CLIP).name}.pkl")
    place(samples / "talkshow/train_val_test.json", raw / RELEASE / "train_val_test.json")
    ingest("talkshow", raw, "train", store, images="none")
    place(samples / "humandata_prerelease/sample_mpi_inf_3dhp_train.npz", raw / "3dhp/mpi_inf_3dhp_train.npz")
    ingest("mpi_inf_3dhp", raw / "3dhp", "train", store, form="humandata", images="none")
    outcome = describe_store(Request(store=store, with_tables=False))
    assert outcome.failures == ()
    return store


def ask(store: Path, sql: str) -> list[tuple[Any, ...]]:
    with catalogs.open(store) as con:
        return list(query(con, sql).rows)


def test_every_family_covers_every_shard(described: Path) -> None:
    rows = ask(
        described, "SELECT family, sum(num_current), sum(num_stale), sum(num_missing) FROM attributes GROUP BY 1"
    )
    found = {family: counts for family, *counts in rows}
    assert set(FAMILIES) <= set(found)
    assert all(stale == missing == 0 and current > 0 for current, stale, missing in found.values())


def test_a_seated_speaker_is_seen_from_the_front(described: Path) -> None:
    """The clip shows a talk-show host at his desk, upright before the camera, with hands that gesture."""
    sql = """
        SELECT count(*), max(abs(orientation_azimuth_deg)), max(abs(orientation_roll_deg)),
               stddev_pop(shape_betas_norm), min(pose_left_hand_articulation_deg),
               median(pose_plausibility), count(pose_left_knee_deg)
        FROM samples WHERE dataset = 'talkshow'
    """
    ((num, azimuth, roll, spread, hand, plausibility, num_knees),) = ask(described, sql)
    assert num == 300
    assert azimuth < 45
    assert roll < 20
    assert spread < 1e-6
    assert hand > 0
    assert plausibility > 0.9
    assert num_knees == 0, "SHOW does not know the legs"


def test_pictures_and_points_of_people_without_bodies(described: Path) -> None:
    sql = """
        SELECT count(*), count(orientation_azimuth_deg), min(image_statistics_brightness),
               max(image_statistics_brightness), min(image_statistics_jpeg_quality), min(visibility_num_visible_body)
        FROM samples WHERE dataset IN ('mscoco', 'posetrack')
    """
    ((num, num_bodies, darkest, brightest, quality, points),) = ask(described, sql)
    assert num > 12
    assert num_bodies == 0
    assert 0.05 < darkest < brightest < 0.95
    assert 50 < quality <= 100
    assert points >= 0
    if all(importlib.util.find_spec(name) for name in FEATURE_PACKAGES):
        ((family,),) = ask(described, "SELECT DISTINCT family FROM attributes WHERE family LIKE 'features%'")
        ((num_vectors,),) = ask(described, f"SELECT count(vector) FROM {family}")
        assert num_vectors == num


def test_the_atlas_of_real_records_opens_without_a_problem(described: Path, tmp_path: Path) -> None:
    out = tmp_path / "atlas.html"
    write_atlas(described, out, num_points=100, num_pictures=2, body_models=None, num_workers=1)
    if chromium() is None:
        pytest.skip("no Chromium on this machine")
    pytest.importorskip("playwright.sync_api")
    problems: list[str] = []
    with started() as browser:
        page = browser.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(out.as_uri())
        page.locator(".plot").first.wait_for()
        assert page.evaluate("atlas.keys.length") > 12
    assert problems == []
