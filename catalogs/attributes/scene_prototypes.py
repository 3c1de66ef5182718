"""Class prototypes of scenes: for each environment the mean direction of image features that are known to show it.

Known either from the cards (datasets whose card names exactly one environment, each dataset with the same weight) or
from a folder of pictures, `CLASS/*.jpg`, shown whole to the same backbone. Fitted once and kept: what is labelled with
them stays comparable while shards come and change. They belong to one backbone with its weights and preprocessing.

    <store>/attributes/scene_prototypes/<backbone>-<hash12>.npz    the numbers, plain arrays; the hash is of this file
                                        <backbone>.json            which ones are in use
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes import files
from catalogs.attributes.family import Family, Scope, to_numpy
from catalogs.attributes.features import PREFIX, embed
from harmonize.errors import StoreError, UsageError
from harmonize.shards.manifest import canonical
from harmonize.shards.names import parse_shard_name
from harmonize.whole import write_whole

Vectors = npt.NDArray[np.float32]

SHARDS_PER_DATASET, SEED = 32, 20240117
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

_FOLDER = "scene_prototypes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prototypes:
    """names: of the K classes, sorted. vectors: (K, C), of length 1. backbone: facts of the features they are made of,
    but for the versions of libraries. features: name of that family."""

    names: tuple[str, ...]
    vectors: Vectors
    features: str
    backbone: Mapping[str, Any]


def current_or_fit(scope: Scope, features: Family) -> tuple[Prototypes, str]:
    """The prototypes in use for these features, and their hash; fitted from the cards and kept when there are none.

    Raises:
        UsageError: the cards do not tell two environments apart, or the prototypes are of another backbone.
        StoreError: they are damaged, or the disk is full.
    """
    pointer = _pointer(scope.store, features)
    try:
        digest = str(json.loads(pointer.read_bytes())["prototypes"])
    except FileNotFoundError:
        fitted = from_cards(scope, features)
        return fitted, put_into_use(scope, fitted, features)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise files.damaged(pointer, str(error)) from error
    found, sha256 = load(pointer.parent / _file_name(features, digest))
    if sha256 != digest:
        raise files.damaged(pointer.parent / _file_name(features, digest), "its hash is not the one it is kept under")
    check_backbone(found, scope, features)
    return found, digest


def put_into_use(scope: Scope, prototypes: Prototypes, features: Family) -> str:
    """Keep prototypes in a store and label with them from now on; returns their hash.

    Raises:
        UsageError: they are of another backbone than these features.
        StoreError: the disk is full or cannot be written to.
    """
    check_backbone(prototypes, scope, features)
    sink = io.BytesIO()
    about = {"features": prototypes.features, "backbone": dict(prototypes.backbone)}
    np.savez(
        sink,
        allow_pickle=False,
        names=np.array(prototypes.names),
        vectors=prototypes.vectors,
        about=np.frombuffer(canonical(about), np.uint8),
    )
    digest, pointer = hashlib.sha256(sink.getvalue()).hexdigest(), _pointer(scope.store, features)
    try:
        pointer.parent.mkdir(parents=True, exist_ok=True)
        write_whole(pointer.parent / _file_name(features, digest), sink.getvalue())
        write_whole(pointer, canonical({"prototypes": digest}))
    except OSError as error:
        raise StoreError(
            f"{pointer.parent}: cannot write ({error.strerror})",
            fix="free space or mend the permissions, then run the same command again",
            path=str(pointer.parent),
        ) from error
    return digest


def load(path: Path) -> tuple[Prototypes, str]:
    """Prototypes from a file, and its hash.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        content = path.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            found = Prototypes(
                names=tuple(str(name) for name in stored["names"]),
                vectors=np.asarray(stored["vectors"], np.float32),
                features=str(about["features"]),
                backbone=dict(about["backbone"]),
            )
        if found.vectors.ndim != 2 or len(found.vectors) != len(found.names) or len(found.names) < 2:
            raise ValueError(f"{len(found.names)} names and vectors {found.vectors.shape}")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"{path}: not readable prototypes of scenes ({error})",
            fix="remove it and the .json that names it; `ehps describe` then fits them anew",
            path=str(path),
        ) from error
    return found, hashlib.sha256(content).hexdigest()


def check_backbone(prototypes: Prototypes, scope: Scope, features: Family) -> None:
    """Raises:
    UsageError: the prototypes are of another backbone, other weights or other preprocessing than the features.
    """
    backbone = _backbone(scope, features)
    if prototypes.features != features.name or canonical(dict(prototypes.backbone)) != canonical(backbone):
        differing = sorted(name for name in backbone if prototypes.backbone.get(name) != backbone[name])
        raise UsageError(
            f"prototypes of scenes: expected those of {features.name}, found those of {prototypes.features} (other "
            f"{', '.join(differing) or 'name'}): features of different backbones cannot be compared",
            fix="make prototypes with this backbone, or label with the backbone that they were made with",
        )


def from_cards(scope: Scope, features: Family) -> Prototypes:
    """Prototypes from the datasets of a store whose card names exactly one environment.

    Each dataset gives the mean of its unit vectors (of at most SHARDS_PER_DATASET shards), each environment the mean of
    its datasets.

    Raises:
        UsageError: they are of fewer than two environments, or their features have not been computed.
    """
    environments = _environments()
    shards: dict[str, list[str]] = defaultdict(list)
    for shard in sorted(scope.shards):
        parsed = parse_shard_name(shard)
        if parsed is not None and parsed[0] in environments:
            shards[parsed[0]].append(shard)
    rng = np.random.default_rng(SEED)
    classes: dict[str, list[Vectors]] = defaultdict(list)
    for dataset in sorted(shards):
        chosen = rng.permutation(shards[dataset])[:SHARDS_PER_DATASET]
        vectors = np.concatenate([_features(scope, features, str(shard)) for shard in sorted(chosen)])
        if len(vectors):
            classes[environments[dataset]].append(unit(vectors).mean(axis=0))
    if len(classes) < 2:
        raise UsageError(
            f"{scope.store}: expected datasets of two environments or more whose card names exactly one, found "
            f"{', '.join(f'{name} ({environments[name]})' for name in sorted(shards)) or 'none'}",
            fix="show what the environments look like: a folder with CLASS/*.jpg for each of two classes or more",
        )
    return _prototypes({name: np.stack(means) for name, means in classes.items()}, scope, features)


def from_folder(folder: Path, scope: Scope, features: Family) -> Prototypes:
    """Prototypes from pictures in `folder/CLASS/`, turned upright and shown whole to the backbone of these features.

    Raises:
        UsageError: there are fewer than two classes, or one without pictures.
        RawFileError: a picture does not decode.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if len(classes) < 2:
        raise UsageError(
            f"{folder}: expected a folder for each of two classes or more, found {len(classes)}",
            fix="make FOLDER/CLASS/*.jpg, the class being the environment's name",
        )
    found = {}
    for one in classes:
        pictures = [path for path in sorted(one.iterdir()) if path.suffix.lower() in PICTURES]
        if not pictures:
            raise UsageError(f"{one}: expected pictures ({', '.join(PICTURES)}), found none", fix="add some")
        found[one.name] = unit(embed(features.prepare(scope).value, [_upright(path) for path in pictures]))
    return _prototypes(found, scope, features)


def unit(vectors: Vectors) -> Vectors:
    """Vectors (N, C) brought to length 1; zero ones stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


def slug_of(features: Family) -> str:
    """The backbone's part of the name of a family of image features."""
    return features.name.removeprefix(PREFIX)


def _prototypes(classes: Mapping[str, Vectors], scope: Scope, features: Family) -> Prototypes:
    names = tuple(sorted(classes))
    means = np.stack([classes[name].mean(axis=0, dtype=np.float64) for name in names])
    return Prototypes(
        names=names,
        vectors=unit(means.astype(np.float32)),
        features=features.name,
        backbone=_backbone(scope, features),
    )


def _environments() -> dict[str, str]:
    from catalogs.cards import cards

    return {card.name: card.environments[0] for card in cards() if len(card.environments) == 1}


def _backbone(scope: Scope, features: Family) -> dict[str, Any]:
    facts = features.prepare(scope).facts
    return {name: value for name, value in facts.items() if name != "versions"}


def _features(scope: Scope, features: Family, shard: str) -> Vectors:
    folder = files.folder_of(scope.shards[shard], features.name)
    if files.read_manifest(folder, shard) is None:
        raise UsageError(
            f"prototypes of scenes: expected {features.name} of {shard}, found none",
            fix=f"ehps describe STORE --backbone {slug_of(features)}",
        )
    column = files.read_attributes(folder, shard, ["vector"]).column("vector")
    return to_numpy(column.drop_null(), None).astype(np.float32)


def _upright(path: Path) -> tuple[str, bytes, str]:
    from harmonize.shards.images import store_picture

    stored = store_picture(
        path.read_bytes(), box_xywh_px=None, orientation=None, mode="full", context=1.0, name=str(path)
    )
    return str(path), stored.data, stored.extension


def _pointer(store: Path, features: Family) -> Path:
    return files.store_folder(store) / _FOLDER / f"{slug_of(features)}.json"


def _file_name(features: Family, digest: str) -> str:
    return f"{slug_of(features)}-{digest[:12]}.npz"
