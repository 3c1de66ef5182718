"""The file of `ehps ingest all`: which datasets lie where, and how each is to be taken in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harmonize.errors import UsageError

HELP = "see `ehps ingest --help` and docs/ingest-all.md"


class HowTo(BaseModel):
    """Options of a dataset, or of all; names and meaning are those of `ehps ingest`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: Literal["crop", "full", "none"] = "crop"
    context: float = 1.5
    every: int = 1
    body_mode: Literal["fit", "copy"] = "fit"
    max_rejects: float = 0.05
    limit: int = 0


class DatasetEntry(HowTo):
    """One dataset. split: one split; default all of the form."""

    raw: Path
    form: str | None = None
    split: str | None = None


class IngestConfig(BaseModel):
    """store, body_models: as the options of `ehps ingest`. Paths are relative to the file's own folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: Path
    body_models: str | None = None
    defaults: dict[str, Any] = Field(default_factory=dict)
    datasets: dict[str, dict[str, Any]]

    def entries(self) -> dict[str, DatasetEntry]:
        """The datasets, each with the defaults that it does not set itself."""
        return {name: DatasetEntry(**{**self.defaults, **entry}) for name, entry in self.datasets.items()}


def load_config(path: Path) -> tuple[IngestConfig, dict[str, DatasetEntry]]:
    """The file, with paths made absolute, and its datasets.

    Raises:
        UsageError: it is missing, no YAML, or holds something else; the message names the key.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read: {error}", fix=HELP) from error
    try:
        config = IngestConfig.model_validate(given)
        entries = config.entries()
    except (ValidationError, TypeError) as error:
        raise UsageError(f"{path}: {_first_problem(error)}", fix=HELP) from error
    folder = path.absolute().parent
    config = config.model_copy(update={"store": folder / config.store.expanduser()})
    return config, {
        name: entry.model_copy(update={"raw": folder / entry.raw.expanduser()}) for name, entry in entries.items()
    }


def _first_problem(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
