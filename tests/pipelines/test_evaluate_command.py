"""`ehps evaluate`: tables, files and refusals on a small store whose truth is known."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluating import annotated_as, labelled, meshes, parameters, save_npz, save_parquet, stored, write_store

from catalogs import store as catalog
from harmonize.errors import DataError, UsageError
from pipelines.commands.evaluate import evaluate

NUM_EHF, NUM_PW3D = 6, 2


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    people = [labelled("ehf", "test", number) for number in range(NUM_EHF)]
    people += [annotated_as(labelled("pw3d", "test", number), "smpl", "female") for number in range(NUM_PW3D)]
    return write_store(tmp_path_factory.mktemp("tested"), people)


@pytest.fixture(scope="module")
def keys(tested: Path) -> list[str]:
    with catalog.open(tested) as con:
        return [row[0] for row in catalog.query(con, "SELECT key FROM instances ORDER BY key").rows]


@pytest.fixture(scope="module")
def truthful(tested: Path, keys: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the stored bodies."""
    path = tmp_path_factory.mktemp("files") / "p.parquet"
    return save_parquet(path, keys, **parameters(stored(tested, keys)))


def test_files_and_table(tested: Path, truthful: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, table = tmp_path / "results", tmp_path / "t.csv"
    evaluate(tested, truthful, benchmark=["ehf", "pw3d", "pw3d_smplx"], out=out, csv=table)
    shown = capsys.readouterr()
    assert "0.00* [0.0, 0.0]" in shown.out
    assert "no number here is a result" in shown.err
    assert "no MPE, which is the mean over agora, egobody, ubody, pw3d, ehf: agora, egobody, ubody not" in shown.err
    assert sorted(path.name for path in out.iterdir()) == [
        *("ehf.parquet", "pw3d.parquet", "pw3d_smplx.parquet", "summary.json")
    ]
    found = json.loads((out / "summary.json").read_bytes())
    of = {one["metric"]: one for one in found["benchmarks"]["ehf"]["figures"]}
    assert of["pve_all"]["mean_mm"] == pytest.approx(0, abs=1e-3)
    assert (of["pve_all"]["num_instances"], of["pve_all"]["num_groups"]) == (NUM_EHF, NUM_EHF)
    errors = pq.read_table(out / "ehf.parquet")
    assert errors.num_rows == NUM_EHF
    assert {"key", "dataset", "split", "is_valid", "pve_all_mm", "pa_mpjpe_hands_mm"} <= set(errors.column_names)
    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    primary = {line["benchmark"]: line["metric"] for line in lines if line["is_primary"] == "True"}
    assert primary == {"ehf": "pve_all", "pw3d": "mpjpe_body", "pw3d_smplx": "pve_body"}
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    evaluate(tested, truthful, benchmark=["ehf", "pw3d", "pw3d_smplx"], out=out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_json(tested: Path, truthful: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(tested, truthful, benchmark=["pw3d", "ehf"], bootstrap=0, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert list(found["benchmarks"]) == ["pw3d", "ehf"]
    pw3d, ehf = (found["benchmarks"][name] for name in ("pw3d", "ehf"))
    assert found["mpe"]["missing"] == ["agora", "egobody", "ubody"]
    assert [one["low_mm"] for one in ehf["figures"]] == [None] * len(ehf["figures"])
    assert pw3d["figures"][0]["mean_mm"] > 1


def test_errors_join_the_attributes_of_the_samples(
    tested: Path, keys: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The way that docs/predictions.md shows, on errors that grow with the person's number."""
    people = stored(tested, keys)
    mesh = np.asarray(meshes(people, _standin()), np.float64)
    sizes = np.array([int(one.provenance.frame) for one in people]) * 0.01
    mesh *= 1 + sizes[:, None, None]
    out = tmp_path / "results"
    evaluate(tested, save_npz(tmp_path / "p.npz", keys, vertices_m=mesh), benchmark=["ehf", "pw3d_smplx"], out=out)
    capsys.readouterr()
    errors = pq.read_table(out / "ehf.parquet")
    with catalog.open(tested, read_only=False) as con:
        con.register("errors", errors)
        rows = con.sql(
            "SELECT frame::INT >= 3 AS is_late, count(*), avg(pve_all_mm) FROM errors JOIN instances USING (key) "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert [(late, num) for late, num, _ in rows] == [(False, 3), (True, 3)]
    assert rows[1][2] > 2 * rows[0][2] > 0
    counted = duckdb.execute(f"SELECT count(*) FROM '{out}/ehf.parquet' WHERE is_valid").fetchall()
    assert counted == [(NUM_EHF,)]


def _standin() -> Any:
    from harmonize.bodies import BodyModels

    return BodyModels.open("standin")


def test_what_cannot_be_evaluated(tested: Path, truthful: Path, keys: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no benchmark 'coco'"):
        evaluate(tested, truthful, benchmark=["coco"])
    with pytest.raises(UsageError, match="expected a benchmark, found none"):
        evaluate(tested, truthful, benchmark=[])
    with pytest.raises(UsageError, match="--bootstrap: expected 0 or more"):
        evaluate(tested, truthful, benchmark=["ehf"], bootstrap=-1)
    with pytest.raises(UsageError, match=r"expected samples of agora/validation .*found ehf/test, pw3d/test"):
        evaluate(tested, truthful, benchmark=["agora"])
    with pytest.raises(DataError, match=f"expected keys of the evaluated splits, found {NUM_PW3D} unknown: pw3d-test"):
        evaluate(tested, truthful, benchmark=["ehf"])
    few = [key for key in keys if key.startswith("ehf")][1:]
    some = save_parquet(tmp_path / "few.parquet", few, **parameters(stored(tested, few)))
    with pytest.raises(DataError, match=r"1 are missing: ehf-test-00000-0"):
        evaluate(tested, some, benchmark=["ehf"])


def test_real_models_do_not_measure_a_store_of_the_stand_in(tested: Path, truthful: Path, tmp_path: Path) -> None:
    from harmonize.bodies import BodyModels

    folder = tmp_path / "models"
    folder.symlink_to(BodyModels.open("standin").root)
    with pytest.raises(UsageError, match="the store was made with the stand-in, found real models"):
        evaluate(tested, truthful, benchmark=["ehf", "pw3d"], body_models=str(folder))
