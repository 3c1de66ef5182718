"""What is known of the HumanData files of each dataset beyond what they say themselves, with its evidence.

Names and keys: the converters of mmhuman3d (branches main and convertors, mmhuman3d/data/data_converters) and the
loaders of SMPLer-X (data/<Class>/<Class>.py). Files whose converter is not public (ARCTIC, CrowdPose, InstaVariety,
MPI-INF-3DHP, MTP, PROX, SPEC, and EFT's with `pred_cam`) are known by name and by what the loader takes from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harmonize.record import BodyKind, LabelOrigin, PointOrigin


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDataSet:
    """The HumanData files of one dataset. What a file says itself counts before what is said here.

    files: for each split the builds in which it circulates, best first; a build is one file-name pattern, whose files
    (slices, speakers) all count. Only the first build that is at hand is read: they hold the same people.
    folder: what SMPLer-X calls the folder of its pictures. body_kinds: body models of its files, and SMPL-X.
    origin: how the labels came about. is_metric, is_calibrated: whether depth, and the camera, are real; a camera whose
    lens distortion the file leaves out, of pictures that have it, is not called calibrated.
    box_padding: by how much boxes of persons are enlarged, where misc says nothing.
    size_px: (width, height) that SMPLer-X asserts of its pictures. is_size_in_misc: `misc['image_size']` is (w, h);
    elsewhere it may be either way round. camera_px: fx, fy, cx, cy of all pictures.
    are_hands_flat: whether hand poses hold the mean hand, where the file does not say. is_gender_of_model: whether
    `meta['gender']` is the gender of the body model. unknown_joints: whose rotation nobody knows.
    ignored: keys that hold something else than their name says. renamed: points that the converter gave the name of a
    model's joint, and what they are. points_origin: of 2D points that were not made from the body.
    are_points_exact: whether points named after the body model were made from the very parameters that are stored.
    has_finger_points, has_points_of_kids: whether points of fingers, and of children, can be used.
    unplaced: builds whose bodies are not in the camera frame. may_end_early: whether there can be more picture names
    than bodies. left_out: files that are none of the builds, though named like one.
    """

    files: Mapping[str, tuple[str, ...]]
    folder: str
    origin: LabelOrigin
    body_kinds: tuple[BodyKind, ...] = ("smplx",)
    is_metric: bool = True
    is_calibrated: bool = True
    box_padding: float = 1.0
    size_px: tuple[int, int] | None = None
    is_size_in_misc: bool = False
    camera_px: tuple[float, float, float, float] | None = None
    are_hands_flat: bool = False
    is_gender_of_model: bool = True
    unknown_joints: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    points_origin: PointOrigin = "annotated"
    are_points_exact: bool = True
    has_finger_points: bool = True
    has_points_of_kids: bool = True
    unplaced: tuple[str, ...] = ()
    may_end_early: bool = False
    left_out: str = ""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits, named as the dataset's own reader names them where they are the same."""
        return tuple(self.files)


_SMPL: tuple[BodyKind, ...] = ("smpl", "smplx")
_SMPLH: tuple[BodyKind, ...] = ("smplh", "smplx")
_ORIGINALS = ("keypoints2d_original", "keypoints3d_original")
_SURFACE_HIPS = {"left_hip": "left_hip_extra", "right_hip": "right_hip_extra"}
_LEGS = tuple(f"{side}_{joint}" for joint in ("hip", "knee", "ankle", "foot") for side in ("left", "right"))


def _egobody(camera: str) -> HumanDataSet:
    return HumanDataSet(
        files={split: (f"egobody_{camera}_{split}_*.npz",) for split in ("train", "val", "test")},
        folder="EgoBody",
        origin="multi-view",
        size_px=(1920, 1080),
        # Not 3D: OpenPose's x, y, confidence, and of the last recording only.
        ignored=("keypoints3d_original",),
    )


def _imar(name: str, origin: LabelOrigin) -> HumanDataSet:
    return HumanDataSet(
        files={"train": (f"{name}_train_*.npz",)},
        folder=name,
        origin=origin,
        is_calibrated=False,  # projected without the lens, onto pictures that have it
        size_px=(900, 900),
        are_hands_flat=True,  # the converter's model; `misc` is silent, and SMPLer-X takes them for relative
        ignored=_ORIGINALS,  # 25 joints of IMAR under the names of OpenPose's 25
    )


def _renbody(train: str, test: str) -> HumanDataSet:
    return HumanDataSet(
        files={"train": (train,), "test": (test,)},
        folder="RenBody",
        origin="multi-view",
        is_calibrated=False,  # K alone, for distorted pictures
        may_end_early=True,  # slice 4 has one name more than bodies (SMPLer-X, data/RenBody/RenBody.py)
    )


SETS: dict[str, HumanDataSet] = {
    "agora": HumanDataSet(
        files={
            split: (f"agora_{split}_3840_*.npz", f"agora_{split}_1280_*.npz", f"agora_{split}*.npz")
            for split in ("train", "validation")
        },
        folder="AGORA",
        origin="synthetic",
        is_size_in_misc=True,
        # Made with the neutral adult model whatever the gender and the age.
        are_points_exact=False,
        has_points_of_kids=False,
    ),
    "arctic": HumanDataSet(
        files={"p1_train": ("p1_train*.npz",), "p1_val": ("p1_val*.npz",)},
        folder="ARCTIC",
        origin="capture",
        are_hands_flat=True,  # the dataset's own; SMPLest-X takes the mean hand out for it alone
        are_points_exact=False,  # betas stand in for the subjects' own rest meshes
    ),
    "bedlam": HumanDataSet(
        files={"train": ("bedlam_train*.npz",)},
        folder="BEDLAM",
        origin="synthetic",
        are_hands_flat=True,
        is_gender_of_model=False,  # bodies are neutral
        box_padding=1.2,
    ),
    "behave": HumanDataSet(
        files={"train": ("behave_train_*.npz",), "test": ("behave_test_*.npz",)},
        folder="Behave",
        origin="multi-view",
        body_kinds=_SMPLH,
        size_px=(2048, 1536),
        points_origin="detected",
    ),
    "chi3d": _imar("CHI3D", "capture"),
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
        folder="CrowdPose",
        origin="neuralannot",
        body_kinds=_SMPL,
        is_metric=False,
        is_calibrated=False,
        renamed={**_SURFACE_HIPS, "head": "headtop", "neck": "neck_extra"},
    ),
    "dna_rendering": _renbody("renbody_train_[0-9]*.npz", "renbody_test_[0-9]*.npz"),
    "dna_rendering_hires": _renbody("renbody_train_highrescam_*.npz", "renbody_test_highrescam_*.npz"),
    "egobody_egoset": _egobody("egocentric"),
    "egobody_mvset": _egobody("kinect"),
    "ehf": HumanDataSet(
        files={"test": ("ehf_val*.npz", "h4w_ehf_val*.npz")},
        folder="EHF",
        origin="fit",
        size_px=(1600, 1200),
        points_origin="detected",
    ),
    "fit3d": _imar("FIT3D", "capture"),
    "gta_human2": HumanDataSet(
        files={"train": ("gta_human2*.npz",)},
        folder="GTA_Human2",
        origin="synthetic",
        size_px=(1920, 1080),
        camera_px=(1158.0337, 1158.0337, 960.0, 540.0),
        are_hands_flat=True,  # the converter's setting, which it does not store
        box_padding=1.2,
        points_origin="projected",
    ),
    "h36m": HumanDataSet(
        files={
            "train": ("h36m_neural_train_*.npz", "h36m_mosh_train.npz", "h36m_train.npz"),
            "val": ("h36m_neural_val_*.npz",),
            "test": ("h36m_valid_protocol2.npz", "h36m_valid_protocol1.npz"),
        },
        folder="Human36M",
        origin="neuralannot",
        body_kinds=_SMPL,
        is_calibrated=False,  # projected without the lens
        ignored=_ORIGINALS,  # legs swapped, and millimetres
        points_origin="projected",
    ),
    "humansc3d": _imar("HumanSC3D", "capture"),
    "instavariety": HumanDataSet(
        files={"train": ("insta_variety_neural_annot_train*.npz", "vibe_insta_variety.npz", "insta_variety.npz")},
        folder="InstaVariety",
        origin="neuralannot",
        body_kinds=_SMPL,
        is_metric=False,
        is_calibrated=False,
        size_px=(224, 224),
        points_origin="detected",
    ),
    "lspet": HumanDataSet(
        files={"train": ("eft_lspet.npz", "lspet_train.npz")},
        folder="LSPET",
        origin="eft",
        box_padding=1.2,  # EFT's crop
        body_kinds=_SMPL,
        is_metric=False,
        is_calibrated=False,
    ),
    "mpi_inf_3dhp": HumanDataSet(
        files={
            "train": (
                "mpi_inf_3dhp_neural_annot_part*.npz",
                "mpi_inf_3dhp_neural_annot_train.npz",
                "mpi_inf_3dhp_train.npz",
            ),
            "test": ("mpi_inf_3dhp_test.npz",),
        },
        folder="MPI_INF_3DHP",
        origin="neuralannot",
        body_kinds=_SMPL,
        points_origin="projected",
    ),
    "mpii": HumanDataSet(
        files={"train": ("mpii_neural_train_*.npz", "eft_mpii.npz", "mpii_train.npz")},
        folder="MPII",
        origin="neuralannot",
        body_kinds=_SMPL,
        is_metric=False,
        is_calibrated=False,
    ),
    "mscoco": HumanDataSet(
        files={"train": ("mscoco_neural_train_*.npz",)},
        folder="MSCOCO",
        origin="neuralannot",
        is_metric=False,
        is_calibrated=False,
        renamed=_SURFACE_HIPS,
    ),
    "mtp": HumanDataSet(
        files={"train": ("mtp_smplx_train*.npz", "mtp_train.npz"), "val": ("mtp_val.npz",)},
        folder="MTP",
        origin="fit",
        body_kinds=_SMPL,
        is_metric=False,
        is_calibrated=False,
        points_origin="detected",
        are_points_exact=False,
        unplaced=("mtp_train.npz", "mtp_val.npz"),  # global_orient without the camera's rotation
    ),
    "muco_3dhp": HumanDataSet(
        files={"train": ("muco3dhp_train*.npz",)},
        folder="MuCo",
        origin="fit",
        body_kinds=_SMPL,
        size_px=(1024, 1024),
        points_origin="projected",
    ),
    "ochuman": HumanDataSet(
        files={"train": ("eft_ochuman.npz", "eft_ochuman_train.npz")},
        folder="OCHuman",
        origin="eft",
        box_padding=1.2,  # EFT's crop
        body_kinds=_SMPL,
        is_metric=False,
        is_calibrated=False,
        renamed=_SURFACE_HIPS,
    ),
    "posetrack": HumanDataSet(
        files={"train": ("eft_posetrack.npz", "posetrack_train.npz"), "val": ("posetrack_val.npz",)},
        folder="PoseTrack/data/images",
        origin="eft",
        box_padding=1.2,  # EFT's crop
        body_kinds=_SMPL,
        is_metric=False,
        is_calibrated=False,
        renamed=_SURFACE_HIPS,
    ),
    "prox": HumanDataSet(
        files={"train": ("prox_train_smplx*.npz", "prox_train*.npz")},
        folder="PROX",
        origin="fit",
        body_kinds=_SMPL,
        size_px=(1920, 1080),
        camera_px=(1060.53, 1060.38, 951.30, 536.77),  # what PROX's own programs fit and render with
        points_origin="detected",
        are_points_exact=False,
    ),
    "pw3d": HumanDataSet(
        files={
            split: (
                f"pw3d_{token}_[0-9]*.npz",
                f"pw3d_neural_{token}_*.npz",
                f"pw3d_{token}*.npz",
            )
            for split, token in (("train", "train"), ("validation", "val"), ("test", "test"))
        },
        folder="PW3D",
        origin="imu",
        body_kinds=_SMPL,
    ),
    "rich": HumanDataSet(
        files={split: (f"rich_{split}*.npz",) for split in ("train", "val", "test")},
        folder="RICH",
        origin="multi-view",
        box_padding=1.2,
        is_calibrated=False,  # projected without the lens
    ),
    "spec": HumanDataSet(
        files={"train": ("spec_train_smpl*.npz",), "test": ("spec_test_smpl*.npz",)},
        folder="SPEC",
        origin="synthetic",
        body_kinds=_SMPL,
        size_px=(1920, 1080),
        points_origin="projected",
        are_points_exact=False,
    ),
    "ssp3d": HumanDataSet(
        files={"all": ("ssp3d_*.npz",)},
        folder="SSP3D",
        origin="fit",
        body_kinds=_SMPL,
        is_metric=False,
        is_calibrated=False,
        size_px=(512, 512),
        points_origin="detected",
    ),
    "synbody": HumanDataSet(
        files={"train": ("synbody_*.npz",)},
        folder="SynBody",
        origin="synthetic",
        size_px=(1280, 720),
        are_points_exact=False,  # the renderer's, by frame number
    ),
    "talkshow": HumanDataSet(
        files={"train": ("talkshow_smplx_*.npz",)},
        left_out="*_path.npz",  # a damaged one circulates (SMPLer-X, data/Talkshow/Talkshow.py)
        folder="Talkshow",
        origin="fit",
        is_metric=False,
        is_calibrated=False,
        unknown_joints=_LEGS,
        are_points_exact=False,  # made from 300 betas, of which ten are stored
        has_finger_points=False,  # made without the mean hand, which the stored hands still need
    ),
    "ubody": HumanDataSet(
        files={
            "train": ("ubody_intra_train_*.npz",),
            "test": ("ubody_intra_test_*.npz",),
            "inter_train": ("ubody_inter_train_*.npz",),
            "inter_test": ("ubody_inter_test_*.npz",),
        },
        folder="UBody",
        origin="neuralannot",
        is_metric=False,
        is_calibrated=False,
    ),
    "up3d": HumanDataSet(
        files={"trainval": ("up3d_trainval.npz",), "test": ("up3d_test.npz",)},
        folder="UP3D",
        origin="fit",
        body_kinds=_SMPL,
        is_metric=False,
        is_calibrated=False,
    ),
}
