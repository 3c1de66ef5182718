"""The one way to timm, which needs torchvision, which needs its compiled operators.

torchvision's published wheel is linked against CUDA. Beside a CPU build of torch its operators do not load; it swallows
that and then fails while it describes two of them. Declaring those two lets the import pass; nothing here calls them.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

from harmonize.errors import UsageError

_MISSING_OPERATORS = ("nms", "qnms")
_kept: list[Any] = []  # a library's operators vanish with its object


@functools.cache
def timm() -> ModuleType:
    """The timm package.

    Raises:
        UsageError: torch, torchvision or timm is not installed.
    """
    try:
        try:
            import torchvision
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
            _declare_operators()
            import torchvision  # noqa: F401
        import timm as package
    except ImportError as error:
        raise UsageError(f"image features need {error.name}", fix="pip install 'ehps[features]'") from error
    found: ModuleType = package
    return found


def _declare_operators() -> None:
    import torch

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in _MISSING_OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
