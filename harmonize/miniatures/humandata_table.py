"""HumanData files of captured datasets: bodies in metres before a real camera."""

from __future__ import annotations

from harmonize.miniatures import humandata_traps as trap
from harmonize.miniatures.humandata_files import (
    EYES,
    FACE,
    HANDS,
    SCALES,
    SMPLER_X,
    HumanDataFile,
    HumanDataSet,
    Points,
    Trap,
    exact,
    marked,
    original,
)
from harmonize.record import Gender

_BOTH: tuple[Gender, ...] = ("female", "male")
_HD, _QHD = (1920, 1080), (2048, 1536)


def _imar(name: str, number: str, slices: int, *, rows: int, per_picture: int = 1) -> tuple[HumanDataFile, ...]:
    return tuple(
        HumanDataFile(
            stem=f"{name}_train_{number}_{part}",
            split="train",
            images=(f"{name}/train/s0{2 + part}/frames/50591643/action_{part}/{{n:04d}}.jpg",),
            sizes=((900, 900),),
            rows=rows,
            per_picture=per_picture,
            is_in_blocks=per_picture > 1,
            is_absolute=True,
            has_parts=True,
            size_in_meta=False,
            points=(*exact(), *original("openpose_25", made="imar")),
            misc=SCALES
            | {
                "image_size": 900,
                "bbox_source": "keypoints2d_smplx",
                "cam_param_source": "original",
                "smplx_source": "original",
            },
            traps=(trap.world_to_camera, *((trap.two_blocks,) if per_picture > 1 else ()), trap.one_hidden_hand),
        )
        for part in range(slices)
    )


def _renbody(stem: str, split: str, *traps: Trap, neutral_betas: bool = False) -> HumanDataFile:
    return HumanDataFile(
        stem=stem,
        split=split,
        images=(f"image/20220803/0007_01/{stem[-12:]}/image/05/{{n:06d}}.jpg",),
        genders=_BOTH,
        gender_in="words",
        neutral_betas=neutral_betas,
        has_parts=True,
        points=(*exact(), *original("openpose_25")),
        misc=SCALES | {"flat_hand_mean": False, "kps3d_root_aligned": False, "fps": 30},
        traps=(trap.camera_ids, *traps),
    )


def _egobody(stem: str, split: str, image: str, *traps: Trap) -> HumanDataFile:
    return HumanDataFile(
        stem=stem,
        split=split,
        images=(image,),
        sizes=(_HD,),
        genders=_BOTH,
        gender_in="words",
        neutral_betas=True,
        has_parts=True,
        size_in_meta=False,
        misc=SCALES | {"flat_hand_mean": False, "kps3d_root_aligned": False, "bbox_source": "keypoints2d_smplx"},
        traps=traps,
    )


def _behave(stem: str, split: str, subject: str) -> HumanDataFile:
    folder = f"sequences/Date01_{subject}_chairblack_hand/t000{{n}}.000"
    return HumanDataFile(
        stem=stem,
        split=split,
        images=(f"{folder}/k1.color_undistorted.jpg",),
        kind="smplh",
        sizes=(_QHD,),
        rows=3,
        genders=("male",),
        gender_in="words",
        has_parts=True,
        size_in_meta=False,
        points=(
            marked("openpose_137", key="keypoints2d_original", noise_px=1.5),
            Points(key="keypoints3d", made="smpl"),
            Points(key="keypoints3d_original", names="openpose_25"),
        ),
        instead={2: f"Behave/{folder.format(n=2)}/k1.color.jpg"},
        hints={2: "image-missing"},
        misc=SCALES | {"fps": 30, "downsampled": True, "downsampled_fps": 1, "image_size": (1536, 2048)},
    )


def _rich(stem: str, split: str, *, neutral_betas: bool = False) -> HumanDataFile:
    return HumanDataFile(
        stem=stem,
        split=split,
        images=(f"{split}/ParkingLot1_{split}/cam_01/{{n:05d}}_01.jpeg",),
        genders=_BOTH,
        gender_in="words",
        neutral_betas=neutral_betas,
        is_compressed=False,
        has_parts=True,
        misc=SCALES | {"flat_hand_mean": False, "contact_label": ["smpl_vertex"], "smplx_source": "original"},
        traps=(trap.world_to_camera, trap.contact_labels),
    )


def _pw3d(mode: str, split: str) -> HumanDataFile:
    return HumanDataFile(
        stem=f"pw3d_{mode}_240116_012",
        split=split,
        images=(f"imageFiles/downtown_{mode}_00/image_{{n:05d}}.jpg",),
        kind="smpl",
        genders=("male", "female"),
        gender_in="words",
        is_flat=True,
        is_compressed=False,
        points=exact("_smpl"),
        misc={"bbox_source": "keypoints2d_smpl", "bbox_scale": 1.2, "has_gender": True, "kps3d_root_aligned": False},
        traps=(trap.world_to_camera, trap.per_row("track_id", 0, 1)),
    )


def _pw3d_neural(mode: str, split: str) -> HumanDataFile:
    return HumanDataFile(
        stem=f"pw3d_neural_{mode}_230821_00002",
        split=split,
        images=(f"imageFiles/courtyard_{mode}_00/image_{{n:05d}}.jpg",),
        lacks=(*HANDS, *FACE),
        points=(*exact(), marked("openpose_18", key="keypoints2d_original", noise_px=0.6)),
        misc={"bbox_source": "by_dataset", "cam_param_type": "prespective", "smplx_source": "neural_annot"},
        traps=(trap.boxes_by_dataset,),
    )


def _h36m(mode: str, split: str, subject: int) -> HumanDataFile:
    folder = f"s_{subject:02d}_act_02_subact_01_ca_01"
    return HumanDataFile(
        stem=f"h36m_neural_{mode}_230811_0002_subject{subject}",
        split=split,
        images=(f"images/{folder}/{folder}_{{one:06d}}.jpg",),
        lacks=(*HANDS, *FACE),
        points=(
            *exact(),
            Points(key="keypoints2d_original", names="h36m_17", made="legs"),
            Points(key="keypoints3d_original", names="h36m_17", made="legs", is_mm=True),
        ),
        misc={"bbox_source": "by_dataset", "cam_param_type": "prespective", "smplx_source": "neural_annot"},
        traps=(trap.boxes_by_dataset,),
    )


def _mpi(part: int) -> HumanDataFile:
    """Paths with a leading slash; the third part says nothing about its camera."""
    return HumanDataFile(
        stem=f"mpi_inf_3dhp_neural_annot_part{part}",
        split="train",
        images=(f"/S{part}/Seq1/video_0/{{n:06d}}.jpg",),
        lacks=(*HANDS, *FACE),
        camera_in="nowhere" if part == 3 else "meta",
    )


def _arctic(name: str, *traps: Trap) -> HumanDataFile:
    """Absolute hands, which SMPLest-X knows and the file does not say."""
    return HumanDataFile(
        stem=name,
        split=name,
        images=(f"s01/box_grab_01_{name}/1/{{n:05d}}.jpg",),
        is_absolute=True,
        has_parts=True,
        traps=traps,
    )


CAPTURED: dict[str, HumanDataSet] = {
    "arctic": HumanDataSet(
        files=(_arctic("p1_train"), _arctic("p1_val", trap.vertex_files)), folder="ARCTIC", npz_folder=SMPLER_X
    ),
    "behave": HumanDataSet(
        files=(
            _behave("behave_train_230516_231_downsampled", "train", "Sub01"),
            _behave("behave_test_230516_090_downsampled", "test", "Sub03"),
        ),
        folder="Behave",
        npz_folder=SMPLER_X,
        is_drawn=False,
    ),
    "chi3d": HumanDataSet(
        files=_imar("CHI3D", "230511_1492", 2, rows=4, per_picture=2), npz_folder=SMPLER_X, is_drawn=False
    ),
    "dna_rendering": HumanDataSet(
        files=(
            _renbody("renbody_train_230525_399_0", "train"),
            _renbody("renbody_train_230525_399_4", "train", trap.surplus_pictures),
            _renbody("renbody_test_230525_78_0", "test"),
            _renbody("renbody_test_230525_78_1", "test"),
        ),
        folder="RenBody",
        npz_folder=SMPLER_X,
        strays=(trap.loader_cache("cache/renbody_train_230525_399_ds10_fix_betas.npz"),),
    ),
    "dna_rendering_hires": HumanDataSet(
        files=(
            _renbody("renbody_train_highrescam_230517_399_0_fix_betas", "train", neutral_betas=True),
            _renbody("renbody_train_highrescam_230517_399_1_fix_betas", "train", neutral_betas=True),
            _renbody("renbody_test_highrescam_230517_78_0_fix_betas", "test", neutral_betas=True),
        ),
        folder="RenBody",
        npz_folder=SMPLER_X,
        strays=(trap.loader_cache("cache/renbody_train_highrescam_230517_399_fix_betas.npz"),),
    ),
    "egobody_egoset": HumanDataSet(
        files=tuple(
            _egobody(
                f"egobody_egocentric_{split}_230425_{count}_fix_betas",
                split,
                f"egocentric_color/recording_2021091{day}_S05_S06_0{day}/2021-09-1{day}-145953/PV/13276009{{n}}_frame_0003{{n}}.jpg",
                trap.detections_called_3d,
                trap.empty_lists("character", "view"),
            )
            for split, count, day in (("train", "065", 1), ("test", "043", 2))
        ),
        folder="EgoBody",
        npz_folder=SMPLER_X,
        is_drawn=False,
    ),
    "egobody_mvset": HumanDataSet(
        files=tuple(
            _egobody(
                f"egobody_kinect_{split}_230503_{count}_fix_betas",
                split,
                f"kinect_color/recording_2021091{day}_S05_S06_0{day}/master/frame_{{n:05d}}.jpg",
                trap.per_row("character", "interactee", "wearer"),
                trap.per_row("view", "master"),
            )
            for split, count, day in (("train", "065", 1), ("test", "043", 2))
        ),
        is_drawn=False,
    ),
    "ehf": HumanDataSet(
        files=(
            HumanDataFile(
                stem="ehf_val_230807_100",
                split="test",
                images=("{one:02d}_img.png",),
                sizes=((1600, 1200),),
                rows=4,
                lacks=("jaw_pose", *EYES),
                is_compressed=False,
                has_parts=True,
                camera_in="misc",
                focal_px=(1498.22426237, 1498.22426237),
                principal_point_px=(790.263706, 578.90334),
                size_in_meta=False,
                points=(marked("openpose_137", key="keypoints2d_original", noise_px=1.5), *exact()),
                misc=SCALES
                | {
                    "focal_length": (1498.22426237, 1498.22426237),
                    "principal_point": (790.263706, 578.90334),
                    "image_size": (1600, 1200),
                },
                traps=(trap.empty_lists(),),
            ),
        ),
        is_drawn=False,
    ),
    "fit3d": HumanDataSet(files=_imar("FIT3D", "230511_1504", 6, rows=1), npz_folder=SMPLER_X, is_drawn=False),
    "h36m": HumanDataSet(
        files=(_h36m("train", "train", 1), _h36m("train", "train", 5), _h36m("val", "val", 11)),
    ),
    "humansc3d": HumanDataSet(files=_imar("HumanSC3D", "230605_2752", 3, rows=2), npz_folder=SMPLER_X, is_drawn=False),
    "mpi_inf_3dhp": HumanDataSet(
        files=(
            *(_mpi(part) for part in (1, 2, 3)),
            HumanDataFile(
                stem="mpi_inf_3dhp_test",
                split="test",
                images=("TS1/imageSequence/img_{one:06d}.jpg",),
                kind="",
                points=(
                    marked("mpi_inf_3dhp_test_17"),
                    Points(key="keypoints3d", names="mpi_inf_3dhp_test_17", is_root_aligned=True),
                ),
                camera_in="nowhere",
                size_in_meta=False,
            ),
        ),
        folder="MPI_INF_3DHP",
        npz_folder=SMPLER_X,
    ),
    "prox": HumanDataSet(
        files=(
            HumanDataFile(
                stem="prox_train_smplx_new",
                split="train",
                images=("recordings/N3OpenArea_03301_01/Color/s001_frame_{one:05d}__00.00.00.03{n}.jpg",),
                sizes=(_HD,),
                rows=4,
                camera_in="",
                focal_px=(1060.53, 1060.38),
                principal_point_px=(951.30, 536.77),
                size_in_meta=False,
            ),
        ),
        folder="PROX",
        npz_folder=SMPLER_X,
        is_drawn=False,
    ),
    "pw3d": HumanDataSet(
        files=(_pw3d("train", "train"), _pw3d_neural("val", "validation"), _pw3d("test", "test")),
    ),
    "rich": HumanDataSet(
        files=(
            _rich("rich_train_fix_betas", "train", neutral_betas=True),
            _rich("rich_val_240126_28", "val"),
            _rich("rich_test_240126_50", "test"),
        ),
    ),
}
"""name: its files."""
