"""HDF5 files looked into by name, sound and hostile."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from harmonize.errors import RawFileError
from harmonize.raw.hdf5_tree import MAX_ATTRIBUTE_BYTES, open_hdf5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.smc"
    with h5py.File(path, "w") as file:
        file.attrs["gender"] = "female"
        file.attrs["fixed"] = np.bytes_("male")
        file.attrs["words"] = ["a", "b"]
        group = file.create_group("SMPLx")
        group.attrs["resolution"] = np.array([4096, 3000])
        group["betas"] = np.arange(10.0)
        group["scale"] = 0.9
        group["zipped"] = np.zeros(3, np.float32)
        group.create_dataset("deflated", data=np.zeros((50, 50)), compression="gzip")
        file.create_group("cameras/01")
        file.create_group("cameras/00")
    return path


def test_what_is_asked_for_is_read(path: Path) -> None:
    with open_hdf5(path) as tree:
        assert tree.names("cameras") == ("00", "01")
        assert tree.names("nothing") == tree.names("SMPLx/betas") == ()
        np.testing.assert_array_equal(tree.array("SMPLx/betas"), np.arange(10))
        assert tree.array("SMPLx/scale") == 0.9
        assert tree.array("SMPLx/deflated") is not None
        assert tree.array("SMPLx/nothing") is None
        assert tree.array("SMPLx") is None
        assert tree.array("SMPLx/betas/deeper") is None
        assert tree.attribute("", "gender") == "female"
        assert tree.attribute("", "fixed") == "male"
        assert tree.attribute("", "words") == ""
        assert tree.attribute("", "nothing") is None
        assert tree.attribute("nothing", "gender") is None
        np.testing.assert_array_equal(tree.attribute("SMPLx", "resolution"), [4096, 3000])


def test_links_lead_nowhere(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "secret.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.ones(3)
    with h5py.File(path, "a") as file:
        file["soft"] = h5py.SoftLink("/SMPLx")
        file["outside"] = h5py.ExternalLink(str(other), "x")
        np.ones(3).tofile(tmp_path / "raw.bin")
        file.create_dataset("external", (3,), "f8", external=[(str(tmp_path / "raw.bin"), 0, 24)])
    with open_hdf5(path) as tree:
        for name in ("soft/betas", "outside"):
            with pytest.raises(RawFileError, match=r"a\.smc.*a link to another place"):
                tree.array(name)
        with pytest.raises(RawFileError, match="data outside the file"):
            tree.array("external")


def test_false_sizes_and_foreign_types_are_refused(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.create_dataset("huge", (1 << 40,), "f8", chunks=(1024,))
        file["text"] = "words"
        file["void"] = h5py.Empty("f8")
        file.attrs.create("long", np.zeros(MAX_ATTRIBUTE_BYTES // 8 - 100))
        file.attrs["reference"] = file.ref
    with open_hdf5(path) as tree:
        for name in ("huge", "text", "void"):
            with pytest.raises(RawFileError, match=rf"a\.smc.*'?{name}"):
                tree.array(name)
        assert tree.attribute("", "long") is not None
        with pytest.raises(RawFileError, match="reference"):
            tree.attribute("", "reference")


def test_a_damaged_file_is_one_error(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for data in (whole[:100], b"\x89HDF\r\n\x1a\n" + bytes(1000), b"<html>", b""):
        path.write_bytes(data)
        with pytest.raises(RawFileError, match=r"a\.smc"), open_hdf5(path) as tree:
            tree.array("SMPLx/betas")
    with pytest.raises(RawFileError, match=r"none\.smc"), open_hdf5(tmp_path / "none.smc"):
        pass
