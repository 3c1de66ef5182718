"""`ehps verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pipelines.tables import Json

DAMAGED = 2


def verify(store: Path, /, *, decode: bool = False, as_json: Json = False) -> int:
    """Read a whole store again and say which shard, which sample, which field is not as it was written.

    Checks files against manifests, members against the index, vectors against the layout, and each record against the
    gate; attribute tables against theirs. Exit code 2 when anything is wrong. An attribute of a shard that was ingested
    anew is stale, not wrong: it is told, and not used.

    Parameters
    ----------
    store
        Folder of the store.
    decode
        Also decode every picture to its last pixel.
    """
    from harmonize.shards.verify import verify as run
    from pipelines.progress import Meter
    from pipelines.tables import show, show_json

    num_bytes = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    with Meter("verify", num_bytes, "bytes") as meter:
        report = run(store, meter.add, decode=decode)
    findings = [asdict(finding) for finding in report.findings]
    stale = [asdict(finding) for finding in report.stale]
    counts = {"shards": report.num_shards, "samples": report.num_samples, "bytes": report.num_bytes}
    if as_json:
        show_json({**counts, "findings": findings, "stale": stale})
    else:
        if findings:
            show(findings, as_json=False)
        verdict = f"{len(findings)} problems" if findings else "all as written"
        print(f"{report.num_shards:,} shards, {report.num_samples:,} samples, {report.num_bytes:,} bytes: {verdict}")
        if stale:
            print(f"{len(stale):,} attribute tables are stale, such as {stale[0]['path']}: run `ehps describe {store}`")
    return DAMAGED if findings else 0
