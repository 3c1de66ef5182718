"""When so many people are refused, or miss their points, that the fault is not theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_dataset import toy_job

from harmonize.annotation import Reject
from harmonize.evidence import Evidence
from harmonize.layout import VECTOR_SIZE
from harmonize.record import Provenance
from harmonize.shards.index import StagedReject
from harmonize.shards.judge import MIN_COUNTED_REJECTS, judge
from harmonize.shards.shard import ShardContent
from harmonize.shards.spool import Sample, Spool


def verdict(
    tmp_path: Path, num_samples: int, num_rejects: int, *, share: float = 0.01, stage: str = "gate", limit: float = 0.05
) -> str:
    rejects = [
        StagedReject(stage=stage, reject=Reject(reason="box-small", provenance=Provenance(dataset="d", person=str(i))))
        for i in range(num_rejects)
    ]
    keys = [f"k{i}" for i in range(num_samples)]
    job = toy_job(tmp_path, tmp_path, max_reject_share=limit)
    with Spool(tmp_path / "spool") as spool:
        for key in keys:
            evidence = Evidence(reprojection_share=share)
            spool.add(Sample(key=key, vector=np.zeros(VECTOR_SIZE, np.float32), strings={}, evidence=evidence))
        content = ShardContent(number=0, keys=keys, rejects=rejects, num_skipped=0)
        empty = ShardContent(number=1, keys=[], rejects=[], num_skipped=0)
        error = judge({"d-train-000000": content, "d-train-000001": empty}, spool, job, tmp_path / "table")
    return "" if error is None else str(error)


@pytest.mark.parametrize(
    ("num_samples", "num_rejects", "fails"),
    [
        (100, 0, False),
        (2, 1, False),
        (1, MIN_COUNTED_REJECTS - 1, False),
        (1, MIN_COUNTED_REJECTS, True),
        (189, MIN_COUNTED_REJECTS, True),
        (190, MIN_COUNTED_REJECTS, False),
        (0, 1, True),
        (0, 0, False),
    ],
)
def test_share_and_number_of_refused_people(tmp_path: Path, num_samples: int, num_rejects: int, fails: bool) -> None:
    message = verdict(tmp_path, num_samples, num_rejects)
    assert bool(message) == fails
    if fails:
        assert f"{num_rejects} of {num_samples + num_rejects} people were refused, more than 5.0%" in message
        assert f"box-small {num_rejects}" in message


def test_the_datasets_own_marks_do_not_count(tmp_path: Path) -> None:
    assert verdict(tmp_path, 0, 50, stage="dataset") == ""


def test_a_limit_of_one_publishes_whatever_is_left(tmp_path: Path) -> None:
    assert verdict(tmp_path, 0, 50, limit=1.0) == ""


def test_people_who_typically_miss_their_points_fail_the_task(tmp_path: Path) -> None:
    message = verdict(tmp_path, 20, 0, share=0.09)
    assert "shard-reprojection" in message
    assert "0.09" in message
