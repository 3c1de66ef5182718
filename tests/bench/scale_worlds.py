"""The 32 datasets of a synthetic store: how large each is, and how its people differ from those of the others.

What a card states (domain, label origin, camera, hands, several people, films) is taken from the card. What no card can
state (from where people are seen, which poses they take, how they are built) is drawn once a dataset from its seed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.apportion import apportion
from catalogs.cards import Card, card

Floats = npt.NDArray[np.float64]

NUM_INSTANCES: dict[str, int] = {
    **{"bedlam": 951_066, "synbody": 633_496, "instavariety": 2_184_792, "gta_human2": 1_802_200, "mscoco": 149_813},
    **{"egobody_mvset": 845_918, "egobody_egoset": 90_120, "rich": 243_364, "mpii": 28_881, "agora": 106_700},
    **{"muco_3dhp": 465_273, "prox": 88_484, "ubody": 683_270, "spec": 71_982, "crowdpose": 28_457},
    **{"mpi_inf_3dhp": 939_847, "humansc3d": 288_362, "posetrack": 28_457, "behave": 44_431, "chi3d": 252_416},
    **{
        "h36m": 312_188,
        "dna_rendering_hires": 998_100,
        "pw3d": 22_735,
        "arctic": 1_539_120,
        "dna_rendering": 3_991_950,
    },
    **{"up3d": 7_126, "talkshow": 3_326_880, "fit3d": 1_779_292, "mtp": 3_187, "ochuman": 2_495, "lspet": 2_946},
    **{"ssp3d": 311},
}
"""Instances of the training datasets of SMPLer-X (arXiv 2309.17448): its Table 1, by figure `factor_data`."""

NUM_VIEWS = 3
NUM_POSES = 8
_PART_SHARE = {"labelled": 0.97, "partly": 0.4, "none": 0.0}
_LOW_HANDS_AA = {15: (0.0, 0.0, -1.1), 16: (0.0, 0.0, 1.1)}  # shoulders: from the T-pose to arms that hang


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One dataset. views: (NUM_VIEWS, 4) azimuth, its spread, elevation, its spread, in degrees; poses: axis-angle
    (NUM_POSES, 21, 3); weights of both add up to 1. hand_scale: how far hands reach from the relaxed hand, radians.
    """

    card: Card
    split: str
    seed: int
    num_rows: int
    views: Floats
    view_weights: Floats
    poses: Floats
    pose_weights: Floats
    pose_spread_rad: float
    roll_spread_deg: float
    hand_scale: float
    betas_mean: Floats
    vertical_fov_deg: float
    distance_m: float
    others_in_picture: float
    sizes_px: tuple[tuple[int, int], ...]
    reprojection_px: float
    fit_error_mm: float
    part_share: dict[str, float]

    @property
    def name(self) -> str:
        return self.card.name


def sizes(num_rows: int) -> dict[str, int]:
    """Rows of each dataset, in proportion to the published counts, at least one each.

    Raises:
        ValueError: fewer rows than datasets.
    """
    if num_rows < len(NUM_INSTANCES):
        raise ValueError(f"expected at least {len(NUM_INSTANCES)} rows, found {num_rows}")
    spare = apportion(list(NUM_INSTANCES.values()), num_rows - len(NUM_INSTANCES))
    return {name: 1 + extra for name, extra in sorted(zip(NUM_INSTANCES, spare, strict=True))}


def worlds(num_rows: int, seed: int) -> list[World]:
    """The datasets of a store of `num_rows` rows; one seed, one store. A dataset's looks do not depend on its size."""
    return [_world(name, rows, seed) for name, rows in sizes(num_rows).items()]


def _world(name: str, num_rows: int, seed: int) -> World:
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    own = card(name)
    poses = rng.normal(0, 0.25, (NUM_POSES, 21, 3))
    for joint, aa in _LOW_HANDS_AA.items():
        poses[:, joint] += aa
    poses[:, [3, 4], 0] += np.abs(rng.normal(0, 0.5, (NUM_POSES, 2)))  # knees bend one way
    poses[:, 17, 1] -= np.abs(rng.normal(0.3, 0.6, NUM_POSES))  # and so do elbows
    poses[:, 18, 1] += np.abs(rng.normal(0.3, 0.6, NUM_POSES))
    views = np.stack(
        [
            rng.uniform(-180, 180, NUM_VIEWS),
            rng.uniform(15, 60, NUM_VIEWS),
            rng.normal(8, 10, NUM_VIEWS),
            rng.uniform(3, 12, NUM_VIEWS),
        ],
        axis=1,
    )
    views[0, 0] = rng.normal(0, 15)  # photographs are taken from the front more often than not
    training = [split.name for split in own.splits if split.role == "train"]
    return World(
        card=own,
        split=(training or [own.splits[0].name])[0],
        seed=seed,
        num_rows=num_rows,
        views=views,
        view_weights=rng.dirichlet(np.array([4.0, 2.0, 2.0])),
        poses=poses,
        pose_weights=rng.dirichlet(np.full(NUM_POSES, 1.5)),
        pose_spread_rad=float(rng.uniform(0.06, 0.18)),
        roll_spread_deg=float(rng.uniform(1, 6)),
        hand_scale=float(rng.uniform(0.02, 0.35)),
        betas_mean=rng.normal(0, 0.4, 10),
        vertical_fov_deg=float(rng.uniform(25, 65)),
        distance_m=float(rng.uniform(2.5, 7)),
        others_in_picture=float(rng.uniform(0.5, 4)) if own.contents.is_multi_person else 0.0,
        sizes_px=own.camera.picture_sizes_px or ((640, 480), (480, 640), (1280, 720)),
        reprojection_px=float(rng.uniform(2, 9)),
        fit_error_mm=float(rng.uniform(1, 8)),
        part_share={part: _PART_SHARE[getattr(own.contents, part)] for part in ("hands", "face")},
    )


def choose(rng: Any, weights: Floats, num: int) -> npt.NDArray[np.intp]:
    """Indices (num,) drawn by weight."""
    chosen: npt.NDArray[np.intp] = np.searchsorted(np.cumsum(weights)[:-1], rng.random(num), side="right")
    return chosen
