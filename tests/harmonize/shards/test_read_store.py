"""Reading: one sample in one `pread`, and the same samples with no code of this project."""

from __future__ import annotations

import io
import json
import os
import pickletools
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image as Picture
from toy_dataset import NUM_SAMPLES, copy_store

from harmonize.errors import StoreError, UsageError
from harmonize.layout import decode
from harmonize.shards import read
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.read import open_store

pytestmark = pytest.mark.usefixtures("toy_reader")


def keys(store: Path) -> list[str]:
    paths = open_store(store).index_paths()
    return [key for path in paths for key in read_table(path, INDEX_SCHEMA, ["key"]).column("key").to_pylist()]


def test_every_sample_is_found_by_its_key_in_one_read(toy_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(size)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(read.os, "pread", counted)
    store = open_store(toy_store)
    found = keys(toy_store)
    assert len(found) == NUM_SAMPLES
    for key in found:
        sample = store.sample(key)
        assert sample.instance.key == key
        assert sample.extension == "jpg"
        assert sample.picture is not None
        with Picture.open(io.BytesIO(sample.picture)) as picture:
            assert picture.size == (sample.instance.image.width_px, sample.instance.image.height_px)
    assert len(reads) == NUM_SAMPLES


def test_only_index_files_that_may_hold_the_key_are_opened(toy_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def counted(path: Path, *rest: Any) -> Any:
        opened.append(path)
        return read_table(path, *rest)

    monkeypatch.setattr(read, "read_table", counted)
    store = open_store(toy_store)
    with pytest.raises(UsageError, match="no-such-key"):
        store.sample("no-such-key")
    assert len(opened) == 3  # one a task, of 24 shards
    with pytest.raises(UsageError, match="ehps query"):
        store.sample("no-such-key")
    assert len(opened) == 3


def test_the_stored_pixels_are_those_of_the_source(toy_store: Path, toy_root: Path) -> None:
    sample = open_store(toy_store).sample("toy-train-seq_05-0002-1")
    image = sample.instance.image
    assert sample.picture is not None
    with Picture.open(io.BytesIO(sample.picture)) as picture:
        stored = np.asarray(picture)
    with Picture.open(toy_root / sample.instance.provenance.image_path) as picture:
        source = np.asarray(picture)
    assert image.width_px < image.source_width_px
    y, x = image.crop_y_px, image.crop_x_px
    window = source[y : y + image.height_px, x : x + image.width_px]
    assert np.array_equal(stored[8:-8, 8:-8], window[8:-8, 8:-8])


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves closing its files to the collector
def test_webdataset_reads_a_shard_without_us(toy_store: Path) -> None:
    found = []
    for tar in sorted(toy_store.rglob("*.tar")):
        for sample in webdataset.WebDataset(str(tar), shardshuffle=False, empty_check=False).decode("rgb8"):
            assert sample["jpg"].dtype == np.uint8
            assert sample["jpg"].shape[2] == 3
            instance = decode(sample["npy"], sample["json"])
            assert instance.key == sample["__key__"]
            assert instance.image.width_px == sample["jpg"].shape[1]
            found.append(sample["__key__"])
    assert sorted(found) == sorted(keys(toy_store))


def test_a_store_holds_no_pickle(toy_store: Path) -> None:
    for path in toy_store.rglob("*.tar"):
        with tarfile.open(path, "r:") as tar:
            for item in tar.getmembers():
                member = tar.extractfile(item)
                assert member is not None
                content = member.read()
                suffix = item.name.rpartition(".")[2]
                assert suffix in ("npy", "json", "jpg")
                with pytest.raises(ValueError):  # each format fails at another opcode
                    pickletools.dis(content, out=io.StringIO())
                if suffix == "npy":
                    assert np.load(io.BytesIO(content), allow_pickle=False).dtype == np.float32
                if suffix == "json":
                    assert json.loads(content)["key"] == item.name.rpartition(".")[0]


def test_an_altered_sample_is_never_handed_out(toy_store: Path, tmp_path: Path) -> None:
    store = copy_store(toy_store, tmp_path / "store")
    path = next(path for path in sorted(store.rglob("*.tar")) if path.stat().st_size > 2000)
    key = read_table(path.with_suffix(".parquet"), INDEX_SCHEMA, ["key"]).column("key").to_pylist()[0]
    data = bytearray(path.read_bytes())
    data[900] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=rf"{key}: npy: .*sha256"):
        open_store(store).sample(key)
    os.truncate(path, 1000)
    with pytest.raises(StoreError, match=key):
        open_store(store).sample(key)
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        open_store(store).sample(key)


def test_unfinished_shards_are_not_seen(toy_store: Path, tmp_path: Path) -> None:
    store = copy_store(toy_store, tmp_path / "store")
    folder = store / "toy" / "train"
    (folder / "toy-train-000005.json").unlink()
    shutil.copytree(folder, tmp_path / "half")
    shutil.move(tmp_path / "half", folder / ".tmp-1-abc")
    assert [manifest.shard for manifest in open_store(store).manifests()] == [i for i in range(24) if i != 5]
    with pytest.raises(UsageError, match="not a folder"):
        open_store(tmp_path / "absent")
