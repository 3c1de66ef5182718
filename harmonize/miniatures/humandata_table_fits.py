"""HumanData files of pseudo-labelled datasets: NeuralAnnot, EFT and others, most before virtual cameras."""

from __future__ import annotations

from harmonize.miniatures import humandata_traps as trap
from harmonize.miniatures.humandata_files import (
    EYES,
    FACE,
    HANDS,
    SMPLER_X,
    HumanDataFile,
    HumanDataSet,
    Points,
    exact,
    marked,
)

_NEURAL = {
    "bbox_source": "by_dataset",
    "cam_param_type": "prespective",  # spelled so by the converters
    "cam_param_source": "original",
    "smplx_source": "neural_annot",
}
_NO_PLACE = {-1: "no-transl"}


def _eft(stem: str, image: str, folder: str) -> HumanDataFile:
    return HumanDataFile(
        stem=stem,
        split="train",
        images=(image,),
        folder=folder,
        kind="smpl",
        rows=4,
        lacks=("transl",),
        view="eft",
        camera_in="",
        points=(marked("spin_49"),),
        traps=(trap.square_boxes, trap.crop_cameras),
    )


def _flat_points(stem: str, split: str, image: str, names: str) -> HumanDataFile:
    """2D points alone, of mmhuman3d's own converters: no body, no camera, no size."""
    return HumanDataFile(
        stem=stem,
        split=split,
        images=(image,),
        kind="",
        points=(marked(names),),
        camera_in="nowhere",
        size_in_meta=False,
    )


def _talkshow(speaker: str) -> HumanDataFile:
    return HumanDataFile(
        stem=f"talkshow_smplx_{speaker}",
        split="train",
        images=(f"{speaker}/1-00_00_00-00_00_01/212911-00_07_05-00_07_1{len(speaker)}/{{one:06d}}.jpg",),
        num_expression=100,
        focal_px=(390.0, 390.0),
        is_flat=True,
        has_parts=True,
        points=(
            Points(key="keypoints2d_smplx", made="flat-hands"),
            Points(key="keypoints3d_smplx", made="flat-hands", is_root_aligned=True),
        ),
        misc={
            "bbox_body_scale": 1.2,
            "bbox_facehand_scale": 1,
            "bbox_soruce": "estimated smplx",
            "cam_param_source": "estimated",
            "smplx_source": "PIXIE",
            "kps3d_root_aligned": True,
        },
        traps=(trap.scalar_focal, trap.empty_lists("R", "T", "gender")),
    )


def _ubody(partition: str, mode: str, part: int) -> HumanDataFile:
    video = f"Interview_{partition}_{mode}_{part}_Trim1"
    return HumanDataFile(
        stem=f"ubody_{partition}_{mode}_240409_{part + 2}_{part}",
        split=mode if partition == "intra" else f"{partition}_{mode}",
        images=(f"images/Interview/{video}/{video}/{{one:06d}}.png",),
        rows=3,
        has_parts=True,
        view="virtual",
        points=(*exact(), marked("coco_wholebody_133", key="keypoints2d_ubody")),
        hints={2: "invalid"},
        misc={"flat_hand_mean": False, "bbox_source": "by_dataset", "kps3d_root_aligned": False},
        lacks=EYES,
        traps=(trap.ubody_lists, trap.boxes_by_dataset),
    )


def _spec(split: str) -> HumanDataFile:
    return HumanDataFile(
        stem=f"spec_{split}_smpl",
        split=split,
        images=(f"{split}/archviz_{{n}}/cam_0001.jpg",),
        kind="smpl",
        sizes=((1920, 1080),),
        lacks=("transl",),
        camera_in="nowhere",
        size_in_meta=False,
        points=(Points(key="keypoints2d_smpl"),),
        hints=_NO_PLACE,
    )


FITTED: dict[str, HumanDataSet] = {
    "crowdpose": HumanDataSet(
        files=(
            HumanDataFile(
                stem="crowdpose_neural_annot_train_new",
                split="train",
                images=("images/1000{n:02d}.jpg",),
                kind="smpl",
                rows=4,
                per_picture=2,
                view="virtual",
                points=(marked("crowdpose_14"),),
                camera_in="nowhere",
            ),
            _flat_points("crowdpose_val", "val", "images/1008{n:02d}.jpg", "crowdpose_14"),
        ),
        folder="CrowdPose",
        npz_folder=SMPLER_X,
    ),
    "instavariety": HumanDataSet(
        files=(
            HumanDataFile(
                stem="insta_variety_neural_annot_train",
                split="train",
                images=("images/clip_{n}/000000.jpg",),
                kind="smpl",
                sizes=((224, 224),),
                rows=4,
                view="virtual",
                size_in_meta=False,
                points=(marked("instavariety_25"),),
            ),
        ),
        folder="InstaVariety",
        npz_folder=SMPLER_X,
        strays=(trap.vibe_features("preprocessed_datasets/vibe_insta_variety.npz"),),
    ),
    "lspet": HumanDataSet(files=(_eft("eft_lspet", "im{one:05d}.png", "LSPET"),), npz_folder=SMPLER_X),
    "mpii": HumanDataSet(
        files=(
            HumanDataFile(
                stem="mpii_neural_train_230814_00004",
                split="train",
                images=("images/0155993{n:02d}.jpg",),
                rows=4,
                lacks=(*HANDS, *FACE),
                view="virtual",
                points=(marked("mpii_16", key="keypoints2d_original"), *exact()),
                misc=_NEURAL,
                traps=(trap.boxes_by_dataset,),
            ),
        ),
    ),
    "mscoco": HumanDataSet(
        files=(
            HumanDataFile(
                stem="mscoco_neural_train_230818_000004",
                split="train",
                images=("images/train2017/{n:012d}.jpg",),
                rows=4,
                per_picture=2,
                lacks=EYES,
                has_parts=True,
                view="virtual",
                points=(
                    *exact(),
                    Points(key="keypoints2d_original", names="coco_wholebody_133", made="parts", noise_px=0.6),
                ),
                misc=_NEURAL,
                traps=(
                    trap.boxes_by_dataset,
                    trap.hands_told_valid,
                    trap.empty_lists("lefthand_valid", "righthand_valid", "face_valid"),
                ),
            ),
        ),
    ),
    "mtp": HumanDataSet(
        files=(
            HumanDataFile(
                stem="mtp_smplx_train",
                split="train",
                images=("images/train/{n:04d}_mimic.png",),
                sizes=((240, 320), (320, 240)),
                rows=4,
                points=(marked("openpose_25", key="keypoints2d_original", noise_px=0.6),),
                traps=(trap.renamed("principal_point", "princpt"),),
            ),
            HumanDataFile(
                stem="mtp_val",
                split="val",
                images=("images/val/{n:04d}_mimic.png",),
                kind="smpl",
                lacks=("transl",),
                camera_in="nowhere",
                size_in_meta=False,
                points=(marked("openpose_25", noise_px=0.6),),
                hints=_NO_PLACE,
                traps=(trap.turned_away,),
            ),
        ),
        folder="MTP",
        npz_folder=SMPLER_X,
    ),
    "muco_3dhp": HumanDataSet(
        files=(
            HumanDataFile(
                stem="muco3dhp_train",
                split="train",
                images=("images/augmented_set/{n:06d}.jpg",),
                kind="smpl",
                sizes=((1024, 1024),),
                rows=4,
                per_picture=2,
                lacks=("transl",),
                camera_in="",
                size_in_meta=False,
                points=(marked("muco_21", noise_px=0.6),),
                hints=_NO_PLACE,
                traps=(trap.camera_dictionaries,),
            ),
        ),
        folder="MuCo",
        npz_folder=SMPLER_X,
        is_drawn=False,
    ),
    "ochuman": HumanDataSet(files=(_eft("eft_ochuman", "images/00000{n}.jpg", "OCHuman"),), npz_folder=SMPLER_X),
    "posetrack": HumanDataSet(
        files=(
            _eft("eft_posetrack", "train/000001_bonn_train/{n:06d}.jpg", "PoseTrack/data/images"),
            _flat_points("posetrack_val", "val", "images/val/000342_mpii_test/{n:06d}.jpg", "posetrack_17"),
        ),
        folder="PoseTrack/data",
        npz_folder=SMPLER_X,
    ),
    "spec": HumanDataSet(files=(_spec("train"), _spec("test")), folder="SPEC", npz_folder=SMPLER_X, is_drawn=False),
    "ssp3d": HumanDataSet(
        files=(
            HumanDataFile(
                stem="ssp3d_230525_311",
                split="all",
                images=("images/clipA_clip_1_person_0_frame_{n}.png",),
                kind="smpl",
                sizes=((512, 512),),
                rows=4,
                genders=("male", "female"),
                gender_in="words",
                has_parts=True,
                camera_in="misc",
                focal_px=(5000.0, 5000.0),
                principal_point_px=(256.0, 256.0),
                size_in_meta=False,
                points=(marked("coco_17", key="keypoints2d_original", noise_px=1.0), *exact("_smpl")),
                misc={
                    "bbox_body_scale": 1.2,
                    "bbox_facehand_scale": 1.0,
                    "bbox_source": "keypoints2d_smpl",
                    "cam_param_source": "estimated",
                    "smpl_source": "original",
                    "focal_length": (5000, 5000),
                    "principal_point": (256, 256),
                    "image_size": 512,
                },
            ),
        ),
        folder="SSP3D",
        npz_folder=SMPLER_X,
    ),
    "talkshow": HumanDataSet(
        files=tuple(_talkshow(speaker) for speaker in ("chemistry", "conan", "oliver", "seth")),
        folder="Talkshow",
        npz_folder=SMPLER_X,
        strays=(trap.broken_zip("preprocessed_datasets/talkshow_smplx_oliver_path.npz"),),
    ),
    "ubody": HumanDataSet(
        files=(
            _ubody("intra", "train", 0),
            _ubody("intra", "train", 1),
            _ubody("intra", "test", 0),
            _ubody("inter", "train", 0),
        ),
    ),
    "up3d": HumanDataSet(
        files=tuple(
            HumanDataFile(
                stem=f"up3d_{split}",
                split=split,
                images=(f"{number}000{{n}}_image.png",),
                kind="smpl",
                lacks=("transl",),
                camera_in="nowhere",
                size_in_meta=split != "test",
                points=(marked("lsp_14"),),
                hints=_NO_PLACE,
            )
            for number, split in enumerate(("trainval", "test"))
        ),
        folder="UP3D",
        npz_folder=SMPLER_X,
    ),
}
"""name: its files."""
