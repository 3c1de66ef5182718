"""Tables, differences and figure of `bench_meta`, from per-sample errors of every variant and seed.

Intervals are 95 % percentile bounds of a bootstrap that draws seeds and people with replacement, both at once; a
difference of two variants is paired: the same seeds and people on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from meta_adaptation import DETECTORS, STEPS
from meta_errors import HEADLINE
from meta_pseudo import SHARES
from meta_runs import FIRST, VARIANTS, Run

Floats = npt.NDArray[np.float64]
Results = Mapping[str, Sequence[Run]]

_NUM_DRAWS = 2000
_VARIANTS = {variant.key: variant for variant in VARIANTS}
_TITLES = {key: variant.title for key, variant in _VARIANTS.items()}
_COLOURS = {"plain": "tab:gray", "batch": "tab:orange", "frozen": "tab:green", "none": "tab:red", "dual": "tab:blue"}
_PULLS = ("pseudo terms", "2D term")
_METRICS = (
    ("pve_body", "PVE body"),
    ("pve_hands", "PVE hands"),
    ("pve_face", "PVE face"),
    ("mpjpe_all", "MPJPE all"),
    ("pa_mpjpe_body", "PA-MPJPE body"),
)


def errors_of(runs: Sequence[Run], source: str, metric: str = HEADLINE) -> Floats:
    """(seeds, steps, people) millimetres."""
    return np.array([run[source]["errors"][metric] for run in runs])


def gains(runs: Sequence[Run], source: str, metric: str = HEADLINE, *, steps: int | None = None) -> Floats:
    """(seeds, people): error before minus error after `steps`, or after the number of steps chosen on validation."""
    errors = errors_of(runs, source, metric)
    at = [STEPS.index(run[source]["steps"] if steps is None else steps) for run in runs]
    return np.stack([of[0] - of[number] for of, number in zip(errors, at, strict=True)])


def interval(values: Floats, seed: int = 0) -> tuple[float, float, float]:
    """Mean and bounds of values (seeds, people)."""
    rng = np.random.default_rng(seed)
    num_seeds, num_people = values.shape
    means = np.empty(_NUM_DRAWS)
    for draw in range(_NUM_DRAWS):
        rows = rng.integers(num_seeds, size=num_seeds)
        means[draw] = values[rows][:, rng.integers(num_people, size=num_people)].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def report(results: Results, qualities: Sequence[Run]) -> str:
    """All tables as Markdown, of the results of each variant and of `Runs.quality`, for every seed."""
    num_seeds, _, num_people = errors_of(results["dual"], "true").shape
    parts = [
        f"{num_seeds} seeds, {num_people} people of the test split; millimetres. Column n: a budget of n steps, with "
        "the way to move that was best for it on validation. k: the budget that was best on validation, one a seed. "
        f"Pseudo labels are heeded in the first {FIRST} steps unless all are named."
    ]
    for source in DETECTORS:
        parts += [
            f"### {source.capitalize()} 2D points",
            "PVE of all parts, and share of people whom adaptation made worse:",
            _errors_table(results, source),
            "Dual-meta minus each other row (95 % intervals): a larger gain and a smaller error are for it.",
            _against(results, source, "dual"),
            "Error before, and gain after k steps, by part:",
            _parts_table(results, source),
        ]
    parts += ["### What the inner step does", _vacuity_table(results)]
    parts += ["### What pseudo labels are worth", *_quality_tables(qualities)]
    return "\n\n".join(parts) + "\n"


def _errors_table(results: Results, source: str) -> str:
    rows = []
    for key, runs in results.items():
        at_steps = errors_of(runs, source).mean((0, 2))
        best = gains(runs, source)
        rows.append(
            [
                _TITLES[key],
                *(f"{value:.1f}" for value in at_steps),
                "/".join(str(run[source]["steps"]) for run in runs),
                f"{best.mean():.1f}",
                *(f"{100 * (gains(runs, source, steps=steps) < 0).mean():.0f} %" for steps in STEPS[1:]),
                ", ".join(sorted({run[source]["chosen"][STEPS.index(run[source]["steps"])] for run in runs})),
            ]
        )
    head = [f"{k}" for k in STEPS]
    return _table(["", *head, "k", "gain at k", *(f"worse at {k}" for k in STEPS[1:]), "rate at k"], rows)


def _against(results: Results, source: str, ours: str) -> str:
    """What `ours` gains more, and how much higher its error is, than each other row: at k and at each budget."""
    rows: list[list[str]] = []
    for key, runs in results.items():
        if key == ours:
            continue
        mine = results[ours]
        gained = [
            interval(gains(mine, source, steps=steps) - gains(runs, source, steps=steps))
            for steps in (None, *STEPS[1:])
        ]
        at_steps = errors_of(mine, source) - errors_of(runs, source)
        higher = [interval(of) for of in (_after(mine, source) - _after(runs, source), *at_steps.swapaxes(0, 1))]
        rows += [
            [_TITLES[key], "gain", _verdict(gained[0]), _with_bounds(gained[0]), "", *map(_with_bounds, gained[1:])],
            ["", "error", _verdict(higher[0]), *map(_with_bounds, higher)],
        ]
    return _table(["against", "", "at k", "difference at k", *(f"at {k}" for k in STEPS)], rows)


def _verdict(of: tuple[float, float, float]) -> str:
    _, low, high = of
    return "larger" if low > 0 else "smaller" if high < 0 else "not told apart"


def _after(runs: Sequence[Run], source: str) -> Floats:
    return errors_of(runs, source)[:, 0] - gains(runs, source)


def _parts_table(results: Results, source: str) -> str:
    rows = []
    for key, runs in results.items():
        cells = []
        for metric, _ in _METRICS:
            before = errors_of(runs, source, metric)[:, 0].mean()
            cells.append(f"{before:.1f}, {gains(runs, source, metric).mean():+.1f}")
        rows.append([_TITLES[key], *cells])
    return _table(["before, gain", *(title for _, title in _METRICS)], rows)


def _vacuity_table(results: Results) -> str:
    def mean(of: Sequence[float]) -> float:
        return float(np.mean(of))

    rows = []
    for key, runs in results.items():
        training = [run["training"] for run in runs]
        is_meta = _VARIANTS[key].training != "plain"
        rows.append(
            [
                _TITLES[key],
                *(f"{mean([run[source]['movement_mm'] for run in runs]):.1f}" for source in DETECTORS),
                f"{mean([of['cosine'] for of in training]):.2f}" if is_meta else "1",
                f"{100 * mean([of['weight_change'] for of in training]):.2f} %" if is_meta else "",
            ]
        )
    head = [f"first step moves, {source} 2D (mm)" for source in DETECTORS]
    return _table(
        ["", *head, "cosine with plain gradient", "weights change by"],
        rows,
    )


def _quality_tables(qualities: Sequence[Run]) -> list[str]:
    def mean(name: str) -> Floats:
        return np.asarray(np.mean([of[name] for of in qualities], axis=0))

    cosines, shares = mean("cosines"), mean("shares")
    gates = ", ".join(
        f"{part.replace('_', ' ')} {np.mean([of['gates'][part] for of in qualities]):.2f}"
        for part in qualities[0]["gates"]
    )
    own_mm = np.mean([of["auxiliary_mm"][HEADLINE] for of in qualities])
    rows = [["none: 2D points alone", "", *(f"{value:.1f}" for value in mean("alone"))]]
    rows += [
        [f"{share:g} of the way to the auxiliary network's", *(f"{value:.1f}" for value in row)]
        for share, row in zip(SHARES, shares, strict=True)
    ]
    pulls = [[name, *(f"{value:+.2f}" for value in column)] for name, column in zip(_PULLS, cosines.T, strict=True)]
    return [
        "Dual-meta networks at their learned rates, 64 people of the test split, jittered points. The auxiliary "
        f"network's own bodies are {own_mm:.0f} mm off (PVE); the mean gates on them are {gates}.",
        "Mean cosine of two gradients with that of the supervised loss, over the 53 rotations, at the bodies along the "
        "path:",
        _table(["gradient of", *map(str, STEPS)], pulls),
        "PVE after 0 to 14 steps if pseudo bodies were better than they are, from the true body, 0, to the auxiliary "
        "network's, 1:",
        _table(["pseudo body", "its own PVE", *map(str, STEPS)], rows),
    ]


def figure(results: Results, path: Path) -> None:
    """Error against number of steps, one panel a 2D source, to a picture file. Dashed: 2D points alone; dotted: pseudo
    labels in all steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn, axes = pyplot.subplots(1, len(DETECTORS), figsize=(10, 5), sharey=True, layout="constrained")
    for axis, source in zip(axes, DETECTORS, strict=True):
        for key, runs in results.items():
            means = errors_of(runs, source).mean((0, 2))
            variant = _VARIANTS[key]
            if variant.rates_of:  # its line lies on that of the same networks at other rates
                continue
            axis.plot(
                STEPS,
                means,
                marker="o",
                markersize=3,
                color=_COLOURS[variant.training],
                linestyle="--" if not variant.has_pseudo else "-" if variant.pseudo_steps else ":",
                linewidth=2.5 if key == "dual" else 1.2,
                label=variant.title,
            )
        axis.set(title=f"{source} 2D points", xlabel="steps", xticks=STEPS)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("PVE, all parts (mm)")
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    drawn.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(drawn)


def _with_bounds(of: tuple[float, float, float]) -> str:
    mean, low, high = of
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines: list[Sequence[Any]] = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
