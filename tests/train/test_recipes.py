"""Every recipe is whole, says what mixture it is for, and has the published values where it claims them."""

from __future__ import annotations

import json
import re

import pytest

from benchmark.proposers import PROPOSERS
from harmonize.errors import UsageError
from train.config import TrainConfig
from train.models.smpler_x import SmplerXConfig
from train.recipes import RECIPES, recipe
from train.settings import from_plain, to_plain


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_valid_config_that_survives_json(name: str) -> None:
    config = recipe(name).make()
    assert from_plain(TrainConfig, json.loads(json.dumps(to_plain(config)))) == config
    method = re.search(r"--method (\S+)", recipe(name).selection)
    assert method is not None
    assert method[1] in PROPOSERS
    assert recipe(name).what


@pytest.mark.parametrize(
    ("name", "width", "batch", "draws"),
    [
        ("smpler_x_s5", 384, 512, 750_000),
        ("smpler_x_b10", 768, 512, 1_500_000),
        ("smpler_x_l20", 1024, 512, 3_000_000),
        ("smpler_x_h32", 1280, 256, 4_500_000),
    ],
)
def test_smpler_x_is_trained_as_published(name: str, width: int, batch: int, draws: int) -> None:
    config = recipe(name).make()
    assert isinstance(config.model, SmplerXConfig)
    assert (config.model.vit.width, config.batch_size, config.epochs, config.subset) == (width, batch, 10, "fixed")
    assert (config.optim.lr, config.optim.min_lr, config.optim.weight_decay) == (1e-5, 1e-6, 0)
    assert (config.augment.scale, config.augment.rotation_deg, config.augment.flip_probability) == (0.25, 30, 0.5)
    assert f"--budget {draws} " in recipe(name).selection
    assert config.model.vit.use_checkpoint == (width >= 1024)


def test_specialists_start_from_a_checkpoint() -> None:
    config = recipe("finetune_agora").make()
    assert (config.optim.lr, config.optim.min_lr, config.epochs) == (1e-5, 5e-7, 5)
    assert [name for name, one in RECIPES.items() if one.needs_init] == [
        name for name in RECIPES if name.startswith("finetune_")
    ]


def test_dual_networks_can_be_differentiated_twice() -> None:
    for name in ("dual_meta_s", "dual_meta_b", "toy_dual"):
        config = recipe(name).make()
        assert config.dual is not None
        assert config.dual.order == "second"
        assert not config.model.vit.fused_attention
        assert not config.model.vit.use_checkpoint


def test_an_unknown_recipe_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"fix: choose one of toy, toy_dual"):
        recipe("toys")
