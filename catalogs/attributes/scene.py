"""Scene: what the dataset's card says of its pictures.

    domain       real or synthetic. Of a dataset that has both, samples whose label is synthetic are synthetic
    card_scene   in-the-wild, laboratory or mixed
    environment  the card's environment, with environment_confidence 1, where it names exactly one; null where it names
                 several: then only the picture can tell (families `scene_by_...` look at it)

All are null for a dataset without a card. A card whose statements are edited makes the values stale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogs.attributes.family import Attribute, Columns, Family, Prepared, Rows, Scope
from harmonize.shards.manifest import digest


@dataclass(frozen=True, slots=True)
class Stated:
    """What a card states of its dataset's pictures."""

    domain: str
    scene: str
    environments: tuple[str, ...]


def prepare(scope: Scope) -> Prepared:
    """The statements of every card, whether in the store or not, so that a new dataset leaves the others as they are.

    Raises:
        DataError: a card is wrong.
    """
    from catalogs.cards import cards

    stated = {card.name: Stated(card.domain, card.scene, card.environments) for card in cards()}
    facts = {name: [one.domain, one.scene, *one.environments] for name, one in stated.items()}
    return Prepared(value=stated, facts={"cards": digest(facts)})


def compute(rows: Rows, stated: Mapping[str, Stated]) -> Columns:
    """stated: by dataset."""
    datasets = rows.table.column("dataset").combine_chunks().dictionary_encode()
    cards = [stated.get(name) for name in datasets.dictionary.to_pylist()]

    def of_card(value: Callable[[Stated], Any], kind: Any) -> Any:
        return pa.array([None if card is None else value(card) for card in cards], kind).take(datasets.indices)

    stated_domain = of_card(lambda card: card.domain, pa.string())
    is_synthetic = pc.equal(rows.table.column("label_origin").combine_chunks(), "synthetic")
    own_domain = pa.array(["real", "synthetic"]).take(pc.cast(is_synthetic, pa.int8()))
    environment = of_card(_only_environment, pa.string())
    return {
        "domain": pc.if_else(pc.equal(stated_domain, "mixed"), own_domain, stated_domain),
        "card_scene": of_card(lambda card: card.scene, pa.string()),
        "environment": environment,
        "environment_confidence": np.where(np.asarray(environment.is_valid()), 1.0, np.nan),
    }


def _only_environment(card: Stated) -> str | None:
    return card.environments[0] if len(card.environments) == 1 else None


FAMILY = Family(
    name="scene",
    doc="What the dataset's card says of its pictures.",
    attributes=(
        Attribute(
            name="domain",
            unit="",
            kind="text",
            doc="real or synthetic, from the card; by the label's origin where a dataset has both.",
        ),
        Attribute(
            name="card_scene", unit="", kind="text", doc="in-the-wild, laboratory or mixed, from the dataset's card."
        ),
        Attribute(
            name="environment",
            unit="",
            kind="text",
            doc="The environment of a dataset whose card names exactly one. Null where it names several.",
        ),
        Attribute(name="environment_confidence", unit="1", doc="1 where the card names exactly one, else null."),
    ),
    reads=("label_origin",),
    compute=compute,
    prepare=prepare,
)
