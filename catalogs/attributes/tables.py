"""Tables over a whole store (maps, duplicates, overlaps): made once, kept with what they were made from, made again
only when that changed.

    table = StoreTable(store=store, name="overlaps", inputs=index_inputs(store), code_sha256=..., facts={...})
    table.is_current()                      whether the stored one is made from exactly this
    table.get(compute)                      the stored one, or the one that `compute` makes and this stores
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalogs.attributes import engine, files
from harmonize.errors import StoreError

RESULT = "result"
"""The fact that says what came out (how many samples, which datasets): stored, but no reason to make a table again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTable:
    """One table and what it is made from. facts: what was asked for, known before anything is computed."""

    store: Path
    name: str
    inputs: Mapping[str, str]
    code_sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def is_current(self) -> bool:
        """Whether the table is stored and made from exactly this; a damaged one is not."""
        folder = files.store_folder(self.store)
        try:
            found = files.read_manifest(folder, self.name)
        except StoreError:
            return False
        facts = {**self.facts, RESULT: {} if found is None else found.facts.get(RESULT, {})}
        return engine.is_current(folder, self.name, self.inputs, self.code_sha256, facts)

    def get(self, compute: Callable[[], tuple[Any, Mapping[str, Any]]]) -> Any:
        """The stored table if it is current, else what `compute` returns (table and result), which is stored.

        Raises:
            StoreError: the store cannot be written to; what `compute` raises.
        """
        if self.is_current():
            return files.read_attributes(files.store_folder(self.store), self.name)
        table, result = compute()
        self.write(table, result)
        return table

    def write(self, table: Any, result: Mapping[str, Any]) -> files.AttributeManifest:
        """Store a table and what came out.

        Raises:
            StoreError: the store cannot be written to.
        """
        return files.write(
            files.store_folder(self.store),
            self.name,
            table,
            family=self.name,
            inputs=self.inputs,
            code_sha256=self.code_sha256,
            facts={**self.facts, RESULT: dict(result)},
        )
