"""What `ehps adapt` does: people of a store or of other projects' files, adapted in batches, and what is written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.evaluation import Evaluation, evaluate
from benchmark.protocols import protocol
from benchmark.truths import choose
from catalogs import store as catalog
from harmonize.bodies import BodyModels
from harmonize.errors import DataError, UsageError
from harmonize.shards.read import open_store
from harmonize.whole import whole_file, write_whole
from pipelines.adapted_pictures import draw_people
from pipelines.evaluate_checkpoint import prediction_batch
from pipelines.progress import Meter

if TYPE_CHECKING:
    from train.adapting import AdaptedPeople, Adapter, AdaptSettings
    from train.building import Networks
    from train.data.crops import CropSize
    from train.data.detections import Detected, Refused
    from train.data.sightings import BoxSource, Sighting
    from train.predictions import Predicted

BEFORE, AFTER, PEOPLE, SUMMARY = "before.parquet", "after.parquet", "people.parquet", "summary.json"
NUM_OVERLAYS = 12
_COUNTS = ("steps", "best_step", "num_points")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """What an adaptation came to. refused: people left out, by reason. figures: means over people of
    `train.adapting.AdaptedPeople.figures` (None where nobody has one). share_fell: of people whose inner loss fell.
    benchmark: primary errors before and after, and the share of instances made worse, None without a benchmark."""

    num_people: int
    refused: Mapping[str, int]
    figures: Mapping[str, float | None]
    share_fell: float
    is_standin: bool
    benchmark: Mapping[str, Any] | None = None

    def rows(self) -> list[dict[str, Any]]:
        """The table: one row a figure, before and after."""
        names = {
            "inner loss": "loss",
            "2D error, px": "error_px",
            "2D error, half boxes of the part": "error_part",
        }
        rows: list[dict[str, Any]] = [
            {"mean": title, "before": self.figures[f"{name}_before"], "after": self.figures[f"{name}_after"]}
            for title, name in names.items()
        ]
        if self.benchmark is not None:
            title = f"{self.benchmark['name']} {self.benchmark['primary']}, mm"
            rows.append({"mean": title, "before": self.benchmark["before_mm"], "after": self.benchmark["after_mm"]})
        return rows

    def line(self) -> str:
        """The rest in words."""
        text = (
            f"{self.num_people:,} people: the inner loss fell for {self.share_fell:.0%}; joints moved "
            f"{self.figures['movement_mm']:.1f} mm in {self.figures['steps']:.1f} steps on average"
        )
        if self.benchmark is not None:
            text += f"; {self.benchmark['share_worse']:.0%} of {self.benchmark['num_instances']:,} instances got worse"
        if self.refused:
            reasons = ", ".join(f"{num:,} {reason}" for reason, num in self.refused.items())
            text += f"; left out: {reasons} ({PEOPLE})"
        return text


def models_for(networks: Networks, spec: str | None) -> BodyModels:
    """Body models of the kind that networks were trained with, by default; else those that `spec` names."""
    return BodyModels.open_like(networks.is_standin, spec)


def adapt_store(
    networks: Networks,
    store: Path,
    keys: Sequence[str],
    out: Path,
    *,
    models: BodyModels,
    settings: AdaptSettings | None = None,
    boxes: BoxSource = "keypoints",
    benchmark: str | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    overlays: Path | None = None,
    num_overlays: int = NUM_OVERLAYS,
) -> Adaptation:
    """Adapt networks to samples of a store by their annotated and detected 2D points; see `adapt_people`.

    benchmark: measures before and after by its protocol; its samples must be among the keys.

    Raises:
        UsageError: no such samples or benchmark. DataError: samples of the benchmark could not be adapted.
        StoreError: the store is damaged.
    """
    opened = open_store(store)
    chosen = None if benchmark is None else choose(opened, protocol(benchmark))

    def people(size: CropSize) -> Iterator[Sighting | Refused]:
        from train.data.sightings import sight_stored

        return (sight_stored(opened.sample(key), size, boxes) for key in dict.fromkeys(keys))

    adapter = _adapter(networks, models, settings, device)
    num = len(set(keys))
    found = _Found.of(
        adapter, people(adapter.size), num, batch_size=batch_size, overlays=overlays, num_overlays=num_overlays
    )
    summary = found.write(out)
    if benchmark is None or chosen is None:
        return summary
    if lacking := sorted(chosen.wanted - {key for one in found.after for key in one.keys}):
        raise DataError(
            f"{benchmark}: expected all of its samples, found {len(lacking)} that were left out, {lacking[0]} first",
            fix="--boxes stored takes people without points too, unchanged",
        )
    summary = replace(summary, benchmark=_measured(store, benchmark, found.before, found.after, models))
    _write_summary(summary, out)
    return summary


def adapt_pictures(
    networks: Networks,
    detected: Iterable[Detected | Refused],
    pictures: Path,
    out: Path,
    *,
    models: BodyModels,
    settings: AdaptSettings | None = None,
    focal_px: float | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    overlays: Path | None = None,
    num_overlays: int = NUM_OVERLAYS,
) -> Adaptation:
    """Adapt networks to people of `train.data.detections`, in pictures under a folder.

    focal_px: of all pictures' camera; None: each picture's diagonal.

    Raises:
        UsageError: `pictures` is no folder, or focal_px no length. RawFileError: the file of points is damaged.
        DataError: nobody could be adapted.
    """
    if not pictures.is_dir():
        raise UsageError(f"{pictures}: expected a folder of pictures", fix="--pictures DIR")
    if focal_px is not None and not 0 < focal_px < float("inf"):
        raise UsageError(f"--focal-px: expected a positive length, found {focal_px}")

    def people(size: CropSize) -> Iterator[Sighting | Refused]:
        from train.data.detections import Refused
        from train.data.sightings import sight

        seen: set[str] = set()
        for one in detected:
            if isinstance(one, Refused):
                yield one
            elif one.key in seen:
                detail = "another person of the file has the same picture's name and number"
                yield Refused(key=one.key, picture=one.picture, person=one.person, reason="twice", detail=detail)
            else:
                seen.add(one.key)
                yield sight(one, pictures, size, focal_px)

    adapter = _adapter(networks, models, settings, device)
    found = _Found.of(
        adapter, people(adapter.size), 0, batch_size=batch_size, overlays=overlays, num_overlays=num_overlays
    )
    return found.write(out)


def chosen_keys(store: Path, *, split: str | None, keys: Path | None, where: str | None) -> list[str]:
    """Keys of a store, sorted: of a split `dataset/split`, of a file with one a line, or by a condition in SQL; all of
    them by default.

    Raises:
        UsageError: more than one way is given, it names nothing, or the file cannot be read.
    """
    if sum(one is not None for one in (split, keys, where)) > 1:
        raise UsageError("adapt: expected one of --split, --keys and --where, found several")
    if keys is not None:
        try:
            found = [line.strip() for line in keys.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{keys}: expected a text file with a key a line: {error}", fix="--keys FILE") from error
        if not found:
            raise UsageError(f"{keys}: expected a key a line, found none")
        return found
    condition, values = where or "true", {}
    if split is not None:
        dataset, slash, name = split.partition("/")
        if not (dataset and slash and name):
            raise UsageError(f"--split: expected DATASET/SPLIT, found {split}", fix="--split ehf/test")
        condition, values = "dataset = $dataset AND split = $split", {"dataset": dataset, "split": name}
    with catalog.open(store) as con:
        rows = catalog.query(con, f"SELECT key FROM samples WHERE ({condition}\n) ORDER BY key", values).rows
    if not rows:
        raise UsageError(f"{store}: no sample fulfils: {split or condition}", fix=f"ehps query {store} @datasets")
    return [str(row[0]) for row in rows]


def benchmark_keys(store: Path, name: str) -> list[str]:
    """Keys of the samples that a benchmark measures."""
    return sorted(choose(open_store(store), protocol(name)).wanted)


def _adapter(networks: Networks, models: BodyModels, settings: AdaptSettings | None, device: str) -> Adapter:
    from train.adapting import Adapter, AdaptSettings

    return Adapter.of(networks, models, settings or AdaptSettings(), device=device)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Everything about everybody, in the order of the input."""

    before: list[Predicted]
    after: list[Predicted]
    rows: list[dict[str, Any]]
    is_standin: bool

    @classmethod
    def of(
        cls,
        adapter: Adapter,
        people: Iterator[Sighting | Refused],
        num: int,
        *,
        batch_size: int,
        overlays: Path | None,
        num_overlays: int,
    ) -> _Found:
        from train.adapting import adapted
        from train.data.detections import Refused

        self = cls(before=[], after=[], rows=[], is_standin=adapter.models.is_standin)
        left = 0 if overlays is None else num_overlays
        with Meter("adapt", num, "people") as meter:
            for found, some in adapted(adapter, people, batch_size=batch_size):
                rows = iter(() if found is None else _rows(found))
                self.rows.extend(_refused_row(one) if isinstance(one, Refused) else next(rows) for one in some)
                if found is not None:
                    self.before.append(found.before)
                    self.after.append(found.after)
                    if overlays is not None and left > 0:
                        left -= len(draw_people(found, range(min(left, len(found.people))), overlays, adapter.models))
                meter.add(len(some))
        return self

    def write(self, out: Path) -> Adaptation:
        """The files of `out`, and what they come to."""
        from train.predictions import write_predictions

        refused = Counter(row["problem"] for row in self.rows if row["problem"])
        try:
            out.mkdir(parents=True, exist_ok=True)
            _write_people(out / PEOPLE, self.rows)
            if not self.after:
                reasons = ", ".join(f"{num} {reason}" for reason, num in refused.items()) or "there is nobody"
                raise DataError(f"adapt: expected people to adapt to, found none: {reasons}", fix=f"see {out / PEOPLE}")
            write_predictions(out / BEFORE, iter(self.before))
            write_predictions(out / AFTER, iter(self.after))
        except OSError as error:
            raise UsageError(f"{out}: cannot be written: {error}", fix="-o another folder") from error
        taken = [row for row in self.rows if not row["problem"]]
        summary = Adaptation(
            num_people=len(taken),
            refused=dict(sorted(refused.items())),
            figures={name: _mean(row[name] for row in taken) for name in _FIGURES},
            share_fell=float(np.mean([_fell(row) for row in taken])),
            is_standin=self.is_standin,
        )
        _write_summary(summary, out)
        return summary


_FIGURES = (
    *("loss_before", "loss_after", "steps", "best_step", "movement_mm", "num_points"),
    *("error_px_before", "error_px_after", "error_part_before", "error_part_after"),
)


def _rows(found: AdaptedPeople) -> list[dict[str, Any]]:
    rows = []
    for at, one in enumerate(found.people):
        row: dict[str, Any] = {
            "key": one.key,
            "picture": one.picture,
            "person": one.person,
            "problem": "",
            "detail": "",
        }
        row |= {"has_intrinsics": one.is_camera_known, "focal_px": float(one.camera.focal_px.mean())}
        for name in _FIGURES:
            value = float(found.figures[name][at])
            row[name] = None if not np.isfinite(value) else int(value) if name in _COUNTS else value
        rows.append(row)
    return rows


def _refused_row(one: Refused) -> dict[str, Any]:
    row = {"key": one.key, "picture": one.picture, "person": one.person, "problem": one.reason, "detail": one.detail}
    return row | dict.fromkeys(("has_intrinsics", "focal_px", *_FIGURES))


def _write_people(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ("key", "picture", "person", "problem", "detail")
    kinds = dict.fromkeys(texts, pa.string()) | {"has_intrinsics": pa.bool_(), "focal_px": pa.float64()}
    kinds |= {name: pa.int64() if name in _COUNTS else pa.float64() for name in _FIGURES}
    columns = {name: [row[name] for row in rows] for name in kinds}
    for name in texts:  # foreign text may hold halves of characters, which no file takes
        columns[name] = [value.encode("utf-8", "backslashreplace").decode() for value in columns[name]]
    with whole_file(path) as partial:
        pq.write_table(pa.table(columns, schema=pa.schema(list(kinds.items()))), partial)


def _write_summary(summary: Adaptation, out: Path) -> None:
    write_whole(out / SUMMARY, (json.dumps(asdict(summary), indent=2, sort_keys=True) + "\n").encode())


def _measured(
    store: Path, name: str, before: Sequence[Predicted], after: Sequence[Predicted], models: BodyModels
) -> dict[str, Any]:
    of = protocol(name)

    def measure(predicted: Sequence[Predicted]) -> Evaluation:
        every = frozenset(key for one in predicted for key in one.keys)
        return evaluate(store, of, map(prediction_batch, predicted), models, num_draws=0, also_allowed=every)

    both = measure(before), measure(after)
    primary = both[0].summary.primary
    errors = [np.array(one.errors.column(f"{primary}_mm").to_pylist(), float) for one in both]
    has_error = np.isfinite(errors[0])
    means = [one.summary.figure(primary).mean_mm for one in both]
    return {
        "name": name,
        "primary": primary,
        "before_mm": means[0],
        "after_mm": means[1],
        "num_instances": int(has_error.sum()),
        "share_worse": float((errors[1] > errors[0])[has_error].mean()) if has_error.any() else 0.0,
    }


def _fell(row: Mapping[str, Any]) -> bool:
    before, after = row["loss_before"], row["loss_after"]
    return before is not None and after is not None and after < before


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
