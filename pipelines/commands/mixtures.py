"""`ehps mixtures`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pipelines.tables import Json

if TYPE_CHECKING:
    from benchmark.smplerx.mixtures import Contribution, Mixture

WEIGHTED_NOTE = (
    "weighted: the lengths that were used for the published figure are not known; SMPLest-X has the argument, but no "
    "branch of its released trainer passes it"
)


def mixtures(
    name: str | None = None,
    /,
    *,
    strategy: Literal["balance", "concat", "weighted"] = "balance",
    lengths: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    as_json: Json = False,
) -> None:
    """Show SMPLer-X's released mixtures to the integer: who is in them, and how often an epoch draws from each.

    No store is needed: instances are those of the published sizes (`ehps propose --method smplerx_best_k` makes such a
    mixture from a store). A list shorter than its share is repeated whole and filled up at random, a longer one is cut
    to the same first instances in every epoch.

        ehps mixtures
        ehps mixtures all32
        ehps mixtures top10 --strategy concat
        ehps mixtures ft_3DPW --json

    Parameters
    ----------
    name
        top5, top10, top20, all32 (foundation models), or ft_3DPW, ft_AGORA, ft_ARCTIC, ft_EgoBody, ft_RenBody, ft_UBody
        (fine-tuning). Default: one line for each.
    strategy
        balance: the same number of draws of each dataset. concat: each its own length after its frame step. weighted:
        those of --lengths.
    lengths
        Draws of each dataset of the mixture: agora=100000 bedlam=50000 ...
    """
    from benchmark.published import caveat, instances
    from benchmark.smplerx.mixtures import contributions, mixture, mixture_names
    from harmonize.errors import UsageError
    from pipelines.proposing import numbers
    from pipelines.tables import show

    if name is None and (strategy == "weighted" or lengths is not None):
        raise UsageError("mixtures: lengths are those of one mixture", fix="ehps mixtures NAME --strategy weighted ...")
    draws = None
    if lengths is not None:
        given = numbers(lengths, "--lengths")
        if wrong := [of for of, num in given.items() if num != int(num)]:
            raise UsageError(f"--lengths: expected whole numbers of draws, found others for {', '.join(wrong)}")
        draws = {of: int(num) for of, num in given.items()}
    chosen = [mixture(one) for one in (mixture_names() if name is None else (name,))]
    found = [(one, contributions(one, instances(), strategy, lengths=draws)) for one in chosen]
    rows = [_summary(one, parts) for one, parts in found] if name is None else list(_parts(found[0][1]))
    show(rows, as_json=as_json, title=None if name is None else _title(*found[0], strategy))
    tables = ("effective_sampling_32", "dataset_statistics", "training_mixtures")
    notes = [f"published: {text}" for text in map(caveat, tables) if text]
    for note in [*notes, *([WEIGHTED_NOTE] if strategy == "weighted" else [])]:
        print(f"ehps: note: {note}", file=sys.stderr)


def _summary(mixture: Mixture, parts: tuple[Contribution, ...]) -> dict[str, Any]:
    draws, distinct = ([getattr(one, of) for one in parts] for of in ("share", "num_distinct"))
    return {
        "mixture": mixture.name,
        "datasets": len(parts),
        "draws_per_epoch": None if None in draws else sum(draws),
        "draws_of_each": draws[0] if len(set(draws)) == 1 else None,
        "distinct": None if None in distinct else sum(distinct),
        "distinct_without_gta_human2": sum(num or 0 for num in distinct),
        "members": ", ".join(mixture.datasets),
    }


def _parts(parts: tuple[Contribution, ...]) -> Iterator[dict[str, Any]]:
    for one in parts:
        yield {
            "dataset": one.dataset,
            "instances": one.num_instances,
            "frame_step": one.step,
            "after_step": one.num_after_step,
            "draws_per_epoch": one.share,
            "distinct": one.num_distinct,
            "whole_repeats": one.num_whole,
            "filled_at_random": one.num_random,
            "draws_an_instance": one.passes,
            "effect": one.effect,
        }


def _title(mixture: Mixture, parts: tuple[Contribution, ...], strategy: str) -> str:
    draws = [one.share for one in parts]
    known = sum(num for num in draws if num is not None)
    total = f"{known:,}" if None not in draws else f"{known:,} and those of {draws.count(None)} unknown"
    return f"{mixture.name}, {strategy}: {len(parts)} datasets, {total} draws in an epoch"
