"""One store in a catalog: which of its shards are taken from the catalog file, and which from their own files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from catalogs import file, parquet
from catalogs.recorded import Recorded, load
from catalogs.shard_facts import ShardFacts, current_families, facts_of, makers
from catalogs.stamps import NOTHING, scan

MANY_SHARDS = 200
"""From so many shards that the catalog file lacks, a question takes seconds: the answer then says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A store at the moment its catalog was opened.

    alias: of the attached catalog file. shards: all that are finished, in order. kept: those whose rows are taken from
    the file; loose: those read from their own files. replaced: shards of which the file has rows that no longer hold.
    shown: families by shard. columns: of the families that some shard shows. attributes_in_file: columns of `samples`
    in the file that are not of the index; dropped: those of families that no kept shard shows any more. problem: why
    the catalog file is not used, where it cannot be.
    """

    root: Path
    alias: str
    shards: tuple[ShardFacts, ...]
    kept: tuple[ShardFacts, ...]
    loose: tuple[ShardFacts, ...]
    replaced: tuple[str, ...]
    shown: parquet.Shown
    columns: parquet.Columns
    attributes_in_file: tuple[str, ...]
    dropped: tuple[str, ...]
    problem: str

    @property
    def slow_note(self) -> str:
        """What makes answers from its samples slow; empty where nothing does."""
        if self.problem:
            return f"{self.problem}: shards are read one by one, which is slow; fix: ehps catalog {self.root}"
        if len(self.loose) >= MANY_SHARDS:
            counts = f"{len(self.loose)} of {len(self.shards)} shards are not in the catalog file"
            return f"{counts}, which makes answers slow; fix: ehps catalog {self.root}"
        return ""

    def showing(self, shards: tuple[ShardFacts, ...], family: str) -> list[ShardFacts]:
        """Those of some shards that show a family."""
        return [shard for shard in shards if family in self.shown[shard.shard]]


def open_part(con: duckdb.DuckDBPyConnection, root: Path, alias: str) -> Part:
    """Look at a store and attach its catalog file, if it has one that can be used.

    Raises:
        UsageError: the path is no folder.
        StoreError: a manifest, or a table of attributes, is damaged or of another layout.
    """
    recorded, problem = _attach(con, root / file.NAME, alias)
    seen = scan(root, NOTHING if recorded is None else recorded.seen)
    old = {} if recorded is None else recorded.shards
    facts = facts_of(root, seen.shards, old)
    made_by = makers(facts.values())
    shown = {shard: current_families(one, made_by) for shard, one in facts.items()}
    kept: list[ShardFacts] = []
    loose: list[ShardFacts] = []
    for shard, one in facts.items():
        is_kept = recorded is not None and one is old.get(shard) and recorded.shown[shard] == shown[shard]
        (kept if is_kept else loose).append(one)
    of_kept = {family for one in kept for family in shown[one.shard]}
    known = {} if recorded is None else {name: found for name, found in recorded.columns.items() if name in of_kept}
    of_loose = {one.shard: shown[one.shard] - of_kept for one in loose}
    columns = {**known, **parquet.read_columns(root, loose, of_loose)}
    in_file = {} if recorded is None else recorded.columns
    return Part(
        root=root,
        alias=alias,
        shards=tuple(facts.values()),
        kept=tuple(kept),
        loose=tuple(loose),
        replaced=tuple(sorted(set(old) - {one.shard for one in kept})),
        shown=shown,
        columns=dict(sorted(columns.items())),
        attributes_in_file=tuple(_narrow(in_file.values())),
        dropped=tuple(_narrow(found for name, found in in_file.items() if name not in known)),
        problem=problem,
    )


def _narrow(families: Iterable[parquet.FamilyColumns]) -> Iterator[str]:
    return (column.beside for family in families if not family.is_wide for column in family.columns)


def _attach(con: duckdb.DuckDBPyConnection, path: Path, alias: str) -> tuple[Recorded | None, str]:
    """What the catalog file knows, or why it is not used."""
    if not path.is_file():
        return None, ""
    try:
        con.execute(f"ATTACH {parquet.literal(str(path))} AS {alias} (READ_ONLY)")
        recorded = load(con, alias)
    except duckdb.Error as error:
        return None, f"{path} cannot be used ({str(error).splitlines()[0]})"
    return recorded, "" if recorded is not None else f"{path} is of another version"
