"""The rules of the house, checked on the source text, each with a proof that the check can fail."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT: dict[str, set[str]] = {
    "harmonize": set(),
    "catalogs": {"harmonize"},
    "benchmark": {"harmonize", "catalogs"},
    "train": {"harmonize", "catalogs"},
    "pipelines": {"harmonize", "catalogs", "benchmark", "train"},
}
STRANGERS = ("harmonize.readers", "harmonize.miniatures")  # neither may know the other, or tests would test themselves
MAY_IMPORT_TORCH = ("harmonize.bodies", "catalogs.attributes.features", "benchmark.metrics", "train")
HEAVY = ("torch", "scipy", "prefect", "pyarrow", "duckdb", "numpy", "pandas", "matplotlib", "smplx", "webdataset")


@dataclass(frozen=True)
class Import:
    """`importer` imports `target`; `is_lazy` when it does so inside a function or only for type checkers."""

    importer: str
    target: str
    is_lazy: bool


def modules(root: Path) -> dict[str, Path]:
    """Every module of the packages under a root, by dotted name."""
    found = {}
    for package in MAY_IMPORT:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    """Every import statement of the packages; `from a import b` counts as a.b where that is a module."""
    known = modules(root)
    return [
        Import(name, target, is_lazy)
        for name, path in known.items()
        for node, is_lazy in _import_nodes(ast.parse(path.read_text()), is_lazy=False)
        for target in _targets(node, name, path, known)
    ]


def _import_nodes(node: ast.AST, *, is_lazy: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, is_lazy
        else:
            is_type_checking = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _import_nodes(child, is_lazy=is_lazy or is_function or is_type_checking)


def _targets(node: ast.Import | ast.ImportFrom, name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        parents = parents[: len(parents) - node.level + 1]
        base = ".".join([*parents, base] if base else parents)
    for alias in node.names:
        inner = f"{base}.{alias.name}"
        yield inner if inner in known else base


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def wrong_direction(found: list[Import]) -> list[Import]:
    """Imports from a package that the importer's package must not know."""
    wrong = []
    for item in found:
        ours, theirs = item.importer.split(".")[0], item.target.split(".")[0]
        if theirs in MAY_IMPORT and theirs != ours and theirs not in MAY_IMPORT[ours]:
            wrong.append(item)
    return wrong


def strangers(found: list[Import]) -> list[Import]:
    """Imports between readers and miniatures."""
    one, other = STRANGERS
    return [
        item
        for item in found
        if (is_in(item.importer, one) and is_in(item.target, other))
        or (is_in(item.importer, other) and is_in(item.target, one))
    ]


def stray_torch(found: list[Import]) -> list[Import]:
    """Imports of torch outside the modules made for it; `pipelines` may import it inside functions."""
    return [
        item
        for item in found
        if is_in(item.target, "torch")
        and not any(is_in(item.importer, package) for package in MAY_IMPORT_TORCH)
        and not (item.is_lazy and is_in(item.importer, "pipelines"))
    ]


def cycles(found: list[Import], known: dict[str, Path]) -> list[list[str]]:
    """Groups of modules that import one another in a circle, lazily or not."""
    graph: dict[str, set[str]] = {name: set() for name in known}
    for item in found:
        if item.target in graph:
            graph[item.importer].add(item.target)
    circles, done = [], set()
    for start in graph:
        trail: list[str] = []
        stack = [(start, iter(graph[start]))]
        trail.append(start)
        while stack:
            _, followers = stack[-1]
            for follower in followers:
                if follower in trail:
                    circles.append([*trail[trail.index(follower) :], follower])
                elif follower not in done:
                    stack.append((follower, iter(graph[follower])))
                    trail.append(follower)
                    break
            else:
                done.add(trail.pop())
                stack.pop()
    return circles


@pytest.fixture(scope="module")
def ours() -> list[Import]:
    return imports(ROOT)


def test_every_package_is_looked_at(ours: list[Import]) -> None:
    assert {item.importer.split(".")[0] for item in ours} >= set(MAY_IMPORT) - {"benchmark"}
    assert {name.split(".")[0] for name in modules(ROOT)} == set(MAY_IMPORT)


def test_imports_point_one_way(ours: list[Import]) -> None:
    assert wrong_direction(ours) == []


def test_readers_and_miniatures_are_strangers(ours: list[Import]) -> None:
    assert strangers(ours) == []


def test_torch_stays_in_its_rooms(ours: list[Import]) -> None:
    assert stray_torch(ours) == []


def test_no_module_is_in_a_circle(ours: list[Import]) -> None:
    assert cycles(ours, modules(ROOT)) == []


@pytest.fixture
def bad_tree(tmp_path: Path) -> Path:
    """A small tree that breaks each rule once."""
    files = {
        "harmonize/__init__.py": "",
        "harmonize/a.py": "from harmonize import b\nimport torch.nn",
        "harmonize/b.py": "def late():\n    from .a import thing\n    return thing",
        "harmonize/bodies/__init__.py": "import torch",
        "harmonize/readers/__init__.py": "from harmonize.miniatures.world import World",
        "harmonize/miniatures/world.py": "class World: ...",
        "catalogs/store.py": "import harmonize.a\nfrom pipelines import cli",
        "benchmark/rank.py": "from train.loop import step",
        "train/loop.py": "import torch",
        "pipelines/cli.py": "def train():\n    import torch",
        "pipelines/eager.py": "import torch",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_wrong_direction_is_seen(bad_tree: Path) -> None:
    assert {(item.importer, item.target) for item in wrong_direction(imports(bad_tree))} == {
        ("catalogs.store", "pipelines.cli"),
        ("benchmark.rank", "train.loop"),
    }


def test_a_reader_that_knows_a_miniature_is_seen(bad_tree: Path) -> None:
    assert [(item.importer, item.target) for item in strangers(imports(bad_tree))] == [
        ("harmonize.readers", "harmonize.miniatures.world")
    ]


def test_a_stray_torch_is_seen(bad_tree: Path) -> None:
    assert [item.importer for item in stray_torch(imports(bad_tree))] == ["harmonize.a", "pipelines.eager"]


def test_a_circle_is_seen(bad_tree: Path) -> None:
    assert cycles(imports(bad_tree), modules(bad_tree)) == [["harmonize.a", "harmonize.b", "harmonize.a"]]


def modules_after(statement: str) -> set[str]:
    """Top-level names of the modules in memory after a fresh Python has run a statement."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})), file=sys.stderr))\n"
        + statement
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["ingest", "--help"], ["query", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    loaded = modules_after(f"import sys\nsys.argv = ['ehps', *{arguments}]\nfrom pipelines.cli import main\nmain()")
    assert "cyclopts" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_heavy_import_is_seen() -> None:
    assert not modules_after("import duckdb\nfrom pipelines.cli import main").isdisjoint(HEAVY)


# Written so that neither pattern matches its own text.
HOST_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|Users|opt)/[\w.]")
INDEX_HOST = re.compile(r"(?:pypi|pythonhosted|download[.]pytorch|anaconda)[.](?:org|com)|--(?:extra-)?index-url\s")


def tracked_texts() -> dict[str, str]:
    """The text files that git tracks, by path."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    texts = {}
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        content = path.read_bytes() if path.is_file() else b"\0"
        if b"\0" not in content:
            texts[name] = content.decode()
    return texts


def test_no_file_names_this_machine_or_a_package_index() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in tracked_texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if HOST_PATH.search(line) or INDEX_HOST.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("line", ["data = '/HOME/anna/coco'", "pip install --INDEX-url https://x", "see PYPI.org"])
def test_a_host_in_a_file_would_be_seen(line: str) -> None:
    assert HOST_PATH.search(line.lower()) or INDEX_HOST.search(line.lower())
