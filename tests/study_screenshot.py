"""Takes the picture of the report on choosing for the README: python tests/study_screenshot.py STUDY.html OUT.png."""

from __future__ import annotations

import sys
from pathlib import Path

from atlas_screenshots import started

SIZE = {"width": 1240, "height": 1500}


def take(study: Path, png: Path) -> Path:
    """The top of the page."""
    with started() as browser:
        page = browser.new_page(viewport=SIZE)
        page.goto(study.absolute().as_uri())
        page.screenshot(path=png)
        page.close()
    return png


if __name__ == "__main__":
    print(take(Path(sys.argv[1]), Path(sys.argv[2])))
