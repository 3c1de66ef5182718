"""The realised mixture, the fourth part of the report on choosing: whether a run drew what was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from catalogs import store as catalog
from pipelines.comparing_selections import apart
from pipelines.study_page import Html, Section, chart, heading, mark, missing, notes, paragraph, table
from pipelines.study_proposals import Proposal
from pipelines.study_run_figures import mixture_figure
from pipelines.study_runs import TrainingRun, changed_shards, drift

ANCHOR, TITLE = "mixture", "4. Realised mixture"


def realised(runs: Sequence[TrainingRun], found: Sequence[Proposal], store: Path) -> Section:
    """What each run drew, against its selection and the proposals on the page."""
    if not runs:
        what = "No run was given. Train on a selection, and give the run's folder with --run:"
        return missing(ANCHOR, TITLE, what, [f"ehps train toy --store {store} --selection mixture.json -o run"])
    shards = _shards(store)
    blocks: list[Html] = [
        paragraph(
            "Counted from the samples that went into the batches, not from the request. Drift is the share of the "
            "draws that would have to change to get the mixture that was asked for."
        )
    ]
    for run in runs:
        blocks += _blocks(run, found, shards)
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        headline="; ".join(_headline(run, found) for run in runs),
        blocks=tuple(blocks),
        is_standin=any(run.facts is not None and run.facts.get("is_standin", False) for run in runs),
    )


def proposal_of(run: TrainingRun, found: Sequence[Proposal]) -> Proposal | None:
    """The proposal whose content hash is that of the run's selection."""
    return next((one for one in found if one.selection.content_hash == run.trained_on), None)


def _headline(run: TrainingRun, found: Sequence[Proposal]) -> str:
    whose = "as proposed" if proposal_of(run, found) else "another selection than those shown" if found else "trained"
    return f"{run.name}: {whose}, {run.last.num_draws:,} draws, drift {drift(run.last):.2%}"


def _blocks(run: TrainingRun, found: Sequence[Proposal], shards: Sequence[tuple[str, str]]) -> Iterator[Html]:
    yield heading(run.name)
    yield from _marks(run, found, shards)
    yield table([_facts(run)])
    caption = (
        "Over the run, by draws so far. Top: draws, lines as counted and dashes as asked for; and their difference. "
        "Bottom: share of the samples drawn at least once; and most draws of one sample in an epoch."
    )
    yield chart(mixture_figure(run), "Draws, drift, distinct samples and repeats of each source over the run", caption)
    yield table(_rows(run), f"Where the run stands, after {run.last.num_draws:,} draws")


def _marks(run: TrainingRun, found: Sequence[Proposal], shards: Sequence[tuple[str, str]]) -> Iterator[Html]:
    digest = run.trained_on
    same = proposal_of(run, found)
    if same is not None:
        yield mark(f"Trained on the proposal {same.name}: both have the content hash {digest}.", is_good=True)
    elif found:
        far = [f"{apart(one.selection, run.selection):.1%} of the draws from {one.name}" for one in found]
        yield mark(
            f"Trained on another selection than those shown: its content hash is {digest}, its mixture is "
            f"{', '.join(far)}.",
            is_good=False,
        )
    else:
        yield paragraph(f"No proposal was given to compare with; the run's selection has the content hash {digest}.")
    changed = changed_shards(run, shards)
    if changed:
        some = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
        yield mark(
            f"{len(changed)} of {len(run.selection.shards)} shards that it was trained on are not, or not the same, in "
            f"this store: {some}.",
            is_good=False,
        )
    else:
        yield mark(f"All {len(run.selection.shards)} shards that it was trained on are in this store.", is_good=True)
    over = [
        f"{one.dataset}/{one.split}: {one.max_repeats}"
        for one in run.last.sources
        if run.selection.repeat_cap is not None and one.max_repeats > run.selection.repeat_cap
    ]
    if over:
        yield mark(
            f"More draws of a sample than the cap of {run.selection.repeat_cap}: {', '.join(over)}.", is_good=False
        )
    if run.facts is None:
        yield notes(["The run is not finished: it has no run.json yet."])


def _facts(run: TrainingRun) -> dict[str, Any]:
    of = run.last
    facts = run.facts or {}
    return {
        "epochs": of.num_draws / run.selection.draws_per_epoch,
        "updates": facts.get("step"),
        "draws": of.num_draws,
        "drift": f"{drift(of):.3%}",
        "largest drift of an interval": f"{max(map(drift, run.points)):.3%}",
        "distinct": sum(one.num_distinct for one in of.sources),
        "available": sum(member.num_available for member in run.selection.members),
        "parameters": facts.get("num_parameters"),
        "first loss": facts.get("first_loss"),
        "last loss": facts.get("last_loss"),
    }


def _rows(run: TrainingRun) -> list[dict[str, Any]]:
    available = {(one.dataset, one.split): one.num_available for one in run.selection.members}
    rows = []
    for one in run.last.sources:
        num = available.get((one.dataset, one.split))
        rows.append(
            {
                "source": f"{one.dataset}/{one.split}",
                "requested draws": one.requested,
                "realised draws": one.num_draws,
                "difference": one.num_draws - one.requested,
                "distinct": one.num_distinct,
                "samples": num,
                "draws of each": one.num_draws / num if num else None,
                "most in an epoch": one.max_repeats,
                "repeat cap": run.selection.repeat_cap,
            }
        )
    return rows


def _shards(store: Path) -> list[tuple[str, str]]:
    with catalog.open(store) as con:
        rows = catalog.query(con, "SELECT shard, plan_digest FROM shards").rows
    return [(str(name), str(digest)) for name, digest in rows]
