"""Weights from files of others: read without running anything in them, and unwrapped to names and tensors.

`.safetensors`, and whatever `torch.save` wrote (`.pth`, `.pt`, `.ckpt`, `.pth.tar`), the latter only with
`weights_only=True`: a pickle that wants other classes than tensors and containers is refused.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmonize.errors import RawFileError, UsageError

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]

WRAPPERS = ("state_dict", "network", "model")
"""Where checkpoints keep their tensors beside other things: mmpose and HumanBench, OSX and SMPLer-X, MAE and DeiT."""

_PARALLEL = "module."
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def read_state(path: Path) -> State:
    """The tensors of a checkpoint by name, without the wrapper and without the prefix of data-parallel training.

    Raises:
        UsageError: there is no such file, or it needs pickled classes.
        RawFileError: it is not a checkpoint, or is damaged.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file of weights", fix="give the path of a downloaded checkpoint")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    state = _tensors(content)
    if not state:
        found = f"the entries {', '.join(map(str, list(content)[:8]))}" if isinstance(content, dict) else type(content)
        raise RawFileError(f"{path}: expected tensors by name, found {found}", file=str(path))
    return {name.removeprefix(_PARALLEL): tensor for name, tensor in state.items()}


def _tensors(content: Any) -> State:
    import torch

    if not isinstance(content, dict):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RawFileError(f"{path}: not a readable safetensors file: {error}", file=str(path)) from error


def _torch_file(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # on pickle protocols: the outcome says all there is to say
            # Mapped, not read: an optimizer's state beside the weights, twice their size, then costs nothing.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        classes = sorted(set(_GLOBAL.findall(str(error))))
        if not classes:
            raise RawFileError(f"{path}: not a readable checkpoint: {_first_line(error)}", file=str(path)) from error
        raise UsageError(
            f"{path}: expected nothing but tensors, found pickled {', '.join(classes)}, which could run any code",
            fix="only if you trust the file: torch.save({'state_dict': torch.load(FILE, weights_only=False)"
            f"[KEY]}}, NEW), where KEY is one of {', '.join(WRAPPERS)}",
            path=str(path),
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise RawFileError(f"{path}: not a readable checkpoint: {_first_line(error)}", file=str(path)) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
