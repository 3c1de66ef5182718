"""`ehps propose`: options, constraints from the command line, what proposers of samples see, comparisons."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from small_store import person, write_shard

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Pool, Selection, Source
from harmonize.errors import DataError, EhpsError, UsageError
from pipelines import cli, proposing, sample_values
from pipelines.commands.propose import Method
from pipelines.describe import Request, describe_store
from pipelines.mixture import training_pool


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic and real datasets with the orientation of every person; ehf is as turned as bedlam."""
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    for dataset, split, num, spread in (
        ("agora", "train", 12, 0.2),
        ("bedlam", "train", 20, 2.0),
        ("mscoco", "train", 16, 0.5),
        ("pw3d", "train", 8, 0.1),
        ("pw3d", "test", 8, 0.1),
        ("ssp3d", "all", 6, 0.1),
        ("ehf", "test", 30, 2.0),
    ):
        turns = [(np.pi, 0.0, turn) for turn in rng.uniform(-spread, spread, num)]
        write_shard(folder, [person(dataset, split, i, global_orient_aa=turns[i]) for i in range(num)])
    done = describe_store(Request(store=folder, names=("orientation",), with_tables=False))
    assert not done.failures
    return folder


Ran = tuple[int, str, str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, store: Path, tmp_path: Path) -> Callable[..., Ran]:
    def propose(line: str, *more: object, on_store: bool = True) -> Ran:
        words = ["propose", *([store] if on_store else []), *line.split(), *more]
        monkeypatch.setattr(sys, "argv", ["ehps", *map(str, words)])
        monkeypatch.chdir(tmp_path)
        output, errors = io.StringIO(), io.StringIO()
        code = 0
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                cli.main()
            except SystemExit as left:
                code = int(left.code or 0)
        return code, output.getvalue(), errors.getvalue()

    return propose


def weights_of(path: Path) -> dict[str, float]:
    return {member.dataset: member.weight for member in Selection.load(path).members}


def test_every_proposer_can_be_asked_for() -> None:
    assert set(get_args(Method)) == set(proposing.NEEDS) == set(PROPOSERS)
    assert set(proposing.MAY_HAVE) <= set(proposing.NEEDS)


def test_training_splits_are_taken_by_their_role_once(store: Path) -> None:
    assert [source.name for source in training_pool(store).sources] == [
        *("agora/train", "bedlam/train", "mscoco/train", "pw3d/train", "ssp3d/all")
    ]


def test_constraints_of_the_command_line_hold(run: Callable[..., Ran], tmp_path: Path) -> None:
    line = (
        "--method uniform --budget 200 --max-share bedlam=0.1 --min-share mscoco=0.4 --exclude ssp3d -o out.json --json"
    )
    code, output, errors = run(line)
    assert (code, errors) == (0, "")
    weights = weights_of(tmp_path / "out.json")
    assert weights == pytest.approx({"agora": 0.25, "bedlam": 0.1, "mscoco": 0.4, "pw3d": 0.25})
    assert [row["draws"] for row in json.loads(output)] == [50, 20, 80, 50]
    run("--method natural --budget 100 --synthetic 0.2..0.3 -o out.json")
    weights = weights_of(tmp_path / "out.json")
    assert weights["agora"] + weights["bedlam"] == pytest.approx(0.3)
    run("--method natural --budget 100 --licence several -o out.json")
    assert list(weights_of(tmp_path / "out.json")) == ["mscoco"]


def test_a_condition_in_sql_becomes_sample_keys(run: Callable[..., Ran], tmp_path: Path) -> None:
    condition = "frame < '00003' OR dataset = 'ssp3d'"
    code, _, _ = run("--method natural --budget 30 -o out.json --where", condition)
    assert code == 0
    selection = Selection.load(tmp_path / "out.json")
    assert selection.sample_keys is not None
    assert len(selection.sample_keys) == 4 * 3 + 6
    assert {member.dataset: member.num_available for member in selection.members}["ssp3d"] == 6
    code, _, errors = run("--method", "natural", "--budget", 30, "--where", "false", "-o", "no.json")
    assert code == 1
    assert "no source is left" in errors
    assert not (tmp_path / "no.json").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--method uniform --budget 9", ["missing: -o"]),
        ("--method top_k --k 3 --budget 9 -o x", ["--ranking: the method top_k needs one"]),
        ("--method uniform --k 3 --budget 9 -o x", ["--k: the method uniform has no k"]),
        ("--method motion_frames --epsilon 1 --budget 9 -o x", ["--epsilon: the method motion_frames has no epsilon"]),
        ("--method uniform --max-share bedlam --budget 9 -o x", ["--max-share: expected NAME=NUMBER"]),
        ("--method uniform --max-share bedlam=2 --budget 9 -o x", ["max_share: bedlam: expected a share"]),
        ("--method uniform --synthetic some --budget 9 -o x", ["--synthetic: expected LOW..HIGH"]),
        ("--method uniform --exclude bedlm --budget 9 -o x", ["did you mean bedlam?"]),
        (
            "--method repeat_capped --repeat-cap 1 --budget 63 -o x",
            ["all sources together allow 98.4", "at most 62 draws"],
        ),
        ("--method mean_matching --for agora --budget 9 -o x", ["no samples of agora/validation", "ehps ingest agora"]),
        ("--method mean_matching --for coco --budget 9 -o x", ["no benchmark 'coco'"]),
        ("--method mean_matching --space pose --budget 9 -o x", ["pose_space has not been computed"]),
        ("--method regmix --runs none.json --budget 9 -o x", ["none.json: cannot be read"]),
        ("--method mixmin --predictions none --budget 9 -o x", ["expected BENCHMARK.npz"]),
        ("--method uniform --budget 9 -o x --plot y.png", ["--plot: only with --compare"]),
    ],
)
def test_what_cannot_be_proposed_is_refused(
    line: str, words: list[str], run: Callable[..., Ran], tmp_path: Path
) -> None:
    code, _, errors = run(line)
    assert (code, [word for word in words if word not in errors]) == (1, [])
    assert list(tmp_path.iterdir()) == []


def test_matching_prefers_what_looks_like_the_benchmark(run: Callable[..., Ran], tmp_path: Path) -> None:
    code, output, errors = run("--method mean_matching --for ehf --strength 0 --budget 100 -o out.json")
    assert code == 0, errors
    assert weights_of(tmp_path / "out.json")["bedlam"] > 0.6
    assert "gap/orientation" in output
    code, _, _ = run("--method facility_datasets --for ehf --k 1 --budget 100 -o out.json")
    assert code == 0
    assert weights_of(tmp_path / "out.json")["bedlam"] == 1


def test_samples_are_chosen_by_what_is_in_the_catalog(run: Callable[..., Ran], tmp_path: Path, store: Path) -> None:
    code, _, errors = run("--method dsir --for ehf --num 20 --budget 40 -o out.json")
    assert code == 0, errors
    selection = Selection.load(tmp_path / "out.json")
    assert len(selection.sample_keys or ()) == 20
    assert {member.num_repeats for member in selection.members} == {2.0}
    for line in (
        "--method facility_samples --for ehf --num 9 --budget 18",
        "--method semantic_dedup --space orientation --epsilon 0.00001 --budget 90",
        "--method motion_frames --min-move 0.05 --budget 90",
    ):
        code, _, errors = run(line, "-o", "out.json")
        assert code == 0, errors
        assert Selection.load(tmp_path / "out.json").sample_keys


def test_joints_come_in_the_order_of_time(store: Path) -> None:
    found = sample_values.joints(store, ["agora/train"])["agora/train"]
    assert found.keys == tuple(f"agora-train-{i:05d}-0" for i in range(12))
    assert found.values.shape == (12, 66)
    assert np.abs(found.values[:, :3]).max() == 0  # the pelvis is the origin
    assert set(found.sequences) == {"s:0"}
    frames = ["f100", "f20", "f3"]
    rows = [("k", "s", frame, "0") for frame in frames]
    assert [row[2] for row in sorted(rows, key=sample_values._moment)] == ["f3", "f20", "f100"]


def test_bins_are_cells_with_one_for_unknown(store: Path) -> None:
    found = sample_values.bins(store, ["ehf/test", "pw3d/train"])
    assert {one.values.dtype for one in found.values()} == {np.dtype(np.int64)}
    assert found["ehf/test"].values.shape == (30, 1)
    assert len(np.unique(found["ehf/test"].values)) > len(np.unique(found["pw3d/train"].values))


def test_two_selections_are_shown_side_by_side(run: Callable[..., Ran], tmp_path: Path) -> None:
    run("--method uniform --budget 100 -o a.json")
    run("--method natural --budget 100 --exclude ssp3d -o b.json")
    code, output, errors = run("--compare", "a.json", "b.json", "--plot", "both.png", "--json", on_store=False)
    assert (code, errors) == (0, "")
    document = json.loads(output)
    rows = {row["source"]: row for row in document["members"]}
    assert rows["ssp3d/all"]["weight"] == pytest.approx(0.2)
    assert rows["ssp3d/all"]["weight_2"] == 0
    expected = sum(abs(row["change"]) for row in document["members"]) / 2
    assert document["apart"] == pytest.approx(expected)
    assert sum(row["draws_2"] for row in document["members"]) == 100
    changes = [abs(row["change"]) for row in document["members"]]
    assert changes == sorted(changes, reverse=True)
    picture = np.asarray(Image.open(tmp_path / "both.png").convert("RGB"), int)
    for colour in ((230, 159, 0), (0, 114, 178)):
        assert (np.abs(picture - colour).sum(axis=2) < 12).mean() > 0.01
    code, output, _ = run("--compare", "a.json", "b.json", on_store=False)
    assert "of the draws would have to change" in output
    code, _, errors = run("--compare", "a.json", "none.json", on_store=False)
    assert (code, "none.json" in errors) == (1, True)


def problem() -> Problem:
    names = [("agora", "train"), ("bedlam", "train"), ("arctic", "p1_train"), ("arctic", "p2_train")]
    sources = tuple(Source(dataset=dataset, split=split, num_available=5) for dataset, split in names)
    return Problem(pool=Pool(sources=sources, shards=()), budget=Budget(draws_per_epoch=5))


def test_runs_are_read_by_dataset_or_source(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    path.write_text(json.dumps([{"weights": {"agora": 0.25, "arctic/p1_train": 0.75}, "errors": {"ehf": 90}}]))
    (run,) = proposing.runs_of(path, problem())
    assert run.weights == {"agora/train": 0.25, "arctic/p1_train": 0.75}
    assert run.errors == {"ehf": 90.0}


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("{", DataError, "in JSON"),
        ("{}", DataError, "a list of runs"),
        ('[{"weights": {"agora": 1}, "errors": {"ehf": 1}}, {"weights": {"agora": 1}}]', DataError, "run 2"),
        ('[{"weights": {"agora": "all"}, "errors": {"ehf": 1}}]', DataError, "run 1"),
        ('[{"weights": {"arctic": 1}, "errors": {"ehf": 1}}]', UsageError, "several training splits"),
    ],
)
def test_wrong_runs_are_refused_by_their_number(
    content: str, error: type[EhpsError], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "runs.json"
    path.write_text(content)
    with pytest.raises(error, match=words):
        proposing.runs_of(path, problem())


def test_predictions_are_read_by_benchmark_and_source(tmp_path: Path) -> None:
    np.savez(tmp_path / "ehf.npz", truth=np.zeros((2, 3)), agora=np.ones((2, 3)), bedlam=np.ones((2, 3)))
    found = proposing.predictions_of(tmp_path, problem())
    assert set(found["predictions"]["ehf"]) == {"agora/train", "bedlam/train"}
    assert found["truth"]["ehf"].shape == (2, 3)
    np.savez(tmp_path / "agora.npz", bedlam=np.ones((2, 3)))
    with pytest.raises(DataError, match="expected an array `truth`"):
        proposing.predictions_of(tmp_path, problem())


def test_rankings_are_names_published_or_a_file(tmp_path: Path) -> None:
    assert proposing.ranking_of(["bedlam", "agora"]) == ("bedlam", "agora")
    assert len(proposing.ranking_of(["s"])) == 32
    (tmp_path / "r.csv").write_text("dataset,rank_x,other\nagora,2,1\nbedlam,1,2\n")
    assert proposing.ranking_of([f"{tmp_path}/r.csv"]) == ("bedlam", "agora")
    assert proposing.ranking_of([f"{tmp_path}/r.csv:other"]) == ("agora", "bedlam")
    with pytest.raises(UsageError, match="no such file"):
        proposing.ranking_of(["none.csv"])
