"""Summaries: the same from any partition in any order, equal to plain numpy, and refused across versions."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_attributes import vectors, write_family
from small_spaces import kind_of, space_of, summary_of
from small_store import person, write_shard

from benchmark.fitted import GRID, Space, fit, median_distance
from benchmark.gathering import BLOCK_ROWS, Gathering, key_hashes, merge, smallest
from benchmark.spaces import KINDS, bands, feature_kind, kinds_in, orientation_vectors
from benchmark.summaries import load, save, summarise_catalog
from benchmark.summary import Summary
from catalogs import store as catalog
from catalogs.attributes import orientation
from harmonize.errors import DataError, UsageError
from harmonize.geometry.rotations import aa_to_rotmat

RNG = np.random.default_rng(8)
POINTS = RNG.normal([1, -20, 300], [1, 0.1, 5], (700, 3))
POINTS[::50] = np.nan
CELLS = np.where(np.arange(700) % 90 == 7, np.nan, RNG.integers(0, 6, 700))
KEYS = [f"k{row:05d}" for row in range(700)]
SPACE = fit(
    dataclasses.replace(kind_of(6), scaling="standard"), POINTS[np.isfinite(POINTS).all(axis=1)], {}, sample_limit=60
)
IS_KNOWN = np.isfinite(POINTS).all(axis=1) & np.isfinite(CELLS)


def part(rows: Any) -> Summary:
    return summary_of(SPACE, POINTS[rows], CELLS[rows], keys=[KEYS[row] for row in rows])


def assert_same(one: Summary, other: Summary, tolerance: float = 1e-10) -> None:
    assert (one.space, one.num, one.num_missing) == (other.space, other.num, other.num_missing)
    for field in ("mean", "scatter", "embedding"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(one.cells, other.cells)
    assert one.sample_keys == other.sample_keys
    np.testing.assert_allclose(one.sample, other.sample, rtol=1e-13)


WHOLE = part(np.arange(700))


def test_a_summary_is_what_numpy_says() -> None:
    points = SPACE.points(POINTS[IS_KNOWN])
    np.testing.assert_allclose(points, (POINTS[IS_KNOWN] - SPACE.centre) @ SPACE.matrix.T, atol=GRID / 2)
    assert (WHOLE.num, WHOLE.num_missing) == (IS_KNOWN.sum(), (~IS_KNOWN).sum())
    np.testing.assert_allclose(WHOLE.mean, points.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(WHOLE.covariance, np.cov(points.T, bias=True), rtol=1e-10)
    phase = points @ SPACE.frequencies.T
    features = np.hstack([np.cos(phase), np.sin(phase)]) / np.sqrt(len(SPACE.frequencies))
    np.testing.assert_allclose(WHOLE.embedding, features.mean(axis=0), atol=1e-7)
    np.testing.assert_array_equal(WHOLE.cells, np.bincount(CELLS[IS_KNOWN].astype(int), minlength=6))
    place = {key: row for row, key in enumerate(KEYS)}
    rows = [place[key] for key in WHOLE.sample_keys]
    assert len(set(rows)) == 60
    assert IS_KNOWN[rows].all()
    np.testing.assert_allclose(WHOLE.sample, SPACE.points(POINTS[rows]))


@settings(deadline=None, max_examples=30)
@given(owner=st.lists(st.integers(0, 4), min_size=700, max_size=700), seed=st.integers(0, 99))
def test_any_partition_merged_in_any_order_gives_the_same(owner: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [rng.permutation(np.flatnonzero(np.array(owner) == one)) for one in range(5)]
    parts = [part(groups[one]) for one in rng.permutation(5)]
    while len(parts) > 1:  # a random tree, not only a chain
        first = parts.pop(int(rng.integers(len(parts))))
        second = parts.pop(int(rng.integers(len(parts))))
        parts.append(merge(SPACE, first, second))
    assert_same(parts[0], WHOLE)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 999), num_batches=st.integers(1, 9))
def test_no_order_of_rows_and_no_cut_of_a_stream_changes_a_bit(seed: int, num_batches: int) -> None:
    rng = np.random.default_rng(seed)
    stream = Gathering(SPACE)
    edges = [0, *sorted(rng.integers(0, 700, num_batches).tolist()), 700]
    order = rng.permutation(700)
    for start, stop in itertools.pairwise(edges):
        rows = order[start:stop]
        keys = [KEYS[row] for row in rows]
        stream.add(POINTS[rows], CELLS[rows], keys, key_hashes(keys))
    found = stream.summary()
    assert (found.num, found.num_missing, found.sample_keys) == (WHOLE.num, WHOLE.num_missing, WHOLE.sample_keys)
    for field in ("mean", "scatter", "embedding", "cells", "sample"):
        np.testing.assert_array_equal(getattr(found, field), getattr(WHOLE, field))
    np.testing.assert_array_equal(stream.summary().scatter, WHOLE.scatter)  # asking twice counts nothing twice


def test_many_rows_are_embedded_block_by_block() -> None:
    points = np.random.default_rng(1).normal(size=(2 * BLOCK_ROWS + 123, 3))
    space = space_of(3, sample_limit=50)
    keys = [f"r{row}" for row in range(len(points))]
    whole = summary_of(space, points, keys=keys)
    np.testing.assert_allclose(whole.embedding, space.embedded(points).mean(axis=0, dtype=np.float64), atol=1e-9)
    assert whole.sample_keys == tuple(keys[row] for row in smallest(key_hashes(keys), keys, 50))


def test_an_empty_part_changes_nothing() -> None:
    empty = part(np.arange(0))
    assert (empty.num, len(empty.sample)) == (0, 0)
    assert_same(merge(SPACE, empty, WHOLE), WHOLE, 1e-15)
    assert_same(merge(SPACE, WHOLE, empty), WHOLE, 1e-15)


def test_the_sample_is_uniform() -> None:
    counts = np.zeros(40)
    space = space_of(1, sample_limit=10)
    for round_ in range(300):
        keys = [f"{round_}/{row}" for row in range(40)]
        chosen = summary_of(space, np.arange(40.0)[:, None], keys=keys).sample[:, 0].astype(int)
        counts[chosen] += 1
    # Each is in a quarter of 300 samples; 5 standard deviations of that binomial.
    assert abs(counts - 75).max() < 5 * np.sqrt(300 * 0.25 * 0.75)


def test_versions_differ_with_everything_that_was_fitted_and_refuse_each_other() -> None:
    others = [
        dataclasses.replace(SPACE, facts={"pose": {"code_sha256": "2"}}),
        dataclasses.replace(SPACE, centre=SPACE.centre + 1e-9),
        dataclasses.replace(SPACE, frequencies=SPACE.frequencies * 1.0000001),
        dataclasses.replace(SPACE, median=SPACE.median * 2),
        dataclasses.replace(SPACE, sample_limit=61),
        dataclasses.replace(SPACE, num_cells=7),
    ]
    assert len({SPACE.version, *(one.version for one in others)}) == len(others) + 1
    for other in others:
        raw = np.zeros((1, 3))
        with pytest.raises(UsageError, match="expected summaries of one space"):
            merge(SPACE, WHOLE, summary_of(other, raw))
    with pytest.raises(UsageError, match="use their own space"):
        merge(others[0], WHOLE, WHOLE)


def test_rows_that_do_not_fit_the_space_are_refused() -> None:
    with pytest.raises(UsageError, match="rows of 3 numbers"):
        summary_of(SPACE, np.zeros((2, 4)))
    with pytest.raises(UsageError, match="cells below 6, found 6 of a-000001"):
        summary_of(SPACE, np.zeros((2, 3)), [0, 6])


def test_standardised_and_principal_points() -> None:
    raw = np.random.default_rng(0).normal(5, [3, 0.01], (500, 2))
    raw = np.column_stack([raw, np.full(500, 2.0)])
    scaled = fit(dataclasses.replace(kind_of(), scaling="standard"), raw, {}).points(raw)
    np.testing.assert_allclose(scaled[:, :2].std(axis=0), 1, atol=1e-6)
    assert np.all(scaled[:, 2] == 0)  # what never varies stays finite
    space = fit(dataclasses.replace(kind_of(), scaling="components"), raw, {})
    assert space.matrix.shape == (2, 3)  # and has no component of its own
    found, wanted = space.points(raw), raw - raw.mean(axis=0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(wanted, axis=1), atol=1e-6)


def test_median_distance() -> None:
    assert median_distance(np.array([[0.0], [1.0], [3.0]])) == pytest.approx(2)
    assert median_distance(np.ones((5, 2))) == 1
    with pytest.raises(UsageError, match="at least 2 samples"):
        fit(kind_of(), np.zeros((1, 2)), {})


def test_orientation_vectors_follow_the_rotation_without_a_jump() -> None:
    """From angles to the rows of the rotation matrix that they were made from."""
    turns = aa_to_rotmat(np.random.default_rng(2).normal(0, 2, (500, 3)))
    azimuth, elevation = orientation.directions_deg(-turns[:, 2].T)
    roll = np.degrees(np.arctan2(turns[:, 0, 1], -turns[:, 1, 1]))
    wanted = np.column_stack([-turns[:, 2], turns[:, 0, 1], -turns[:, 1, 1]])
    np.testing.assert_allclose(orientation_vectors(azimuth, elevation, roll), wanted, atol=1e-6)
    one, other = orientation_vectors([179.99, -179.99], [5.0, 5.0], [-179.99, 179.99])
    assert np.linalg.norm(one - other) < 1e-3
    above = orientation_vectors([0.0], [90.0], [np.nan])
    np.testing.assert_allclose(above, [[0, 1, 0, 0, 0]], atol=1e-12)
    assert np.isnan(orientation_vectors([np.nan], [np.nan], [np.nan])[0, :3]).all()


def test_bands() -> None:
    edges = np.array([0.0, 0.25, 0.5])
    found = bands([0, 1e-9, 0.25, 0.26, 0.5, 1, np.nan], edges, is_upper_included=True)
    np.testing.assert_array_equal(found, [0, 1, 1, 2, 2, 3, np.nan])
    np.testing.assert_array_equal(bands([-1, 0, 0.25, 9], edges), [0, 1, 2, 3])


FEATURES = "features_tiny_0123abcd"


def angles(identity: Any) -> dict[str, Any]:
    num = identity.num_rows
    rng = np.random.default_rng([num, len(identity.column("split")[0].as_py())])
    azimuth, elevation = rng.uniform(-180, 180, num), np.degrees(np.arcsin(rng.uniform(-1, 1, num)))
    azimuth[0] = elevation[0] = np.nan
    cell = orientation.cells(np.nan_to_num(azimuth), np.sin(np.radians(np.nan_to_num(elevation)))).astype(float)
    cell[0] = np.nan
    columns = {
        "azimuth_deg": azimuth,
        "elevation_deg": elevation,
        "roll_deg": rng.uniform(-180, 180, num),
        "cell": cell,
    }
    return {name: np.ma.masked_invalid(values).astype(np.float32).tolist() for name, values in columns.items()}


def pictures(identity: Any) -> dict[str, Any]:
    values = np.random.default_rng(identity.num_rows).normal(size=(identity.num_rows, 8)).astype(np.float32)
    values[1] = np.nan
    return {"vector": vectors(values)}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    for dataset, split, num, shards in (("agora", "train", 7, 2), ("agora", "validation", 6, 1), ("ehf", "test", 9, 1)):
        for shard in range(shards):
            write_shard(store, [person(dataset, split, 100 * shard + row) for row in range(num)], number=shard)
    write_family(store, "orientation", angles, facts={"made": "up"})
    write_family(store, FEATURES, pictures, shards=lambda shard: not shard.startswith("ehf"))
    return store


def test_a_catalog_is_summarised_by_source_with_what_is_unknown_counted(small: Path) -> None:
    with catalog.open(small) as con:
        found = summarise_catalog(con)
        rows = catalog.query(
            con, "SELECT azimuth_deg, elevation_deg, roll_deg FROM orientation WHERE dataset = 'ehf'"
        ).rows
    assert list(found.spaces) == [FEATURES, "orientation"]
    assert found.sources == ("agora/train", "agora/validation", "ehf/test")
    assert [(one.num, one.num_missing) for one in found["orientation"].values()] == [(12, 2), (5, 1), (8, 1)]
    # A family that a shard lacks is no row of its view.
    assert {name: (one.num, one.num_missing) for name, one in found[FEATURES].items()} == {
        "agora/train": (12, 2),
        "agora/validation": (5, 1),
    }
    known = np.array([row for row in rows if row[0] is not None], float)
    np.testing.assert_allclose(
        found["orientation"]["ehf/test"].mean, orientation_vectors(*known.T).mean(axis=0), atol=GRID
    )
    assert found["orientation"]["ehf/test"].cells.sum() == 8
    with pytest.raises(UsageError, match="no space 'pose'"):
        found["pose"]


def test_the_same_catalog_gives_the_same_bytes_and_they_read_back(small: Path, tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        with catalog.open(small) as con:
            save(summarise_catalog(con), tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    loaded = load(tmp_path / "one.npz")
    with catalog.open(small) as con:
        again = summarise_catalog(con, list(loaded.spaces.values()))
    assert {name: space.version for name, space in again.spaces.items()} == {
        name: space.version for name, space in loaded.spaces.items()
    }
    for name in loaded.spaces:
        for source, summary in loaded[name].items():
            assert_same(again[name][source], summary, 1e-13)


def test_a_condition_limits_what_is_summarised_but_not_the_space(small: Path) -> None:
    with catalog.open(small) as con:
        every = summarise_catalog(con)
        some = summarise_catalog(con, where="split = 'train' AND key LIKE '%0000_-0'")
        with pytest.raises(UsageError, match="nope"):
            summarise_catalog(con, where="nope > 3")
        with pytest.raises(UsageError, match="no sample fulfils"):
            summarise_catalog(con, where="split = 'moon'")
    assert some.sources == ("agora/train",)
    assert some["orientation"]["agora/train"].num == 6
    assert some[FEATURES]["agora/train"].num == 6
    assert {one.version for one in every.spaces.values()} == {one.version for one in some.spaces.values()}


def test_spaces_that_are_not_there_are_refused_with_the_command(small: Path) -> None:
    with catalog.open(small) as con:
        assert [kind.name for kind in kinds_in(con)] == [FEATURES, "orientation"]
        with pytest.raises(UsageError, match=r"ehps describe .* --attributes pose_space"):
            kinds_in(con, ["pose"])
        with pytest.raises(UsageError, match="no space 'poses'; there are camera, "):
            kinds_in(con, ["poses"])
        with pytest.raises(UsageError, match="--backbone other"):
            kinds_in(con, ["features_other"])


def test_attributes_made_by_others_are_refused_in_a_fitted_space(small: Path, tmp_path: Path) -> None:
    write_shard(tmp_path, [person("agora", "train", row) for row in range(8)])
    write_family(tmp_path, "orientation", angles, facts={"made": "otherwise"})
    with catalog.open(small) as con:
        fitted = summarise_catalog(con, ["orientation"]).spaces["orientation"]
    with catalog.open(tmp_path) as con, pytest.raises(UsageError, match=r"fitted to other attributes.*orientation"):
        summarise_catalog(con, [fitted])


def test_altered_files_are_refused(small: Path, tmp_path: Path) -> None:
    with catalog.open(small) as con:
        save(summarise_catalog(con, ["orientation"]), tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as stored:
        arrays = dict(stored)
    changes: list[dict[str, Any]] = [
        {"0/mean": arrays["0/mean"] * np.nan},
        {"0/matrix": arrays["0/matrix"] * 2, "0/centre": arrays["0/centre"][:2]},
        {"0/sample_sizes": arrays["0/sample_sizes"] + 1},
        {"about": np.frombuffer(b"{}", np.uint8)},
    ]
    for change in changes:
        np.savez(tmp_path / "altered.npz", **{**arrays, **change})
        with pytest.raises(DataError, match="not a file of summaries"):
            load(tmp_path / "altered.npz")
    (tmp_path / "altered.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:200])
    with pytest.raises(DataError, match=r"altered\.npz"):
        load(tmp_path / "altered.npz")
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "none.npz")


def test_every_kind_reads_columns_that_its_families_have() -> None:
    from catalogs.attributes import FAMILIES
    from catalogs.columns import beside

    for kind in KINDS.values():
        known = {beside(family, one.name) for family in kind.families for one in FAMILIES[family].attributes}
        assert set(kind.columns) <= known


def test_every_kind_gives_finite_points_in_its_cells() -> None:
    rng = np.random.default_rng(4)
    for kind in (*KINDS.values(), feature_kind(FEATURES)):
        values: dict[str, Any] = {name: rng.uniform(0.1, 1, 20) for name in kind.columns}
        for name in ("pose_space_components", "vector"):
            if name in values:
                values[name] = rng.normal(size=(20, 16))
        values |= {name: np.arange(20.0) for name in ("orientation_cell", "pose_space_cluster") if name in values}
        values[kind.columns[0]][3] = np.nan
        raw = kind.vectors(values)
        assert np.isfinite(raw[np.arange(20) != 3]).all()
        if kind.columns[0] != "orientation_cell":
            assert np.isnan(raw[3]).any()
        if kind.cells is not None:
            cells = kind.cells(values)
            assert np.nanmin(cells) >= 0
            assert np.nanmax(cells) < kind.num_cells


def test_embedding_estimates_the_kernel() -> None:
    space: Space = space_of(3)
    points = np.random.default_rng(5).normal(size=(40, 3))
    features = space.embedded(points).astype(float)
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    wanted = np.mean([np.exp(-squared / (2 * (width * space.median) ** 2)) for width in (0.5, 1, 2)], axis=0)
    np.testing.assert_allclose(features @ features.T, wanted, atol=4 / np.sqrt(2 * 384))
    np.testing.assert_allclose((features**2).sum(axis=1), 1, atol=1e-5)
