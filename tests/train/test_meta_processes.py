"""The dual step in two processes: its gradients are those of one."""

from __future__ import annotations

from pathlib import Path

import torch
from meta_toys import RATES, batch, dual, gradients
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from train.meta.config import DualConfig

CONFIGS = (
    DualConfig(**RATES, subset="head+norm"),
    DualConfig(**RATES, subset="head+lora", rank=2, chunk=1),
    DualConfig(**RATES, subset="head", order="second", auxiliary="both"),
    DualConfig(**RATES, subset="all", auxiliary="ema"),
)


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    found = []
    for config in CONFIGS:
        step = dual(config)
        wrapped = DistributedDataParallel(step)
        for _ in range(2):  # the second round fails where the reducer still waits for gradients of the first
            step.zero_grad()
            wrapped(batch(4).rows(slice(2 * rank, 2 * rank + 2))).total.backward()
        found.append({name: value.grad for name, value in step.named_parameters() if value.requires_grad})
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_get_the_gradients_of_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    each: list[list[dict[str, Tensor]]] = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for config, *found in zip(CONFIGS, *each, strict=True):
        step = dual(config)
        expected = gradients(step, step(batch(4)).total)
        for one in found:
            assert one.keys() == expected.keys()
            for name, value in expected.items():
                assert (one[name] - value).norm() <= 1e-10 * value.norm().clamp(min=1e-6), (config, name)
