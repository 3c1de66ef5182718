"""A licence-free stand-in for the SMPL family, in the layout that the `smplx` package reads.

Built from CC0 data (see `data/README.md`) into the user's cache folder the first time it is asked for. It behaves like
a body and has the same array shapes, joint order and vertex indices of extra joints, but it is another body: betas
mean something else, joint centres differ by centimetres. No number computed with it is a result.
"""

from __future__ import annotations

import hashlib
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from harmonize.bodies import standin_anatomy, standin_mesh, standin_models
from harmonize.cache import build_once, cache_dir


def standin_root() -> Path:
    """The folder of the stand-in's model files; built when missing, which takes a few seconds.

    Files: `{smplx,smplh,smpl}/{SMPLX,SMPLH,SMPL}_{NEUTRAL,FEMALE,MALE}.npz` and `{smplx,smpl}_kid_template.npy`.
    The folder's name carries a hash of the builder's source, its data and the packages that shape the bytes.
    """
    return build_once(cache_dir() / f"standin-{_DIGEST[:16]}", _write)


def _digest() -> str:
    digest = hashlib.sha256()
    sources = (__file__, standin_mesh.__file__, standin_anatomy.__file__, standin_models.__file__)
    for path in (*sources, standin_mesh.BASIS_FILE):
        digest.update(Path(path).read_bytes())
    for package in ("numpy", "scipy", "fast-simplification"):
        digest.update(f"{package}=={version(package)}\n".encode())
    return digest.hexdigest()


# Taken when the code is loaded: a process that outlives an edit must not store old bytes under the new name.
_DIGEST = _digest()


def _write(folder: Path) -> None:
    files, kids = standin_models.build_arrays()
    for (kind, gender), arrays in files.items():
        (folder / kind).mkdir(exist_ok=True)
        _write_npz(folder / kind / f"{kind.upper()}_{gender.upper()}.npz", arrays)
    for kind, template in kids.items():
        np.save(folder / f"{kind}_kid_template.npy", template, allow_pickle=False)


def _write_npz(path: Path, arrays: standin_models.Arrays) -> None:
    """An npz with the fastest compression: the arrays are mostly zeros, and numpy offers only the slow default."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
