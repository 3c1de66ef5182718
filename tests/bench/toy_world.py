"""The toy world of `bench_select_toy`: miniatures in a store, a tiny network, and its errors.

    world = open_world(build_store(StoreConfig()))
    found = world.measure(world.train(selection, seed=0))

Everything but its size is what a user has: official raw layouts through `ingest` and `describe`, the leakage guard, the
trainer's schedule, step and optimiser, and the primary errors of the benchmarks' protocols. What would take longer than
a training is done once or not at all: crops and true meshes stay in memory, and no run folder is written. The loss does
without vertices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import harmonize
from benchmark.constraints import Constraints
from benchmark.metrics.measured import mesh_errors, only, pw3d_errors
from benchmark.metrics.parts import MeshParts, mesh_parts
from benchmark.metrics.regressors import Regressor as Joints
from benchmark.problem import Problem
from benchmark.protocols import Protocol, protocol
from benchmark.truths import choose, true_meshes
from catalogs.selection import Budget, Selection
from harmonize.bodies import BodyBatch, BodyModels
from harmonize.bodies.models import STANDIN
from harmonize.bodies.threads import one_thread
from harmonize.cache import build_once, cache_dir
from harmonize.geometry.rotations import rotmat_to_aa
from harmonize.readers import splits_of
from harmonize.shards.plan import IngestJob, IngestOptions
from harmonize.shards.read import open_store
from pipelines.describe import Request, describe_store
from pipelines.describe_work import DescribeFailedError
from pipelines.ingest import ingest
from pipelines.miniatures import write_miniatures
from pipelines.mixture import allowed_samples, leak_free, problem_of, training_pool
from train.body import Body
from train.config import OptimConfig, TrainConfig
from train.data.batch import Batch
from train.data.schedule import Schedule, State
from train.distributed import Process
from train.models.prediction import ROTATIONS, Prediction
from train.models.registry import build
from train.models.tokens import TokensConfig
from train.models.vit import VitConfig
from train.optim import learning_rate, make_optimiser
from train.plain_step import PlainStep
from train.predictions import crops_of
from train.settings import to_plain
from train.steps import Regressor, predict
from train.update import Updater

Floats = npt.NDArray[np.floating]

DATASETS = (
    *("agora", "bedlam", "crowdpose", "egobody_egoset", "egobody_mvset", "ehf"),
    *("gta_human2", "mscoco", "posetrack", "prox", "pw3d", "spec", "synbody"),
)
"""SMPLer-X's ten best, its companions for EgoBody, two more benchmarks: its mixtures of 5 and 10 and one specialist can
be made of them."""

BENCHMARKS = ("agora", "egobody", "ehf", "pw3d")
"""Those of MPE whose protocol leaves enough of a miniature; it takes every 100th sample of UBody."""

NUM_BODY_JOINTS = 22
TINY = TrainConfig(
    model=TokensConfig(
        vit=VitConfig(width=32, depth=2, num_heads=2, height_px=64, width_px=48, patch_px=8),
        decoder_width=32,
        num_layers=1,
        num_heads=2,
        body_queries=1,
        hand_queries=1,
        face_queries=1,
    ),
    optim=OptimConfig(lr=5e-3, min_lr=1e-4, warmup=10, weight_decay=0.01),
    batch_size=16,
    steps=60,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Which miniatures, about how many people each, and which attribute families are computed (None: all)."""

    datasets: tuple[str, ...] = DATASETS
    num_people: int = 120
    families: tuple[str, ...] | None = None


def build_store(config: StoreConfig, num_workers: int = 1) -> Path:
    """A described store of miniatures with stand-in bodies, made when it is not in the cache folder.

    Raises:
        DescribeFailedError: some attributes could not be computed.
    """

    def build(folder: Path) -> None:
        write_miniatures(folder / "raw", config.datasets, config.num_people, num_workers)
        jobs = [
            IngestJob(
                reader=name,
                root=folder / "raw" / name,
                split=split,
                store=folder / "store",
                body_models=STANDIN,
                options=IngestOptions(max_reject_share=1.0),  # miniatures are full of what goes wrong
            )
            for name in config.datasets
            for split in splits_of(name)
        ]
        ingest(jobs, runner="inline" if num_workers == 1 else "local", num_workers=num_workers)
        described = describe_store(Request(store=folder / "store", names=config.families, num_workers=num_workers))
        if described.failures:
            raise DescribeFailedError(described.failures)

    return build_once(cache_dir() / f"toy-world-{_digest(asdict(config), _makers())}", build) / "store"


def _makers() -> list[Path]:
    """The code that decides what the people of a store look like."""
    root = Path(str(harmonize.__file__)).parent
    folders = ("miniatures", "readers", "bodies")
    return sorted(path for name in folders for path in (root / name).rglob("*.py"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The S instances of a benchmark that have a truth, in memory. crops: as a network sees them. true_m: their true
    meshes (S, V, 3), camera frame. parts: of SMPL-X, that of the primary error alone. true_regressor: joints of true
    meshes that are SMPL's, None where they are SMPL-X's."""

    protocol: Protocol
    crops: Batch
    true_m: Floats
    parts: MeshParts
    true_regressor: Joints | None

    @property
    def joints_mm(self) -> Floats:
        """True body joints (S, 22 * 3) relative to the pelvis."""
        joints = self.crops.truth.joints_m[:, :NUM_BODY_JOINTS, :3]
        return np.asarray(1000 * joints.double().numpy().reshape(len(joints), -1))

    def error_mm(self, bodies: BodyBatch, models: BodyModels) -> float:
        """The primary error: what `benchmark.evaluation.evaluate` finds, without reading the store again."""
        pred_m = models.get("smplx", "neutral").vertices(bodies)
        if self.true_regressor is not None:
            found = pw3d_errors(pred_m, self.true_m, self.parts.regressor, self.true_regressor)
        else:
            valid = {part: np.ones(len(pred_m), bool) for part in self.parts.vertices}
            found = mesh_errors(pred_m, self.true_m, self.parts, valid=valid)
        return float(found[self.protocol.primary].mean())


def judged(store: Path, stated: Protocol, config: TrainConfig, models: BodyModels) -> Judged:
    """A benchmark of a store. Protocols that count only what is in the picture are not among `BENCHMARKS`."""
    assert stated.counts == "everything"
    opened = open_store(store)
    is_source = {one.key: one.is_source for one in choose(opened, stated).candidates if not one.problem}
    keys = sorted(is_source)
    instances = [opened.sample(key).instance for key in keys]
    return Judged(
        protocol=stated,
        crops=_joined(crops_of(store, keys, config.crop)),
        true_m=true_meshes(instances, [is_source[key] for key in keys], models),
        parts=only(mesh_parts(models), stated.parts[:1]),
        true_regressor=mesh_parts(models, "smpl").regressor if stated.truth == "smpl" else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Primary errors in mm by benchmark, and predicted body joints (S, 22 * 3) relative to the pelvis, in mm."""

    errors: Mapping[str, float]
    joints_mm: Mapping[str, Floats]

    @property
    def mean_mm(self) -> float:
        return float(np.mean(list(self.errors.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """problem: what a proposer gets, without samples that leak. crops: every sample that may be drawn, by `row_of`."""

    store: Path
    config: TrainConfig
    problem: Problem
    crops: Batch
    row_of: Mapping[str, int]
    benchmarks: Mapping[str, Judged]
    models: BodyModels
    body: Body

    def keys(self, selection: Selection) -> list[list[str]]:
        """The sorted sample keys of each member."""
        found: dict[str, list[str]] = {member.name: [] for member in selection.members}
        for key in selection.sample_keys or ():
            found["/".join(self.crops.sources[self.row_of[key]])].append(key)
        return [sorted(keys) for keys in found.values()]

    def drawn(self, selection: Selection) -> Iterator[Batch]:
        """The batches that training on a selection sees, for ever: those of the trainer's schedule."""
        keys = self.keys(selection)
        for _, draws in Schedule(selection, self.config.batch_size, self.config.subset).batches(State()):
            places = zip(draws.member.tolist(), draws.sample.tolist(), strict=True)
            rows = [self.row_of[keys[member][at]] for member, at in places]
            yield Batch(
                observed=self.crops.observed.rows(torch.tensor(rows)),
                truth=self.crops.truth.rows(torch.tensor(rows)),
                keys=tuple(self.crops.keys[row] for row in rows),
                sources=tuple(self.crops.sources[row] for row in rows),
            )

    def train(self, selection: Selection, seed: int) -> Regressor:
        """A network trained on a mixture: `train.loop.train` without a run folder. seed: of its first weights; that of
        the draws is the selection's."""
        config = self.config
        total = config.num_steps(selection.draws_per_epoch)
        network = build(config.model, seed)
        step = PlainStep(network, self.body, config.loss)
        updater = Updater(step, make_optimiser(step, config.optim), config, Process())
        with one_thread():
            for done, batch in zip(range(total), self.drawn(selection), strict=False):
                updater.passes(batch, len(batch.keys), is_stopping=False)
                updater.apply(learning_rate(config.optim, done, total))
        return network.eval()

    def measure(self, network: Regressor) -> Measured:
        """The primary error of each benchmark's protocol."""
        errors, joints = {}, {}
        for name, one in self.benchmarks.items():
            with one_thread(), torch.inference_mode():
                prediction = predict(network, one.crops.observed)
                posed = self.body(prediction.rotmat, prediction.betas, prediction.expression)
            errors[name] = one.error_mm(bodies(prediction), self.models)
            body = posed.joints_m[:, :NUM_BODY_JOINTS].double().numpy()
            joints[name] = 1000 * body.reshape(len(body), -1)
        return Measured(errors=errors, joints_mm=joints)

    @property
    def digest(self) -> str:
        """Of all that errors depend on besides the mixture and the seed: data, config, benchmarks, code that trains."""
        state = hashlib.sha256()
        for batch in (self.crops, *(one.crops for one in self.benchmarks.values())):
            state.update("\n".join(batch.keys).encode())
            for value in (*_tensors(batch.observed), *_tensors(batch.truth)):
                state.update(value.contiguous().numpy().tobytes())
        protocols = [asdict(one.protocol) for one in self.benchmarks.values()]
        known = {"data": state.hexdigest(), "config": to_plain(self.config), "protocols": protocols}
        return _digest(known | {"torch": torch.__version__}, _trainers())


def open_world(
    store: Path, config: TrainConfig = TINY, benchmarks: Sequence[str] = BENCHMARKS, *, draws_per_epoch: int
) -> World:
    """The world of a described store. draws_per_epoch: the budget of every proposal."""
    where, _ = leak_free(store, Constraints(), benchmarks, None, drops_leaks=True)
    keys = allowed_samples(store, training_pool(store), where or "true")
    problem = problem_of(
        store,
        Budget(draws_per_epoch=draws_per_epoch),
        Constraints(samples=keys),
        benchmarks=benchmarks,
        with_summaries=True,
        where=where,
    )
    drawable = sorted(key for name in problem.names for key in keys[name])
    models = BodyModels.open(STANDIN)
    crops = _joined(crops_of(store, drawable, config.crop))
    return World(
        store=store,
        config=config,
        problem=problem,
        crops=crops,
        row_of={key: row for row, key in enumerate(crops.keys)},
        benchmarks={name: judged(store, protocol(name), config, models) for name in benchmarks},
        models=models,
        body=Body(models),
    )


def bodies(prediction: Prediction) -> BodyBatch:
    """Predicted bodies with eyes at rest and the pelvis where the model has it: every primary error aligns it."""
    angles = rotmat_to_aa(prediction.rotmat.double().numpy())
    eyes, first_hand = np.zeros((len(angles), 2, 3)), ROTATIONS["left_hand"].start
    return BodyBatch(
        pose_aa=np.concatenate([angles[:, :first_hand], eyes, angles[:, first_hand:]], axis=1),
        betas=prediction.betas.numpy(),
        transl_m=np.zeros((len(angles), 3)),
        expression=prediction.expression.numpy(),
    )


def _trainers() -> list[Path]:
    """The code that networks, losses, updates and errors come from."""
    root = Path(str(harmonize.__file__)).parents[1]
    folders = [root / "train" / "models", root / "train" / "losses", root / "benchmark" / "metrics"]
    single = [
        root / "train" / f"{name}.py" for name in ("body", "camera", "optim", "plain_step", "rotations", "update")
    ]
    return sorted([*single, *(path for folder in folders for path in folder.glob("*.py"))])


def _digest(known: object, code: Sequence[Path]) -> str:
    state = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    for path in code:
        state.update(path.read_bytes())
    return state.hexdigest()[:16]


def _joined(parts: Iterator[Batch]) -> Batch:
    found = list(parts)
    observed = [_tensors(one.observed) for one in found]
    truth = [_tensors(one.truth) for one in found]
    first = found[0]
    return Batch(
        observed=type(first.observed)(**_named(first.observed, observed)),
        truth=type(first.truth)(**_named(first.truth, truth)),
        keys=tuple(key for one in found for key in one.keys),
        sources=tuple(source for one in found for source in one.sources),
    )


def _tensors(part: object) -> list[Tensor]:
    return [getattr(part, item.name) for item in fields(part)]  # type: ignore[arg-type]


def _named(part: object, parts: Sequence[Sequence[Tensor]]) -> dict[str, Tensor]:
    names = [item.name for item in fields(part)]  # type: ignore[arg-type]
    return {name: torch.cat(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)}
