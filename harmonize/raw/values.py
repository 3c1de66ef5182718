"""What the interpreter of pickles handles besides plain values, and which values may be keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonize.raw.guard import Refused

MAX_KEY_DEPTH = 4  # hashing nested tuples recurses in C without a check
_SCALARS = (str, int, float, bool, bytes, complex, type(None))


class Inner:
    """A value that only has a meaning inside the reconstruction of another; never part of a result."""


class Pending(Inner):
    """An object that exists but was not filled yet."""

    def build(self, state: Any) -> Any:
        """The finished value for the state that the file gives."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Admitted(Inner):
    """A global of the stream and the function of ours that stands for calling it."""

    name: str
    rebuild: Callable[..., Any]


Table = Mapping[tuple[str, str], Callable[..., Any]]


def check_key(key: Any, depth: int = 0) -> Any:
    """The key itself when it can be hashed safely: a scalar, or tuples of scalars at most MAX_KEY_DEPTH deep."""
    if type(key) in _SCALARS or isinstance(key, (np.number, np.bool_, np.str_)):
        return key
    if type(key) is tuple and depth < MAX_KEY_DEPTH:
        for item in key:
            check_key(item, depth + 1)
        return key
    raise Refused(f"a key or set member of type {type(key).__name__}")
