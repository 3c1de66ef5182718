"""What the package exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import harmonize.geometry

HEAVY = "scipy torch"


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*(name for name in '{HEAVY}'.split() if name in sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_import_is_light() -> None:
    assert loaded_by("import harmonize.geometry") == set()


def test_the_check_above_can_fail() -> None:
    use = "import harmonize.geometry as g; g.aa_to_rotmat([0, 0, 1])"
    assert loaded_by(use) == {"scipy"}


def test_all_is_complete_and_sorted() -> None:
    assert harmonize.geometry.__all__ == sorted(harmonize.geometry.__all__)
    assert all(hasattr(harmonize.geometry, name) for name in harmonize.geometry.__all__)
