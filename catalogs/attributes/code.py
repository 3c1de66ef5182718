"""Which code made an attribute: a hash of the source of every module that its functions come from or import."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harmonize.layout import LAYOUT_HASH

_ROOT = Path(__file__).resolve().parents[2]
_BOUND = ("catalogs/attributes/", "harmonize/geometry/", "harmonize/keypoints/")
"""Where changes count. The contract of this package (`FRAMEWORK`) is left out: it moves values, and makes none."""

FRAMEWORK = ("__init__.py", "family.py", "files.py", "engine.py", "code.py", "people.py")


def code_sha256(*functions: Callable[..., Any]) -> str:
    """Hash of the modules of these functions, of what they import from `_BOUND`, and of the record's layout."""
    found: dict[str, Path] = {}
    waiting = [Path(inspect.getfile(_plain(function))).resolve() for function in functions]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(_ROOT).as_posix()
        if name not in found:
            found[name] = path
            waiting += [other for other in _imports(path) if _counts(other)]
    digest = hashlib.sha256(LAYOUT_HASH.encode())
    for name, path in sorted(found.items()):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return _plain(function.func) if isinstance(function, functools.partial) else function


def _counts(path: Path) -> bool:
    name = path.relative_to(_ROOT).as_posix()
    is_framework = path.parent == Path(__file__).resolve().parent and path.name in FRAMEWORK
    return name.startswith(_BOUND) and not is_framework


@functools.cache
def _imports(path: Path) -> tuple[Path, ...]:
    targets: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            targets |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = []
    for target in targets:
        base = _ROOT.joinpath(*target.split("."))
        files += [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
    return tuple(sorted(files))
