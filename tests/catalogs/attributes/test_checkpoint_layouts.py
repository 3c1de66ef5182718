"""Published checkpoints on timm networks: made-up tensors under the published names, against forward passes that follow
the publications, written here without timm."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from catalogs.attributes.features import layouts
from catalogs.attributes.features.backbones import Request, open_network
from catalogs.attributes.features.checkpoints import read_state
from harmonize.errors import EhpsError, RawFileError, UsageError

ARCHITECTURE = "test_vit"  # timm's own small one: 64 wide, 6 blocks, 2 heads, patches of 16 px, three-fold MLP
WIDTH, DEPTH, HEADS, MLP = 64, 6, 2, 192

State = dict[str, torch.Tensor]


def encoder(
    positions: int, *, last_norm: str, width: int = WIDTH, depth: int = DEPTH, mlp: int = MLP, patch: int = 16
) -> State:
    """The tensors that all three publications share, by their names there."""
    generator = torch.Generator().manual_seed(positions + depth)

    def of(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.2

    state = {"pos_embed": of(1, positions, width), "patch_embed.proj.weight": of(width, 3, patch, patch)}
    state["patch_embed.proj.bias"] = of(width)
    for i in range(depth):
        shapes = {"attn.qkv": (3 * width, width), "attn.proj": (width, width), "mlp.fc1": (mlp, width)}
        for name, shape in {**shapes, "mlp.fc2": (width, mlp), "norm1": (width,), "norm2": (width,)}.items():
            state[f"blocks.{i}.{name}.weight"], state[f"blocks.{i}.{name}.bias"] = of(*shape), of(shape[0])
    return state | {f"{last_norm}.weight": of(width), f"{last_norm}.bias": of(width)}


def vitpose() -> State:
    inner = encoder(1 + 16 * 12, last_norm="last_norm")
    head = {"keypoint_head.final_layer.weight": torch.zeros(17, 8, 1, 1)}
    return {f"backbone.{name}": tensor for name, tensor in inner.items()} | head


def osx(prefix: str = "module.encoder.") -> State:
    inner = encoder(1 + 16 * 12, last_norm="last_norm") | {"task_tokens": torch.randn(1, 31, WIDTH)}
    return {prefix + name: tensor for name, tensor in inner.items()} | {
        "module.box_net.deconv.0.weight": torch.zeros(2)
    }


def humanbench(*, is_ladder: bool = False) -> State:
    inner = encoder(14 * 14, last_norm="norm") | {"blocks.0.attn.rel_pos_h": torch.zeros(27, 32)}
    neck = {"neck_module.side_gate_params.0": torch.zeros(1)} if is_ladder else {}
    return {f"module.backbone_module.{name}": tensor for name, tensor in inner.items()} | {
        f"module.{name}": tensor for name, tensor in neck.items()
    }


def tokens(
    state: State, picture: torch.Tensor, position: torch.Tensor, *, padding: int, front: torch.Tensor | None = None
) -> list[torch.Tensor]:
    """What enters each block and what leaves the last: the pre-norm ViT of all three publications, eps 1e-6."""
    functional = nn.functional
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    x = functional.conv2d(picture, weight, bias, stride=16, padding=padding).flatten(2).transpose(1, 2) + position
    if front is not None:
        x = torch.cat([front.expand(len(x), -1, -1), x], dim=1)
    found = [x]
    for i in range(DEPTH):
        block = {k.removeprefix(f"blocks.{i}."): v for k, v in state.items() if k.startswith(f"blocks.{i}.")}
        y = functional.layer_norm(x, (WIDTH,), block["norm1.weight"], block["norm1.bias"], 1e-6)
        qkv = functional.linear(y, block["attn.qkv.weight"], block["attn.qkv.bias"])
        q, k, v = qkv.reshape(*y.shape[:2], 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5).softmax(-1)
        y = (attention @ v).transpose(1, 2).flatten(2)
        x = x + functional.linear(y, block["attn.proj.weight"], block["attn.proj.bias"])
        y = functional.layer_norm(x, (WIDTH,), block["norm2.weight"], block["norm2.bias"], 1e-6)
        y = functional.gelu(functional.linear(y, block["mlp.fc1.weight"], block["mlp.fc1.bias"]))
        x = x + functional.linear(y, block["mlp.fc2.weight"], block["mlp.fc2.bias"])
        found.append(x)
    return found


def normed(state: State, x: torch.Tensor, name: str) -> torch.Tensor:
    return nn.functional.layer_norm(x, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def features(path: Path, picture: torch.Tensor) -> np.ndarray:
    return open_network(Request(architecture=ARCHITECTURE, weights=path)).vectors(picture.numpy(), "cpu")


@pytest.fixture
def person_picture() -> torch.Tensor:
    return torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(1))


def test_vitpose(tmp_path: Path, person_picture: torch.Tensor) -> None:
    path = saved(tmp_path / "vitpose.pth", {"state_dict": vitpose(), "meta": {"epoch": 210}})
    inner = {name.removeprefix("backbone."): tensor for name, tensor in vitpose().items()}
    position = inner["pos_embed"][:, 1:] + inner["pos_embed"][:, :1]
    expected = normed(inner, tokens(inner, person_picture, position, padding=2)[-1], "last_norm").mean(dim=1)
    np.testing.assert_allclose(features(path, person_picture), expected, rtol=1e-3, atol=1e-4)
    network = open_network(Request(architecture=ARCHITECTURE, weights=path))
    assert network.preprocessing.size_px == (256, 192)
    assert network.preprocessing.mean == layouts.IMAGENET_MEAN
    assert (network.facts["layout"], network.facts["position_embedding"]) == ("vitpose", "as trained")


@pytest.mark.parametrize("prefix", ["module.encoder.", "encoder.", "module.backbone."])
def test_osx_and_smpler_x(tmp_path: Path, person_picture: torch.Tensor, prefix: str) -> None:
    content = {"epoch": 9, "network": osx(prefix), "optimizer": {"state": {}, "param_groups": []}}
    path = saved(tmp_path / "snapshot_9.pth.tar", content)
    inner = {name.removeprefix(prefix): tensor for name, tensor in content["network"].items()}
    position = inner["pos_embed"][:, 1:] + inner["pos_embed"][:, :1]
    out = tokens(inner, person_picture, position, padding=2, front=inner["task_tokens"])[-1]
    expected = normed(inner, out, "last_norm")[:, 31:].mean(dim=1)
    np.testing.assert_allclose(features(path, person_picture), expected, rtol=1e-3, atol=1e-4)
    preprocessing = open_network(Request(architecture=ARCHITECTURE, weights=path)).preprocessing
    assert (preprocessing.mean, preprocessing.std) == ((0, 0, 0), (1, 1, 1))
    assert preprocessing.view == "person"


@pytest.mark.parametrize("is_ladder", [False, True])
def test_humanbench(tmp_path: Path, is_ladder: bool) -> None:
    picture = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    state = humanbench(is_ladder=is_ladder)
    path = saved(tmp_path / "path.pth", {"step": 1, "state_dict": state, "optimizer": {}})
    inner = {name.removeprefix("module.backbone_module."): tensor for name, tensor in state.items()}
    found = tokens(inner, picture, inner["pos_embed"], padding=0)
    expected = found[-2] if is_ladder else normed(inner, found[-1], "norm")
    np.testing.assert_allclose(features(path, picture), expected.mean(dim=1), rtol=1e-3, atol=1e-4)
    facts = open_network(Request(architecture=ARCHITECTURE, weights=path)).facts
    assert facts["features_of"] == ("input of the last block" if is_ladder else "output")


def test_timm_names_in_safetensors_without_the_classifier(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from catalogs.attributes.features.timm_import import timm

    torch.manual_seed(3)
    model = timm().create_model(ARCHITECTURE).eval()
    save_file(model.state_dict(), tmp_path / "own.safetensors")
    picture = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(picture), pre_logits=True)
    np.testing.assert_allclose(features(tmp_path / "own.safetensors", picture), expected, rtol=1e-3, atol=1e-5)


def test_another_picture_size_resamples_the_position_embedding_and_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path / "vitpose.pth", {"state_dict": vitpose()})
    network = open_network(Request(architecture=ARCHITECTURE, weights=path, size_px=(128, 128)))
    assert network.facts["position_embedding"] == "resampled from (16, 12) to (8, 8) patches, bicubic"
    assert network.vectors(np.zeros((1, 3, 128, 128), np.float32), "cpu").shape == (1, WIDTH)


def test_the_smallest_pose_network_has_twelve_heads_where_timm_has_six() -> None:
    state = {f"backbone.{name}": tensor for name, tensor in encoder(193, last_norm="last_norm", width=384).items()}
    assert layouts.layout_of(state, "f").arguments["num_heads"] == 12
    state = {f"backbone.{name}": tensor for name, tensor in encoder(193, last_norm="last_norm", width=192).items()}
    assert "num_heads" not in layouts.layout_of(state, "f").arguments


@pytest.mark.parametrize(("width", "depth", "architecture"), [(w, d, name) for (w, d), name in layouts.VITS.items()])
def test_each_vit_is_told_by_width_and_depth(width: int, depth: int, architecture: str) -> None:
    from catalogs.attributes.features.timm_import import timm

    state = {
        "patch_embed.proj.weight": torch.empty(width, 3, 16, 16),
        f"blocks.{depth - 1}.norm1.weight": torch.empty(1),
    }
    assert layouts.likely_architecture(state) == architecture
    with torch.device("meta"):
        model = timm().create_model(architecture)
    assert (model.embed_dim, len(model.blocks), model.patch_embed.patch_size) == (width, depth, (16, 16))


def wrong(change: Callable[[State], State]) -> dict[str, State]:
    return {"state_dict": change(vitpose())}


CASES = {
    "too wide": (
        lambda s: {f"backbone.{n}": t for n, t in encoder(193, last_norm="last_norm", width=192, depth=12).items()},
        r"expected weights of test_vit, found .*\(192, 3, 16, 16\).*looks like vit_tiny_patch16_224",
    ),
    "too deep": (
        lambda s: {f"backbone.{n}": t for n, t in encoder(193, last_norm="last_norm", depth=7).items()},
        r"12 unexpected \(blocks\.6\..*depth 7",
    ),
    "too shallow": (
        lambda s: {n: t for n, t in s.items() if "blocks.5." not in n},
        r"12 of 77 tensors missing \(blocks\.5\.norm1\.weight.*depth 5",
    ),
    "experts": (
        lambda s: s | {"backbone.blocks.0.mlp.experts.0.weight": torch.zeros(1)},
        r"1 unexpected \(blocks\.0\.mlp\.experts\.0\.weight",
    ),
    "no positions": (lambda s: {n: t for n, t in s.items() if "pos_embed" not in n}, "position embedding pos_embed"),
    "odd grid": (lambda s: s | {"backbone.pos_embed": torch.zeros(1, 1 + 7 * 11, WIDTH)}, "found 77 positions"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, name: str) -> None:
    change, message = CASES[name]
    path = saved(tmp_path / "w.pth", wrong(change))
    with pytest.raises(UsageError, match=message) as caught:
        open_network(Request(architecture=ARCHITECTURE, weights=path))
    assert "w.pth" in str(caught.value)
    assert caught.value.fix


def test_a_vit_on_a_convolutional_architecture_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", {"state_dict": vitpose()})
    with pytest.raises(UsageError, match=r"weights of tf_efficientnet_lite0, found an encoder of layout vitpose"):
        open_network(Request(architecture="tf_efficientnet_lite0", weights=path))


def test_the_convolutional_weights_on_another_size_of_network_are_refused() -> None:
    from catalogs.attributes.features.backbones import _default_weights

    with pytest.raises(UsageError, match="expected weights of tf_efficientnet_lite1, found"):
        open_network(Request(architecture="tf_efficientnet_lite1", weights=_default_weights()))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran",))


@pytest.mark.parametrize("is_old_format", [False, True])
def test_pickled_classes_are_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], is_old_format: bool) -> None:
    content = {"state_dict": vitpose(), "meta": Evil()}
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=not is_old_format)
    with pytest.raises(UsageError, match=r"evil\.pth: expected nothing but tensors, found pickled .*print") as caught:
        read_state(tmp_path / "evil.pth")
    assert "weights_only=False" in str(caught.value.fix)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps({"a": 1}), b"PK\x03\x04 torn"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(EhpsError, match=rf"w\.{suffix}"):
        read_state(path)


def test_a_file_without_tensors_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(RawFileError, match="found the entries epoch, loss"):
        read_state(saved(tmp_path / "w.pth", {"epoch": 1, "loss": 0.5}))
    with pytest.raises(UsageError, match="no such file of weights"):
        read_state(tmp_path / "absent.pth")
