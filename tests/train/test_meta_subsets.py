"""Which tensors adapt, what low-rank tensors do, and which networks are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from meta_toys import Toy, batch
from torch import Tensor, nn

from harmonize.errors import UsageError
from train.meta.stack import seen
from train.meta.subsets import LowRankLinear, Rates, adapted_names, add_low_rank, check_adaptable
from train.models.registry import build, tokens_config

HEAD = {f"head.{layer}.{tensor}" for layer in ("mix", "norm", "rest", "hands") for tensor in ("weight", "bias")}


def test_subsets_are_the_tensors_they_say() -> None:
    toy = Toy()
    assert set(adapted_names(toy, "head")) == HEAD
    norms = {f"{layer}.{tensor}" for layer in ("blocks.0.norm", "norm") for tensor in ("weight", "bias")}
    assert set(adapted_names(toy, "head+norm")) == HEAD | norms
    assert adapted_names(toy, "all") == tuple(name for name, _ in toy.named_parameters())
    with pytest.raises(UsageError, match="add_low_rank first"):
        adapted_names(toy, "head+lora")
    add_low_rank(toy, 2)
    low = {f"blocks.0.attn.{layer}.low_rank_{side}" for layer in ("qkv", "proj") for side in ("in", "out")}
    assert set(adapted_names(toy, "head+lora")) == HEAD | low
    assert set(adapted_names(toy, "head")) == HEAD


def test_low_rank_tensors_of_a_transformer_sit_in_every_block() -> None:
    network = build(tokens_config("tiny"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    add_low_rank(network, 8)
    found = set(adapted_names(network, "head+lora")) - set(adapted_names(network, "head"))
    assert found == {
        f"encoder.blocks.{block}.attn.{layer}.low_rank_{side}"
        for block in range(4)
        for layer in ("qkv", "proj")
        for side in ("in", "out")
    }
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())  # under their own names


def answers(toy: Toy) -> Tensor:
    return torch.cat([value.flatten(1) for value in toy(*seen(toy, batch(3).observed))], dim=1)


def test_low_rank_tensors_change_nothing_at_first_and_a_product_later() -> None:
    plain, changed = Toy(), Toy()
    add_low_rank(changed, 2, seed=3)
    assert torch.equal(answers(plain), answers(changed))
    qkv = changed.blocks[0].attn.qkv
    assert isinstance(qkv, LowRankLinear)
    qkv.low_rank_out.data.normal_(generator=torch.Generator().manual_seed(0))
    plain.blocks[0].attn.qkv.weight.data += qkv.low_rank_out.data @ qkv.low_rank_in.data
    torch.testing.assert_close(answers(plain), answers(changed), rtol=0, atol=1e-12)


def test_low_rank_tensors_are_drawn_from_their_seed_and_added_once() -> None:
    one, same, other = Toy(), Toy(), Toy()
    for toy, seed in ((one, 1), (same, 1), (other, 2)):
        add_low_rank(toy, 2, seed=seed)
    name = "blocks.0.attn.qkv.low_rank_in"
    assert torch.equal(one.get_parameter(name), same.get_parameter(name))
    assert not torch.equal(one.get_parameter(name), other.get_parameter(name))
    kept = one.get_parameter(name)
    add_low_rank(one, 2)
    assert one.get_parameter(name) is kept
    with pytest.raises(UsageError, match="of rank 2; asked for 3"):
        add_low_rank(one, 3)


def test_a_network_with_low_rank_tensors_is_copied_and_loaded_like_any_other() -> None:
    toy = Toy(seed=1)
    add_low_rank(toy, 2)
    toy.blocks[0].attn.qkv.low_rank_out.data += 1
    other = Toy()
    add_low_rank(other, 2)
    other.load_state_dict(toy.state_dict())
    assert torch.equal(answers(toy), answers(other))
    assert torch.equal(answers(toy), answers(copy.deepcopy(toy)))


class Drop(nn.Identity):
    """A drop path as libraries write it."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.BatchNorm1d(8), "odd .BatchNorm1d. normalises by the batch"),
        (nn.SyncBatchNorm(8), "odd .SyncBatchNorm. normalises by the batch"),
        (nn.Dropout(0.1), "odd .Dropout. drops at random"),
        (Drop(0.2), "odd .Drop. drops at random"),
        (nn.MultiheadAttention(8, 2, dropout=0.1), "odd .MultiheadAttention. drops at random"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_chance_and_batch_statistics_are_refused(layer: nn.Module, message: str, training: bool) -> None:
    toy = Toy()
    toy.odd = layer
    toy.train(training)  # evaluation mode is no excuse: training would turn it on
    with pytest.raises(UsageError, match=message):
        adapted_names(toy, "head")


@pytest.mark.parametrize("layer", [nn.Dropout(0.0), Drop(0.0), nn.MultiheadAttention(8, 2), nn.InstanceNorm1d(8)])
def test_layers_that_drop_nothing_are_not(layer: nn.Module) -> None:
    toy = Toy()
    toy.odd = layer
    check_adaptable(toy)
    check_adaptable(build(tokens_config("tiny")))


def test_networks_without_such_tensors_are_refused() -> None:
    toy = Toy()
    toy.blocks[0].attn = nn.Identity()
    with pytest.raises(UsageError, match="no attention layers"):
        add_low_rank(toy, 2)
    toy.head_names = ("nowhere.",)
    with pytest.raises(UsageError, match="nowhere"):
        adapted_names(toy, "head")


@pytest.mark.parametrize(("subset", "rates"), [("head", {1e-4}), ("head+norm", {1e-4, 1e-3}), ("all", {1e-4, 1e-3})])
def test_rates_start_as_configured(subset: Any, rates: set[float]) -> None:
    found = Rates.of(Toy(), subset)
    assert {round(value.item(), 12) for value in found().values()} == rates
    for name, value in found().items():
        assert value.item() == pytest.approx(1e-4 if name.startswith("head.") else 1e-3)
    assert tuple(found()) == found.names
