"""Names that come out of raw files must stay under the raw root."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harmonize.errors import RawFileError
from harmonize.raw.paths import checked_size, safe_join, sha256_file


@pytest.mark.parametrize("name", ["a.jpg", "images/a.jpg", "a/./b.png", "with space/ü.jpg", "..a/b..", "not/there.jpg"])
def test_plain_names_are_joined(tmp_path: Path, name: str) -> None:
    assert safe_join(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../a",
        "a/../../b",
        "a/..",
        "/etc/passwd",
        "//host/share",
        "C:\\a",
        "c:a",
        "..\\a",
        "\\a",
        "a\0b",
        "x" * 256,
        "\ud800.jpg",
    ],
)
def test_names_that_lead_out_are_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(RawFileError, match="fix: ") as caught:
        safe_join(tmp_path, name)
    assert caught.value.fields["name"] == name
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("x")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    for name in ("link/secret", "file", "link"):
        with pytest.raises(RawFileError, match="not a link to"):
            safe_join(root, name)


def test_a_link_inside_the_root_and_a_linked_root_are_fine(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "images").mkdir(parents=True)
    (root / "same").symlink_to(root / "images")
    assert safe_join(root, "same/a.jpg") == root / "same/a.jpg"
    (tmp_path / "alias").symlink_to(root)
    assert safe_join(tmp_path / "alias", "images/a.jpg") == tmp_path / "alias/images/a.jpg"


def test_links_may_lead_into_folders_that_the_user_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, disk, other = tmp_path / "root", tmp_path / "disk", tmp_path / "other"
    for folder in (root, disk, other):
        folder.mkdir()
    (root / "images").symlink_to(disk)
    (root / "secrets").symlink_to(other)
    monkeypatch.setenv("EHPS_LINKED_DATA", str(disk))
    assert safe_join(root, "images/1.jpg") == root / "images/1.jpg"
    with pytest.raises(RawFileError, match="not a link to"):
        safe_join(root, "secrets/1.jpg")


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(RawFileError):
        safe_join(tmp_path, "a/x.jpg")


def test_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_size_is_checked_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"1234")
    assert checked_size(path, 4) == 4
    with pytest.raises(RawFileError, match="at most 3 bytes, found 4"):
        checked_size(path, 3)
    path.write_bytes(b"")
    with pytest.raises(RawFileError, match="empty"):
        checked_size(path, 4)
    with pytest.raises(RawFileError, match="regular file"):
        checked_size(tmp_path, 1 << 40)
    with pytest.raises(RawFileError, match="cannot be opened"):
        checked_size(tmp_path / "none", 4)
