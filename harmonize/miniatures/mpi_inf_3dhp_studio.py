"""The cameras of MPI-INF-3DHP in miniature: fourteen around the training stage, and those of the test set.

World: y up, the floor at y = 0; calibration files are in millimetres with seven digits, which is all that is true of
them. The test cameras are those of the data's readme: sensor in millimetres to pixels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from harmonize.miniatures.lenses import bent
from harmonize.miniatures.points import Floats
from harmonize.miniatures.studio import StudioCamera, looking_at

NUM_CAMERAS = 14
SIZE = (2048, 2048)
_UP = np.array([0.0, 1.0, 0.0])
_CHEST = (0, 1, 2, 4, 5, 6, 7, 8)
_TEST_LENS = np.array([-0.276859611, 0.131125256, -0.000360494, -0.001149441, -0.049318332, *[0.0] * 7])


def training_cameras(rng: np.random.Generator) -> list[StudioCamera]:
    """Eight at chest height around the stage, the others at the knee, near the floor or under the ceiling."""
    cameras = []
    for number in range(NUM_CAMERAS):
        angle = 2 * np.pi * number / NUM_CAMERAS + rng.uniform(-0.1, 0.1)
        height = rng.uniform(1.2, 1.6) if number in _CHEST else (0.5, 0.2, 2.9)[number % 3]
        reach = 4.4 if number in _CHEST else 4.0
        position = np.array([reach * np.sin(angle), height, reach * np.cos(angle)])
        target = np.array([0.0, 1.0, 0.0]) + rng.uniform(-0.05, 0.05, 3)
        rotmat, transl = looking_at(position, target, _UP, float(rng.uniform(-0.03, 0.03)))
        cameras.append(
            StudioCamera(
                focal_px=_digits(1497.0 + rng.uniform(-3, 3, 2)),
                principal_point_px=_digits(1024.0 + rng.uniform(-25, 25, 2)),
                size=SIZE,
                rotmat=_digits(rotmat),
                transl_m=_digits(1000.0 * transl) / 1000.0,
            )
        )
    return cameras


def _digits(values: Floats) -> Floats:
    """Numbers as text of seven significant digits keeps them."""
    return np.array([float(f"{value:.7g}") for value in np.ravel(values)]).reshape(np.shape(values))


def write_calibration(path: Path, cameras: list[StudioCamera]) -> None:
    """The text form: seven lines a camera after a header; rows of matrices end in a space."""
    lines = ["Skeletool Camera Calibration File V1.0"]
    for number, camera in enumerate(cameras):
        inside, outside = np.eye(4), np.eye(4)
        inside[[0, 1], [0, 1]], inside[:2, 2] = camera.focal_px, camera.principal_point_px
        outside[:3, :3], outside[:3, 3] = camera.rotmat, 1000.0 * camera.transl_m
        lines += [
            f"name          {number}",
            "  sensor      10 10",
            f"  size        {camera.size[0]} {camera.size[1]}",
            "  animated    0",
            f"  intrinsic   {_row(inside)} ",
            f"  extrinsic   {_row(outside)} ",
            "  radial      0",
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _row(matrix: Floats) -> str:
    return " ".join(f"{value:.7g}" if abs(value) >= 1e-4 else f"{value:.10f}" for value in matrix.ravel())


def reduced(camera: StudioCamera, size: tuple[int, int]) -> StudioCamera:
    """The camera of the same pictures, scaled to another size."""
    scale = size[0] / camera.size[0]
    return replace(
        camera, focal_px=camera.focal_px * scale, principal_point_px=camera.principal_point_px * scale, size=size
    )


def evaluation_camera(rng: np.random.Generator, subject: str) -> tuple[StudioCamera, Floats | None]:
    """A camera of the test set and its lens (12,): TS1 to TS4 share one, TS5 and TS6 another, whose lens bends.

    7.32506 mm on 10 mm over 2048 px, and 8.770747185 mm on 10 mm over 1920 px with pixels that are not square.
    """
    rotmat, transl = looking_at(
        np.array([0.0, 1.5, 4.2]), np.array([0.0, 1.0, 0.0]), _UP, float(rng.uniform(-0.02, 0.02))
    )
    if subject in ("TS5", "TS6"):
        scale, size, distortion = 192.0, (1920, 1080), _TEST_LENS
        focal, centre = scale * 8.770747185 * np.array([1.0, 0.993236423]), (5.0 - 0.104908645, 2.8125 + 0.104899704)
    else:
        scale, size, distortion = 204.8, SIZE, None
        focal, centre = scale * 7.32506 * np.array([1.0, 1.00044]), (5.0 - 0.0322884, 5.0 + 0.0929296)

    def bend(rays: Floats) -> Floats:
        return bent(np.column_stack([rays, np.ones(len(rays))]), distortion)[:, :2]

    camera = StudioCamera(
        focal_px=focal,
        principal_point_px=scale * np.array(centre),
        size=size,
        rotmat=rotmat,
        transl_m=transl,
        bend=None if distortion is None else bend,
    )
    return camera, distortion
