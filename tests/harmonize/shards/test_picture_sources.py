"""Pictures inside archives and videos end up in shards like any other, and shards notice when these change."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import toy_dataset
from PIL import Image as Picture
from toy_dataset import HEIGHT, NUM_FRAMES, WIDTH, ingest, rejects, toy_job

from harmonize.annotation import Annotation, ImageSource, VideoFrame
from harmonize.readers import READERS
from harmonize.record import Provenance
from harmonize.shards import pictures
from harmonize.shards.hashes import HashCache
from harmonize.shards.images import decode_rgb
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.plan import make_plan
from harmonize.shards.read import open_store
from harmonize.shards.verify import verify
from harmonize.shards.write import pending

pytestmark = pytest.mark.usefixtures("toy_reader")
ZIP, VIDEO = "images/seq_02.zip", "images/seq_03.mp4"


class PackedReader(toy_dataset.ToyReader):
    """The toy dataset with one sequence in a zip and one in a video."""

    def _annotation(self, person: dict[str, Any], provenance: Provenance) -> Annotation:
        annotation = super()._annotation(person, provenance)
        name, number = Path(person["image"]).name, int(provenance.frame)
        image = annotation.image
        if "seq_02" in image.path:
            image = ImageSource(path=ZIP, member=name)
        elif "seq_03" in image.path:
            image = ImageSource(path=VIDEO, video=VideoFrame(index=number, num_frames=NUM_FRAMES))
        return replace(annotation, image=image)


@pytest.fixture
def packed(raw: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(READERS, "toy", PackedReader)
    pack(raw, range(NUM_FRAMES), NUM_FRAMES)
    return raw


def pack(root: Path, members: range, num_frames: int) -> None:
    with zipfile.ZipFile(root / ZIP, "w") as archive:
        for number in members:
            archive.write(root / f"images/seq_02/{number:04d}.jpg", f"{number:04d}.jpg")
    with av.open(str(root / VIDEO), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for number in range(num_frames):
            with Picture.open(root / f"images/seq_03/{number:04d}.jpg") as picture:
                frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_pixels_are_those_of_the_source_frame_by_frame(packed: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest(toy_job(packed, store))
    assert verify(store).findings == ()
    opened = open_store(store)
    tables = [read_table(path, INDEX_SCHEMA, ["key"]) for path in opened.index_paths()]
    keys = [key for table in tables for key in table.column("key").to_pylist()]
    seen = {"seq_02": 0, "seq_03": 0}
    for key in keys:
        sample = opened.sample(key)
        source = sample.instance.provenance
        if source.sequence not in seen:
            continue
        seen[source.sequence] += 1
        number = int(source.frame)
        with Picture.open(packed / f"images/{source.sequence}/{number:04d}.jpg") as picture:
            original = np.asarray(picture.convert("RGB")).astype(int)
        stored = decode_rgb(sample.picture, sample.extension).astype(int)
        image = sample.instance.image
        cut = original[
            image.crop_y_px : image.crop_y_px + image.height_px, image.crop_x_px : image.crop_x_px + image.width_px
        ]
        is_zipped = source.sequence == "seq_02"
        # Decoders differ by 2 in the chroma at a cut's border; the video is compressed once more.
        assert np.abs(stored - cut).max() <= (2 if is_zipped else 12)
        assert source.image_path == (f"{ZIP}!{number:04d}.jpg" if is_zipped else f"{VIDEO}#{number}")
    assert min(seen.values()) >= NUM_FRAMES


def test_a_finished_split_is_left_alone_until_an_archive_or_a_video_changes(packed: Path, tmp_path: Path) -> None:
    job = toy_job(packed, tmp_path / "store")
    ingest(job)
    assert pending(make_plan(job), job) == []
    with zipfile.ZipFile(packed / ZIP, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.write(packed / "images/seq_02/0001.jpg", "0000.jpg")
    assert pending(make_plan(job), job) != []
    pack(packed, range(NUM_FRAMES), NUM_FRAMES)
    ingest(job)
    data = (packed / VIDEO).read_bytes()
    (packed / VIDEO).write_bytes(data + b"\0" * 8)
    assert pending(make_plan(job), job) != []


def test_what_a_container_lacks_is_a_reject_that_says_so(packed: Path, tmp_path: Path) -> None:
    pack(packed, range(1, NUM_FRAMES), NUM_FRAMES - 1)
    store = tmp_path / "store"
    before = toy_dataset.EXPECTED_REJECTS["image/image-missing"]
    ingest(toy_job(packed, store))
    assert rejects(store)["image/image-missing"] > before
    assert rejects(store)["image/video-short"] == 2


def test_annotations_at_another_rate_than_the_video(packed: Path) -> None:
    """A 25 fps film cut at 0.04 s and taken at 50 fps shows every frame twice, as ffmpeg would extract it."""
    source = pictures.Pictures(packed, HashCache(packed / "hashes"))

    def frame(index: int, num_frames: int) -> Any:
        clip = VideoFrame(index=index, num_frames=num_frames, fps=50.0, start_s=0.04)
        return source.get(ImageSource(path=VIDEO, video=clip)).data

    whole = [
        source.get(ImageSource(path=VIDEO, video=VideoFrame(index=i, num_frames=NUM_FRAMES))).data
        for i in range(NUM_FRAMES)
    ]
    for index, expected in enumerate([1, 1, 2, 2, 3, 3]):
        np.testing.assert_array_equal(frame(index, 6), whole[expected])
    with pytest.raises(pictures.UnusablePictureError, match="fewer frames"):
        frame(6, 8)
    source.close()
