"""`ehps rank`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pipelines.tables import Json

if TYPE_CHECKING:
    from benchmark.rankings.scores import Ranking
    from benchmark.rankings.tables import RankTable

IN_DOMAIN: dict[str, tuple[bool, ...]] = {"in": (True,), "out": (False,), "both": (True, False)}


def rank(
    *,
    published: Annotated[bool, Parameter(negative="")] = False,
    runs: Path | None = None,
    compare: Annotated[tuple[str, str] | None, Parameter(consume_multiple=False)] = None,
    unverified: Annotated[bool, Parameter(negative="")] = False,
    proxy: Literal["s", "b", "h4w"] | None = None,
    in_domain: Literal["in", "out", "both"] | None = None,
    architecture: str | None = None,
    draws: int | None = None,
    reference: str | None = None,
    csv: Path | None = None,
    plot: Path | None = None,
    as_json: Json = False,
) -> None:
    """Rank datasets by what models trained on one of them alone achieve: published, or in your own runs.

    In-domain cells (a dataset that is the training split of the benchmark, by its card) are counted in and left out. A
    dataset that lacks a result which a score needs is not ranked by it; nothing is filled in. One score is never
    enough: mean of the errors, mean of errors relative to each benchmark's median (or --reference), mean of the places,
    and each benchmark by itself.

        ehps rank --published
        ehps rank --published --unverified --in-domain out --csv smpler-x.csv
        ehps rank --published --plot rank-by-size.pdf
        ehps rank --runs proxies --architecture vit_s
        ehps rank --compare s h4w
        ehps rank --compare b proxies

    Parameters
    ----------
    published
        SMPLer-X's ranking of its 32 datasets: places for SMPLer-X-S, SMPLer-X-B and Hand4Whole, as drawn in its figure.
    runs
        A run table (Parquet or CSV; benchmark/rankings/runs.py lists its columns), or a folder with runs.parquet or
        runs.csv.
    compare
        Two rankings: s, b or h4w (published), a run table (by mean error, in-domain cells out unless --in-domain in),
        or a CSV file of --csv, `FILE:COLUMN` for another column than its first rank_*.
        Shows Kendall's tau-b, Spearman's rho and the overlap of the best 5, 10, 20.
    unverified
        Also columns from recalled errors that no page that could be opened shows; their names say so.
    proxy
        Only this architecture of the published ones. Default: all three, in the order of s.
    in_domain
        Default: both; for --compare: out.
    architecture
        Of a run table that has several.
    draws
        Budget of a run table that has several, in drawn samples.
    reference
        For --runs: the dataset, or mixture, of a run whose errors are the unit of the normalised mean.
    csv
        Also write the table to this file.
    plot
        Also draw place against number of instances: .png, .svg or .pdf.
    """
    from harmonize.errors import UsageError

    if sum((published, runs is not None, compare is not None)) != 1:
        raise UsageError("rank: expected one of --published, --runs and --compare", fix="ehps rank --published")
    _refuse(published, {"--architecture": architecture, "--draws": draws, "--reference": reference}, "--published")
    _refuse(not published, {"--unverified": unverified or None, "--proxy": proxy}, "own runs and comparisons")
    if published and in_domain is not None and not unverified:
        raise UsageError(
            "--in-domain: the published places are as drawn; errors can be counted with and without in-domain cells",
            fix="add --unverified to use the recalled errors",
        )
    if compare is not None:
        _refuse(True, {"--plot": plot, "--reference": reference}, "--compare")
        is_in = {"in": True, "out": False, None: False}.get(in_domain)
        if is_in is None:
            raise UsageError("--in-domain both: a comparison needs one ranking on each side", fix="--in-domain out")
        _compare(compare, is_in, architecture, draws, csv, as_json=as_json)
        return
    if runs is None:
        from benchmark.rankings.published import PROXIES
        from benchmark.rankings.tables import published_table

        table = published_table(
            list(PROXIES) if proxy is None else [proxy],
            with_unverified=unverified,
            in_domain=IN_DOMAIN[in_domain or "both"],
        )
        drawn = [ranking for ranking in table.rankings if not ranking.name.startswith("mean of")]
        notes = [*table.notes, *_caveats()]
    else:
        table, drawn = _runs_table(runs, architecture, draws, IN_DOMAIN[in_domain or "both"], reference)
        notes = list(table.notes)
    _show([list(table.rows)] if as_json else table.pages(), notes, as_json=as_json)
    if csv is not None:
        _write_csv(list(table.rows), csv)
    if plot is not None:
        _plot(drawn, plot)


def _refuse(is_wrong: bool, options: dict[str, Any], where: str) -> None:
    from harmonize.errors import UsageError

    given = [name for name, value in options.items() if value is not None]
    if is_wrong and given:
        raise UsageError(f"rank: {', '.join(given)}: not for {where}", fix=f"leave {' and '.join(given)} out")


def _caveats() -> list[str]:
    from benchmark.published import caveat

    return [f"published: {text}" for text in (caveat("benchmark_rank_points"), caveat("dataset_statistics")) if text]


def _runs_table(
    runs: Path, architecture: str | None, draws: int | None, in_domain: tuple[bool, ...], reference: str | None
) -> tuple[RankTable, list[Ranking]]:
    from benchmark.rankings.runs import architectures, load_runs, run_errors
    from benchmark.rankings.tables import RankTable, run_table

    loaded = load_runs(runs)
    names = architectures(loaded) if architecture is None else (architecture,)
    tables = [
        run_table(run_errors(loaded, name, draws=draws), in_domain=in_domain, reference=reference) for name in names
    ]
    rows = [row for table in tables for row in table.rows]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    rankings = [table.rankings[0] for table in tables]
    if len(names) > 1:
        from dataclasses import replace

        rankings = [replace(ranking, name=name) for ranking, name in zip(rankings, names, strict=True)]
    return (
        RankTable(
            rows=tuple({column: row.get(column) for column in columns} for row in rows),
            rankings=tuple(ranking for table in tables for ranking in table.rankings),
            notes=tuple(f"{name}: {note}" for name, table in zip(names, tables, strict=True) for note in table.notes),
        ),
        rankings,
    )


def _compare(
    names: tuple[str, str],
    with_in_domain: bool,
    architecture: str | None,
    draws: int | None,
    csv: Path | None,
    *,
    as_json: bool,
) -> None:
    from benchmark.rankings.agreement import agreement
    from benchmark.rankings.tables import compare_rows
    from pipelines.tables import show_json

    first, second = (_ranking(name, with_in_domain, architecture, draws) for name in names)
    found = agreement(first, second)
    rows = compare_rows(found)
    notes = [
        f"{one}: also ranks {', '.join(only)}"
        for one, only in ((found.first, found.only_first), (found.second, found.only_second))
        if only
    ]
    if csv is not None:
        _write_csv(rows, csv)
    if as_json:
        from dataclasses import asdict

        show_json(asdict(found))
        return
    _show([rows], notes, as_json=False)


def _ranking(name: str, with_in_domain: bool, architecture: str | None, draws: int | None) -> Ranking:
    from benchmark.rankings.published import PROXIES, published_ranking
    from benchmark.rankings.runs import COLUMNS, architectures, load_runs, run_errors
    from benchmark.rankings.scores import rank_by
    from benchmark.rankings.tables import has_columns, saved_ranking
    from harmonize.errors import UsageError

    for proxy in PROXIES:
        if name == proxy:
            return published_ranking(proxy)
    file, _, column = name.rpartition(":") if not Path(name).exists() else (name, "", "")
    path = Path(file or name)
    if not path.exists():
        raise UsageError(
            f"{name}: expected s, b, h4w, a run table or a CSV file of --csv, found none", fix="ehps rank --published"
        )
    if path.suffix == ".csv" and not has_columns(path, COLUMNS):
        return saved_ranking(path, column or None)
    loaded = load_runs(path)
    names = architectures(loaded)
    if architecture is None and len(names) > 1:
        raise UsageError(f"{path}: has the architectures {', '.join(names)}", fix=f"add --architecture {names[0]}")
    from dataclasses import replace

    errors = run_errors(loaded, architecture or names[0], draws=draws)
    return replace(rank_by(errors.table, "mean", with_in_domain=with_in_domain), name=str(path))


def _show(pages: list[list[Any]], notes: list[str], *, as_json: bool) -> None:
    from pipelines.tables import show

    for number, rows in enumerate(pages):
        if number:
            print()
        show(rows, as_json=as_json)
    for note in notes:
        print(f"ehps: note: {note}", file=sys.stderr)


def _write_csv(rows: list[Any], csv: Path) -> None:
    from benchmark.rankings.tables import save_csv

    save_csv(rows, csv)


def _plot(rankings: list[Ranking], plot: Path) -> None:
    from benchmark.published import instances
    from benchmark.rankings.figure import rank_figure
    from catalogs.atlas.style import PAGE_MM, Size, save, styled

    with styled():
        print(save(rank_figure(rankings, instances(), Size(width_mm=PAGE_MM)), plot), file=sys.stderr)
