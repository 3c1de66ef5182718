"""The last look at a value that came out of a hostile file: it must be plain, finite in depth, and no circle."""

from __future__ import annotations

from typing import Any

import numpy as np

from harmonize.raw.guard import Refused
from harmonize.raw.values import Inner

MAX_DEPTH = 100  # well inside Python's recursion limit for whoever walks the value


def check_depth(value: Any, limit: int = MAX_DEPTH) -> None:
    """Iterative, and every container is visited once, however often it is shared.

    Raises:
        Refused: the value contains itself, nests deeper than `limit`, or holds a class where a value must be.
    """
    root = [value]
    heights: dict[int, int] = {}
    open_ids = {id(root)}
    path = [(root, iter(_children(root)), 0)]
    while path:
        parent, children, height = path.pop()
        child = next(children, None)
        if child is None:
            heights[id(parent)] = height
            open_ids.discard(id(parent))
            if path:
                above, siblings, known = path.pop()
                path.append((above, siblings, max(known, height + 1)))
            if height > limit:
                raise Refused(f"containers nested deeper than {limit}")
        elif id(child) in open_ids:
            raise Refused("a container that contains itself")
        else:
            path.append((parent, children, max(height, heights.get(id(child), -1) + 1)))
            if id(child) not in heights:
                open_ids.add(id(child))
                path.append((child, iter(_children(child)), 0))


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        members: Any = value.values()
    elif isinstance(value, np.ndarray):
        members = value.reshape(-1) if value.dtype == object else ()
    elif isinstance(value, (list, tuple)):
        members = value
    else:
        members = ()
    children = []
    for member in members:
        if isinstance(member, Inner):
            raise Refused(f"a {type(member).__name__.strip('_').lower()} ({member}) where a value must be"[:300])
        if isinstance(member, (list, tuple, dict, np.ndarray)):
            children.append(member)
    return children
