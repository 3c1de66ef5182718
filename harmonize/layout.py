"""`Instance` <-> one flat float32 vector and one dictionary of strings.

The table `LAYOUT` is derived from the record's own declarations: one row a field, in declaration order, with slice,
shape, unit, frame and validity flag. `LAYOUT_HASH` covers the whole table; it goes into every manifest, so a change of
the record cannot pass unnoticed. Flags are 0 or 1, codes are positions in their list, an absent source body is a
lowered `source_body.is_present`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.errors import RecordError
from harmonize.record import (
    MAX_EXTRA_KEYPOINTS,
    PARTS,
    Array,
    Instance,
    Spec,
    specs,
)

LAYOUT_VERSION = 1
PRESENT = "source_body.is_present"


@dataclass(frozen=True, slots=True)
class Column:
    """One field of the vector. `name` is `part.field`; values are vector[start:stop].reshape(shape)."""

    name: str
    start: int
    stop: int
    spec: Spec


def _columns() -> tuple[Column, ...]:
    rows: list[Column] = []

    def add(name: str, spec: Spec) -> None:
        start = rows[-1].stop if rows else 0
        rows.append(Column(name, start, start + int(np.prod(spec.shape, dtype=int)), spec))

    for part_name, part in PARTS.items():
        if part_name == "source_body":
            add(PRESENT, Spec("flag", doc="whether the source's own body is stored"))
        for name, spec in specs(part).items():
            if spec.kind != "text":
                add(f"{part_name}.{name}", spec)
    return tuple(rows)


LAYOUT: tuple[Column, ...] = _columns()
VECTOR_SIZE: int = LAYOUT[-1].stop
TEXT_FIELDS: tuple[str, ...] = tuple(name for name, spec in specs(PARTS["provenance"]).items() if spec.kind == "text")


def layout_table() -> list[dict[str, Any]]:
    """The published table: one dictionary a field, as `docs/format.md` prints it."""
    return [
        {
            "field": column.name,
            "slice": f"{column.start}:{column.stop}",
            "shape": list(column.spec.shape),
            "kind": column.spec.kind,
            "unit": column.spec.unit,
            "frame": column.spec.frame,
            "flag": column.spec.flag,
            "codes": list(column.spec.codes),
            "doc": column.spec.doc,
        }
        for column in LAYOUT
    ]


def _hash() -> str:
    # "doc" is left out: mending a word must not make every shard stale.
    rows = [{key: value for key, value in row.items() if key != "doc"} for row in layout_table()]
    return hashlib.sha256(json.dumps([LAYOUT_VERSION, rows, TEXT_FIELDS], sort_keys=True).encode()).hexdigest()


LAYOUT_HASH: str = _hash()


@dataclass(frozen=True, slots=True)
class _PartPlan:
    """How one part maps to the vector: arrays one by one, its scalars gathered once."""

    cls: type
    arrays: tuple[tuple[str, int, int, tuple[int, ...]], ...]
    scalars: tuple[tuple[str, int, str, tuple[str, ...]], ...]
    scalar_at: npt.NDArray[np.intp]


def _plan(part_name: str) -> _PartPlan:
    arrays, scalars = [], []
    for column in LAYOUT:
        if column.name == PRESENT or column.name.split(".")[0] != part_name:
            continue
        name = column.name.split(".")[1]
        if column.spec.kind == "array":
            arrays.append((name, column.start, column.stop, column.spec.shape))
        else:
            scalars.append((name, column.start, column.spec.kind, column.spec.codes))
    scalar_at = np.array([at for _, at, _, _ in scalars], np.intp)
    return _PartPlan(PARTS[part_name], tuple(arrays), tuple(scalars), scalar_at)


_PLANS: dict[str, _PartPlan] = {name: _plan(name) for name in PARTS if name != "provenance"}
_PRESENT_AT = next(column.start for column in LAYOUT if column.name == PRESENT)
_CODES: dict[tuple[str, ...], dict[str, int]] = {
    column.spec.codes: {value: i for i, value in enumerate(column.spec.codes)} for column in LAYOUT if column.spec.codes
}


def encode(instance: Instance) -> tuple[Array, dict[str, Any]]:
    """The vector (VECTOR_SIZE,) float32 and the strings of one instance.

    Raises:
        RecordError: a code is not in its list, or there are more extra keypoints than slots.
    """
    vector = np.zeros(VECTOR_SIZE, np.float32)
    for part_name, plan in _PLANS.items():
        part = getattr(instance, part_name)
        if part is None:
            continue
        for name, start, stop, _ in plan.arrays:
            vector[start:stop] = getattr(part, name).reshape(-1)
        for name, at, kind, codes in plan.scalars:
            value = getattr(part, name)
            if kind == "code":
                try:
                    value = _CODES[codes][value]
                except KeyError:
                    raise RecordError(
                        f"{instance.key}: {part_name}.{name}: expected one of {codes}, found {value!r}"
                    ) from None
            vector[at] = value
    if instance.source_body is not None:
        vector[_PRESENT_AT] = 1.0
    names = instance.keypoints.extra_names
    if len(names) > MAX_EXTRA_KEYPOINTS:
        raise RecordError(f"{instance.key}: expected at most {MAX_EXTRA_KEYPOINTS} extra keypoints, found {len(names)}")
    strings: dict[str, Any] = {"key": instance.key, "layout_version": LAYOUT_VERSION, "extra_names": list(names)}
    provenance = instance.provenance
    for name in TEXT_FIELDS:
        strings[name] = getattr(provenance, name)
    return vector, strings


def decode(vector: Array, strings: Mapping[str, Any]) -> Instance:
    """The instance of `encode`. Arrays are views of `vector`: copy it first if it will be written to.

    Raises:
        RecordError: the vector has another size, the strings another layout version, or a code is out of range.
    """
    if vector.shape != (VECTOR_SIZE,) or strings.get("layout_version") != LAYOUT_VERSION:
        raise RecordError(
            f"{strings.get('key', '?')}: expected layout {LAYOUT_VERSION} with ({VECTOR_SIZE},) values, "
            f"found layout {strings.get('layout_version')} with {vector.shape}"
        )
    if vector.dtype != np.float32:
        raise RecordError(f"{strings.get('key', '?')}: expected float32, found {vector.dtype}")
    parts: dict[str, Any] = {}
    for part_name, plan in _PLANS.items():
        if part_name == "source_body" and not vector[_PRESENT_AT]:
            parts[part_name] = None
            continue
        values: dict[str, Any] = {}
        for name, start, stop, shape in plan.arrays:
            values[name] = vector[start:stop].reshape(shape)
        for (name, _, kind, codes), value in zip(plan.scalars, vector[plan.scalar_at].tolist(), strict=True):
            values[name] = _scalar(value, kind, codes, name)
        if part_name == "keypoints":
            values["extra_names"] = tuple(strings["extra_names"])
        parts[part_name] = plan.cls(**values)
    provenance = PARTS["provenance"](**{name: strings[name] for name in TEXT_FIELDS})
    return Instance(key=strings["key"], provenance=provenance, **parts)


def _scalar(value: float, kind: str, codes: tuple[str, ...], name: str) -> Any:
    if kind == "flag":
        return value != 0.0
    if kind == "count":
        return int(value)
    if kind == "number":
        return value
    if 0 <= value < len(codes):
        return codes[int(value)]
    raise RecordError(f"{name}: expected a code below {len(codes)}, found {value}")
