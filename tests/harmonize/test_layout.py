"""The vector layout: identity on every field and flag, a table without gaps, a hash that notices changes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harmonize.errors import RecordError
from harmonize.layout import LAYOUT, LAYOUT_HASH, VECTOR_SIZE, decode, encode, layout_table
from harmonize.record import (
    MAX_EXTRA_KEYPOINTS,
    PARTS,
    Body,
    Boxes,
    Camera,
    Image,
    Instance,
    Keypoints,
    Provenance,
    SourceBody,
    Spec,
    specs,
)


def values_of(spec: Spec) -> st.SearchStrategy[Any]:
    finite = st.floats(-1e6, 1e6, width=32)
    by_kind: dict[str, st.SearchStrategy[Any]] = {
        "array": hnp.arrays(np.float32, spec.shape, elements=finite, fill=st.nothing()),
        "number": finite,
        "count": st.integers(0, 2**24 - 1),
        "flag": st.booleans(),
        "code": st.sampled_from(spec.codes or ("",)),
        "text": st.text(max_size=20),
    }
    return by_kind[spec.kind]


def part(cls: type) -> st.SearchStrategy[Any]:
    chosen = {
        name: values_of(spec)
        if spec.kind != "array" or np.prod(spec.shape) < 60
        # One draw an element is slow for the large blocks; a seeded array tests the same slices.
        else st.integers(0, 2**31).map(
            lambda seed, shape=spec.shape: np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        )
        for name, spec in specs(cls).items()
    }
    if cls is Keypoints:
        chosen["extra_names"] = st.lists(
            st.text(min_size=1, max_size=8), max_size=MAX_EXTRA_KEYPOINTS, unique=True
        ).map(tuple)
    return st.builds(cls, **chosen)


instances = st.builds(
    Instance,
    key=st.text("abc-_019", min_size=1, max_size=20),
    image=part(Image),
    camera=part(Camera),
    body=part(Body),
    keypoints=part(Keypoints),
    boxes=part(Boxes),
    provenance=part(Provenance),
    source_body=st.none() | part(SourceBody),
)


def assert_same(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    for item in fields(left):
        a, b = getattr(left, item.name), getattr(right, item.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        elif hasattr(a, "__dataclass_fields__"):
            assert_same(a, b)
        else:
            assert a == b, item.name


@given(instances)
@settings(max_examples=60, deadline=None)
def test_decode_inverts_encode(instance: Instance) -> None:
    vector, strings = encode(instance)
    assert_same(decode(vector, strings), instance)


@pytest.mark.parametrize("part_name", [name for name in PARTS if name != "provenance"])
def test_each_field_has_slots_of_its_own(part_name: str) -> None:
    empty = Instance(
        key="k",
        image=Image(),
        camera=Camera(),
        body=Body(),
        keypoints=Keypoints(),
        boxes=Boxes(),
        provenance=Provenance(),
        source_body=SourceBody(),
    )
    base, _ = encode(empty)
    claimed: set[int] = set()
    for name, spec in specs(PARTS[part_name]).items():
        other: Any = {"array": np.full(spec.shape, 3.5, np.float32), "number": 3.5, "count": 7, "flag": True}.get(
            spec.kind
        )
        if spec.kind == "code":
            current = getattr(getattr(empty, part_name), name)
            other = next(value for value in spec.codes if value != current)
        changed = replace(empty, **{part_name: replace(getattr(empty, part_name), **{name: other})})
        moved = set(np.flatnonzero(encode(changed)[0] != base).tolist())
        column = next(column for column in LAYOUT if column.name == f"{part_name}.{name}")
        assert moved == set(range(column.start, column.stop)), name
        assert not moved & claimed
        claimed |= moved


def test_table_covers_the_vector_without_gaps() -> None:
    at = 0
    for column in LAYOUT:
        assert column.start == at
        assert column.stop > column.start
        at = column.stop
    assert at == VECTOR_SIZE
    assert [row["field"] for row in layout_table()] == [column.name for column in LAYOUT]


def test_every_array_names_its_unit_and_every_flag_named_exists() -> None:
    for part_name, cls in PARTS.items():
        known = specs(cls)
        for name, spec in known.items():
            if spec.kind == "array":
                assert spec.unit, f"{part_name}.{name}"
            if spec.flag:
                assert known[spec.flag].kind == "flag", f"{part_name}.{name}"


def test_hash_depends_on_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    import harmonize.layout as layout

    assert layout._hash() == LAYOUT_HASH
    changed = list(LAYOUT)
    changed[3] = replace(changed[3], spec=replace(changed[3].spec, unit="mm"))
    monkeypatch.setattr(layout, "LAYOUT", tuple(changed))
    assert layout._hash() != LAYOUT_HASH


def test_wrong_shape_dtype_code_and_version_are_refused() -> None:
    with pytest.raises(RecordError, match=r"Body.betas: expected float32\(10,\), found float32\(11,\)"):
        Body(betas=np.zeros(11, np.float32))
    with pytest.raises(RecordError, match="found float64"):
        Body(betas=np.zeros(10))
    instance = Instance(
        key="k",
        image=Image(),
        camera=Camera(),
        body=Body(),
        keypoints=Keypoints(joints2d_origin="guessed"),  # type: ignore[arg-type]
        boxes=Boxes(),
        provenance=Provenance(),
    )
    with pytest.raises(RecordError, match="joints2d_origin"):
        encode(instance)
    vector, strings = encode(replace(instance, keypoints=Keypoints()))
    with pytest.raises(RecordError, match="layout 0"):
        decode(vector, {**strings, "layout_version": 0})
    with pytest.raises(RecordError, match="expected layout"):
        decode(vector[:-1], strings)
    vector[next(c.start for c in LAYOUT if c.name == "keypoints.joints2d_origin")] = 99
    with pytest.raises(RecordError, match="expected a code below"):
        decode(vector, strings)
