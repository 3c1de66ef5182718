"""The people of a store as HumanData npz files, and questions answered from those with numpy: what the catalog is
measured against.

The files have the layout that SMPLer-X trains from: one compressed npz a dataset (several for the largest), `smplx` a
dictionary in a 0-d object array, keypoint arrays cut to the columns that their masks name. They hold the 55 points that
a synthetic store has, on its grid, where real ones hold 144 of full precision: loading real files takes longer.
Deflation is that of level 1, which is sooner written and as fast to read. People without a body are left out, as they
are in released files; unknown betas are zeros.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalogs.attributes.family import Rows
from harmonize.record import NUM_JOINTS
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.names import INDEX

MAX_ROWS = 200_000
NUM_HUMANDATA = 190
LOADER_KEYS = ("image_path", "bbox_xywh", "lhand_bbox_xywh", "rhand_bbox_xywh", "face_bbox_xywh", "smplx", "meta")
POINT_KEYS = {"keypoints2d_smplx": "keypoints_joints2d_px", "keypoints3d_smplx": "keypoints_joints3d_cam_m"}
_SMPLX = {
    **{"global_orient": "global_orient_aa", "body_pose": "body_pose_aa", "betas": "betas", "transl": "transl_m"},
    **{"left_hand_pose": "left_hand_pose_aa", "right_hand_pose": "right_hand_pose_aa", "jaw_pose": "jaw_pose_aa"},
    **{"leye_pose": "leye_pose_aa", "reye_pose": "reye_pose_aa", "expression": "expression"},
}
_BOXES = {"bbox_xywh": "person", "lhand_bbox_xywh": "left_hand", "rhand_bbox_xywh": "right_hand"}
_BOXES |= {"face_bbox_xywh": "face"}
_COLUMNS = (
    *("key", "dataset", "split", "image_path", "image_source_width_px", "image_source_height_px", "body_has_body"),
    *("camera_focal_px", "camera_principal_point_px", "body_has_betas"),
    *(f"body_{name}" for name in _SMPLX.values()),
    *(f"boxes_{name}_xywh_px" for name in _BOXES.values()),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One npz to write: the people of some shards, with keypoint arrays or without."""

    path: Path
    indexes: tuple[Path, ...]
    has_points: bool


def parts(store: Path, folder: Path, *, has_points: bool = True) -> list[Part]:
    """The files that hold the people of a store. Keypoint arrays are most of the bytes of such a file."""
    found = []
    for dataset in sorted(path for path in store.iterdir() if path.is_dir()):
        indexes = sorted(path for path in dataset.glob(f"*/*{INDEX}") if ".rejects" not in path.name)
        step = MAX_ROWS // 1000
        for number, first in enumerate(range(0, len(indexes), step)):
            chosen = tuple(indexes[first : first + step])
            found.append(Part(folder / f"{dataset.name}_train_{number}.npz", chosen, has_points))
    return found


def write_part(part: Part) -> int:
    """Write one npz; the number of its rows."""
    points = POINT_KEYS if part.has_points else {}
    tables = [read_table(path, INDEX_SCHEMA, [*_COLUMNS, *points.values()]) for path in part.indexes]
    table = pa.concat_tables(tables).combine_chunks()
    rows = Rows(shard=part.path.stem, table=table.filter(table.column("body_has_body")))
    part.path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(part.path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for key, value in _content(rows, points).items():
            with file.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(value), allow_pickle=True)
    return len(rows)


def _content(rows: Rows, point_keys: Mapping[str, str]) -> dict[str, Any]:
    smplx = {key: rows.array(f"body_{name}") for key, name in _SMPLX.items()}
    smplx["betas"] = np.where(rows.array("body_has_betas")[:, None], smplx["betas"], np.float32(0))
    meta = {
        "height": rows.array("image_source_height_px").tolist(),
        "width": rows.array("image_source_width_px").tolist(),
        "focal_length": rows.array("camera_focal_px"),
        "principal_point": rows.array("camera_principal_point_px"),
    }
    content: dict[str, Any] = {
        "__key_strict__": False,
        "__data_len__": len(rows),
        "__keypoints_compressed__": True,
        "config": rows.shard,
        "image_path": rows.texts("image_path"),
        "smplx": _boxed(smplx),
        "meta": _boxed(meta),
        "misc": _boxed({"kps3d_root_aligned": False, "flat_hand_mean": True}),
        **{key: rows.array(f"boxes_{name}_xywh_px") for key, name in _BOXES.items()},
    }
    for key, name in point_keys.items():
        points = rows.array(name)
        held = (points[..., -1] > 0).any(axis=0)
        mask = np.zeros(NUM_HUMANDATA, np.uint8)
        mask[:NUM_JOINTS] = held
        content |= {key: points[:, held], f"{key}_mask": mask}
    return content


def _boxed(value: Mapping[str, Any]) -> npt.NDArray[np.object_]:
    box = np.empty((), object)
    box[()] = dict(value)
    return box


def load(folder: Path, keys: Sequence[str] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dataset and content of each file: of these keys, or of all that SMPLer-X's loader reads. The files are ours."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=True) as file:
            wanted = [key for key in (*LOADER_KEYS, *POINT_KEYS) if key in file] if keys is None else keys
            yield path.stem.rsplit("_train_", 1)[0], {key: file[key] for key in wanted}


def orientation(folder: Path, keys: Sequence[str] | None = ("smplx",)) -> dict[str, npt.NDArray[np.intp]]:
    """People in each of 24 x 9 equal-area cells of the viewing direction, per dataset."""
    counts: dict[str, npt.NDArray[np.intp]] = {}
    for dataset, content in load(folder, keys):
        aa = content["smplx"].item()["global_orient"].reshape(-1, 3).astype(np.float64)
        angle = np.linalg.norm(aa, axis=1)
        x, y, z = aa.T
        a = np.sinc(angle / np.pi)
        b = 0.5 * np.sinc(angle / 2 / np.pi) ** 2
        seen_from = -np.stack([b * x * z - a * y, b * y * z + a * x, np.cos(angle) + b * z * z])
        azimuth = np.degrees(np.arctan2(seen_from[0], seen_from[2]))
        azimuth_bin = np.floor((azimuth + 180) / 360 * 24 + 0.5).astype(int) % 24
        elevation_bin = np.minimum(np.floor((np.clip(seen_from[1], -1, 1) + 1) / 2 * 9), 8).astype(int)
        found = np.bincount(elevation_bin * 24 + azimuth_bin, minlength=216)
        counts[dataset] = counts.get(dataset, np.zeros(216, np.intp)) + found
    return counts


def flexion(folder: Path, keys: Sequence[str] | None = ("smplx",)) -> dict[str, npt.NDArray[np.intp]]:
    """Knees and elbows (2, 18) in bins of 10 degrees of bend, per dataset."""
    counts: dict[str, npt.NDArray[np.intp]] = {}
    for dataset, content in load(folder, keys):
        pose = content["smplx"].item()["body_pose"].reshape(-1, 21, 3).astype(np.float64)
        found = np.stack([_bends(pose[:, [3, 4]], 1), _bends(pose[:, [17, 18]], 0)])
        counts[dataset] = counts.get(dataset, np.zeros_like(found)) + found
    return counts


def _bends(aa: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.intp]:
    angle = np.linalg.norm(aa, axis=-1)
    b = 0.5 * np.sinc(angle / 2 / np.pi) ** 2
    half = np.sqrt(np.clip(b * (angle**2 - aa[..., axis] ** 2) / 2, 0, 1))
    bins = np.minimum(np.degrees(2 * np.arcsin(half)) // 10, 17).astype(int)
    return np.bincount(bins.reshape(-1), minlength=18)


def betas(folder: Path, keys: Sequence[str] | None = ("smplx",)) -> dict[str, tuple[int, float, float]]:
    """Number, mean and standard deviation of the norm of the betas of people who have any, per dataset."""
    norms: dict[str, list[npt.NDArray[np.float64]]] = {}
    for dataset, content in load(folder, keys):
        values = content["smplx"].item()["betas"].reshape(-1, 10).astype(np.float64)
        norms.setdefault(dataset, []).append(np.linalg.norm(values[values.any(axis=1)], axis=1))
    joined = {dataset: np.concatenate(parts) for dataset, parts in norms.items()}
    return {dataset: (len(values), float(values.mean()), float(values.std())) for dataset, values in joined.items()}
