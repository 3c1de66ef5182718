"""Real lists and tables of datasets whose records are not at hand: every name in them is one that its reader knows.

What else a reader needs to list its work (fits of one frame, calibrations) is filled with zeros, and nothing of that is
asserted.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_records import ingest, place

from catalogs.cards import card
from harmonize.annotation import Annotation
from harmonize.raw.jsons import load_json
from harmonize.raw.pickles import load_pickle
from harmonize.readers import open_reader
from harmonize.readers.egobody import recordings_of
from harmonize.readers.rigid import rigid

FIT = pickle.dumps(
    {
        **{key: np.zeros((1, 3)) for key in ("global_orient", "transl", "jaw_pose", "leye_pose", "reye_pose")},
        **{key: np.zeros((1, 12)) for key in ("left_hand_pose", "right_hand_pose")},
        **{"body_pose": np.zeros((1, 63)), "betas": np.zeros((1, 10)), "expression": np.zeros((1, 10))},
    },
    protocol=2,
)
CALIBRATION = """<?xml version="1.0"?><opencv_storage>
<CameraMatrix type_id="opencv-matrix"><data>1 0 0 0 0 1 0 0 0 0 1 0</data></CameraMatrix>
<Intrinsics type_id="opencv-matrix"><data>2000 0 1000 0 2000 1000 0 0 1</data></Intrinsics>
<Distortion type_id="opencv-matrix"><data>0 0 0 0 0</data></Distortion></opencv_storage>"""


def write(content: bytes | str, *path: str | Path) -> None:
    file = Path(*path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def people(name: str, root: Path, split: str) -> Iterator[Annotation]:
    """All people of a split, none of whom is rejected."""
    reader = open_reader(name, root)
    for unit in reader.units(split):
        for found in reader.read(split, unit):
            assert isinstance(found, Annotation), found
            yield found


def count(name: str, what: str, split: str) -> int:
    """What a card says that it counted."""
    (value,) = {one.value for one in card(name).counts if (one.what, one.split) == (what, split) and one.is_verified}
    return value


@pytest.mark.parametrize("split", ["train", "val"])
def test_rich_knows_scene_and_gender_of_every_sequence(split: str, samples: Path, tmp_path: Path) -> None:
    source = samples / "rich/resource"
    place(source / "gender.json", tmp_path / "resource/gender.json")
    table = (source / f"meta/{split}.txt").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(table), delimiter="\t"))
    for row in rows:
        write(FIT, tmp_path, "bodies", split, row["sequence_name"], "00001", f"{row['id']}.pkl")
        write(CALIBRATION, tmp_path, "scan_calibration", row["capture_name"], "calibration/000.xml")
    extensions = load_json(source / "imgext.json")
    found = set()
    for person in people("rich", tmp_path, split):
        sequence = person.provenance.sequence.partition("/")[0]
        assert person.body is not None
        found.add((sequence, person.provenance.subject, person.body.gender))
        assert person.image.path.endswith(extensions[sequence.split("_")[0]])
    assert found == {(row["sequence_name"], row["id"], row["gender"]) for row in rows}
    assert len({sequence for sequence, _, _ in found}) == count("rich", "sequences", split)


def test_prox_knows_scene_and_subject_of_every_recording(samples: Path, tmp_path: Path) -> None:
    names = (samples / "prox/recordings_temporal.txt").read_text(encoding="utf-8").split()
    scenes = load_pickle(samples / "prox/scene_registration.pkl")
    base = tmp_path / "prox_qualitative_dataset"
    for name in names:
        write(FIT, base, "PROXD", name, "results/s001_frame_00001__00.00.00.029/000.pkl")
    for scene, matrix in scenes.items():
        rigid(matrix, scene)
        write(json.dumps(matrix.tolist()), base, "cam2world", f"{scene}.json")
    genders: dict[str, set[str]] = {}
    for person in people("prox", tmp_path, "qualitative"):
        scene, subject, _ = person.provenance.sequence.split("_")
        assert scene in scenes
        assert person.camera.has_extrinsics, "the scene's matrix is found"
        assert person.provenance.subject == subject
        assert person.body is not None
        genders.setdefault(person.body.gender, set()).add(subject)
        names.remove(person.provenance.sequence)
    assert not names
    assert len(scenes) == 12
    assert genders["female"] == {"00159", "03403"}
    assert len(genders["male"]) == 16


def test_egobody_knows_every_recording(samples: Path, tmp_path: Path) -> None:
    """The table is one of Motion-X: an interval a row, of body 0 first and of body 1 then."""
    with (samples / "egobody/egobody_description_all.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    recordings: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = recordings.setdefault(row["recording_name"], {"start_frame": 10**9, "end_frame": 0})
        entry["body_idx_" + row["body_idx_0"][0]] = row["body_idx_0"]
        entry["start_frame"] = min(entry["start_frame"], int(row["frame_interval_start"]))
        entry["end_frame"] = max(entry["end_frame"], int(row["frame_interval_end"]))
    columns = ("scene_name", "body_idx_0", "body_idx_1", "start_frame", "end_frame", "body_idx_fpv", "recording_name")
    with (tmp_path / "data_info_release.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        for name, entry in recordings.items():
            more = {"scene_name": "scene", "body_idx_fpv": entry["body_idx_1"], "recording_name": name}
            table.writerow(entry | more)
    write("train,val,test\n" + "".join(f"{name},,\n" for name in recordings), tmp_path, "data_splits.csv")
    found = recordings_of(open_reader("egobody_mvset", tmp_path), "train")
    assert [one.name for one in found] == sorted(recordings)
    assert len(found) == sum(count("egobody_mvset", "sequences", split) for split in ("train", "val", "test")) == 125
    for one in found:
        entry = recordings[one.name]
        assert one.genders == tuple(entry[f"body_idx_{k}"].split()[1] for k in (0, 1))
        assert one.covers(entry["start_frame"])
        assert (f"_{one.subject('camera_wearer')}_" in one.name, one.subject("interactee")[0]) == (True, "S")


def test_up3d_reads_every_line_of_a_list(samples: Path, tmp_path: Path) -> None:
    place(samples / "up3d/namesUPlsp.txt", tmp_path / "raw/up-3d/test.txt")
    assert ingest("up3d", tmp_path / "raw", "test", tmp_path / "store", images="none") == (0, {"no-fit": 639})


def test_instavariety_finds_the_tracks_of_every_listed_video(samples: Path, tmp_path: Path) -> None:
    file = place(samples / "insta_variety/insta_variety_train.txt", tmp_path / "insta_variety_train.txt")
    names = file.read_text(encoding="utf-8").split()
    for name in (*names, "teaching/not_listed"):
        write("{}", tmp_path, "InstaVariety_tracks", name, "0/000001.json")
    units = open_reader("instavariety", tmp_path, "tracks").units("train")
    assert [unit.id for unit in units] == names
    assert len(names) == 2000


def test_arctic_knows_every_sequence(samples: Path, tmp_path: Path) -> None:
    archives = load_json(samples / "arctic/checksum.json")
    folder = "/data/images_zips/"
    names = [
        file.removeprefix(folder).removesuffix(".zip") for file in archives if file.startswith(folder) and "/s" in file
    ]
    for name in names:
        write(b"", tmp_path, "raw_seqs", f"{name}.smplx.npy")
        write(b"", tmp_path, "meta/subject_vtemplates", f"{name.split('/')[0]}.obj")
    write("{}", tmp_path, "meta/misc.json")
    write(json.dumps({"train": names, "val": []}), tmp_path, "splits_json/protocol_p1.json")
    units = open_reader("arctic", tmp_path).units("p1_train")
    assert [unit.id for unit in units] == sorted(names)
    assert len(names) == count("arctic", "sequences", "all") == 339
    assert {"/data/meta.zip", "/data/raw_seqs.zip", "/data/splits_json.zip"} <= set(archives)


def test_cards_count_what_the_lists_hold(samples: Path) -> None:
    lines = (samples / "pw3d/3dpw_test_split.txt").read_text(encoding="utf-8").splitlines()
    assert len({line.split()[0] for line in lines}) == count("pw3d", "sequences", "test")
    jobs = (samples / "bedlam/csv/bedlam_scene_names.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(jobs) == count("bedlam", "render-jobs", "train")
    assert len(load_json(samples / "behave/splits/behave-test.json")["seqs"]) == count("behave", "sequences", "test")
    lists = load_json(samples / "talkshow/train_val_test.json")
    for split, names in lists.items():
        assert len(names) == count("talkshow", "sequences", split)
    speakers = [name.split("/")[0] for names in lists.values() for name in names]
    numbers = {"oliver": 6540, "conan": 5648, "chemistry": 2489, "seth": 2488}
    assert {speaker: speakers.count(speaker) for speaker in set(speakers)} == numbers
