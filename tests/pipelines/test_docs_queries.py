"""The query page says what the catalog answers: every question runs, and the page is what `make docs` would write."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from catalogs import store as catalog
from catalogs.store import Table
from pipelines.describe import Request, describe_store
from pipelines.query_page import PAGE, demo_store, markdown, page
from pipelines.questions import PYTHON, QUESTIONS, Question

NEEDED = (
    *("camera", "features", "label", "orientation", "pose", "pose_space", "scene", "shape", "visibility"),
    *("overlaps", "duplicates"),
)
"""What the questions ask for; maps are not among it."""

NUMBERED = list(enumerate(QUESTIONS, 1))


@pytest.fixture(scope="module")
def described(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A described copy of the small store of the command line's tests."""
    copy = tmp_path_factory.mktemp("described") / "store"
    shutil.copytree(store, copy)
    assert describe_store(Request(store=copy, names=NEEDED)).failures == ()
    return copy


def sections() -> list[str]:
    return re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


def test_there_are_twenty_and_each_is_a_question() -> None:
    assert len(QUESTIONS) == 20
    assert len({question.text for question in QUESTIONS}) == 20
    assert all(question.text.endswith("?") for question in QUESTIONS)


def test_named_queries_that_notes_mention_are_there() -> None:
    mentioned = {name for question in QUESTIONS for name in re.findall(r"@(\w+)", question.note)}
    assert mentioned
    assert mentioned <= set(catalog.named_queries())


@pytest.mark.parametrize(("number", "question"), NUMBERED, ids=[str(number) for number, _ in NUMBERED])
def test_the_page_shows_the_question_and_every_column_of_its_answer(
    number: int, question: Question, described: Path
) -> None:
    with catalog.open(described) as con:
        answer = catalog.query(con, question.sql)
    shown = sections()[number - 1]
    assert shown.startswith(f"{number}. {question.text}\n")
    assert f"```sql\n{question.sql.strip()}\n```" in shown
    assert f"\n| {' | '.join(answer.columns)} |\n" in shown
    assert shown.rstrip().endswith(question.note)


def test_the_python_of_the_page_runs(described: Path) -> None:
    assert PYTHON.strip() in sections()[-1]
    found: dict[str, Any] = {}
    exec(PYTHON.replace("STORE", str(described)), found)
    table, polars_frame, pandas_frame = (found[name] for name in ("table", "polars_frame", "pandas_frame"))
    assert table.num_rows == len(polars_frame) == len(pandas_frame) > 0
    assert table.column("key").to_pylist() == polars_frame["key"].to_list() == pandas_frame["key"].tolist()


def test_cells_are_written_for_people() -> None:
    answer = Table(("a", "b"), ((1.50, None), ("x", 12)))
    assert markdown(answer) == "| a | b |\n|---|---|\n| 1.5 |  |\n| x | 12 |"
    assert markdown(Table(("a",), ())) == "| a |\n|---|\n\nNo rows."


@pytest.mark.slow
def test_the_page_is_what_the_demo_store_answers(tmp_path: Path) -> None:
    with catalog.open(demo_store(tmp_path, 2)) as con:
        assert PAGE.read_text(encoding="utf-8") == page(con), "run `make docs`"
