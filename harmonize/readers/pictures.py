"""Which pictures are at hand: by name, without opening any."""

from __future__ import annotations

from pathlib import Path


def names_in(folder: Path) -> frozenset[str] | None:
    """The names in a folder of pictures; None where there is no such folder, as when annotations are read alone.

    Some releases lack pictures of annotated frames. Where the folder is there, its readers reject such people by name;
    where it is not, nothing is known about pictures.
    """
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else None
