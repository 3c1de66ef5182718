"""The conventions, one YAML file each: name, source, ordered names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from harmonize.errors import UsageError

CONVENTIONS: tuple[str, ...] = (
    "agora_127",
    "coco_17",
    "coco_wholebody_133",
    "crowdpose_14",
    "gta_100",
    "h36m_17",
    "h36m_mmpose_17",
    "human_data_190",
    "instavariety_25",
    "lsp_14",
    "mpi_inf_3dhp_28",
    "mpi_inf_3dhp_test_17",
    "mpii_16",
    "muco_21",
    "ochuman_19",
    "openpose_137",
    "openpose_18",
    "openpose_25",
    "posetrack_17",
    "smpl_24",
    "smpl_45",
    "smplh_73",
    "smplx_144",
    "spin_49",
)


@dataclass(frozen=True, slots=True)
class Convention:
    """Ordered canonical names of a dataset's or model's keypoints.

    flip_pairs: positions that trade places in a mirrored picture, each pair once, lower position first.
    source: where order and meaning come from.
    """

    name: str
    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    source: str


@cache
def convention(name: str) -> Convention:
    """The convention of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name not in CONVENTIONS:
        raise UsageError(f"unknown keypoint convention {name!r}; expected one of {', '.join(CONVENTIONS)}")
    content = yaml.safe_load(files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    names = tuple(content["names"])
    return Convention(content["name"], names, _flip_pairs(names), content["source"])


def _flip_pairs(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    position = {name: at for at, name in enumerate(names)}
    pairs = ((at, position[name.replace("left_", "right_")]) for name, at in position.items() if "left_" in name)
    return tuple(sorted((min(pair), max(pair)) for pair in pairs))


SMPLX_144: tuple[str, ...] = convention("smplx_144").names
"""Canonical names of the joints of the `smplx` package, in its order."""
