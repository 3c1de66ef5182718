"""Crops: where the box goes, what the pixels show, and the weak camera in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_store import person

from harmonize.errors import DataError
from harmonize.record import NUM_JOINTS, Boxes, Camera, Keypoints
from train.data.crops import CropSize, ToCrop, fit_weak_camera, target, to_crop, warp

SIZE = CropSize(height_px=128, width_px=96, padding=1.25)
ONE = person("pw3d", "train", 1)


def boxed(x: float, y: float, width: float, height: float) -> ToCrop:
    box = np.array([x, y, width, height, 1], np.float32)
    return to_crop(replace(ONE, boxes=Boxes(person_xywh_px=box)), SIZE)


@pytest.mark.parametrize(("width", "height"), [(48, 100), (300, 100), (75, 100)])
def test_box_is_centred_and_fits_with_padding(width: float, height: float) -> None:
    crop = boxed(20, 30, width, height)
    low = (np.array([20, 30]) - crop.origin_px) * crop.scale
    high = (np.array([20 + width, 30 + height]) - crop.origin_px) * crop.scale
    assert np.allclose((low + high) / 2, [48, 64], atol=1e-4)
    assert np.isclose(max((high - low)[0] / 96, (high - low)[1] / 128), 1 / 1.25)


@pytest.mark.parametrize("box", [(0, 0, 0, 0, 0), (5, 5, 0, 9, 1), (5, 5, 9, 9, 0)])
def test_missing_box_is_an_error_with_the_key(box: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match=ONE.key):
        to_crop(replace(ONE, boxes=Boxes(person_xywh_px=np.array(box, np.float32))), SIZE)


@pytest.mark.parametrize("scale", [2.0, 1.0, 0.5, 0.23])
def test_pixels_and_points_go_through_the_same_map(scale: float) -> None:
    """A bright block at known stored pixels must lie where the map sends its corners."""
    pixels = np.zeros((600, 500, 3), np.uint8)
    pixels[200:260, 150:230] = 255
    crop = ToCrop((120.0, 180.0), scale)
    size = CropSize(height_px=int(128 * scale) + 20, width_px=int(140 * scale) + 20)
    light = warp(pixels, crop, size)[..., 0].astype(float) / 255
    assert light.sum() == pytest.approx(60 * 80 * scale**2, rel=0.03)
    ys, xs = np.mgrid[: size.height_px, : size.width_px] + 0.5
    centre = np.array([(light * xs).sum(), (light * ys).sum()]) / light.sum()
    assert np.allclose(centre, (np.array([190, 230]) - crop.origin_px) * scale, atol=0.15)


def test_outside_of_the_picture_is_black_and_fine_texture_does_not_alias() -> None:
    board = np.indices((400, 400)).sum(axis=0) % 2 * 255
    crop = warp(np.repeat(board[..., None], 3, axis=2).astype(np.uint8), ToCrop((-80.0, 0.0), 0.25), SIZE)
    assert crop[:, :19].max() == 0
    assert np.abs(crop[4:90, 24:].astype(int) - 127).max() <= 1


def test_weak_camera_is_exact_where_depth_is_constant() -> None:
    rng = np.random.default_rng(0)
    joints = np.ones((NUM_JOINTS, 4), np.float32)
    joints[:, :2], joints[:, 2] = rng.uniform(-0.5, 0.5, (NUM_JOINTS, 2)), 4.0
    joints[7] = [0, 0, -1, 1]  # behind the camera: must not count
    joints[8] = [9, 9, 4, 0]  # unknown: must not count
    camera = Camera(
        focal_px=np.array([400, 400], np.float32),
        principal_point_px=np.array([100, 80], np.float32),
        has_intrinsics=True,
    )
    instance = replace(ONE, camera=camera, keypoints=Keypoints(joints3d_cam_m=joints))
    crop = ToCrop((10.0, 20.0), 0.5)
    weak = fit_weak_camera(instance, crop, SIZE)
    assert weak is not None
    root = ((400 * joints[0, :2] / 4 + [100, 80]) - [10, 20]) * 0.5
    assert np.allclose(weak, [400 / 4 * 0.5 / 64, *((root - [48, 64]) / 64)], atol=1e-5)


def test_target_flags_follow_the_record() -> None:
    crop = to_crop(ONE, SIZE)
    full = target(ONE, crop, SIZE)
    assert full.has_rotation.all()
    assert full.has_betas
    assert full.has_camera
    assert np.allclose(full.rotmat @ full.rotmat.swapaxes(1, 2), np.eye(3), atol=1e-6)
    # The body of the miniature faces the camera upright: its up axis points along -y of the camera.
    assert np.allclose(full.rotmat[0] @ [0, 1, 0], [0, -1, 0], atol=1e-6)
    bare = target(replace(ONE, body=replace(ONE.body, has_body=False, has_betas=False), camera=Camera()), crop, SIZE)
    assert (bare.has_rotation.any(), bare.has_betas, bare.has_camera) == (False, False, False)
    assert np.array_equal(bare.weak_camera, np.zeros(3))


@pytest.mark.parametrize("num", [0, 1])
def test_too_few_joints_give_no_camera(num: int) -> None:
    joints = np.zeros((NUM_JOINTS, 4), np.float32)
    joints[:num] = [0.1, 0.2, 3, 1]
    instance = replace(ONE, keypoints=Keypoints(joints3d_cam_m=joints))
    assert fit_weak_camera(instance, to_crop(ONE, SIZE), SIZE) is None
