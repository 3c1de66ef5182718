"""TalkSHOW: pickles as SHOW writes them, frames and videos, and its own camera formula."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from harmonize.bodies import BodyBatch
from harmonize.miniatures import MINIATURES
from harmonize.miniatures.torch_scalar import dumps_with_scalars

RELEASE = "ExpressiveWholeBodyDatasetReleaseV1.0"
GLOBALS = {
    "_codecs encode",
    "collections OrderedDict",
    "numpy dtype",
    "numpy ndarray",
    "numpy.core.multiarray _reconstruct",
    "torch._utils _rebuild_tensor_v2",
    "torch.storage _load_from_bytes",
}
"""Those of the project's demo file."""


class Unpickler(pickle.Unpickler):
    """Opens the project's own files without torch."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("torch"):
            return lambda *arguments: (name, arguments)
        return super().find_class(module, name)


def load(path: Path) -> Any:
    return Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()


def globals_of(data: bytes) -> set[str]:
    return {argument for opcode, argument, _ in pickletools.genops(data) if opcode.name == "GLOBAL"}


def clip_file(root: Path, person: Any) -> Path:
    speaker, video, clip = person.sequence.split("/")
    folder = root / RELEASE / speaker / video
    places = (folder / person.split / clip, folder / clip, folder)
    return next(place / f"{clip}.pkl" for place in places if (place / f"{clip}.pkl").exists())


def test_pickles_give_the_truth(miniature: Any, standin: Any) -> None:
    root, truth = miniature("talkshow")
    model = standin.get("smplx", "neutral")
    depths, sizes, kinds = set(), set(), Counter()
    for person in truth.people:
        path = clip_file(root, person)
        depths.add(len(path.relative_to(root).parts))
        content, row = load(path), int(person.frame) - 1
        fit = content[0] if isinstance(content, list) else content
        kinds[type(content)] += 1
        num = fit["batch_size"]
        is_readme = person.note == "readme"
        shapes = {key: np.shape(value) for key, value in fit.items()}
        assert (shapes["betas"], shapes["expression"]) == ((300,) if is_readme else (1, 300), (num, 100))
        assert shapes["global_orient"] == ((num, 3) if is_readme else (num, 1, 3))
        assert shapes["body_pose_axis"] == ((num, 21, 3) if is_readme else (num, 63))
        assert shapes["left_hand_pose"] == shapes["right_hand_pose"] == (num, 12)
        size = (fit["width"], fit["height"])
        sizes.add(size)
        assert size == person.image_size_px
        assert fit["center"] == [size[0] / 2, size[1] / 2]
        assert shapes["focal_length"] == ()
        assert fit["focal_length"].dtype == np.float32
        assert ("losses_to_log" in fit) == (not is_readme)
        if np.isnan(np.asarray(fit["body_pose_axis"])).any():
            assert person.reject_hint == "nan"
            continue
        hands = [
            fit[f"{side}_hand_pose"][row] @ model.hand_components[k, :12] + model.hand_mean_aa[k].ravel()
            for k, side in enumerate(("left", "right"))
        ]
        assert np.abs(hands[0].reshape(15, 3) - hands[1].reshape(15, 3) * [1, -1, -1]).max() > 0.02
        parts = [fit["global_orient"], fit["body_pose_axis"], fit["jaw_pose"], fit["leye_pose"], fit["reye_pose"]]
        pose = np.concatenate([*(np.reshape(part[row], (-1, 3)) for part in parts), *np.reshape(hands, (2, 15, 3))])
        betas = np.reshape(fit["betas"], -1)
        batch = BodyBatch(
            pose_aa=pose[None],
            betas=betas[None, :10],
            transl_m=fit["transl"][[row]],
            expression=fit["expression"][[row], :10],
        )
        x, y, z = fit["camera_transl"]
        seen = model.vertices(batch)[0] + (-x, -y, z)
        assert 1000 * np.abs(seen - person.vertices_cam_m).max() < 0.02, person.identity
        assert np.abs(betas[10:16]).max() > 0.05, "not only ten count in the file"
        np.testing.assert_allclose(person.focal_px, fit["focal_length"])
        assert (size == (1280, 720)) == (fit["focal_length"] == 5000)
        assert min(abs(x), abs(y)) > 0.005
    assert depths == {4, 5, 6}
    assert sizes == {(1280, 720), (640, 360)}
    assert kinds.keys() == {dict, list}


def test_pictures_are_frames_or_videos_or_missing(miniature: Any) -> None:
    root, truth = miniature("talkshow")
    listed = json.loads((root / "train_val_test.json").read_text())
    assert {(person.split, person.sequence) for person in truth.people} == {
        (split, name) for split, names in listed.items() for name in names
    }
    hints: dict[str, str] = {}
    for person in truth.people:
        hints[person.sequence] = person.reject_hint
    assert Counter(hints.values()) == {"": 3, "video-short": 2, "nan": 1, "image-missing": 1}
    for sequence, hint in hints.items():
        speaker, video, clip = sequence.split("/")
        count = sum(person.sequence == sequence for person in truth.people)
        frames = sorted((root / "frames" / speaker / video.replace(" ", "_") / clip).glob("*.jpg"))
        film = root / "videos" / speaker / video
        assert not (frames and film.exists())
        if frames:
            assert frames[0].name == "000001.jpg"
            assert (len(frames) < count) == (hint == "video-short")
        elif film.exists():
            with av.open(str(film)) as container:
                fps = int(container.streams.video[0].average_rate)
                length = sum(1 for _ in container.decode(video=0))
            start_s = int(clip.split("-")[1].split("_")[-1])
            assert (length < (start_s + count / 30) * fps) == (hint == "video-short")
            assert (fps == 60) == (hint == "")
        else:
            assert hint == "image-missing"
    pickles = {path.stem for path in (root / RELEASE).rglob("*.pkl")}
    assert {name.split("/")[-1] for names in listed.values() for name in names} < pickles, "one clip is in no list"
    assert {path.stem for path in (root / RELEASE).rglob("*.wav")} == pickles
    assert any(" " in person.sequence for person in truth.people)


def test_pickles_name_the_globals_of_the_demo_file(miniature: Any) -> None:
    root, _ = miniature("talkshow")
    found = [globals_of(path.read_bytes()) for path in (root / RELEASE).rglob("*.pkl")]
    assert max(found, key=len) == GLOBALS


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_scalar_tensor_is_one_that_torch_knows() -> None:
    torch = pytest.importorskip("torch")
    data = dumps_with_scalars({"kept": [1, 2], "array": np.arange(3.0)}, {"loss": 0.75, "other": -2.0})
    value = Unpickler(io.BytesIO(data)).load()
    assert list(value) == ["losses_to_log", "kept", "array"]
    assert value["kept"] == [1, 2]
    np.testing.assert_array_equal(value["array"], np.arange(3.0))
    for name, number in (("loss", 0.75), ("other", -2.0)):
        made, (storage, offset, size, stride, *_) = value["losses_to_log"][name]
        assert (made, offset, size, stride) == ("_rebuild_tensor_v2", 0, (), ())
        assert storage[0] == "_load_from_bytes"
        stored = torch.load(io.BytesIO(storage[1][0]), map_location="cpu", weights_only=False)
        assert bytes(stored.untyped().tolist()) == struct.pack("<f", number)
        assert b"cuda:0" in storage[1][0]


def test_it_is_the_same_again_for_a_seed_and_grows_on_request(tmp_path: Path, miniature: Any, standin: Any) -> None:
    usual, truth = miniature("talkshow")
    larger = MINIATURES["talkshow"](tmp_path, people=len(truth.people) + 1, models=standin)
    assert len(larger.people) == len(truth.people) + 1
    for folder in (RELEASE, "frames", "videos"):
        for path in (usual / folder).rglob("*.*"):
            if path.is_file():
                assert (tmp_path / path.relative_to(usual)).read_bytes() == path.read_bytes()
