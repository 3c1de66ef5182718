"""The loader against the pure decode rate of its pictures, and against other libraries doing the same job.

Run by `make bench-loader`. Peers get virtual environments of their own under the user's cache folder (made once, which
needs a package index); one that cannot be installed is said to be missing. All run in turn on the same pictures, with
the same decoder at the same scale and the same warp. The physical limit is decoding alone: the pictures in memory, in
one process, with as many threads as the loader has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import platformdirs
import simplejpeg

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import small_store  # noqa: E402
from bench_crop import photograph  # noqa: E402

from benchmark.problem import Problem  # noqa: E402
from benchmark.proposers import PROPOSERS  # noqa: E402
from catalogs.selection import Budget, Selection  # noqa: E402
from catalogs.store import open, pool  # noqa: E402
from harmonize.record import Boxes, Image, Instance  # noqa: E402
from train.data.augment import NONE, SMPLER_X, Augment  # noqa: E402
from train.data.crops import CropSize, crop_maps, decoded_eighths  # noqa: E402
from train.data.loader import Loader  # noqa: E402
from train.data.schedule import State  # noqa: E402

PEERS = ("webdataset", "litdata", "mosaicml-streaming")
PICTURE_PX = (640, 640)
NUM_PICTURES, BATCH_SIZE = 512, 64
SECONDS, ROUNDS = 2.0, 3
SIZE = CropSize()


def people() -> list[Instance]:
    """One person a picture, whose box is 1 / 1.5 of it: what ingest stores by default."""
    width, height = PICTURE_PX
    chance = np.random.default_rng(0)
    found = []
    for number in range(NUM_PICTURES):
        one = small_store.person("pw3d", "train", number)
        tall = height / 1.5 * chance.uniform(0.9, 1.1)
        box = np.array([width / 2 - tall / 5, (height - tall) / 2, tall / 2.5, tall, 1], np.float32)
        image = Image(width_px=width, height_px=height, has_pixels=True)
        found.append(replace(one, image=image, boxes=Boxes(person_xywh_px=box, person_origin="dataset")))
    return found


def make_data(folder: Path) -> tuple[Selection, list[tuple[bytes, int, int]]]:
    """Writes the store and the peers' pictures; returns the selection and each picture with its decoded size."""
    base = photograph(PICTURE_PX[0] * 2, PICTURE_PX[1] * 2)
    pixels = simplejpeg.decode_jpeg(base)
    chance = np.random.default_rng(1)
    pictures: dict[str, bytes] = {}
    instances = people()
    for one in instances:
        x, y = (int(chance.integers(0, side)) for side in PICTURE_PX)
        part = np.ascontiguousarray(pixels[y : y + PICTURE_PX[1], x : x + PICTURE_PX[0]])
        pictures[one.key] = simplejpeg.encode_jpeg(part, quality=90, colorsubsampling="420")
    with patch.object(small_store, "jpeg", lambda one: pictures[one.key]):
        small_store.write_shard(folder / "store", instances)
    boxes = np.stack([one.boxes.person_xywh_px[:4] for one in instances]).astype(float)
    plans, sizes = [], []
    for one, to_crop in zip(instances, crop_maps(boxes, SIZE), strict=True):
        eighths = decoded_eighths(to_crop[0, 0])
        linear = to_crop[:, :2] * 8 / eighths
        back = np.linalg.inv(linear)
        height, width = -(-PICTURE_PX[1] * eighths // 8), -(-PICTURE_PX[0] * eighths // 8)
        plans.append([height, width, *np.column_stack([back, back @ (0.5 - to_crop[:, 2]) - 0.5]).ravel()])
        sizes.append((pictures[one.key], height, width))
    data = [pictures[one.key] for one in instances]
    np.savez(
        folder / "pictures.npz",
        data=np.frombuffer(b"".join(data), np.uint8),
        ends=np.cumsum([len(one) for one in data]),
        plans=np.array(plans),
        labels=np.zeros((NUM_PICTURES, 1500), np.float32),
    )
    with open(folder / "store") as con:
        budget = Budget(draws_per_epoch=NUM_PICTURES, repeat_cap=1, seed=0)
        return PROPOSERS["uniform"](Problem(pool=pool(con), budget=budget)), sizes


def decode_rate(pictures: list[tuple[bytes, int, int]], threads: int) -> float:
    """Pictures per second of nothing but decoding."""

    def decode(some: list[tuple[bytes, int, int]]) -> None:
        for data, height, width in some:
            simplejpeg.decode_jpeg(data, colorspace="RGB", min_height=height, min_width=width)

    parts = [pictures[i::threads] for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool_:
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            list(pool_.map(decode, parts))
            count += len(pictures)
        return count / (time.perf_counter() - start)


def loader_rate(store: Path, selection: Selection, threads: int, augment: Augment) -> float:
    """Samples per second of the project's loader in one process, after its first batches."""
    loader = Loader(store, selection, batch_size=BATCH_SIZE, size=SIZE, augment=augment, num_threads=threads)
    stream = loader.batches(State())
    for _ in range(4):
        next(stream)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        count += len(next(stream)[1].keys)
    found = count / (time.perf_counter() - start)
    stream.close()
    return found


def environment(name: str) -> Path | str:
    """The Python of a peer's environment, which is made if need be; or why there is none."""
    folder = Path(platformdirs.user_cache_dir("ehps")) / "bench-loader" / name
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        packages = [name, "numpy", "torch", *(f"{p}=={version(p)}" for p in ("simplejpeg", "opencv-python-headless"))]
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "-q", *packages],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return (done.stderr.strip() or "installation failed").splitlines()[-1][:80]
        (folder / "complete").touch()
    return python


def peer_rate(name: str, python: Path, folder: Path, workers: int) -> float | str:
    """Samples per second of a peer with `workers` processes, or what went wrong."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        (Path(own) / "pictures.npz").hardlink_to(folder / "pictures.npz")
        command = [str(python), str(HERE / "loader_peer.py"), name, own, str(workers), str(BATCH_SIZE), str(SECONDS)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("rate ")]
    if done.returncode or not lines:
        return (done.stderr.strip() or "no figure").splitlines()[-1][:80]
    return float(lines[-1].split()[1])


def main() -> None:
    """Prints one table for one worker and one for as many as there are processors."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        selection, pictures = make_data(folder)
        kilobytes = np.mean([len(data) for data, _, _ in pictures]) / 1000
        print(
            f"{NUM_PICTURES} JPEG pictures of {PICTURE_PX[0]} x {PICTURE_PX[1]} px, {kilobytes:.0f} kB, decoded to "
            f"{pictures[0][2]} x {pictures[0][1]} by simplejpeg {version('simplejpeg')}; crops {SIZE.width_px} x "
            f"{SIZE.height_px} by OpenCV {cv2.__version__}; batches of {BATCH_SIZE}; {os.cpu_count()} processors"
        )
        pythons = {name: environment(name) for name in PEERS}
        for workers in sorted({1, os.cpu_count() or 1}):
            _table(folder, selection, pictures, pythons, workers)


def _table(
    folder: Path,
    selection: Selection,
    pictures: list[tuple[bytes, int, int]],
    pythons: dict[str, Path | str],
    workers: int,
) -> None:
    rates: dict[str, list[float]] = {}
    problems = {name: python for name, python in pythons.items() if isinstance(python, str)}
    for _ in range(ROUNDS):  # in turn, so that a busy machine slows all
        measured: dict[str, float | str] = {
            "decoding alone": decode_rate(pictures, workers),
            "this loader": loader_rate(folder / "store", selection, workers, NONE),
            "this loader, SMPLer-X augmentation": loader_rate(folder / "store", selection, workers, SMPLER_X),
        }
        for name, python in pythons.items():
            if isinstance(python, Path) and name not in problems:
                measured[name] = peer_rate(name, python, folder, workers)
        for name, found in measured.items():
            if isinstance(found, str):
                problems[name] = found
            else:
                rates.setdefault(name, []).append(found)
    limit = np.median(rates["decoding alone"])
    print(f"\n{workers} worker(s): threads here, processes in the peers; median of {ROUNDS} rounds")
    for name, found_rates in rates.items():
        print(
            f"  {name:36s} {np.median(found_rates):8.0f} samples/s   {np.median(found_rates) / limit:5.2f} of decoding"
        )
    for name, problem in problems.items():
        print(f"  {name:36s} missing: {problem}")


if __name__ == "__main__":
    main()
