"""Proposals, the third part of the report on choosing: what each selection asks for, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from catalogs.selection import Selection
from pipelines.comparing_selections import apart
from pipelines.study_figures import proposal_figure
from pipelines.study_page import Html, Section, chart, details, heading, missing, notes, paragraph, table

ANCHOR, TITLE = "proposals", "3. Proposals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A selection with the name it has on the page."""

    name: str
    selection: Selection

    @property
    def label(self) -> str:
        return f"{self.name}: {self.selection.method}"


def load_proposals(paths: Sequence[Path]) -> tuple[Proposal, ...]:
    """The selections in files, named by their files.

    Raises:
        UsageError, DataError: see `Selection.load`.
    """
    return tuple(Proposal(name=str(path), selection=Selection.load(path)) for path in dict.fromkeys(paths))


def proposals(found: Sequence[Proposal], store: Path) -> Section:
    """What each asks for, and two or more side by side."""
    if not found:
        what = "No selection was given. Make some, and give them with --selection:"
        commands = [
            f"ehps propose {store} --method uniform --budget 100000 -o uniform.json",
            f"ehps propose {store} --method mean_matching --budget 100000 --repeat-cap 10 -o matched.json",
        ]
        return missing(ANCHOR, TITLE, what, commands)
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        headline="; ".join(_headline(one) for one in found),
        blocks=tuple(_blocks(found)),
    )


def _headline(one: Proposal) -> str:
    largest = max(one.selection.members, key=lambda member: member.weight)
    return (
        f"{one.selection.method}: {len(one.selection.members)} sources, most from {largest.name} ({largest.weight:.0%})"
    )


def _blocks(found: Sequence[Proposal]) -> Iterator[Html]:
    yield table([_facts(one) for one in found], "What each asks for in an epoch")
    caption = (
        "Left: requested share of the draws. Middle: how often an epoch draws each sample; the dotted line is once. "
        "Right: samples that an epoch draws at all."
    )
    yield chart(
        proposal_figure([(one.label, one.selection) for one in found]),
        "Share of the draws, repeats and distinct samples of each source",
        caption,
    )
    if len(found) > 1:
        rows = [
            {"one": one.label, "other": other.label, "draws apart": f"{apart(one.selection, other.selection):.1%}"}
            for one, other in combinations(found, 2)
        ]
        yield table(rows, "How much of the draws would have to change to get from one to the other")
    for one in found:
        yield heading(one.label)
        yield notes(one.selection.reasons)
        yield table([_member(member) for member in one.selection.members])
        if one.selection.residuals:
            left = sorted(one.selection.residuals.items())
            yield table(
                [{"residual": name, "value": value} for name, value in left],
                "What the method could not reach or does not know",
            )
        yield details("Parameters", [table(_parameters(one.selection))])
    yield paragraph(
        "Weights are requests; draws are the integers of an epoch, which add up to its budget.", is_quiet=True
    )


def _facts(one: Proposal) -> dict[str, Any]:
    of = one.selection
    return {
        "proposal": one.name,
        "method": of.method,
        "draws": of.draws_per_epoch,
        "distinct": sum(member.num_distinct for member in of.members),
        "available": sum(member.num_available for member in of.members),
        "most repeats": max(member.num_repeats for member in of.members),
        "repeat cap": of.repeat_cap,
        "seed": of.seed,
        "shards": len(of.shards),
        "content hash": of.content_hash,
    }


def _member(member: Any) -> dict[str, Any]:
    return {
        "source": member.name,
        "weight": member.weight,
        "expected draws": member.num_draws,
        "samples": member.num_available,
        "repeats": member.num_repeats,
        "distinct": member.num_distinct,
        "reason": member.reason,
    }


def _parameters(of: Selection) -> list[dict[str, Any]]:
    given: dict[str, Any] = {name: value for name, value in sorted(of.parameters.items()) if value is not None}
    given["samples chosen one by one"] = None if of.sample_keys is None else len(of.sample_keys)
    return [{"parameter": name, "value": value if value is None else str(value)} for name, value in given.items()]
