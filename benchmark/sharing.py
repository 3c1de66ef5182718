"""What sources of a catalog share with an evaluation split: recordings, subjects, pictures; by sample.

Each function takes names of sources (`dataset/split`) and of the evaluation split, and answers with rows of source, key
and what is shared. All but near-duplicates is read from the index.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from catalogs import store as catalog
from catalogs.attributes import source_ids

Shared = list[tuple[str, str, str]]

_SAMPLES = "SELECT dataset || '/' || split AS source, * FROM instances"
_OF_POOL = f"SELECT * FROM ({_SAMPLES}) WHERE source IN (SELECT unnest($pool))"
_OF_EVALUATION = f"SELECT * FROM ({_SAMPLES}) WHERE source = $evaluation"


def keys_of(con: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    """The keys of all samples of a source."""
    return [row[0] for row in catalog.query(con, f"SELECT key FROM ({_OF_POOL})", {"pool": [source]}).rows]


def recordings(
    con: duckdb.DuckDBPyConnection, sources: Sequence[str], evaluation: str
) -> tuple[Shared, dict[str, int]]:
    """Samples whose recording is evaluated on; and by source, how many could not be compared.

    They could not when their `sequence`, or one of the evaluation split, names no recording: another form of the
    dataset may call the same recordings otherwise.
    """
    sql = f"SELECT source, dataset, sequence, count(*) FROM ({_SAMPLES}) WHERE source IN (SELECT unnest($pool)) "
    rows = catalog.query(
        con, sql + "AND sequence <> '' GROUP BY ALL ORDER BY ALL", {"pool": [*sources, evaluation]}
    ).rows
    named = [
        (source, sequence, num, source_ids.recordings(dataset, pa.array([sequence], pa.string()))[0].as_py())
        for source, dataset, sequence, num in rows
    ]
    evaluated = {recording for source, _, _, recording in named if source == evaluation and recording is not None}
    is_known = all(recording is not None for source, _, _, recording in named if source == evaluation)
    unnamed: dict[str, int] = {}
    shared: dict[str, dict[str, str]] = {}
    for source, sequence, num, recording in named:
        if source == evaluation:
            continue
        if recording is None or not is_known:
            unnamed[source] = unnamed.get(source, 0) + int(num)
        if recording in evaluated:
            shared.setdefault(source, {})[sequence] = str(recording).partition(":")[2]
    found = []
    for source, of_sequence in shared.items():
        sql = f"SELECT key, sequence FROM ({_OF_POOL}) WHERE sequence IN (SELECT unnest($sequences))"
        keys = catalog.query(con, sql, {"pool": [source], "sequences": list(of_sequence)}).rows
        found += [(source, key, of_sequence[sequence]) for key, sequence in keys]
    return found, unnamed


def subjects(con: duckdb.DuckDBPyConnection, sources: Sequence[str], evaluation: str) -> Shared:
    """By name; empty names are no names."""
    sql = f"SELECT source, key, subject FROM ({_OF_POOL}) WHERE subject <> '' AND subject IN "
    sql += f"(SELECT subject FROM ({_OF_EVALUATION}))"
    rows = catalog.query(con, sql, {"pool": list(sources), "evaluation": evaluation}).rows
    return [(source, key, subject) for source, key, subject in rows]


def pictures(con: duckdb.DuckDBPyConnection, sources: Sequence[str], evaluation: str) -> Shared:
    """By hash; of a video, whose frames have one hash, the frame must be the same too."""
    params = {"pool": list(sources), "evaluation": evaluation}
    sql = (
        f"SELECT source, key, image_path, image_sha256 FROM ({_OF_POOL}) WHERE image_sha256 <> '' AND image_sha256 IN "
    )
    rows = catalog.query(con, sql + f"(SELECT image_sha256 FROM ({_OF_EVALUATION}))", params).rows
    if not rows:
        return []
    sql = f"SELECT DISTINCT image_path, image_sha256 FROM ({_OF_EVALUATION}) "
    sql += "WHERE image_sha256 IN (SELECT unnest($hashes))"
    hashes = sorted({row[3] for row in rows})
    evaluated = catalog.query(con, sql, {"evaluation": evaluation, "hashes": hashes}).rows
    known = set(_hashes(evaluated))
    names = _hashes([row[2:] for row in rows])
    return [(row[0], row[1], row[2] or name) for row, name in zip(rows, names, strict=True) if name in known]


def _hashes(rows: Sequence[Sequence[str]]) -> list[str]:
    paths, hashes = (pa.array([row[i] for row in rows], pa.string()) for i in range(2))
    found: list[str] = source_ids.picture_hashes(paths, hashes).to_pylist()
    return found


def paths(con: duckdb.DuckDBPyConnection, sources: Sequence[str], evaluation: str) -> Shared:
    """By path within the benchmark's dataset, where one side was not opened and so has no hash."""
    own = [name for name in sources if name.split("/")[0] == evaluation.split("/")[0]]
    sql = f"SELECT DISTINCT p.source, p.key, p.image_path FROM ({_OF_POOL}) p JOIN ({_OF_EVALUATION}) e "
    sql += "USING (image_path) WHERE p.image_path <> '' AND (p.image_sha256 = '' OR e.image_sha256 = '')"
    rows = catalog.query(con, sql, {"pool": own, "evaluation": evaluation}).rows
    return [(source, key, path) for source, key, path in rows]


def has_near_duplicates(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the catalog knows of any samples with like image features."""
    if not catalog.query(con, "SELECT 1 FROM duckdb_views() WHERE view_name = 'duplicates'").rows:
        return False
    return bool(catalog.query(con, "SELECT 1 FROM duplicates WHERE kind = 'embedding' LIMIT 1").rows)


def near_duplicates(con: duckdb.DuckDBPyConnection, sources: Sequence[str], evaluation: str) -> Shared:
    """By image features, as the table `duplicates` of the store has them; none where there is no such table.

    Finds pictures that were scaled, cropped or encoded anew, which have other hashes. Pairs are listed for one of their
    two samples only, so both directions are looked at.
    """
    if not has_near_duplicates(con):
        return []
    side = "key_{0} AS key, dataset_{0} || '/' || split_{0} AS source, "
    side += "key_{1} AS other, dataset_{1} || '/' || split_{1} AS evaluation, similarity"
    pairs = " UNION ALL ".join(
        f"SELECT {side.format(*sides)} FROM duplicates WHERE kind = 'embedding'" for sides in ("ab", "ba")
    )
    sql = (
        f"SELECT source, key, arg_max(other, similarity), max(similarity) FROM ({pairs}) JOIN instances USING (key) "
        "WHERE source IN (SELECT unnest($pool)) AND evaluation = $evaluation GROUP BY ALL ORDER BY ALL"
    )
    rows = catalog.query(con, sql, {"pool": list(sources), "evaluation": evaluation}).rows
    return [(source, key, f"like {other} by {similarity:.3f}") for source, key, other, similarity in rows]


def unopened(con: duckdb.DuckDBPyConnection, sources: Sequence[str]) -> dict[str, int]:
    """How many samples of each source have a picture that was never opened; sources without any are left out."""
    sql = f"SELECT source, count(*) FROM ({_OF_POOL}) WHERE image_sha256 = '' GROUP BY ALL"
    return {source: int(num) for source, num in catalog.query(con, sql, {"pool": list(sources)}).rows}
