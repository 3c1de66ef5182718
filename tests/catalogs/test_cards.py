"""Dataset cards: every one is valid, agrees with its reader, and a wrong one is refused with card and key."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from catalogs import cards as module
from catalogs.cards import DATASETS, Benchmark, Card, LabelOrigin, card, cards, parse_card
from harmonize import record
from harmonize.errors import DataError, UnknownDatasetError
from harmonize.gate import Limits
from harmonize.readers import HUMANDATA, READERS, forms_of, splits_of

FOLDER = Path(module.__file__).parent / "datasets"
NAMES = tuple(READERS)


def test_every_file_is_a_card_in_order() -> None:
    assert [one.name for one in cards()] == sorted(path.stem for path in FOLDER.iterdir())
    for name in NAMES:
        assert card(name) == next(one for one in cards() if one.name == name)


def test_every_reader_has_a_card_and_every_card_a_reader() -> None:
    assert tuple(one.name for one in cards()) == NAMES == DATASETS


@pytest.mark.parametrize("name", NAMES)
def test_a_card_agrees_with_its_reader(name: str) -> None:
    one = card(name)
    assert tuple(form.name for form in one.forms) == forms_of(name)
    for form in forms_of(name):
        assert tuple(split.name for split in one.splits_of(form)) == splits_of(name, form)


@pytest.mark.parametrize("name", NAMES)
def test_a_miniature_has_what_the_card_requires(name: str, miniature: Any) -> None:
    for form in (READERS[name].forms[0], HUMANDATA):
        root, _ = miniature(name, form)
        for entry in card(name).root:
            if entry.is_required and (not entry.forms or form in entry.forms):
                # Some miniatures have everything in a folder that the reader accepts above.
                assert any(root.glob(f"{above}{wildcard(entry.path)}") for above in ("", "*/")), (
                    f"{name}: the card requires {entry.path} for {form}, the miniature has none"
                )


def wildcard(path: str) -> str:
    """The glob pattern of a card's path."""
    if path == "<image_path>":
        return "**/*.[jp]*g"
    pieces = path.split("<")
    return pieces[0] + "".join("*" + piece.split(">", 1)[1] for piece in pieces[1:])


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_the_code(name: str) -> None:
    assert set(card(name).gate) <= {limit.name for limit in fields(Limits)}
    Limits(**card(name).gate)


def test_lists_are_those_of_the_project() -> None:
    assert set(get_args(LabelOrigin)) == set(get_args(record.LabelOrigin))
    assert len(set(DATASETS)) == len(DATASETS) == 33
    assert list(DATASETS) == sorted(DATASETS)
    assert set(get_args(Benchmark)) >= {"agora", "egobody", "ehf", "pw3d", "ubody"}


def test_known_facts() -> None:
    assert card("agora").body.has_kids
    assert card("bedlam").body.hands == "absolute"
    assert card("bedlam").body.num_betas == 11
    assert card("pw3d").camera.is_metric
    assert not card("mscoco").camera.is_metric
    assert card("ubody").in_domain[0].benchmark == "ubody"
    assert all(count.source for one in cards() for count in one.counts)


def test_recalled_figures_are_not_given_as_verified() -> None:
    for one in cards():
        for claim in (*one.counts, *one.in_domain, *one.overlaps, *one.subsampling, *one.notes):
            if any(word in claim.source for word in ("recalled", "memory", "remembered", "well known")):
                assert not claim.is_verified, (one.name, claim)


def test_an_unknown_dataset_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UnknownDatasetError, match=r"known: agora, .*mscoco"):
        card("agorra")
    for escape in ("../cards", "/etc/passwd", ""):
        with pytest.raises(UnknownDatasetError):
            card(escape)


# --- wrong cards ------------------------------------------------------------------------------------------------------


def content() -> dict[str, Any]:
    loaded = yaml.safe_load((FOLDER / "agora.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def refused(changed: Any, name: str = "catalogs/datasets/agora.yaml") -> str:
    text = changed if isinstance(changed, str) else yaml.safe_dump(changed)
    with pytest.raises(DataError) as caught:
        parse_card(text, name)
    assert name in str(caught.value)
    return str(caught.value)


def test_the_unchanged_card_is_sound() -> None:
    assert isinstance(parse_card(yaml.safe_dump(content()), "agora.yaml"), Card)


def test_a_misspelt_key() -> None:
    changed = content()
    changed["licens"] = changed.pop("licence")
    message = refused(changed)
    assert "licens: Extra inputs" in message
    assert "licence: Field required" in message
    assert "has 2 wrong keys" in message


def test_a_misspelt_key_deep_inside() -> None:
    changed = content()
    changed["counts"][1]["verified"] = changed["counts"][1].pop("is_verified")
    message = refused(changed)
    assert "counts.1.verified" in message
    assert "counts.1.is_verified: Field required" in message


@pytest.mark.parametrize("key", [name for name, field in Card.model_fields.items() if field.is_required()])
def test_every_missing_key_is_named(key: str) -> None:
    changed = content()
    del changed[key]
    assert f"{key}: Field required" in refused(changed)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("overlaps", 0, "dataset"), "bedlamm", "overlaps.0.dataset"),
        (("overlaps", 0, "dataset"), "agora", "cannot overlap with itself"),
        (("licence", "kind"), "free", "licence.kind"),
        (("licence", "terms"), "  ", "licence.terms"),
        (("year",), "2021", "year"),
        (("year",), 1066, "year"),
        (("references",), [], "references"),
        (("access", "steps"), [], "access.steps"),
        (("in_domain", 0, "benchmark"), "coco", "in_domain.0.benchmark"),
        (("labels", "origins"), ["guess"], "labels.origins.0"),
        (("contents", "is_video"), "yes", "contents.is_video"),
        (("counts", 0, "value"), 0, "counts.0.value"),
        (("counts", 0, "value"), 1.5, "counts.0.value"),
        (("counts", 0, "source"), "", "counts.0.source"),
        (("counts", 0, "split"), "tests", "expected a split of"),
        (("camera", "kind"), "virtual", "a virtual camera has no metric depth"),
        (("camera", "picture_sizes_px"), [[1280, 0]], "camera.picture_sizes_px.0.1"),
        (("root", 0, "path"), "/absolute", "root.0.path"),
        (("root", 0, "forms"), ["somewhere"], "expected forms of"),
        (("splits", 0, "forms"), ["somewhere"], "splits: train: expected forms of"),
        (("splits", 1, "name"), "train", "a name comes twice"),
        (("environments",), ["Out door"], "environments.0"),
        (("gate",), {"min_box_px": "small"}, "gate.min_box_px"),
        (("name",), "mscoco", "expected 'agora' as the file is called"),
    ],
)
def test_wrong_values_are_named(path: tuple[Any, ...], value: Any, expected: str) -> None:
    changed: Any = content()
    target = changed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert expected in refused(changed)


def test_a_form_without_a_split() -> None:
    changed = content()
    for split in changed["splits"]:
        split["forms"] = ["smplx"]
    assert "splits: expected one of the form" in refused(changed)


def test_a_key_that_comes_twice() -> None:
    text = (FOLDER / "agora.yaml").read_text()
    assert "the key 'year' twice" in refused(text + "\nyear: 2022\n")


@pytest.mark.parametrize(
    "text", ["", "- a list", "just text", "a: [", "a: !!python/object/apply:os.system ['true']", "\x00"]
)
def test_files_that_are_no_cards(text: str) -> None:
    refused(text)


def test_cards_are_light() -> None:
    """`ehps datasets` must not wait for numpy or torch."""
    code = (
        "import sys; from catalogs.cards import cards; cards(); "
        "print([name for name in ('numpy', 'torch', 'scipy', 'pandas', 'duckdb') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- leakage: what is told twice --------------------------------------------------------------------------------------

OVERLAPS = (
    ("muco_3dhp", "mpi_inf_3dhp"),
    ("up3d", "lspet"),
    ("up3d", "mpii"),
    ("posetrack", "mpii"),
    ("crowdpose", "mscoco"),
    ("crowdpose", "mpii"),
    ("dna_rendering", "dna_rendering_hires"),
    ("egobody_egoset", "egobody_mvset"),
    ("agora", "bedlam"),
)


def test_an_overlap_is_told_by_both_sides() -> None:
    found = {(one.name, overlap.dataset) for one in cards() for overlap in one.overlaps}
    assert found == {(other, one) for one, other in found}
    assert {pair for one, other in OVERLAPS for pair in ((one, other), (other, one))} <= found


def test_sets_that_their_authors_made_for_evaluation_say_so() -> None:
    assert {one.name for one in cards() if one.meant_for == "evaluation"} == {"ehf", "ochuman", "ssp3d"}
    assert all(split.role == "test" for split in card("ehf").splits)
