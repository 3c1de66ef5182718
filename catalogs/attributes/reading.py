"""One family, or columns of the index, over a whole store: what maps, redundancy and other tables are made from.

    read_family(store, "skeleton")              key, dataset, split, shard, joints_m of every sample
    coverage(store, "skeleton").num_missing     shards whose values are still to be made

A shard's values are current here when they were made from today's index, pictures and followed families, and all shards
agree on code and facts. Whether today's code would give them again is what `engine.plan` knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from catalogs.attributes import engine, files
from catalogs.attributes.family import IDENTITY
from harmonize.errors import StoreError, UsageError
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.manifest import Manifest, canonical
from harmonize.shards.names import INDEX, TAR

FEATURES = "features_"
"""How the names of families of image features begin."""

State = Literal["current", "stale", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyShard:
    """What a family has of one shard. folder: of the split; manifest: None where nothing (sound) is there."""

    shard: str
    folder: Path
    num_rows: int
    state: State
    manifest: files.AttributeManifest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How far a family goes over a store."""

    store: Path
    family: str
    shards: tuple[FamilyShard, ...]

    @property
    def num_current(self) -> int:
        """Shards that can be read."""
        return self._num("current")

    @property
    def num_stale(self) -> int:
        """Shards that changed since, or whose values come from other code or facts than most."""
        return self._num("stale")

    @property
    def num_missing(self) -> int:
        """Shards without values."""
        return self._num("missing")

    @property
    def facts(self) -> dict[str, Any]:
        """What the current shards share: backbone, hash of the weights, ...; empty when there are none."""
        return next((dict(one.manifest.facts) for one in self.shards if one.state == "current" and one.manifest), {})

    @property
    def inputs(self) -> dict[str, str]:
        """Hash of each table of values, by `family/shard`: what binds a table that was made from them."""
        return {f"{self.family}/{one.shard}": one.manifest.sha256 for one in self.shards if one.manifest is not None}

    def check(self) -> Coverage:
        """This coverage, when every shard is current.

        Raises:
            UsageError: some are missing or stale; the message counts them and has the command that makes them.
        """
        if self.num_current < len(self.shards):
            first = next(one for one in self.shards if one.state != "current")
            raise UsageError(
                f"{self.store}: expected {self.family} of all {len(self.shards)} shards, found {self.num_missing} "
                f"missing and {self.num_stale} stale (first: {first.shard}); there are: "
                f"{', '.join(families_in(self.store)) or 'no attributes'}",
                fix=describe_command(self.store, self.family),
            )
        return self

    def _num(self, state: State) -> int:
        return sum(one.state == state for one in self.shards)


def describe_command(store: Path | str, family: str) -> str:
    """The command that makes a family."""
    if family.startswith(FEATURES):
        return f"ehps describe {store} --backbone {family.removeprefix(FEATURES)}"
    return f"ehps describe {store} --attributes {family}"


def families_in(store: Path) -> list[str]:
    """The families of which any shard of a store has values."""
    return sorted({path.parent.name for path in Path(store).glob(f"*/*/{files.FOLDER}/*/*{files.MANIFEST}")})


def coverage(store: Path, family: str) -> Coverage:
    """Which shards of a store have values of a family.

    Raises:
        UsageError, StoreError: see `engine.shards_of`.
    """
    shards = [_shard(folder, manifest, family) for folder, manifest in engine.shards_of(store)]
    makers = Counter(_maker(one.manifest) for one in shards if one.state == "current" and one.manifest is not None)
    if len(makers) > 1:
        main = max(sorted(makers), key=makers.__getitem__)
        shards = [_stale_unless(one, main) for one in shards]
    return Coverage(store=Path(store), family=family, shards=tuple(shards))


def read_family(store: Path, family: str, columns: Sequence[str] | None = None) -> Any:
    """One table of a family over a store: key, dataset, split, shard, then its columns (or those asked for).

    Raises:
        UsageError: shards are missing or stale, or the family has no such column.
        StoreError: a file is damaged.
    """
    return pa.concat_tables(parts(coverage(store, family).check(), columns))


def parts(covered: Coverage, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """The tables of `read_family`, shard by shard, for what does not fit in memory at once.

    Raises:
        UsageError: the family has no such column.
        StoreError: a file is damaged, or its rows are not those of the shard.
    """
    wanted = None if columns is None else [*IDENTITY, *(name for name in columns if name not in IDENTITY)]
    for one in covered.shards:
        folder = files.folder_of(one.folder, covered.family)
        table = files.read_attributes(folder, one.shard, wanted)
        absent = sorted(set(wanted or ()) - set(table.column_names))
        if absent:
            known = ", ".join(name for name in files.read_attributes(folder, one.shard).column_names)
            raise UsageError(f"{covered.family}: no column {', '.join(absent)}", fix=f"choose among {known}")
        if table.num_rows != one.num_rows:
            raise files.damaged(folder / one.shard, f"expected {one.num_rows} rows, found {table.num_rows}")
        yield _with_shard(table, one.shard)


def read_index(store: Path, columns: Sequence[str]) -> Any:
    """Columns of the index of every finished shard: key, dataset, split, shard, then those.

    Raises:
        UsageError, StoreError: see `engine.shards_of`; an index is damaged.
    """
    wanted = list(dict.fromkeys([*IDENTITY, *columns]))
    tables = []
    for folder, manifest in engine.shards_of(store):
        shard = manifest.name
        tables.append(_with_shard(read_table(folder / f"{shard}{INDEX}", INDEX_SCHEMA, wanted), shard))
    return pa.concat_tables(tables)


def index_inputs(store: Path) -> dict[str, str]:
    """Hash of the index of every finished shard, by `index/shard`.

    Raises:
        UsageError, StoreError: see `engine.shards_of`.
    """
    return {f"index/{manifest.name}": manifest.files[INDEX].sha256 for _, manifest in engine.shards_of(store)}


def _with_shard(table: Any, shard: str) -> Any:
    names = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), table.num_rows), pa.array([shard]))
    return table.add_column(len(IDENTITY), "shard", names.cast(pa.string()))


def _shard(folder: Path, manifest: Manifest, family: str) -> FamilyShard:
    shard = manifest.name
    place = files.folder_of(folder, family)
    found = _manifest(place, shard)
    state: State = "missing"
    if found is not None:
        is_current = all(_is_today(name, value, folder, shard, manifest) for name, value in found.inputs.items())
        state = "current" if is_current and found.num_rows == manifest.num_samples else "stale"
    return FamilyShard(shard=shard, folder=folder, num_rows=manifest.num_samples, state=state, manifest=found)


def _manifest(place: Path, shard: str) -> files.AttributeManifest | None:
    try:
        found = files.read_manifest(place, shard)
        is_whole = found is not None and (place / f"{shard}{files.TABLE}").stat().st_size == found.size
    except (StoreError, FileNotFoundError):
        return None
    return found if is_whole else None


def _is_today(name: str, value: str, folder: Path, shard: str, manifest: Manifest) -> bool:
    if name in ("index", "tar"):
        return value == manifest.files[INDEX if name == "index" else TAR].sha256
    if name.startswith("attributes/"):
        followed = _manifest(files.folder_of(folder, name.removeprefix("attributes/")), shard)
        return followed is not None and followed.sha256 == value
    return True


def _maker(manifest: files.AttributeManifest) -> tuple[str, bytes]:
    return manifest.code_sha256, canonical(manifest.facts)


def _stale_unless(one: FamilyShard, maker: tuple[str, bytes]) -> FamilyShard:
    if one.state != "current" or one.manifest is None or _maker(one.manifest) == maker:
        return one
    return FamilyShard(shard=one.shard, folder=one.folder, num_rows=one.num_rows, state="stale", manifest=one.manifest)
