"""Evaluations of planted predictions: errors as closed forms say, on the instances and truth of the protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from evaluating import annotated_as, labelled, meshes, parameters, save_npz, stored, write_store

from benchmark.bootstrap import mean_interval
from benchmark.evaluation import STANDIN_NOTE, Evaluation, evaluate
from benchmark.metrics.parts import PW3D_JOINTS, mesh_parts
from benchmark.predictions import PredictionBatch, open_predictions
from benchmark.protocols import PROTOCOLS
from harmonize.bodies import BodyModels
from harmonize.errors import DataError, UsageError
from harmonize.geometry.rotations import aa_to_rotmat

EGOBODY = PROTOCOLS["egobody"]
TURN = aa_to_rotmat(np.array([[0.1, -0.25, 0.2]]))[0]
MICRON = 1e-3  # mm: the precision of float32 metres a few metres away


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EgoSet: six labelled people in six sequences, one without hands, one without betas. 3DPW: two SMPL, one not."""
    egoset = ("egobody_egoset", "test")
    people = [labelled(*egoset, number, sequence=f"r{number}") for number in range(4)]
    people.append(labelled(*egoset, 4, sequence="r4", has_left_hand=False, has_right_hand=False, has_jaw=False))
    people.append(labelled(*egoset, 5, sequence="r5", has_betas=False))
    film = [labelled("pw3d", "test", number) for number in range(3)]
    film = [annotated_as(film[0], "smpl", "female"), annotated_as(film[1], "smpl", "male"), film[2]]
    return write_store(tmp_path_factory.mktemp("planted"), [*people, *film])


def keys_of(dataset: str, numbers: range) -> list[str]:
    return [f"{dataset}-test-{number:05d}-0" for number in numbers]


@pytest.fixture(scope="module")
def truth(store: Path, standin: BodyModels) -> npt.NDArray[Any]:
    """Meshes of the five people of EgoSet who have one."""
    return np.asarray(meshes(stored(store, keys_of("egobody_egoset", range(5))), standin), np.float64)


def run(store: Path, models: BodyModels, mesh: npt.NDArray[Any], **options: Any) -> Evaluation:
    batch = PredictionBatch(keys=tuple(keys_of("egobody_egoset", range(len(mesh)))), vertices_m=mesh)
    return evaluate(store, EGOBODY, [batch], models, **options)


def errors(found: Evaluation, metric: str) -> npt.NDArray[np.float64]:
    return np.array(found.errors.column(f"{metric}_mm").to_pylist(), np.float64)


def test_the_truth_has_no_error(store: Path, standin: BodyModels, truth: npt.NDArray[Any]) -> None:
    found = run(store, standin, truth)
    for metric in EGOBODY.metrics:
        assert np.nanmax(errors(found, metric)) < MICRON, metric
    labels = {part: np.isfinite(errors(found, f"pve_{part}")).tolist() for part in ("all", "hands", "face")}
    assert labels == {"all": [True] * 5 + [False], "hands": [True] * 4 + [False] * 2, "face": [True] * 4 + [False] * 2}
    assert found.errors.column("problem").to_pylist() == [""] * 5 + ["body_has_betas not set"]
    assert found.summary.num_evaluated == 5
    assert found.summary.figure("pve_face").num_instances == 4


def test_a_file_of_parameters_says_the_same(store: Path, standin: BodyModels, tmp_path: Path) -> None:
    people = stored(store, keys_of("egobody_egoset", range(5)))
    path = save_npz(tmp_path / "p.npz", [one.key for one in people], **parameters(people))
    found = evaluate(store, EGOBODY, open_predictions(path).batches(), standin)
    assert all(one.mean_mm is not None and one.mean_mm < MICRON for one in found.summary.figures)


def test_a_planted_turn(store: Path, standin: BodyModels, truth: npt.NDArray[Any]) -> None:
    """A turn R about any point leaves |(R - 1)(v - root)| once roots are aligned, and nothing to Procrustes."""
    found = run(store, standin, truth @ TURN.T + [0.3, -1.0, 2.0])
    parts, model = mesh_parts(standin), standin.get("smplx", "neutral")
    joints = np.einsum("jv,nvc->njc", model.regressor.numpy().astype(np.float64), truth)
    for part, root in {"all": 0, "body": 0, "left_hand": 20, "right_hand": 21, "face": 12}.items():
        offsets = truth[:, parts.vertices[part]] - joints[:, root, None]
        expected = 1000 * np.linalg.norm(offsets @ (TURN - np.eye(3)).T, axis=2).mean(1)
        got = errors(found, f"pve_{part}")[:5]
        known = np.isfinite(got)
        assert known.any()
        np.testing.assert_allclose(got[known], expected[known], rtol=1e-5)
        assert np.nanmax(errors(found, f"pa_pve_{part}")) < MICRON
        assert np.nanmax(errors(found, f"pa_mpjpe_{part}")) < MICRON
    hands = (errors(found, "pve_left_hand") + errors(found, "pve_right_hand")) / 2
    np.testing.assert_allclose(errors(found, "pve_hands"), hands)


def test_planted_noise(store: Path, standin: BodyModels, truth: npt.NDArray[Any]) -> None:
    """Isotropic noise of sigma a coordinate: a vertex errs by sigma sqrt(8 / pi) on average (Maxwell distribution)."""
    noise = np.random.default_rng(0).normal(0, 0.01, truth.shape)
    found = run(store, standin, truth + noise)
    expected = 10 * np.sqrt(8 / np.pi)
    np.testing.assert_allclose(errors(found, "pa_pve_all")[:5], expected, rtol=0.02)
    assert np.all(errors(found, "pve_all")[:5] > 0.98 * expected)  # the root's own noise comes on top


def test_a_planted_offset_of_one_hand(store: Path, standin: BodyModels, truth: npt.NDArray[Any]) -> None:
    """Vertices of the left hand that no root depends on, moved by 20 mm, cost their share of each part's mean."""
    parts, regressor = mesh_parts(standin), standin.get("smplx", "neutral").regressor.numpy()
    left = parts.vertices["left_hand"]
    free = left[(np.abs(regressor[[0, 12, 20, 21]][:, left]) == 0).all(0)]
    moved = truth.copy()
    moved[:, free, 1] += 0.02
    found = run(store, standin, moved)
    num_all, share = truth.shape[1], len(free)
    np.testing.assert_allclose(errors(found, "pve_all")[:5], 20 * share / num_all, rtol=1e-4)
    np.testing.assert_allclose(errors(found, "pve_left_hand")[:4], 20 * share / len(left), rtol=1e-4)
    np.testing.assert_allclose(errors(found, "pve_hands")[:4], 10 * share / len(left), rtol=1e-4)
    for untouched in ("pve_body", "pve_right_hand", "pve_face"):
        assert np.nanmax(errors(found, untouched)) < MICRON


def test_the_two_protocols_of_3dpw(store: Path, standin: BodyModels) -> None:
    keys = keys_of("pw3d", range(3))
    people = stored(store, keys)
    neutral = np.asarray(meshes(people, standin), np.float64)
    batch = PredictionBatch(keys=tuple(keys), vertices_m=neutral)
    smplx = evaluate(store, PROTOCOLS["pw3d_smplx"], [batch], standin)
    assert smplx.summary.num_evaluated == 3
    assert smplx.summary.figure("pve_body").mean_mm == pytest.approx(0, abs=MICRON)
    assert smplx.errors.column("truth").to_pylist() == ["neutral"] * 3
    assert smplx.errors.column("truth_fit_error_mm").to_pylist() == [3, 3, 0]

    own = evaluate(store, PROTOCOLS["pw3d"], [batch], standin)
    assert own.errors.column("problem").to_pylist() == ["", "", "no SMPL body as annotated"]
    smpl = np.asarray(meshes(people[:2], standin, of_source=True), np.float64)
    regressors = [standin.get(kind, "neutral").regressor.numpy().astype(np.float64) for kind in ("smplx", "smpl")]
    pred, true = (r[:22] @ mesh for r, mesh in zip(regressors, (neutral[:2], smpl), strict=True))
    pred, true = pred - pred[:, :1], true - true[:, :1]
    joints = list(PW3D_JOINTS["body"].joints)
    assert len(joints) == 14
    expected = 1000 * np.linalg.norm((pred - true)[:, joints], axis=2).mean(1)
    np.testing.assert_allclose(errors(own, "mpjpe_body")[:2], expected, rtol=1e-4)
    assert expected.min() > 1
    assert own.summary.primary == "mpjpe_body"


def test_truth_is_the_annotated_mesh_where_it_can_be_rebuilt(tmp_path: Path, standin: BodyModels) -> None:
    people = [labelled("ehf", "test", number) for number in range(2)]
    people = [annotated_as(one, "smplx", "male", is_rebuildable=not n) for n, one in enumerate(people)]
    path = write_store(tmp_path, people)
    keys = tuple(one.key for one in people)
    for of_source, exact, other in ((True, 0, 1), (False, 1, 0)):
        mesh = meshes(people, standin, of_source=of_source)
        found = evaluate(path, PROTOCOLS["ehf"], [PredictionBatch(keys=keys, vertices_m=mesh)], standin)
        assert found.errors.column("truth").to_pylist() == ["source", "neutral"]
        assert errors(found, "pve_all")[exact] < MICRON
        assert errors(found, "pve_all")[other] > 1
        assert found.errors.column("truth_fit_error_mm").to_pylist() == [0, 3]


def test_only_what_is_in_the_picture_counts_for_ubody(tmp_path: Path, standin: BodyModels) -> None:
    one = labelled("ubody", "test", 0)
    # Twice as near as the picture is wide: what lies left of the middle of the body is outside.
    body = replace(one.body, transl_m=np.array([-1.1, 0, 4], np.float32))
    cropped = replace(one.image, crop_x_px=0, crop_y_px=0, source_width_px=160, source_height_px=200)
    one = replace(one, body=body, image=cropped)
    path = write_store(tmp_path, [one])
    mesh = np.asarray(meshes([one], standin), np.float64)
    pixels = mesh[0, :, :2] / mesh[0, :, 2:] * 300 + [80, 100]
    inside = np.asarray(((pixels > 0) & (pixels < [160, 200])).all(1))
    assert 0.05 < inside.mean() < 0.95
    regressor = standin.get("smplx", "neutral").regressor.numpy()[0]
    outside = np.flatnonzero(~inside & (regressor == 0))
    spoilt = mesh.copy()
    spoilt[0, outside] += 0.5
    for protocol, error in (("ubody", 0.0), ("ubody everything", 1000 * 0.5 * 3**0.5 * len(outside) / len(inside))):
        of = PROTOCOLS["ubody"] if protocol == "ubody" else replace(PROTOCOLS["ubody"], counts="everything")
        found = evaluate(path, of, [PredictionBatch(keys=(one.key,), vertices_m=spoilt)], standin)
        assert errors(found, "pve_all")[0] == pytest.approx(error, abs=MICRON, rel=1e-5)
    # The whole picture counts, not the stored crop: shifted by the crop, all is inside again.
    wide = replace(
        one, image=replace(cropped, crop_x_px=2000, crop_y_px=2000, source_width_px=9000, source_height_px=9000)
    )
    path = write_store(tmp_path / "wide", [wide])
    found = evaluate(path, PROTOCOLS["ubody"], [PredictionBatch(keys=(one.key,), vertices_m=spoilt)], standin)
    assert errors(found, "pve_all")[0] == pytest.approx(error, rel=1e-5)


def test_sub_sampling_takes_each_nth_in_a_stated_order(tmp_path: Path, standin: BodyModels) -> None:
    people = [labelled("arctic", "p1_val", number, sequence=f"s5/box/{number % 2}") for number in range(22)]
    path = write_store(tmp_path, people[::-1])
    ordered = sorted(people, key=lambda one: (one.provenance.sequence, one.provenance.frame))
    wanted = [one.key for one in ordered[::10]]
    batch = PredictionBatch(keys=tuple(one.key for one in people), vertices_m=meshes(people, standin))
    found = evaluate(path, PROTOCOLS["arctic"], [batch], standin)
    assert found.errors.column("key").to_pylist() == wanted
    assert (found.summary.num_in_split, found.summary.num_chosen) == (22, 3)
    # Cameras of one recording are drawn together.
    assert set(found.errors.column("group").to_pylist()) == {"recording:s5/box"}
    found = evaluate(path, PROTOCOLS["arctic"], [batch], standin, every=11)
    assert found.errors.column("key").to_pylist() == [one.key for one in ordered[::11]]
    assert any("not the protocol: the step in this store is 11" in note for note in found.summary.notes)


def test_the_same_predictions_give_the_same_table_and_another_order_the_same_errors(
    store: Path, standin: BodyModels, truth: npt.NDArray[Any]
) -> None:
    mesh = truth + np.random.default_rng(3).normal(0, 0.01, truth.shape)
    whole = PredictionBatch(keys=tuple(keys_of("egobody_egoset", range(5))), vertices_m=mesh)
    first = evaluate(store, EGOBODY, [whole], standin)
    again = evaluate(store, EGOBODY, [whole.rows([4, 2]), whole.rows([0, 3, 1])], standin)
    for metric in EGOBODY.metrics:
        np.testing.assert_allclose(errors(first, metric), errors(again, metric), atol=MICRON / 10)
    assert first.errors.equals(evaluate(store, EGOBODY, [whole], standin).errors)
    assert first.summary == evaluate(store, EGOBODY, [whole], standin).summary
    figure = first.summary.figure("pve_all")
    assert figure.low_mm is not None
    assert figure.high_mm is not None
    assert figure.low_mm < errors(first, "pve_all")[:5].mean() < figure.high_mm
    assert (figure.num_instances, figure.num_groups) == (5, 5)
    assert STANDIN_NOTE in first.summary.notes


def test_hostile_predictions_are_refused(store: Path, standin: BodyModels, truth: npt.NDArray[Any]) -> None:
    keys = tuple(keys_of("egobody_egoset", range(5)))
    whole = PredictionBatch(keys=keys, vertices_m=truth)
    with pytest.raises(DataError, match=f"1 are missing: {keys[3]}"):
        evaluate(store, EGOBODY, [whole.rows([0, 1, 2, 4])], standin)
    with pytest.raises(DataError, match=f"found several of {keys[1]}"):
        evaluate(store, EGOBODY, [whole, whole.rows([1])], standin)
    unknown = PredictionBatch(keys=("pw3d-test-00000-0",), vertices_m=truth[:1])
    with pytest.raises(DataError, match="found 1 unknown: pw3d-test-00000-0"):
        evaluate(store, EGOBODY, [whole, unknown], standin)
    spoilt = truth.copy()
    spoilt[2, 5, 1] = np.nan
    with pytest.raises(DataError, match=f"egobody: {keys[2]}: predicted vertices: expected finite"):
        evaluate(store, EGOBODY, [PredictionBatch(keys=keys, vertices_m=spoilt)], standin)


def test_what_a_store_lacks_is_said(store: Path, standin: BodyModels) -> None:
    with pytest.raises(
        UsageError, match=r"agora: expected samples of agora/validation in .*, found egobody_egoset/test"
    ):
        evaluate(store, PROTOCOLS["agora"], [], standin)
    with pytest.raises(UsageError, match="expected a device of this machine"):
        evaluate(store, EGOBODY, [], standin, device="nowhere")
    with pytest.raises(UsageError, match="expected a step of 1 or more"):
        evaluate(store, EGOBODY, [], standin, every=0)


def test_means_and_intervals_over_groups() -> None:
    values = np.array([1.0, 3.0, 10.0, np.nan, 5.0])
    found = mean_interval(values, ["a", "a", "b", "c", "d"])
    assert (found.mean, found.num_instances, found.num_groups) == (4.75, 4, 3)
    assert np.isnan(found.low)
    rng = np.random.default_rng(0)
    values, groups = rng.normal(size=40), [f"g{n % 8}" for n in range(40)]
    order = rng.permutation(40)
    assert mean_interval(values, groups) == mean_interval(values[order], [groups[n] for n in order.tolist()])
    assert mean_interval(values, groups, seed=1) != mean_interval(values, groups)
    assert np.isnan(mean_interval(np.full(3, np.nan), ["a", "b", "c"]).mean)


def test_intervals_cover_the_truth_where_those_of_instances_do_not() -> None:
    """Sequences with a level of their own: 95 % intervals over sequences hold the mean about as often as they say."""
    rng = np.random.default_rng(4)
    num_worlds, num_groups, num_frames = 300, 40, 10
    hits = naive = 0
    groups = [f"g{n // num_frames}" for n in range(num_groups * num_frames)]
    alone = [str(n) for n in range(len(groups))]
    for world in range(num_worlds):
        level = np.repeat(rng.normal(60, 10, num_groups), num_frames)
        values = level + rng.normal(0, 5, len(level))
        found = mean_interval(values, groups, num_draws=300, seed=world)
        hits += found.low <= 60 <= found.high
        blind = mean_interval(values, alone, num_draws=100, seed=world)
        naive += blind.low <= 60 <= blind.high
    assert 0.90 <= hits / num_worlds <= 0.98
    assert naive / num_worlds < 0.7
