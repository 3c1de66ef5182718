"""XML trees, and documents that would grow or lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmonize.errors import RawFileError
from harmonize.raw.xmls import load_xml


def test_a_tree(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text('<?xml version="1.0" encoding="utf-8"?>\n<a><w0>[1 2]</w0></a>')
    assert load_xml(path).findtext("w0") == "[1 2]"


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><a>&c;</a>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "<a>" * 200 + "</a>" * 200,
        "<a><w0>[1",
        "not XML",
    ],
)
def test_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(RawFileError, match=r"a\.xml: expected XML"):
        load_xml(path)


def test_an_encoding_that_hides_a_document_type(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes("<!DOCTYPE a><a/>".encode("utf-16"))
    with pytest.raises(RawFileError, match="document type"):
        load_xml(path)
