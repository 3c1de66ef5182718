"""Miniatures of datasets in their official raw layout, written from a synthetic world whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

from harmonize.miniatures.agora import write_agora
from harmonize.miniatures.arctic import write_arctic
from harmonize.miniatures.bedlam import write_bedlam
from harmonize.miniatures.behave import write_behave
from harmonize.miniatures.crowdpose import write_crowdpose
from harmonize.miniatures.dna_rendering import write_dna_rendering, write_dna_rendering_hires
from harmonize.miniatures.egobody_egoset import write_egobody_egoset
from harmonize.miniatures.egobody_mvset import write_egobody_mvset
from harmonize.miniatures.ehf import write_ehf
from harmonize.miniatures.gta_human2 import write_gta_human2
from harmonize.miniatures.h36m import write_h36m
from harmonize.miniatures.humandata import write_humandata
from harmonize.miniatures.imar import write_chi3d, write_fit3d, write_humansc3d
from harmonize.miniatures.instavariety import write_instavariety
from harmonize.miniatures.lspet import write_lspet
from harmonize.miniatures.mpi_inf_3dhp import write_mpi_inf_3dhp
from harmonize.miniatures.mpii import write_mpii
from harmonize.miniatures.mscoco import write_mscoco
from harmonize.miniatures.mtp import write_mtp
from harmonize.miniatures.muco_3dhp import write_muco_3dhp
from harmonize.miniatures.ochuman import write_ochuman
from harmonize.miniatures.posetrack import write_posetrack
from harmonize.miniatures.prox import write_prox
from harmonize.miniatures.pw3d import write_pw3d
from harmonize.miniatures.rich import write_rich
from harmonize.miniatures.spec import write_spec
from harmonize.miniatures.ssp3d import write_ssp3d
from harmonize.miniatures.synbody import write_synbody
from harmonize.miniatures.talkshow import write_talkshow
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.ubody import write_ubody
from harmonize.miniatures.up3d import write_up3d

__all__ = ["MINIATURES", "TruePerson", "Truth", "write_humandata"]

MINIATURES: dict[str, Callable[..., Truth]] = {
    "agora": write_agora,
    "arctic": write_arctic,
    "bedlam": write_bedlam,
    "behave": write_behave,
    "chi3d": write_chi3d,
    "crowdpose": write_crowdpose,
    "dna_rendering": write_dna_rendering,
    "dna_rendering_hires": write_dna_rendering_hires,
    "egobody_egoset": write_egobody_egoset,
    "egobody_mvset": write_egobody_mvset,
    "ehf": write_ehf,
    "fit3d": write_fit3d,
    "gta_human2": write_gta_human2,
    "h36m": write_h36m,
    "humansc3d": write_humansc3d,
    "instavariety": write_instavariety,
    "lspet": write_lspet,
    "mpi_inf_3dhp": write_mpi_inf_3dhp,
    "mpii": write_mpii,
    "mscoco": write_mscoco,
    "mtp": write_mtp,
    "muco_3dhp": write_muco_3dhp,
    "ochuman": write_ochuman,
    "posetrack": write_posetrack,
    "prox": write_prox,
    "pw3d": write_pw3d,
    "rich": write_rich,
    "spec": write_spec,
    "ssp3d": write_ssp3d,
    "synbody": write_synbody,
    "talkshow": write_talkshow,
    "ubody": write_ubody,
    "up3d": write_up3d,
}
"""name: writer(root, *, seed=0, people=..., models=None). `people` is how many annotations it holds at least.

The HumanData form of each is written by `write_humandata(root, dataset=name)`."""
