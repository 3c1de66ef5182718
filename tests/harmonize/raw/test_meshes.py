"""PLY and OBJ: every kind of file gives the same vertices; what is cut, false or endless is refused."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from harmonize.errors import RawFileError
from harmonize.raw.meshes import load_obj_vertices, load_ply_vertices

VERTICES = np.array([[0, 0.5, -1], [1e-3, 2, 3], [4, 5, 6.25]])
FACES = [[0, 1, 2], [2, 1, 0]]


def ply(form: str, *, faces_first: bool = False, kind: str = "float") -> bytes:
    """Vertices with a colour between y and z, so that offsets count."""
    vertex = [
        "element vertex 3",
        f"property {kind} x",
        f"property {kind} y",
        "property uchar red",
        f"property {kind} z",
    ]
    face = ["element face 2", "property list uchar int vertex_indices"]
    header = ["ply", f"format {form} 1.0", "comment made by hand", *(face + vertex if faces_first else vertex + face)]
    start = "\n".join([*header, "end_header", ""]).encode()
    if form == "ascii":
        rows = [f"{x} {y} 7 {z}\n" for x, y, z in VERTICES.tolist()]
        lists = [f"3 {' '.join(map(str, face))}\n" for face in FACES]
        return start + "".join(lists + rows if faces_first else rows + lists).encode()
    order = "<" if form == "binary_little_endian" else ">"
    code = "f" if kind == "float" else "d"
    points = b"".join(struct.pack(f"{order}{code * 2}B{code}", x, y, 7, z) for x, y, z in VERTICES.tolist())
    lists = b"".join(struct.pack(f"{order}B3i", 3, *face) for face in FACES)
    return start + (lists + points if faces_first else points + lists)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("faces_first", [False, True])
@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_every_form_of_ply_gives_the_vertices(tmp_path: Path, form: str, faces_first: bool, kind: str) -> None:
    found = load_ply_vertices(write(tmp_path / "a.ply", ply(form, faces_first=faces_first, kind=kind)))
    np.testing.assert_allclose(found, VERTICES, rtol=1e-6)
    assert found.dtype == np.float64


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
def test_ply_cut_anywhere_is_one_error(tmp_path: Path, form: str) -> None:
    whole = ply(form)
    for end in range(len(whole)):
        with pytest.raises(RawFileError, match=r"a\.ply"):
            load_ply_vertices(write(tmp_path / "a.ply", whole[:end]))
    with pytest.raises(RawFileError, match=r"a\.ply"):
        load_ply_vertices(write(tmp_path / "a.ply", whole + b"1 2 3\n"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"element vertex 3", b"element vertex 4000000000"),
        (b"element vertex 3", b"element vertex -1"),
        (b"element face 2", b"element face 4000000000"),
        (b"element face 2", b"element vertex 2"),
        (b"element vertex", b"element points"),
        (b"property float x", b"property float w"),
        (b"property float x", b"property float y"),
        (b"property float x", b"property list uchar float x"),
        (b"property float x", b"property quad x"),
        (b"list uchar int", b"list float int"),
        (b"1.0\ncomment", b"2.0\ncomment"),
        (b"format", b"farmat"),
        (b"comment", b"command"),
        (b"ply\n", b"plx\n"),
    ],
)
def test_false_headers_are_one_error_without_the_memory_they_ask_for(tmp_path: Path, old: bytes, new: bytes) -> None:
    for form in ("ascii", "binary_little_endian"):
        path = write(tmp_path / "a.ply", ply(form).replace(old, new, 1))
        tracemalloc.start()
        with pytest.raises(RawFileError, match=r"a\.ply"):
            load_ply_vertices(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


def test_negative_lists_are_refused(tmp_path: Path) -> None:
    header = b"ply\nformat binary_little_endian 1.0\nelement face 2\nproperty list int int i\nend_header\n"
    data = header + struct.pack("<2i", 1, 5) + struct.pack("<i", -3)
    with pytest.raises(RawFileError, match="over the end"):
        load_ply_vertices(write(tmp_path / "a.ply", data))


def test_obj(tmp_path: Path) -> None:
    text = (
        "# made by hand\nmtllib x.mtl\nv 0 0.5 -1\nv 0.001 2 3 1 0 0\nvn 0 0 1\nvt 0 0\nv 4 5 6.25\nf 1//1 2//1 3//1\n"
    )
    np.testing.assert_allclose(load_obj_vertices(write(tmp_path / "a.obj", text.encode())), VERTICES)


@pytest.mark.parametrize("text", ["", "v 1 2 3", "v 1 2\n", "v 1 2 x\n", "vn 1 2 3\n", "v 1 2 3\nf 1 2", "\0\n"])
def test_other_obj_files_are_one_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(RawFileError, match=r"a\.obj"):
        load_obj_vertices(write(tmp_path / "a.obj", text.encode()))


def test_large_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RawFileError, match="at most"):
        load_ply_vertices(write(tmp_path / "a.ply", ply("ascii")), max_bytes=50)
    with pytest.raises(RawFileError, match="at most"):
        load_obj_vertices(write(tmp_path / "a.obj", b"v 1 2 3\n" * 20), max_bytes=50)
