"""From raw files to attributes: what is said of the people of miniatures equals what the synthetic world knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from posed_rows import apart_deg
from scipy.spatial.transform import Rotation

from catalogs.attributes import FAMILIES, engine, files
from catalogs.attributes.kinematics import BODY_JOINTS
from harmonize.bodies import BodyBatch, BodyModel
from harmonize.miniatures import MINIATURES, Truth
from harmonize.readers import READERS, splits_of
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.plan import IngestJob, IngestOptions
from pipelines.ingest import ingest

INDEX_COLUMNS = [
    *("key", "split", "sequence", "frame", "person", "body_body_pose_aa", "body_global_orient_aa"),
    *("keypoints_joints3d_cam_m", "keypoints_joints3d_origin"),
]


@dataclass(frozen=True)
class World:
    """A dataset's truth, the body poses (P, 21, 3) that its meshes have, and its ingested people with attributes."""

    truth: Truth
    form: str
    shown_aa: np.ndarray
    samples: list[dict[str, Any]]

    def kept(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The true person of each sample that is neutral SMPL-X in the raw files: nothing was fitted."""
        people = {person.identity[1:]: person for person in self.truth.kept(form=self.form) + self.truth.kept()}
        for sample in self.samples:
            person = people.get(tuple(sample[name] for name in ("split", "sequence", "frame", "person")))
            if person is not None and person.has_body and (person.kind, person.gender) == ("smplx", "neutral"):
                yield person, sample


@pytest.fixture(scope="module", params=["gta_human2", "mscoco"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    shown = []
    vertices = BodyModel.vertices

    def remember(model: BodyModel, batch: BodyBatch) -> Any:
        if model.kind == "smplx":
            shown.append(batch.pose_aa[:, 1:22])
        return vertices(model, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BodyModel, "vertices", remember)
        truth = MINIATURES[name](folder / "raw")
    options = IngestOptions(images="none", shard_samples=100_000, max_reject_share=1.0)
    jobs = [
        IngestJob(
            reader=name, root=folder / "raw", split=split, store=folder / "s", body_models="standin", options=options
        )
        for split in splits_of(name)
    ]
    ingest(jobs, runner="inline", num_workers=1)
    samples: list[dict[str, Any]] = []
    for family in ("orientation", "pose", "skeleton"):
        for job in engine.plan(folder / "s", FAMILIES[family]).pending:
            engine.run(job)
    for path, manifest in engine.shards_of(folder / "s"):
        shard = f"{manifest.dataset}-{manifest.split}-{manifest.shard:06d}"
        table = read_table(path / f"{shard}.parquet", INDEX_SCHEMA, INDEX_COLUMNS)
        for family in ("orientation", "pose", "skeleton"):
            values = files.read_attributes(files.folder_of(path, family), shard).drop_columns(
                ["key", "dataset", "split"]
            )
            table = pa.Table.from_arrays(
                [*table.columns, *values.columns], names=[*table.column_names, *values.column_names]
            )
        samples += table.to_pylist()
    return World(truth, READERS[name].forms[0], np.concatenate(shown).astype(float), samples)


def true_turn(person: Any, skeleton: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and the 22 joints about the pelvis (22, 3) in the camera, from the true joints alone.

    Pelvis, hips and lowest spine are one rigid piece: how it is turned is how the body is.
    """
    joints = person.joints_cam_m[:22] - person.joints_cam_m[0]
    rigid = [1, 2, 3]
    turn, _ = Rotation.align_vectors(joints[rigid], skeleton[rigid])
    return turn.as_matrix(), joints


def test_orientation_of_each_person_is_the_true_one(world: World) -> None:
    num = 0
    for person, sample in world.kept():
        turn, _ = true_turn(person, np.reshape(sample["joints_m"], (22, 3)))
        # Where the camera looks along, seen by the body; and where the head points in the picture.
        towards, up = turn.T @ [0, 0, -1], turn @ [0, 1, 0]
        assert apart_deg(sample["azimuth_deg"], np.degrees(np.arctan2(towards[0], towards[2]))) < 0.5
        assert sample["elevation_deg"] == pytest.approx(np.degrees(np.arcsin(towards[1])), abs=0.5)
        assert apart_deg(sample["roll_deg"], np.degrees(np.arctan2(up[0], -up[1]))) < 0.5
        num += 1
    assert num >= 8


def test_skeleton_of_each_person_is_the_true_one(world: World) -> None:
    for person, sample in world.kept():
        skeleton = np.reshape(sample["joints_m"], (22, 3))
        turn, joints = true_turn(person, skeleton)
        assert 1000 * np.abs(joints @ turn - skeleton).max() < 1.0


def test_skeletons_are_the_joints_that_the_records_carry(world: World) -> None:
    num = 0
    for sample in world.samples:
        if sample["keypoints_joints3d_origin"] != "body" or not sample["has_feet"]:
            continue
        joints = np.reshape(sample["keypoints_joints3d_cam_m"], (144, 4))[:22, :3]
        back = Rotation.from_rotvec(sample["body_global_orient_aa"]).inv().apply(joints - joints[0])
        assert 1000 * np.abs(back - np.reshape(sample["joints_m"], (22, 3))).max() < 0.1
        num += 1
    assert num >= 8


def test_joint_angles_have_the_distribution_of_the_world(world: World) -> None:
    """Mean and standard deviation of each joint over the people, against those of the poses that the world shows."""
    samples = [sample for _, sample in world.kept()]
    poses = np.array([sample["body_body_pose_aa"] for sample in samples]).reshape(-1, 21, 3)
    apart = np.abs(poses[:, None] - world.shown_aa[None]).max(axis=(2, 3))
    assert apart.min(axis=1).max() < 1e-3
    drawn = world.shown_aa[apart.argmin(axis=1)]
    true = np.degrees(Rotation.from_rotvec(drawn.reshape(-1, 3)).magnitude()).reshape(-1, 21)
    found = np.array([[sample[f"{name}_deg"] for name in BODY_JOINTS] for sample in samples])
    assert np.abs(found.mean(axis=0) - true.mean(axis=0)).max() < 0.1
    assert np.abs(found.std(axis=0) - true.std(axis=0)).max() < 0.1
    knees = drawn[:, [BODY_JOINTS.index("left_knee"), BODY_JOINTS.index("right_knee")]]
    bends = np.array([[sample[f"{side}_knee_flexion_deg"] for side in ("left", "right")] for sample in samples])
    # The world's knees bend about x by 0.05 to 0.9 rad, and about nothing else by more than 0.05.
    assert np.abs(bends - np.degrees(knees[:, :, 0])).max() < 3
    assert all(sample["plausibility"] == 1 for sample in samples)
