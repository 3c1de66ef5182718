"""What is known of the HumanData files of each dataset beyond what they say themselves, with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harmonize.record import BodyKind


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDataSet:
    """The HumanData files of one dataset.

    files: for each split the builds in which it circulates, best first; a build is one file-name pattern, whose files
    (slices, speakers) all count. Only the first build that is at hand is read: they hold the same people.
    body_kinds: body models of its files, and SMPL-X.
    """

    files: Mapping[str, tuple[str, ...]]
    body_kinds: tuple[BodyKind, ...] = ("smplx",)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits, named as the dataset's own reader names them where they are the same."""
        return tuple(self.files)


_SMPL: tuple[BodyKind, ...] = ("smpl", "smplx")
_SMPLH: tuple[BodyKind, ...] = ("smplh", "smplx")

SETS: dict[str, HumanDataSet] = {
    "agora": HumanDataSet(
        files={
            "train": ("agora_train_3840_*.npz", "agora_train_1280_*.npz", "agora_train*.npz"),
            "validation": ("agora_validation_3840_*.npz", "agora_validation_1280_*.npz", "agora_validation*.npz"),
        },
    ),
    "arctic": HumanDataSet(files={"p1_train": ("p1_train*.npz",), "p1_val": ("p1_val*.npz",)}),
    "bedlam": HumanDataSet(files={"train": ("bedlam_train*.npz",)}),
    "behave": HumanDataSet(files={"train": ("behave_train_*.npz",), "test": ("behave_test_*.npz",)}, body_kinds=_SMPLH),
    "chi3d": HumanDataSet(files={"train": ("CHI3D_train_*.npz",)}),
    "crowdpose": HumanDataSet(
        files={
            "train": (
                "crowdpose_neural_annot_train_new.npz",
                "crowdpose_neural_annot_train*.npz",
                "crowdpose_train.npz",
            ),
            "val": ("crowdpose_val.npz",),
            "trainval": ("crowdpose_trainval.npz",),
            "test": ("crowdpose_test.npz",),
        },
        body_kinds=_SMPL,
    ),
    "dna_rendering": HumanDataSet(
        files={"train": ("renbody_train_[0-9]*.npz",), "test": ("renbody_test_[0-9]*.npz",)},
    ),
    "dna_rendering_hires": HumanDataSet(
        files={"train": ("renbody_train_highrescam_*.npz",), "test": ("renbody_test_highrescam_*.npz",)},
    ),
    "egobody_egoset": HumanDataSet(
        files={split: (f"egobody_egocentric_{split}_*.npz",) for split in ("train", "val", "test")},
    ),
    "egobody_mvset": HumanDataSet(
        files={split: (f"egobody_kinect_{split}_*.npz",) for split in ("train", "val", "test")},
    ),
    "ehf": HumanDataSet(files={"test": ("ehf_val*.npz", "h4w_ehf_val*.npz")}),
    "fit3d": HumanDataSet(files={"train": ("FIT3D_train_*.npz",)}),
    "gta_human2": HumanDataSet(files={"train": ("gta_human2*.npz",)}),
    "h36m": HumanDataSet(
        files={
            "train": ("h36m_neural_train_*.npz", "h36m_mosh_train.npz", "h36m_train.npz"),
            "val": ("h36m_neural_val_*.npz",),
            "test": ("h36m_valid_protocol2.npz", "h36m_valid_protocol1.npz"),
        },
        body_kinds=_SMPL,
    ),
    "humansc3d": HumanDataSet(files={"train": ("HumanSC3D_train_*.npz",)}),
    "instavariety": HumanDataSet(
        files={"train": ("insta_variety_neural_annot_train*.npz", "vibe_insta_variety.npz", "insta_variety.npz")},
        body_kinds=_SMPL,
    ),
    "lspet": HumanDataSet(files={"train": ("eft_lspet.npz", "lspet_train.npz")}, body_kinds=_SMPL),
    "mpi_inf_3dhp": HumanDataSet(
        files={
            "train": (
                "mpi_inf_3dhp_neural_annot_part*.npz",
                "mpi_inf_3dhp_neural_annot_train.npz",
                "mpi_inf_3dhp_train.npz",
            ),
            "test": ("mpi_inf_3dhp_test.npz",),
        },
        body_kinds=_SMPL,
    ),
    "mpii": HumanDataSet(
        files={"train": ("mpii_neural_train_*.npz", "eft_mpii.npz", "mpii_train.npz")}, body_kinds=_SMPL
    ),
    "mscoco": HumanDataSet(files={"train": ("mscoco_neural_train_*.npz",)}),
    "mtp": HumanDataSet(
        files={"train": ("mtp_smplx_train*.npz", "mtp_train.npz"), "val": ("mtp_val.npz",)}, body_kinds=_SMPL
    ),
    "muco_3dhp": HumanDataSet(files={"train": ("muco3dhp_train*.npz",)}, body_kinds=_SMPL),
    "ochuman": HumanDataSet(files={"train": ("eft_ochuman.npz", "eft_ochuman_train.npz")}, body_kinds=_SMPL),
    "posetrack": HumanDataSet(
        files={"train": ("eft_posetrack.npz", "posetrack_train.npz"), "val": ("posetrack_val.npz",)}, body_kinds=_SMPL
    ),
    "prox": HumanDataSet(files={"train": ("prox_train_smplx*.npz", "prox_train*.npz")}, body_kinds=_SMPL),
    "pw3d": HumanDataSet(
        files={
            split: (f"pw3d_{token}_[0-9]*.npz", f"pw3d_neural_{token}_*.npz", f"pw3d_{token}.npz")
            for split, token in (("train", "train"), ("validation", "val"), ("test", "test"))
        },
        body_kinds=_SMPL,
    ),
    "rich": HumanDataSet(files={split: (f"rich_{split}*.npz",) for split in ("train", "val", "test")}),
    "spec": HumanDataSet(
        files={"train": ("spec_train_smpl*.npz",), "test": ("spec_test_smpl*.npz",)}, body_kinds=_SMPL
    ),
    "ssp3d": HumanDataSet(files={"all": ("ssp3d_*.npz",)}, body_kinds=_SMPL),
    "synbody": HumanDataSet(files={"train": ("synbody_*.npz",)}),
    "talkshow": HumanDataSet(files={"all": ("talkshow_smplx_*.npz",)}),
    "ubody": HumanDataSet(
        files={
            "train": ("ubody_intra_train_*.npz",),
            "test": ("ubody_intra_test_*.npz",),
            "inter_train": ("ubody_inter_train_*.npz",),
            "inter_test": ("ubody_inter_test_*.npz",),
        },
    ),
    "up3d": HumanDataSet(files={"trainval": ("up3d_trainval.npz",), "test": ("up3d_test.npz",)}, body_kinds=_SMPL),
}
