"""A made-up dataset with one of everything that can go wrong, its reader, and ways to ingest it.

annotations/seq_00.json   one object a person
images/seq_00/0000.jpg    one picture a frame, two people each
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image as Picture

from harmonize.annotation import Annotation, ImageSource, RawBody, Reject
from harmonize.readers.base import Reader, Unit
from harmonize.record import Boxes, Camera, Provenance
from harmonize.shards.plan import IngestJob, IngestOptions, Plan, make_plan
from harmonize.shards.read import open_store
from harmonize.shards.write import TaskResult, finalise, pending, run_task

WIDTH, HEIGHT = 160, 128
NUM_SEQUENCES, NUM_FRAMES = 6, 4
TOO_LARGE = 60.0  # a beta that no limit of the gate lets pass


class ToyReader(Reader):
    """Reads it. Sequences with an odd number do not state the size of their pictures."""

    name: ClassVar[str] = "toy"
    version: ClassVar[int] = 1
    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def units(self, split: str) -> list[Unit]:
        paths = sorted(self.require("annotations").glob("*.json")) if split == "train" else []
        return [Unit(path.stem, (f"annotations/{path.name}",), len(json.loads(path.read_text()))) for path in paths]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        for row, person in enumerate(json.loads((self.root / unit.files[0]).read_text())):
            provenance = Provenance(
                dataset=self.name,
                split=split,
                sequence=unit.id,
                frame=person["frame"],
                person=person["person"],
                source_file=unit.files[0],
                source_row=str(row),
                image_path=person["image"],
                reader=self.name,
                reader_version=str(self.version),
                label_origin="synthetic",
            )
            if person.get("crowd"):
                yield Reject(reason="crowd", provenance=provenance, detail="marked by the dataset")
            else:
                yield self._annotation(person, provenance)

    def _annotation(self, person: dict[str, Any], provenance: Provenance) -> Annotation:
        pose = np.array(person["pose_aa"])
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=person["image"]),
            camera=Camera(
                focal_px=np.array([150, 150], np.float32),
                principal_point_px=np.array([WIDTH / 2, HEIGHT / 2], np.float32),
                has_intrinsics=True,
                is_calibrated=True,
            ),
            boxes=Boxes(person_xywh_px=np.array([*person["box"], 1], np.float32), person_origin="dataset"),
            body=RawBody(
                model="smplx",
                gender="neutral",
                pose_aa=pose,
                betas=np.array(person["betas"]),
                transl_m=np.array(person["transl_m"]),
                hands="absolute",
            ),
            image_size_px=person["size"],
        )


def write_raw(root: Path, *, seed: int = 0) -> Path:
    """The raw files: 48 people, of whom 6 are to be refused, each for another reason."""
    rng = np.random.default_rng(seed)
    (root / "annotations").mkdir(parents=True)
    for sequence in range(NUM_SEQUENCES):
        name = f"seq_{sequence:02d}"
        people = []
        (root / "images" / name).mkdir(parents=True)
        for frame in range(NUM_FRAMES):
            image = f"images/{name}/{frame:04d}.jpg"
            ramp = np.linspace(0, 200, WIDTH)[None, :, None] + rng.uniform(0, 50, (HEIGHT, 1, 3))
            Picture.fromarray(ramp.astype(np.uint8)).save(root / image, quality=92)
            people += [_person(rng, image, frame, number, sequence) for number in range(2)]
        (root / "annotations" / f"{name}.json").write_text(json.dumps(people))
    for sequence, row, change in (
        (0, 0, {"crowd": True}),
        (0, 1, {"image": "images/seq_00/missing.jpg"}),
        (1, 0, {"image": "images/seq_01/broken.jpg"}),
        (2, 0, {"betas": [TOO_LARGE] * 10}),
        (3, 0, {"transl_m": [float("nan")] * 3}),
        (4, 0, {"image": "../../etc/passwd"}),
    ):
        change_person(root, sequence, row, **change)
    (root / "images/seq_01/broken.jpg").write_bytes((root / "images/seq_01/0000.jpg").read_bytes()[:700])
    return root


EXPECTED_REJECTS = {
    "dataset/crowd": 1,
    "image/image-missing": 1,
    "image/image-damaged": 1,
    "gate/betas-range": 1,
    "convert/not-finite": 1,
    "image/image-path": 1,
}
NUM_SAMPLES = 2 * NUM_SEQUENCES * NUM_FRAMES - sum(EXPECTED_REJECTS.values())


def _person(rng: np.random.Generator, image: str, frame: int, number: int, sequence: int) -> dict[str, Any]:
    pose = rng.normal(0, 0.05, (55, 3))
    pose[0] = (np.pi, 0, 0)
    x = -0.4 if number == 0 else 0.4
    return {
        "frame": f"{frame:04d}",
        "person": str(number),
        "image": image,
        "size": [WIDTH, HEIGHT] if sequence % 2 == 0 else None,
        "pose_aa": pose.tolist(),
        "betas": rng.normal(0, 1, 10).tolist(),
        "transl_m": [x, 0.1, 3.0],
        "box": [40 if number == 0 else 80, 20, 40, 90],
    }


def change_person(root: Path, sequence: int, row: int, **change: Any) -> None:
    """Change one person of an annotation file."""
    path = root / "annotations" / f"seq_{sequence:02d}.json"
    people = json.loads(path.read_text())
    people[row].update(change)
    path.write_text(json.dumps(people))


def toy_job(root: Path, store: Path, **options: Any) -> IngestJob:
    """Three tasks of two sequences each."""
    options = {"shard_samples": 4, "task_samples": 12, **options}
    return IngestJob(
        reader="toy", root=root, split="train", store=store, body_models="standin", options=IngestOptions(**options)
    )


def ingest(job: IngestJob, *, reverse: bool = False) -> tuple[Plan, list[TaskResult]]:
    """Make what is due and close the split."""
    plan = make_plan(job)
    due = pending(plan, job)
    results = [run_task(job, plan, task) for task in (reversed(due) if reverse else due)]
    finalise(plan, job)
    return plan, results


def contents(store: Path) -> dict[str, bytes]:
    """Every file of a store."""
    paths = [path for path in sorted(store.rglob("*")) if path.is_file()]
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in paths}


def rejects(store: Path) -> dict[str, int]:
    """How many people of a store were refused, by stage and reason."""
    counts: Counter[str] = Counter()
    for manifest in open_store(store).manifests():
        counts.update(manifest.rejects)
    return dict(counts)


def copy_store(store: Path, target: Path) -> Path:
    """Another copy of a store."""
    return Path(shutil.copytree(store, target))


def with_options(job: IngestJob, **options: Any) -> IngestJob:
    """The job with other options."""
    return replace(job, options=replace(job.options, **options))
