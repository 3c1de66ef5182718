"""A small store with evaluation splits whose truth is known, and files of predictions for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from small_store import person, write_shard

from harmonize.meshes import body_vertices_m, source_vertices_m
from harmonize.record import MAX_SOURCE_BETAS, MAX_SOURCE_JOINTS, Instance, SourceBody
from harmonize.shards.read import open_store


def labelled(dataset: str, split: str, number: int, *, sequence: str = "s", **flags: bool) -> Instance:
    """A person whose every part is labelled unless flags say otherwise."""
    one = person(dataset, split, number)
    rng = np.random.default_rng(number)
    names = ("has_betas", "has_left_hand", "has_right_hand", "has_jaw", "has_expression")
    changes: dict[str, Any] = {
        f"{side}_hand_pose_aa": rng.normal(0, 0.2, (15, 3)).astype(np.float32) for side in ("left", "right")
    }
    changes |= dict.fromkeys(names, True) | flags
    body = replace(one.body, **changes)
    return replace(one, body=body, provenance=replace(one.provenance, sequence=sequence, image_path=f"{number}.jpg"))


def annotated_as(instance: Instance, model: Any, gender: Any, *, is_rebuildable: bool = True) -> Instance:
    """The same person with a source body: its pose, other betas, and the first joints of its model."""
    num = {"smplx": 55, "smpl": 24}[model]
    pose, betas = np.zeros((MAX_SOURCE_JOINTS, 3), np.float32), np.zeros(MAX_SOURCE_BETAS, np.float32)
    pose[0], pose[1:22] = instance.body.global_orient_aa, instance.body.body_pose_aa
    betas[:10] = instance.body.betas[::-1]
    source = SourceBody(
        model=model,
        gender=gender,
        hand_mean="absolute" if model == "smplx" else "absent",
        conversion="fit",
        pose_aa=pose,
        num_joints=num,
        betas=betas,
        num_betas=10,
        transl_m=instance.body.transl_m,
        fit_error_mm=3.0,
        is_rebuildable=is_rebuildable,
    )
    return replace(instance, source_body=source)


def write_store(folder: Path, instances: Sequence[Instance]) -> Path:
    """A store with a shard for each dataset and split."""
    splits: dict[tuple[str, str], list[Instance]] = {}
    for one in instances:
        splits.setdefault((one.provenance.dataset, one.provenance.split), []).append(one)
    for some in splits.values():
        write_shard(folder, some)
    return folder


def stored(store: Path, keys: Sequence[str]) -> list[Instance]:
    """Instances as the store gives them back."""
    opened = open_store(store)
    return [opened.sample(key).instance for key in keys]


def meshes(instances: Sequence[Instance], models: Any, *, of_source: bool = False) -> Any:
    """(N, V, 3) true meshes, one by one."""
    make = source_vertices_m if of_source else body_vertices_m
    return np.stack([make(one, models) for one in instances])


def parameters(instances: Sequence[Instance]) -> dict[str, Any]:
    """The columns of a file of predictions that says what the stored bodies are."""
    names = (
        *("global_orient_aa", "body_pose_aa", "betas", "left_hand_pose_aa", "right_hand_pose_aa", "jaw_pose_aa"),
        *("expression", "transl_m"),
    )
    return {name: np.stack([getattr(one.body, name) for one in instances]) for name in names}


def save_npz(path: Path, keys: Sequence[str], **arrays: Any) -> Path:
    """A file of predictions as npz."""
    np.savez(path, **{"key": np.array(keys, dtype=np.str_)} | arrays)
    return path


def save_parquet(path: Path, keys: Sequence[str], **arrays: Any) -> Path:
    """The same as Parquet, rows as lists of numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"key": pa.array(list(keys), pa.string())}
    for name, values in arrays.items():
        flat = np.ascontiguousarray(values).reshape(len(values), int(np.prod(np.shape(values)[1:])))
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
    pq.write_table(pa.table(columns), path)
    return path
