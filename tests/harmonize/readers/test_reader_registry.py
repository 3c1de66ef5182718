"""The registry and what every reader must state about itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harmonize.readers
from harmonize.errors import RawLayoutError, UnknownDatasetError, UsageError
from harmonize.readers import READERS, Reader, reader_class

FOLDER = Path(harmonize.readers.__file__).parent
HEADER = ("Citation", "Licence", "Access", "Counts", "Frame", "Units", "Hands", "Gender", "Labels", "Known defects")


def _modules_with_readers() -> dict[str, str]:
    """Reader name -> module, by parsing the sources: what the registry must hold."""
    found = {}
    for path in FOLDER.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Reader" for base in node.bases):
                found[path.stem] = node.name
    return found


def test_registry_holds_every_reader_sorted() -> None:
    modules = _modules_with_readers()
    assert list(READERS) == sorted(modules)
    for name, cls in READERS.items():
        assert issubclass(cls, Reader)
        assert cls.name == name
        assert cls.__module__ == f"harmonize.readers.{name}"
        assert cls.__name__ == modules[name]
        assert cls.version >= 1
        assert cls.splits
        assert cls.forms


@pytest.mark.parametrize("name", sorted(READERS))
def test_module_docstring_states_the_facts(name: str) -> None:
    text = sys.modules[READERS[name].__module__].__doc__ or ""
    for field in HEADER:
        assert re.search(rf"^{field}\b[^:\n]*:", text, re.MULTILINE), f"{name}: no {field}"
    assert re.search(r"\bBetas:", text)
    assert "unverified" in text or name == "humandata"


def test_import_is_light() -> None:
    code = (
        "import sys, harmonize.readers; "
        "print([m for m in ('torch', 'scipy', 'pandas', 'ijson', 'h5py', 'smplx', 'prefect') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_readers_import_no_miniatures() -> None:
    for path in FOLDER.glob("*.py"):
        assert "harmonize.miniatures" not in path.read_text(), path.name


def test_unknown_dataset_names_the_known_ones() -> None:
    with pytest.raises(UnknownDatasetError, match=r"'cocoo'.*mscoco"):
        reader_class("cocoo")
    assert reader_class("mscoco") is READERS["mscoco"]


@pytest.mark.parametrize("name", sorted(READERS))
def test_bad_requests_are_one_clear_error(name: str, tmp_path: Path) -> None:
    cls = READERS[name]
    with pytest.raises(RawLayoutError, match=rf"{name}: the raw root .*missing is not a folder"):
        cls(tmp_path / "missing")
    with pytest.raises(UsageError, match="unknown annotation form"):
        cls(tmp_path, form="excel")
    with pytest.raises(UsageError, match="unknown split"):
        cls(tmp_path).units("holdout")
    with pytest.raises(RawLayoutError, match=f"{name}: expected .* under"):
        cls(tmp_path).units(cls.splits[0])
