"""Test-time optimisation: what it lowers, when a sample stops, and that nobody's result depends on its neighbours."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from meta_loop import says
from meta_toys import Toy, batch, body, inner
from torch import Tensor

from harmonize.errors import UsageError
from train.data.batch import Observed
from train.meta.config import AdaptConfig, DualConfig
from train.meta.objectives import Pseudo
from train.meta.step import DualStep
from train.meta.subsets import Rates, add_low_rank
from train.meta.test_time import Adapted, adapt
from train.models.prediction import Prediction

OPTIMISERS = ("sgd", "adam")


def run(
    observed: Observed, *, subset: Any = "head", auxiliary: bool = True, loss: Any = inner, **options: Any
) -> Adapted:
    toy = Toy()
    if subset == "head+lora":
        add_low_rank(toy, 2)
    rates = Rates.of(toy, subset, head_rate=0.02, other_rate=0.02)
    config = AdaptConfig(**{"steps": 6, "tolerance": 0.0, "adam_rate": 3e-3, **options})
    return adapt(toy, Toy(seed=9) if auxiliary else None, observed, body=body, inner=loss, rates=rates, config=config)


@torch.no_grad()
def pseudo_of(observed: Observed) -> Pseudo:
    """What the auxiliary network of `run` sees."""
    seen = says(Toy(seed=9), {}, observed)
    return Pseudo(seen, body(*seen[:3]))


def rows(found: Adapted, at: Any) -> list[Tensor]:
    """Everything that is said of some samples."""
    predictions = [*found.path, found.after]
    return [value[at] for p in predictions for value in p] + [found.losses[at], found.stopped_at[at], found.best_at[at]]


def assert_same(one: list[Tensor], other: list[Tensor], tolerance: float) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_steps_equal_those_of_torchs_optimisers_on_one_sample(optimiser: Any) -> None:
    observed = batch(3).observed
    found = run(observed, subset="head+norm", optimiser=optimiser)
    for at in range(3):
        one = observed.rows(slice(at, at + 1))
        toy = Toy()
        pseudo = pseudo_of(one)
        adapted = [p for n, p in toy.named_parameters() if n in Rates.of(toy, "head+norm").names]
        kinds = {"sgd": torch.optim.SGD(adapted, lr=0.02), "adam": torch.optim.Adam(adapted, lr=3e-3)}
        for step in range(7):
            kinds[optimiser].zero_grad()
            prediction = says(toy, {}, one)
            loss = inner(prediction, body(*prediction[:3]), one, pseudo).sum()
            assert found.losses[at, step].item() == pytest.approx(loss.item(), rel=1e-9)
            torch.testing.assert_close(found.path[step].rotmat[at], prediction.rotmat[0].detach(), rtol=0, atol=1e-9)
            loss.backward()
            kinds[optimiser].step()


def test_pseudo_bodies_are_heeded_for_as_many_steps_as_said() -> None:
    observed = batch(3).observed
    found = run(observed, pseudo_steps=2, steps=5)
    for at in range(3):
        one = observed.rows(slice(at, at + 1))
        toy = Toy()
        pseudo = pseudo_of(one)
        descent = torch.optim.SGD([p for n, p in toy.named_parameters() if n in Rates.of(toy, "head").names], lr=0.02)
        for step in range(6):
            descent.zero_grad()
            prediction = says(toy, {}, one)
            points = body(*prediction[:3])
            assert found.losses[at, step].item() == pytest.approx(inner(prediction, points, one, None).item(), rel=1e-9)
            torch.testing.assert_close(found.path[step].rotmat[at], prediction.rotmat[0].detach(), rtol=0, atol=1e-9)
            inner(prediction, points, one, pseudo if step < 2 else None).sum().backward()
            descent.step()


def test_steps_without_pseudo_bodies_are_those_without_an_auxiliary_network() -> None:
    observed = batch(3).observed
    alone = run(observed, auxiliary=False)
    assert_same(rows(run(observed, pseudo_steps=0), slice(None)), rows(alone, slice(None)), 0)
    assert_same(list(run(observed, pseudo_steps=6).path[-1]), list(run(observed).path[-1]), 0)
    assert (run(observed).path[-1].rotmat - alone.path[-1].rotmat).abs().max() > 1e-4


def test_nobody_stops_while_pseudo_bodies_are_heeded() -> None:
    found = run(batch(6).observed, pseudo_steps=3, tolerance=0.9, steps=8)
    assert (found.stopped_at == 3).all()
    assert (run(batch(6).observed, tolerance=0.9, steps=8).stopped_at == 1).all()


def test_one_step_is_the_inner_step_of_training() -> None:
    observed = batch(3).observed
    step = DualStep(
        Toy(), Toy(seed=9), body=body, inner=inner, outer=lambda *_: torch.zeros(3),
        config=DualConfig(subset="head+norm", head_rate=0.02, other_rate=0.02),
    )  # fmt: skip
    found = run(observed, subset="head+norm", steps=1)
    assert_same(list(found.path[1]), list(step.adapted(observed)), 1e-12)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("subset", ["head", "head+lora", "head+norm", "all"])
def test_the_loss_falls_and_the_network_stays(subset: Any, optimiser: Any) -> None:
    found = run(batch(4).observed, subset=subset, optimiser=optimiser)
    assert (found.losses[:, -1] < 0.8 * found.losses[:, 0]).all()
    toy = Toy()
    before = [value.clone() for value in toy.state_dict().values()]
    rates = Rates.of(toy, "all")
    adapt(toy, None, batch(2).observed, body=body, inner=inner, rates=rates, config=AdaptConfig(steps=2))
    assert all(torch.equal(a, b) for a, b in zip(before, toy.state_dict().values(), strict=True))
    assert all(parameter.grad is None for parameter in toy.parameters())


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("subset", ["head", "head+lora", "head+norm", "all"])
def test_a_result_does_not_depend_on_size_order_or_neighbours(subset: Any, optimiser: Any) -> None:
    observed = batch(6).observed
    whole = run(observed, subset=subset, optimiser=optimiser, tolerance=0.17)
    assert len(set(whole.stopped_at.tolist())) > 1
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    assert_same(
        rows(run(observed.rows(order), subset=subset, optimiser=optimiser, tolerance=0.17), slice(None)),
        rows(whole, order),
        1e-10,
    )
    for at in (0, 3):
        alone = run(observed.rows(slice(at, at + 1)), subset=subset, optimiser=optimiser, tolerance=0.17)
        assert_same(rows(alone, slice(None)), rows(whole, slice(at, at + 1)), 1e-10)
    cut = run(observed, subset=subset, optimiser=optimiser, tolerance=0.17, chunk=4)
    assert_same(rows(cut, slice(None)), rows(whole, slice(None)), 1e-10)


def test_in_batches_of_one_size_neighbours_change_no_bit() -> None:
    one, other = batch(5).observed, batch(5, seed=7).observed
    mixed = Observed(**{f.name: getattr(other, f.name).clone() for f in fields(Observed)})
    for f in fields(Observed):
        getattr(mixed, f.name)[2] = getattr(one, f.name)[2]
    for a, b in zip(rows(run(one), 2), rows(run(mixed), 2), strict=True):
        assert torch.equal(a, b)


def test_a_broken_sample_neither_fails_nor_spoils_others() -> None:
    observed = batch(4).observed
    clean = run(observed)

    def broken(prediction: Prediction, points: Any, seen: Observed, pseudo: Any) -> Tensor:
        marked = (seen.crop == observed.crop[1]).flatten(1).all(1)
        return inner(prediction, points, seen, pseudo) * torch.where(marked, torch.nan, 1.0)

    found = run(observed, loss=broken)
    others = torch.tensor([0, 2, 3])
    assert_same(rows(found, others), rows(clean, others), 1e-12)
    assert found.stopped_at[1] == 0
    assert_same([value[1] for value in found.after], [value[1] for value in found.before], 0)


def test_a_sample_whose_step_explodes_keeps_what_it_had() -> None:
    observed = batch(3).observed
    taken: list[int] = []

    def explodes(prediction: Prediction, points: Any, seen: Observed, pseudo: Any) -> Tensor:
        taken.append(1)
        loss = inner(prediction, points, seen, pseudo)
        first = torch.arange(len(loss)) == 0
        return torch.where(first & (len(taken) > 2), torch.inf, loss)

    found = run(observed, loss=explodes, keep_best=False)
    assert found.stopped_at.tolist() == [1, 6, 6]
    assert found.losses.isfinite().all()
    assert_same([value[0] for value in found.after], [value[0] for value in found.path[1]], 0)


def test_a_sample_stops_by_its_own_loss_and_then_stays() -> None:
    found = run(batch(6).observed, steps=12, tolerance=0.08, keep_best=False)
    stops = found.stopped_at.tolist()
    assert len(set(stops)) > 1
    for at, stop in enumerate(stops):
        losses = found.losses[at]
        change = (losses[1:] - losses[:-1]).abs() / losses[:-1]
        assert (change[: stop - 1] > 0.08).all()
        assert stop == 12 or change[stop - 1] <= 0.08
        assert (losses[stop:] == losses[stop]).all()
        assert_same([value[at] for value in found.after], [value[at] for value in found.path[stop]], 0)
        assert_same([value[at] for value in found.path[-1]], [value[at] for value in found.path[stop]], 0)
    assert len(found.path) == 13
    assert (run(batch(6).observed, steps=12, tolerance=0.0).stopped_at == 12).all()


def test_a_stopped_sample_was_not_cut_short_in_what_it_did_before() -> None:
    free, stopping = run(batch(6).observed, steps=12), run(batch(6).observed, steps=12, tolerance=0.08)
    for at, stop in enumerate(stopping.stopped_at.tolist()):
        torch.testing.assert_close(free.losses[at, : stop + 1], stopping.losses[at, : stop + 1], rtol=0, atol=1e-12)


def test_the_best_step_is_kept_if_asked() -> None:
    wild = {"optimiser": "adam", "adam_rate": 0.15, "steps": 8}
    best, last = run(batch(4).observed, **wild), run(batch(4).observed, keep_best=False, **wild)
    assert (best.best_at < 8).any()
    for at, step in enumerate(best.best_at.tolist()):
        assert best.losses[at, step] == best.losses[at].min()
        assert_same([value[at] for value in best.after], [value[at] for value in best.path[step]], 0)
    assert_same(list(last.after), list(last.path[-1]), 0)


def test_every_step_uses_the_pseudo_body() -> None:
    observed = batch(2).observed
    dual, alone = run(observed), run(observed, auxiliary=False)
    pseudo = pseudo_of(observed)
    for step, prediction in enumerate(dual.path):
        torch.testing.assert_close(
            dual.losses[:, step], inner(prediction, body(*prediction[:3]), observed, pseudo).detach()
        )
    for step, prediction in enumerate(alone.path):
        torch.testing.assert_close(alone.losses[:, step], inner(prediction, body(*prediction[:3]), observed, None))
    assert not torch.allclose(dual.after.rotmat, alone.after.rotmat, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is at least 1"),
        ({"optimiser": "lbfgs"}, "optimiser is one of sgd, adam"),
        ({"adam_rate": 0.0}, "adam_rate is a positive number"),
        ({"tolerance": 1.0}, "tolerance is a share"),
        ({"tolerance": -0.1}, "tolerance is a share"),
        ({"pseudo_steps": -1}, "pseudo_steps is at least 0"),
        ({"chunk": 0}, "chunk is at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AdaptConfig(**options)
