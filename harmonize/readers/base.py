"""What every reader shares: the contract, root checks, keys, and sub-sampling.

A reader is a small class that turns one work unit of the raw files into `Annotation`s and `Reject`s. It opens
annotation files only through `harmonize.raw` and never opens pictures; writing, hashing, resuming and progress belong
to `harmonize.shards`.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from harmonize.annotation import Annotation, ImageSource, Reject
from harmonize.errors import RawLayoutError, UsageError
from harmonize.record import BodyKind, Provenance

MAX_KEY_CHARS = 90  # KEY.json must fit the 100 bytes of a USTAR member name
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work that can be read alone: a sequence, a scene, a file part.

    id: unique in the split, stable over time. files: annotation files it needs, relative to the raw root.
    num_hint: about how many people it holds (0 when only reading would tell); used to size shards.
    """

    id: str
    files: tuple[str, ...]
    num_hint: int = 0


class Reader(ABC):
    """Base of all readers. Subclasses are plain: class attributes, `units`, `read`."""

    name: str
    version: ClassVar[int]
    licence: ClassVar[str]
    """In a few words, for the provenance of each sample."""
    splits: tuple[str, ...]
    """Splits as named on disk; `form_splits` says otherwise for forms that have others."""
    form_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    forms: ClassVar[tuple[str, ...]] = ("default",)
    """Public annotation forms this reader understands; the first is the default."""
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smplx",)
    """Body models its annotations are made with, and SMPL-X; shards are bound to these models' files, not to others."""

    def __init__(self, root: Path, *, form: str | None = None) -> None:
        self.root = Path(root)
        self.form = self.forms[0] if form is None else form
        if self.form not in self.forms:
            raise UsageError(
                f"{self.name}: unknown annotation form {self.form!r}; expected one of {', '.join(self.forms)}",
                fix=f"ehps datasets {self.name}",
            )
        self.splits = self.form_splits.get(self.form, type(self).splits)
        if not self.root.is_dir():
            raise RawLayoutError(
                f"{self.name}: the raw root {self.root} is not a folder", fix=f"ehps datasets {self.name}"
            )

    @abstractmethod
    def units(self, split: str) -> list[Unit]:
        """The work units of a split, in a stable order.

        Raises:
            RawLayoutError: a file or folder of the official layout is missing; the message names it.
            RawFileError: a file that must be opened to list the units is damaged.
        """

    @abstractmethod
    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        """The people of a unit, in a stable order; those the dataset itself marks as unusable come as `Reject`."""

    def require(self, *relative: str) -> Path:
        """The first of the given paths under the root that exists.

        Raises:
            RawLayoutError: none does; the message lists them.
        """
        for candidate in relative:
            if (self.root / candidate).exists():
                return self.root / candidate
        raise RawLayoutError(
            f"{self.name}: expected {' or '.join(relative)} under {self.root}, found none",
            fix=f"ehps datasets {self.name}",
            dataset=self.name,
            expected=relative,
        )

    def image(self, *candidates: ImageSource) -> ImageSource:
        """The first candidate whose file is under the root: folder, archive or video, as the user keeps them.

        Where there is none, it is the first candidate, so that what is missing has a name.
        """
        for candidate in candidates:
            if (self.root / candidate.path).is_file():
                return candidate
        return candidates[0]

    def check_split(self, split: str) -> None:
        """Raises UsageError when the dataset has no such split."""
        if split not in self.splits:
            raise UsageError(
                f"{self.name}: unknown split {split!r}; expected one of {', '.join(self.splits)}",
                fix=f"ehps ingest {self.name} --split {self.splits[0]} ...",
            )


def make_key(provenance: Provenance) -> str:
    """The sample key: dataset, split, sequence, frame and person in characters that are safe in tar and WebDataset.

    A name that had to be changed or cut ends in eight hex digits of its hash, so different people never share a key.
    """
    parts = (provenance.dataset, provenance.split, provenance.sequence, provenance.frame, provenance.person)
    raw = "/".join(parts)
    key = "-".join(_UNSAFE.sub("_", part) for part in parts if part)
    if key != "-".join(part for part in parts if part) or len(key) > MAX_KEY_CHARS:
        digest = hashlib.sha256(raw.encode()).hexdigest()[:8]
        key = f"{key[: MAX_KEY_CHARS - 9]}-{digest}"
    return key
