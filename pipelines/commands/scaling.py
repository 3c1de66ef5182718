"""`ehps scaling`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.tables import Json

if TYPE_CHECKING:
    from benchmark.scaling import NamedFit, Training
    from benchmark.scaling_laws import Fit


def scaling(
    *,
    runs: Path | None = None,
    target: float | None = None,
    draws: float | None = None,
    parameters: float | None = None,
    csv: Path | None = None,
    plot: Path | None = None,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Fit how errors fall with data and model size, and say which is cheaper: more data or a larger model.

    Laws: error = floor + a x data^-b + a' x parameters^-b', by least squares, with 95 % intervals from a bootstrap over
    residuals. Cost of a training: draws x parameters. Without --runs the 16 published foundation models of SMPLer-X are
    the example. What lies outside the range of the trainings is called extrapolated; read it as a guess.

        ehps scaling
        ehps scaling --target 60 --plot scaling.pdf
        ehps scaling --draws 1e8 --parameters 3e8
        ehps scaling --runs trainings.csv --csv fitted.csv

    Parameters
    ----------
    runs
        Table of trainings, Parquet or CSV: model, error_mm and some of draws, distinct_samples, num_datasets,
        parameters.
    target
        Error in mm to reach. Default: the least of the trainings.
    draws
        Predict the error of a training of so many draws in all; needs --parameters.
    parameters
        Parameters of the model to predict for.
    csv
        Also write each training with its fitted error, prediction interval and margins to this file.
    plot
        Also draw the joint fit in draws and parameters: .png, .svg or .pdf.
    seed
        Of the bootstrap.
    """
    from benchmark.scaling import VARIABLES, all_fits, load_trainings, published_trainings, rising_together
    from harmonize.errors import UsageError
    from pipelines.tables import show, show_json

    if (draws is None) != (parameters is None):
        raise UsageError("scaling: a prediction needs both --draws and --parameters")
    for name, value in (("--target", target), ("--draws", draws), ("--parameters", parameters)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name}: expected a number above 0, found {value}")
    trainings = published_trainings() if runs is None else load_trainings(runs)
    fits, refused = all_fits(trainings, seed)
    if not fits:
        reasons = "; ".join(refused) or f"none of {', '.join(VARIABLES)} has several values"
        raise UsageError(f"scaling: nothing can be fitted: {reasons}", fix="train with other budgets or model sizes")
    notes = [f"not fitted: {reason}" for reason in refused]
    notes += [
        f"{one} and {other} rise together (correlation of logarithms {r:.3f}): these trainings cannot tell their "
        "effects apart"
        for one, other, r in rising_together(trainings)
    ]
    if runs is None:
        notes.append("distinct_samples counts a full share of GTA-Human II, whose number of instances is not verified")
    document: dict[str, Any] = {"fits": [_fit_row(one) for one in fits]}
    joint = next((one.fit for one in fits if one.fit.law.variables == ("draws", "parameters")), None)
    fitted = _fitted(trainings, joint if joint is not None else fits[0].fit)
    wanted = min(training.error_mm for training in trainings) if target is None else target
    if joint is not None:
        document |= _trade_off(trainings, joint, wanted)
        if draws is not None and parameters is not None:
            document["prediction"] = [_prediction(joint, draws, parameters)]
    elif draws is not None or target is not None or plot is not None:
        raise UsageError(
            "scaling: --target, --draws and --plot need a joint fit: trainings whose draws and parameters both vary"
        )
    document["trainings"] = fitted
    if csv is not None:
        from benchmark.rankings.tables import save_csv

        save_csv(fitted, csv)
    if as_json:
        show_json({**document, "notes": notes})
    else:
        titles = {
            "fits": "laws",
            "reach": f"what {wanted:.4g} mm takes; cost is draws x parameters",
            "margins": "what a tenth more cost takes off, mm",
            "prediction": "prediction",
        }
        for name, title in titles.items():
            if name in document:
                show(document[name], as_json=False, title=title)
                print()
        if "answer" in document:
            print(document["answer"])
    for note in notes:
        print(f"ehps: note: {note}", file=sys.stderr)
    if plot is not None and joint is not None:
        from benchmark.scaling_figure import scaling_figure
        from catalogs.atlas.style import PAGE_MM, Size, save, styled

        with styled():
            print(save(scaling_figure(trainings, joint, Size(width_mm=PAGE_MM), wanted), plot), file=sys.stderr)


def _fit_row(named: NamedFit) -> dict[str, Any]:
    fit = named.fit
    law = fit.law
    row: dict[str, Any] = {"error_against": named.of, "points": len(fit.error_mm), "floor_mm": law.floor}
    intervals = fit.exponent_intervals()
    row["exponents"] = "; ".join(
        f"{name} {exponent:.3g}" + ("" if math.isnan(low) else f" [{low:.3g}, {high:.3g}]")
        for name, exponent, (low, high) in zip(law.variables, law.exponents, intervals, strict=True)
    )
    row["residual_mm"] = fit.residual_mm
    row["r_squared"] = fit.r_squared
    remarks = [f"no bend in {name}: exponent at the border of the search" for name in fit.at_limit]
    if law.floor == 0:
        remarks.append("no floor seen: fitted at 0, the least allowed")
    if fit.residual_mm is None:
        remarks.append("as many parameters as points: no intervals")
    row["remarks"] = "; ".join(remarks)
    return row


def _fitted(trainings: tuple[Training, ...], fit: Fit) -> list[dict[str, Any]]:
    from dataclasses import asdict

    middle, low, high = fit.predict(fit.x)
    return [
        {**asdict(training), "fitted_mm": float(m), "low_mm": _known(lo), "high_mm": _known(hi)}
        for training, m, lo, hi in zip(trainings, middle, low, high, strict=True)
    ]


def _trade_off(trainings: tuple[Training, ...], joint: Fit, target: float) -> dict[str, Any]:
    from dataclasses import asdict

    from benchmark.scaling import cheapest, margin, reach

    rows = [
        {"model": f"{size / 1e6:.4g}M", **asdict(reach(joint, target, size))} for size in sorted(set(joint.x[:, 1]))
    ]
    best = cheapest(joint, target)
    if best is not None:
        rows.append({"model": "cheapest", **asdict(best)})
    margins = [margin(joint, training) for training in trainings]
    margin_rows = [{**asdict(one), "cheaper": one.cheaper} for one in margins]
    return {"reach": rows, "margins": margin_rows, "answer": _answer(trainings, joint, target, rows, margin_rows)}


def _answer(
    trainings: tuple[Training, ...],
    joint: Fit,
    target: float,
    rows: list[dict[str, Any]],
    margins: list[dict[str, Any]],
) -> str:
    last = min(range(len(trainings)), key=lambda i: trainings[i].error_mm)
    one = margins[last]
    share = (
        "" if one["model_share"] is None else f" ({one['model_share']:.1%} of resampled laws favour the larger model)"
    )
    text = (
        f"From {one['model']}, a tenth more cost takes off {one['more_draws_mm']:.2f} mm as draws and "
        f"{one['larger_model_mm']:.2f} mm as parameters: {one['cheaper']} is cheaper{share}."
    )
    best = rows[-1]
    if best["model"] != "cheapest":
        return f"{text} {target:.4g} mm is below the fitted floor of {joint.law.floor:.4g} mm: no law reaches it."
    where = ", extrapolated" if best["is_extrapolated"] else ""
    return (
        f"{text} By the joint law, {target:.4g} mm is cheapest with {best['parameters'] / 1e6:,.0f}M parameters and "
        f"{best['draws'] / 1e6:,.1f}M draws{where}."
    )


def _prediction(joint: Fit, draws: float, parameters: float) -> dict[str, Any]:
    middle, low, high = joint.predict([[draws, parameters]])
    return {
        "draws": draws,
        "parameters": parameters,
        "error_mm": float(middle[0]),
        "low_mm": _known(low[0]),
        "high_mm": _known(high[0]),
        "is_extrapolated": bool(joint.is_extrapolated([draws, parameters])),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
