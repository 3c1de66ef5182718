"""Protocols: what the text of their sources says, splits that cards know, and the mean primary error."""

from __future__ import annotations

from typing import get_args

import pytest

from benchmark.distances.table import BENCHMARKS, benchmark_splits
from benchmark.protocols import MPE_BENCHMARKS, PROTOCOLS, mean_primary_error, protocol
from catalogs.cards import Benchmark, card
from harmonize.errors import UsageError


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_protocols_are_about_splits_that_cards_know(name: str) -> None:
    one = PROTOCOLS[name]
    roles = {split.name: split.role for split in card(one.dataset).splits}
    assert roles[one.split] in ("validation", "test")
    assert one.primary in one.metrics
    assert one.source


def test_protocols_cards_and_distances_mean_the_same_benchmarks() -> None:
    assert set(BENCHMARKS) == set(get_args(Benchmark))
    for name, split in benchmark_splits().items():
        own = card(split.split("/")[0])
        roles = {one.name: one.role for one in own.splits}
        held_out = [role for role in ("test", "validation") if role in roles.values()]
        assert roles[split.split("/")[1]] == held_out[0], f"{name} is not measured on what its card holds out for it"
        assert name in {one.benchmark for one in own.in_domain}
    # A benchmark with several protocols has one split, so that one guard serves them all.
    for one in PROTOCOLS.values():
        assert f"{one.dataset}/{one.split}" in benchmark_splits().values()


def test_sub_sampling_and_primaries_are_those_of_smplerx() -> None:
    found = {one.name: (one.dataset, one.split, one.every, one.primary) for one in PROTOCOLS.values()}
    assert found == {
        "agora": ("agora", "validation", 1, "pve_all"),
        "ubody": ("ubody", "test", 100, "pve_all"),
        "egobody": ("egobody_egoset", "test", 1, "pve_all"),
        "pw3d": ("pw3d", "test", 1, "mpjpe_body"),
        "pw3d_smplx": ("pw3d", "test", 1, "pve_body"),
        "ehf": ("ehf", "test", 1, "pve_all"),
        "arctic": ("arctic", "p1_val", 10, "pve_all"),
        "dna_rendering_hires": ("dna_rendering_hires", "test", 10, "pve_all"),
    }
    assert next(of.every for of in card("ubody").subsampling if "tests on" in of.why) == PROTOCOLS["ubody"].every


def test_metrics_of_the_two_protocols_of_3dpw() -> None:
    assert protocol("pw3d").metrics == ("mpjpe_body", "pa_mpjpe_body")
    assert protocol("pw3d_smplx").metrics == ("pve_body", "pa_pve_body", "mpjpe_body", "pa_mpjpe_body")
    assert "pve_hands" in protocol("ehf").metrics


def test_an_unknown_benchmark_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match=r"no benchmark 'coco'; there are agora, ubody"):
        protocol("coco")


def test_mpe_is_the_plain_mean_of_five() -> None:
    errors = dict(zip(MPE_BENCHMARKS, (10.0, 20.0, 30.0, 40.0, 100.0), strict=True))
    found = mean_primary_error(errors | {"arctic": 1e6})
    assert (found.value_mm, found.benchmarks, found.missing) == (40.0, MPE_BENCHMARKS, ())


def test_mpe_without_one_of_the_five() -> None:
    errors = {"agora": 10.0, "ehf": 20.0, "pw3d": 60.0, "ubody": 10.0}
    with pytest.raises(UsageError, match="found none of egobody"):
        mean_primary_error(errors)
    found = mean_primary_error(errors, allow_missing=True)
    assert (found.value_mm, found.missing) == (25.0, ("egobody",))
    with pytest.raises(UsageError, match="MPE"):
        mean_primary_error({"arctic": 1.0}, allow_missing=True)
