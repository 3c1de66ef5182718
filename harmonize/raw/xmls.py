"""XML, as plain trees: no document types, hence no entities that grow or lead to other files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from xml.etree.ElementTree import Element, iterparse

from harmonize.raw.guard import Refused, one_error
from harmonize.raw.paths import checked_size

MAX_XML_BYTES = 1 << 26
MAX_DEPTH = 100


def load_xml(path: Path, *, max_bytes: int = MAX_XML_BYTES) -> Element:
    """The root element of an XML file in UTF-8.

    Raises:
        RawFileError: the file is missing, larger than `max_bytes`, truncated, no XML, declares a document type, or is
            nested deeper than MAX_DEPTH.
    """
    path = Path(path)
    checked_size(path, max_bytes)
    data = path.read_bytes()
    with one_error(path, "XML"):
        if b"\0" in data or b"<!DOCTYPE" in data:
            raise Refused("a document type, or another encoding than UTF-8")
        depth = 0
        root: Element | None = None
        for event, element in iterparse(BytesIO(data), events=("start", "end")):
            depth += 1 if event == "start" else -1
            root = element if root is None else root
            if depth > MAX_DEPTH:
                raise Refused(f"elements nested deeper than {MAX_DEPTH}")
        if root is None:
            raise Refused("no element")
        return root
