"""Files that appear whole or not at all, whatever happens to the process that writes them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harmonize.shards.names import TEMPORARY


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path`, to be written within the block, which then takes the place of `path`; not if it fails.

    Several processes may write the same path at once: the last one stays. The folder must be there.
    """
    descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    scratch = Path(name)
    try:
        yield scratch
        scratch.chmod(0o644)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    with whole_file(path) as scratch:
        scratch.write_bytes(content)
