"""Real records of datasets with labelled points: MSCOCO, CrowdPose, MPII, OCHuman, PoseTrack, UBody.

None of them comes with a fitted body. What can be asserted is that labelled pixels stay on the pixels they label under
the right names, that nobody is lost, and that refusals say why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_records import Floats, check_pixels, check_points, ingest, place, samples_of, stored_points
from scipy.io import savemat

from harmonize.annotation import Annotation
from harmonize.keypoints import convention
from harmonize.readers import open_reader
from harmonize.record import Instance

OCHUMAN_FILE = "ochuman_coco_format_test_range_0.00_1.00.json"


def annotations_of(path: Path) -> dict[str, Any]:
    return {str(person["id"]): person for person in json.loads(path.read_bytes())["annotations"]}


def labelled(person: dict[str, Any]) -> Floats:
    return np.array(person["keypoints"], float).reshape(-1, 3)


def heights(instance: Instance, names: tuple[str, ...], *wanted: str) -> list[float]:
    """y of the wanted points; downward is larger."""
    points = stored_points(instance, names)
    return [float(points[names.index(name), 1]) for name in wanted]


def test_coco_people_keep_their_labelled_pixels(samples: Path, tmp_path: Path) -> None:
    num_samples, reasons = ingest("mscoco", samples / "coco", "val", tmp_path / "store")
    everybody = annotations_of(samples / "coco/annotations/coco_wholebody_val_v1.0.json")
    kept = {name: person for name, person in everybody.items() if person["num_keypoints"] > 0}
    assert num_samples == len(kept) == 3
    assert reasons == {"no-keypoints": len(everybody) - len(kept)}
    for sample in samples_of(tmp_path / "store"):
        instance = sample.instance
        assert check_points(instance, convention("coco_17").names, labelled(kept[instance.provenance.person])) >= 4
        assert not instance.body.has_body, "there is no fit for these pictures"
        check_pixels(sample, samples / "coco" / "val2017" / Path(instance.provenance.image_path).name)


def test_crowdpose_people_are_those_of_the_official_file(samples: Path, tmp_path: Path) -> None:
    file = place(samples / "crowdpose/json/crowdpose_val.json", tmp_path / "raw/annotations/crowdpose_val.json")
    everybody = annotations_of(file)
    num_samples, reasons = ingest("crowdpose", tmp_path / "raw", "val", tmp_path / "store", images="none")
    crowds = {name for name, person in everybody.items() if person["iscrowd"]}
    pointless = {name for name, person in everybody.items() if not labelled(person)[:, 2].any()}
    assert len(everybody) == 4097
    assert reasons == {"crowd": len(crowds), "no-keypoints": len(pointless - crowds), "box-small": 11}
    assert num_samples + sum(reasons.values()) == len(everybody)
    names, kept = convention("crowdpose_14").names, samples_of(tmp_path / "store")[::20]
    num_points = {sample.instance.provenance.person: 0 for sample in kept}
    for sample in kept:
        person = sample.instance.provenance.person
        num_points[person] = check_points(sample.instance, names, labelled(everybody[person]))
    # `num_keypoints` leaves out head and neck: people who have nothing else are no people without points.
    uncounted = [num_points[person] for person in num_points if everybody[person]["num_keypoints"] == 0]
    assert uncounted
    assert max(uncounted) <= 2


def test_a_crowdpose_picture_is_asked_for_its_size(samples: Path, tmp_path: Path) -> None:
    source = samples / "crowdpose"
    file = place(source / "json/crowdpose_sample.json", tmp_path / "raw/annotations/crowdpose_test.json")
    picture = place(source / "images/106848.jpg", tmp_path / "raw/images/106848.jpg")
    num_samples, reasons = ingest("crowdpose", tmp_path / "raw", "test", tmp_path / "store")
    assert (num_samples, reasons) == (2, {"no-keypoints": 1})
    everybody = annotations_of(file)
    for sample in samples_of(tmp_path / "store"):
        image = sample.instance.image
        assert (image.source_width_px, image.source_height_px) == (640, 425)
        person = everybody[sample.instance.provenance.person]
        assert check_points(sample.instance, convention("crowdpose_14").names, labelled(person)) >= 5
        check_pixels(sample, picture)


def test_mpii_people_in_the_official_struct(samples: Path, tmp_path: Path) -> None:
    """The sample's container is not MPII's, but its numbers are: counted from 1, as MATLAB does."""
    people = json.loads((samples / "mpii/annotations/mpii_sample.json").read_bytes())
    images = np.empty(len(people), object)
    for row, person in enumerate(people):
        points = np.empty(16, object)
        for joint, ((x, y), visible) in enumerate(zip(person["joints"], person["joints_vis"], strict=True)):
            points[joint] = {"id": joint, "x": x, "y": y, "is_visible": visible}
        known = np.array([point for point in points if point["is_visible"]])
        rect = {
            "annopoints": {"point": known},
            "scale": person["scale"],
            "objpos": dict(zip("xy", person["center"], strict=True)),
        }
        images[row] = {"image": {"name": person["image"]}, "annorect": rect}
        place(samples / "mpii/images" / person["image"], tmp_path / "raw/images", person["image"])
    release = {"annolist": images, "img_train": np.ones(len(people))}
    savemat(tmp_path / "raw/mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    assert ingest("mpii", tmp_path / "raw", "train", tmp_path / "store", form="mat") == (3, {})
    names = convention("mpii_16").names
    truth = {Path(person["image"]).stem: person for person in people}
    for sample in samples_of(tmp_path / "store"):
        person = truth[sample.instance.provenance.frame]
        from_zero = np.column_stack([np.array(person["joints"]) - 1, person["joints_vis"]])
        assert check_points(sample.instance, names, from_zero) >= 14
        # `scale` is the person's height in units of 200 px, about.
        box = sample.instance.boxes.person_xywh_px
        assert 0.5 < box[3] / (200 * person["scale"]) < 1.2
        top, neck, hip = heights(sample.instance, names, "headtop", "neck_extra", "left_hip_extra")
        assert top < neck < hip
        check_pixels(sample, tmp_path / "raw/images" / person["image"])


def test_ochuman_people_in_coco_form(samples: Path, tmp_path: Path) -> None:
    source = samples / "ochuman"
    file = place(source / "ochuman_coco_format_sample.json", tmp_path / "raw/annotations", OCHUMAN_FILE)
    for picture in ("003799.jpg", "000817.jpg"):
        place(source / "images" / picture, tmp_path / "raw/images", picture)
    assert ingest("ochuman", tmp_path / "raw", "test", tmp_path / "store", form="coco") == (3, {})
    everybody, names = annotations_of(file), convention("coco_17").names
    pictures = []
    for sample in samples_of(tmp_path / "store"):
        instance = sample.instance
        pictures.append(instance.provenance.frame)
        assert check_points(instance, names, labelled(everybody[instance.provenance.person])) >= 13
        shoulder, hip, ankle = heights(instance, names, "left_shoulder", "left_hip_extra", "left_ankle")
        assert shoulder < hip < ankle
        check_pixels(sample, source / "images" / f"{instance.provenance.frame}.jpg")
    assert sorted(pictures) == ["000817", "000817", "003799"]


def test_posetrack_people_in_the_official_layout(samples: Path, tmp_path: Path) -> None:
    source = samples / "posetrack18"
    assert ingest("posetrack", source, "val", tmp_path / "store", form="posetrack18") == (12, {})
    names = convention("posetrack_17").names
    videos: dict[str, int] = {}
    for sample in samples_of(tmp_path / "store"):
        where = sample.instance.provenance
        videos[where.sequence] = videos.get(where.sequence, 0) + 1
        person = annotations_of(source / f"annotations/val/{where.sequence}.json")[where.person]
        points = labelled(person)
        ears = [names.index("left_ear"), names.index("right_ear")]
        assert not points[ears].any(), "ears are unset in all of these records"
        assert check_points(sample.instance, names, points) >= 11
        assert (sample.instance.image.source_width_px, sample.instance.image.source_height_px) == (1920, 1080)
        neck, top = heights(sample.instance, names, "head_bottom_pt", "headtop")
        assert top < neck, "nose, head bottom, head top: not the order of COCO"
        check_pixels(sample, source / f"images/val/{where.sequence}/000000.jpg")
    assert videos == {"012834_mpii_test": 11, "003418_mpii_test": 1}


@pytest.fixture
def ubody(samples: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A raw root with one real person, who has no fit, and the record.

    Of the body, the sample has 133 projections by mmpose in place of the 17 labels, which therefore are missing here.
    """
    raw = tmp_path / "raw"
    content = json.loads((samples / "ubody/annotations/ubody3d_train_sample.json").read_bytes())
    (record,) = content["annotations"]
    scene = raw / "annotations" / "Magic_show"
    scene.mkdir(parents=True)
    people = [record | {"keypoints": [0] * 51}]
    (scene / "keypoint_annotation.json").write_text(json.dumps(content | {"annotations": people}))
    (scene / "smplx_annotation.json").write_text("{}")
    (raw / "splits").mkdir()
    np.save(raw / "splits" / "intra_scene_test_list.npy", np.array(["Magic_show_S2"]))
    return raw, record


def test_a_ubody_record_without_a_fit_is_a_recorded_reject(ubody: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    assert ingest("ubody", ubody[0], "train", tmp_path / "store", images="none") == (0, {"no-fit": 1})


def test_a_ubody_record_keeps_camera_face_and_hands(ubody: tuple[Path, dict[str, Any]]) -> None:
    """A body of zeros lets the record pass; what else it says is real."""
    raw, record = ubody
    sizes = {"root_pose": 3, "body_pose": 63, "jaw_pose": 3, "lhand_pose": 45, "rhand_pose": 45}
    params = {key: [0.0] * size for key, size in (sizes | {"shape": 10, "expr": 10, "trans": 3}).items()}
    fit = {"smplx_param": params, "cam_param": record["camera_param"]}
    (raw / "annotations/Magic_show/smplx_annotation.json").write_text(json.dumps({str(record["id"]): fit}))
    reader = open_reader("ubody", raw)
    (unit,) = reader.units("train")
    (person,) = reader.read("train", unit)
    assert isinstance(person, Annotation)
    assert person.image.path == "images/Magic_show/Magic_show_S1_Trim1/Magic_show_S1_Trim1/000016.png"
    assert person.image_size_px == (1280, 720)
    np.testing.assert_allclose(person.camera.focal_px, 34553.9, atol=0.1)
    np.testing.assert_allclose(person.camera.principal_point_px, record["camera_param"]["princpt"], atol=1e-3)
    np.testing.assert_allclose(person.boxes.person_xywh_px[:4], record["bbox"], atol=1e-3)
    (points,) = person.keypoints2d
    parts = {"face_kpts": slice(23, 91), "lefthand_kpts": slice(91, 112), "righthand_kpts": slice(112, 133)}
    for key, rows in parts.items():
        given, found = np.array(record[key]).reshape(-1, 3), points.values[rows]
        inside = ((given[:, :2] >= 0) & (given[:, :2] < person.image_size_px)).all(axis=1)
        assert inside.any()
        np.testing.assert_allclose(found[:, :2], given[:, :2], atol=1e-3)
        np.testing.assert_array_equal(found[:, 2] > 0, inside & (given[:, 2] > 0))
    # mmpose's third column of keypoints_3d is no depth in the frame of the first two, which are pixels.
    np.testing.assert_array_equal(np.array(record["keypoints_3d"])[:, :2], record["keypoints"])
