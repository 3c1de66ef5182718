"""ARCTIC's layout, hand-made from its description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.arctic import Arctic

SEQUENCE, OTHER, HIDDEN = "s01/box_grab_01", "s03/mixer_use_02", "s03/phone_use_04"
OFFSETS = {"s01": 2, "s03": 5}
NUM_FRAMES = 24
SIZES = {
    **{"transl": 3, "global_orient": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3},
    **{"left_hand_pose": 45, "right_hand_pose": 45},
}


def parameters(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    values = {key: rng.normal(size=(NUM_FRAMES, size)) for key, size in SIZES.items()}
    values["transl"][:, 0] = np.arange(NUM_FRAMES)  # so that a row can be told from its value
    return values | changes


def turn(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


def world2cam(view: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn(0.3 * view), [view, 0, 2]
    return matrix


def save(path: Path, record: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(record, object), allow_pickle=True)


def write(root: Path, base: str = "", *, pictures: bool = True) -> Arctic:
    data = root / base
    for protocol in ("p1", "p2"):
        path = data / f"splits_json/protocol_{protocol}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"train": [SEQUENCE], "val": [OTHER], "test": [HIDDEN]}))
    misc = {
        subject: {
            "gender": gender,
            "ioi_offset": OFFSETS[subject],
            "world2cam": [world2cam(view).tolist() for view in range(1, 9)],
            "intris_mat": [[[1000 + view, 0, 500], [0, 1001, 400], [0, 0, 1]] for view in range(1, 9)],
            "image_size": [[2800, 2000]] + [[1000 + view, 800] for view in range(1, 9)],
        }
        for subject, gender in (("s01", "female"), ("s03", "male"))
    }
    (data / "meta/subject_vtemplates").mkdir(parents=True)
    (data / "meta/misc.json").write_text(json.dumps(misc))
    for number, subject in enumerate(misc):
        rows = "".join(f"v {at} {number} 0\n" for at in range(10475))
        (data / f"meta/subject_vtemplates/{subject}.obj").write_text(rows + "f 1 2 3\n")
    for sequence in (SEQUENCE, OTHER):
        save(data / f"raw_seqs/{sequence}.smplx.npy", parameters())
        ego = {
            "R_k_cam_np": np.stack([turn(0.1 * row) for row in range(NUM_FRAMES)]),
            "T_k_cam_np": np.arange(NUM_FRAMES)[:, None, None] + np.zeros((NUM_FRAMES, 3, 1)),
            "intrinsics": np.array([[1400.0, 0, 1390], [0, 1401, 990], [0, 0, 1]]),
            "dist8": np.linspace(0.1, 0.8, 8),
            "ego_markers.label": np.array(["a", "b"]),
        }
        save(data / f"raw_seqs/{sequence}.egocam.dist.npy", ego)
        for view in range(9) if pictures else ():
            folder = data / "images" / sequence / str(view)
            folder.mkdir(parents=True)
            for picture in range(NUM_FRAMES):
                (folder / f"{picture:05d}.jpg").write_bytes(b"picture")
    return Arctic(root)


def read(reader: Arctic, split: str = "p1_train") -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def annotations(reader: Arctic, split: str = "p1_train") -> list[Annotation]:
    people = read(reader, split)
    assert all(isinstance(person, Annotation) for person in people), people
    return [person for person in people if isinstance(person, Annotation)]


@pytest.mark.parametrize("base", ["", "data", "arctic_data/data"])
def test_static_views_without_the_black_edges(tmp_path: Path, base: str) -> None:
    people = annotations(write(tmp_path, base))
    assert {(p.provenance.sequence, p.provenance.frame, p.provenance.person) for p in people} == {
        (f"{SEQUENCE}/{view}", f"{picture:05d}", "0") for view in range(1, 9) for picture in range(10, NUM_FRAMES - 10)
    }
    assert all((tmp_path / p.image.path).is_file() for p in people)
    assert len(people) == 8 * 4


@pytest.mark.parametrize(("split", "sequence"), [("p1_train", SEQUENCE), ("p1_val", OTHER), ("p2_val", OTHER)])
def test_rows_are_pictures_less_the_subjects_offset(tmp_path: Path, split: str, sequence: str) -> None:
    offset = OFFSETS[sequence.split("/")[0]]
    for person in annotations(write(tmp_path), split):
        row = int(person.provenance.frame) - offset
        body = person.body
        assert body is not None
        assert body.transl_m is not None
        assert body.transl_m[0] == row
        assert person.provenance.source_row == str(row)


def test_an_offset_beyond_the_recording_leaves_no_rows(tmp_path: Path) -> None:
    reader = write(tmp_path)
    misc = json.loads((tmp_path / "meta/misc.json").read_text())
    misc["s01"]["ioi_offset"] = 12
    (tmp_path / "meta/misc.json").write_text(json.dumps(misc))
    assert {p.provenance.frame for p in annotations(reader)} == {"00012", "00013"}


def test_views_begin_with_1_in_the_matrices_and_with_0_in_the_sizes(tmp_path: Path) -> None:
    for person in annotations(write(tmp_path)):
        view = int(person.provenance.sequence[-1])
        body, camera = person.body, person.camera
        assert body is not None
        assert body.to_cam is not None
        np.testing.assert_allclose(body.to_cam.rotmat, turn(0.3 * view))
        np.testing.assert_allclose(body.to_cam.transl_m, [view, 0, 2])
        np.testing.assert_allclose(camera.focal_px, [1000 + view, 1001])
        assert person.image_size_px == (1000 + view, 800)
        assert not camera.distortion.any()
        np.testing.assert_allclose(camera.world_to_cam_transl_m, [view, 0, 2])


def test_the_head_mounted_view_moves_and_has_a_lens(tmp_path: Path) -> None:
    people = annotations(write(tmp_path), "p2_train")
    assert {p.provenance.sequence for p in people} == {f"{SEQUENCE}/0"}
    assert len(people) == 4
    for person in people:
        row = int(person.provenance.source_row)
        body = person.body
        assert body is not None
        assert body.to_cam is not None
        np.testing.assert_allclose(body.to_cam.rotmat, turn(0.1 * row))
        np.testing.assert_allclose(body.to_cam.transl_m, [row] * 3)
        np.testing.assert_allclose(person.camera.distortion, [*np.linspace(0.1, 0.8, 8), 0, 0, 0, 0], rtol=1e-6)
        np.testing.assert_allclose(person.camera.focal_px, [1400, 1401])
        assert person.image_size_px == (2800, 2000)


def test_bodies_are_the_subjects_meshes_with_absolute_hands(tmp_path: Path) -> None:
    reader = write(tmp_path)
    people = annotations(reader)
    body, stored = people[0].body, parameters()
    assert body is not None
    assert body.rest_mesh_m is not None
    assert body.rest_mesh_m.shape == (10475, 3)
    assert all(p.body is not None and p.body.rest_mesh_m is body.rest_mesh_m for p in people)
    assert not body.betas.any()
    assert (body.model, body.gender, body.hands) == ("smplx", "female", "absolute")
    assert body.expression is None
    assert (body.has_jaw, body.has_eyes, body.has_expression) == (True, True, False)
    row = int(people[0].provenance.source_row)
    np.testing.assert_array_equal(body.pose_aa[22], stored["jaw_pose"][row])
    np.testing.assert_array_equal(body.pose_aa[25:40].ravel(), stored["left_hand_pose"][row])
    np.testing.assert_array_equal(body.pose_aa[40:].ravel(), stored["right_hand_pose"][row])
    male = annotations(reader, "p1_val")[0].body
    assert male is not None
    assert male.rest_mesh_m is not None
    assert (male.gender, male.rest_mesh_m[0, 1]) == ("male", 1)


def test_pictures_in_archives(tmp_path: Path) -> None:
    reader = write(tmp_path, pictures=False)
    path = tmp_path / "images_zips" / f"{SEQUENCE}.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"archive")
    image = annotations(reader)[0].image
    assert (image.path, image.member) == (f"images_zips/{SEQUENCE}.zip", "1/00010.jpg")
    assert annotations(reader)[0].provenance.image_path == image.name


def test_missing_pictures_and_annotations_alone(tmp_path: Path) -> None:
    reader = write(tmp_path)
    (tmp_path / "images" / SEQUENCE / "7/00012.jpg").unlink()
    rejects = [p for p in read(reader) if isinstance(p, Reject)]
    assert [(r.reason, r.provenance.sequence, r.provenance.frame) for r in rejects] == [
        ("image-missing", f"{SEQUENCE}/7", "00012"),
    ]
    (tmp_path / "alone").mkdir()
    alone = annotations(write(tmp_path / "alone", pictures=False))
    assert len(alone) == 32
    assert alone[0].image.path == f"images/{SEQUENCE}/1/00010.jpg"


@pytest.mark.parametrize(
    ("file", "record"),
    [
        (f"raw_seqs/{SEQUENCE}.smplx.npy", [1, 2]),
        (f"raw_seqs/{SEQUENCE}.smplx.npy", parameters(body_pose=np.zeros((NUM_FRAMES, 62)))),
        (f"raw_seqs/{SEQUENCE}.smplx.npy", parameters(transl=np.zeros((NUM_FRAMES - 1, 3)))),
        (f"raw_seqs/{SEQUENCE}.egocam.dist.npy", {"intrinsics": np.eye(3), "dist8": np.zeros(5)}),
    ],
)
def test_other_arrays_are_one_error(tmp_path: Path, file: str, record: Any) -> None:
    reader = write(tmp_path)
    save(tmp_path / file, record)
    with pytest.raises(RawFileError, match=Path(file).name):
        read(reader, "p2_train")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gender", "f"),
        ("ioi_offset", 1.5),
        ("world2cam", [np.zeros((4, 4)).tolist()] * 8),
        ("world2cam", [np.eye(4).tolist()] * 9),
        ("image_size", [[0, 0]] * 9),
    ],
)
def test_other_meta_data_is_one_error(tmp_path: Path, key: str, value: Any) -> None:
    reader = write(tmp_path)
    misc = json.loads((tmp_path / "meta/misc.json").read_text())
    misc["s01"][key] = value
    (tmp_path / "meta/misc.json").write_text(json.dumps(misc))
    with pytest.raises(RawFileError, match=rf"misc\.json.*{key}"):
        read(reader)


def test_another_mesh_and_other_names_are_one_error(tmp_path: Path) -> None:
    reader = write(tmp_path)
    (tmp_path / "splits_json/protocol_p2.json").write_text(json.dumps({"train": ["s01/../../escape"]}))
    with pytest.raises(RawFileError, match=r"protocol_p2\.json"):
        reader.units("p2_train")
    (tmp_path / "meta/subject_vtemplates/s01.obj").write_text("v 0 0 0\n")
    with pytest.raises(RawFileError, match=r"s01\.obj.*10475"):
        read(reader)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match="raw_seqs"):
        Arctic(tmp_path).units("p1_train")
    reader = write(tmp_path)
    for file in (f"raw_seqs/{SEQUENCE}.smplx.npy", "meta/subject_vtemplates/s01.obj", "splits_json/protocol_p1.json"):
        (tmp_path / file).unlink()
        with pytest.raises(RawLayoutError, match=Path(file).name):
            reader.units("p1_train")


def test_real_archives_have_these_names(samples: Path) -> None:
    from harmonize.raw.jsons import load_json

    names = load_json(samples / "arctic/checksum.json")
    archives = [name for name in names if name.startswith("/data/images_zips/s")]
    assert len(archives) == 339
    assert f"/data/images_zips/{SEQUENCE}.zip" in archives
