"""Names in what a user gives: datasets, or sources (`dataset/split`)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from benchmark.problem import Problem
from harmonize.errors import UsageError


def of_source(problem: Problem, names: Iterable[str], what: str) -> dict[str, list[int]]:
    """For each name the positions of the candidates that it means; a name of what constraints leave out means none.

    Raises:
        UsageError: a name is neither a dataset nor a source of the pool, or none of all means a candidate.
    """
    candidates = problem.candidates.sources
    known = {name for source in problem.pool.sources for name in (source.name, source.dataset)}
    found = {}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f"{what}: no dataset {name!r} to choose from" + (f"; did you mean {near[0]}?" if near else ""),
                fix=f"choose among {', '.join(sorted(source.dataset for source in problem.pool.sources))}",
            )
        found[name] = [i for i, source in enumerate(candidates) if name in (source.name, source.dataset)]
    if not any(found.values()):
        raise UsageError(f"{what}: none of the datasets named may be chosen from", fix="relax the constraints")
    return {name: places for name, places in found.items() if places}
