"""Real body parameters: a clip of SHOW (TalkSHOW), a photograph of MTP's kind, BEHAVE's detections, a motion
of BEDLAM.

The licensed body models are not at hand, so no absolute place of a mesh is asserted, but what holds for any model: the
parameters arrive as they were, in the right frame and unit, and the body stands where and how the picture shows it.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from real_records import check_points, ingest, place, samples_of

from harmonize.gate import Limits
from harmonize.geometry.cameras import project
from harmonize.geometry.rotations import aa_to_rotmat
from harmonize.keypoints import SMPLX_144, convention
from harmonize.raw.jsons import load_json
from harmonize.raw.meshes import load_ply_vertices
from harmonize.raw.npz import load_npz
from harmonize.raw.pickles import load_pickle
from harmonize.readers import open_reader
from harmonize.record import Instance

CLIP = "seth/Trump_Modeling_Agency_-_A_Couple_Things-pVAD70eSWA8.webm/5051-00_01_28-00_01_38"
RELEASE = "ExpressiveWholeBodyDatasetReleaseV1.0"
LEGS = ("left_hip", "left_knee", "left_ankle", "left_foot", "right_hip", "right_knee", "right_ankle", "right_foot")


def pixels_of(instance: Instance, *names: str) -> Any:
    """(K, 2) where the body's joints fall, in the whole picture."""
    camera, joints = instance.camera, instance.keypoints.joints3d_cam_m[[SMPLX_144.index(name) for name in names], :3]
    shift = np.array([instance.image.crop_x_px, instance.image.crop_y_px])
    return project(joints, camera.focal_px, camera.principal_point_px, camera.distortion) + shift


def test_a_clip_of_show(samples: Path, standin: Any, tmp_path: Path) -> None:
    source, raw = samples / "talkshow", tmp_path / "raw"
    file = place(source / "show_all.pkl", raw / RELEASE / CLIP / f"{Path(CLIP).name}.pkl")
    place(source / "train_val_test.json", raw / RELEASE / "train_val_test.json")
    assert ingest("talkshow", raw, "train", tmp_path / "store", images="none") == (300, {})
    clip, kept = load_pickle(file), samples_of(tmp_path / "store")
    displaced = clip["camera_transl"] * [-1, -1, 1]
    model = standin.get("smplx", "neutral")
    rest_pelvis = model.rest_pelvis_m(clip["betas"][:, :10])[0]
    for sample in kept:
        instance = sample.instance
        row, body, camera = int(instance.provenance.frame) - 1, instance.body, instance.camera
        assert tuple(camera.focal_px) == (5000, 5000)
        assert tuple(camera.principal_point_px) == (640, 360)
        assert (instance.image.width_px, instance.image.height_px) == (1280, 720)
        # 300 betas and 100 expressions are cut to 10.
        np.testing.assert_array_equal(body.betas, clip["betas"][0, :10])
        np.testing.assert_array_equal(body.expression, clip["expression"][row, :10])
        for stored, given in (
            (body.global_orient_aa, clip["global_orient"][row, 0]),
            (body.body_pose_aa, clip["body_pose_axis"][row].reshape(21, 3)),
            (body.jaw_pose_aa, clip["jaw_pose"][row]),
            (body.leye_pose_aa, clip["leye_pose"][row]),
            (body.reye_pose_aa, clip["reye_pose"][row]),
        ):
            np.testing.assert_allclose(aa_to_rotmat(stored), aa_to_rotmat(given), atol=1e-5)
        np.testing.assert_allclose(body.transl_m, clip["transl"][row] + displaced, atol=1e-5)
        np.testing.assert_allclose(instance.keypoints.joints3d_cam_m[0, :3], body.transl_m + rest_pelvis, atol=1e-4)
        known = dict(zip(SMPLX_144[1:22], body.known_body_joints, strict=True))
        assert not any(known.pop(name) for name in LEGS)
        assert all(known.values())
        assert body.has_left_hand
        assert body.has_right_hand
        # Twelve components of the model's hands, added to its mean, and not four rotations.
        for side, hand in enumerate((body.left_hand_pose_aa, body.right_hand_pose_aa)):
            coefficients = clip[("left_hand_pose", "right_hand_pose")[side]][row]
            offsets = (coefficients @ model.hand_components[side][:12]).reshape(15, 3)
            expected = aa_to_rotmat(model.hand_mean_aa[side] + offsets)
            np.testing.assert_allclose(aa_to_rotmat(hand), expected, atol=1e-4)
        assert not body.is_transl_metric
        # SMPL's y axis points down in the picture: the speaker sits upright, in the middle, cut off below.
        head, neck, pelvis = pixels_of(instance, "head", "neck", "pelvis")
        assert 0 < head[1] < neck[1] < pelvis[1]
        assert 320 < neck[0] < 960
        left, right = pixels_of(instance, "left_shoulder", "right_shoulder")
        assert left[0] > right[0], "he faces the camera"


def test_an_mtp_photograph_that_exif_turns(samples: Path, tmp_path: Path) -> None:
    """Pose, points and picture are real; no fit was published with them, so betas are zero and the camera is by eye."""
    source, raw = samples / "mtp", tmp_path / "raw"
    presented = load_pickle(source / "presented_poses/pose1.pkl")
    fit = {key: presented[key] for key in ("global_orient", "body_pose", "left_hand_pose", "right_hand_pose")}
    fit |= {
        "betas": np.zeros((1, 10)),
        "camera_rotation": aa_to_rotmat(np.array([[-2.75, 0.08, -0.05]])),
        "camera_translation": np.array([[-0.02, -0.44, 10.4]]),
        "camera_focal_length_x": np.array([[2170.0]]),
        "camera_focal_length_y": np.array([[2170.0]]),
        "camera_center": np.array([[187.5, 250.0]]),
    }
    stems, picture, truth = [], Path(), {}
    for path in sorted((source / "singleview/subject1/keypoints/pose1").glob("*.json")):
        stems.append(f"{path.stem}_singleview_pose1_subject1")
        place(path, raw / "keypoints/openpose/singleview" / f"{stems[-1]}.json")
        pickled = raw / "smplify-xmc/smplx/params/singleview" / f"{stems[-1]}.pkl"
        pickled.parent.mkdir(parents=True, exist_ok=True)
        pickled.write_bytes(pickle.dumps(fit, protocol=2))
        truth[stems[-1]] = np.array(json.loads(path.read_bytes())["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
        photograph = source / "singleview/subject1/images/pose1" / f"{path.stem}.jpeg"
        if photograph.is_file():
            picture = place(photograph, raw / "images/singleview" / f"{stems[-1]}.jpeg")
    (raw / "train_val_split.json").write_text(json.dumps({"train": stems, "val": []}))
    (raw / "subject_meta.json").write_text(json.dumps({stem: {"SubjectGender": "male"} for stem in stems}))
    limits = Limits(max_part_share=1.2)  # the presented hands are not his: they miss by 0.72 and 1.07 of their extent
    found = ingest("mtp", raw, "train", tmp_path / "store", limits=limits)
    assert found == (1, {"image-missing": 1}), "the other picture is not among the samples"
    (sample,) = samples_of(tmp_path / "store")
    instance = sample.instance
    assert instance.provenance.frame == picture.stem
    # Stored lying, 4032 x 3024; shown standing, which is what the points refer to.
    assert (instance.image.source_width_px, instance.image.source_height_px) == (3024, 4032)
    points = truth[picture.stem]
    assert points[:, 1].max() > 3024
    assert check_points(instance, convention("openpose_25").names, points) == 24
    # Angles to 15.4 rad come out as the same rotations below pi.
    assert np.abs(presented["body_pose"]).max() > 15
    angles = np.linalg.norm(instance.body.body_pose_aa, axis=1)
    assert angles.max() <= np.pi + 1e-6
    given = presented["body_pose"].reshape(21, 3)
    assert instance.source_body is not None
    np.testing.assert_allclose(
        aa_to_rotmat(instance.source_body.pose_aa[1:22].astype(float)), aa_to_rotmat(given), atol=1e-4
    )
    # He imitates the presented pose, and the body is of nobody's shape: within a twentieth of his height.
    names = ("left_shoulder", "right_shoulder", "left_elbow", "left_ankle", "right_ankle", "right_wrist")
    rows = [convention("openpose_25").names.index(f"{name}_openpose") for name in names]
    distances = np.linalg.norm(pixels_of(instance, *names) - points[rows, :2], axis=1)
    assert np.median(distances) < 0.05 * np.ptp(points[:, 1])


def test_behave_detections_without_a_fit(samples: Path, tmp_path: Path) -> None:
    """A picture of COCO under BEHAVE's file names, and the real list of test sequences."""
    source, raw = samples / "behave", tmp_path / "raw"
    names = load_json(source / "splits/behave-test.json")["seqs"]
    raw.mkdir()
    (raw / "split.json").write_text(json.dumps({"train": [], "test": names}))
    intrinsics = {"fx": 976.2, "fy": 976.0, "cx": 320.0, "cy": 260.0, "width": 640, "height": 519}
    files: dict[str, Any] = {"calibs/intrinsics/1/calibration.json": {"color": intrinsics | {"opencv": [0.0] * 12}}}
    for name in names:
        files[f"sequences/{name}/info.json"] = {"gender": "male", "kinects": [1]}
        date = name.split("_")[0]
        files[f"calibs/{date}/config/1/config.json"] = {"rotation": np.eye(3).ravel().tolist(), "translation": [0] * 3}
    for file, content in files.items():
        (raw / file).parent.mkdir(parents=True, exist_ok=True)
        (raw / file).write_text(json.dumps(content))
    folder = raw / "sequences" / names[0] / "t0003.000"
    for name in ("k1.color.jpg", "k1.color.json", "k1.mocap.json", "k1.person_mask.jpg", "k1.obj_mask.jpg"):
        place(source / "sequences_like/000000117377" / name, folder / name)
    assert len(names) == 90
    assert [unit.id for unit in open_reader("behave", raw).units("test")] == sorted(names)
    assert ingest("behave", raw, "test", tmp_path / "store") == (0, {"no-fit": 1})
    assert load_ply_vertices(source / "sequences_like/000000117377/k1.mocap.ply").shape == (6890, 3)


def test_a_motion_of_bedlam(samples: Path, standin: Any, tmp_path: Path) -> None:
    """The motion is real, as its job and subject are; where body and camera stand is not."""
    source, raw = samples / "bedlam", tmp_path / "raw"
    job, subject = "20221013_3_250_batch01hand_static_bigOffice", "rp_aaron_posed_002"
    assert job in (source / "csv/bedlam_scene_names.csv").read_text(encoding="utf-8")
    motion_name = load_json(source / "csv/whitelist_animations.json")[subject][0]
    path = raw / "neutral_ground_truth_motioninfo" / subject / motion_name / "motion_seq.npz"
    place(source / "motion/smplx_animation.npz", path)
    sequence, num_frames = "seq_000000", 126
    scene = [
        "Index,Type,Body,X,Y,Z,Yaw,Pitch,Roll,Comment",
        f"0,Group,,0,0,0,0,0,0,sequence_name={sequence};frames={num_frames}",
        f"1,Body,{subject}_{motion_name},0,0,0,90,0,0,start_frame=0;texture_body=none",
    ]
    shots = ["name,x,y,z,yaw,pitch,roll,focal_length,sensor_width,sensor_height,hfov"]
    shots += [f"{sequence}_{frame:04d}.png,-600,0,120,0,0,0,30,36,20.25,61.9" for frame in range(num_frames)]
    for file, lines in (("be_seq.csv", scene), (f"ground_truth/camera/{sequence}_camera.csv", shots)):
        (raw / job / file).parent.mkdir(parents=True, exist_ok=True)
        (raw / job / file).write_text("\n".join(lines) + "\n")
    found = ingest("bedlam", raw, "train", tmp_path / "store", form="csv", images="none")
    assert found == (num_frames, {})
    motion = load_npz(path)
    kept = samples_of(tmp_path / "store")
    kept.sort(key=lambda sample: sample.instance.provenance.frame)
    rest_pelvis = standin.get("smplx", "neutral").rest_pelvis_m(motion["betas"][None])[0]
    pelvis = np.array([sample.instance.keypoints.joints3d_cam_m[0, :3] for sample in kept])
    # One rigid map for all frames: distances in the camera are those of the motion.
    moved = np.linalg.norm(pelvis - pelvis[0], axis=1)
    np.testing.assert_allclose(moved, np.linalg.norm(motion["trans"] - motion["trans"][0], axis=1), atol=1e-4)
    # The motion's y points up: its height over the ground is the scene's, 120 cm below the camera.
    height = 1.2 - pelvis[:, 1]
    np.testing.assert_allclose(height, motion["trans"][:, 1] + rest_pelvis[1], atol=1e-4)
    for row, sample in enumerate(kept):
        body = sample.instance.body
        pose = motion["poses"][row].reshape(55, 3)
        for stored, given in (
            (body.body_pose_aa, pose[1:22]),
            (body.left_hand_pose_aa, pose[25:40]),
            (body.right_hand_pose_aa, pose[40:55]),
        ):
            np.testing.assert_allclose(aa_to_rotmat(stored), aa_to_rotmat(given), atol=1e-5)
        assert not body.jaw_pose_aa.any()
        assert not body.leye_pose_aa.any()
        head, feet = pixels_of(sample.instance, "head", "left_foot")
        assert head[1] < feet[1] - 50
    # Between frames everything turns with the body: R_i = R R(pose_i) for one R.
    turns = [
        aa_to_rotmat(sample.instance.body.global_orient_aa.astype(float)) @ aa_to_rotmat(motion["poses"][row, :3]).T
        for row, sample in enumerate(kept)
    ]
    assert np.ptp(turns, axis=0).max() < 1e-5
