"""`ehps evaluate` of a run: the same numbers as of its file of predictions, and which network they belong to."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from evaluating import annotated_as, labelled, write_store
from small_store import write_shard
from small_training import select, small_config, small_store

from harmonize.errors import DataError, UsageError
from pipelines.commands.evaluate import evaluate
from pipelines.evaluate_checkpoint import evaluate_networks
from pipelines.validation import validator
from train.building import load_networks
from train.checkpoints import EMA, MODEL, checkpoints_of
from train.loop import train

NUM_EHF, NUM_PW3D = 6, 4


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_store(tmp_path_factory.mktemp("tested"))
    people = [labelled("ehf", "test", number) for number in range(NUM_EHF)]
    people += [annotated_as(labelled("pw3d", "test", number), "smpl", "female") for number in range(NUM_PW3D)]
    return write_store(folder, people)


@pytest.fixture(scope="module")
def run(tested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose first checkpoint was validated as the best one."""
    out = tmp_path_factory.mktemp("runs") / "small"
    scores = {3: 50.0, 6: 60.0}
    config = small_config(steps=6, validate_every=3, benchmarks=("ehf",), ema=0.9)
    train(tested, select(tested), out, config, on_validate=lambda regressor, step: {"primary_mm": scores[step]})
    return out


def test_a_run_is_measured_as_its_file_of_predictions_is(
    tested: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, file = ["ehf", "pw3d", "pw3d_smplx"], tmp_path / "p.parquet"
    evaluate(tested, run, benchmark=names, out=tmp_path / "run", save_predictions=file)
    shown = capsys.readouterr()
    assert "no number here is a result" in shown.err
    evaluate(tested, file, benchmark=names, out=tmp_path / "file")
    assert capsys.readouterr().out == shown.out
    for name in names:
        found, expected = (pq.read_table(tmp_path / of / f"{name}.parquet") for of in ("run", "file"))
        assert found.equals(expected)
    assert pq.read_table(file).num_rows == NUM_EHF + NUM_PW3D  # pw3d and pw3d_smplx share their people
    summary, of_file = (json.loads((tmp_path / of / "summary.json").read_text()) for of in ("run", "file"))
    model = summary.pop("model")
    assert summary == of_file
    assert summary["benchmarks"]["ehf"]["figures"][0]["mean_mm"] > 10
    best = checkpoints_of(run)[0]
    assert model == {
        "run": "small",
        "step": 3,
        "weights_sha256": hashlib.sha256((best.path / f"{EMA}.safetensors").read_bytes()).hexdigest(),
        "selection": select(tested).content_hash,
        "is_standin": True,
    }


def test_one_checkpoint_is_itself(tested: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    errors = []
    for place in (run, *(one.path for one in checkpoints_of(run))):
        evaluate(tested, place, benchmark=["ehf"], bootstrap=0, as_json=True)
        found = json.loads(capsys.readouterr().out)
        errors.append((found["model"]["step"], found["benchmarks"]["ehf"]["figures"][0]["mean_mm"]))
    assert [step for step, _ in errors] == [3, 3, 6]
    assert errors[0] == errors[1] != errors[2]


def test_validation_measures_the_same(tested: Path, run: Path) -> None:
    networks = load_networks(run)
    found = evaluate_networks(tested, networks, ["pw3d", "ehf"], num_draws=0)
    means = {name: one.summary.figure(one.summary.primary).mean_mm for name, one in found.items()}
    config = small_config(validate_every=3, benchmarks=("pw3d", "ehf"))
    validated = validator(tested, config, None, "cpu")(networks.regressor, 3)
    assert validated == {
        "primary_mm": pytest.approx((means["pw3d"] + means["ehf"]) / 2),
        "pw3d/mpjpe_body_mm": means["pw3d"],
        "ehf/pve_all_mm": means["ehf"],
    }


def test_stand_in_and_licensed_bodies_are_not_mixed(run: Path, tmp_path: Path) -> None:
    write_shard(tmp_path, [labelled("ehf", "test", number) for number in range(3)], is_standin=False)
    with pytest.raises(UsageError, match=r"was trained with the stand-in, and .* was made with licensed bodies"):
        evaluate(tmp_path, run, benchmark=["ehf"], body_models="standin")


def test_what_cannot_be_evaluated(tested: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found no checkpoints/step-\*"):
        evaluate(tested, tmp_path, benchmark=["ehf"])
    with pytest.raises(UsageError, match="there is no benchmark 'coco'"):
        evaluate(tested, run, benchmark=["coco"])
    with pytest.raises(UsageError, match="--bootstrap: expected 0 or more"):
        evaluate(tested, run, benchmark=["ehf"], bootstrap=-1)
    with pytest.raises(UsageError, match="cuda:77: expected a device of this machine"):
        evaluate(tested, run, benchmark=["ehf"], device="cuda:77")
    with pytest.raises(UsageError, match=r"--detections: the run .* is not for whole pictures"):
        evaluate(tested, run, benchmark=["agora"], detections=tmp_path / "found.parquet")
    with pytest.raises(UsageError, match=r"--save-predictions: .* holds predictions already"):
        evaluate(tested, tmp_path / "p.npz", benchmark=["ehf"], save_predictions=tmp_path / "q.parquet")


def test_damaged_weights_are_refused(tested: Path, run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoints_of(run)[0].path, tmp_path / "checkpoint")
    file = copy / f"{MODEL}.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(DataError, match="expected sha256"):
        evaluate(tested, copy, benchmark=["ehf"])
