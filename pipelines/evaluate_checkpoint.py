"""What `ehps evaluate` does with a network of `ehps train`: it predicts the benchmarks' samples and is measured as any
file of predictions is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.evaluation import Evaluation, check_models, evaluate
from benchmark.predictions import PredictionBatch
from benchmark.protocols import protocol
from benchmark.truths import Chosen
from harmonize.bodies import BodyBatch, BodyModels
from harmonize.errors import UsageError
from pipelines.evaluate import choose_all, models_for
from pipelines.progress import Meter

if TYPE_CHECKING:
    from train.building import Networks
    from train.config import TrainConfig
    from train.predictions import Predicted
    from train.steps import Regressor


def evaluate_networks(
    store: Path,
    networks: Networks,
    names: Sequence[str],
    *,
    every: int | None = None,
    num_draws: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    body_models: str | None = None,
    save_predictions: Path | None = None,
    num_threads: int | None = None,
    is_shown: bool = True,
) -> dict[str, Evaluation]:
    """The main network's evaluations by benchmark, in the order given.

    body_models: None for the stand-in where the store was made with it, else $EHPS_BODY_MODELS. save_predictions: a
    Parquet file to write, as docs/predictions.md describes them. num_threads: that read ahead; None: as in its
    training. is_shown: whether progress is told on stderr.

    Raises:
        UsageError: no or unknown benchmarks, a split that the store lacks, a negative number of draws, or a network and
            a store of which one saw stand-in bodies and the other did not.
        DataError, StoreError: see `train.predictions.predict_store` and `benchmark.evaluation.evaluate`.
    """
    if num_draws < 0:
        raise UsageError(f"--bootstrap: expected 0 or more draws, found {num_draws}")
    chosen = choose_all(store, names, every=every)
    models = models_for(store, chosen, body_models)
    is_standin = {one.is_standin for one in chosen.values()} == {True}
    if networks.is_standin != is_standin:
        made, trained = ("the stand-in", "licensed bodies") if is_standin else ("licensed bodies", "the stand-in")
        raise UsageError(
            f"{networks.path}: was trained with {trained}, and {store} was made with {made}",
            fix=f"evaluate a network that was trained with {made}",
        )
    for name, one in chosen.items():
        check_models(protocol(name), models, one, device)
    kept: list[Predicted] = []
    found = evaluate_regressor(
        networks.regressor.to(device),
        networks.config,
        store,
        chosen,
        models,
        every=every,
        num_draws=num_draws,
        seed=seed,
        device=device,
        num_threads=num_threads,
        on_predicted=kept.append if save_predictions is not None else None,
        is_shown=is_shown,
    )
    if save_predictions is not None:
        from train.predictions import write_predictions

        write_predictions(save_predictions, iter(kept))
    return found


def evaluate_regressor(
    regressor: Regressor,
    config: TrainConfig,
    store: Path,
    chosen: Mapping[str, Chosen],
    models: BodyModels,
    *,
    every: int | None = None,
    num_draws: int = 0,
    seed: int = 0,
    device: str = "cpu",
    num_threads: int | None = None,
    on_predicted: Callable[[Predicted], None] | None = None,
    is_shown: bool = False,
) -> dict[str, Evaluation]:
    """The same for a network at hand, in evaluation mode on `device`. chosen: by benchmark, `benchmark.truths.choose`.

    Each sample is predicted once, however many benchmarks measure on it.

    Raises:
        UsageError, DataError, StoreError: see `evaluate_networks`.
    """
    from train.predictions import predict_store

    wanted: dict[tuple[str, str], set[str]] = {}
    for name, one in chosen.items():
        wanted.setdefault(_split(name), set()).update(one.wanted)
    kept: dict[tuple[str, str], list[PredictionBatch]] = {}
    found = {}
    for name, one in chosen.items():
        batches: Iterable[PredictionBatch] | None = kept.get(_split(name))
        if batches is None:
            predicted = predict_store(
                regressor,
                store,
                sorted(wanted[_split(name)]),
                models,
                padding=config.crop_padding,
                device=device,
                precision=config.precision,
                num_threads=config.threads if num_threads is None else num_threads,
            )
            batches = _keeping(predicted, kept.setdefault(_split(name), []), on_predicted)
        with Meter(name, len(one.wanted), "people") if is_shown else nullcontext() as meter:
            found[name] = evaluate(
                store,
                protocol(name),
                batches,
                models,
                device=device,
                every=every,
                num_draws=num_draws,
                seed=seed,
                on_progress=(lambda num: None) if meter is None else meter.add,
            )
    return found


def identity(networks: Networks) -> dict[str, Any]:
    """Which network was measured: its run's name, updates, and the sha256 of its weights and of its selection."""
    from train.checkpoints import EMA, MODEL, open_checkpoint

    manifest = open_checkpoint(networks.path).manifest
    files = manifest.files or {}
    weights = files.get(f"{EMA}.safetensors") or files[f"{MODEL}.safetensors"]
    return {
        "run": networks.path.parent.parent.name,
        "step": networks.step,
        "weights_sha256": weights,
        "selection": manifest.selection,
        "is_standin": networks.is_standin,
    }


def _split(name: str) -> tuple[str, str]:
    of = protocol(name)
    return of.dataset, of.split


def _keeping(
    predicted: Iterator[Predicted], kept: list[PredictionBatch], on_predicted: Callable[[Predicted], None] | None
) -> Iterator[PredictionBatch]:
    for one in predicted:
        if on_predicted is not None:
            on_predicted(one)
        kept.append(prediction_batch(one))
        yield kept[-1]


def prediction_batch(predicted: Predicted) -> PredictionBatch:
    """Predictions of this project's networks as an evaluation takes them; eyes at rest."""
    columns, num = predicted.columns, len(predicted.keys)
    pose = [
        *(columns["global_orient_aa"][:, None], columns["body_pose_aa"], columns["jaw_pose_aa"][:, None]),
        *(np.zeros((num, 2, 3), np.float32), columns["left_hand_pose_aa"], columns["right_hand_pose_aa"]),
    ]
    body = BodyBatch(
        pose_aa=np.concatenate(pose, axis=1),
        betas=columns["betas"],
        transl_m=columns["transl_m"],
        expression=columns["expression"],
    )
    return PredictionBatch(keys=predicted.keys, bodies=body)
