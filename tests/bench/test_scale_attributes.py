"""Attributes of a synthetic store are current for the catalog, and agree with numpy over npz files of its people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scale_humandata as humandata
from bench_catalog import QUESTIONS, check_same
from scale_attributes import describe
from scale_measure import answer_with_numpy
from scale_store import write_store
from scale_tables import write_tables

from catalogs import file as catalog_file
from catalogs import store as catalog
from catalogs.attributes import FAMILIES

NUM_ROWS = 640
CHOSEN = ("image_statistics", "orientation", "pose", "shape")


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "store"
    write_store(path, NUM_ROWS, seed=3)
    describe(path, [FAMILIES[name] for name in CHOSEN])
    write_tables(path)
    catalog_file.refresh(path)
    return path


def test_every_family_is_current(described: Path) -> None:
    with catalog.open(described) as con:
        sql = "SELECT family, sum(num_current) = sum(num_shards) FROM attributes WHERE family IN $chosen GROUP BY ALL"
        found = dict(catalog.query(con, sql, {"chosen": list(CHOSEN)}).rows)
        brightness = catalog.query(con, "SELECT count(brightness), stddev_pop(brightness) FROM image_statistics").rows
    assert found == dict.fromkeys(CHOSEN, True)
    assert brightness[0][0] == NUM_ROWS
    assert brightness[0][1] > 0


def test_tables_over_the_store_name_its_samples(described: Path) -> None:
    with catalog.open(described) as con:
        strangers = "SELECT count(*) FROM (SELECT key_a AS key FROM duplicates UNION FROM (SELECT key FROM maps)) "
        strangers += "ANTI JOIN instances USING (key)"
        assert catalog.query(con, strangers).rows == ((0,),)
        assert catalog.query(con, "SELECT count(*) > 0 FROM duplicates").rows == ((True,),)
        assert catalog.query(con, "SELECT count(DISTINCT map) FROM maps").rows == ((3,),)


@pytest.mark.parametrize("has_points", [True, False])
def test_numpy_and_the_catalog_give_the_same_answers(described: Path, tmp_path: Path, has_points: bool) -> None:
    parts = humandata.parts(described, tmp_path, has_points=has_points)
    with catalog.open(described) as con:
        (with_body,) = catalog.query(con, "SELECT count(*) FROM instances WHERE body_has_body").rows
        answers = {name: [list(row) for row in catalog.query(con, sql).rows] for name, sql in QUESTIONS.items()}
    assert sum(humandata.write_part(part) for part in parts) == with_body[0]
    for name, answer in answers.items():
        for task in ("numpy", "loader"):
            check_same(name, answer_with_numpy(tmp_path, task, name), answer)


def test_an_answer_that_differs_is_seen(described: Path, tmp_path: Path) -> None:
    one = [["a", 0, 500], ["a", 1, 500]]
    check_same("orientation", one, [["a", 1, 500], ["a", 0, 500]])
    with pytest.raises(RuntimeError, match="disagree"):
        check_same("orientation", one, [["a", 0, 510], ["a", 1, 490]])
    with pytest.raises(RuntimeError, match="disagree"):
        check_same("betas", [["a", 10, 2.0, 0.5]], [["a", 10, 2.1, 0.5]])


def test_keypoints_have_the_layout_of_humandata(described: Path, tmp_path: Path) -> None:
    part = next(one for one in humandata.parts(described, tmp_path) if one.path.name.startswith("bedlam"))
    num = humandata.write_part(part)
    with np.load(part.path, allow_pickle=True) as file:
        for key, size in (("keypoints2d_smplx", 3), ("keypoints3d_smplx", 4)):
            assert file[f"{key}_mask"].shape == (190,)
            assert file[key].shape == (num, file[f"{key}_mask"].sum(), size)
        assert file["smplx"].item()["body_pose"].shape == (num, 21, 3)
        assert len(file["image_path"]) == len(file["bbox_xywh"]) == num
        assert bool(file["__keypoints_compressed__"])
