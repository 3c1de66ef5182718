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
from harmonize.readers import HUMANDATA, READERS, Reader, forms_of, open_reader, reader_class, splits_of
from harmonize.readers.humandata import HumanData
from harmonize.readers.humandata_sets import SETS

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
    assert modules.pop(HUMANDATA) == HumanData.__name__
    assert list(READERS) == sorted(modules)
    assert len(READERS) == 33
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
    assert "unverified" in text


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


def test_every_dataset_has_humandata_as_its_last_form(tmp_path: Path) -> None:
    assert list(SETS) == list(READERS)
    for name, cls in READERS.items():
        assert forms_of(name) == (*cls.forms, HUMANDATA)
        assert splits_of(name, HUMANDATA) == SETS[name].splits
        reader = open_reader(name, tmp_path, HUMANDATA)
        assert isinstance(reader, HumanData)
        assert (reader.name, reader.form, reader.splits) == (name, HUMANDATA, SETS[name].splits)
        assert "smplx" in reader.body_kinds


@pytest.mark.parametrize(("name", "form"), [(name, form) for name in sorted(READERS) for form in forms_of(name)])
def test_bad_requests_are_one_clear_error(name: str, form: str, tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=rf"{name}: the raw root .*missing is not a folder"):
        open_reader(name, tmp_path / "missing", form)
    with pytest.raises(UsageError, match="unknown annotation form"):
        open_reader(name, tmp_path, "excel")
    with pytest.raises(UsageError, match="unknown annotation form"):
        splits_of(name, "excel")
    with pytest.raises(UsageError, match="unknown split"):
        open_reader(name, tmp_path, form).units("holdout")
    for split in splits_of(name, form):
        with pytest.raises(RawLayoutError, match=f"{name}: expected .* under"):
            open_reader(name, tmp_path, form).units(split)
