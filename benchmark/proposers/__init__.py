"""Proposers: pure functions from what is available and what may be spent to a `Selection` with reasons.

A proposer reads no pictures and trains nothing. Every proposer is called as `PROPOSERS[name](problem, **parameters)`;
same arguments, same selection, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmark.proposers.bayesian import bayesian
from benchmark.proposers.datamodel import datamodel
from benchmark.proposers.dsir import dsir
from benchmark.proposers.explicit_lengths import explicit_lengths
from benchmark.proposers.facility_datasets import facility_datasets
from benchmark.proposers.facility_samples import facility_samples
from benchmark.proposers.mean_matching import mean_matching
from benchmark.proposers.mixmin import mixmin
from benchmark.proposers.motion_frames import motion_frames
from benchmark.proposers.natural import natural
from benchmark.proposers.regmix import regmix
from benchmark.proposers.released import smplerx_best_k, smplerx_concat, smplerx_specialist, smplerx_weighted
from benchmark.proposers.repeat_capped import repeat_capped
from benchmark.proposers.semantic_dedup import semantic_dedup
from benchmark.proposers.temperature import temperature
from benchmark.proposers.top_k import top_k
from benchmark.proposers.uniform import uniform
from catalogs.selection import Selection

PROPOSERS: dict[str, Callable[..., Selection]] = {
    "bayesian": bayesian,
    "datamodel": datamodel,
    "dsir": dsir,
    "explicit_lengths": explicit_lengths,
    "facility_datasets": facility_datasets,
    "facility_samples": facility_samples,
    "mean_matching": mean_matching,
    "mixmin": mixmin,
    "motion_frames": motion_frames,
    "natural": natural,
    "regmix": regmix,
    "repeat_capped": repeat_capped,
    "semantic_dedup": semantic_dedup,
    "smplerx_best_k": smplerx_best_k,
    "smplerx_concat": smplerx_concat,
    "smplerx_specialist": smplerx_specialist,
    "smplerx_weighted": smplerx_weighted,
    "temperature": temperature,
    "top_k": top_k,
    "uniform": uniform,
}
