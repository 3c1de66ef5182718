"""The loader against the pure decode rate of its pictures, and against other libraries doing the same job.

Run by `make bench-loader`. Peers get virtual environments of their own under the user's cache folder (made once, which
needs a package index); one that cannot be installed is said to be missing. All run in turn on the same pictures, with
the same decoder at the same scale and the same warp.

The physical limit is decoding alone: the whole pictures, in memory, to the scale that the crops need, in one process,
with as many threads as the loader has. The loader decodes what the crops show, and so do the peers, by the same
function; that alone is the second limit. All decoding is libjpeg-turbo's with exact transform and upsampling.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import distributions, version
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import numpy.typing as npt
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
from harmonize.shards.jpeg import library_name  # noqa: E402
from harmonize.shards.jpeg_part import decode_part  # noqa: E402
from train.data.augment import NONE, SMPLER_X, Augment  # noqa: E402
from train.data.crops import CropSize, crop_maps, decoded_eighths  # noqa: E402
from train.data.loader import Loader  # noqa: E402
from train.data.schedule import State  # noqa: E402

PEERS = ("webdataset", "litdata", "mosaicml-streaming")
SAME = ("simplejpeg", "turbojpeg", "opencv-python-headless")
"""Of these the peers get the versions that are installed here."""
PICTURE_PX = (640, 640)
NUM_PICTURES, BATCH_SIZE = 512, 64
SECONDS, ROUNDS = 1.0, 8
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


@dataclass(frozen=True)
class Data:
    """The pictures as files, and plans (N, 13): width, height, eighths to decode to, the window that the crop shows in
    decoded pixels, and the map (2, 3) back from the crop to decoded pixels, both counted from their centres."""

    selection: Selection
    pictures: list[bytes]
    plans: npt.NDArray[np.float64]


def make_data(folder: Path) -> Data:
    """Writes the store and the peers' pictures."""
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
    plans = np.array([plan_of(to_crop) for to_crop in crop_maps(boxes, SIZE)])
    data = [pictures[one.key] for one in instances]
    np.savez(
        folder / "pictures.npz",
        data=np.frombuffer(b"".join(data), np.uint8),
        ends=np.cumsum([len(one) for one in data]),
        plans=plans,
        labels=np.zeros((NUM_PICTURES, 1500), np.float32),
    )
    with open(folder / "store") as con:
        budget = Budget(draws_per_epoch=NUM_PICTURES, repeat_cap=1, seed=0)
        return Data(PROPOSERS["uniform"](Problem(pool=pool(con), budget=budget)), data, plans)


def plan_of(to_crop: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """See `Data`."""
    eighths = decoded_eighths(to_crop[0, 0])
    back = np.linalg.inv(to_crop[:, :2] * 8 / eighths)
    corners = np.array([[0, 0], [SIZE.width_px, SIZE.height_px]]) - to_crop[:, 2]
    low, high = corners @ back.T
    window = [*np.floor(low), *np.ceil(high)]
    centred = np.column_stack([back, back @ (0.5 - to_crop[:, 2]) - 0.5])
    return np.array([*PICTURE_PX, eighths, *window, *centred.ravel()])


def decode_wholly(picture: bytes, plan: list[int]) -> None:
    """The whole picture at the plan's scale, as libraries do it."""
    width, height = (-(-side * plan[2] // 8) for side in plan[:2])
    simplejpeg.decode_jpeg(picture, colorspace="RGB", min_height=height, min_width=width)


def decode_seen(picture: bytes, plan: list[int]) -> None:
    """What the crop shows of it."""
    decode_part(picture, (plan[0], plan[1]), plan[2], (plan[3], plan[4], plan[5], plan[6]))


def decode_rate(data: Data, decode: Callable[[bytes, list[int]], None], threads: int) -> Measured:
    """Nothing but decoding."""
    work = list(zip(data.pictures, data.plans[:, :7].astype(int).tolist(), strict=True))

    def decode_all(some: list[tuple[bytes, list[int]]]) -> None:
        for picture, plan in some:
            decode(picture, plan)

    parts = [work[i::threads] for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool_:

        def turn() -> int:
            list(pool_.map(decode_all, parts))
            return len(work)

        return measure(turn)


def loader_rate(store: Path, data: Data, threads: int, augment: Augment) -> Measured:
    """The project's loader in one process, once it has proved all samples by their hashes."""
    loader = Loader(store, data.selection, batch_size=BATCH_SIZE, size=SIZE, augment=augment, num_threads=threads)
    stream = loader.batches(State())
    for _ in range(NUM_PICTURES // BATCH_SIZE + 1):
        next(stream)
    found = measure(lambda: len(next(stream)[1].keys))
    stream.close()
    return found


def first_pass_rate(store: Path, data: Data, threads: int) -> Measured:
    """The same while it works out the hashes: the first epoch, but for its first batch."""
    loader = Loader(store, data.selection, batch_size=BATCH_SIZE, size=SIZE, num_threads=threads)
    stream = loader.batches(State())
    next(stream)
    num = NUM_PICTURES // BATCH_SIZE - 1
    found = measure(lambda: sum(len(next(stream)[1].keys) for _ in range(num)), seconds=0)
    stream.close()
    return found


@dataclass(frozen=True)
class Measured:
    """rate: samples a second by the clock. cpu_ms: processor time of a sample, which a busy machine changes less."""

    rate: float
    cpu_ms: float


def measure(turn: Callable[[], int], seconds: float = SECONDS) -> Measured:
    """Repeats what makes some samples."""
    count, start, cpu = 0, time.perf_counter(), time.process_time()
    while not count or time.perf_counter() - start < seconds:
        count += turn()
    return Measured(count / (time.perf_counter() - start), 1000 * (time.process_time() - cpu) / count)


def environment(name: str) -> Path | str:
    """The Python of a peer's environment, which is made if need be; or why there is none."""
    here = {distribution.metadata["Name"].lower() for distribution in distributions()}
    pins = [f"{package}=={version(package).split('+')[0]}" for package in SAME if package in here]
    digest = hashlib.sha256(" ".join([sys.version, name, *pins]).encode()).hexdigest()[:8]
    folder = Path(platformdirs.user_cache_dir("ehps")) / "bench-loader" / f"{name}-{digest}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be making it
        if (folder / "complete").exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "same.txt").write_text("\n".join(pins))
        packages = [name, "numpy", "torch", *(package for package in SAME if package in here)]
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "-q", "-c", str(folder / "same.txt"), *packages],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return (done.stderr.strip() or "installation failed").splitlines()[-1][:80]
        (folder / "complete").touch()
    return python


class Peer:
    """A peer with `workers` processes, which waits until it is asked to measure. A context manager."""

    def __init__(self, name: str, python: Path, folder: Path, workers: int) -> None:
        self.own = tempfile.TemporaryDirectory(dir=folder)
        (Path(self.own.name) / "pictures.npz").hardlink_to(folder / "pictures.npz")
        self.errors = (Path(self.own.name) / "errors.txt").open("w+")
        self.process = subprocess.Popen(
            [str(python), str(HERE / "loader_peer.py"), name, self.own.name, str(workers), str(BATCH_SIZE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()
        self.own.cleanup()

    def wait_until_ready(self) -> str:
        """What went wrong, "" if nothing."""
        return "" if self._answer("ready") is not None else self._problem()

    def rate(self) -> Measured | str:
        """A measurement, or what went wrong."""
        assert self.process.stdin is not None
        try:
            print(SECONDS, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return self._problem()
        numbers = self._answer("rate")
        return self._problem() if numbers is None else Measured(*map(float, numbers))

    def _answer(self, word: str) -> list[str] | None:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # libraries print, too
            if line.split()[:1] == [word]:
                return line.split()[1:]
        return None

    def _problem(self) -> str:
        self.errors.seek(0)
        return (self.errors.read().strip() or "it ended without a word").splitlines()[-1][:80]


def main() -> None:
    """Prints one table for one worker and one for as many as there are processors."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        pythons = {name: environment(name) for name in PEERS}
        data = make_data(folder)
        kilobytes = np.mean([len(one) for one in data.pictures]) / 1000
        eighths = sorted(set(data.plans[:, 2].astype(int).tolist()))
        print(
            f"{NUM_PICTURES} JPEG pictures of {PICTURE_PX[0]} x {PICTURE_PX[1]} px, {kilobytes:.0f} kB, decoded to "
            f"{' or '.join(f'{one}/8' for one in eighths)} of their size (whole: simplejpeg {version('simplejpeg')}; "
            f"what is seen: {library_name()}); crops {SIZE.width_px} x {SIZE.height_px} by OpenCV {cv2.__version__}; "
            f"batches of {BATCH_SIZE}; {os.cpu_count()} processors"
        )
        for workers in sorted({1, os.cpu_count() or 1}):
            with ExitStack() as stack:
                _table(folder, data, pythons, workers, stack)


LIMIT = "decoding alone, whole pictures"


def _table(folder: Path, data: Data, pythons: dict[str, Path | str], workers: int, stack: ExitStack) -> None:
    problems, peers = {}, {}
    for name, python in pythons.items():
        if isinstance(python, str):
            problems[name] = python
            continue
        peer = stack.enter_context(Peer(name, python, folder, workers))
        if problem := peer.wait_until_ready():
            problems[name] = problem
        else:
            peers[name] = peer
    store, loads = folder / "store", []
    found: dict[str, list[Measured]] = {}
    for _ in range(ROUNDS):  # in turn, so that a busy machine slows all
        loads.append(os.getloadavg()[0])
        measured: dict[str, Measured | str] = {
            LIMIT: decode_rate(data, decode_wholly, workers),
            "decoding alone, what crops show": decode_rate(data, decode_seen, workers),
            "this loader": loader_rate(store, data, workers, NONE),
            "this loader, first pass with hashes": first_pass_rate(store, data, workers),
            "this loader, SMPLer-X augmentation": loader_rate(store, data, workers, SMPLER_X),
            **{name: peer.rate() for name, peer in peers.items() if name not in problems},
        }
        for name, one in measured.items():
            if isinstance(one, str):
                problems[name] = one
            else:
                found.setdefault(name, []).append(one)
    limit = max(one.rate for one in found[LIMIT])
    print(
        f"\n{workers} worker(s): threads here, processes in the peers; best of {ROUNDS} rounds in turn, which others "
        f"on the machine slow least (load {min(loads):.1f} to {max(loads):.1f})"
    )
    least_ms = min(one.cpu_ms for one in found[LIMIT])
    print(f"  {'':36s} samples/s   of the limit   median   processor time   of the limit")
    for name, ones in found.items():
        rates, cpu_ms = [one.rate for one in ones], min(one.cpu_ms for one in ones)
        print(
            f"  {name:36s} {max(rates):9.0f} {max(rates) / limit:14.2f} {np.median(rates):8.0f} {cpu_ms:11.2f} ms "
            f"{least_ms / cpu_ms:14.2f}",
            flush=True,
        )
    for name, problem in problems.items():
        print(f"  {name:36s} missing: {problem}")


if __name__ == "__main__":
    main()
