"""Pages that repeat what the code says must say the same."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import pytest
from processes import ROOT

import harmonize.errors
from catalogs.attributes import FAMILIES
from harmonize.layout import LAYOUT
from pipelines.docs import DOCS, SECTIONS, attributes_markdown, layout_markdown, renewed
from pipelines.workers import InterruptedRunError

PACKAGES = ("harmonize", "catalogs", "benchmark", "train", "pipelines")


@pytest.mark.parametrize("page", SECTIONS)
def test_a_generated_page_is_current(page: str) -> None:
    name, write = SECTIONS[page]
    text = (DOCS / page).read_text()
    assert text == renewed(text, name, write()), "run `make docs`"


def test_an_outdated_page_is_seen() -> None:
    page = (DOCS / "format.md").read_text().replace("body.transl_m", "body.translation")
    assert page != renewed(page, "layout", layout_markdown())


def test_every_field_is_in_the_layout_page() -> None:
    rows = [line for line in layout_markdown().splitlines() if line.startswith("| ")]
    assert len(rows) == len(LAYOUT) + 1


def test_every_attribute_is_defined_in_its_page() -> None:
    lines = attributes_markdown().splitlines()
    for family in FAMILIES.values():
        assert f"### {family.name}" in lines
        for attribute in family.attributes:
            assert attribute.doc
            assert attribute.unit or attribute.kind in ("text", "flag", "count")
            assert any(line.startswith(f"| {attribute.name} | ") and attribute.doc in line for line in lines)


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="end of layout"):
        renewed("# The format", "layout", "")


def test_every_error_is_explained() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    errors = [error for error in vars(harmonize.errors).values() if isinstance(error, type)]
    for error in [*errors, InterruptedRunError]:
        if issubclass(error, harmonize.errors.EhpsError):
            assert f"| `{error.__name__}` | {error.exit_code} |" in page


def test_every_variable_is_explained() -> None:
    sources = [path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    tests = (ROOT / "tests" / "conftest.py").read_text()
    used = set(re.findall(r"\bEHPS_[A-Z_]+\b", "\n".join([*sources, tests])))
    page = (ROOT / "docs" / "environment.md").read_text()
    assert used >= {"EHPS_BODY_MODELS", "EHPS_CACHE", "EHPS_SAMPLES"}
    assert sorted(name for name in used if f"`{name}`" not in page) == []


def test_the_readme_lists_every_command_and_its_links_lead_somewhere() -> None:
    from pipelines import cli

    readme = (ROOT / "README.md").read_text()
    for name in cli.COMMANDS:
        assert f"| `ehps {name.__name__}" in readme
    links = re.findall(r"\]\((?!https?:)([^)#]+)", readme)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its files open
def test_the_code_of_the_format_page_runs(store: Path) -> None:
    page = (DOCS / "format.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    example = "STORE/pw3d/train/pw3d-train-000007.tar"
    assert example in code
    shard = max((store / "pw3d" / "train").glob("*.tar"), key=lambda path: path.stat().st_size)
    found: dict[str, Any] = {}
    exec(code.replace(example, str(shard)), found)
    assert found["instance"].provenance.dataset == "pw3d"
    assert found["sample"]["jpg"].shape[2] == 3
    gc.collect()
