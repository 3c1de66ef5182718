"""Image features as an attribute family: one family for each backbone and weights, so that no two ever mix."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from catalogs.attributes.family import Attribute, Columns, Family, Prepared, Rows, Scope
from catalogs.attributes.features.backbones import DEFAULT, Network, Request, check_device, open_network, resolve
from catalogs.attributes.features.preprocess import to_input
from harmonize.errors import DataError, UsageError

PREFIX = "features_"
BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker is sent: the network to open, the hash its weights must have, and how to run it."""

    request: Request
    weights_sha256: str
    device: str | None
    batch: int


def family(
    backbone: str = DEFAULT,
    weights: Path | None = None,
    *,
    size_px: tuple[int, int] | None = None,
    device: str | None = None,
    batch: int = BATCH,
) -> Family:
    """The family `features_<backbone>_<first 8 digits of the weights' hash>` with one column, `vector`.

    backbone: a timm architecture; `random:<architecture>` for seeded random weights, whose features mean nothing; or a
    name as above without `features_`. weights: a checkpoint (see `layouts`); None for what the default has. size_px:
    height and width to show pictures at, for networks that can; position embeddings are then resampled, which the facts
    record. device: as torch names it; None takes a GPU where there is one.

    Raises:
        UsageError: there is no such architecture, device or weights, or they do not fit; a package is missing.
        RawFileError: the weights are damaged.
    """
    check_device(device)
    request = resolve(backbone, weights, size_px)
    network = open_network(request)
    work = Work(request=request, weights_sha256=network.weights_sha256, device=device, batch=batch)
    name = re.sub(r"[^a-z0-9]+", "_", str(network.facts["backbone"]).lower())
    shown = network.preprocessing
    return Family(
        name=f"{PREFIX}{name}_{network.weights_sha256[:8]}",
        doc=f"Image features by {network.facts['backbone']}: the {shown.view} at {shown.size_px[1]} x "
        f"{shown.size_px[0]} px. Compare by cosine, and only with features of this family.",
        attributes=(
            Attribute(
                name="vector",
                unit="1",
                doc="Pooled output of the network, not normalised. Null without a picture.",
                kind="half",
                size=network.width,
            ),
        ),
        reads=("boxes_person_xywh_px",),
        compute=compute,
        prepare=functools.partial(_prepare, Prepared(value=work, facts=network.facts)),
        reads_pictures=True,
        is_wide=True,
    )


def compute(rows: Rows, work: Work) -> Columns:
    """The features of each stored picture.

    Raises:
        RawFileError: a picture does not decode completely; the message names its sample.
        DataError: the weights are others than when this was planned, or give numbers beyond half precision.
    """
    keys, boxes = rows.texts("key"), rows.array("boxes_person_xywh_px")
    pictures = (
        (row, data, extension, boxes[row], f"{rows.shard}: picture of {keys[row]}")
        for row, data, extension in rows.open_pictures()
    )
    network = open_network(work.request)
    if network.weights_sha256 != work.weights_sha256:
        raise DataError(
            f"{work.request.weights}: expected sha256 {work.weights_sha256}, found {network.weights_sha256}",
            fix="the file changed during the run; run the same command again",
        )
    vectors = np.full((len(rows), network.width), np.nan, np.float32)
    for numbers, inputs in _batches(pictures, network, work.batch):
        vectors[numbers] = network.vectors(inputs, work.device)
    return {"vector": vectors}


def embed(work: Work, pictures: Sequence[tuple[str, bytes, str]]) -> npt.NDArray[np.float32]:
    """The features (N, width) of picture files outside a store, each shown whole. pictures: name, content, extension.

    Raises:
        RawFileError: one does not decode completely.
    """
    network = open_network(work.request)
    numbered = ((i, data, extension, None, name) for i, (name, data, extension) in enumerate(pictures))
    found = [network.vectors(inputs, work.device) for _, inputs in _batches(numbered, network, work.batch)]
    return np.concatenate(found) if found else np.zeros((0, network.width), np.float32)


def one_backbone(families: Iterable[str]) -> str:
    """The one family of image features among these names.

    Raises:
        UsageError: there are several, or none. Numbers of different networks have nothing to do with one another.
    """
    found = sorted({name for name in families if name.startswith(PREFIX)})
    if len(found) != 1:
        raise UsageError(
            f"expected image features of one backbone, found {' and '.join(found) or 'none'}: features of different "
            "backbones or weights cannot be compared",
            fix=f"choose one of them: {', '.join(found)}" if found else "ehps describe STORE --backbone NAME",
        )
    return found[0]


def _prepare(prepared: Prepared, scope: Scope) -> Prepared:
    return prepared


def _batches(
    pictures: Iterable[tuple[int, bytes, str, npt.NDArray[np.float32] | None, str]], network: Network, size: int
) -> Iterator[tuple[list[int], npt.NDArray[np.float32]]]:
    numbers: list[int] = []
    inputs: list[npt.NDArray[np.float32]] = []
    for number, data, extension, box, name in pictures:
        numbers.append(number)
        inputs.append(to_input(data, extension, box, network.preprocessing, name))
        if len(inputs) == size:
            yield numbers, np.stack(inputs)
            numbers, inputs = [], []
    if inputs:
        yield numbers, np.stack(inputs)
