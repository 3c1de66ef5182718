"""The runs of `bench_meta` one by one, each kept in the cache folder under a hash of configuration and code.

A run that was interrupted goes on where it stopped: what is there is read, what is missing is made.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import meta_adaptation
import meta_errors
import meta_people
import meta_pseudo
import meta_training
import meta_world
import torch
from meta_adaptation import measured
from meta_pseudo import examined
from meta_training import Trained, TrainingConfig, network, start, trained
from meta_world import World, WorldConfig, build

import train
from harmonize.bodies import BodyModels
from harmonize.cache import cache_dir
from harmonize.whole import whole_file, write_whole
from train.body import Body
from train.losses.vertex_subset import vertex_subset
from train.meta.subsets import Rates
from train.models.tokens import TokensModel


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """The world, the training, and the seeds of the runs."""

    world: WorldConfig = field(default_factory=lambda: WorldConfig(num_train=20_000))
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seeds: tuple[int, ...] = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of the table. training: of `meta_training.TRAININGS`; has_pseudo: whether pseudo labels enter adaptation;
    rates_of: the training whose learned rates are taken where its own learned none. pseudo_steps: how many first steps
    heed the pseudo labels, None for all."""

    key: str
    title: str
    training: str
    has_pseudo: bool = True
    rates_of: str = ""
    pseudo_steps: int | None = None


FIRST = 3
"""Steps that heed pseudo labels where not all do: as many as meta-training takes."""

VARIANTS: tuple[Variant, ...] = (
    Variant("plain", "plain training", "plain", has_pseudo=False),
    Variant("pseudo_all", "plain, pseudo labels in all steps", "plain"),
    Variant("pseudo", "plain, pseudo labels", "plain", pseudo_steps=FIRST),
    Variant("pseudo_rates", "plain, pseudo labels, rates of dual-meta", "plain", rates_of="dual", pseudo_steps=FIRST),
    Variant("batch_all", "batch-shared inner step, pseudo labels in all steps", "batch"),
    Variant("batch", "batch-shared inner step", "batch", pseudo_steps=FIRST),
    Variant("frozen_all", "frozen auxiliary, pseudo labels in all steps", "frozen"),
    Variant("frozen", "frozen auxiliary", "frozen", pseudo_steps=FIRST),
    Variant("none", "no auxiliary", "none", has_pseudo=False),
    Variant("dual_all", "dual-meta, pseudo labels in all steps", "dual"),
    Variant("dual_2d", "dual-meta, adapted on 2D alone", "dual", has_pseudo=False),
    Variant("dual", "dual-meta", "dual", pseudo_steps=FIRST),
)

Run = dict[str, Any]


class Runs:
    """Everything that is made of a configuration, from the cache folder where it is there already."""

    def __init__(self, config: BenchConfig) -> None:
        models = BodyModels.open("standin")
        self.config = config
        self.body = Body(models, vertex_subset(models))
        self.folder = cache_dir() / f"bench-meta-{_digest(config)}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._world: World | None = None

    @property
    def world(self) -> World:
        if self._world is None:
            self._world = build(self.config.world)
        return self._world

    def result(self, variant: Variant, seed: int) -> Run:
        """What `meta_adaptation.measured` found, with the training's cosine and change of weights."""
        path = self.folder / f"{variant.key}-{seed}.json"
        if not path.is_file():
            of = self._trained(variant.training, seed)
            rates = self._trained(variant.rates_of, seed).rates if variant.rates_of else of.rates
            pseudo = of.auxiliary if variant.has_pseudo else None
            found = measured(
                of.regressor,
                pseudo,
                rates,
                self.body,
                self.world.validation,
                self.world.test,
                pseudo_steps=variant.pseudo_steps,
            )
            write_whole(path, json.dumps({"training": _facts(of), **found}).encode())
        loaded: Run = json.loads(path.read_bytes())
        return loaded

    def quality(self, seed: int) -> Run:
        """What `meta_pseudo.examined` found of the dual-meta networks."""
        path = self.folder / f"pseudo-quality-{seed}.json"
        if not path.is_file():
            found = examined(self._trained("dual", seed), self.body, self.world.test)
            write_whole(path, json.dumps(found).encode())
        loaded: Run = json.loads(path.read_bytes())
        return loaded

    def _start(self, seed: int) -> TokensModel:
        """The starting network of a seed. The auxiliary network of a run is that of the next seed."""
        path = self.folder / f"start-{seed}.pt"
        if not path.is_file():
            made = start(self.config.training, self.world.train, self.body, seed)
            _save(path, made.state_dict())
        made = network(self.config.training, self.config.world.size_px)
        made.load_state_dict(torch.load(path))
        return made

    def _trained(self, name: str, seed: int) -> Trained:
        path = self.folder / f"trained-{name}-{seed}.pt"
        following = (seed + 1) % len(self.config.seeds) if len(self.config.seeds) > 1 else seed + 1
        if not path.is_file():
            main, auxiliary = self._start(seed), self._start(following)
            made = trained(name, self.config.training, self.world.train, self.body, seed, main, auxiliary)
            _save(
                path,
                {
                    "regressor": made.regressor.state_dict(),
                    "auxiliary": None if made.auxiliary is None else made.auxiliary.state_dict(),
                    "rates": None if made.rates is None else (made.rates.names, made.rates.log_rate.detach()),
                    **_facts(made),
                },
            )
        saved = torch.load(path)
        blank = network(self.config.training, self.config.world.size_px)
        main, auxiliary = blank, copy.deepcopy(blank)
        main.load_state_dict(saved["regressor"])
        if saved["auxiliary"] is not None:
            auxiliary.load_state_dict(saved["auxiliary"])
        rates = None if saved["rates"] is None else Rates(saved["rates"][0], saved["rates"][1].exp())
        return Trained(
            main,
            None if saved["auxiliary"] is None else auxiliary,
            rates,
            saved["cosine"],
            saved["weight_change"],
        )


def all_results(config: BenchConfig, say: Callable[[str], None] = print) -> tuple[dict[str, list[Run]], list[Run]]:
    """Of each variant the results of every seed, in the order of `BenchConfig.seeds`; and `Runs.quality` of each."""
    runs = Runs(config)
    found: dict[str, list[Run]] = {variant.key: [] for variant in VARIANTS}
    for seed in config.seeds:
        for variant in VARIANTS:
            found[variant.key].append(runs.result(variant, seed))
            say(f"seed {seed}: {variant.title}: done")
    return found, [runs.quality(seed) for seed in config.seeds]


def _facts(of: Trained) -> dict[str, float]:
    return {"cosine": of.cosine, "weight_change": of.weight_change}


def _digest(config: BenchConfig) -> str:
    """Of the configuration without its seeds, of this benchmark's code, and of the code that it measures."""
    parts = {name: value for name, value in asdict(config).items() if name != "seeds"}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for module in (
        __file__,
        *(of.__file__ for of in (meta_people, meta_world, meta_errors, meta_training, meta_adaptation, meta_pseudo)),
    ):
        digest.update(Path(str(module)).read_bytes())
    root = Path(next(iter(train.__path__)))
    for path in _measured_code(root):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _measured_code(root: Path) -> Sequence[Path]:
    parts = ("models", "losses", "meta")
    top = [root / f"{name}.py" for name in ("body", "camera", "plain_step", "rotations", "steps")]
    return [*top, root / "data" / "detector.py", *sorted(path for part in parts for path in (root / part).glob("*.py"))]


def _save(path: Path, value: object) -> None:
    with whole_file(path) as partial:
        torch.save(value, partial)
