"""What can be said of each sample beyond its record: one file a family, all of them listed here."""

from __future__ import annotations

from catalogs.attributes.family import Family

FAMILIES: dict[str, Family] = {}
"""The families that every store can have, by name. Those that depend on a backbone are made by `features.family`."""
