"""A trained network adapted to people it never saw: their own 2D points are all that it is told.

adapter = Adapter.of(networks, models, AdaptSettings(steps=14))
for found in adapted(adapter, sightings, batch_size=32):
    ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from harmonize.bodies.models import BodyModels
from harmonize.bodies.threads import one_thread
from harmonize.errors import UsageError
from train.body import Body, Points
from train.building import Networks
from train.data.batch import Observed
from train.data.crops import CropSize
from train.data.detections import Refused
from train.data.sightings import Sighting, observed
from train.losses.objectives import InnerLoss
from train.losses.parts import part_masks
from train.losses.reprojection import MIN_CONFIDENCE, image_size, part_errors, project_joints
from train.losses.vertex_subset import vertex_subset
from train.meta.config import AdaptConfig, DualConfig, Subset
from train.meta.subsets import Rates, add_low_rank
from train.meta.test_time import adapt
from train.models.prediction import Prediction
from train.predictions import Predicted, parameters
from train.steps import Regressor

Numbers = npt.NDArray[np.float64]

BATCH_SIZE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptSettings:
    """What is chosen about adaptation beside the checkpoint.

    config: steps, optimiser, stopping; its pseudo_steps follows from these settings. subset: the tensors that adapt;
    None: those of training, or the head where the network was trained plainly. rate: one learning rate for all of them;
    None: the learned ones, or the defaults of `DualConfig`. pseudo_steps: the first steps, which heed the auxiliary
    network's body if there is one; 0: 2D points alone; None: as many as the inner steps of training.

    Raises:
        UsageError: rate is not positive, or pseudo_steps negative.
    """

    config: AdaptConfig = field(default_factory=AdaptConfig)
    subset: Subset | None = None
    rate: float | None = None
    pseudo_steps: int | None = None

    def __post_init__(self) -> None:
        if self.pseudo_steps is not None and self.pseudo_steps < 0:
            raise UsageError(f"pseudo_steps is at least 0, found {self.pseudo_steps}")
        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise UsageError(f"rate is a positive number, found {self.rate}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptedPeople:
    """What became of N people.

    before, after: the network's own answer, and the adapted one. figures: (N,) by name: loss_before and loss_after of
    the inner loss; steps taken, best_step; movement_mm, the mean distance between both answers' 144 joints relative to
    the pelvis; error_px_before and error_px_after, the mean distance of confident points from the projected joints in
    pixels of the picture; error_part_before and error_part_after, the same as root mean square in half boxes of the
    part, mean over the parts that have points (`train.losses.reprojection`); num_points, how many are confident. NaN
    where there are none.
    """

    people: tuple[Sighting, ...]
    before: Predicted
    after: Predicted
    figures: Mapping[str, Numbers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """Networks with everything that adapting them takes, on a device."""

    regressor: Regressor
    auxiliary: Regressor | None
    rates: Rates
    body: Body
    inner: InnerLoss
    config: AdaptConfig
    size: CropSize
    models: BodyModels
    device: str

    @classmethod
    def of(cls, networks: Networks, models: BodyModels, settings: AdaptSettings, *, device: str = "cpu") -> Self:
        """An adapter of a checkpoint's networks, which it takes over.

        Raises:
            UsageError: the network cannot be adapted so, was trained with other body models, or there is no such
                device. MissingBodyModelError: there is no neutral SMPL-X.
        """
        if models.is_standin != networks.is_standin:
            was, now = ("the stand-in", "real models") if networks.is_standin else ("real models", "the stand-in")
            raise UsageError(f"{networks.path}: was trained with {was}, found {now}", fix="change --body-models")
        rates = _rates(networks, settings)
        dual = networks.config.dual
        trained_steps = 0 if dual is None else dual.inner_steps
        pseudo_steps = trained_steps if settings.pseudo_steps is None else settings.pseudo_steps
        auxiliary = networks.auxiliary if pseudo_steps else None
        body = Body(models, vertex_subset(models))
        try:
            for part in (networks.regressor, networks.auxiliary, rates, body):
                if part is not None:
                    part.requires_grad_(False).eval().to(device)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"{device}: expected a device of this machine: {error}", fix="--device cpu") from error
        return cls(
            regressor=networks.regressor,
            auxiliary=auxiliary,
            rates=rates,
            body=body,
            inner=InnerLoss(networks.config.loss),
            config=replace(settings.config, pseudo_steps=None if auxiliary is None else pseudo_steps),
            size=networks.config.crop,
            models=models,
            device=device,
        )

    def __call__(self, people: tuple[Sighting, ...]) -> AdaptedPeople:
        """Adapts to each person on his own; a result does not depend on whom he is handed with."""
        seen = observed(people).to(self.device)
        with one_thread() if self.device == "cpu" else nullcontext():
            found = adapt(
                self.regressor,
                self.auxiliary,
                seen,
                body=self.body,
                inner=self.inner,
                rates=self.rates,
                config=self.config,
            )
            answers = {"before": found.before, "after": found.after}
            points = {name: self._points(answer) for name, answer in answers.items()}
            best = found.losses.gather(1, found.best_at[:, None])[:, 0]
            figures = {
                "loss_before": found.losses[:, 0],
                "loss_after": best if self.config.keep_best else found.losses[:, -1],
                "steps": found.stopped_at,
                "best_step": found.best_at,
                "movement_mm": movement_mm(points["before"], points["after"]),
                "num_points": _is_counted(seen).sum(dim=1),
            }
            scale = np.sqrt([abs(np.linalg.det(one.to_crop[:, :2])) for one in people])
            for name, answer in answers.items():
                pixels, parts = errors_2d(answer, points[name], seen)
                figures |= {
                    f"error_px_{name}": pixels / torch.from_numpy(scale).to(pixels),
                    f"error_part_{name}": parts,
                }
        keys = tuple(one.key for one in people)
        size_px = self.regressor.size_px
        columns = {name: parameters(answer, seen, size_px, self.models) for name, answer in answers.items()}
        return AdaptedPeople(
            people=people,
            before=Predicted(keys=keys, columns=columns["before"]),
            after=Predicted(keys=keys, columns=columns["after"]),
            figures={name: value.double().cpu().numpy() for name, value in figures.items()},
        )

    @torch.no_grad()
    def _points(self, prediction: Prediction) -> Points:
        found: Points = self.body(prediction.rotmat, prediction.betas, prediction.expression)
        return found


def adapted(
    adapter: Adapter, people: Iterator[Sighting | Refused], *, batch_size: int = BATCH_SIZE
) -> Iterator[tuple[AdaptedPeople | None, tuple[Sighting | Refused, ...]]]:
    """Batches of people adapted, without those who were refused (None where nobody is left), and the batch as it came;
    the next one is read while one is adapted.

    Raises:
        UsageError: no batch size.
    """
    if batch_size < 1:
        raise UsageError(f"batch size: expected at least 1, found {batch_size}")
    with ThreadPoolExecutor(1, thread_name_prefix="sightings") as pool:
        following = pool.submit(lambda: tuple(islice(people, batch_size)))
        while some := following.result():
            following = pool.submit(lambda: tuple(islice(people, batch_size)))
            taken = tuple(one for one in some if isinstance(one, Sighting))
            yield (adapter(taken) if taken else None), some


def movement_mm(before: Points, after: Points) -> Tensor:
    """(B,) mean distance between joints relative to the pelvis, millimetres."""
    found: Tensor = 1000 * (after.joints_m - before.joints_m).norm(dim=-1).mean(dim=-1)
    return found


@torch.no_grad()
def errors_2d(prediction: Prediction, points: Points, seen: Observed) -> tuple[Tensor, Tensor]:
    """(B,) mean distance in crop pixels, and (B,) in half boxes of the parts, as `AdaptedPeople` says."""
    projected_px = project_joints(prediction, points, seen)
    is_counted = _is_counted(seen)
    distance = (projected_px - seen.keypoints_px[..., :2]).norm(dim=-1)
    num = is_counted.sum(dim=1)
    pixels = torch.where(is_counted, distance, 0.0).sum(dim=1) / num
    errors = part_errors(projected_px, seen.keypoints_px, image_size(seen)[0])
    has_part = errors.confidence > 0
    parts = torch.where(has_part, errors.squared.sqrt(), 0.0).sum(dim=1) / has_part.sum(dim=1)
    return pixels, parts


def _is_counted(seen: Observed) -> Tensor:
    """(B, 144) whether a point says something: confident, and not on the face's contour."""
    return (seen.keypoints_px[..., 2] >= MIN_CONFIDENCE) & (part_masks(seen.to_crop).sum(dim=0) > 0)


def _rates(networks: Networks, settings: AdaptSettings) -> Rates:
    trained = networks.config.dual
    subset: Subset = settings.subset or (trained.subset if trained is not None else "head")
    is_trained_subset = trained is not None and trained.subset == subset
    if networks.rates is not None and is_trained_subset and settings.rate is None:
        return networks.rates
    if subset == "head+lora" and not is_trained_subset:
        add_low_rank(networks.regressor, (trained or DualConfig()).rank)
    if settings.rate is None:
        return Rates.of(networks.regressor, subset)
    return Rates.of(networks.regressor, subset, head_rate=settings.rate, other_rate=settings.rate)
