"""Real records through the whole ingest: what the samples hold that a reader understands, with pictures and counts.

None of the real records has both a picture-bound camera and a fitted body in this project's reach, so what is asserted
is that labelled pixels stay on the pixels they label, that nobody is lost, and that refusals say why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import catalogs
from harmonize.keypoints import convention, to_smplx
from harmonize.shards.decode import decode_rgb
from harmonize.shards.plan import IngestJob, IngestOptions, make_plan
from harmonize.shards.read import Sample, open_store
from harmonize.shards.verify import verify
from harmonize.shards.write import finalise, pending, run_task


def ingest(reader: str, root: Path, split: str, store: Path, **options: Any) -> tuple[int, dict[str, int]]:
    """Number of samples, and of rejects by reason."""
    job = IngestJob(
        reader=reader,
        root=root,
        split=split,
        store=store,
        body_models="standin",
        options=IngestOptions(max_reject_share=1.0, **options),
    )
    plan = make_plan(job)
    results = [run_task(job, plan, task) for task in pending(plan, job)]
    finalise(plan, job)
    assert verify(store).findings == ()
    with catalogs.open(store) as connection:
        reasons = dict(connection.execute("SELECT reason, count(*) FROM rejects GROUP BY reason").fetchall())
    return sum(result.num_samples for result in results), reasons


def samples_of(path: Path) -> list[Sample]:
    with catalogs.open(path) as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM instances ORDER BY key").fetchall()]
    store = open_store(path)
    return [store.sample(key) for key in keys]


def test_coco_people_keep_their_labelled_pixels(samples: Path, tmp_path: Path) -> None:
    num_samples, reasons = ingest("mscoco", samples / "coco", "val", tmp_path / "store")
    labelled = json.loads((samples / "coco/annotations/coco_wholebody_val_v1.0.json").read_bytes())["annotations"]
    kept = {str(person["id"]): person for person in labelled if person["num_keypoints"] > 0}
    assert num_samples == len(kept) == 3
    assert reasons == {"no-keypoints": len(labelled) - len(kept)}
    names = convention("coco_17").names
    for sample in samples_of(tmp_path / "store"):
        instance = sample.instance
        person = kept[instance.provenance.person]
        truth, _, _ = to_smplx(names, np.array(person["keypoints"], float).reshape(17, 3))
        offset = np.array([instance.image.crop_x_px, instance.image.crop_y_px])
        found = instance.keypoints.joints2d_px
        known = truth[:, 2] > 0
        assert known.sum() >= 4
        np.testing.assert_allclose(found[known, :2] + offset, truth[known, :2], atol=1e-3)
        assert not instance.body.has_body, "there is no fit for these pictures"
        whole = decode_rgb(
            (samples / "coco" / "val2017" / Path(instance.provenance.image_path).name).read_bytes(), "jpg"
        )
        assert sample.picture is not None
        stored = decode_rgb(sample.picture, sample.extension)
        height, width = stored.shape[:2]
        cut = whole[offset[1] : offset[1] + height, offset[0] : offset[0] + width]
        border = 16  # chroma is interpolated across the new border
        np.testing.assert_array_equal(stored[border:-border, border:-border], cut[border:-border, border:-border])


def test_a_ubody_record_without_a_fit_is_a_recorded_reject(samples: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    scene = raw / "annotations" / "Magic_show"
    scene.mkdir(parents=True)
    content = json.loads((samples / "ubody/annotations/ubody3d_train_sample.json").read_bytes())
    for record in content["annotations"]:  # the sample merges the release's two files: back to 17 x, y, v triples
        points = np.column_stack([record["keypoints"], record["keypoints_valid"]])[:17]
        record["keypoints"] = points.ravel().tolist()
    (scene / "keypoint_annotation.json").write_text(json.dumps(content))
    (scene / "smplx_annotation.json").write_text("{}")
    (raw / "splits").mkdir()
    np.save(raw / "splits" / "intra_scene_test_list.npy", np.array(["Magic_show_S2"]))
    assert ingest("ubody", raw, "train", tmp_path / "store", images="none") == (0, {"no-fit": 1})


def test_prerelease_humandata(samples: Path, tmp_path: Path) -> None:
    raw, store = samples / "humandata_prerelease", tmp_path / "store"
    assert ingest("humandata", raw, "train", store, images="none") == (4, {})
    for sample in samples_of(store):
        assert sample.instance.keypoints.joints2d_origin == "annotated"
        assert not sample.instance.image.has_pixels
        assert not sample.instance.body.has_body
    # 3DPW's one record has a box of 312 x 28 px, no 2D points, and a body without a position: nothing says where it is.
    assert ingest("humandata", raw, "test", store, images="none") == (0, {"box-missing": 1})
