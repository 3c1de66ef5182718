"""Adapting a trained network: it reads pictures and 2D points alone, people do not depend on each other, and what is
said of them is what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapting_worlds import WHOLE_BODY, only_whole_body, some_people, trained, whole_body
from PIL import Image
from small_store import HEIGHT_PX, WIDTH_PX, jpeg, person, write_shard

from harmonize.errors import UsageError
from harmonize.geometry.cameras import project_with
from harmonize.keypoints import SMPLX_144
from harmonize.record import Body, Instance
from harmonize.shards.read import Sample, open_store
from train.adapting import Adapter, AdaptSettings, adapted
from train.building import load_networks
from train.data.detections import Detected, Refused
from train.data.sightings import Sighting, observed, pixels_of, sight, sight_stored
from train.meta.config import AdaptConfig
from train.predictions import crops_of


@pytest.fixture(scope="module")
def run(standin: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("dual"), standin)


@pytest.fixture(scope="module")
def plain(standin: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("plain"), standin, dual=None)


def stored(folder: Path, instances: Sequence[Instance]) -> list[Sample]:
    folder.mkdir()
    write_shard(folder, instances)
    opened = open_store(folder)
    return [opened.sample(one.key) for one in instances]


def adapter(run: Path, models: Any, **options: Any) -> Adapter:
    config = AdaptConfig(**{"steps": 4, "tolerance": 0.0} | {k: v for k, v in options.items() if k != "settings"})
    return Adapter.of(load_networks(run), models, AdaptSettings(config=config, **options.get("settings", {})))


def people_of(samples: Sequence[Sample], made: Adapter, boxes: Any = "keypoints") -> list[Any]:
    return [sight_stored(sample, made.size, boxes) for sample in samples]


def answers(made: Adapter, people: Sequence[Any], batch_size: int = 32) -> dict[str, dict[str, Any]]:
    """Everything that is said of each person, by key."""
    found: dict[str, dict[str, Any]] = {}
    for some, _ in adapted(made, iter(people), batch_size=batch_size):
        assert some is not None
        for at, key in enumerate(some.after.keys):
            found[key] = {f"after/{name}": value[at] for name, value in some.after.columns.items()}
            found[key] |= {f"before/{name}": value[at] for name, value in some.before.columns.items()}
            found[key] |= {name: value[at] for name, value in some.figures.items()}
    return found


def test_labels_in_3d_change_nothing(run: Path, standin: Any, tmp_path: Path) -> None:
    people = [only_whole_body(one) for one in some_people(4)]
    rng = np.random.default_rng(0)

    def other(one: Instance) -> Instance:
        joints = one.keypoints.joints3d_cam_m + rng.normal(0, 1, (144, 4)).astype(np.float32)
        wrong = Body(
            **{name: rng.normal(0, 1, size).astype(np.float32) for name, size in _BODY.items()},
            has_body=True, has_betas=False, has_transl=True, has_left_hand=True, has_jaw=True,
            known_body_joints=np.ones(21, np.float32), is_transl_metric=True,
        )  # fmt: skip
        boxes = replace(one.boxes, person_xywh_px=np.array([0, 0, 20, 20, 1], np.float32))
        return replace(one, body=wrong, boxes=boxes, keypoints=replace(one.keypoints, joints3d_cam_m=abs(joints)))

    made = adapter(run, standin)
    right = answers(made, people_of(stored(tmp_path / "right", people), made))
    wrong = answers(made, people_of(stored(tmp_path / "wrong", [other(one) for one in people]), made))
    assert right.keys() == wrong.keys()
    for key, said in right.items():
        for name, value in said.items():
            np.testing.assert_array_equal(value, wrong[key][name], err_msg=name)
    assert all(said["movement_mm"] > 1 for said in right.values())


_BODY = {"global_orient_aa": 3, "body_pose_aa": (21, 3), "left_hand_pose_aa": (15, 3), "betas": 10, "transl_m": 3}


def test_points_that_were_projected_from_labels_are_no_points(run: Path, standin: Any, tmp_path: Path) -> None:
    one = person("agora", "validation", 1)
    people = [
        replace(one, key=f"agora-validation-{origin}-0", keypoints=replace(one.keypoints, joints2d_origin=origin))
        for origin in ("projected", "body", "measured", "annotated")
    ]
    made = adapter(run, standin)
    samples = stored(tmp_path / "store", people)
    found = people_of(samples, made)
    assert [getattr(refused, "reason", "") for refused in found] == ["projected-points"] * 3 + [""]
    kept = people_of(samples, made, "stored")
    assert [int((seen.points_px[:, 2] > 0).sum()) for seen in kept] == [0, 0, 0, 144]
    said = answers(made, kept)
    for sample in samples[:3]:
        still = said[sample.instance.key]
        assert (still["movement_mm"], still["num_points"]) == (0, 0)
        assert np.isnan(still["error_px_before"])
    assert said[samples[3].instance.key]["movement_mm"] > 1


def test_a_detectors_points_beside_projected_ones_are_used(run: Path, standin: Any, tmp_path: Path) -> None:
    one = person("pw3d", "test", 1)
    names = ("left_knee_openpose", "right_knee_openpose", "left_wrist_openpose", "nose_openpose", "spine_3dhp")
    extra = np.zeros((64, 3), np.float32)
    extra[:5] = [[50, 150, 0.9], [90, 155, 0.8], [40, 100, 0.7], [80, 30, 0.9], [70, 70, 1.0]]
    points = replace(one.keypoints, extra2d_px=extra, extra_names=names, joints2d_origin="projected")
    (found,) = people_of(stored(tmp_path / "store", [replace(one, keypoints=points)]), adapter(run, standin))
    known = {SMPLX_144[at]: found.points_px[at].tolist() for at in np.flatnonzero(found.points_px[:, 2])}
    assert known == {
        name.removesuffix("_openpose"): pytest.approx(value)
        for name, value in zip(names[:4], extra[:4].tolist(), strict=True)
    }
    centre = found.box_xywh_px[:2] + found.box_xywh_px[2:] / 2
    np.testing.assert_allclose(centre, [65, 92.5])


def test_absent_points_stay_absent(tmp_path: Path, run: Path, standin: Any) -> None:
    one = person("ehf", "test", 1)
    points = one.keypoints.joints2d_px.copy()
    points[40:] = 0
    (sample,) = stored(tmp_path / "store", [replace(one, keypoints=replace(one.keypoints, joints2d_px=points))])
    made = adapter(run, standin)
    (seen,) = people_of([sample], made)
    shown = observed([seen]).keypoints_px[0]
    assert (shown[:40, 2] > 0).all()
    assert not shown[40:, 2].any()
    few = replace(one, keypoints=replace(one.keypoints, joints2d_px=np.where(np.arange(144)[:, None] < 3, points, 0)))
    (refused,) = people_of(stored(tmp_path / "few", [few]), made)
    assert (refused.reason, "found 3" in refused.detail) == ("few-points", True)
    none = replace(one, keypoints=replace(one.keypoints, joints2d_px=0 * points, joints2d_origin="none"))
    (refused,) = people_of(stored(tmp_path / "none", [none]), made)
    assert refused.reason == "few-points"


def test_what_is_shown_is_what_training_shows(tmp_path: Path, run: Path, standin: Any) -> None:
    people = some_people(3)
    bent = replace(people[2].camera, distortion=np.array([0.1, *[0.0] * 11], np.float32))
    people[2] = replace(people[2], camera=bent)
    made = adapter(run, standin)
    seen = observed(people_of(stored(tmp_path / "store", people), made, "stored"))
    (batch,) = crops_of(tmp_path / "store", [one.key for one in people], made.size)
    assert torch.equal(seen.crop, batch.observed.crop)
    assert torch.equal(seen.to_crop, batch.observed.to_crop)
    assert torch.equal(seen.has_intrinsics, batch.observed.has_intrinsics)
    torch.testing.assert_close(seen.keypoints_px, batch.observed.keypoints_px, rtol=0, atol=1e-4)


def test_a_virtual_camera_is_a_label(tmp_path: Path, run: Path, standin: Any) -> None:
    one = person("mscoco", "val", 1)
    virtual = replace(one.camera, is_calibrated=False, focal_px=np.array([9000, 9000], np.float32))
    made = adapter(run, standin)
    (seen,) = people_of(stored(tmp_path / "store", [replace(one, camera=virtual)]), made)
    assert not seen.is_camera_known
    np.testing.assert_allclose(seen.camera.focal_px, np.hypot(WIDTH_PX, HEIGHT_PX))
    np.testing.assert_allclose(seen.camera.principal_point_px, [WIDTH_PX / 2, HEIGHT_PX / 2])


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_result_does_not_depend_on_its_batch(optimiser: Any, run: Path, standin: Any, tmp_path: Path) -> None:
    made = adapter(run, standin, optimiser=optimiser, tolerance=0.02, adam_rate=3e-3, steps=6)
    people = people_of(stored(tmp_path / "store", some_people(7)), made)
    whole = answers(made, people, 7)
    for batch_size, order in ((1, (0, 1, 2, 3, 4, 5, 6)), (5, (6, 2, 4, 0, 1, 5, 3))):
        other = answers(made, [people[at] for at in order], batch_size)
        for key, said in whole.items():
            for name, value in said.items():
                np.testing.assert_allclose(other[key][name], value, rtol=2e-3, atol=2e-3, err_msg=name)


def test_figures_are_those_of_the_answers(run: Path, standin: Any, tmp_path: Path) -> None:
    made = adapter(run, standin)
    people = people_of(stored(tmp_path / "store", [only_whole_body(one) for one in some_people(4)]), made)
    (found, _), *rest = adapted(made, iter(people))
    assert (rest, found is None) == ([], False)
    assert found is not None
    figures = found.figures
    assert (figures["loss_after"] < figures["loss_before"]).all()
    assert (figures["steps"] == 4).all()
    assert (figures["best_step"] >= 1).all()
    body = standin.get("smplx", "neutral")
    from pipelines.evaluate_checkpoint import prediction_batch

    joints = {}
    for name, predicted in (("before", found.before), ("after", found.after)):
        bodies = prediction_batch(predicted).bodies
        assert bodies is not None
        joints[name] = body.joints(bodies)
        for at, one in enumerate(found.people):
            known = (one.points_px[:, 2] > 0) & ~np.array(["contour" in joint for joint in SMPLX_144])
            assert figures["num_points"][at] == known.sum()
            shown = project_with(one.camera, joints[name][at])[known]
            error = np.linalg.norm(shown - one.points_px[known, :2], axis=1).mean()
            assert figures[f"error_px_{name}"][at] == pytest.approx(error, rel=1e-3)
    moved = [of - of[:, :1] for of in joints.values()]
    expected = 1000 * np.linalg.norm(moved[1] - moved[0], axis=-1).mean(axis=1)
    np.testing.assert_allclose(figures["movement_mm"], expected, rtol=1e-2)


def test_the_auxiliary_network_is_heeded_for_as_many_steps_as_training_had(
    run: Path, standin: Any, tmp_path: Path
) -> None:
    samples = stored(tmp_path / "store", some_people(2))
    made = {number: adapter(run, standin, settings={"pseudo_steps": number}) for number in (None, 0, 1, 4)}
    assert {number: (one.auxiliary is None, one.config.pseudo_steps) for number, one in made.items()} == {
        None: (False, 1),
        0: (True, None),
        1: (False, 1),
        4: (False, 4),
    }
    found = {number: answers(one, people_of(samples, one)) for number, one in made.items()}
    for key, said in found[None].items():
        for name, value in found[1][key].items():
            np.testing.assert_array_equal(said[name], value)
        for number in (0, 4):
            assert said["loss_before"] == found[number][key]["loss_before"]
            np.testing.assert_array_equal(said["before/betas"], found[number][key]["before/betas"])
            assert not np.allclose(said["after/betas"], found[number][key]["after/betas"], atol=1e-7)


def test_what_adapts_and_how_fast_can_be_chosen(run: Path, plain: Path, standin: Any) -> None:
    learned = adapter(run, standin).rates
    assert learned().keys() == adapter(run, standin, settings={"rate": 0.01}).rates().keys()
    given = adapter(run, standin, settings={"rate": 0.01}).rates().values()
    assert [float(value) for value in given] == pytest.approx([0.01] * len(learned.names))
    assert len({round(float(value), 9) for value in learned().values()}) > 1
    for subset in ("head", "head+norm", "head+lora", "all"):
        rates = adapter(plain, standin, settings={"subset": subset}).rates
        assert (len(rates.names) > len(learned.names)) == (subset != "head")
    assert adapter(plain, standin).auxiliary is None


def test_low_rank_tensors_that_were_not_trained_change_nothing_at_first(
    plain: Path, standin: Any, tmp_path: Path
) -> None:
    samples = stored(tmp_path / "store", some_people(2))
    head, lora = (adapter(plain, standin, settings={"subset": subset}) for subset in ("head", "head+lora"))
    one, other = (answers(made, people_of(samples, made)) for made in (head, lora))
    for key, said in one.items():
        np.testing.assert_allclose(said["before/body_pose_aa"], other[key]["before/body_pose_aa"], atol=1e-5)


def test_what_cannot_be_is_refused(run: Path, standin: Any) -> None:
    networks = load_networks(run)
    with pytest.raises(UsageError, match="was trained with real models, found the stand-in"):
        Adapter.of(replace(networks, is_standin=False), standin, AdaptSettings())
    with pytest.raises(UsageError, match="expected a device of this machine"):
        Adapter.of(networks, standin, AdaptSettings(), device="cuda:77")
    with pytest.raises(UsageError, match="rate is a positive number"):
        AdaptSettings(rate=0.0)
    with pytest.raises(UsageError, match="pseudo_steps is at least 0"):
        AdaptSettings(pseudo_steps=-1)
    with pytest.raises(UsageError, match="batch size"):
        list(adapted(adapter(run, standin), iter(()), batch_size=0))


def detection(instance: Instance, **changes: Any) -> Detected:
    values: dict[str, Any] = {
        "key": "p-0", "picture": "p.jpg", "has_ending": True, "person": "0", "size_px": None, "names": WHOLE_BODY,
        "points": whole_body(instance),
    }  # fmt: skip
    return Detected(**values | changes)


def test_a_picture_of_a_folder_gives_what_the_store_gives(run: Path, standin: Any, tmp_path: Path) -> None:
    one = only_whole_body(person("ehf", "test", 1))
    made = adapter(run, standin)
    (kept,) = people_of(stored(tmp_path / "store", [one]), made)
    (tmp_path / "p.jpg").write_bytes(jpeg(one))
    found = sight(detection(one), tmp_path, made.size, focal_px=300)
    assert isinstance(found, Sighting)
    first, second = (observed([seen]) for seen in (kept, found))
    torch.testing.assert_close(first.to_crop, second.to_crop)
    torch.testing.assert_close(first.keypoints_px, second.keypoints_px, rtol=0, atol=1e-3)
    assert (first.crop.float() - second.crop.float()).abs().mean() < 2  # a stored JPEG is decoded at about its scale
    guessed = sight(detection(one, picture="p", has_ending=False), tmp_path, made.size)
    assert isinstance(guessed, Sighting)
    assert (guessed.is_camera_known, guessed.picture) == (False, "p.jpg")
    np.testing.assert_allclose(guessed.camera.focal_px, np.hypot(WIDTH_PX, HEIGHT_PX))


def test_a_turned_picture_is_seen_upright_unless_its_points_are_not(run: Path, standin: Any, tmp_path: Path) -> None:
    one = person("ehf", "test", 1)
    upright = Image.fromarray(np.arange(60 * 40 * 3, dtype=np.uint8).reshape(60, 40, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "p.png", exif=exif)
    made, points = adapter(run, standin), whole_body(one)
    points[:, :2] /= 4
    by_size = {None: (60, 40), (40, 60): (60, 40), (60, 40): (40, 60)}
    for size, shape in by_size.items():
        found = sight(detection(one, picture="p.png", size_px=size, points=points), tmp_path, made.size)
        assert isinstance(found, Sighting)
        assert pixels_of(found.source).shape[:2] == shape
        if shape == (60, 40):
            np.testing.assert_array_equal(pixels_of(found.source), np.asarray(upright))
    refused = sight(detection(one, picture="p.png", size_px=(41, 60), points=points), tmp_path, made.size)
    assert isinstance(refused, Refused)
    assert "expected the size that its points are counted in, (41, 60), found 60 x 40" in refused.detail


def test_a_picture_that_cannot_be_used_refuses_the_person(run: Path, standin: Any, tmp_path: Path) -> None:
    one = person("ehf", "test", 1)
    data = jpeg(one)
    folder = tmp_path / "pictures"
    folder.mkdir()
    (tmp_path / "secret.jpg").write_bytes(data)
    (folder / "half.jpg").write_bytes(data[: len(data) // 2])
    (folder / "text.jpg").write_text("no picture")
    (folder / "good.jpg").write_bytes(data)
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    size = adapter(run, standin).size
    for picture, says in {
        "../secret.jpg": "without `..`",
        str(tmp_path / "secret.jpg"): "relative name",
        "link.jpg": "not a link",
        "missing.jpg": "missing.jpg",
        "half.jpg": "half.jpg",
        "text.jpg": "expected a JPEG",
        "": "without NUL",
    }.items():
        found = sight(detection(one, picture=picture), folder, size)
        assert isinstance(found, Refused)
        assert (found.reason, says in found.detail) == ("no-picture", True), found.detail
    found = sight(detection(one, picture="nothing", has_ending=False), folder, size)
    assert isinstance(found, Refused)
    assert "expected a picture nothing" in found.detail
    far = whole_body(one) + np.array([1e4, 0, 0])
    found = sight(detection(one, picture="good.jpg", points=far), folder, size)
    assert isinstance(found, Refused)
    assert found.reason == "outside"
