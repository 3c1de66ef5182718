"""`ehps propose`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pipelines.tables import Json

if TYPE_CHECKING:
    from benchmark.problem import Problem
    from catalogs.selection import Selection

Method = Literal[
    "natural",
    "uniform",
    "temperature",
    "repeat_capped",
    "explicit_lengths",
    "top_k",
    "smplerx_best_k",
    "smplerx_concat",
    "smplerx_weighted",
    "smplerx_specialist",
    "mean_matching",
    "mixmin",
    "facility_datasets",
    "facility_samples",
    "dsir",
    "motion_frames",
    "semantic_dedup",
    "datamodel",
    "regmix",
    "bayesian",
]
Names = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def propose(
    store: Path | None = None,
    /,
    *,
    method: Method | None = None,
    budget: int | None = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    benchmarks: Annotated[list[str] | None, Parameter(name="--for", consume_multiple=True)] = None,
    repeat_cap: int | None = None,
    min_share: Names = None,
    max_share: Names = None,
    synthetic: str | None = None,
    licence: Names = None,
    exclude: Names = None,
    where: str | None = None,
    drop_leaks: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    tau: float | None = None,
    lengths: Names = None,
    ranking: Names = None,
    k: int | None = None,
    target: str | None = None,
    space: Names = None,
    strength: float | None = None,
    towards: Literal["uniform", "natural"] | None = None,
    num: int | None = None,
    epsilon: float | None = None,
    min_move_m: Annotated[float | None, Parameter(name="--min-move")] = None,
    predictions: Path | None = None,
    runs: Path | None = None,
    law: Literal["boosted", "linear", "log_linear", "logarithmic", "quadratic"] | None = None,
    penalty: Literal["ridge", "lasso"] | None = None,
    goal: Literal["explore", "best"] | None = None,
    compare: Annotated[tuple[Path, Path] | None, Parameter(consume_multiple=False)] = None,
    plot: Path | None = None,
    as_json: Json = False,
) -> None:
    """Choose a mixture of a store's training splits and write it, with reasons, as a selection.

    Methods. Fixed mixtures: natural (each sample the same), uniform (each dataset), temperature (between them),
    repeat_capped (as even as --repeat-cap allows), explicit_lengths, top_k, and those of SMPLer-X. From attributes:
    mean_matching, facility_datasets; choosing samples: dsir, facility_samples, motion_frames, semantic_dedup. From
    trainings: mixmin, datamodel, regmix, bayesian.

    A fixed mixture that the repeat cap does not allow is refused, not changed. Constraints hold for every method; what
    cannot be met is refused with the bounds in conflict and the largest feasible budget.

        ehps propose STORE --method uniform --budget 100000 -o mixture.json
        ehps propose STORE --method mean_matching --for ehf ubody --budget 100000 --repeat-cap 10 -o mixture.json
        ehps propose STORE --method dsir --num 20000 --for ehf --budget 100000 --synthetic 0.2..0.6 -o samples.json
        ehps propose --compare uniform.json mixture.json --plot both.svg

    Parameters
    ----------
    store
        Folder of the store, described for methods that look at attributes.
    method
        How to choose; see above.
    budget
        Number of draws in an epoch.
    out
        File to write: a selection in JSON.
    benchmarks
        What to choose for: agora, egobody, ehf, pw3d, ubody, arctic, dna_rendering_hires. Default: the benchmarks that
        the store holds. Methods that learn from runs look at the errors on these only; default: those in all runs.
    repeat_cap
        How often an epoch may draw the same sample. Default: any number of times.
    min_share
        Smallest shares of the draws, by dataset: bedlam=0.1 agora=0.05.
    max_share
        Largest shares of the draws, by dataset: bedlam=0.2.
    synthetic
        Share of synthetic datasets: 0.2..0.6. One that is mixed counts as real for the first and as synthetic for the
        second bound.
    licence
        Only datasets of these licence classes: open, attribution, non-commercial-research, several, of-the-content.
    exclude
        Datasets to leave out.
    where
        Only samples that meet this condition in SQL, over the view `samples` of `ehps query`.
    drop_leaks
        Leave out the samples that share pictures, recordings or subjects with what the benchmarks (--for) evaluate on.
        Without, a mixture that could draw any of them is refused.
    seed
        Seed of the draws, and of methods that choose at random.
    tau
        Temperature, 1 or more, for temperature (needed) and repeat_capped: 1 is natural, large approaches uniform.
    lengths
        For explicit_lengths and smplerx_weighted: draws by dataset, agora=100000 bedlam=50000.
    ranking
        For top_k: datasets, best first; or s, b or h4w, a published ranking; or FILE.csv[:COLUMN] of `ehps rank --csv`.
    k
        For top_k, smplerx_best_k (5, 10, 20 or 32) and facility_datasets: how many datasets.
    target
        For smplerx_specialist: 3DPW, AGORA, ARCTIC, EgoBody, RenBody or UBody.
    space
        Attribute spaces to look at, as in `ehps distance`. Default: all that the store has; pose for semantic_dedup.
    strength
        For mean_matching: pull towards the baseline. Default: the largest that fits as well as can be told.
    towards
        For mean_matching: the baseline. Default: uniform.
    num
        For dsir and facility_samples: how many samples to choose.
    epsilon
        For semantic_dedup: a sample is dropped whose cosine to an earlier one is above 1 - epsilon. Default: 0.05.
    min_move_m
        For motion_frames: how far a joint must have moved, in m. Default: 0.1.
    predictions
        For mixmin: folder with BENCHMARK.npz: `truth` (S, K) and predictions (S, K) by source, in mm.
    runs
        For datamodel, regmix and bayesian: trainings on mixtures, a run table (Parquet or CSV, or a folder with
        runs.parquet; docs/runs.md), or a JSON list of {"weights": {NAME: SHARE}, "errors": {BENCHMARK: MM}}.
    law
        For regmix. Default: the one with the highest rank correlation on held-out runs. Boosted trees need
        scikit-learn.
    penalty
        For datamodel. Default: ridge.
    goal
        For bayesian: explore, the mixture to train next (default), or best, that of the best run so far.
    compare
        Two selection files to show side by side, instead of choosing.
    plot
        With --compare: chart to write, .png, .svg or .pdf.
    """
    if compare is not None:
        _compare(compare, plot, as_json=as_json)
        return
    from dataclasses import replace

    from catalogs.selection import Budget
    from harmonize.errors import UsageError
    from pipelines import proposing
    from pipelines.mixture import leak_free, problem_of

    missing = [
        name
        for name, value in (("STORE", store), ("--method", method), ("--budget", budget), ("-o", out))
        if value is None
    ]
    if store is None or method is None or budget is None or out is None:
        raise UsageError(f"propose: missing: {', '.join(missing)}", fix="see `ehps propose --help`")
    if plot is not None:
        raise UsageError("--plot: only with --compare", fix="propose first, then compare two files")
    options: dict[str, Any] = {
        **{"tau": tau, "lengths": lengths, "ranking": ranking, "k": k, "target": target, "space": space},
        **{"strength": strength, "towards": towards, "num": num, "epsilon": epsilon, "min_move_m": min_move_m},
        **{"predictions": predictions, "runs": runs, "law": law, "penalty": penalty, "goal": goal},
    }
    proposing.check_options(method, options)
    constraints = _constraints(store, min_share, max_share, synthetic, licence, exclude, where)
    allowed, notes = leak_free(store, constraints, benchmarks or (), where, drops_leaks=drop_leaks)
    if allowed != where:
        constraints = _constraints(store, min_share, max_share, synthetic, licence, exclude, allowed)
    problem = problem_of(
        store,
        Budget(draws_per_epoch=budget, repeat_cap=repeat_cap, seed=seed),
        constraints,
        benchmarks=benchmarks or (),
        spaces=space,
        with_summaries=method in proposing.LOOK_AT_SUMMARIES,
        where=allowed,
        seed=seed,
    )
    selection = _propose(store, method, problem, options, benchmarks or [])
    selection = replace(
        selection,
        parameters={**selection.parameters, "drop_leaks": drop_leaks},
        reasons=(*selection.reasons, *notes),
    )
    selection.save(out)
    _show(selection, as_json=as_json)


def _constraints(
    store: Path,
    min_share: list[str] | None,
    max_share: list[str] | None,
    synthetic: str | None,
    licence: list[str] | None,
    exclude: list[str] | None,
    where: str | None,
) -> Any:
    from benchmark.constraints import Constraints
    from pipelines.mixture import allowed_samples, training_pool
    from pipelines.proposing import numbers, span

    return Constraints(
        min_share=numbers(min_share or (), "--min-share"),
        max_share=numbers(max_share or (), "--max-share"),
        synthetic=(0.0, 1.0) if synthetic is None else span(synthetic, "--synthetic"),
        licences=None if licence is None else tuple(licence),
        excluded=tuple(exclude or ()),
        samples=None if where is None else allowed_samples(store, training_pool(store), where),
    )


def _propose(store: Path, method: str, problem: Problem, options: dict[str, Any], benchmarks: list[str]) -> Selection:
    from dataclasses import replace

    from benchmark.proposers import PROPOSERS
    from pipelines import proposing, sample_values
    from pipelines.mixture import target_splits

    given = {name: value for name, value in options.items() if value is not None}
    space = given.pop("space", None)
    if "lengths" in given:
        given["lengths"] = proposing.numbers(given["lengths"], "--lengths")
        if method == "smplerx_weighted":
            given["lengths"] = {
                name: int(length) if length == int(length) else length for name, length in given["lengths"].items()
            }
    if "ranking" in given:
        given["ranking"] = proposing.ranking_of(given["ranking"])
        held = {source.dataset for source in problem.pool.sources} | {source.name for source in problem.pool.sources}
        given["ranking"] = [name for name in given["ranking"] if name in held]
    if "runs" in given:
        given["runs"] = proposing.runs_of(given["runs"], problem)
        if benchmarks:
            problem = replace(problem, targets={name: {} for name in benchmarks})
    if "predictions" in given:
        given |= proposing.predictions_of(given["predictions"], problem)
    if method == "dsir":
        splits = target_splits(store, benchmarks)
        cells = sample_values.bins(store, [*problem.names, *splits.values()], space)
        given["samples"] = {name: cells[name] for name in problem.names}
        given["targets"] = {name: cells[split] for name, split in splits.items()}
    if method == "semantic_dedup":
        given["samples"] = sample_values.points(store, problem.names, (space or ["pose"])[0])
    if method == "motion_frames":
        given["samples"] = sample_values.joints(store, problem.names)
    if method == "facility_samples" and space:
        given["space"] = space[0]
    return PROPOSERS[method](problem, **given)


def _show(selection: Selection, *, as_json: bool) -> None:
    from pipelines.tables import show

    rows = [
        {
            "source": member.name,
            "samples": member.num_available,
            "draws": member.num_draws,
            "weight": member.weight,
            "repeats": member.num_repeats,
            "distinct": member.num_distinct,
            "reason": member.reason,
        }
        for member in selection.members
    ]
    show(rows, as_json=as_json)
    if not as_json:
        for text in selection.reasons:
            print(text)
        if selection.residuals:
            show([{"residual": name, "value": value} for name, value in selection.residuals.items()], as_json=False)


def _compare(paths: tuple[Path, Path], plot: Path | None, *, as_json: bool) -> None:
    from catalogs.selection import Selection
    from pipelines import comparing_selections as work
    from pipelines.tables import show, show_json

    one, other = (Selection.load(path) for path in paths)
    if plot is not None:
        names = (f"{paths[0].stem}: {one.method}", f"{paths[1].stem}: {other.method}")
        work.draw(one, other, names, plot)
    if as_json:
        document = {
            "apart": work.apart(one, other),
            "facts": work.facts(one, other),
            "members": work.members(one, other),
        }
        show_json(document)
        return
    show(work.facts(one, other), as_json=False)
    print()
    show(work.members(one, other), as_json=False)
    print(f"\n{work.apart(one, other):.1%} of the draws would have to change")
