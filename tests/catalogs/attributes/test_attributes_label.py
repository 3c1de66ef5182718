"""Label: what the record says of its own making."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from one_shard import record, values

from catalogs.attributes.label import FAMILY
from harmonize.record import SourceBody


def test_cameras_and_depth(tmp_path: Path) -> None:
    calibrated = record(1, is_calibrated=True)
    virtual = record(2, is_calibrated=False, is_transl_metric=False)
    blind = record(3, has_intrinsics=False, is_calibrated=False, has_transl=False, is_transl_metric=False)
    shown = values(tmp_path, FAMILY, [calibrated, virtual, blind])
    assert [found["camera"] for found in shown] == ["calibrated", "virtual", "none"]
    assert [found["is_metric"] for found in shown] == [True, False, None]


def test_origin_and_parts(tmp_path: Path) -> None:
    everything = dict.fromkeys(("has_left_hand", "has_right_hand", "has_jaw", "has_expression"), True)
    people = [
        record(1, label_origin="eft", **everything),
        record(2, label_origin="synthetic", **(everything | {"has_expression": False})),
        record(3, label_origin="", has_body=False),
    ]
    shown = values(tmp_path, FAMILY, people)
    assert [found["origin"] for found in shown] == ["eft", "synthetic", None]
    assert [found["num_parts"] for found in shown] == [4, 3, 0]


def test_evidence_is_that_of_ingest_and_unknown_stays_unknown(tmp_path: Path) -> None:
    [found] = values(tmp_path, FAMILY, [record(1)])
    assert found["reprojection_px"] == pytest.approx(1.5)
    assert found["reprojection_share"] == pytest.approx(0.01)
    others = [name for name in found if name.endswith(("_mm", "exact_px", "hand_reprojection_share", "face_share"))]
    assert len(others) == 6
    assert {found[name] for name in others} == {None}


def test_fit_error_is_known_where_a_body_was_fitted(tmp_path: Path) -> None:
    bodies = [
        SourceBody(conversion="fit", fit_error_mm=4.5),
        SourceBody(conversion="copy", fit_error_mm=0.0),
        SourceBody(conversion="identity"),
        None,
    ]
    people = [replace(record(number), source_body=body) for number, body in enumerate(bodies)]
    assert [found["fit_error_mm"] for found in values(tmp_path, FAMILY, people)] == [4.5, None, None, None]
