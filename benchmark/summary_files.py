"""Summaries as one npz of plain arrays, so that proposers and distances run without a store.

For each space: what was fitted, and of all sources together num, num_missing, mean, scatter, embedding and cells, the
samples one after the other, and the keys as UTF-8 lines. Names and facts are one JSON text. Same summaries, same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.fitted import Space
from benchmark.summary import Summary
from harmonize.errors import DataError, RawFileError, StoreError, UsageError
from harmonize.raw.npz import load_npz
from harmonize.whole import whole_file

FORMAT_VERSION = 1
Arrays = dict[str, npt.NDArray[Any]]

_FITTED = ("centre", "matrix", "frequencies", "directions")
_STACKED = ("num", "num_missing", "mean", "scatter", "embedding", "cells")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries:
    """spaces: what was fitted, by name. by_space: name of the space -> name of the source -> its summary.

    Raises:
        UsageError: a summary is not in the version of its space.
    """

    spaces: Mapping[str, Space]
    by_space: Mapping[str, Mapping[str, Summary]]

    def __post_init__(self) -> None:
        for name, sources in self.by_space.items():
            for source, summary in sources.items():
                if summary.space != self.spaces[name].version:
                    raise UsageError(
                        f"summaries: {source}: expected a summary in {self.spaces[name].version}, found "
                        f"{summary.space}",
                        fix="summarise all sources with the same fitted spaces",
                    )

    def __getitem__(self, space: str) -> Mapping[str, Summary]:
        """The summaries in a space by source.

        Raises:
            UsageError: there is no such space.
        """
        if space not in self.by_space:
            known = ", ".join(self.by_space)
            raise UsageError(f"summaries: there is no space {space!r}; there are {known}", fix="choose one of them")
        return self.by_space[space]

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all sources, sorted."""
        return tuple(sorted({source for found in self.by_space.values() for source in found}))


def save(summaries: Summaries, path: Path) -> None:
    """Write summaries whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    arrays: Arrays = {}
    about: dict[str, Any] = {"format_version": FORMAT_VERSION, "spaces": {}}
    for number, (name, space) in enumerate(summaries.spaces.items()):
        sources = summaries.by_space.get(name, {})
        about["spaces"][name] = {
            "sources": list(sources),
            "median": space.median,
            "num_cells": space.num_cells,
            "sample_limit": space.sample_limit,
            "facts": dict(space.facts),
        }
        arrays |= {f"{number}/{field}": getattr(space, field) for field in _FITTED}
        found = list(sources.values())
        if found:
            arrays |= {f"{number}/{field}": np.stack([getattr(one, field) for one in found]) for field in _STACKED}
            arrays[f"{number}/sample"] = np.concatenate([one.sample for one in found])
            arrays[f"{number}/sample_sizes"] = np.array([len(one.sample_keys) for one in found])
            keys = "\n".join(key for one in found for key in one.sample_keys)
            arrays[f"{number}/sample_keys"] = np.frombuffer(keys.encode(), np.uint8)
    text = json.dumps(about, sort_keys=True, allow_nan=False)
    arrays["about"] = np.frombuffer(text.encode(), np.uint8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch, scratch.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise StoreError(f"{path}: cannot write ({error.strerror or error})", fix="choose another file") from error


def load(path: Path) -> Summaries:
    """Read and check saved summaries.

    Raises:
        UsageError: there is no such file.
        DataError: it is not a file of summaries, of another format version, or altered.
    """
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file of summaries", fix=f"ehps distance STORE --save {path}")
    fix = f"write it again: ehps distance STORE --save {path}"
    try:
        arrays = load_npz(Path(path))
        about = json.loads(arrays["about"].tobytes().decode())
        if about["format_version"] != FORMAT_VERSION:
            raise ValueError(f"expected format version {FORMAT_VERSION}, found {about['format_version']}")
        spaces: dict[str, Space] = {}
        by_space: dict[str, dict[str, Summary]] = {}
        # Names are sorted in JSON and were sorted when written: `save` numbers spaces in their order.
        for number, (name, facts) in enumerate(sorted(about["spaces"].items())):
            mine = {key.split("/", 1)[1]: array for key, array in arrays.items() if key.startswith(f"{number}/")}
            spaces[name] = _space(name, facts, mine)
            by_space[name] = _sources(spaces[name], facts["sources"], mine)
        return Summaries(spaces=spaces, by_space=by_space)
    except (RawFileError, ValueError, KeyError, TypeError, IndexError, AttributeError, UsageError) as error:
        raise DataError(f"{path}: not a file of summaries ({error})", fix=fix, path=str(path)) from error


def _space(name: str, facts: Mapping[str, Any], arrays: Arrays) -> Space:
    space = Space(
        name=name,
        **{field: arrays[field].astype(np.float64) for field in _FITTED},
        median=float(facts["median"]),
        num_cells=int(facts["num_cells"]),
        sample_limit=int(facts["sample_limit"]),
        facts=facts["facts"],
    )
    num, width = space.matrix.shape
    shapes = {
        "centre": (width,),
        "frequencies": (len(space.frequencies), num),
        "directions": (len(space.directions), num),
    }
    for field, shape in shapes.items():
        _check(arrays[field], shape, f"{name}: {field}")
    _check(arrays["matrix"], (num, width), f"{name}: matrix")
    return space


def _sources(space: Space, names: list[str], arrays: Arrays) -> dict[str, Summary]:
    if not names:
        return {}
    dims, total = space.num_dimensions, int(arrays["sample_sizes"].sum())
    shapes: dict[str, tuple[int, ...]] = {
        "num": (),
        "num_missing": (),
        "mean": (dims,),
        "scatter": (dims, dims),
        "embedding": (2 * len(space.frequencies),),
        "cells": (space.num_cells,),
        "sample_sizes": (),
    }
    for field, shape in shapes.items():
        _check(arrays[field], (len(names), *shape), f"{space.name}: {field}")
    _check(arrays["sample"], (total, dims), f"{space.name}: sample")
    text = arrays["sample_keys"].tobytes().decode()
    keys = text.split("\n") if total else []
    if len(keys) != total:
        raise ValueError(f"{space.name}: expected {total} keys, found {len(keys)}")
    stops = np.cumsum(arrays["sample_sizes"])
    found = {}
    for row, (name, stop) in enumerate(zip(names, stops.tolist(), strict=True)):
        start = stop - int(arrays["sample_sizes"][row])
        found[name] = Summary(
            space=space.version,
            num=int(arrays["num"][row]),
            num_missing=int(arrays["num_missing"][row]),
            cells=arrays["cells"][row].astype(np.int64),
            sample=arrays["sample"][start:stop].astype(np.float64),
            sample_keys=tuple(keys[start:stop]),
            **{field: arrays[field][row].astype(np.float64) for field in ("mean", "scatter", "embedding")},
        )
    return found


def _check(array: npt.NDArray[Any], shape: tuple[int, ...], what: str) -> None:
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{what}: expected finite numbers of shape {shape}, found {array.shape}")
