"""The atlas in a real browser: what it draws, what it tells, what it selects, and what it can never do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from atlas_screenshots import chromium, started
from atlas_world import fake_catalog

from catalogs.atlas.data import Atlas, gather
from catalogs.atlas.page import page as write_page
from catalogs.cards import DATASETS
from harmonize.errors import UsageError
from pipelines.atlas import write_atlas
from pipelines.commands.atlas import atlas as atlas_command

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    'it\'s "quoted" $HOME `id` \\ !',
]
FRAME_MS = 100.0
"""Longest a frame may last on a busy machine while the pointer moves over 100,000 points; 16.7 is the screen's own."""


class Tab:
    """A page of the browser that remembers everything that went wrong on it."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.page = browser.new_page(viewport={"width": 1500, "height": 1080}, **options)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.settle()

    def settle(self) -> None:
        """Wait until all that was asked for is drawn."""
        self.page.evaluate(
            "() => new Promise((done) => { let left = 12; const step = () => --left ? requestAnimationFrame(step) : "
            "done(); step(); })"
        )

    def place(self, panel: int, point: int) -> tuple[float, float]:
        """Where a point lies on the page."""
        self.page.locator(".plot").nth(panel).scroll_into_view_if_needed()
        x, y = self.page.evaluate("([panel, point]) => atlas.panels[panel].onPage(point)", [panel, point])
        return float(x), float(y)

    def drag(self, panel: int, corners: list[tuple[float, float]]) -> None:
        """Drag over a panel; corners in shares of its width and height."""
        plot = self.page.locator(".plot").nth(panel)
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        places = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in corners]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=3)
        self.page.mouse.up()
        self.settle()

    def selected(self) -> set[str]:
        """Keys that the page has selected."""
        script = "() => atlas.keys.filter((key, i) => atlas.state.selected[i])"
        return set(self.page.evaluate(script))

    def sql(self) -> str:
        """The query in the bar of the selection."""
        return str(self.page.locator("#selection textarea").input_value())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if chromium() is None:
        pytest.skip("no Chromium on this machine")
    pytest.importorskip("playwright.sync_api")
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[duckdb.DuckDBPyConnection, Atlas]]:
    with fake_catalog(30, keys=HOSTILE) as con:
        yield con, gather(con, num_points=1000)


@pytest.fixture(scope="module")
def file(world: tuple[duckdb.DuckDBPyConnection, Atlas], tmp_path_factory: pytest.TempPathFactory) -> Path:
    import io

    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (40, 60), (10, 200, 90)).save(picture, "WEBP")
    path = tmp_path_factory.mktemp("atlas") / "atlas.html"
    path.write_text(write_page(world[1], store="my store", pictures={5: picture.getvalue()}), encoding="utf-8")
    return path


@pytest.fixture
def tab(browser: Any, file: Path) -> Iterator[Tab]:
    made = Tab(browser, file)
    yield made
    assert made.problems == []
    assert made.page.evaluate("window.hacked") is None
    assert [url for url in made.requests if not url.startswith(("file:", "data:"))] == []
    made.page.close()


def test_the_page_shows_six_panels_the_overview_and_the_warning(tab: Tab) -> None:
    titles = tab.page.locator(".panel:visible h2").all_text_contents()
    assert titles == [
        "aImage features: efficientnet_lite0",
        "bImage features: vit_base",
        "cOrientation",
        "dPose: 3D skeletons",
        "eScene",
        "fReal or synthetic",
    ]
    assert tab.page.locator("#standin").text_content().startswith("stand-in body, not SMPL-X")
    assert tab.page.locator("#overview tbody tr").count() == len(DATASETS)
    for number in range(tab.page.locator(".panel").count()):
        drawn = (
            "(n) => atlas.panels[n].width ? atlas.panels[n].points.getImageData(0, 0, 999, 999).data.some(Boolean) : 1"
        )
        assert tab.page.evaluate(drawn, number)


def test_a_point_shows_its_picture_key_and_attributes(tab: Tab, world: tuple[Any, Atlas]) -> None:
    _, atlas = world
    tab.page.mouse.move(*tab.place(0, 5))
    shown = tab.page.evaluate("atlas.state.focus")
    card = tab.page.locator("#hover")
    assert atlas.keys[shown][2] in card.text_content()
    assert "azimuth" in card.text_content()
    tab.page.mouse.click(*tab.place(0, shown))
    drawer = tab.page.locator("#drawer")
    assert drawer.locator("dt").count() == len(atlas.measures)
    measure = next(one for one in atlas.measures if one.name == "stature_m")
    value = measure.values[shown]
    told = drawer.locator("dt", has_text="stature").locator("+ dd").text_content()
    assert told == ("unknown" if np.isnan(value) else f"{value:.3g} m")


def test_pictures_are_in_the_file_or_the_command_that_draws_them_is(tab: Tab, world: tuple[Any, Atlas]) -> None:
    _, atlas = world
    for point in (5, 6):
        tab.page.evaluate("(point) => atlas.pin(point)", point)
        drawer = tab.page.locator("#drawer")
        if point == 5:
            assert drawer.locator("img").evaluate("(image) => image.decode().then(() => image.naturalHeight)") == 60
        else:
            command = drawer.locator(".nopicture code").text_content()
            assert shlex.split(command) == ["ehps", "view", "my store", atlas.keys[point][2], "-o", "sample.png"]


@pytest.mark.parametrize("key", HOSTILE)
def test_names_are_text_whatever_they_hold(tab: Tab, world: tuple[Any, Atlas], key: str) -> None:
    con, atlas = world
    point = [key for _, _, key in atlas.keys].index(key)
    tab.page.evaluate("(point) => atlas.pin(point)", point)
    assert tab.page.locator("#drawer p.mono").text_content() == key
    command = tab.page.locator("#drawer .nopicture code").text_content()
    assert shlex.split(command)[3] == key
    tab.page.keyboard.press("Escape")
    tab.page.evaluate(
        "(point) => { const one = new Uint8Array(atlas.keys.length); one[point] = 1; atlas.select(one); }", point
    )
    assert con.execute(tab.sql()).fetchall() == [atlas.keys[point]]


def brushed_rectangle(tab: Tab) -> None:
    tab.drag(0, [(0.3, 0.3), (0.7, 0.6)])


def brushed_lasso(tab: Tab) -> None:
    tab.page.keyboard.press("l")
    figure_of_eight = [(0.5 + 0.4 * np.sin(a), 0.5 + 0.3 * np.sin(2 * a)) for a in np.linspace(0, 6.1, 60)]
    tab.drag(4, figure_of_eight)


def brushed_sphere(tab: Tab) -> None:
    tab.page.keyboard.press("r")
    tab.drag(2, [(0.35, 0.3), (0.6, 0.6)])


@pytest.mark.parametrize("brush", [brushed_rectangle, brushed_lasso, brushed_sphere])
def test_the_query_selects_what_is_brushed(tab: Tab, world: tuple[Any, Atlas], brush: Callable[[Tab], None]) -> None:
    con, _ = world
    brush(tab)
    selected = tab.selected()
    assert len(selected) > 20
    assert {key for _, _, key in con.execute(tab.sql()).fetchall()} == selected
    tab.page.locator("#selection select").select_option("region")
    assert {key for _, _, key in con.execute(tab.sql()).fetchall()} == selected
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.locator("#selection button", has_text="Copy command").click()
    command = shlex.split(tab.page.evaluate("navigator.clipboard.readText()"))
    assert command == ["ehps", "query", "my store", tab.sql()]
    tab.page.keyboard.press("Escape")
    assert tab.page.locator("#selection").is_hidden()


def test_few_points_are_selected_by_key_and_hidden_datasets_are_left_out(tab: Tab, world: tuple[Any, Atlas]) -> None:
    con, _ = world
    tab.drag(0, [(0.05, 0.05), (0.95, 0.95)])
    assert " IN (" not in tab.sql()
    tab.page.locator("button", has_text="None").click()
    tab.page.locator("input[data-dataset=pw3d]").check()
    assert "pw3d" in tab.page.locator("#selection").text_content()
    rows = con.execute(tab.sql()).fetchall()
    assert len(rows) == 30
    assert {dataset for dataset, _, _ in rows} == {"pw3d"}
    assert "(dataset, key) IN (" in tab.sql()
    tab.page.locator("#selection select").select_option("region")
    assert con.execute(tab.sql()).fetchall() == rows


def test_everything_can_be_done_with_the_keyboard(tab: Tab) -> None:
    tab.page.locator(".plot").nth(1).focus()
    tab.page.keyboard.press("ArrowRight")
    first = tab.page.evaluate("atlas.state.focus")
    places = [tab.place(1, first)]
    for key in ("ArrowRight", "ArrowUp"):
        tab.page.keyboard.press(key)
        places.append(tab.place(1, tab.page.evaluate("atlas.state.focus")))
    assert places[1][0] > places[0][0]
    assert places[2][1] < places[1][1]
    assert "dataset: " in tab.page.locator("#spoken").text_content()
    tab.page.keyboard.press("Enter")
    assert tab.page.locator("#drawer").is_visible()
    tab.page.keyboard.press("Escape")
    assert tab.page.locator("#drawer").is_hidden()
    tab.page.keyboard.press("?")
    assert tab.page.locator("#help").is_visible()
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("c")
    assert tab.page.evaluate("document.activeElement.id") == "colour"


@pytest.mark.parametrize(
    ("colour", "kind"),
    [("shape.stature_m", "number"), ("scene.environment", "category"), ("pose.self_contact", "category")],
)
def test_colours_can_be_an_attribute(tab: Tab, world: tuple[Any, Atlas], colour: str, kind: str) -> None:
    options = tab.page.locator("#colour option").evaluate_all("(all) => all.map((one) => one.value)")
    assert set(options) == {
        *("dataset", "card.domain", "card.scene"),
        *(f"{measure.family}.{measure.name}" for measure in world[1].measures),
    }
    tab.page.select_option("#colour", colour)
    assert tab.page.evaluate("atlas.panels[0].colours.kind") == kind
    assert tab.page.locator("#side .box").first.locator("canvas" if kind == "number" else ".keys").is_visible()


def test_dataset_pages_hold_the_shares_of_all_samples(tab: Tab, world: tuple[Any, Atlas]) -> None:
    con, atlas = world
    tab.page.select_option("#to-dataset", "agora")
    figures = tab.page.locator(".histogram")
    figures.first.wait_for()
    assert figures.count() == len(atlas.measures)
    assert "AGORA" in tab.page.locator("#page-dataset h2").text_content()
    told = tab.page.locator("[data-measure='label.is_metric'] .hit title").all_text_contents()
    own, rest = (
        con.execute(f"SELECT avg(is_metric::INT) FROM label WHERE dataset {sign} 'agora'").fetchall()[0][0] * 100
        for sign in ("=", "<>")
    )
    assert told[1] == f"yes: {own:.3g} %, others {rest:.3g} %"
    tab.page.locator("#page-dataset select").select_option("pw3d")
    tab.settle()
    only = con.execute("SELECT avg(is_metric::INT) FROM label WHERE dataset = 'pw3d'").fetchall()[0][0] * 100
    told = tab.page.locator("[data-measure='label.is_metric'] .hit title").all_text_contents()
    assert told[1] == f"yes: {own:.3g} %, others {only:.3g} %"


def test_the_overview_sorts(tab: Tab) -> None:
    rows = tab.page.locator("#overview tbody tr")
    cells = (
        "(column) => [...document.querySelectorAll('#overview tbody tr')].map((row) => row.cells[column].textContent)"
    )
    for column in (0, 8, 11):
        button = tab.page.locator("#overview thead th button").nth(column)
        button.click()
        once = tab.page.evaluate(cells, column)
        button.click()
        again = tab.page.evaluate(cells, column)
        assert sorted(once) == sorted(again)
        assert once != again
    tab.page.locator("#overview thead th button").nth(0).click()
    assert tab.page.locator("#overview thead th").nth(0).get_attribute("aria-sort") == "ascending"
    assert rows.first.locator("a").text_content() == "agora"
    tab.page.locator("#by-split").check()
    assert rows.count() == 2 * len(DATASETS)


def test_the_sphere_turns_and_maps_move(tab: Tab) -> None:
    before = tab.page.evaluate("atlas.panels.map((panel) => [...panel.x.slice(0, 50)].map(String).join())")
    tab.drag(2, [(0.5, 0.5), (0.8, 0.6)])
    tab.page.keyboard.press("m")
    tab.drag(0, [(0.5, 0.5), (0.6, 0.6)])
    after = tab.page.evaluate("atlas.panels.map((panel) => [...panel.x.slice(0, 50)].map(String).join())")
    moved = [a != b for a, b in zip(after, before, strict=True)]
    assert moved[:3] == [True, False, True]
    assert tab.page.locator("#selection").is_hidden()
    tab.page.locator("button", has_text="Reset views").click()
    tab.settle()
    assert tab.page.evaluate("atlas.panels.map((panel) => [...panel.x.slice(0, 50)].map(String).join())") == before


def test_it_follows_the_dark_page_and_prints(browser: Any, file: Path) -> None:
    tab = Tab(browser, file, color_scheme="dark")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    assert tab.page.evaluate(background) == "rgb(16, 19, 23)"
    tab.page.emulate_media(color_scheme="light")
    assert tab.page.evaluate(background) == "rgb(244, 246, 248)"
    tab.page.emulate_media(media="print")
    assert tab.page.locator("#toolbar").is_hidden()
    assert len(tab.page.pdf()) > 20_000
    assert tab.problems == []
    tab.page.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "atlas.html"
    with fake_catalog(3100, families=("orientation", "scene", "shape", "label")) as con:
        path.write_text(write_page(gather(con, num_points=5000), store="s", pictures={}), encoding="utf-8")
    return path


def test_a_hundred_thousand_points_draw_and_answer_the_pointer(browser: Any, large: Path) -> None:
    tab = Tab(browser, large)
    assert tab.page.evaluate("atlas.keys.length") > 100_000
    tab.page.evaluate(
        "() => { window.frames_ = []; let last = performance.now(); const step = () => { const now = performance.now();"
        " window.frames_.push(now - last); last = now; requestAnimationFrame(step); }; requestAnimationFrame(step); }"
    )
    box = tab.page.locator(".plot").first.bounding_box()
    seen = set()
    for step in range(40):
        share = 0.2 + 0.6 * step / 40
        tab.page.mouse.move(box["x"] + share * box["width"], box["y"] + (1 - share) * box["height"])
        seen.add(tab.page.evaluate("atlas.state.focus"))
    frames = tab.page.evaluate("window.frames_")
    assert len(seen - {-1}) > 10
    assert np.median(frames) < FRAME_MS
    tab.page.evaluate("() => { window.frames_.length = 0 }")
    tab.drag(0, [(0.3, 0.3), (0.7, 0.7)])
    assert np.median(tab.page.evaluate("window.frames_")) < FRAME_MS
    assert "by place" in tab.page.locator("#selection").text_content()
    assert large.stat().st_size < 40_000_000
    assert tab.problems == []
    tab.page.close()


def test_what_has_not_been_computed_is_said(browser: Any, tmp_path: Path) -> None:
    with fake_catalog(40, ("agora", "pw3d"), maps=(), families=(), seed=1) as con:
        atlas = gather(con, num_points=10)
    path = tmp_path / "atlas.html"
    path.write_text(write_page(atlas, store="bare", pictures={}), encoding="utf-8")
    tab = Tab(browser, path)
    commands = tab.page.locator(".plot.missing code").all_text_contents()
    assert commands == ["ehps describe bare --backbone NAME"] * 2 + [
        "ehps describe bare --attributes skeleton pose_space"
    ]
    assert tab.page.locator(".bars .stack").count() == 4
    assert "ehps describe bare --attributes camera" in tab.page.locator("#overview").text_content()
    tab.page.mouse.move(*tab.place(0, int(np.argmax([not np.isnan(one) for one in atlas.view_deg[:, 0]]))))
    tab.page.select_option("#to-dataset", "pw3d")
    tab.page.locator(".histogram").first.wait_for()
    assert tab.page.locator(".histogram").count() == 2
    assert tab.problems == []
    tab.page.close()


def test_a_store_becomes_one_file(browser: Any, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "atlas.html"
    options: dict[str, Any] = {"num_points": 50, "num_pictures": 2, "body_models": None, "num_workers": 1}
    atlas = write_atlas(store, out, **options)
    first = out.read_bytes()
    write_atlas(store, out, **options)
    assert out.read_bytes() == first
    assert not re.search(rb"20[0-9]{2}-[0-9]{2}-[0-9]{2}T", first)
    tab = Tab(browser, out)
    assert tab.page.evaluate("atlas.keys.length") == len(atlas.keys)
    tab.page.select_option("#to-dataset", "pw3d")
    pictures = tab.page.locator(".strip img")
    pictures.first.wait_for()
    assert pictures.count() == 2
    assert pictures.first.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 40
    assert tab.problems == []
    tab.page.close()
    with pytest.raises(UsageError, match="existing folder"):
        write_atlas(store, tmp_path / "no" / "atlas.html", **options)


@pytest.mark.parametrize("option", ["points", "pictures", "workers"])
def test_numbers_that_mean_nothing_are_refused(store: Path, tmp_path: Path, option: str) -> None:
    numbers = {option: -1}
    with pytest.raises(UsageError, match=f"--{option}: expected at least"):
        atlas_command(store, out=tmp_path / "atlas.html", **numbers)
    assert not list(tmp_path.iterdir())
