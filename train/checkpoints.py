"""Checkpoints: everything a run needs to go on exactly, in folders that are either whole or not there.

    checkpoints/step-00002000/
        model.safetensors       all parameters and buffers of the training step
        ema.safetensors         running mean of the network's, where the run has one
        optimiser.safetensors   the optimiser's tensors
        checkpoint.json         where the run stands, its config, and the sha256 of the files above; written last

A folder is written under another name, flushed to disk and renamed. Chance needs no state: pictures are changed by
(seed, epoch, draw), and torch's generator is seeded anew for every update.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file, save_file
from torch import Tensor

from harmonize.errors import DataError, UsageError
from harmonize.raw.paths import sha256_file
from train.data.schedule import State

CHECKPOINTS, MANIFEST = "checkpoints", "checkpoint.json"
MODEL, EMA, OPTIMISER = "model", "ema", "optimiser"
FORMAT_VERSION = 1
SCORE = "primary_mm"
"""The number of a validation that the best checkpoint is chosen by; lower is better."""

Which = Literal["best", "last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is said beside the tensors.

    step: updates done. state: where the schedule stands. config: as `train.settings.to_plain`. selection: hash of the
    `Selection`. is_standin: whether the run saw stand-in bodies. guard: losses that the next ones are compared with.
    scaler: state of fp16 loss scaling. validation: errors measured at this step. files: sha256 by name.
    """

    step: int
    state: State
    config: Mapping[str, Any]
    selection: str
    is_standin: bool
    guard: tuple[float, ...] = ()
    scaler: Mapping[str, Any] | None = None
    validation: Mapping[str, float] | None = None
    files: Mapping[str, str] | None = None
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on disk, its manifest read and its version checked."""

    path: Path
    manifest: Manifest

    def tensors(self, name: str) -> dict[str, Tensor]:
        """One of its files, checked against its hash; empty where the run had none of this name.

        Raises:
            DataError: the file is missing or is not what was written.
        """
        file = f"{name}.safetensors"
        expected = (self.manifest.files or {}).get(file)
        if expected is None:
            return {}
        path = self.path / file
        found = sha256_file(path) if path.is_file() else "no such file"
        if found != expected:
            raise DataError(
                f"{path}: expected sha256 {expected[:12]} as when it was written, found {found[:12]}",
                fix=f"remove {self.path} and resume from the checkpoint before it",
                path=path,
            )
        return load_file(path)


def save(run: Path, manifest: Manifest, tensors: Mapping[str, Mapping[str, Tensor]]) -> Checkpoint:
    """Write a checkpoint of a run; one of the same step is replaced.

    tensors: by file name without ending, whole and on the CPU; empty ones are left out.
    """
    folder = run / CHECKPOINTS
    path, partial = folder / f"step-{manifest.step:08d}", folder / f".step-{manifest.step:08d}.tmp"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    files = {}
    for name, some in tensors.items():
        if some:
            file = partial / f"{name}.safetensors"
            save_file(dict(some), file)
            _flush(file)
            files[file.name] = sha256_file(file)
    content = {**asdict(manifest), "files": files}
    text = json.dumps({**content, "sha256": _digest(content)}, indent=1, sort_keys=True)
    (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
    _flush(partial / MANIFEST)
    _flush(partial)
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)
    _flush(folder)
    return open_checkpoint(path)


def open_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint folder; its tensors are checked when they are read.

    Raises:
        UsageError: there is none.
        DataError: the manifest is damaged, altered, or of another version.
    """
    try:
        document = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: expected a checkpoint, found no {MANIFEST}", fix="give a run's folder") from error
    except ValueError as error:
        raise DataError(f"{path / MANIFEST}: expected JSON, found {error}", fix=f"remove {path}") from error
    version = document.get("format_version") if isinstance(document, dict) else None
    if version != FORMAT_VERSION:
        raise DataError(f"{path / MANIFEST}: format_version: expected {FORMAT_VERSION}, found {version}", path=path)
    digest = document.pop("sha256", None)
    if digest != _digest(document):
        raise DataError(
            f"{path / MANIFEST}: expected the content that was written, found another",
            fix=f"remove {path} and resume from the checkpoint before it",
            path=path,
        )
    state, guard = State(**document.pop("state")), tuple(document.pop("guard"))
    return Checkpoint(path, Manifest(**document, state=state, guard=guard))


def checkpoints_of(run: Path) -> list[Checkpoint]:
    """All checkpoints of a run, first to last."""
    return [open_checkpoint(path.parent) for path in sorted((run / CHECKPOINTS).glob(f"step-*/{MANIFEST}"))]


def find_checkpoint(place: Path, which: Which = "best") -> Checkpoint:
    """A checkpoint folder itself, or the best or last one of a run; the last where none was validated.

    Raises:
        UsageError: there is none. DataError: see `open_checkpoint`.
    """
    if (place / MANIFEST).is_file():
        return open_checkpoint(place)
    found = checkpoints_of(place)
    if not found:
        raise UsageError(
            f"{place}: expected a checkpoint or the folder of a run, found no {CHECKPOINTS}/step-*/{MANIFEST}",
            fix="give the folder that `ehps train` wrote to",
        )
    best = _best(found)
    return best if which == "best" and best is not None else found[-1]


def prune(run: Path, keep_last: int) -> None:
    """Remove all checkpoints of a run but the last few and the best."""
    found = checkpoints_of(run)
    best = _best(found)
    for one in found[:-keep_last]:
        if best is None or one.path != best.path:
            shutil.rmtree(one.path)


def _best(found: list[Checkpoint]) -> Checkpoint | None:
    def score(one: Checkpoint) -> float:
        return (one.manifest.validation or {}).get(SCORE, math.inf)

    best = min(found, key=score, default=None)
    return None if best is None or score(best) == math.inf else best


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
