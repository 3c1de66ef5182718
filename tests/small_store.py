"""Writes a small store through the project's own tar, index and manifest code, with made-up people and no reader.

Every number of a person is drawn from its seed, and the picture shows the person's projected joints, so that a network
can learn something from it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw

from harmonize.annotation import Reject
from harmonize.evidence import Evidence
from harmonize.geometry.boxes import from_points
from harmonize.geometry.cameras import project
from harmonize.geometry.rotations import aa_to_rotmat
from harmonize.layout import LAYOUT_HASH, LAYOUT_VERSION, VECTOR_SIZE, encode
from harmonize.record import NUM_JOINTS, Body, Boxes, Camera, Image, Instance, Keypoints, Provenance
from harmonize.shards.index import Row, StagedReject, index_table, rejects_table, to_parquet
from harmonize.shards.manifest import FORMAT_VERSION, FileEntry, Manifest, digest
from harmonize.shards.names import INDEX, MANIFEST, REJECTS, TAR, shard_name
from harmonize.shards.tars import END, sample_bytes

WIDTH_PX, HEIGHT_PX = 160, 200
FRONT_AA = np.array([np.pi, 0, 0])  # upright, facing the camera
REST_M = np.random.default_rng(5).normal(0, [0.2, 0.4, 0.08], (NUM_JOINTS, 3))  # an upright cloud in body axes
REST_M[0] = 0  # the pelvis


def person(dataset: str, split: str, number: int, *, global_orient_aa: Sequence[float] | None = None) -> Instance:
    """A made-up person with all parts that training uses; body facing the camera unless said otherwise."""
    rng = np.random.default_rng([number, len(dataset), len(split)])
    global_orient = np.array(FRONT_AA if global_orient_aa is None else global_orient_aa, float)
    turned = REST_M @ aa_to_rotmat(global_orient[None])[0].T + rng.normal(0, 0.02, REST_M.shape)
    joints_m = turned + np.array([rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(3.5, 4.5)])
    camera = Camera(
        focal_px=np.array([300, 300], np.float32),
        principal_point_px=np.array([WIDTH_PX / 2, HEIGHT_PX / 2], np.float32),
        has_intrinsics=True,
        is_calibrated=True,
    )
    joints_px = project(joints_m, camera.focal_px, camera.principal_point_px)
    ones = np.ones((NUM_JOINTS, 1))
    return Instance(
        key=f"{dataset}-{split}-{number:05d}-0",
        image=Image(width_px=WIDTH_PX, height_px=HEIGHT_PX, has_pixels=True),
        camera=camera,
        body=Body(
            known_body_joints=np.ones(21, np.float32),
            global_orient_aa=global_orient.astype(np.float32),
            body_pose_aa=rng.normal(0, 0.3, (21, 3)).astype(np.float32),
            betas=rng.normal(0, 1, 10).astype(np.float32),
            transl_m=joints_m[0].astype(np.float32),
            has_body=True,
            has_betas=number % 3 != 0,
            has_transl=True,
        ),
        keypoints=Keypoints(
            joints3d_cam_m=np.hstack([joints_m, ones]).astype(np.float32),
            joints3d_origin="body",
            joints2d_px=np.hstack([joints_px, ones]).astype(np.float32),
            joints2d_origin="annotated",
        ),
        boxes=Boxes(person_xywh_px=from_points(joints_px), person_origin="keypoints"),
        provenance=Provenance(dataset=dataset, split=split, sequence="s", frame=f"{number:05d}", person="0"),
    )


def jpeg(instance: Instance) -> bytes:
    """A picture of a person's joints on a ground of its own colour."""
    colour = tuple(hashlib.sha256(instance.key.encode()).digest()[:3])
    picture = Picture.new("RGB", (WIDTH_PX, HEIGHT_PX), colour)
    draw = ImageDraw.Draw(picture)
    for i, (x, y, _) in enumerate(instance.keypoints.joints2d_px.tolist()):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=((37 * i) % 256, (91 * i) % 256, (153 * i) % 256))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def write_shard(
    store: Path,
    instances: Sequence[Instance],
    *,
    number: int = 0,
    is_standin: bool = True,
    rejects: Sequence[Reject] = (),
    with_manifest: bool = True,
) -> str:
    """Write the four files of a shard of one dataset and split; returns its name."""
    dataset, split = instances[0].provenance.dataset, instances[0].provenance.split
    name, folder = shard_name(dataset, split, number), store / dataset / split
    folder.mkdir(parents=True, exist_ok=True)
    spans, rows, vectors = [], [], np.zeros((len(instances), VECTOR_SIZE), np.float32)
    for i, instance in enumerate(instances):
        vectors[i], strings = encode(instance)
        offset = sum(map(len, spans))
        npy, picture = io.BytesIO(), jpeg(instance) if instance.image.has_pixels else b""
        np.save(npy, vectors[i])
        contents = {"npy": npy.getvalue(), "json": json.dumps(strings, sort_keys=True).encode()} | (
            {"jpg": picture} if picture else {}
        )
        span, members = sample_bytes(instance.key, contents, offset)
        if picture:
            members["picture"] = members.pop("jpg")
        rows.append(
            Row(
                strings=strings,
                evidence=Evidence(reprojection_px=1.5, reprojection_share=0.01),
                picture_extension="jpg" if picture else "",
                picture_method="copy",
                picture_detail="",
                offset=offset,
                size=len(span),
                members=members,
            )
        )
        spans.append(span)
    table = rejects_table([StagedReject(stage="gate", reject=reject) for reject in rejects])
    contents_of = {
        TAR: b"".join(spans) + END,
        INDEX: to_parquet(index_table(rows, vectors)),
        REJECTS: to_parquet(table),
    }
    plan = {"body_models": {"is_standin": is_standin}, "seed": [instance.key for instance in instances]}
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        layout_version=LAYOUT_VERSION,
        layout_hash=LAYOUT_HASH,
        dataset=dataset,
        split=split,
        shard=number,
        num_shards=number + 1,
        plan_digest=digest(plan),
        plan=plan,
        units=("u",),
        num_samples=len(instances),
        num_skipped=0,
        rejects={f"gate/{reject.reason}": 1 for reject in rejects},
        picture_methods={"copy": len(instances)},
        num_source_pictures=len(instances),
        source_pictures_sha256="",
        files={
            suffix: FileEntry(size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for suffix, data in contents_of.items()
        },
    )
    for suffix, data in contents_of.items():
        (folder / f"{name}{suffix}").write_bytes(data)
    if with_manifest:
        # A shard exists from the moment its manifest does, so that one appears whole, as the shard writer's do.
        whole = folder / f".{name}{MANIFEST}.whole"
        whole.write_bytes(manifest.to_bytes())
        whole.replace(folder / f"{name}{MANIFEST}")
    return name
