"""Whether so many people were refused, or miss their own keypoints by so much, that the fault is not theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from harmonize.errors import GateError
from harmonize.gate import check_shard
from harmonize.readers.base import make_key
from harmonize.shards.index import StagedReject
from harmonize.shards.plan import IngestJob
from harmonize.shards.shard import ShardContent
from harmonize.shards.spool import Spool

MIN_COUNTED_REJECTS = 10
"""Fewer refused people fail a shard only if nobody is left: one of three is bad luck, ten of thirty is not."""

_NUM_EXAMPLES = 3


def judge(contents: Mapping[str, ShardContent], spool: Spool, job: IngestJob, table: Path) -> GateError | None:
    """The error for which a task must not be published, or None.

    contents: by shard name. table: the file that will list the refused people.
    People whom the dataset itself marks as unusable do not count.
    """
    limit = job.options.max_reject_share
    counted = {name: _counted(content.rejects) for name, content in contents.items()}
    num_samples = {name: len(content.keys) for name, content in contents.items()}
    everyone = f"{next(iter(contents))} and the {len(contents) - 1} shards after it"
    counted[everyone] = [reject for rejects in counted.values() for reject in rejects]
    num_samples[everyone] = sum(num_samples.values())
    for name, rejects in counted.items():
        people = num_samples[name] + len(rejects)
        is_many = len(rejects) >= MIN_COUNTED_REJECTS and len(rejects) > limit * people
        is_all = name == everyone and rejects and num_samples[name] == 0 and limit < 1
        if is_many or is_all:
            return _error(name, rejects, people, job, table)
    violation = check_shard(spool.evidence(), job.options.limits)
    if violation is None:
        return None
    return GateError(
        f"{everyone}: {violation.reason}: {violation.detail} ({_numbers(violation.numbers)})",
        fix="check the annotation form and the raw files; if the labels are known to be this loose, widen the limits",
        reason=violation.reason,
        **violation.numbers,
    )


def _counted(rejects: Sequence[StagedReject]) -> list[StagedReject]:
    return [staged for staged in rejects if staged.stage != "dataset"]


def _error(name: str, rejects: list[StagedReject], people: int, job: IngestJob, table: Path) -> GateError:
    reasons = Counter(staged.reject.reason for staged in rejects)
    tally = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    examples = [
        f"  {make_key(staged.reject.provenance)}: {staged.reject.reason}: {staged.reject.detail} "
        f"({_numbers(staged.reject.numbers)})"
        for staged in rejects[:_NUM_EXAMPLES]
    ]
    return GateError(
        f"{name}: {len(rejects)} of {people} people were refused, "
        f"more than {job.options.max_reject_share:.1%}: {tally}\n"
        + "\n".join(examples)
        + f"\n  all of them, as a Parquet table: {table}",
        fix="mend the raw files; or publish all the same with `--max-rejects 1` "
        f"and look: ehps query {job.store} @rejects",
        reasons=dict(reasons),
        table=str(table),
    )


def _numbers(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in numbers.items())
