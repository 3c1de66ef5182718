"""The token decoder: its start, its order of numbers, and what adaptation per sample asks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from harmonize.errors import UsageError
from train.models.prediction import ROTATIONS, Prediction, from_numbers, mean_numbers
from train.models.registry import build, smpler_x_config, tokens_config
from train.models.tokens import TokensConfig, TokensModel
from train.models.vit import VITS, VitConfig
from train.steps import Regressor

VIT = VitConfig(width=24, depth=2, num_heads=2, height_px=64, width_px=48)
SMALL = TokensConfig(vit=VIT, decoder_width=16, num_layers=1, num_heads=2, hand_queries=2)


def model(config: TokensConfig = SMALL, seed: int = 0) -> TokensModel:
    found = build(config, seed)
    assert isinstance(found, TokensModel)
    return found


def pictures(number: int = 3, vit: VitConfig = VIT, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    crop = torch.rand(number, 3, *vit.size_px, generator=generator, dtype=dtype)
    return crop, torch.rand(number, 3, generator=generator, dtype=dtype)


def loss(prediction: Prediction) -> Tensor:
    """(B,): something that depends on every number, with curvature."""
    parts = [
        (part * torch.linspace(1, 2, part[0].numel(), dtype=part.dtype).view(part[0].shape)) for part in prediction
    ]
    return torch.stack([part.flatten(1).sin().sum(1) for part in parts]).sum(0)


def test_it_starts_near_the_mean_body() -> None:
    prediction = model(tokens_config("tiny"))(*pictures(2, VITS["tiny"], torch.float32))
    expected = from_numbers(mean_numbers().expand(2, -1))
    for found, mean in zip(prediction, expected, strict=True):
        assert found.shape == mean.shape
        assert 0 < (found - mean).abs().max() < 0.1


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("body", {"global_orient", "body_pose", "betas"}),
        ("left_hand", {"left_hand"}),
        ("right_hand", {"right_hand"}),
        ("face", {"jaw", "expression"}),
        ("camera", {"weak_camera"}),
    ],
)
def test_every_part_says_its_own_numbers(part: str, changed: set[str]) -> None:
    network = model().double()
    before = network(*pictures())
    output = network.head.outputs[part]
    assert isinstance(output, nn.Linear)
    with torch.no_grad():
        output.bias.copy_(torch.linspace(-0.4, 0.4, len(output.bias)))
    after = network(*pictures())
    differs = {name for name in before._fields if not torch.equal(getattr(before, name), getattr(after, name))}
    if "rotmat" in differs:
        differs.remove("rotmat")
        moved = (before.rotmat - after.rotmat).abs().amax((0, 2, 3)) > 1e-9
        differs |= {name for name, at in ROTATIONS.items() if moved[at].any()}
        assert all(moved[at].all() or not moved[at].any() for at in ROTATIONS.values())
    assert differs == changed


def test_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = model().state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = model().state_dict(), model(seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_head_is_all_that_decoding_uses() -> None:
    network = model().double()
    crop, condition = pictures()
    tokens = network.encode(crop, condition)
    assert tokens.shape == (3, 12, 24)
    loss(network.decode(tokens.detach(), condition)).sum().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == name.startswith(network.head_names), name
    assert not torch.equal(network(crop, condition)[0], network(crop, condition + 1)[0])


def test_no_sample_depends_on_others_on_chance_or_on_the_mode() -> None:
    network = model().double()
    crop, condition = pictures()
    together = network.train()(crop, condition)
    for at in (slice(0, 1), slice(2, 3)):
        alone = network.eval()(crop[at], condition[at])
        for one, many in zip(alone, together, strict=True):
            assert torch.allclose(one, many[at], rtol=0, atol=1e-12)


def adapted_gradients(network: Regressor, names: list[str], forward: Callable[..., Prediction]) -> list[Tensor]:
    """Of an outer loss after one inner step per sample, second order, to each sample's own weights (B, ...)."""
    fast = {name: value.detach().expand(3, *value.shape).clone() for name, value in network.named_parameters()}
    fast = {name: value.requires_grad_(name in names) for name, value in fast.items()}
    inner = loss(forward(fast)).sum()
    gradients = torch.autograd.grad(inner, [fast[name] for name in names], create_graph=True)
    stepped = {**fast, **{name: fast[name] - 0.1 * g for name, g in zip(names, gradients, strict=True)}}
    outer = loss(forward(stepped)).cos().sum()
    return list(torch.autograd.grad(outer, [fast[name] for name in names]))


@pytest.mark.parametrize("subset", ["head.", ""])
def test_mapping_over_weights_is_a_loop_in_second_order_too(subset: str) -> None:
    network = model().double()
    crop, condition = pictures()
    names = [name for name, _ in network.named_parameters() if name.startswith(subset)]

    def one(weights: dict[str, Tensor], crop: Tensor, condition: Tensor) -> Prediction:
        found = functional_call(network, weights, (crop[None], condition[None]))
        return Prediction(*(part[0] for part in found))

    def mapped(weights: dict[str, Tensor]) -> Prediction:
        found: Prediction = vmap(one)(weights, crop, condition)
        return found

    def looped(weights: dict[str, Tensor]) -> Prediction:
        rows = [one({name: value[i] for name, value in weights.items()}, crop[i], condition[i]) for i in range(3)]
        return Prediction(*(torch.stack(parts) for parts in zip(*rows, strict=True)))

    in_map = adapted_gradients(network, names, mapped)
    for name, a, b in zip(names, in_map, adapted_gradients(network, names, looped), strict=True):
        assert torch.isfinite(a).all(), name
        # A key's bias moves all scores alike: its gradient is zero but for rounding, hence the absolute part.
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-11), name
    if not subset:
        assert any(
            name.startswith("encoder.") and gradient.abs().max() > 0
            for name, gradient in zip(names, in_map, strict=True)
        )


def test_second_derivatives_agree_with_differences_of_first_ones() -> None:
    network = model().double()
    crop, condition = pictures(1)
    weights = [parameter for _, parameter in network.named_parameters()]
    generator = torch.Generator().manual_seed(3)
    direction = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]

    def gradients(create_graph: bool = False) -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss(network(crop, condition)).sum(), weights, create_graph=create_graph)

    slope = sum((g * d).sum() for g, d in zip(gradients(create_graph=True), direction, strict=True))
    assert isinstance(slope, Tensor)
    exact = torch.autograd.grad(slope, weights)
    step, shifted = 1e-5, []
    for sign in (1, -2):
        with torch.no_grad():
            for weight, along in zip(weights, direction, strict=True):
                weight += sign * step * along
        shifted.append(gradients())
    differences = [(a - b) / (2 * step) for a, b in zip(*shifted, strict=True)]
    scale = max(e.abs().max() for e in exact)
    for e, d in zip(exact, differences, strict=True):
        assert (e - d).abs().max() < 1e-5 * scale


def test_checkpointing_changes_no_derivative() -> None:
    crop, condition = pictures(2)
    found = []
    for use_checkpoint in (False, True):
        network = model(replace(SMALL, vit=replace(VIT, use_checkpoint=use_checkpoint))).double()
        weights = list(network.parameters())
        first = torch.autograd.grad(loss(network(crop, condition)).sum(), weights, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), weights)  # type: ignore[arg-type]
        found.append([*first, *second])
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-13) for a, b in zip(*found, strict=True))


def test_checkpointing_keeps_less_for_the_backward_pass() -> None:
    kept = []
    for use_checkpoint in (False, True):
        network = model(replace(SMALL, vit=replace(VIT, depth=8, use_checkpoint=use_checkpoint))).double()
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.numel()) or t, lambda t: t):  # type: ignore[misc]
            network.encode(*pictures(2))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


def test_fused_attention_says_the_same() -> None:
    crop, condition = pictures(2, dtype=torch.float32)
    plain, fused = (model(replace(SMALL, vit=replace(VIT, fused_attention=at))) for at in (False, True))
    for a, b in zip(plain(crop, condition), fused(crop, condition), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_half_precision_leaves_rotations_exact() -> None:
    crop, condition = pictures(2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        rotmat = model()(crop, condition).rotmat
    assert rotmat.dtype == torch.float32
    assert torch.allclose(rotmat @ rotmat.mT, torch.eye(3), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "width", "depth"), [("small", 384, 12), ("base", 768, 12), ("large", 1024, 24), ("huge", 1280, 32)]
)
def test_sizes_are_those_of_vitpose(size: str, width: int, depth: int) -> None:
    with torch.device("meta"):
        network = build(tokens_config(size, use_checkpoint=True))
    assert network.size_px == (256, 192)
    count = sum(p.numel() for p in network.get_submodule("encoder").parameters())
    patches, positions = (3 * 16 * 16 + 1) * width, 16 * 12 * width
    assert count == patches + positions + depth * (12 * width**2 + 13 * width) + 2 * width


@pytest.mark.parametrize(
    "change",
    [{"width": 25}, {"depth": 0}, {"height_px": 70}, {"patch_px": -16}],
)
def test_encoder_sizes_that_do_not_fit_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="encoder: expected"):
        replace(VIT, **change)


@pytest.mark.parametrize("change", [{"decoder_width": 15}, {"num_layers": 0}, {"hand_queries": 0}])
def test_decoder_sizes_that_do_not_fit_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="token decoder: expected"):
        replace(SMALL, **change)


def test_unknown_sizes_are_refused() -> None:
    for make in (tokens_config, smpler_x_config):
        with pytest.raises(UsageError, match="tiny, small, base, large, huge, found 'giant'"):
            make("giant")
