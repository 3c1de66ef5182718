"""`ehps propose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pipelines.tables import Json


def propose(
    store: Path,
    /,
    *,
    method: Literal["uniform", "natural", "temperature", "repeat_capped"],
    budget: int,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    tau: float | None = None,
    repeat_cap: int | None = None,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Choose a mixture of a store's training splits and write it, with reasons, as a selection.

    Parameters
    ----------
    store
        Folder of the store.
    method
        uniform: each dataset the same. natural: each sample the same. temperature: between the two. repeat_capped:
        as even as --repeat-cap allows.
    budget
        Number of draws in an epoch.
    out
        File to write: a selection in JSON.
    tau
        Temperature, 1 or more, for temperature (needed) and repeat_capped: 1 is natural, large approaches uniform.
    repeat_cap
        How often an epoch may draw the same sample. Default: any number of times.
    seed
        Seed of the draws.
    """
    from benchmark.problem import Problem
    from benchmark.proposers import PROPOSERS
    from catalogs.selection import Budget
    from harmonize.errors import UsageError
    from pipelines.mixture import training_pool
    from pipelines.tables import show

    if tau is not None and method not in ("temperature", "repeat_capped"):
        raise UsageError(f"--tau: the method {method} has no temperature", fix="leave --tau out")
    if tau is None and method == "temperature":
        raise UsageError("--tau: the method temperature needs one", fix="add --tau 2")
    parameters = {} if tau is None else {"tau": tau}
    wanted = Budget(draws_per_epoch=budget, repeat_cap=repeat_cap, seed=seed)
    selection = PROPOSERS[method](Problem(pool=training_pool(store), budget=wanted), **parameters)
    selection.save(out)
    show(
        [
            {
                "source": member.name,
                "samples": member.num_available,
                "draws": member.num_draws,
                "weight": member.weight,
                "reason": member.reason,
            }
            for member in selection.members
        ],
        as_json=as_json,
    )
