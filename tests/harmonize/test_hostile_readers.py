"""Damaged and hostile raw data through the readers: one clear error, or a recorded reject; never a foreign exception.

Each miniature is copied with links, one annotation file is replaced, and every person is read, converted and gated.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from harmonize.annotation import Annotation, Reject
from harmonize.convert import convert
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.gate import Limits, check
from harmonize.raw.joblibs import load_joblib
from harmonize.raw.mat import load_mat
from harmonize.raw.paths import safe_join
from harmonize.raw.pickles import load_pickle
from harmonize.readers import HUMANDATA, READERS, forms_of, open_reader

FORMS = [(name, form) for name in READERS for form in forms_of(name)]
Miniature = Callable[[str, str], tuple[Path, Any]]
CopyOf = Callable[[str, str], Path]
MARKER = "marker-of-execution"


@pytest.fixture
def copy_of(tmp_path: Path, miniature: Miniature) -> CopyOf:
    """copy_of(name, form) -> a raw root of its own; its files are links to the miniature's until they are replaced."""

    def make(name: str, form: str) -> Path:
        root = tmp_path / name
        shutil.copytree(miniature(name, form)[0], root, copy_function=os.link)
        return root

    return make


def replace(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def annotations(root: Path, name: str, form: str) -> list[Annotation | Reject]:
    reader = open_reader(name, root, form)
    return [item for split in reader.splits for unit in reader.units(split) for item in reader.read(split, unit)]


Named = tuple[str, str]
"""Split and id of a unit."""


def user(root: Path, name: str, form: str, file: Path) -> Named:
    """The first unit that reads a file."""
    reader = open_reader(name, root, form)
    relative = str(file.relative_to(root))
    return next((split, unit.id) for split in reader.splits for unit in reader.units(split) if relative in unit.files)


def outcomes(root: Path, name: str, form: str, models: Any, only: Named | None = None) -> list[Any]:
    """What becomes of every person, or of those of one unit: a reject, or a converted body that passed the gate."""
    reader = open_reader(name, root, form)
    items = [
        item
        for split in (reader.splits if only is None else only[:1])
        for unit in reader.units(split)
        if only is None or unit.id == only[1]
        for item in reader.read(split, unit)
    ]
    found: list[Any] = [item for item in items if isinstance(item, Reject)]
    converted = convert([item for item in items if isinstance(item, Annotation)], models, mode="copy")
    return found + [item if isinstance(item, Reject) else check(item, Limits()) or item for item in converted]


def rejects(found: list[Any]) -> list[Reject]:
    return [item for item in found if isinstance(item, Reject)]


def annotation_files(root: Path, name: str, form: str) -> list[str]:
    """The annotation files that a form reads; of the many fits of AGORA, the first of each folder."""
    reader = open_reader(name, root, form)
    files = sorted({file for split in reader.splits for unit in reader.units(split) for file in unit.files})
    first: dict[str, str] = {}
    for file in files:
        first.setdefault(Path(file).parts[0] if file.startswith(("smplx_gt", "smpl_gt")) else file, file)
    return list(first.values())


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_an_undamaged_copy_gives_people(name: str, form: str, copy_of: CopyOf, standin: Any) -> None:
    """Otherwise the tests below could pass for another reason."""
    found = outcomes(copy_of(name, form), name, form, standin)
    assert any(not isinstance(item, Reject) for item in found)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_annotation_file_cut_anywhere(name: str, form: str, copy_of: CopyOf) -> None:
    root = copy_of(name, form)
    for file in annotation_files(root, name, form):
        path = root / file
        if path.name.startswith("insta_variety_") and path.suffix == ".txt":
            continue  # a list of names: a shorter one is a list too
        whole = path.read_bytes()
        for share in (0.0, 0.02, 0.3, 0.7, 0.999):
            replace(path, whole[: min(int(len(whole) * share), len(whole) - 3)])
            with pytest.raises(RawFileError) as caught:
                annotations(root, name, form)
            assert path.name in str(caught.value)
        replace(path, whole)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_annotation_file_missing_or_another_file(name: str, form: str, copy_of: CopyOf) -> None:
    root = copy_of(name, form)
    for file in annotation_files(root, name, form):
        path = root / file
        whole = path.read_bytes()
        path.unlink()
        with contextlib.suppress(RawLayoutError, RawFileError):  # without fits, or with fewer frames, people are left
            annotations(root, name, form)
        for data in (b"\x89PNG\r\n\x1a\n" + bytes(100), b"<html>404</html>", b"\0" * 1000):
            path.write_bytes(data)
            with pytest.raises(RawFileError, match=path.name):
                annotations(root, name, form)
        replace(path, whole)


class Payload:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {MARKER}",)


def hostile(suffix: str) -> Iterator[bytes]:
    """Files of a kind that ask for something to be executed, or for more memory than there is."""
    if suffix == ".pkl":
        yield pickle.dumps(Payload(), 2)
        yield pickle.dumps({"poses": [np.zeros(72), Payload()]}, 4)
        yield pickle.dumps(pd.DataFrame({"imgPath": [Payload()]}), 4)
        yield b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little")
    elif suffix in (".npz", ".npy"):
        save = np.savez if suffix == ".npz" else lambda file, image_path: np.save(file, image_path)
        for value in (np.array(Payload(), object), np.array([Payload()], object)):
            file = BytesIO()
            save(file, image_path=value)
            yield file.getvalue()
    else:
        yield b'{"annotations": ' + b"[" * 100_000
        yield b'{"images": [], "annotations": [' + b'{"a":' * 100_000


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_payloads_are_not_executed(name: str, form: str, copy_of: CopyOf, tmp_path: Path, monkeypatch: Any) -> None:
    root = copy_of(name, form)
    monkeypatch.chdir(tmp_path)
    for file in annotation_files(root, name, form):
        path = root / file
        whole = path.read_bytes()
        for data in hostile(path.suffix):
            replace(path, data)
            with pytest.raises(RawFileError, match=path.name):
                annotations(root, name, form)
        replace(path, whole)
    assert not Path(MARKER).exists()


# --- single values ----------------------------------------------------------------------------------------------------
# One value of one record is changed at a time. The miniatures are the project's own, so their pickles are safe to open.


def load(path: Path) -> Any:
    if path.suffix == ".pkl":
        value = load_pickle(path)  # pickle itself wants a GPU for TalkSHOW's tensors
        is_frame = isinstance(value, pd.DataFrame)
        return {column: value[column].tolist() for column in value.columns} if is_frame else value
    if path.suffix == ".json":
        return json.loads(path.read_bytes())
    if path.suffix == ".mat":
        return load_mat(path)
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=True).item()
    if path.suffix == ".pt":
        return load_joblib(path)
    if path.suffix in (".h5", ".smc"):
        with h5py.File(path) as file:
            return groups(file)
    with np.load(path, allow_pickle=True) as file:
        return {key: value.item() if value.dtype == object and not value.ndim else value for key, value in file.items()}


def groups(group: h5py.Group) -> dict[str, Any]:
    """The datasets of an HDF5 file as nested dictionaries."""
    return {name: groups(node) if isinstance(node, h5py.Group) else node[()] for name, node in group.items()}


def write_groups(group: h5py.Group, content: Mapping[str, Any]) -> None:
    for name, value in content.items():
        if value is None or isinstance(value, list):
            raise ValueError("HDF5 has no such value")
        if isinstance(value, dict):
            write_groups(group.create_group(name), value)
        else:
            group[name] = np.array(value, h5py.string_dtype()) if np.asarray(value).dtype.kind == "U" else value


def save(path: Path, value: Any) -> None:
    if path.suffix == ".pkl":
        replace(path, pickle.dumps(pd.DataFrame(value) if "imgPath" in value else value, 2))
    elif path.suffix == ".json":
        replace(path, json.dumps(value).encode())
    elif path.suffix == ".npy":
        file = BytesIO()
        np.save(file, np.array(value, object))
        replace(path, file.getvalue())
    elif path.suffix == ".pt":
        file = BytesIO()
        joblib.dump(value, file)
        replace(path, file.getvalue())
    elif path.suffix in (".h5", ".smc"):
        file = BytesIO()
        with h5py.File(file, "w") as tree:
            write_groups(tree, value)
        replace(path, file.getvalue())
    elif path.suffix == ".mat":
        file = BytesIO()
        savemat(file, value)
        replace(path, file.getvalue())
    else:
        file = BytesIO()
        arrays = {key: np.array(array, object) if isinstance(array, dict) else array for key, array in value.items()}
        np.savez(file, **arrays)
        replace(path, file.getvalue())


def steps(value: Any, depth: int) -> Iterator[tuple[Any, ...]]:
    """Paths to the values of a record; of lists and of tables by id, only the first entry."""
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)[:1] if all(str(key).isdigit() for key in value) else list(value)
    elif isinstance(value, list) or (isinstance(value, np.ndarray) and value.dtype == object):
        keys = [0] if len(value) else []
    for key in keys:
        yield (key,)
        if depth > 1:
            yield from ((key, *rest) for rest in steps(value[key], depth - 1))


def wrong_values(value: Any) -> Iterator[Any]:
    """Values of another kind, size or range than the one that is there."""
    yield from (None, "x", {})
    if isinstance(value, np.ndarray):
        yield from (value[:0] if value.ndim else value, value[..., None], np.full(value.shape, "x"))
        if value.dtype.kind == "f":
            yield from (np.full_like(value, number) for number in (math.nan, 1e30, 0.0))
    else:
        yield from ([], -1, 1e30, [[1, 2], [3]])


ABSENT = object()


def changed(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    result = target = copy.copy(whole)
    for key in path[:-1]:
        target[key] = copy.copy(target[key])
        target = target[key]
    if value is ABSENT:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return result


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


IMAR = ("chi3d", "fit3d", "humansc3d")
DNA = ("dna_rendering", "dna_rendering_hires")
CHANGED = {
    ("agora", "smplx"): ("SMPLX/train_0_withjv.pkl", "smplx_gt/*adults*/*.pkl"),
    ("agora", "smpl"): ("SMPL/train_0_withjv.pkl", "smpl_gt/*adults*/*.pkl"),
    ("crowdpose", "neuralannot"): ("**/crowdpose_train.json", "**/CrowdPose_train*.json"),
    ("bedlam", "csv"): ("neutral_ground_truth*/*/*/motion_seq.npz",),
    ("bedlam", "npz"): ("all_npz_12_training/20221011*.npz",),
    **{
        (name, "smplx"): ("train/*/smplx/*.json", "train/*/joints3d_25/*.json", "train/*/camera_parameters/*/*.json")
        for name in IMAR
    },
    **{(name, "smc"): ("*_annotations/*_annots.smc",) for name in DNA},
    **{
        (name, "renbody"): ("**/human_data_smplx.npz", "**/human_data_optimized_keypoints3d.npz", "**/annots.npy")
        for name in DNA
    },
    ("arctic", "raw"): ("raw_seqs/s01/*.smplx.npy", "meta/misc.json"),
    ("behave", "30fps"): ("behave-30fps-params-v1/*/smpl_fit_all.npz", "calibs/intrinsics/0/calibration.json"),
    ("behave", "frames"): ("sequences/*/t0003.000/person/fit02/person_fit.pkl", "sequences/*/t0003.000/k0.color.json"),
    ("ehf", "mesh"): ("01_2Djnt.json",),
    ("prox", "pkl"): (
        "*qualitative*/PROXD/N3*/results/*_00001__*/000.pkl",
        "*qualitative*/keypoints/N3*/*_00001__*.json",
    ),
    ("rich", "pkl"): ("bodies/train/*/*/*.pkl", "resource/gender.json"),
    **{
        ("egobody_egoset", form): (
            "egocentric_color/*/*/valid_frame.npz",
            f"{form}_interactee_train/*/*/results/*/000.pkl",
        )
        for form in ("smplx", "smpl")
    },
    **{
        ("egobody_mvset", form): (f"{form}_interactee_train/*/*/results/*/000.pkl", "kinect_cam_params/*/Color.json")
        for form in ("smplx", "smpl")
    },
    **{
        ("h36m", form): (
            "annotations/*subject1_data.json",
            f"annotations/*subject1_{model}_*.json",
            "annotations/*subject1_camera.json",
            "annotations/*subject1_joint_3d.json",
        )
        for form, model in (("neuralannot", "SMPLX"), ("neuralannot_smpl", "SMPL"))
    },
    **{
        ("mpi_inf_3dhp", form): (
            "**/MPI-INF-3DHP_1k.json",
            f"**/MPI-INF-3DHP_{model}_*.json",
            "**/*camera_1k.json",
            "**/*joint_3d.json",
        )
        for form, model in (("neuralannot", "SMPLX"), ("neuralannot_smpl", "SMPL"))
    },
    ("mpi_inf_3dhp", "official"): ("S1/Seq1/annot.mat",),
    ("mtp", "smplx"): ("**/smplx/params/*/*.pkl", "**/keypoints/openpose/*/*.json", "**/subject_meta.json"),
    ("mtp", "smpl"): ("**/smpl/params/*/*.pkl",),
    ("instavariety", "neuralannot"): ("**/*_db.pt", "**/*NeuralAnnot.json"),
    ("instavariety", "vibe"): ("insta_train_db.h5",),
    ("instavariety", "tracks"): ("InstaVariety_tracks/*/*/*/*.json",),
    ("spec", "npz"): ("spec-syn/annotations/train.npz", "spec-mtp/annotations/test.npz"),
    ("ssp3d", "npz"): ("labels.npz",),
    ("up3d", "pkl"): ("*_body.pkl",),
    ("gta_human2", "release"): ("annotations/*/*.npz",),
    ("gta_human2", "internal"): ("annotations_*/*.npz",),
    ("lspet", "eft"): ("**/LSPet_train*.json",),
    ("lspet", "joints"): ("**/joints.mat",),
    ("mpii", "neuralannot"): ("**/annotations/train.json", "**/MPII_train_SMPLX*.json"),
    ("mpii", "neuralannot_smpl"): ("**/annotations/train.json", "**/MPII_train_SMPL_*.json"),
    ("mpii", "mat"): ("**/mpii_human_pose*.mat",),
    ("mscoco", "eft"): ("**/COCO2014-Val*.json",),
    ("mscoco", "neuralannot_smpl"): ("annotations/coco_wholebody_train*.json", "annotations/MSCOCO*_SMPL_*.json"),
    ("muco_3dhp", "smpl"): ("**/MuCo-3DHP.json", "**/smpl_param.json"),
    ("ochuman", "eft"): ("**/OCHuman_train*.json",),
    ("ochuman", "coco"): ("**/ochuman_coco_format_val*.json",),
    ("ochuman", "native"): ("**/ochuman.json",),
    ("posetrack", "eft"): ("**/PoseTrack_ver*.json",),
    ("posetrack", "posetrack18"): ("**/annotations/train/*.json",),
    ("mscoco", "neuralannot"): ("annotations/MSCOCO*.json", "annotations/coco_wholebody_train*.json"),
    ("pw3d", "pickle"): ("sequenceFiles/validation/*.pkl",),
    ("pw3d", "json"): ("3DPW_validation.json",),
    ("pw3d", "neuralannot"): ("3DPW_validation.json", "3DPW_validation_SMPLX*.json"),
    ("synbody", "smplx"): ("**/smplx/*.npz",),
    ("synbody", "smpl"): ("**/smpl/*.npz",),
    ("synbody", "internal"): ("**/*_noBUG/*.npz",),
    ("talkshow", "pkl"): ("**/train/*/*.pkl",),
    ("ubody", "json"): ("annotations/Interview/keypoint*.json", "annotations/Interview/smplx*.json"),
}
"""One file of each kind; of HumanData, the first."""
SEALED = {("h36m", "cdf"), ("instavariety", "tfrecord")}
"""Forms of which no file can be taken apart and put together again here; the tests of their parsers change values."""


def to_change(root: Path, name: str, form: str) -> list[Path]:
    if (name, form) in SEALED:
        pytest.skip("its files cannot be written from changed values")
    if form == HUMANDATA:
        return [root / annotation_files(root, name, form)[0]]
    return [next(root.glob(pattern)) for pattern in CHANGED[name, form]]


DEPTH = {".h5": 1, ".json": 4, ".mat": 9, ".npy": 3, ".npz": 2, ".pkl": 3, ".pt": 2, ".smc": 3}
CUTTING = {
    ("agora", "smplx"),
    ("agora", "smpl"),
    ("egobody_egoset", "smplx"),
    ("egobody_egoset", "smpl"),
    ("lspet", "eft"),
    ("mscoco", "eft"),
    *(("ochuman", form) for form in ("eft", "coco", "native")),
}
"""Readers that take the last part of a picture's name alone."""
NAMELESS = {
    ("bedlam", "csv"),
    ("lspet", "joints"),
    ("mpi_inf_3dhp", "official"),
    "arctic",
    "behave",
    "egobody_mvset",
    "ehf",
    "prox",
    "rich",
    "gta_human2",
    "mtp",
    "synbody",
    "talkshow",
    "up3d",
    *IMAR,
    *DNA,
}
"""Datasets and forms whose annotation files name no pictures."""
MOVED_BY = ("annorect", "annotations", "data", "sequence")
"""Where a value can leave fewer people to a unit: a shorter list of people, a person who belongs to another unit."""


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # 1e30 overflows before it is refused
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_wrong_values_are_one_error_or_a_reject(
    name: str, form: str, every: int, copy_of: CopyOf, standin: Any
) -> None:
    """Every n-th of all values, in turn; 7 is prime to the 8 or 10 values that are tried at each place."""
    root = copy_of(name, form)
    surprises: list[str] = []
    num_refused = num_rejected = number = 0
    for file in to_change(root, name, form):
        whole = load(file)
        unit = user(root, name, form, file)
        usual = outcomes(root, name, form, standin, unit)
        assert any(not isinstance(item, Reject) for item in usual)
        for where in steps(whole, DEPTH[file.suffix]):
            for value in (ABSENT, *wrong_values(at(whole, where))):
                number += 1
                if number % every != every - 1:
                    continue
                try:
                    save(file, changed(whole, where, value))
                except (ValueError, TypeError):  # columns of unequal length, MATLAB with None: cannot be written
                    continue
                shown = f"{file.name} {where} = {'absent' if value is ABSENT else repr(value):.60}"
                try:
                    found = outcomes(root, name, form, standin, unit)
                except (RawFileError, RawLayoutError) as error:
                    num_refused += 1
                    if str(root) not in str(error):
                        surprises.append(f"{shown}: the message names no file: {error}"[:250])
                except Exception as error:
                    surprises.append(f"{shown}: {type(error).__name__}: {error}"[:250])
                else:
                    num_rejected += len(rejects(found)) > len(rejects(usual))
                    is_removed = value is ABSENT and str(where[-1]).isdigit() and name != "agora"
                    if len(found) < len(usual) and not is_removed and where[-1] not in MOVED_BY:
                        surprises.append(f"{shown}: of {len(usual)} people, {len(found)} are left")
        save(file, whole)
    assert num_refused + num_rejected >= min(6, number // every // 5)
    assert not surprises, f"{len(surprises)} of {number // every} are foreign:\n" + "\n".join(surprises)


def test_numbers_that_are_none_are_rejects(copy_of: CopyOf, standin: Any) -> None:
    for name, form, pattern, where in (
        ("bedlam", "npz", "all_npz_12_training/20221011*.npz", ("pose_cam",)),
        ("bedlam", "npz", "all_npz_12_training/20221011*.npz", ("trans_cam",)),
        ("ubody", HUMANDATA, "**/ubody*.npz", ("smplx", "betas")),
        ("pw3d", "pickle", "sequenceFiles/validation/*.pkl", ("poses", 0)),
        ("agora", "smplx", "smplx_gt/*adults*/*.pkl", ("body_pose",)),
    ):
        root = copy_of(name, form)
        file = next(root.glob(pattern))
        whole = load(file)
        save(file, changed(whole, where, np.full_like(at(whole, where), math.nan)))
        found = rejects(outcomes(root, name, form, standin))
        assert any(reject.reason == "not-finite" for reject in found), (name, where)
        shutil.rmtree(root)


@pytest.mark.parametrize(("name", "form"), [("mscoco", "neuralannot"), ("ubody", "json")])
def test_boxes_without_area_are_rejects(name: str, form: str, copy_of: CopyOf, standin: Any) -> None:
    root = copy_of(name, form)
    file = to_change(root, name, form)[-1 if name == "mscoco" else 0]
    whole = load(file)
    for box in ([10.0, 10.0, 0.0, 50.0], [10.0, 10.0, 50.0, -1.0], [-500.0, -500.0, 20.0, 20.0]):
        save(file, {**whole, "annotations": [{**one, "bbox": box} for one in whole["annotations"]]})
        unit = user(root, name, form, file)
        found = outcomes(root, name, form, standin, unit)
        assert found
        assert len(rejects(found)) == len(found)
        assert any(reject.reason == "empty-box" for reject in rejects(found))


ESCAPES = ("../../../../../../etc/passwd.png", "/etc/passwd.png", "a/../../../../x.png")


def renamed(name: str, form: str, whole: Any, escape: str) -> Any:
    """The annotation file with every picture called `escape`."""
    if form == HUMANDATA:
        return {**whole, "image_path": np.full(len(whole["image_path"]), escape)}
    if "data" in whole:
        return {**whole, "data": [{**one, "imageName": escape} for one in whole["data"]]}
    if form == "mat":
        images = [{**image, "image": {"name": escape}} for image in whole["RELEASE"]["annolist"]]
        return {"RELEASE": {**whole["RELEASE"], "annolist": images}}
    if "images" in whole and name != "pw3d":
        return {**whole, "images": [{**image, "file_name": escape} for image in whole["images"]]}
    if "images" in whole:
        return {**whole, "images": [{**image, "sequence": escape} for image in whole["images"]]}
    if form == "pickle":
        return {**whole, "sequence": escape}
    if name == "agora":
        return {**whole, "imgPath": [escape] * len(whole["imgPath"])}
    if name == "egobody_egoset":  # the frame's number is part of the name
        folder = escape.rpartition("/")[0]
        return {**whole, "imgname": np.array([f"{folder}/{Path(str(path)).name}" for path in whole["imgname"]])}
    if form == "tracks":
        return {**whole, "imloc": escape}
    key = next(key for key in ("imgname", "fnames", "file_name", "vid_name", "image_path") if key in whole)
    return {**whole, key: np.full(len(whole[key]), escape.encode() if form == "vibe" else escape)}


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_picture_names_cannot_lead_out_of_the_root(name: str, form: str, copy_of: CopyOf) -> None:
    """A reader may cut such a name or hand it on; what it hands on is refused where pictures are opened."""
    root = copy_of(name, form)
    if form != HUMANDATA and (name in NAMELESS or (name, form) in NAMELESS):
        pytest.skip("the file names no pictures: they are those of the folder")
    file = to_change(root, name, form)[-1 if (name, form) == ("mscoco", "neuralannot") else 0]
    whole = load(file)
    num_refused = num_inside = 0
    for escape in ESCAPES:
        save(file, renamed(name, form, whole, escape))
        for item in annotations(root, name, form):
            try:
                path = safe_join(root, item.provenance.image_path)
            except RawFileError:
                num_refused += 1
            else:
                num_inside += 1
                assert path.resolve().is_relative_to(root.resolve())
    assert num_inside + num_refused
    assert bool(num_refused) != ((name, form) in CUTTING)
