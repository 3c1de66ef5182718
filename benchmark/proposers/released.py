"""SMPLer-X's mixtures among the other proposers: the same weights, under the constraints of the problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmark.problem import Problem
from benchmark.proposers import smplerx
from catalogs.selection import Selection


def smplerx_best_k(problem: Problem, *, k: int) -> Selection:
    """The released mixture of the k best datasets (5, 10, 20 or 32), each with the same number of draws."""
    return _obeying(problem, smplerx.best_k, k=k)


def smplerx_concat(problem: Problem) -> Selection:
    """Every sample once an epoch: each dataset has its own length."""
    return _obeying(problem, smplerx.concat)


def smplerx_specialist(problem: Problem, *, target: str) -> Selection:
    """The released mixture for fine-tuning to a target."""
    return _obeying(problem, smplerx.specialist, target=target)


def smplerx_weighted(problem: Problem, *, lengths: Mapping[str, int]) -> Selection:
    """A given number of draws for each dataset, which add up to the budget."""
    return _obeying(problem, smplerx.weighted, lengths=lengths)


def _obeying(problem: Problem, propose: Callable[..., Selection], **parameters: object) -> Selection:
    first = propose(problem.candidates, problem.budget, **parameters)
    narrowed = problem.narrowed([member.name for member in first.members])
    return narrowed.select(
        [member.weight for member in first.members],
        method=first.method,
        reasons=[member.reason for member in first.members],
        parameters=first.parameters,
        overall=problem.left_out,
        bends_to_repeat_cap=False,
    )
