"""What a mixture may be made from."""

from __future__ import annotations

from pathlib import Path

from catalogs import store as catalog
from catalogs.cards import card
from catalogs.selection import Pool
from harmonize.errors import UsageError
from harmonize.shards.names import parse_shard_name


def training_pool(store: Path) -> Pool:
    """The training splits of a store, by the datasets' cards: validation and test splits are not for training.

    Raises:
        UsageError: the store has no training split.
        StoreError: the store has no finished shard, or a damaged one.
    """
    with catalog.open(store) as con:
        pool = catalog.pool(con)
    training = {
        (source.dataset, source.split)
        for source in pool.sources
        if any(split.name == source.split and split.role == "train" for split in card(source.dataset).splits)
    }
    if not training:
        raise UsageError(f"{store}: holds no training split", fix="ehps ingest NAME --split train ...")
    return Pool(
        sources=tuple(source for source in pool.sources if (source.dataset, source.split) in training),
        shards=tuple(ref for ref in pool.shards if (parse_shard_name(ref.shard) or ())[:2] in training),
    )
