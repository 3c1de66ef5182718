"""What else decides the bytes of a shard: the source text that makes it, the libraries, the body-model files.

The code hash covers every module and data file of `harmonize` except the miniatures and the readers of other datasets,
so a new reader or a new test world leaves existing shards as they are. Hardware is not part of it: the same code on
another processor may round differently in the last bit.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import get_args

from harmonize.bodies import BodyModels
from harmonize.bodies.files import kid_template_path, model_path
from harmonize.errors import MissingBodyModelError
from harmonize.readers.base import Reader
from harmonize.record import BodyKind, Gender
from harmonize.shards.hashes import HashCache
from harmonize.shards.images import codecs

PACKAGE = Path(__file__).resolve().parents[1]
_READERS, _MINIATURES = "readers", "miniatures"
_CODE_SUFFIXES = (".py", ".yaml", ".npz", ".csv", ".json")

LIBRARIES = ("numpy", "scipy", "torch", "smplx", "smplfitter", "pyarrow")
"""Distributions whose version can change the bytes of a shard, beside those that encode pictures."""


@cache
def code_sha256() -> str:
    """Hash of the sources that all readers share."""
    files = [path for path in PACKAGE.rglob("*") if path.suffix in _CODE_SUFFIXES]
    left_out = (_READERS, _MINIATURES)
    return _hash({path.relative_to(PACKAGE).as_posix(): path for path in files if _room(path) not in left_out})


@cache
def reader_sha256(reader: type[Reader]) -> str:
    """Hash of a reader's module and of all modules of `harmonize.readers` that it imports, also indirectly."""
    start = Path(inspect.getfile(reader))
    found: dict[str, Path] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path.name not in found:
            found[path.name] = path
            waiting += _imported_readers(path)
    return _hash(found)


def libraries() -> dict[str, str]:
    """Versions of LIBRARIES ("absent" for one that is not installed) and of the picture libraries."""
    return {**{name: _version(name) for name in LIBRARIES}, **codecs()}


def body_model_files(models: BodyModels, kinds: Iterable[BodyKind], cache: HashCache) -> dict[str, str]:
    """Content hash of every model file and kid template of these kinds that is present."""
    found: dict[str, Path] = {}
    for kind in sorted(kinds):
        wanted = {f"{kind}/{gender}": partial(model_path, models.root, kind, gender) for gender in get_args(Gender)}
        wanted[f"{kind}/kid"] = partial(kid_template_path, models.root, kind)
        for name, locate in wanted.items():
            with suppress(MissingBodyModelError):  # whoever needs it will say so
                found[name] = locate()
    return {name: cache.sha256(path) for name, path in found.items()}


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def _hash(files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _imported_readers(path: Path) -> list[Path]:
    targets = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            targets |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    prefix = f"{PACKAGE.name}.{_READERS}."
    files = [
        PACKAGE / _READERS / f"{target.removeprefix(prefix)}.py" for target in targets if target.startswith(prefix)
    ]
    return [file for file in files if file.is_file()]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
