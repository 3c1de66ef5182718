"""Configs as JSON and back, settings by dotted name, and messages that name the field."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from small_training import small_config

from harmonize.errors import UsageError
from train.config import OptimConfig, TrainConfig
from train.meta.config import DualConfig
from train.models.registry import smpler_x_config
from train.settings import from_plain, to_plain, with_settings

PLAIN = small_config()
DUAL = small_config(dual=DualConfig(chunk=2), ema=0.99, subset="fixed")
SMPLER_X = small_config(model=smpler_x_config("base"), steps=None, epochs=2.5, pseudo_labels="there")


@pytest.mark.parametrize("config", [PLAIN, DUAL, SMPLER_X])
def test_a_config_is_the_same_after_json(config: TrainConfig) -> None:
    assert from_plain(TrainConfig, json.loads(json.dumps(to_plain(config)))) == config


def test_settings_take_the_type_of_their_field() -> None:
    settings = [
        *("optim.lr=1e-4", "optim.betas=0.9,0.95", "optim.clip=none", "batch_size=16", "compile=true", "ema=0.5"),
        *("steps=none", "epochs=2", "model.vit.depth=3", "precision=bf16", "init=somewhere", "loss.vertices=0"),
        *("benchmarks=ehf,ubody", "validate_every=5"),
    ]
    changed = with_settings(PLAIN, settings)
    assert changed == replace(
        PLAIN,
        optim=replace(PLAIN.optim, lr=1e-4, betas=(0.9, 0.95), clip=None),
        batch_size=16,
        compile=True,
        ema=0.5,
        steps=None,
        epochs=2.0,
        model=replace(PLAIN.model, vit=replace(PLAIN.model.vit, depth=3)),
        precision="bf16",
        init="somewhere",
        loss=replace(PLAIN.loss, vertices=0.0),
        benchmarks=("ehf", "ubody"),
        validate_every=5,
    )
    assert [type(value) for value in (changed.epochs, changed.init, changed.precision)] == [float, str, str]
    assert with_settings(changed, ["benchmarks=", "validate_every=none"]).benchmarks == ()
    assert with_settings(DUAL, ["dual=none"]).dual is None
    assert with_settings(DUAL, ["dual.order=second", "dual.auxiliary=meta"]).dual == DualConfig(
        chunk=2, order="second", auxiliary="meta"
    )


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("optim.learning=1", r"optim.learning: there is no such field\n  fix: did you mean optim.lr"),
        ("dual.oder=first", r"did you mean dual.order"),
        ("lr=2", r"lr: there is no such field\n  fix: did you mean optim.lr"),
        ("model.vit.kind=3", r"model.vit.kind: there is no such field"),
        ("optim.lr.x=3", r"optim.lr.x: there is no such field"),
        ("optim=3", r"expected one of its fields\n  fix: such as optim.lr"),
        ("optim.lr", "expected name=value"),
        ("precision=fp8", "precision: expected fp32 or bf16 or fp16, found fp8"),
        ("batch_size=1.5", "batch_size: expected a whole number, found 1.5"),
        ("optim.lr=fast", "optim.lr: expected a number, found fast"),
        ("optim.lr=nan", "optim.lr: expected a finite number"),
        ("compile=yes", "compile: expected true or false, found yes"),
        ("batch_size=none", "batch_size: expected a whole number, found none"),
        ("optim.betas=0.9", "optim.betas: expected 2 values, found 0.9"),
        ("optim.betas=0.9,x", r"optim.betas\[1\]: expected a number, found x"),
        ("optim.lr=-1", "optim: lr: expected more than 0, found -1"),
        ("optim.min_lr=1", r"optim: min_lr: expected 0 to lr \(0.001\), found 1"),
        ("steps=0", "steps: expected 1 or more, or none, found 0"),
        ("epochs=2", "steps, epochs: expected one of them, the other none"),
        ("accumulate=9", r"accumulate: expected at most batch_size \(8\), found 9"),
        ("ema=1", "ema: expected a share between 0 and 1"),
        ("explode=1", "explode: expected more than 1"),
        ("validate_every=3", "validate_every, benchmarks: expected both or neither"),
        ("dual.auxiliary=meta", "dual: auxiliary='meta' with order='first'"),
        ("sharding=fsdp", "sharding: expected ddp with dual networks"),
        ("compile=true", "compile: expected false with dual networks"),
        ("pseudo_labels=x", "pseudo_labels: expected none with dual networks"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        with_settings(DUAL, [setting])


def test_a_network_needs_no_half_of_what_it_cannot_have() -> None:
    with pytest.raises(UsageError, match="precision: expected bf16 or fp32 with sharding=fsdp"):
        with_settings(PLAIN, ["sharding=fsdp", "precision=fp16"])
    with pytest.raises(UsageError, match="model: expected a token decoder with dual networks, found SmplerXConfig"):
        replace(SMPLER_X, dual=DualConfig())
    with pytest.raises(UsageError, match="auxiliary_init: expected none without dual networks"):
        with_settings(PLAIN, ["auxiliary_init=x"])


def test_files_with_other_fields_are_refused() -> None:
    plain = to_plain(PLAIN)
    with pytest.raises(UsageError, match=r"optim.rate: there is no such field"):
        from_plain(TrainConfig, {**plain, "optim": {**plain["optim"], "rate": 1}})
    model = plain["model"]
    with pytest.raises(UsageError, match=r"model.vit.width: expected a whole number, found 32.5"):
        from_plain(TrainConfig, {**plain, "model": {**model, "vit": {**model["vit"], "width": 32.5}}})
    with pytest.raises(UsageError, match="model: expected kind to be TokensConfig or SmplerXConfig, found Other"):
        from_plain(TrainConfig, {**plain, "model": {**plain["model"], "kind": "Other"}})
    with pytest.raises(UsageError, match="model: expected a value, found none"):
        from_plain(TrainConfig, {"steps": 3})
    with pytest.raises(UsageError, match="compile: expected true or false, found 1"):
        from_plain(TrainConfig, {**plain, "compile": 1})
    with pytest.raises(UsageError, match="optim: expected OptimConfig, found TrainConfig"):
        from_plain(OptimConfig, {"kind": "TrainConfig"}, "optim")


def test_a_run_is_as_long_as_its_epochs_or_steps() -> None:
    assert PLAIN.num_steps(44) == 12
    assert replace(PLAIN, steps=None, epochs=2.5).num_steps(44) == 15  # 6 batches an epoch, the last one shorter
    assert replace(PLAIN, steps=None, epochs=0.01).num_steps(44) == 1
