"""EHF in miniature: SMPL-X meshes in the scanner's frame and pictures of one camera that everybody knows by heart.

There are no parameters. The scanner's y points up. File names count from 01 to 100 without a third digit; meshes are
binary with faces, binary or ascii; one frame has its picture as png only, one no detections.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyModels
from harmonize.miniatures.openpose import detect, openpose_json
from harmonize.miniatures.points import Floats, padded, tight_box
from harmonize.miniatures.scene import clothes
from harmonize.miniatures.studio import StudioCamera, plain_wall, see, take, true_person
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import model_of, moved, random_person, rest_pelvis_of
from harmonize.render import Ints

SIZE = (1600, 1200)
CAMERA = StudioCamera(
    focal_px=np.full(2, 1498.22426237),
    principal_point_px=np.array([790.263706, 578.90334]),
    size=SIZE,
    rotmat=Rotation.from_rotvec([-2.9874789618512025, 0.011724572107320893, -0.05704686818955933]).as_matrix(),
    transl_m=np.array([-0.03609917, 0.43416458, 2.37101226]),
)
_FRAMES = ("01", "02", "03", "04", "09", "10", "57", "99", "100")
_PNG_ONLY, _UNDETECTED, _ASCII, _WITH_FACES = "09", "57", "02", "01"
_NOISE_PX = 2.0
_HANDS = (slice(25, 40), slice(40, 55))
_FACE = slice(76, 144)


def write_ehf(root: Path, *, seed: int = 0, people: int = 9, models: BodyModels | None = None) -> Truth:
    """Writes the flat layout under root (the folder EHF); up to 100 frames for more than 9 people."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 26])
    root.mkdir(parents=True, exist_ok=True)
    numbers = {int(name) for name in _FRAMES}
    spare = [f"{number:02d}" for number in range(1, 101) if number not in numbers]
    names = sorted([*_FRAMES, *spare[: max(0, people - len(_FRAMES))]], key=int)
    outfit = clothes(rng, models.get("smplx", "neutral"))
    behind = plain_wall(rng, SIZE, 800.0)
    boxes: list[tuple[str, View]] = []
    truth: list[TruePerson] = []
    for name in names:
        person = random_person(rng, "smplx", "neutral")
        turn = Rotation.from_euler("yx", rng.uniform((-0.7, -0.05), (0.7, 0.05))).as_matrix()
        place = rng.uniform((-0.2, 0.2, -0.2), (0.2, 0.3, 0.2))
        in_scanner = moved(models, person, turn, place - turn @ rest_pelvis_of(models, person))
        seen = see(models, in_scanner, CAMERA)
        vertices = (seen.vertices_cam_m - CAMERA.transl_m) @ CAMERA.rotmat
        faces = model_of(models, person).faces if name == _WITH_FACES else None
        (root / f"{name}_align.ply").write_bytes(_ply(vertices, faces, is_ascii=name == _ASCII))
        picture = Image.fromarray(take(models, CAMERA, [seen], [outfit], behind))
        if name == _PNG_ONLY:
            picture.save(root / f"{name}_img.png")
        else:
            picture.save(root / f"{name}_img.jpg", quality=90)
        found = [] if name == _UNDETECTED else [detect(rng, seen.joint_names, seen.joints_px, SIZE, _NOISE_PX)]
        (root / f"{name}_2Djnt.json").write_text(json.dumps(openpose_json(found)))
        (root / f"{name}_scan.obj").write_text("v 0.0 0.0 0.0\nv 0.1 0.0 0.0\nv 0.0 0.1 0.0\nf 1 2 3\n")
        boxes.append((name, seen))
        truth.append(_true_person(name, seen))
    _write_coco(root, boxes)
    _write_camera(root)
    return Truth("ehf", tuple(truth))


def _ply(vertices: Floats, faces: Ints | None, *, is_ascii: bool) -> bytes:
    """The mesh, coordinates as float32."""
    points = vertices.astype("<f4")
    header = ["ply", f"format {'ascii' if is_ascii else 'binary_little_endian'} 1.0", f"element vertex {len(points)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    if faces is not None:
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    head = "\n".join([*header, "end_header"]).encode() + b"\n"
    if is_ascii:
        return head + "\n".join(f"{x:.7g} {y:.7g} {z:.7g}" for x, y, z in points).encode() + b"\n"
    if faces is None:
        return head + points.tobytes()
    lists = np.empty(len(faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    lists["count"], lists["corners"] = 3, faces
    return head + points.tobytes() + lists.tobytes()


def _write_coco(root: Path, people: list[tuple[str, View]]) -> None:
    """The json with boxes that trainers parsed, beside the pictures."""
    images, annotations = [], []
    for number, (name, seen) in enumerate(people):
        suffix = "png" if name == _PNG_ONLY else "jpg"
        images.append({"id": number, "file_name": f"{name}_img.{suffix}", "height": SIZE[1], "width": SIZE[0]})
        hands = [tight_box(seen.joints_px[hand], SIZE).tolist() for hand in _HANDS]
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "body_bbox": padded(tight_box(seen.joints_px, SIZE), 1.1).tolist(),
                "lefthand_bbox": hands[0],
                "righthand_bbox": hands[1],
                "face_bbox": tight_box(seen.joints_px[_FACE], SIZE).tolist(),
            }
        )
    (root / "EHF.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def _write_camera(root: Path) -> None:
    rotation = Rotation.from_matrix(CAMERA.rotmat).as_rotvec()
    numbers = {
        "rotation (axis-angle)": rotation,
        "translation": CAMERA.transl_m,
        "focal length": CAMERA.focal_px,
        "principal point": CAMERA.principal_point_px,
    }
    lines = [f"{name}: " + " ".join(repr(float(value)) for value in values) for name, values in numbers.items()]
    (root / "EHF_camera.txt").write_text("\n".join(lines) + "\n")


def _true_person(name: str, seen: View) -> TruePerson:
    suffix = "png" if name == _PNG_ONLY else "jpg"
    return true_person(
        seen,
        CAMERA,
        split="test",
        sequence="",
        frame=name,
        person="0",
        image_path=f"{name}_img.{suffix}",
        has_left_hand=True,
        has_right_hand=True,
    )
