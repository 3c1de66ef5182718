"""Public checkpoints: every name and shape of the published files, what is done with each, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from harmonize.bodies import BodyBatch
from harmonize.errors import UsageError
from train.body import Body
from train.camera import pelvis_from_weak, project
from train.models.public_weights import load_public
from train.models.registry import build, smpler_x_config
from train.models.smpler_x import SmplerX, SmplerXConfig
from train.models.tokens import TokensConfig
from train.models.vit import VITS, VitConfig
from train.steps import Regressor

VIT = VitConfig(width=32, depth=2, num_heads=2, height_px=128, width_px=96)
PUBLISHED = SmplerXConfig(vit=VIT, is_published=True)
TOKENS = TokensConfig(vit=VIT, decoder_width=16, num_layers=1, num_heads=2)
Shapes = dict[str, tuple[int, ...]]


def linear(name: str, before: int, after: int) -> Shapes:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def batch_norm(name: str, width: int) -> Shapes:
    statistics: Shapes = {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    return {**norm(name, width), **statistics, f"{name}.num_batches_tracked": ()}


def vit(prefix: str, config: VitConfig) -> Shapes:
    width, (rows, columns) = config.width, config.grid
    shapes: Shapes = {f"{prefix}pos_embed": (1, rows * columns + 1, width)}
    shapes |= {f"{prefix}patch_embed.proj.weight": (width, 3, 16, 16), f"{prefix}patch_embed.proj.bias": (width,)}
    for i in range(config.depth):
        block = f"{prefix}blocks.{i}"
        shapes |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width)
        shapes |= linear(f"{block}.attn.qkv", width, 3 * width) | linear(f"{block}.attn.proj", width, width)
        shapes |= linear(f"{block}.mlp.fc1", width, 4 * width) | linear(f"{block}.mlp.fc2", 4 * width, width)
    return shapes | norm(f"{prefix}last_norm", width)


def vitpose(config: VitConfig) -> Shapes:
    head: Shapes = {}
    for i, before in ((0, config.width), (3, 256)):
        head[f"keypoint_head.deconv_layers.{i}.weight"] = (before, 256, 4, 4)
        head |= batch_norm(f"keypoint_head.deconv_layers.{i + 1}", 256)
    head |= {"keypoint_head.final_layer.weight": (17, 256, 1, 1), "keypoint_head.final_layer.bias": (17,)}
    return vit("backbone.", config) | head


def smpler_x(config: VitConfig) -> Shapes:
    """The tensors of smpler_x_*.pth.tar, from the modules of main/SMPLer_X.py and common/nets/smpler_x.py."""
    width = config.width
    shapes = vit("encoder.", config)
    shapes["encoder.task_tokens"] = (1, 31, width)
    shapes |= {"body_position_net.conv.0.weight": (25 * 16, width, 1, 1), "body_position_net.conv.0.bias": (400,)}
    shapes |= {"hand_position_net.conv.0.weight": (20 * 16, width, 1, 1), "hand_position_net.conv.0.bias": (320,)}
    shapes |= linear("body_regressor.body_conv.0", width, 512)
    shapes |= linear("body_regressor.root_pose_out.0", 25 * 515, 6)
    shapes |= linear("body_regressor.body_pose_out.0", 25 * 515, 126)
    shapes |= linear("body_regressor.shape_out.0", width, 10) | linear("body_regressor.cam_out.0", width, 3)
    for i, (before, after) in zip((0, 3, 6), ((width + 400, 256), (256, 256), (256, 256)), strict=True):
        shapes[f"box_net.deconv.{i}.weight"] = (before, after, 4, 4)
        shapes |= batch_norm(f"box_net.deconv.{i + 1}", after)
    shapes |= {"box_net.bbox_center.0.weight": (3, 256, 1, 1), "box_net.bbox_center.0.bias": (3,)}
    for part in ("lhand", "rhand", "face"):
        shapes |= linear(f"box_net.{part}_size.0", 256, 256) | linear(f"box_net.{part}_size.2", 256, 2)
    for i, (before, after) in zip((0, 3), ((width, width // 2), (width // 2, width // 4)), strict=True):
        shapes[f"hand_roi_net.deconv.{i}.weight"] = (before, after, 4, 4)
        shapes |= batch_norm(f"hand_roi_net.deconv.{i + 1}", after)
    shapes |= {"hand_roi_net.conv.0.weight": (width, width // 4, 1, 1), "hand_roi_net.conv.0.bias": (width,)}
    shapes |= {"hand_regressor.hand_conv.0.weight": (512, width, 1, 1), "hand_regressor.hand_conv.0.bias": (512,)}
    shapes |= batch_norm("hand_regressor.hand_conv.1", 512) | linear("hand_regressor.hand_pose_out.0", 20 * 515, 90)
    shapes |= linear("face_regressor.expr_out.0", width, 10) | linear("face_regressor.jaw_pose_out.0", width, 6)
    return shapes | {"smplx_layer.v_template": (10475, 3), "smplx_layer.J_regressor": (55, 10475)}


def drawn(shapes: Shapes) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        is_positive = name.endswith(("running_var", "num_batches_tracked"))
        values = (
            torch.rand(shape, generator=generator) + 0.5 if is_positive else torch.randn(shape, generator=generator)
        )
        state[name] = values.long() if name.endswith("num_batches_tracked") else values * (1 if is_positive else 0.05)
    return state


def saved(path: Path, state: Mapping[str, Tensor], wrapper: str = "network") -> Path:
    """As SMPLer-X's trainer saves: from data-parallel training, with the optimizer beside it."""
    named = {f"module.{name}": tensor for name, tensor in state.items()} if wrapper == "network" else dict(state)
    torch.save({wrapper: named, "epoch": 9, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-5}]}}, path)
    return path


@pytest.fixture
def neutral(standin: Any) -> Any:
    return standin.get("smplx", "neutral")


@pytest.mark.parametrize("config", [TOKENS, SmplerXConfig(vit=VIT)], ids=["tokens", "smpler_x"])
def test_vitpose_goes_into_either_encoder(config: Any, tmp_path: Path) -> None:
    network = build(config)
    state = drawn(vitpose(VIT))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    loaded = load_public(network, saved(tmp_path / "vitpose_base.pth", state, "state_dict"))
    assert set(loaded.taken) | set(loaded.left_out) == set(state)
    assert all(name.startswith("keypoint_head.") for name in loaded.left_out)
    after = network.state_dict()
    for name, tensor in after.items():
        is_kept = torch.equal(tensor, before[name])
        assert is_kept == (name in loaded.drawn), name
    assert all(not name.startswith("encoder.") or name == "encoder.reg_token" for name in loaded.drawn)
    # ViTPose adds the position kept for a class token to that of every patch.
    position = state["backbone.pos_embed"]
    assert torch.equal(after["encoder.pos_embed"], position[:, 1:] + position[:, :1])
    assert torch.equal(after["encoder.blocks.1.mlp.fc2.weight"], state["backbone.blocks.1.mlp.fc2.weight"])
    assert torch.equal(after["encoder.norm.weight"], state["backbone.last_norm.weight"])


def older(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of other checkpoints, which SMPLer-X's own test code renames."""
    names = {"encoder.": "backbone.", "body_regressor.": "body_rotation_net.", "hand_regressor.": "hand_rotation_net."}
    found = dict(state)
    for new, old in names.items():
        found = {old + n.removeprefix(new) if n.startswith(new) else n: tensor for n, tensor in found.items()}
    return found


@pytest.mark.parametrize("is_older", [False, True])
def test_every_tensor_of_smpler_x_is_accounted_for(is_older: bool, tmp_path: Path, neutral: Any) -> None:
    network = build(PUBLISHED)
    state = drawn(smpler_x(VIT))
    named = older(state) if is_older else state
    loaded = load_public(network, saved(tmp_path / "smpler_x_s32.pth.tar", named), neutral)
    assert set(loaded.taken) | set(loaded.left_out) == set(named)
    assert {n for n in loaded.left_out if not n.endswith("num_batches_tracked")} == {
        "smplx_layer.v_template",
        "smplx_layer.J_regressor",
    }
    assert loaded.drawn == ()
    after = network.state_dict()
    for name, tensor in state.items():
        if not name.startswith(("encoder.", "smplx_layer.")) and not name.endswith("num_batches_tracked"):
            assert torch.equal(after[f"head.{name}"], tensor), name
    assert torch.equal(after["encoder.reg_token"], state["encoder.task_tokens"])
    assert {name for name in after if name.startswith("head.") and name.removeprefix("head.") not in state} == {
        "head.published.hand_mean_aa",
        "head.published.pelvis",
        "head.published.pelvis_by_beta",
    }
    prediction = network(torch.rand(1, 3, 128, 96), torch.zeros(1, 3))
    assert all(torch.isfinite(part).all() for part in prediction)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize("size", ["small", "base", "large", "huge"])
def test_the_published_sizes_fit(size: str, monkeypatch: pytest.MonkeyPatch, neutral: Any) -> None:
    with torch.device("meta"):
        network = build(smpler_x_config(size, is_published=True))
        states = [{n: torch.empty(s) for n, s in make(VITS[size]).items()} for make in (smpler_x, vitpose)]
    for state in states:
        monkeypatch.setattr("train.models.public_weights.read_state", lambda path, state=state: state)
        loaded = load_public(network, Path("checkpoint.pth"), neutral)
        assert len(loaded.taken) + len(loaded.left_out) == len(state)


def columns(rotations: Rotation) -> Tensor:
    """SMPLer-X's six numbers: a 3 x 2 matrix row by row, whose columns are those of the rotation."""
    return torch.from_numpy(rotations.as_matrix()[..., :2].astype(np.float32)).flatten()


def test_smpler_x_s_numbers_mean_the_same_body_in_the_same_place(tmp_path: Path, standin: Any, neutral: Any) -> None:
    """The checkpoint's biases say one body; SMPL-X poses it with its mean hands, SMPLer-X's camera projects it."""
    random = np.random.default_rng(0)
    root, jaw = Rotation.from_rotvec([3.0, 0.2, -0.3]), Rotation.from_rotvec([0.2, 0.05, 0.0])
    body, hand = (
        Rotation.from_rotvec(random.normal(0, 0.3, (21, 3))),
        Rotation.from_rotvec(random.normal(0, 0.3, (15, 3))),
    )
    betas, expression = random.normal(size=10).astype(np.float32), random.normal(size=10).astype(np.float32)
    numbers = np.array([0.12, 0.3, 0.7], np.float32)
    state = drawn(smpler_x(VIT))
    said = {
        "body_regressor.root_pose_out.0": columns(root),
        "body_regressor.body_pose_out.0": columns(body),
        "body_regressor.shape_out.0": torch.from_numpy(betas),
        "body_regressor.cam_out.0": torch.from_numpy(numbers),
        "hand_regressor.hand_pose_out.0": columns(hand),
        "face_regressor.jaw_pose_out.0": columns(jaw),
        "face_regressor.expr_out.0": torch.from_numpy(expression),
    }
    for name, bias in said.items():
        state[f"{name}.bias"], state[f"{name}.weight"] = bias, torch.zeros_like(state[f"{name}.weight"])
    network = build(PUBLISHED)
    load_public(network, saved(tmp_path / "smpler_x.pth.tar", state), neutral)
    with torch.no_grad():
        prediction = network(torch.rand(1, 3, 128, 96), torch.zeros(1, 3))

    mean = np.asarray(neutral.hand_mean_aa)
    assert np.abs(mean).max() > 0.1
    hand_aa = hand.as_rotvec()
    pose = np.zeros((1, 55, 3), np.float32)
    pose[0, 0], pose[0, 1:22], pose[0, 22] = root.as_rotvec(), body.as_rotvec(), jaw.as_rotvec()
    pose[0, 25:40] = hand_aa * [1, -1, -1] + mean[0]
    pose[0, 40:] = hand_aa + mean[1]
    batch = BodyBatch(
        pose_aa=pose, betas=betas[None], transl_m=np.zeros((1, 3), np.float32), expression=expression[None]
    )
    joints = np.asarray(neutral.joints(batch), np.float64)[0]
    depth = 5000 * 2.5 / np.sqrt(128 * 96) / (1 + np.exp(-numbers[2]))
    in_camera = joints + np.array([*numbers[:2], depth])
    expected_px = 5000 * in_camera[:, :2] / in_camera[:, 2:] + [48, 64]

    to_crop = torch.tensor([[[5000.0, 0, 48], [0, 5000, 64]]])
    points = Body(standin)(prediction.rotmat, prediction.betas, prediction.expression)
    pelvis_m = pelvis_from_weak(prediction.weak_camera, to_crop, (128, 96))
    found_px = project(points.joints_m + pelvis_m[:, None], to_crop)[0]
    assert np.abs(points.joints_m[0].numpy() - (joints - joints[0])).max() < 1e-4
    assert np.abs(pelvis_m[0].numpy() - in_camera[0]).max() < 1e-3
    assert np.abs(found_px.numpy() - expected_px).max() < 0.05


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {n: tensor for n, tensor in state.items() if n != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "face_regressor.expr_out.0.bias"), "missing: face_regressor.expr_out.0.bias"),
        (lambda s: without(s, "encoder.blocks.1.norm2.bias"), "missing: blocks.1.norm2.bias"),
        (lambda s: {**s, "face_regressor.eyes.0.bias": torch.zeros(3)}, "unknown: face_regressor.eyes.0.bias"),
        (lambda s: {**s, "decoder.weight": torch.zeros(3)}, "found besides decoder.weight"),
        (lambda s: {**s, "hand_regressor.hand_pose_out.0.bias": torch.zeros(48)}, r"of another shape: .*\(48,\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_changes_nothing(
    change: Any, message: str, tmp_path: Path, neutral: Any
) -> None:
    network = build(PUBLISHED)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    path = saved(tmp_path / "weights.pth.tar", change(drawn(smpler_x(VIT))))
    with pytest.raises(UsageError, match=message):
        load_public(network, path, neutral)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_wrong_networks_and_files_are_refused(tmp_path: Path, neutral: Any) -> None:
    path = saved(tmp_path / "smpler_x.pth.tar", drawn(smpler_x(VIT)))
    networks: list[Regressor] = [build(TOKENS), build(SmplerXConfig(vit=VIT))]
    for network in networks:
        with pytest.raises(UsageError, match="SMPLer-X's weights need a network with its conventions"):
            load_public(network, path, neutral)
    with pytest.raises(UsageError, match="relative to the mean hand of SMPL-X, and no such model was given"):
        load_public(build(PUBLISHED), path)
    other = VitConfig(width=32, depth=3, num_heads=2, height_px=128, width_px=96)
    vitpose_path = saved(tmp_path / "vitpose.pth", drawn(vitpose(other)), "state_dict")
    with pytest.raises(UsageError, match=r"unknown: blocks\.2\."):
        load_public(networks[0], vitpose_path)
    osx = saved(tmp_path / "osx.pth.tar", {n: t for n, t in drawn(smpler_x(VIT)).items() if n.startswith("encoder.")})
    with pytest.raises(UsageError, match="expected weights of ViTPose or SMPLer-X, found the layout osx"):
        load_public(networks[0], osx)
    plain = tmp_path / "plain.pth"
    torch.save(nn.Linear(2, 2).state_dict(), plain)
    with pytest.raises(UsageError, match="found the layout timm with weight, bias"):
        load_public(networks[0], plain)
    with pytest.raises(UsageError, match="no such file of weights"):
        load_public(networks[0], tmp_path / "none.pth")


class Hostile:
    """Runs when unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (pytest.fail, ("the pickle was run",))


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "hostile.pth"
    torch.save({"state_dict": drawn(vitpose(VIT)), "meta": Hostile()}, path)
    with pytest.raises(UsageError, match="expected nothing but tensors"):
        load_public(build(TOKENS), path)


def test_an_own_checkpoint_keeps_the_published_frame(tmp_path: Path, neutral: Any) -> None:
    network = build(PUBLISHED)
    load_public(network, saved(tmp_path / "smpler_x.pth.tar", drawn(smpler_x(VIT))), neutral)
    again = build(PUBLISHED, seed=5)
    assert isinstance(again, SmplerX)
    again.load_state_dict(network.state_dict())
    crop = torch.rand(1, 3, 128, 96)
    for a, b in zip(network(crop, torch.zeros(1, 3)), again(crop, torch.zeros(1, 3)), strict=True):
        assert torch.equal(a, b)
