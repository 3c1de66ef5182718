"""One update of the weights from one batch: passes, sums over processes, clipping, the optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from train.config import TrainConfig
from train.data.batch import Batch
from train.distributed import Process, without_exchange
from train.optim import set_learning_rate
from train.steps import StepLoss

TOTAL = "total"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What the passes of one batch came to, before the update.

    losses: means over the whole batch by name, "total" first. grad_norm: before clipping. is_stopping: whether some
    process was asked to stop. per_sample: (n,) losses of this process's samples, whose keys are `keys`.
    """

    losses: dict[str, float]
    grad_norm: float
    is_stopping: bool
    per_sample: Tensor
    keys: tuple[str, ...]

    def blamed(self, process: Process) -> list[tuple[float, str]]:
        """(loss, key) of every sample of the whole batch; all processes must call it."""
        mine = list(zip(self.per_sample.tolist(), self.keys, strict=True))
        return [one for some in process.gather(mine) for one in some]


class Updater:
    """Runs a wrapped step. `passes` leaves gradients and says what they came to; `apply` changes the weights."""

    def __init__(
        self, wrapped: nn.Module, optimiser: torch.optim.Optimizer, config: TrainConfig, process: Process
    ) -> None:
        self.wrapped, self.optimiser, self.config, self.process = wrapped, optimiser, config, process
        self.kind = process.device.partition(":")[0]
        self.parameters = [one for group in optimiser.param_groups for one in group["params"]]
        self.scaler = torch.amp.GradScaler(self.kind, enabled=config.precision == "fp16")

    def passes(self, batch: Batch, num_samples: int, *, is_stopping: bool) -> Passed:
        """Gradients of the mean loss over a whole batch of `num_samples`, of which `batch` is this process's part."""
        batch = batch.to(self.process.device)
        self.optimiser.zero_grad(set_to_none=True)
        # As many passes in each process, or sharded ones would wait for each other for ever.
        pieces = list(_pieces(batch, min(self.config.accumulate, num_samples // self.process.world_size)))
        dtype, is_mixed = DTYPES.get(self.config.precision), self.config.precision != "fp32"
        found: list[StepLoss] = []
        for i, piece in enumerate(pieces):
            with without_exchange(self.wrapped, is_last=i == len(pieces) - 1):
                with torch.autocast(self.kind, dtype, is_mixed):
                    loss: StepLoss = self.wrapped(piece)
                scale = len(piece.keys) * self.process.world_size / num_samples
                torch.autograd.backward(self.scaler.scale(loss.total * scale))
            found.append(loss._replace(total=loss.total.detach()))
        self.scaler.unscale_(self.optimiser)
        limit = float("inf") if self.config.optim.clip is None else self.config.optim.clip
        norm = nn.utils.clip_grad_norm_(self.parameters, limit)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        # One transfer from the device for all that is looked at.
        local = _sums(found, [len(piece.keys) for piece in pieces])
        summed = self.process.add_up(torch.cat([local, local.new_tensor([float(is_stopping)])]))
        *means, stop, norm_value = torch.cat([summed, norm.detach().float()[None]]).tolist()
        return Passed(
            losses={name: mean / num_samples for name, mean in zip([TOTAL, *found[0].parts], means, strict=True)},
            grad_norm=norm_value,
            is_stopping=stop > 0,
            per_sample=torch.cat([loss.per_sample for loss in found]),
            keys=batch.keys,
        )

    def apply(self, rate: float) -> None:
        """Change the weights by the gradients at hand, with this learning rate."""
        set_learning_rate(self.optimiser, rate)
        self.scaler.step(self.optimiser)
        self.scaler.update()


def _pieces(batch: Batch, num: int) -> Iterator[Batch]:
    """`num` parts, none empty, whose sizes differ by at most one."""
    size = len(batch.keys)
    for i in range(num):
        yield batch.rows(slice(size * i // num, size * (i + 1) // num))


def _sums(found: list[StepLoss], sizes: list[int]) -> Tensor:
    """Sums over this process's samples: of the total, and of each part."""
    rows = [
        torch.stack([loss.total, *loss.parts.values()]).float() * size for loss, size in zip(found, sizes, strict=True)
    ]
    return torch.stack(rows).sum(dim=0)
