"""What a training step and adaptation cost: samples a second and peak memory, as ratios to the plain supervised step.

    python tests/bench/bench_train.py [--batch 16] [--sizes tiny small]

The loader's row is of JPEG pictures of 640 x 640 pixels, augmentation included, on one thread. Each configuration runs
in a process of its own. Its first step there says how much memory grows; then it takes turns with the plain step, so
that both meet the same disturbances, and the ratio is the median of turns. A step is forward and backward, without
optimiser. On a processor: one thread, float32, the tiny transformer with everything and the small one, where heads are
a smaller part, with adaptation of heads. On a GPU: B and L in bfloat16.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from harmonize.bodies import BodyModels
from train.body import Body
from train.camera import pelvis_from_weak, project
from train.data.augment import SMPLER_X
from train.data.batch import Batch, Observed, Truth
from train.losses.objectives import InnerLoss, OuterLoss
from train.losses.supervised import UNIFIED
from train.losses.vertex_subset import vertex_subset
from train.meta.config import AdaptConfig, DualConfig
from train.meta.step import DualStep
from train.meta.subsets import Rates, add_low_rank
from train.meta.test_time import adapt
from train.models.prediction import from_numbers, mean_numbers
from train.models.registry import build, tokens_config
from train.plain_step import PlainStep
from train.steps import Regressor

REPEATS = 5
SUBSETS = ("head", "head+lora", "head+norm", "all")
STEPS: dict[str, dict[str, Any]] = {
    f"dual, {subset}, {order} order": {"subset": subset, "order": order}
    for order in ("first", "second")
    for subset in SUBSETS
} | {
    "dual, head, first order, auxiliary learns": {"subset": "head", "auxiliary": "supervised"},
    "dual, head, second order, auxiliary learns from both": {"subset": "head", "order": "second", "auxiliary": "both"},
    "dual, head, first order, 3 inner steps": {"subset": "head", "inner_steps": 3},
    "dual, head, second order, 3 inner steps": {"subset": "head", "order": "second", "inner_steps": 3},
    "dual, all, second order, chunks of 4": {"subset": "all", "order": "second", "chunk": 4},
    "dual, head, first order, one step for the batch": {"subset": "head", "unit": "batch"},
    "dual, all, first order, one step for the batch": {"subset": "all", "unit": "batch"},
}
ADAPTATIONS = {f"adapt, {subset}, each step": subset for subset in SUBSETS}
NAMES = ("plain", "loader", "plain and pseudo labels", *STEPS, *ADAPTATIONS)
HEAD_NAMES = ("plain", "dual, head, first order", "dual, head, second order", "adapt, head, each step")
BATCHES = {"tiny": 16, "small": 4, "base": 32, "large": 32}
Work = Callable[[], None]


def people(body: Body, size_px: tuple[int, int], count: int) -> Batch:
    """Noise for pictures, bodies near the mean for labels; costs do not depend on what is seen."""
    rng = torch.Generator().manual_seed(0)
    label = from_numbers(mean_numbers() + 0.1 * torch.randn(count, 341, generator=rng))
    height, width = size_px
    to_crop = torch.tensor([[4.0 * height, 0.0, width / 2], [0.0, 4.0 * height, height / 2]]).repeat(count, 1, 1)
    pelvis = pelvis_from_weak(label.weak_camera, to_crop, size_px)
    joints, sure = body(*label[:3]).joints_m, torch.ones(count, 144, 1)
    keypoints = torch.cat([project(joints + pelvis[:, None], to_crop), sure], dim=2)
    yes = torch.ones(count, dtype=torch.bool)
    truth = Truth(
        rotmat=label.rotmat,
        has_rotation=yes[:, None].repeat(1, 53),
        betas=label.betas,
        has_betas=yes,
        expression=label.expression,
        has_expression=yes,
        pelvis_m=pelvis,
        has_pelvis=yes,
        joints_m=torch.cat([joints, sure], dim=2),
        keypoints_px=keypoints,
    )
    crop = torch.randint(0, 256, (count, 3, height, width), generator=rng, dtype=torch.uint8)
    observed = Observed(crop=crop, to_crop=to_crop, has_intrinsics=yes, keypoints_px=keypoints)
    keys = tuple(str(at) for at in range(count))
    return Batch(observed=observed, truth=truth, keys=keys, sources=(("made", "train"),) * count)


class Bench:
    """One size of network on one device."""

    def __init__(self, size: str, count: int, device: str) -> None:
        models = BodyModels.open("standin")
        self.config, self.device = tokens_config(size, fused_attention=True), device
        body = Body(models, vertex_subset(models))
        self.batch = people(body, self.config.vit.size_px, count).to(device)
        self.body = body.to(device)

    def network(self, seed: int) -> Regressor:
        return build(self.config, seed).to(self.device)

    def work(self, name: str) -> Work:
        """What is to be timed."""
        if name in ADAPTATIONS:
            return self._adaptation(ADAPTATIONS[name], steps=1)
        step: torch.nn.Module
        if name in STEPS:
            config = DualConfig(**{"auxiliary": "frozen", **STEPS[name]})
            step = DualStep(
                self.network(0),
                self.network(1),
                body=self.body,
                inner=InnerLoss(UNIFIED),
                outer=OuterLoss(self.body, UNIFIED),
                config=config,
            )
        else:
            pseudo = self.network(1) if name == "plain and pseudo labels" else None
            step = PlainStep(self.network(0), self.body, UNIFIED, pseudo)
        step.to(self.device)
        for parameter in filter(
            lambda parameter: parameter.requires_grad, step.parameters()
        ):  # as in the second step of training, when gradients have their place
            parameter.grad = torch.zeros_like(parameter)

        def run() -> None:
            with self.precision():
                total = step(self.batch).total
            total.backward()

        return run

    def rest(self, name: str) -> Work | None:
        """Of adaptations: the same with five steps more."""
        return self._adaptation(ADAPTATIONS[name], steps=6) if name in ADAPTATIONS else None

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """bfloat16 on a GPU."""
        return torch.autocast(self.device, torch.bfloat16) if self.device == "cuda" else contextlib.nullcontext()

    def _adaptation(self, subset: Any, steps: int) -> Work:
        main, auxiliary = self.network(0), self.network(1)
        if subset == "head+lora":
            add_low_rank(main, 8)
        rates = Rates.of(main, subset)
        config = AdaptConfig(steps=steps, tolerance=0.0)

        def run() -> None:
            with self.precision():
                adapt(
                    main,
                    auxiliary,
                    self.batch.observed,
                    body=self.body,
                    inner=InnerLoss(UNIFIED),
                    rates=rates,
                    config=config,
                )

        return run

    def peak_mib(self, work: Work) -> float:
        """Growth of memory at its highest, MiB, while the work is done for the first time in this process."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            work()
            return (torch.cuda.max_memory_allocated() - before) / 2**20
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the highest mark becomes what is resident now
        before = _resident_kib("VmRSS")
        work()
        return (_resident_kib("VmHWM") - before) / 2**10

    def seconds(self, work: Work) -> float:
        """Of one go: of the one thread's own time on a processor, which others' work disturbs less."""
        clock = time.perf_counter if self.device == "cuda" else time.process_time
        start = clock()
        work()
        if self.device == "cuda":
            torch.cuda.synchronize()
        return clock() - start


def _resident_kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def measure(name: str, size: str, count: int, device: str) -> dict[str, Any]:
    """One configuration: seconds, those of the plain step in between, and memory."""
    torch.set_num_threads(1)
    bench = Bench(size, count, device)
    works = [bench.work(name)]
    memory_mib = bench.peak_mib(works[0])
    works += [work for work in (bench.rest(name),) if work is not None]
    works.append(bench.work("plain"))
    for work in works:
        bench.seconds(work)
    rounds = [[bench.seconds(work) for work in works] for _ in range(REPEATS)]
    pairs = [((more[0] - own) / 5 if more else own, plain) for own, *more, plain in rounds]
    seconds = statistics.median(own for own, _ in pairs)
    ratio = statistics.median(own / plain for own, plain in pairs)
    return {"name": name, "samples_per_s": count / seconds, "ratio": ratio, "memory_mib": memory_mib}


def loader() -> dict[str, Any]:
    """The loader's rate by processor time, on one thread as the steps are on a processor, and the growth of memory."""
    from bench_loader import loader_rate, make_data

    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder))
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident_kib("VmRSS")
        found = loader_rate(Path(folder) / "store", data, 1, SMPLER_X)
    grown = (_resident_kib("VmHWM") - before) / 2**10
    return {"name": "loader", "samples_per_s": 1000 / found.cpu_ms, "memory_mib": grown}


def bench_train(size: str, count: int, device: str) -> Iterator[dict[str, Any]]:
    """Every configuration, each in its own process; one that fails (out of memory) has `error` instead of figures."""
    for name in HEAD_NAMES if size == "small" else NAMES:
        command = [sys.executable, __file__, "--one", name, "--sizes", size, "--batch", str(count), "--device", device]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            yield {"name": name, "error": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:60]}
        else:
            yield json.loads(done.stdout.splitlines()[-1])


def print_table(size: str, count: int, device: str, rows: Iterable[dict[str, Any]]) -> None:
    """Rows as they come; the first is the plain step."""
    print(f"\n{size}, batch of {count}, {device}: time and memory as multiples of the plain supervised step")
    print(f"{'':54}{'samples/s':>10}{'time':>7}{'MiB':>8}{'memory':>8}")
    plain_mib = plain_rate = float("nan")
    for row in rows:
        if "error" in row:
            print(f"{row['name']:54}  {row['error']}", flush=True)
            continue
        if row["name"] == "plain":
            plain_mib, plain_rate = row["memory_mib"], row["samples_per_s"]
        memory = row["memory_mib"] / plain_mib
        time_ratio = row.get("ratio", plain_rate / row["samples_per_s"])
        print(
            f"{row['name']:54}{row['samples_per_s']:10.1f}{time_ratio:7.2f}{row['memory_mib']:8.0f}{memory:8.2f}",
            flush=True,
        )


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["base", "large"] if device == "cuda" else ["tiny", "small"])
    parser.add_argument("--batch", type=int, help="samples; by default 16 of tiny, 4 of small, 32 of others")
    parser.add_argument("--device", default=device)
    parser.add_argument("--one", choices=NAMES, help="measure one configuration in this process, print JSON")
    options = parser.parse_args()
    if options.one == "loader":
        print(json.dumps(loader()))
        return
    if options.one:
        print(json.dumps(measure(options.one, options.sizes[0], options.batch, options.device)))
        return
    for size in options.sizes:
        count = options.batch or BATCHES[size]
        print_table(size, count, options.device, bench_train(size, count, options.device))


if __name__ == "__main__":
    main()
