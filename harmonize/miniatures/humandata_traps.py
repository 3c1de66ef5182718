"""What single converters do to their HumanData files beyond habits: each function makes one of these things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from harmonize.miniatures.humandata_files import Draft, Trap
from harmonize.miniatures.points import padded, tight_box


def only_some_valid(draft: Draft) -> None:
    """AGORA and its like: a flag a row; the people whose flag is lowered stay in the file."""
    draft.meta["annot_valid"] = [person.is_kept for person in draft.truth]


def kid_betas(draft: Draft) -> None:
    """The weight of the kid's template as one more shape number, apart from the betas."""
    draft.body()["betas_extra"] = np.array([[one.person.kid_weight] for one in draft.seen])


def world_to_camera(draft: Draft) -> None:
    """The camera's pose, although the parameters are in the camera frame already."""
    poses = np.tile(np.eye(4), (len(draft.seen), 1, 1))
    poses[:, :3, :3] = Rotation.random(len(draft.seen), random_state=draft.rng).as_matrix()
    poses[:, :3, 3] = draft.rng.normal(0.0, 2.0, (len(draft.seen), 3))
    draft.meta["RT"] = list(poses)
    folders = [person.sequence.replace("/", "_") for person in draft.truth]
    draft.meta["sequence_name"] = [f"{folder}_{row % 2}" for row, folder in enumerate(folders)]


def two_blocks(draft: Draft) -> None:
    """The two people of a video: all frames of the first, then all of the second."""
    half = len(draft.seen) // 2
    draft.meta["subject_id"] = [int(row >= half) for row in range(len(draft.seen))]
    draft.meta["sequence_name"] = [f"take_{int(row >= half)}" for row in range(len(draft.seen))]


def surplus_pictures(draft: Draft) -> None:
    """A list of pictures that is longer than the arrays: the surplus names nobody."""
    names = draft.content["image_path"]
    draft.content["image_path"] = np.append(names, names[-1])


def camera_ids(draft: Draft) -> None:
    """The number of the camera, a text."""
    draft.meta["cam_id"] = [f"{row % 48:02d}" for row in range(len(draft.seen))]


def detections_called_3d(draft: Draft) -> None:
    """Points in pixels under a name of 3D points, and only those of the last recording."""
    draft.content["keypoints3d_original"] = draft.rng.uniform(0, 1000, (len(draft.seen) + 3, 25, 3))
    draft.content["keypoints3d_original_mask"] = np.zeros(190, np.uint8)


def empty_lists(*names: str) -> Trap:
    """Lists that a converter declares and never fills."""

    def trap(draft: Draft) -> None:
        draft.meta.update({name: [] for name in names})

    return trap


def per_row(name: str, *values: Any) -> Trap:
    """Side data of `meta`, the values in turn."""

    def trap(draft: Draft) -> None:
        draft.meta[name] = [values[row % len(values)] for row in range(len(draft.seen))]

    return trap


def renamed(old: str, new: str) -> Trap:
    """An entry of `meta` under the name of another time."""

    def trap(draft: Draft) -> None:
        draft.meta[new] = draft.meta.pop(old)

    return trap


def scalar_focal(draft: Draft) -> None:
    """One focal length a row, not two; height and width are floats."""
    for name in ("height", "width"):
        draft.meta[name] = np.array(draft.meta[name], np.float64)
    draft.meta["focal_length"] = np.array(draft.meta["focal_length"])[:, 0]
    draft.meta["principal_point"] = np.array(draft.meta["principal_point"])


def crop_cameras(draft: Draft) -> None:
    """EFT: scale and shift of the body in a square crop, and the crop, beside the box of the points."""
    squares = np.array([one.box_xywh for one in draft.seen])
    scale = np.array([2 * one.focal_px[0] / (one.person.transl_m[2] * one.box_xywh[3]) for one in draft.seen])
    shift = np.array([one.person.transl_m[:2] for one in draft.seen])
    draft.content["bbox_xywh_vis"] = np.column_stack([squares, np.ones(len(squares))])
    draft.meta["pred_cam"] = np.column_stack([scale, scale[:, None] * shift])


def camera_dictionaries(draft: Draft) -> None:
    """MuCo: a list of cameras, one a row, instead of `meta`."""
    draft.content["cam_param"] = np.array(
        [
            {
                "K": np.array([[one.focal_px[0], 0, x], [0, one.focal_px[1], y], [0, 0, 1]]),
                "R": np.eye(3),
                "T": np.zeros(3),
                "H": person.image_size_px[1],
                "W": person.image_size_px[0],
            }
            for one, person in zip(draft.seen, draft.truth, strict=True)
            for x, y in (one.principal_point_px,)
        ],
        dtype=object,
    )


def ubody_lists(draft: Draft) -> None:
    """UBody: eyes of no rows, points of four columns, a mask a row, and the flags of its json."""
    rows = len(draft.seen)
    draft.body().update(leye_pose=np.zeros((0, 3)), reye_pose=np.zeros((0, 3)))
    draft.content["keypoints2d_smplx_trunc_mask"] = np.ones((rows, 190, 1))
    points = draft.content["keypoints2d_ubody"]
    draft.content["keypoints2d_ubody"] = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    draft.meta["valid_label"] = [2 if person.reject_hint != "invalid" else 0 for person in draft.truth]
    draft.meta["iscrowd"] = [int(person.reject_hint == "crowd") for person in draft.truth]
    draft.meta["num_keypoints"] = [17] * rows
    for part in ("lefthand", "righthand", "face"):
        draft.meta[f"{part}_valid"] = [True] * rows


def hands_told_valid(draft: Draft) -> None:
    """MSCOCO: flags of hands and face among the parameters; the left hand of the last row was never fitted."""
    rows = len(draft.seen)
    draft.body().update({name: np.ones(rows) for name in ("left_hand_valid", "right_hand_valid", "face_valid")})
    draft.body()["left_hand_valid"][-1] = 0.0


def hidden_points(draft: Draft) -> None:
    """SynBody: the confidence of a point is whether it can be seen; hidden ones keep their true place."""
    for name in ("keypoints2d_smplx", "keypoints3d_smplx"):
        points = draft.content[name]
        points[..., -1] = draft.rng.random(points.shape[:2]) < 0.7


def contact_labels(draft: Draft) -> None:
    """RICH: vertices that touch something; of no use here."""
    draft.content["contact"] = {
        "smpl_vertex": np.zeros((len(draft.seen), 6890), np.uint8),
        "part_segmentation": [{} for _ in draft.seen],
    }


def vertex_files(draft: Draft) -> None:
    """ARCTIC's p1_val: where the meshes lie that its betas do not give."""
    draft.content["vertices3d_path"] = np.array([f"vertices/{row:06d}.npy" for row in range(len(draft.seen))])


def boxes_distrusted_at_the_border(draft: Draft) -> None:
    """GTA-Human II: a box that touches one border has confidence 0, although nothing is wrong with the person."""
    box = draft.content["bbox_xywh"][0]
    box[:] = (0.0, box[1], box[0] + box[2], box[3], 0.0)


def one_hidden_hand(draft: Draft) -> None:
    """A box of no confidence where a hand is not seen."""
    draft.content["lhand_bbox_xywh"][-1] = 0.0


def boxes_by_dataset(draft: Draft) -> None:
    """Boxes as the dataset has them, not padded."""
    draft.content["bbox_xywh"] = np.array([np.append(tight_box(one.joints_px), 1.0) for one in draft.seen])


def square_boxes(draft: Draft) -> None:
    """Square boxes, larger than usual."""
    for row, one in enumerate(draft.seen):
        x, y, width, height = padded(tight_box(one.joints_px), 1.2)
        side = max(width, height)
        draft.content["bbox_xywh"][row, :4] = (x + (width - side) / 2, y + (height - side) / 2, side, side)


def broken_zip(name: str) -> Callable[[Path], None]:
    """A file of the right name that is no npz."""

    def stray(root: Path) -> None:
        (root / name).write_bytes(b"PK\x03\x04 cut short")

    return stray


def loader_cache(name: str) -> Callable[[Path], None]:
    """The cache of SMPLer-X's loader: one pickled dictionary a person, no HumanData."""

    def stray(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        entries: dict[str, Any] = {"0": np.array({"img_path": "x.jpg"}, object), "data_len": np.array(1)}
        np.savez(root / name, **entries, data_strategy=np.array("balance"))

    return stray


def vibe_features(name: str) -> Callable[[Path], None]:
    """VIBE's InstaVariety: features and detections of frames that are no files, and no body."""

    def stray(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            root / name,
            __key_strict__=np.array(False),
            __data_len__=np.array(1),
            __keypoints_compressed__=np.array(False),
            config=np.array("instavariety"),
            image_path=np.array(["a_video/0"]),
            video_path=np.array(["a_video"]),
            frame_idx=np.array([0]),
            bbox_xywh=np.ones((1, 5)),
            keypoints2d=np.zeros((1, 190, 3)),
            keypoints2d_mask=np.zeros(190, np.uint8),
            features=np.zeros((1, 2048), np.float32),
        )

    return stray


def turned_away(draft: Draft) -> None:
    """MTP: orientations of the world, without the camera's turn."""
    parameters = draft.body("smpl")
    turn = Rotation.from_euler("x", 180, degrees=True)
    parameters["global_orient"] = (turn * Rotation.from_rotvec(parameters["global_orient"])).as_rotvec()
