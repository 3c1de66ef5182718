"""Takes the pictures of an atlas that the README shows: python tests/atlas_screenshots.py ATLAS.html FOLDER."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SIZE = {"width": 1500, "height": 1040}


def chromium() -> str | None:
    """The browser of this machine, if it has one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def started() -> Iterator[Any]:
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


def take(atlas: Path, folder: Path) -> list[Path]:
    """maps.png with a sample under the pointer, selection.png on a dark page, overview.png and dataset.png."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []

    def save(page: Any, name: str) -> None:
        page.wait_for_timeout(700)
        page.screenshot(path=folder / f"{name}.png")
        written.append(folder / f"{name}.png")

    with started() as browser:
        for name in ("maps", "selection", "overview", "dataset"):
            page = browser.new_page(viewport=SIZE, color_scheme="dark" if name == "selection" else "light")
            page.goto(atlas.absolute().as_uri())
            page.wait_for_timeout(700)
            box = page.locator(".plot:has(canvas)").first.bounding_box()
            corners = [(box["x"] + s * box["width"], box["y"] + s * box["height"]) for s in (0.2, 0.62)]
            if name == "maps":
                point = page.evaluate("atlas.withPicture()")
                page.mouse.move(*page.evaluate("(point) => atlas.panels[0].onPage(point)", point))
            elif name == "selection":
                page.mouse.move(*corners[0])
                page.mouse.down()
                page.mouse.move(*corners[1], steps=4)
                page.mouse.up()
            elif name == "overview":
                page.locator("#to-overview").click()
            else:
                page.select_option("#to-dataset", index=page.locator("#to-dataset option").count() // 2)
            save(page, name)
            page.close()
    return written


if __name__ == "__main__":
    print("\n".join(map(str, take(Path(sys.argv[1]), Path(sys.argv[2])))))
