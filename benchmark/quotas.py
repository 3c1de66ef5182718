"""How many samples of each source, when single samples are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmark.constraints import limits_of
from benchmark.limits import nearest
from benchmark.problem import Problem, Samples
from catalogs.apportion import apportion
from harmonize.errors import UsageError


def allowed(
    problem: Problem, samples: Mapping[str, Samples], method: str, *, is_in_time: bool = False
) -> dict[str, Samples]:
    """The rows of each candidate that the constraints allow to draw, in order of their keys, or as given (is_in_time).

    Raises:
        UsageError: a candidate has no rows, or rows have different widths.
    """
    keys = problem.constraints.samples
    found = {}
    for name in problem.names:
        if name not in samples:
            raise UsageError(f"{method}: nothing is known of the samples of {name}", fix="describe or exclude it")
        rows = samples[name]
        may = None if keys is None else set(keys[name])
        order = list(range(len(rows.keys))) if is_in_time else sorted(range(len(rows.keys)), key=rows.keys.__getitem__)
        order = [i for i in order if may is None or rows.keys[i] in may]
        found[name] = Samples(
            keys=tuple(rows.keys[i] for i in order),
            values=rows.values[order],
            sequences=tuple(rows.sequences[i] for i in order) if rows.sequences else (),
        )
    if len(widths := {rows.values.shape[1:] for rows in found.values()}) > 1:
        raise UsageError(f"{method}: rows of different widths: {sorted(widths)}")
    return found


def quotas(problem: Problem, wanted: Sequence[float], num: int, available: Sequence[int], method: str) -> list[int]:
    """How many of `num` samples each candidate gives: nearest to `wanted` (any positive sum) under the constraints.

    Every sample chosen is drawn equally often, so shares of samples are shares of draws, and the repeat cap is a lower
    bound on `num`.

    Raises:
        UsageError: `num` is more than there are or too few for the repeat cap, or no choice obeys the constraints.
    """
    check_num(problem, num, sum(available), method)
    limits = limits_of(problem.candidates, problem.budget, problem.constraints, with_repeat_cap=False)
    room = np.array(available, np.float64) / num
    why = tuple(
        f"has {count} samples to choose from" if part < most else text
        for count, part, most, text in zip(available, room, limits.upper, limits.upper_why, strict=True)
    )
    limits = replace(limits, upper=np.minimum(limits.upper, room), upper_why=why)
    if conflict := limits.conflict():
        raise UsageError(f"{method}: {num} samples are not feasible: {conflict}", fix="ask for fewer samples")
    shares = nearest(np.asarray(wanted, np.float64), limits)
    return list(apportion(shares.tolist(), num, list(available)))


def check_num(problem: Problem, num: int, most: int, method: str) -> None:
    """Refuse a number of samples that cannot be chosen, or that the budget would repeat more often than the cap."""
    cap = problem.budget.repeat_cap
    least = 1 if cap is None else -(-problem.budget.draws_per_epoch // cap)
    if not least <= num <= most:
        raise UsageError(
            f"{method}: expected {least} to {most} samples (draws / repeat cap, and what there is), found {num}",
            fix="ask for a number in this range, for fewer draws, or for a larger repeat cap",
            field="num",
        )


def joined(rows: Mapping[str, Samples]) -> tuple[tuple[str, ...], npt.NDArray[np.generic], npt.NDArray[np.intp]]:
    """Keys (N,), values (N, F) and position of the source (N,) of all rows, source by source."""
    keys = tuple(key for one in rows.values() for key in one.keys)
    owner = np.repeat(np.arange(len(rows)), [len(one.keys) for one in rows.values()])
    return keys, np.concatenate([one.values for one in rows.values()]), owner
