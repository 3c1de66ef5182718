"""Labels of crops: flags, frames, the lens, and points that lie on their pixels whatever augmentation did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_store import HEIGHT_PX, WIDTH_PX, person

from harmonize.geometry.cameras import project as project_stored
from harmonize.geometry.rotations import aa_to_rotmat
from harmonize.keypoints import SMPLX_144
from harmonize.layout import encode
from harmonize.record import Camera, Instance, Keypoints
from harmonize.shards.plan import IngestJob
from harmonize.shards.read import Sample, open_store
from pipelines.ingest import ingest
from train.camera import project
from train.data.augment import NONE, STRONG, Augment, changes_of
from train.data.batch import Batch
from train.data.chance import chance_of
from train.data.crops import CropSize, crop_maps
from train.data.lens import undistorted_rays
from train.data.records import Records
from train.data.targets import MIRRORED_JOINTS, MIRRORED_ROTATIONS, allocate, mirror_rotations, write_targets

SIZE = CropSize()
ONE = person("pw3d", "train", 1)
LENS = np.array([-0.2, 0.06, 0.001, -0.002, 0, 0, 0, 0, 0.001, 0, 0.002, 0], np.float32)


def labels(instances: Sequence[Instance], augment: Augment = NONE, seed: int = 0) -> tuple[Batch, np.ndarray, Any]:
    changes = changes_of(augment, chance_of(seed, 0, np.arange(len(instances))))
    rows = allocate(len(instances), SIZE)
    boxes = np.stack([one.boxes.person_xywh_px for one in instances]).astype(float)
    maps = crop_maps(boxes, SIZE, changes.turn, changes.zoom, changes.shift)
    records = Records(np.stack([encode(one)[0] for one in instances]))
    write_targets(rows, records, maps, changes.spin, changes.is_mirrored)
    rows.observed_px[:] = rows.keypoints_px
    return rows.batch([one.key for one in instances], [("d", "s")] * len(instances)), maps, changes


def misses_px(batch: Batch) -> torch.Tensor:
    """Distances (B, 144) of projected joints from keypoints; 0 where either is unknown."""
    truth = batch.truth
    points = project(truth.joints_m[..., :3] + truth.pelvis_m[:, None], batch.observed.to_crop)
    known = (truth.joints_m[..., 3] > 0) & (truth.keypoints_px[..., 2] > 0)
    return torch.where(known, (points - truth.keypoints_px[..., :2]).norm(dim=-1), 0.0)


AUGMENTS = [
    NONE,
    Augment(flip_probability=1),
    Augment(rotation_deg=60),
    Augment(scale=0.5),
    Augment(shift=0.5),
    STRONG,
    replace(STRONG, flip_probability=1),
]


@pytest.fixture(scope="module")
def ingested(
    miniature: Callable[[str], tuple[Path, Any]], tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[str, Instance]]:
    """People of an ideal camera without 2D points, and of lenses with some 2D points."""
    store = tmp_path_factory.mktemp("store")
    sets = {"pw3d": "train", "h36m": "train"}
    ingest(
        [
            IngestJob(reader=n, root=miniature(n)[0], split=s, store=store, body_models="standin")
            for n, s in sets.items()
        ],
        runner="inline",
        num_workers=1,
    )
    import pyarrow.parquet as pq

    opened = open_store(store)
    keys = [key for path in opened.index_paths() for key in pq.read_table(path, columns=["key"])["key"].to_pylist()]
    found: list[Sample] = [opened.sample(key) for key in keys]
    return [(sample.instance.provenance.dataset, sample.instance) for sample in found]


@pytest.mark.parametrize("augment", AUGMENTS)
def test_projected_joints_lie_on_the_keypoints(ingested: list[tuple[str, Instance]], augment: Augment) -> None:
    """Also for the 2D points that h36m takes from its lens: without it they would miss by pixels."""
    chosen = [one for name, one in ingested if one.body.is_transl_metric]
    is_lens = [bool(one.camera.distortion.any()) for one in chosen]
    assert sum(is_lens) >= 5
    assert len(chosen) - sum(is_lens) >= 5
    for seed in range(3):
        batch, _, _ = labels(chosen, augment, seed)
        assert bool(batch.truth.has_pelvis.all())
        assert int((batch.truth.keypoints_px[..., 2] > 0).sum(dim=1).min()) >= 25
        assert float(misses_px(batch).max()) < 0.1


def test_lens_matters_in_the_test_above(ingested: list[tuple[str, Instance]]) -> None:
    chosen = [
        replace(one, camera=replace(one.camera, distortion=np.zeros(12, np.float32)))
        for name, one in ingested
        if name == "h36m" and one.body.has_body
    ]
    assert float(misses_px(labels(chosen)[0]).max()) > 0.5


@pytest.mark.parametrize("augment", AUGMENTS)
def test_keypoints_go_through_the_map_of_the_picture(augment: Augment) -> None:
    people = [person("pw3d", "train", i) for i in range(6)]
    batch, maps, changes = labels(people, augment)
    for i, one in enumerate(people):
        marked = one.keypoints.joints2d_px[:, :2]
        expected = marked @ maps[i, :, :2].T + maps[i, :, 2]
        order = MIRRORED_JOINTS if changes.is_mirrored[i] else np.arange(144)
        assert np.allclose(batch.truth.keypoints_px[i, :, :2], expected[order], atol=1e-3)


def test_marks_in_a_distorted_picture_move_to_the_pinhole() -> None:
    camera = replace(ONE.camera, distortion=LENS)
    seen = project_stored(ONE.keypoints.joints3d_cam_m[:, :3], camera.focal_px, camera.principal_point_px, LENS)
    assert np.abs(seen - ONE.keypoints.joints2d_px[:, :2]).max() > 0.5
    points = np.column_stack([seen, np.ones(144)]).astype(np.float32)
    bent = replace(ONE, camera=camera, keypoints=replace(ONE.keypoints, joints2d_px=points))
    assert float(misses_px(labels([bent, ONE], STRONG)[0]).max()) < 0.01


def test_lens_without_an_inverse_there_gives_nan() -> None:
    barrel = np.zeros((1, 12))
    barrel[0, 0] = -0.5  # r (1 - r^2 / 2) has its largest value, 0.544, at r = 0.816
    found = undistorted_rays(np.array([[[0.3, 0.2], [2.0, 0.0], [np.nan, 0.0]]]), barrel)[0]
    assert np.allclose(found[0] * (1 - 0.5 * (found[0] ** 2).sum()), [0.3, 0.2], atol=1e-6)
    assert np.isnan(found[1:]).all()


def test_numbers_and_flags_are_the_records() -> None:
    body = replace(
        ONE.body,
        known_body_joints=np.arange(21, dtype=np.float32) % 2,
        left_hand_pose_aa=np.full((15, 3), 0.1, np.float32),
        right_hand_pose_aa=np.full((15, 3), np.nan, np.float32),
        jaw_pose_aa=np.array([0.2, 0, 0], np.float32),
        expression=np.arange(10, dtype=np.float32),
        has_left_hand=True,
        has_jaw=True,
        has_expression=True,
    )
    truth = labels([replace(ONE, body=body)])[0].truth
    assert truth.has_rotation[0].tolist() == [True, *[i % 2 == 1 for i in range(21)], True, *[True] * 15, *[False] * 15]
    assert np.allclose(truth.rotmat[0, 0], aa_to_rotmat(body.global_orient_aa), atol=1e-6)
    assert np.allclose(truth.rotmat[0, 1:22], aa_to_rotmat(body.body_pose_aa), atol=1e-6)
    assert np.allclose(truth.rotmat[0, 22], aa_to_rotmat(body.jaw_pose_aa), atol=1e-6)
    assert np.allclose(truth.rotmat[0, 23:38], aa_to_rotmat(body.left_hand_pose_aa), atol=1e-6)
    assert np.array_equal(truth.betas[0], body.betas)
    assert np.array_equal(truth.expression[0], body.expression)
    assert (bool(truth.has_betas), bool(truth.has_expression), bool(truth.has_pelvis)) == (True, True, False)
    assert np.allclose(truth.pelvis_m[0], ONE.keypoints.joints3d_cam_m[0, :3])
    joints = ONE.keypoints.joints3d_cam_m
    assert np.allclose(truth.joints_m[0, :, :3], joints[:, :3] - joints[0, :3], atol=1e-6)


def test_absent_parts_lower_their_flags() -> None:
    empty = replace(
        ONE,
        body=replace(ONE.body, has_body=False, has_betas=False, has_transl=False),
        keypoints=Keypoints(),
        camera=Camera(),
    )
    batch = labels([empty])[0]
    truth = batch.truth
    assert not truth.has_rotation.any()
    assert not bool(truth.has_betas)
    assert not bool(truth.has_pelvis)
    assert float(truth.joints_m[..., 3].max()) == 0
    assert float(truth.keypoints_px[..., 2].max()) == 0
    assert all(
        bool(torch.isfinite(value.float()).all()) for value in (truth.joints_m, truth.keypoints_px, truth.rotmat)
    )


def test_points_behind_the_camera_have_no_place_in_the_crop() -> None:
    joints = ONE.keypoints.joints3d_cam_m.copy()
    joints[20, 2] = -1
    points = replace(ONE.keypoints, joints3d_cam_m=joints, joints2d_px=np.zeros((144, 3), np.float32))
    confidence = labels([replace(ONE, keypoints=points)])[0].truth.keypoints_px[0, :, 2]
    assert confidence[20] == 0
    assert int((confidence > 0).sum()) == 143


def test_unknown_camera_has_the_source_pictures_diagonal_and_centre() -> None:
    image = replace(ONE.image, source_width_px=400, source_height_px=300, crop_x_px=50, crop_y_px=20)
    batch, maps, _ = labels([replace(ONE, camera=Camera(), image=image), replace(ONE, camera=Camera())])
    assert not batch.observed.has_intrinsics.any()
    first = maps[0] @ [[500, 0, 150], [0, 500, 130], [0, 0, 1]]
    assert np.allclose(batch.observed.to_crop[0], first, rtol=1e-5)
    focal = np.hypot(WIDTH_PX, HEIGHT_PX)
    second = maps[1] @ [[focal, 0, WIDTH_PX / 2], [0, focal, HEIGHT_PX / 2], [0, 0, 1]]
    assert np.allclose(batch.observed.to_crop[1], second, rtol=1e-5)


def test_mirrored_twice_is_unchanged() -> None:
    rotmat = aa_to_rotmat(np.random.default_rng(0).normal(size=(4, 53, 3)))
    assert np.allclose(mirror_rotations(mirror_rotations(rotmat)), rotmat)
    assert not np.allclose(mirror_rotations(rotmat), rotmat)
    assert np.array_equal(MIRRORED_JOINTS[MIRRORED_JOINTS], np.arange(144))


def test_left_and_right_trade_places_by_name() -> None:
    swapped = [SMPLX_144[i] for i in MIRRORED_JOINTS]
    assert swapped[SMPLX_144.index("left_contour_3")] == "right_contour_3"
    assert swapped[SMPLX_144.index("right_index")] == "left_index"
    assert swapped[SMPLX_144.index("nosebridge_1")] == "nosebridge_1"
    assert MIRRORED_ROTATIONS[[0, 1, 2, 3, 16, 17, 22, 23, 37, 38, 52]].tolist() == [
        0,
        2,
        1,
        3,
        17,
        16,
        22,
        38,
        52,
        23,
        37,
    ]


def test_body_of_mirrored_rotations_is_the_mirrored_body(standin: Any) -> None:
    """Of one made symmetric, so that mirrored joints and joints of the mirrored pose must be the same."""
    from train.body import Body

    body = Body(standin).double()
    none = torch.zeros(1, 10, dtype=torch.float64)
    rng = np.random.default_rng(1)
    aa = rng.normal(0, 0.3, (1, 53, 3))
    rest = body(torch.eye(3, dtype=torch.float64).expand(1, 53, 3, 3), none, none).joints_m[0, :55].numpy()
    asymmetry = np.abs(rest * [-1, 1, 1] - rest[MIRRORED_JOINTS[:55]]).max()
    rotmat = aa_to_rotmat(aa)
    one = body(torch.from_numpy(rotmat), none, none).joints_m[0, :55].numpy()
    two = body(torch.from_numpy(mirror_rotations(rotmat)), none, none).joints_m[0, :55].numpy()
    miss = np.abs(two - (one * [-1, 1, 1])[MIRRORED_JOINTS[:55]]).max()
    assert miss <= 4 * asymmetry + 1e-6
    assert miss < 0.1 * np.abs(one - (one * [-1, 1, 1])[MIRRORED_JOINTS[:55]]).max()


def test_mirrored_record_trains_like_the_record_of_the_mirrored_person() -> None:
    batch, _, _ = labels([ONE], Augment(flip_probability=1))
    plain = labels([ONE])[0]
    pelvis = plain.truth.pelvis_m * torch.tensor([-1.0, 1, 1])
    assert torch.allclose(batch.truth.pelvis_m, pelvis)
    assert torch.allclose(
        batch.truth.joints_m[..., :3],
        plain.truth.joints_m[:, MIRRORED_JOINTS, :3] * torch.tensor([-1.0, 1, 1]),
        atol=1e-6,
    )
    width = SIZE.width_px
    mirrored = plain.truth.keypoints_px[:, MIRRORED_JOINTS, :2] * torch.tensor([-1.0, 1]) + torch.tensor([width, 0.0])
    assert torch.allclose(batch.truth.keypoints_px[..., :2], mirrored, atol=1e-3)


def test_turn_of_the_crop_turns_orientation_joints_and_pelvis_alike() -> None:
    augment = Augment(rotation_deg=40)
    batch, _, changes = labels([ONE], augment, seed=4)
    plain = labels([ONE])[0].truth
    spin = torch.from_numpy(changes.spin[0]).float()
    assert abs(np.degrees(np.arccos(changes.spin[0, 0, 0]))) > 5
    assert torch.allclose(batch.truth.rotmat[0, 0], spin @ plain.rotmat[0, 0], atol=1e-6)
    assert torch.allclose(batch.truth.rotmat[0, 1:], plain.rotmat[0, 1:])
    assert torch.allclose(batch.truth.pelvis_m[0], spin @ plain.pelvis_m[0], atol=1e-6)
    assert torch.allclose(batch.truth.joints_m[0, :, :3], plain.joints_m[0, :, :3] @ spin.T, atol=1e-5)
