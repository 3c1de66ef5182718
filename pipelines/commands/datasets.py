"""`ehps datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.tables import Json

if TYPE_CHECKING:
    from catalogs.cards import Card


def datasets(name: str | None = None, /, *, as_json: Json = False) -> None:
    """List the datasets, or say all about one: how to obtain it, what a raw root must contain, what is wrong with it.

    Parameters
    ----------
    name
        Name of a dataset.
    """
    from catalogs.cards import card, cards
    from pipelines.tables import show, show_json

    if name is None:
        rows = [
            {
                "name": one.name,
                "splits": ", ".join(split.name for split in one.splits),
                "forms": ", ".join(form.name for form in one.forms),
                "domain": one.domain,
                "labels": ", ".join(one.labels.origins),
                "licence": one.licence.kind,
                "title": one.title,
            }
            for one in cards()
        ]
        show(rows, as_json=as_json)
    elif as_json:
        show_json(card(name).model_dump(mode="json"))
    else:
        print("\n".join(_page(card(name))))


def _page(card: Card) -> Iterator[str]:
    yield f"{card.name}: {card.title} ({card.year})"
    yield from (f"  {reference}" for reference in card.references)
    yield from ("", f"Licence: {card.licence.kind}. {card.licence.terms}", "", "To obtain it:")
    yield from (f"  {i}. {step}" for i, step in enumerate(card.access.steps, 1))
    yield from ("", "The raw root holds:")
    for entry in card.root:
        need = "needed" if entry.is_required else "optional"
        yield f"  {entry.path}  ({need}{_of_forms(entry.forms)}): {entry.holds}"
    splits = (f"{split.name} ({split.files}{_of_forms(split.forms)})" for split in card.splits)
    yield from ("", "Splits: " + "; ".join(splits))
    yield "Forms:  " + "; ".join(f"{form.name} ({form.detail})" for form in card.forms)
    yield f"Labels: {', '.join(card.labels.origins)}. {card.labels.detail}"
    if card.counts:
        yield from ("", "Counts:")
    for count in card.counts:
        about, doubt = "about " if count.is_about else "", "" if count.is_verified else ", not verified"
        yield f"  {count.split}: {about}{count.value:,} {count.what} ({count.source}{doubt})"
    if card.defects:
        yield from ("", "Known defects:")
    for defect in card.defects:
        yield from (f"  - {defect.what}", f"    {defect.handling}")
    yield from (
        "",
        f"  ehps ingest {card.name} --raw DIR --store DIR --split {card.splits_of(card.default_form)[0].name}",
    )


def _of_forms(forms: tuple[str, ...]) -> str:
    return f", form {' or '.join(forms)}" if forms else ""
