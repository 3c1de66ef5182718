"""Looking at samples: contact sheets in the order asked for, bodies over each other, clear words for the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from small_store import HEIGHT_PX, WIDTH_PX, person, write_shard

import catalogs
from harmonize.errors import UsageError
from harmonize.geometry.cameras import project_with
from harmonize.meshes import body_vertices_m
from harmonize.shards.read import open_store
from pipelines.choosing import Order, best, check_key, choose, find_column, worst
from pipelines.commands.compare import compare
from pipelines.commands.view import view
from pipelines.comparing import FIRST, SECOND, counterpart, differing, in_picture_of, joint_distances
from pipelines.pictures import stored_picture, with_mesh
from pipelines.sheets import GAP_PX, LINE_PX, TILE_PX, Tile, _shortened, contact_sheet


@pytest.fixture
def con(store: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with catalogs.open(store) as opened:
        yield opened


def keys_of(con: duckdb.DuckDBPyConnection, where: str = "true", num: int = 3) -> list[str]:
    rows = con.execute(f"SELECT key FROM instances WHERE {where} ORDER BY key LIMIT {num}").fetchall()
    return [row[0] for row in rows]


def picture(path: Path) -> Any:
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB")).astype(int)


def test_a_sheet_shows_the_worst_first_with_its_value(store: Path, con: Any, tmp_path: Path) -> None:
    out = tmp_path / "new" / "sheet.png"
    view(store, worst="evidence_reprojection_px", where="dataset = 'mscoco'", num=5, columns=3, out=out)
    sheet = picture(out)
    assert sheet.shape[1] == 3 * (TILE_PX + GAP_PX) + GAP_PX
    assert sheet.shape[0] == LINE_PX + GAP_PX + 2 * (TILE_PX + 2 * LINE_PX + GAP_PX) + GAP_PX
    chosen = choose(con, "dataset = 'mscoco'", Order(column="evidence_reprojection_px", is_largest_first=True), 5)
    values = [one.value for one in chosen]
    assert values == sorted(values, key=lambda value: -math.inf if value is None else -value)
    assert all(one.key.startswith("mscoco-") for one in chosen)


def test_samples_without_a_value_come_last(con: Any) -> None:
    order = Order(column="evidence_measured_mm", is_largest_first=False)
    values = [one.value for one in choose(con, None, order, 400)]
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert values[: len(known)] == known


def test_a_sheet_without_an_order_is_always_the_same_spread(con: Any) -> None:
    first, second = (choose(con, None, None, 6) for _ in range(2))
    assert first == second
    assert len({one.key for one in first}) == 6
    assert {one.value for one in first} == {None}


def test_a_condition_cannot_get_out_of_its_brackets(con: Any) -> None:
    assert choose(con, "true -- all", None, 2)
    with pytest.raises(UsageError):
        choose(con, "true); COPY instances TO 'x.csv'; --", None, 2)


def test_worst_is_the_largest_but_for_what_is_good_when_large() -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE notes (note VARCHAR, words VARCHAR[])")
    con.execute(
        "CREATE TABLE samples (key VARCHAR, label_reprojection_px FLOAT, pose_plausibility FLOAT, "
        "visibility_num_visible_face INTEGER, camera_distance_m FLOAT, orientation_elevation_deg FLOAT, "
        "camera_elevation_deg FLOAT)"
    )
    assert worst(con, "reprojection_error") == Order(column="label_reprojection_px", is_largest_first=True)
    assert worst(con, "plausibility") == Order(column="pose_plausibility", is_largest_first=False)
    assert worst(con, "visibility.num_visible_face").is_largest_first is False
    assert best(con, "distance_m") == Order(column="camera_distance_m", is_largest_first=False)
    with pytest.raises(UsageError, match=r"found (camera|orientation)_elevation_deg, (camera|orientation)_elevation"):
        find_column(con, "elevation_deg")
    with pytest.raises(UsageError, match="did you mean camera_distance_m"):
        find_column(con, "camera_distanz_m")
    with pytest.raises(UsageError, match="found none of that name"):
        find_column(con, "key")


def test_an_attribute_that_was_not_computed_names_the_command(con: Any) -> None:
    with pytest.raises(UsageError, match="ehps describe STORE --attributes label"):
        find_column(con, "reprojection_error")


def test_an_unknown_key_gets_the_nearest_ones(store: Path, con: Any, tmp_path: Path) -> None:
    (key,) = keys_of(con, num=1)
    with pytest.raises(UsageError, match=key):
        view(store, f"{key}x", out=tmp_path / "x.png")
    with pytest.raises(UsageError, match="no sample is called"):
        check_key(con, "")
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"where": "true", "num": 0},
        {"where": "true", "columns": 0},
        {"worst": "a", "best": "b"},
        {"where": "dataset = 'nobody'"},
        {"where": "no_such_column > 1"},
    ],
)
def test_what_cannot_be_shown_is_said(arguments: dict[str, Any], store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        view(store, out=tmp_path / "x.png", **arguments)
    assert not (tmp_path / "x.png").exists()


def test_captions_keep_both_ends_of_a_key_and_fit_the_tile() -> None:
    draw, font = ImageDraw.Draw(Image.new("RGB", (9, 9))), ImageFont.load_default(12)
    line = "dataset-train-" + "long_" * 30 + "name-7"
    short = _shortened(line, 120, draw, font)
    assert draw.textlength(short, font) <= 120
    assert line.startswith(short.split("…")[0])
    assert line.endswith(short.split("…")[1])
    assert _shortened("short", 120, draw, font) == "short"


def test_tiles_keep_the_shape_of_their_pictures() -> None:
    red = np.zeros((50, 100, 3), np.uint8)
    red[..., 0] = 255
    sheet = contact_sheet([Tile(picture=red, lines=("a",))], 4, 100).astype(int)
    is_red = (sheet[..., 0] > 250) & (sheet[..., 1] < 5)
    assert is_red.sum() == 100 * 50


def test_samples_side_by_side_and_what_differs(
    store: Path, con: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = keys_of(con, "body_has_body", 2)
    compare(store, *keys, out=tmp_path / "two.png", as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert picture(tmp_path / "two.png").shape[1] > 2 * 480
    rows = {row["attribute"]: row for row in document["differences"]}
    assert set(rows["sequence"] if "sequence" in rows else next(iter(rows.values()))) == {"attribute", *keys}
    assert "dataset" not in rows
    assert not any(name.endswith(("_sha256", "_offset")) for name in rows)


def test_a_store_against_itself_has_no_distance(
    store: Path, con: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (key,) = keys_of(con, "body_has_body AND body_has_transl", 1)
    compare(store, key, against=store, out=tmp_path / "same.png", as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["distances"][0]["body_root_aligned_mm"] == 0
    assert document["distances"][0]["body_mm"] == 0
    assert document["differences"] == []
    pixels = picture(tmp_path / "same.png").reshape(-1, 3)
    for colour in (FIRST, SECOND):
        hue = np.array(colour) / np.linalg.norm(colour)
        seen = pixels / np.linalg.norm(pixels, axis=1, keepdims=True).clip(1)
        assert ((seen @ hue) > 0.985).sum() > 500


def test_distances_are_those_of_the_joints(standin: Any) -> None:
    one = person("pw3d", "train", 1)
    moved = replace(one, body=replace(one.body, transl_m=one.body.transl_m + np.array([0.3, 0, 0.4], np.float32)))
    apart = joint_distances(one, moved, standin)
    assert apart.body_mm == pytest.approx(500, abs=0.1)
    assert apart.body_root_aligned_mm == pytest.approx(0, abs=0.01)
    assert apart.left_hand_mm is None
    bent = one.body.body_pose_aa.copy()
    bent[17] += [0, 1.2, 0]  # left elbow
    apart = joint_distances(one, replace(one, body=replace(one.body, body_pose_aa=bent)), standin)
    assert apart.worst_joint == "left_wrist"
    assert apart.worst_joint_mm > 50
    with pytest.raises(UsageError, match="no body is annotated"):
        joint_distances(one, replace(one, body=replace(one.body, has_body=False)), standin)


def test_another_cut_of_the_picture_shows_the_body_in_the_same_place(standin: Any) -> None:
    one = person("pw3d", "train", 1)
    one = replace(one, image=replace(one.image, source_width_px=WIDTH_PX, source_height_px=HEIGHT_PX))
    doubled = replace(
        one,
        camera=replace(
            one.camera,
            focal_px=one.camera.focal_px * 2,
            principal_point_px=one.camera.principal_point_px * 2 - np.array([20, 30], np.float32),
        ),
        image=replace(
            one.image, source_width_px=2 * WIDTH_PX, source_height_px=2 * HEIGHT_PX, crop_x_px=20, crop_y_px=30
        ),
    )
    points = body_vertices_m(one, standin)
    expected = project_with(one.camera, points)
    np.testing.assert_allclose(project_with(in_picture_of(doubled, one).camera, points), expected, atol=1e-3)
    assert np.abs(project_with(doubled.camera, points) - expected).max() > 20


def test_a_person_is_found_in_another_store_by_picture_and_place(tmp_path: Path) -> None:
    people = [person("pw3d", "train", i) for i in range(2)]
    named = [
        replace(one, provenance=replace(one.provenance, image_path=f"images/{i}.jpg")) for i, one in enumerate(people)
    ]
    renamed = [replace(one, key=f"pw3d-train-other-{i}") for i, one in enumerate(named)]
    write_shard(tmp_path / "a", named)
    write_shard(tmp_path / "b", renamed)
    with catalogs.open(tmp_path / "b") as con:
        assert counterpart(con, named[1]) == "pw3d-train-other-1"
        assert counterpart(con, renamed[0]) == "pw3d-train-other-0"
        away = replace(named[0], boxes=replace(named[0].boxes, person_xywh_px=np.array([900, 9, 5, 5, 1], np.float32)))
        with pytest.raises(UsageError, match="neither this key nor a person at this place"):
            counterpart(con, away)


def test_numbers_that_are_the_same_to_six_digits_do_not_differ() -> None:
    facts = {"a": {"x": 1.0, "y": 2.0, "z": None, "key": "a"}, "b": {"x": 1.0 + 1e-9, "y": 2.1, "z": None, "key": "b"}}
    assert differing(facts) == [{"attribute": "y", "a": 2.0, "b": 2.1}]


@pytest.mark.parametrize("keys", [(), ("one",)])
def test_comparing_takes_two(keys: tuple[str, ...], store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected at least two keys"):
        compare(store, *keys, out=tmp_path / "x.png")


def test_a_sample_without_a_body_is_shown_as_it_is(standin: Any, tmp_path: Path) -> None:
    one = person("pw3d", "train", 0)
    write_shard(tmp_path, [replace(one, body=replace(one.body, has_body=False))])
    sample = open_store(tmp_path).sample(one.key)
    stored = stored_picture(sample)
    np.testing.assert_array_equal(with_mesh(stored, sample.instance, standin), stored)
