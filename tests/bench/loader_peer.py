"""The loader's job done by another library, in that library's own environment.

`python loader_peer.py NAME FOLDER WORKERS BATCH` says "ready" once it has seen all samples, and then, for each line
with a number of seconds that it is given, "rate": samples a second, and milliseconds of processor time a sample, of all
its processes. It needs numpy, torch, simplejpeg, turbojpeg, OpenCV and the library; of this project only its decoder.
FOLDER holds `pictures.npz`: JPEG files, plans of what of them is seen and where it goes, and labels.

Each library stores them in its own format first. A sample is decoded and warped as the project's loader does it, by
the same functions, and labels are copied as they are stored, which is less than the project's loader does with them.
No library is asked to check what it reads.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harmonize.shards.jpeg_part import decode_part

WIDTH_PX, HEIGHT_PX = 192, 256
COPIES = 4
NUM_PREFETCHED = 2
"""Batches that a worker of PyTorch's prepares ahead."""


def crop_of(picture: bytes, plan: Any, label: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The crop and the label of a sample; plan (13,): width, height, eighths, window (4) and the inverse map (2, 3)."""
    cv2.setNumThreads(1)
    width, height, eighths, *window = map(int, plan[:7])
    found = decode_part(picture, (width, height), eighths, tuple(window))
    pixels, left, top = found
    back = plan[7:].reshape(2, 3) - [[0, 0, left], [0, 0, top]]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(pixels, back, (WIDTH_PX, HEIGHT_PX), flags=flags)
    return torch.from_numpy(cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB)), torch.from_numpy(np.array(label, np.float32))


def decoded(sample: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The job on a sample as the libraries hand it out."""
    plan, label = (np.frombuffer(sample[name], kind) for name, kind in (("plan", np.float64), ("label", np.float32)))
    return crop_of(bytes(sample["jpg"]), plan, label)


def stored(folder: Path) -> Iterator[dict[str, bytes]]:
    """The samples, as bytes; several times, so that the beginning of an epoch, at which libraries pause, is rare."""
    with np.load(folder / "pictures.npz") as arrays:
        data, ends, plans, labels = (arrays[name] for name in ("data", "ends", "plans", "labels"))
    for _ in range(COPIES):
        for start, end, plan, label in zip(np.append(0, ends[:-1]), ends, plans, labels, strict=True):
            yield {"jpg": data[start:end].tobytes(), "plan": plan.tobytes(), "label": label.tobytes()}


def with_webdataset(folder: Path, workers: int, batch_size: int) -> Iterable[Any]:
    import webdataset as wds

    pattern = str(folder / "wds-%06d.tar")
    with wds.ShardWriter(pattern, maxcount=64, verbose=0) as writer:
        for i, sample in enumerate(stored(folder)):
            writer.write({"__key__": f"{i:06d}", **sample})
    tars = sorted(map(str, folder.glob("wds-*.tar")))
    dataset = wds.WebDataset(tars, shardshuffle=len(tars), nodesplitter=wds.split_by_node, empty_check=False)
    dataset = dataset.shuffle(100).map(decoded).batched(batch_size)
    return wds.WebLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0)


def with_litdata(folder: Path, workers: int, batch_size: int) -> Iterable[Any]:
    import litdata
    from litdata.streaming.writer import BinaryWriter

    class Pictures(litdata.StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            return decoded(super().__getitem__(index))

    out = folder / "litdata"
    out.mkdir(exist_ok=True)
    writer = BinaryWriter(str(out), chunk_bytes="16MB")
    for i, sample in enumerate(stored(folder)):
        writer[i] = sample
    writer.done()
    writer.merge()
    dataset = Pictures(str(out), shuffle=True)
    return litdata.StreamingDataLoader(
        dataset, batch_size=batch_size, num_workers=workers, persistent_workers=workers > 0
    )


def with_mosaicml_streaming(folder: Path, workers: int, batch_size: int) -> Iterable[Any]:
    import streaming

    class Pictures(streaming.StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            return decoded(super().__getitem__(index))

    out = str(folder / "mds")
    with streaming.MDSWriter(out=out, columns={"jpg": "bytes", "plan": "bytes", "label": "bytes"}) as writer:
        for sample in stored(folder):
            writer.write(sample)
    dataset = Pictures(local=out, shuffle=True, batch_size=batch_size)
    return DataLoader(dataset, batch_size=batch_size, num_workers=workers, persistent_workers=workers > 0)


PEERS = {"webdataset": with_webdataset, "litdata": with_litdata, "mosaicml-streaming": with_mosaicml_streaming}


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    """Its batches, epoch after epoch."""
    while True:
        yield from loader


def measure(batches: Iterator[Any], num_waiting: int, seconds: float) -> tuple[float, float]:
    """Samples per second, and milliseconds of processor time a sample. num_waiting: batches that were prepared while
    nobody measured, and do not count."""
    for _ in range(num_waiting):
        next(batches)
    count, start, cpu = 0, time.perf_counter(), processor_s()
    while time.perf_counter() - start < seconds:
        count += len(next(batches)[0])
    return count / (time.perf_counter() - start), 1000 * (processor_s() - cpu) / count


def processor_s() -> float:
    """Processor time of this process and its living children, by Linux's count of ticks; NaN elsewhere."""
    try:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        times = [Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[11:13] for number in children]
    except OSError:
        return math.nan
    return time.process_time() + sum(int(one) for pair in times for one in pair) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    torch.set_num_threads(1)
    name, folder, workers, batch_size = sys.argv[1:]
    loader = PEERS[name](Path(folder), int(workers), int(batch_size))
    for _ in loader:
        pass
    print("ready", flush=True)
    batches = endless(loader)
    for line in sys.stdin:
        rate, cpu_ms = measure(batches, NUM_PREFETCHED * int(workers) + 1, float(line))
        print(f"rate {rate:.3f} {cpu_ms:.4f}", flush=True)


if __name__ == "__main__":
    main()
