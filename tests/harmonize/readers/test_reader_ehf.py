"""EHF's layout, hand-made from its description: meshes of no body, but of SMPL-X's size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.ehf import Ehf
from harmonize.readers.openpose import PARTS

RNG = np.random.default_rng(0)
VERTICES = RNG.normal(scale=0.3, size=(10475, 3)).astype("<f4")


def ply(vertices: np.ndarray = VERTICES) -> bytes:
    header = [
        *("ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"),
        *("property float x", "property float y", "property float z", "end_header", ""),
    ]
    return "\n".join(header).encode() + vertices.tobytes()


def person(confidence: float = 0.6) -> dict[str, Any]:
    return {key: [800.0, 600.0, confidence] * count for key, count in PARTS.items()}


def write(root: Path, base: str = "", frames: tuple[str, ...] = ("01", "02", "100"), extension: str = "png") -> Ehf:
    folder = root / base
    folder.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        (folder / f"{frame}_align.ply").write_bytes(ply())
        (folder / f"{frame}_img.{extension}").write_bytes(b"picture")
        (folder / f"{frame}_scan.obj").write_bytes(b"scan")
        (folder / f"{frame}_2Djnt.json").write_text(json.dumps({"people": [person(), person(0.1)]}))
    return Ehf(root)


def read(reader: Ehf) -> list[Annotation | Reject]:
    return [person for unit in reader.units("test") for person in reader.read("test", unit)]


def annotations(reader: Ehf) -> list[Annotation]:
    people = read(reader)
    assert all(isinstance(person, Annotation) for person in people), people
    return [person for person in people if isinstance(person, Annotation)]


@pytest.mark.parametrize("base", ["", "EHF", "EHF/data", "data"])
def test_pictures_by_number_in_either_layout(tmp_path: Path, base: str) -> None:
    people = annotations(write(tmp_path, base, ("100", "02", "01", "11")))
    assert [p.provenance.frame for p in people] == ["01", "02", "11", "100"]
    assert {(p.provenance.sequence, p.provenance.person) for p in people} == {("", "0")}
    assert all((tmp_path / p.image.path).is_file() for p in people)


def test_meshes_are_kept_and_turned_by_the_camera(tmp_path: Path) -> None:
    found = annotations(write(tmp_path, frames=("01",)))[0]
    body = found.body
    assert body is not None
    assert body.mesh_m is not None
    assert body.to_cam is not None
    np.testing.assert_allclose(body.mesh_m, VERTICES)
    expected = Rotation.from_rotvec([-2.9874789618512025, 0.011724572107320893, -0.05704686818955933]).as_matrix()
    np.testing.assert_allclose(body.to_cam.rotmat, expected, atol=1e-15)
    centre = body.to_cam.rotmat @ body.mesh_m.mean(axis=0) + body.to_cam.transl_m
    assert 2.2 < centre[2] < 2.6, "in front of the camera"
    up = body.to_cam.rotmat @ [0, 1, 0]
    assert up[1] < -0.98, "the scanner's y is up, the camera's is down"
    assert not body.pose_aa.any()
    assert body.pose_aa.shape == (55, 3)
    assert (body.model, body.gender) == ("smplx", "neutral")
    assert (body.has_left_hand, body.has_right_hand) == (True, True)
    assert (body.has_jaw, body.has_expression) == (False, False), "not separable in a mesh"
    np.testing.assert_allclose(found.camera.focal_px, 1498.22426237)
    np.testing.assert_allclose(found.camera.principal_point_px, [790.263706, 578.90334])
    assert found.image_size_px == (1600, 1200)


def test_detections_keep_their_confidence_and_the_first_person_counts(tmp_path: Path) -> None:
    reader = write(tmp_path, frames=("01", "02"))
    (tmp_path / "02_2Djnt.json").unlink()
    first, second = annotations(reader)
    [points] = first.keypoints2d
    np.testing.assert_array_equal(points.values[:, 2], 0.6)
    assert points.origin == "detected"
    assert second.keypoints2d == ()


def test_png_before_jpg(tmp_path: Path) -> None:
    reader = write(tmp_path, frames=("01",), extension="jpg")
    assert annotations(reader)[0].image.path == "01_img.jpg"
    (tmp_path / "01_img.png").write_bytes(b"picture")
    assert annotations(reader)[0].image.path == "01_img.png"


def boxes(**changes: Any) -> dict[str, Any]:
    annotation = {
        **{"id": 1, "image_id": 7, "body_bbox": [10.0, 20.0, 300.0, 400.0], "face_bbox": [50.0, 60.0, 70.0, 80.0]},
        **{"lefthand_bbox": None, "righthand_bbox": [1.0, 2.0, 0.0, 4.0]},
    }
    images = [{"id": 7, "file_name": "02_img.jpg", "height": 1200, "width": 1600}]
    return {"images": images, "annotations": [annotation | changes]}


def test_boxes_are_joined_by_the_number_before_the_underscore(tmp_path: Path) -> None:
    reader = write(tmp_path, frames=("01", "02"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/EHF.json").write_text(json.dumps(boxes()))
    first, second = annotations(reader)
    assert (first.boxes.person_xywh_px[4], first.boxes.person_origin) == (0, "none")
    np.testing.assert_array_equal(second.boxes.person_xywh_px, [10, 20, 300, 400, 1])
    assert second.boxes.person_origin == "dataset"
    assert second.boxes.face_xywh_px[4] == 1
    assert second.boxes.left_hand_xywh_px[4] == second.boxes.right_hand_xywh_px[4] == 0


def test_a_mesh_of_another_size_and_a_bad_box_are_rejects(tmp_path: Path) -> None:
    reader = write(tmp_path, frames=("01", "02", "03"))
    (tmp_path / "01_align.ply").write_bytes(ply(VERTICES[:6890]))
    (tmp_path / "EHF.json").write_text(json.dumps(boxes(body_bbox=[1, 2, 3])))
    first, second, third = read(reader)
    assert isinstance(first, Reject)
    assert "found 6890" in first.detail
    assert isinstance(second, Reject)
    assert "body_bbox" in second.detail
    assert isinstance(third, Annotation)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("EHF.json", "[]"),
        ("EHF.json", '{"images": [], "annotations": [{"image_id": 1}]}'),
        ("01_2Djnt.json", '{"people": 3}'),
        ("01_align.ply", "ply\n"),
    ],
)
def test_damaged_files_are_one_error(tmp_path: Path, file: str, text: str) -> None:
    reader = write(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(RawFileError, match=file):
        read(reader)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"01_align\.ply"):
        Ehf(tmp_path).units("test")


def test_every_file_read_is_an_input(tmp_path: Path) -> None:
    reader = write(tmp_path, frames=("01",))
    (tmp_path / "EHF.json").write_text(json.dumps(boxes()))
    [unit] = reader.units("test")
    assert set(unit.files) == {"EHF.json", "01_align.ply", "01_2Djnt.json"}
    assert unit.num_hint == 1
