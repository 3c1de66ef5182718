"""Human3.6M as parsed json with fits and as official archives, hand-made from their descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cdflib.cdfwrite import CDF
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.geometry.cameras import imar_distortion
from harmonize.readers.h36m import H36m

RNG = np.random.default_rng(36)
ROTMAT = Rotation.from_euler("XYZ", [np.pi / 2, 0.2, -0.1]).as_matrix()
CENTRE_MM = np.array([100.0, -5000.0, 1200.0])
TRANSL_MM = -ROTMAT @ CENTRE_MM
FOCAL, CENTRE_PX = [1145.0, 1143.8], [512.5, 515.5]
LENS = {"k": [-0.207, 0.2477, -0.003], "p": [-0.0014, -0.00097]}
SKELETON_MM = np.array([0.0, 0.0, 1000.0]) + RNG.normal(size=(17, 3)) * 300


def fit(model: str = "smplx") -> dict[str, list[float]]:
    pose = RNG.normal(size=72) * 0.2
    shared = {"shape": RNG.normal(size=10).tolist(), "trans": [0.1, -0.2, 1.3]}
    if model == "smpl":
        return {"pose": pose.tolist(), **shared}
    return {"root_pose": pose[:3].tolist(), "body_pose": pose[:63].tolist(), **shared}


def release(
    root: Path,
    *,
    subject: int = 1,
    sequence: tuple[int, int, int] = (2, 1, 1),
    frames: tuple[int, ...] = (0, 1),
    transl_mm: Any = TRANSL_MM,
    fits: dict[str, Any] | None = None,
    **image_changes: Any,
) -> dict[str, Any]:
    action, subaction, camera = sequence
    folder = f"s_{subject:02d}_act_{action:02d}_subact_{subaction:02d}_ca_{camera:02d}"
    ids = {"subject": subject, "action_idx": action, "subaction_idx": subaction, "cam_idx": camera}
    images, annotations = [], []
    for frame in frames:
        name = f"{folder}/{folder}_{frame + 1:06d}.jpg"
        image = {"id": 70 + frame, "file_name": name, "width": 1000, "height": 1002, "frame_idx": frame, **ids}
        images.append(image | image_changes)
        person = {"id": 700 + frame, "image_id": 70 + frame, "bbox": [400, 300, 120, 240]}
        annotations.append(person | {"keypoints_vis": [True] * 17})
    lens = {"R": ROTMAT.tolist(), "t": list(transl_mm), "f": FOCAL, "c": CENTRE_PX}

    def by_frame(values: dict[str, Any]) -> dict[str, Any]:
        return {str(action): {str(subaction): values}}

    files = {
        "data": {"images": images, "annotations": annotations},
        "camera": {str(camera): lens},
        "joint_3d": by_frame({str(frame): SKELETON_MM.tolist() for frame in frames}),
        "SMPLX_NeuralAnnot": by_frame({str(f): fit() for f in frames} if fits is None else fits),
        "SMPL_NeuralAnnot": by_frame({str(frame): fit("smpl") for frame in frames}),
    }
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for kind, content in files.items():
        (root / f"annotations/Human36M_subject{subject}_{kind}.json").write_text(json.dumps(content))
    return files


def people(root: Path, split: str = "train", form: str = "neuralannot") -> list[Annotation | Reject]:
    reader = H36m(root, form=form)
    return [item for unit in reader.units(split) for item in reader.read(split, unit)]


def kept(items: list[Annotation | Reject]) -> list[Annotation]:
    assert all(isinstance(item, Annotation) for item in items), items
    return [item for item in items if isinstance(item, Annotation)]


def in_camera_m(points_mm: np.ndarray) -> np.ndarray:
    return (points_mm @ ROTMAT.T + TRANSL_MM) / 1000


def test_a_fit_is_in_the_world_in_metres_and_joints_are_in_millimetres(tmp_path: Path) -> None:
    files = release(tmp_path)
    first, second = kept(people(tmp_path))
    assert first.provenance.sequence == "s_01_act_02_subact_01_ca_01"
    assert [one.provenance.frame for one in (first, second)] == ["000001", "000002"], "files count from 1"
    assert (first.provenance.person, first.provenance.subject, first.provenance.label_origin) == (
        "0",
        "S1",
        "neuralannot",
    )
    assert first.image.path.endswith("images/s_01_act_02_subact_01_ca_01/s_01_act_02_subact_01_ca_01_000001.jpg")
    body = first.body
    assert body is not None
    entry = files["SMPLX_NeuralAnnot"]["2"]["1"]["0"]
    np.testing.assert_allclose(body.pose_aa[:22].ravel(), entry["root_pose"] + entry["body_pose"], rtol=1e-6)
    assert not body.pose_aa[22:].any()
    np.testing.assert_allclose(body.transl_m, [0.1, -0.2, 1.3], rtol=1e-6)
    assert body.to_cam is not None
    np.testing.assert_allclose(body.to_cam.rotmat, ROTMAT)
    np.testing.assert_allclose(body.to_cam.transl_m, TRANSL_MM / 1000)
    assert (body.model, body.gender, body.hands) == ("smplx", "neutral", "absent")
    assert set(body.unknown_joints) == {"left_ankle", "right_ankle", "left_wrist", "right_wrist"}
    assert not any((body.has_left_hand, body.has_right_hand, body.has_jaw, body.has_expression))
    assert first.keypoints3d is not None
    np.testing.assert_allclose(first.keypoints3d.values[:, :3], in_camera_m(SKELETON_MM), atol=1e-5)
    assert first.camera.is_calibrated
    assert first.camera.has_extrinsics
    assert not first.camera.distortion.any()


def test_the_right_leg_comes_first(tmp_path: Path) -> None:
    release(tmp_path)
    points = kept(people(tmp_path))[0].keypoints3d
    assert points is not None
    assert points.names[1:4] == ("right_hip_extra", "right_knee", "right_ankle")
    assert points.names[11:14] == ("left_shoulder", "left_elbow", "left_wrist")


def test_boxes_lose_their_padding(tmp_path: Path) -> None:
    release(tmp_path)
    np.testing.assert_allclose(kept(people(tmp_path))[0].boxes.person_xywh_px, [410, 320, 100, 200, 1])


def test_a_camera_centre_in_place_of_a_translation_shows_in_the_picture(tmp_path: Path) -> None:
    release(tmp_path, transl_mm=CENTRE_MM)
    person = kept(people(tmp_path))[0]
    assert person.keypoints3d is not None
    np.testing.assert_allclose(person.keypoints3d.values[:, :3], in_camera_m(SKELETON_MM), atol=1e-5)


def test_smpl_fits_are_a_form(tmp_path: Path) -> None:
    files = release(tmp_path)
    body = kept(people(tmp_path, form="neuralannot_smpl"))[0].body
    assert body is not None
    assert body.model == "smpl"
    np.testing.assert_allclose(body.pose_aa.ravel(), files["SMPL_NeuralAnnot"]["2"]["1"]["0"]["pose"], rtol=1e-6)


def test_a_frame_without_a_fit_keeps_its_joints(tmp_path: Path) -> None:
    release(tmp_path, fits={"1": fit()})
    without, with_fit = kept(people(tmp_path))
    assert without.body is None
    assert without.keypoints3d is not None
    assert without.provenance.label_origin == "capture"
    assert with_fit.body is not None


def test_the_corrupt_sequence_is_rejected(tmp_path: Path) -> None:
    release(tmp_path, subject=11, sequence=(2, 2, 1))
    assert {item.reason for item in people(tmp_path, "test") if isinstance(item, Reject)} == {"corrupt-video"}
    release(tmp_path, subject=11, sequence=(2, 2, 2))
    assert len(kept(people(tmp_path, "test"))) == 2


@pytest.mark.parametrize("sequence", [(10, 2, 1), (13, 1, 1), (5, 2, 1)])
def test_shifted_sequences_of_s9_are_moved_back(tmp_path: Path, sequence: tuple[int, int, int]) -> None:
    release(tmp_path, subject=9, sequence=sequence)
    person = kept(people(tmp_path, "test"))[0]
    assert person.body is not None
    assert person.body.transl_m is not None
    np.testing.assert_allclose(person.body.transl_m, [-0.1, -0.2, 1.3], rtol=1e-5)
    assert person.keypoints3d is not None
    np.testing.assert_allclose(
        person.keypoints3d.values[:, :3], in_camera_m(SKELETON_MM - np.array([200, 0, 0])), atol=1e-5
    )
    assert not person.boxes.person_xywh_px.any(), "its box is shifted too"


def test_other_sequences_of_s9_are_right(tmp_path: Path) -> None:
    release(tmp_path, subject=9, sequence=(5, 1, 1))
    body = kept(people(tmp_path, "test"))[0].body
    assert body is not None
    np.testing.assert_allclose(body.transl_m, [0.1, -0.2, 1.3], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"frame_idx": 8}, "expected the number 9"),
        ({"fits": {"0": {**fit(), "body_pose": [0.0] * 60}}}, "body_pose"),
        ({"fits": {"0": None}}, "root_pose"),
        ({"transl_mm": [1.0]}, "'t'"),
    ],
)
def test_wrong_values_reject_their_people(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    release(tmp_path, frames=(0,), **changes)
    [reject] = people(tmp_path)
    assert isinstance(reject, Reject)
    assert reject.reason == "malformed"
    assert expected in reject.detail


def test_a_picture_without_its_ids_is_an_error_of_the_file(tmp_path: Path) -> None:
    release(tmp_path, action_idx="x")
    with pytest.raises(RawFileError, match=r"subject1_data\.json: .*action_idx"):
        people(tmp_path)


def test_a_wrong_root_is_told_in_the_datasets_words(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"annotations/Human36M_subject1_data\.json"):
        people(tmp_path)
    with pytest.raises(RawLayoutError, match=r"metadata\.xml"):
        people(tmp_path, form="cdf")
    metadata(tmp_path)
    with pytest.raises(RawLayoutError, match="S1/MyPoseFeatures"):
        people(tmp_path, form="cdf")
    release(tmp_path)
    (tmp_path / "annotations/Human36M_subject1_camera.json").unlink()
    with pytest.raises(RawLayoutError, match="Human36M_subject1_camera"):
        people(tmp_path)


# --- official archives ------------------------------------------------------------------------------------------------


def metadata(root: Path) -> None:
    place = [*[np.pi / 2, 0.2, -0.1], *CENTRE_MM]
    numbers = place * 44 + [*FOCAL, *CENTRE_PX, *LENS["k"], *LENS["p"]] * 4
    ids = "".join(f"<item>{name}</item>" for name in ("54138969", "55011271", "58860488", "60457274"))
    root.mkdir(exist_ok=True)
    (root / "metadata.xml").write_text(
        f"<a><w0>[{' '.join(map(repr, map(float, numbers)))}]</w0><dbcameras><index2id>{ids}</index2id></dbcameras></a>"
    )


def poses(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cdf = CDF(path, delete=True)
    spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": [*values.shape]}
    cdf.write_var(spec, var_data=values[None])
    cdf.close()


POSITIONS_MM = np.array([0.0, 0.0, 5000.0]) + RNG.normal(size=(3, 32, 3)) * 400


def official(
    root: Path, subject: str = "S1", name: str = "Directions 1.54138969", folder: str = "D3_Positions_mono"
) -> None:
    metadata(root)
    poses(root / f"{subject}/MyPoseFeatures/{folder}/{name}.cdf", POSITIONS_MM.reshape(3, 96))


def test_official_joints_are_in_the_camera_and_pictures_in_the_video(tmp_path: Path) -> None:
    official(tmp_path)
    poses(tmp_path / "S1/MyPoseFeatures/D3_Positions_mono/_ALL.54138969.cdf", POSITIONS_MM.reshape(3, 96))
    found = kept(people(tmp_path, form="cdf"))
    assert [one.provenance.frame for one in found] == ["000000", "000001", "000002"], "_ALL is no action"
    one = found[2]
    assert (one.provenance.sequence, one.body) == ("S1/Directions 1.54138969", None)
    assert one.image.path == "S1/Videos/Directions 1.54138969.mp4"
    assert one.image.video is not None
    assert (one.image.video.index, one.image.video.num_frames) == (2, 3)
    assert one.keypoints3d is not None
    expected = POSITIONS_MM[2, [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]] / 1000
    np.testing.assert_allclose(one.keypoints3d.values[:, :3], expected)
    np.testing.assert_allclose(one.camera.distortion, imar_distortion(LENS["k"], LENS["p"]), rtol=1e-6)
    np.testing.assert_allclose(one.camera.world_to_cam_transl_m, TRANSL_MM / 1000, rtol=1e-6)


def test_the_lens_bends_projected_points(tmp_path: Path) -> None:
    official(tmp_path)
    [points] = kept(people(tmp_path, form="cdf"))[0].keypoints2d
    x, y, z = POSITIONS_MM[0, 27]
    straight = np.array(FOCAL) * [x / z, y / z] + CENTRE_PX
    assert np.linalg.norm(points.values[16, :2] - straight) > 0.01
    poses(tmp_path / "S1/MyPoseFeatures/D2_Positions/Directions 1.54138969.cdf", np.full((3, 64), 77.0))
    [stored] = kept(people(tmp_path, form="cdf"))[0].keypoints2d
    np.testing.assert_array_equal(stored.values[:, :2], 77)


def test_points_of_another_number_of_frames_are_an_error(tmp_path: Path) -> None:
    official(tmp_path)
    poses(tmp_path / "S1/MyPoseFeatures/D2_Positions/Directions 1.54138969.cdf", np.zeros((2, 64)))
    with pytest.raises(RawFileError, match=r"D2_Positions.*expected 3 frames, found 2"):
        people(tmp_path, form="cdf")


def test_world_positions_serve_where_the_cameras_own_are_not_there(tmp_path: Path) -> None:
    metadata(tmp_path)
    world = (POSITIONS_MM - TRANSL_MM) @ ROTMAT
    poses(tmp_path / "S1/MyPoseFeatures/D3_Positions/Directions 1.cdf", world.reshape(3, 96))
    found = kept(people(tmp_path, form="cdf"))
    assert len(found) == 12, "four cameras"
    assert found[0].keypoints3d is not None
    np.testing.assert_allclose(found[0].keypoints3d.values[0, :3], POSITIONS_MM[0, 0] / 1000, atol=1e-9)


def test_official_defects(tmp_path: Path) -> None:
    official(tmp_path, "S11", "Directions.54138969")
    official(tmp_path, "S9", "Greeting.55011271")
    items = people(tmp_path, "test", form="cdf")
    assert [item.reason for item in items if isinstance(item, Reject)] == ["corrupt-video"] * 3
    shifted = next(item for item in items if isinstance(item, Annotation))
    assert shifted.keypoints3d is not None
    np.testing.assert_allclose(
        shifted.keypoints3d.values[0, :3], POSITIONS_MM[0, 0] / 1000 + ROTMAT @ [-0.2, 0, 0], atol=1e-9
    )


def test_extracted_frames_are_preferred(tmp_path: Path) -> None:
    official(tmp_path)
    (tmp_path / "S1/Images/Directions 1.54138969").mkdir(parents=True)
    image = kept(people(tmp_path, form="cdf"))[1].image
    assert (image.path, image.video) == ("S1/Images/Directions 1.54138969/frame_000001.jpg", None)


def test_the_lens_of_the_metadata_serves_the_parsed_release(tmp_path: Path) -> None:
    release(tmp_path)
    metadata(tmp_path)
    bent = kept(people(tmp_path))[0]
    np.testing.assert_allclose(bent.camera.distortion, imar_distortion(LENS["k"], LENS["p"]), rtol=1e-6)
    text = (tmp_path / "metadata.xml").read_text()
    (tmp_path / "metadata.xml").write_text(text.replace("512.5", "500.0"))
    assert not kept(people(tmp_path))[0].camera.distortion.any(), "another camera's lens"


@pytest.mark.parametrize("text", ["<a/>", "<a><w0>[1 2]</w0></a>"])
def test_metadata_without_cameras(tmp_path: Path, text: str) -> None:
    official(tmp_path)
    (tmp_path / "metadata.xml").write_text(text)
    with pytest.raises(RawFileError, match=r"metadata\.xml"):
        people(tmp_path, form="cdf")


def test_a_file_of_no_camera_is_named(tmp_path: Path) -> None:
    official(tmp_path, name="Directions 1.999")
    with pytest.raises(RawLayoutError, match=r"Directions 1\.999\.cdf"):
        people(tmp_path, form="cdf")
