"""Training runs as the report on choosing reads them: what a run folder says that it drew, and of which selection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogs.selection import Selection
from harmonize.errors import DataError, UsageError
from train.data.mixture import Realised
from train.run_folder import MIXTURE, RUN, SELECTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was counted up to an update: the sources in the order of the selection's members."""

    epoch: int
    step: int
    sources: tuple[Realised, ...]

    @property
    def num_draws(self) -> int:
        return sum(one.num_draws for one in self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """A run folder. points: in order, the last one is where the run stands; facts: `run.json`, None while the run is
    not finished."""

    name: str
    selection: Selection
    points: tuple[Point, ...]
    facts: Mapping[str, Any] | None

    @property
    def trained_on(self) -> str:
        """Hash of the selection that the run says it was trained on."""
        return self.selection.content_hash if self.facts is None else str(self.facts["selection"])

    @property
    def last(self) -> Point:
        return self.points[-1]


def load_run(folder: Path) -> TrainingRun:
    """Read a run folder.

    Raises:
        UsageError: it is none, or nothing was drawn yet.
        DataError: a file of it is damaged, or its selection is not that of its `run.json`.
    """
    if not (folder / SELECTION).is_file():
        raise UsageError(f"{folder}: expected a run folder with {SELECTION}, found none", fix="ehps train ... -o RUN")
    selection = Selection.load(folder / SELECTION)
    # A writer that was killed leaves an interval without its last sources.
    points = tuple(one for one in read_points(folder / MIXTURE) if len(one.sources) == len(selection.members))
    if not points:
        raise UsageError(f"{folder}: nothing was drawn yet", fix="wait for the first interval of the run")
    facts = _document(folder / RUN) if (folder / RUN).is_file() else None
    if facts is not None and facts.get("selection") != selection.content_hash:
        raise DataError(
            f"{folder / SELECTION}: expected the selection {str(facts.get('selection'))[:12]} that {RUN} names, found "
            f"{selection.content_hash[:12]}",
            fix="put back the selection that the run was trained on",
        )
    return TrainingRun(name=str(folder), selection=selection, points=points, facts=facts)


def read_points(log: Path) -> tuple[Point, ...]:
    """The intervals of a `mixture.jsonl`, a line that was cut off at its end left out.

    Raises:
        UsageError: there is none.
        DataError: a line is not what `train.data.mixture` writes.
    """
    try:
        text = log.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{log}: cannot be read: {error.strerror}", fix="give the folder of a run: --run") from error
    sources: dict[tuple[int, int], list[Realised]] = {}
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            break
        try:
            values = json.loads(line)
            place = int(values.pop("epoch")), int(values.pop("step"))
            sources.setdefault(place, []).append(Realised(**values))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{log}: line {number}: expected what was drawn of a source, found {error}") from error
    return tuple(Point(epoch=epoch, step=step, sources=tuple(found)) for (epoch, step), found in sources.items())


def drift(point: Point) -> float:
    """Total variation distance of what was drawn from what was asked for, 0 to 1."""
    total = sum(one.num_draws for one in point.sources)
    return sum(abs(one.num_draws - one.requested) for one in point.sources) / (2 * total) if total else 0.0


def changed_shards(run: TrainingRun, shards: Sequence[tuple[str, str]]) -> list[str]:
    """The shards of the run's selection that a store, whose shards and digests are given, lacks or has otherwise."""
    known = dict(shards)
    return [ref.shard for ref in run.selection.shards if known.get(ref.shard) != ref.digest]


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found["recipe"], dict) or not isinstance(found["selection"], str):
            raise ValueError("recipe or selection of another kind")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: expected what a finished run says, found {error!r}", path=path) from error
    return dict(found)
