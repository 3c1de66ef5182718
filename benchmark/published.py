"""Rows of the published tables (`catalogs/published/*.csv`) for those who compute with them.

Columns of unverified figures are left out unless they are asked for.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from importlib.resources import files

from catalogs.published import UNVERIFIED

Row = Mapping[str, str | None]

DATASET_NAMES: Mapping[str, str] = {
    "3DPW": "pw3d",
    "AGORA": "agora",
    "ARCTIC": "arctic",
    "BEDLAM": "bedlam",
    "BEHAVE": "behave",
    "CHI3D": "chi3d",
    "CrowdPose": "crowdpose",
    "DNA-Rendering": "dna_rendering",
    "DNA-Rendering-HiRes": "dna_rendering_hires",
    "EgoBody-EgoSet": "egobody_egoset",
    "EgoBody-MVSet": "egobody_mvset",
    "FIT3D": "fit3d",
    "GTA-Human II": "gta_human2",
    "Human3.6M": "h36m",
    "HumanSC3D": "humansc3d",
    "InstaVariety": "instavariety",
    "LSPET": "lspet",
    "MPI-INF-3DHP": "mpi_inf_3dhp",
    "MPII": "mpii",
    "MSCOCO": "mscoco",
    "MTP": "mtp",
    "MuCo-3DHP": "muco_3dhp",
    "OCHuman": "ochuman",
    "PROX": "prox",
    "PoseTrack": "posetrack",
    "RICH": "rich",
    "SPEC": "spec",
    "SSP3D": "ssp3d",
    "SynBody": "synbody",
    "TalkSHOW": "talkshow",
    "UBody": "ubody",
    "UP3D": "up3d",
}
"""SMPLer-X's name of a training dataset -> the name of its card."""


@functools.cache
def table(name: str, *, with_unverified: bool = False) -> tuple[Row, ...]:
    """The rows of `catalogs/published/NAME.csv`; empty cells are None.

    with_unverified: also the columns of figures that no page that could be opened shows, and those computed from them.
    """
    text = (files("catalogs") / "published" / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(
        {column: value or None for column, value in row.items() if with_unverified or not column.startswith(UNVERIFIED)}
        for row in csv.DictReader(text.splitlines())
    )


def caveat(name: str) -> str | None:
    """What of a table could not be verified, in words; None when all of it was."""
    return next(row["unverified"] for row in table("sources") if row["table"] == name)


def instances() -> dict[str, int]:
    """Our name of a dataset -> its instances as decoded from SMPLer-X's figure; GTA-Human II has no point there."""
    return {
        DATASET_NAMES[str(row["dataset"])]: int(row["instances_fig"])
        for row in table("dataset_statistics")
        if row["instances_fig"] is not None
    }
