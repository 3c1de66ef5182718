"""`ehps` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pipelines", *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with the project importable and no body models of the user's."""
    inherited = {name: value for name, value in os.environ.items() if name != "EHPS_BODY_MODELS"}
    return {**inherited, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **changes}


def ehps(*arguments: object, timeout_s: float = 120, **changes: str) -> subprocess.CompletedProcess[str]:
    """The finished process of a command, with text output."""
    return subprocess.run(
        command(*arguments), env=environment(**changes), capture_output=True, text=True, timeout=timeout_s, check=False
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
