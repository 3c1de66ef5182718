"""Where the pictures of a HumanData file lie under the raw root: files keep names of other machines and layouts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from harmonize.annotation import ImageSource
from harmonize.readers.humandata_file import HumanDataFile

TURN_CLOCKWISE = 6  # EXIF code
NUM_LOOKED_FOR = 16
"""Pictures by which the folder is found; a root may hold some of the pictures only."""

_CLOSEUP = "_closeup"


@dataclass(frozen=True, slots=True)
class Pictures:
    """paths: as stored. prefix: what to cut from a path, of the machine that wrote it. folder: what to put in front.
    closeups: BEDLAM's raw folders of close-ups by their name without the word."""

    root: Path
    paths: npt.NDArray[np.str_]
    prefix: str
    folder: str
    closeups: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, file: HumanDataFile, root: Path) -> Pictures:
        """The pictures of a file."""
        picked = np.unique(np.linspace(0, len(file.paths) - 1, NUM_LOOKED_FOR).astype(int))
        paths = [str(file.paths[row]) for row in picked]
        prefix = foreign_prefix(paths, root, file.facts.folder)
        cut = [path.removeprefix(prefix).lstrip("/") for path in paths]
        folder = next(
            (one for one in ("", f"{file.facts.folder}/") if any(_is_file(root / one / path) for path in cut)), ""
        )
        return cls(root, file.paths, prefix, folder, _closeups(root) if file.facts.folder == "BEDLAM" else {})

    def name(self, row: int) -> str:
        """The picture of a row as the file calls it, without what belongs to another machine."""
        return str(self.paths[row]).removeprefix(self.prefix).lstrip("/")

    def image(self, name: str) -> ImageSource:
        """The picture of that name; `..` is left for the path check of whoever opens it."""
        path = self.folder + name
        if self.closeups:
            job, _, rest = name.partition("/")
            if job in self.closeups and not _is_file(self.root / path):
                return ImageSource(path=f"{self.closeups[job]}/{rest}", orientation=TURN_CLOCKWISE)
        return ImageSource(path=path, orientation=1)


def _closeups(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in sorted(root.glob(f"*{_CLOSEUP}*")) + sorted(root.glob(f"*/*{_CLOSEUP}*")):
        if folder.is_dir():
            found.setdefault(folder.name.replace(_CLOSEUP, ""), folder.relative_to(root).as_posix())
    return found


def foreign_prefix(paths: list[str], root: Path, folder: str) -> str:
    """What must be cut from absolute image paths: the part that belongs to the machine that wrote them.

    The longest rest that exists under the root counts; without pictures, what follows the folder that SMPLer-X calls
    the dataset by. Empty when no path is absolute.
    """
    first = next((path for path in paths if path.startswith("/") or path[1:2] == ":"), None)
    if first is None:
        return ""
    parts = PurePosixPath(first).parts
    for start in range(1, len(parts)):
        rest = "/".join(parts[start:])
        if ".." not in parts and first.endswith(rest) and _is_file(root / rest):
            return first.removesuffix(rest)
    if f"/{folder}/" in first:
        return first[: first.index(f"/{folder}/") + len(folder) + 2]
    return parts[0]


def _is_file(path: Path) -> bool:
    # os.path.isfile takes names that no file can have for missing; Path.is_file raises for some.
    return os.path.isfile(path)  # noqa: PTH113
