"""What goes into an atlas: bins that hold every sample, points that do not change, pictures whose camera fits them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from atlas_world import MAPS, fake_catalog
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import HEIGHT_PX, WIDTH_PX, person

from catalogs.atlas.data import Atlas, gather
from catalogs.atlas.maps import map_kind
from catalogs.atlas.measures import UNKNOWN_CODE, backbone_of, bin_edges, log_edges
from catalogs.atlas.page import document, page, to_json
from catalogs.atlas.pictures import SIDE_PX, chosen, small, to_webp
from harmonize.geometry.cameras import project

DATASETS = ("agora", "pw3d", "ubody", "unheard_of")


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    with fake_catalog(40, DATASETS[:3]) as con:
        return gather(con, num_points=25)


def test_histograms_count_all_samples_and_values_are_those_of_the_points() -> None:
    with fake_catalog(200, DATASETS[:3]) as con:
        atlas = gather(con, num_points=20)
        known = dict(con.execute("SELECT dataset, count(stature_m) FROM shape GROUP BY ALL").fetchall())
        values = dict(con.execute("SELECT key, stature_m FROM shape").fetchall())
    measure = next(one for one in atlas.measures if one.name == "stature_m")
    assert [int(row.sum()) for row in measure.counts] == [known[one.name] for one in atlas.datasets]
    assert len(atlas.keys) == 60
    expected = [np.nan if values[key] is None else values[key] for _, _, key in atlas.keys]
    np.testing.assert_allclose(measure.values, expected)


def test_counts_are_those_of_numpy() -> None:
    with fake_catalog(300, DATASETS[:2]) as con:
        atlas = gather(con, num_points=5)
        for measure in atlas.measures:
            if measure.categories:
                continue
            for number, dataset in enumerate(atlas.datasets):
                sql = f'SELECT "{measure.name}"::DOUBLE FROM "{measure.family}" WHERE dataset = $name'
                values = np.array([v for (v,) in con.execute(sql, {"name": dataset.name}).fetchall() if v is not None])
                inside = np.clip(values, measure.edges[0], np.nextafter(measure.edges[-1], -np.inf))
                expected = np.histogram(inside, measure.edges)[0]
                assert np.abs(expected - measure.counts[number]).sum() <= 2, measure.name  # values on an edge
                np.testing.assert_allclose(measure.quantiles[number], np.quantile(values, [0.05, 0.5, 0.95]), rtol=1e-6)


def test_categories_are_counted_and_unknown_ones_are_told_apart(atlas: Atlas) -> None:
    environment = next(one for one in atlas.measures if one.name == "environment")
    assert environment.counts.sum() == 120
    assert {environment.categories[code] for code in environment.values if code != UNKNOWN_CODE} <= set(
        environment.categories
    )
    flag = next(one for one in atlas.measures if one.name == "self_contact")
    assert flag.categories == ("no", "yes")


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans())
def test_bins_cover_the_range_in_round_steps(low: float, span: float, is_whole: bool) -> None:
    if is_whole:
        low, span = round(low), round(span)
    edges = bin_edges(low, low + span, is_whole=is_whole)
    assert (np.diff(edges) > 0).all()
    slack = 1e-6 * max(1, abs(low), span)
    assert edges[0] <= low + slack
    assert edges[-1] >= low + span - slack
    assert len(edges) <= 44
    if is_whole:
        assert np.allclose(edges % 1, 0.5)


def test_log_bins_are_even_and_cover_the_range() -> None:
    edges = log_edges(0.003, 71.0)
    assert edges[0] == pytest.approx(0.003)
    assert edges[-1] == pytest.approx(71.0)
    np.testing.assert_allclose(np.diff(np.log(edges)), np.log(71 / 0.003) / 36, rtol=1e-3)


def test_more_points_keep_those_that_fewer_had_and_unmapped_datasets_are_seen() -> None:
    with fake_catalog(50, DATASETS[:2]) as con:
        few, many = (set(gather(con, num_points=number).keys) for number in (10, 30))
        con.execute("DELETE FROM maps WHERE dataset = 'agora'")
        datasets = {dataset for dataset, _, _ in gather(con, num_points=10).keys}
    assert few < many
    assert datasets == {"agora", "pw3d"}


def test_a_dataset_without_a_card_is_shown_as_unknown() -> None:
    with fake_catalog(4, DATASETS[:1], families=("orientation",)) as con:
        for table in ("instances", "maps", "orientation"):
            con.execute(f"UPDATE {table} SET dataset = 'unheard_of'")
        atlas = gather(con, num_points=10)
    assert [(one.name, one.title, one.domain) for one in atlas.datasets] == [("unheard_of", "", "unknown")]


def test_maps_are_known_by_their_names(atlas: Atlas) -> None:
    assert [(one.name, one.kind) for one in atlas.maps] == [
        ("features_efficientnet_lite0", "features"),
        ("features_vit_base", "features"),
        ("orientation", "orientation"),
        ("skeleton", "skeleton"),
        ("skeleton_pca", "skeleton"),
    ]
    assert {map_kind(name) for name in MAPS} == {"features", "orientation", "skeleton"}
    assert backbone_of("features_vit_base_0123abcd") == ("vit_base", "0123abcd")


def test_poses_own_components_stand_in_for_a_map_of_skeletons() -> None:
    with fake_catalog(5, DATASETS[:1], maps=("orientation",)) as con:
        con.execute("CREATE TABLE pose_space AS SELECT dataset, split, key, [0.5, -0.25] AS components FROM instances")
        maps = {one.name: one for one in gather(con, num_points=10).maps}
        sql = f"SELECT count(*) FROM {maps['pose_space'].relation} WHERE {maps['pose_space'].condition}"
        assert con.execute(sql).fetchall() == [(5,)]
    np.testing.assert_allclose(maps["pose_space"].xy, [[0.5, -0.25]] * 5)


def test_the_page_is_the_same_for_the_same_catalog() -> None:
    pages = []
    for _ in range(2):
        with fake_catalog(40, DATASETS[:3]) as con:
            con.execute("SET threads = 4")
            pages.append(page(gather(con, num_points=25), store="s", pictures={1: b"a", 0: b"b"}))
    assert pages[0] == pages[1]
    assert "%%" not in pages[0]


def test_json_cannot_leave_its_element() -> None:
    text = to_json({"key": "</script><!--\u2028"})
    assert "<" not in text
    assert json.loads(text) == {"key": "</script><!--\u2028"}


def test_values_travel_as_halves_whatever_their_size(atlas: Atlas) -> None:
    measure = next(one for one in atlas.measures if not one.categories)
    large = replace(measure, values=np.array([1e7, np.nan, 12.5]))
    sent = document(replace(atlas, measures=(large,)), store="s", pictures={})["measures"][0]
    read = np.frombuffer(base64.b64decode(sent["values"]), "<f2").astype(float) * sent["scale"]
    np.testing.assert_allclose(read, large.values, rtol=0.01)


def test_pictures_are_chosen_evenly_and_stay_the_same(atlas: Atlas) -> None:
    points = chosen(atlas, 3)
    assert [atlas.keys[point][0] for point in points] == [name for name in DATASETS[:3] for _ in range(3)]
    assert set(points) < set(chosen(atlas, 5))
    assert chosen(atlas, 0) == []


def test_a_small_picture_has_the_camera_of_its_pixels() -> None:
    instance = person("pw3d", "train", 3)
    joints = instance.keypoints.joints3d_cam_m[:, :3]
    column, row = (grid.astype(np.float32) for grid in np.meshgrid(np.arange(WIDTH_PX), np.arange(HEIGHT_PX)))
    ramp = np.stack([column, row, 0 * row], 2).astype(np.uint8)  # each pixel holds its own place
    picture, smaller = small(ramp, instance)
    assert max(picture.shape) == SIDE_PX
    before = project(joints, instance.camera.focal_px, instance.camera.principal_point_px)
    after = project(joints, smaller.camera.focal_px, smaller.camera.principal_point_px)
    inside = ((before > 2) & (before < [WIDTH_PX - 3, HEIGHT_PX - 3])).all(1)
    inside &= ((after > 2) & (after < [picture.shape[1] - 3, picture.shape[0] - 3])).all(1)
    assert inside.sum() > 50
    at = np.rint(after[inside]).astype(int)
    np.testing.assert_allclose(picture[at[:, 1], at[:, 0], :2], before[inside], atol=1.6)
    assert to_webp(picture) == to_webp(picture)
