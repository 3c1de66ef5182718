"""HumanData files of rendered datasets: bodies in metres before an engine's camera."""

from __future__ import annotations

from harmonize.miniatures import humandata_traps as trap
from harmonize.miniatures.humandata_files import (
    FACE,
    SCALES,
    SMPLER_X,
    HumanDataFile,
    HumanDataSet,
    Points,
    exact,
    original,
)
from harmonize.record import Gender

_BOTH: tuple[Gender, ...] = ("female", "male")


def _agora(stem: str, split: str, size: tuple[int, int]) -> HumanDataFile:
    return HumanDataFile(
        stem=stem,
        split=split,
        images=(f"{split}/ag_{split}set_renderpeople_bfh_hdri_50mm_5_10_cam00_{{n:05d}}.png",),
        sizes=(size,),
        rows=4,
        per_picture=2,
        genders=_BOTH,
        gender_in="words",
        neutral_betas=True,
        kid_row=1,
        has_parts=True,
        size_in_meta=False,
        points=(Points(key="keypoints2d_smplx", made="neutral"), Points(key="keypoints3d_smplx", made="neutral")),
        hints={2: "invalid"},
        misc=SCALES | {"image_size": size, "has_betas_extra": True, "bbox_source": "keypoints2d_smplx"},
        traps=(trap.only_some_valid, trap.kid_betas),
    )


def _gta(part: int) -> HumanDataFile:
    """No meta, no misc: neither the camera nor that the hands are absolute is recorded anywhere."""
    return HumanDataFile(
        stem=f"gta_human2multiple_230406_04000_{part}",
        split="train",
        images=(f"images_multiple/seq_0000{part}{{n:03d}}/00000000.jpeg",),
        sizes=((1920, 1080),),
        lacks=FACE,
        is_absolute=True,
        has_parts=True,
        camera_in="",
        focal_px=(1158.0337, 1158.0337),
        principal_point_px=(960.0, 540.0),
        size_in_meta=False,
        points=(*exact(), *original("gta_100")),
        traps=(trap.boxes_distrusted_at_the_border,),
    )


_BEDLAM = "20221010_3_1000_batch01hand_6fps/png/seq_{n:06d}/seq_{n:06d}_0005.png"
_CLOSEUP = "20221011_1_250_batch01hand_suburb_a_6fps/png/seq_{n:06d}/seq_{n:06d}_0010.png"


RENDERED: dict[str, HumanDataSet] = {
    "agora": HumanDataSet(
        files=(
            _agora("agora_train_3840_231031_14", "train", (3840, 2160)),
            _agora("agora_validation_1280_231031_4", "validation", (1280, 720)),
        ),
        is_drawn=False,
    ),
    "bedlam": HumanDataSet(
        files=(
            HumanDataFile(
                stem="bedlam_train",
                split="train",
                images=(_BEDLAM, _CLOSEUP),
                sizes=((320, 180), (180, 320)),
                rows=4,
                gender_in="subject",
                is_absolute=True,
                has_hand_flag=True,
                num_betas=11,
                num_expression=0,
                box_columns=4,
                has_parts=True,
                instead={3: f"BEDLAM/{_CLOSEUP.replace('hand_', 'hand_closeup_').format(n=3)}"},
                lying=(3,),
            ),
        ),
        folder="BEDLAM",
        npz_folder=SMPLER_X,
    ),
    "gta_human2": HumanDataSet(files=(_gta(0), _gta(1)), folder="GTA_Human2", npz_folder=SMPLER_X, is_drawn=False),
    "synbody": HumanDataSet(
        files=(
            HumanDataFile(
                stem="synbody_train_230521_04000_fix_betas",
                split="train",
                images=("Downtown/LS_0114_004551_088/rgb/{n:04d}.jpeg",),
                sizes=((1280, 720),),
                rows=4,
                per_picture=2,
                genders=_BOTH,
                gender_in="words",
                neutral_betas=True,
                has_parts=True,
                camera_in="misc",
                focal_px=(640.0, 640.0),
                principal_point_px=(640.0, 360.0),
                size_in_meta=False,
                misc=SCALES
                | {
                    "flat_hand_mean": False,
                    "focal_length": (640, 640),
                    "principal_point": (640, 360),
                    "fps": 30,
                    "kps3d_root_aligned": False,
                },
                traps=(trap.per_row("track_id", "0012345", "0054321"), trap.hidden_points),
            ),
        ),
        folder="SynBody",
        npz_folder=SMPLER_X,
        is_drawn=False,
    ),
}
"""name: its files."""
