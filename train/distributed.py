"""One training run in several processes, as `torchrun` starts them; one process is the same with nothing to add up.

Every process computes the mean loss of its part of a batch, n of N samples. Wrappers average gradients over W
processes, so each process scales its loss by n * W / N: the gradient is that of the mean over all N samples, whatever
the parts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from harmonize.errors import UsageError
from train.config import Sharding

T = TypeVar("T")
Ints = npt.NDArray[np.int32]

WAIT = timedelta(hours=2)
"""How long processes wait for each other: one of them alone validates and writes checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One of `world_size` processes of a run. device: where it computes."""

    rank: int = 0
    world_size: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def add_up(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def add_up_counts(self, counts: Ints) -> Ints:
        """The sum of whole numbers over all processes."""
        if self.world_size == 1:
            return counts
        found: Ints = self.add_up(torch.from_numpy(counts).to(self.device)).cpu().numpy()
        return found

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Process]:
    """This process among those that `torchrun` started, or alone.

    device: "cpu" or "cuda"; with several processes on a machine each takes its own GPU.

    Raises:
        UsageError: there is no such device.
    """
    world_size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if device == "cuda" and world_size > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', rank)}"
    _check_device(device)
    process = Process(rank=rank, world_size=world_size, device=device)
    if world_size == 1:
        yield process
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=WAIT)
    try:
        yield process
    finally:
        dist.destroy_process_group()


def wrap(step: nn.Module, sharding: Sharding, process: Process) -> nn.Module:
    """The step so that its gradients are means over all processes; as it is where there is one.

    "fsdp" shards the parameters in place: each repeated block by itself, the rest together.
    """
    if process.world_size == 1:
        return step
    if sharding == "ddp":
        # Buffers are constants, the body model's among them: nobody has to send them round before every pass. The
        # option that says so has another name from torch 2.13 on; this works before and after.
        names = [name for name, _ in step.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(step, names)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(step, gradient_as_bucket_view=True)
    mesh = init_device_mesh(process.device.partition(":")[0], (process.world_size,))
    for block in repeated(step):
        fully_shard(block, mesh=mesh)
    return cast(nn.Module, fully_shard(step, mesh=mesh))


def without_exchange(wrapped: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
    """The passes before the last one of an update keep their gradients to themselves."""
    if isinstance(wrapped, DistributedDataParallel) and not is_last:
        return wrapped.no_sync()
    if isinstance(wrapped, FSDPModule):
        wrapped.set_requires_gradient_sync(is_last)
    return nullcontext()


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they would be in one process, on the CPU; all processes must call it."""
    return {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).detach().cpu().contiguous()
        for name, value in tensors.items()
    }


def placed_like(value: Tensor, target: Tensor) -> Tensor:
    """A whole tensor on the device of `target` and sharded as it is."""
    value = value.to(target.device)
    if isinstance(target, DTensor):
        return distribute_tensor(value, target.device_mesh, target.placements)
    return value


def repeated(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost blocks that stand in a row with others of their kind, such as a transformer's, if they learn."""
    for part in module.children():
        kinds = {type(block) for block in part} if isinstance(part, nn.ModuleList | nn.Sequential) else set()
        if len(kinds) == 1 and len(list(part.children())) > 1:
            yield from (block for block in part.children() if any(one.requires_grad for one in block.parameters()))
        else:
            yield from repeated(part)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"{device}: expected a device of this machine: {error}", fix="--device cpu") from error
