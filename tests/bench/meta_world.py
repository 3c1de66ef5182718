"""The synthetic rendered world of `bench_meta`: pictures of stand-in people, as batches of the trainer.

    world = build(WorldConfig())
    world.test.batch(torch.arange(32))

Pictures are drawn once for a configuration and kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import meta_people
import numpy as np
import numpy.typing as npt
import torch
from meta_people import FIELD, STUDIO, Domain, People, people
from scipy.spatial.transform import Rotation
from torch import Tensor

from harmonize import render
from harmonize.bodies import BodyModel, BodyModels
from harmonize.bodies import models as body_models
from harmonize.cache import build_once, cache_dir
from harmonize.miniatures import scene
from train.camera import project
from train.data.batch import Batch, Observed, Truth

Floats = npt.NDArray[np.floating[Any]]

_FINER = 2
_CHAIN = np.r_[0:23, 25:55]  # without the eyes
_AT_ONCE = 64
_NUM_OUTFITS = 48
_SUIT: tuple[tuple[tuple[int, ...], tuple[float, float, float]], ...] = (
    ((0, 3, 6, 9, 13, 14), (0.55, 0.55, 0.55)),  # trunk
    ((12, 15, 22, 23, 24), (0.88, 0.68, 0.54)),  # head
    ((1,), (0.85, 0.15, 0.15)),  # left thigh, shin and foot
    ((4,), (0.95, 0.5, 0.1)),
    ((7, 10), (0.4, 0.05, 0.05)),
    ((2,), (0.1, 0.2, 0.85)),  # right thigh, shin and foot
    ((5,), (0.1, 0.7, 0.9)),
    ((8, 11), (0.05, 0.05, 0.4)),
    ((16,), (0.9, 0.1, 0.75)),  # left upper arm, forearm and hand
    ((18,), (0.95, 0.85, 0.1)),
    ((20, *range(25, 40)), (0.98, 0.7, 0.75)),
    ((17,), (0.1, 0.55, 0.15)),  # right upper arm, forearm and hand
    ((19,), (0.3, 0.95, 0.3)),
    ((21, *range(40, 55)), (0.75, 0.98, 0.85)),
)
"""Colours of what each joint of the chain moves: with a suit of patches a small network finds limbs in minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """Sizes of the splits, side of the crop, and the domains that they are drawn from."""

    num_train: int = 5000
    num_validation: int = 64
    num_test: int = 160
    size_px: int = 64
    train: Domain = STUDIO
    test: Domain = FIELD
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Split:
    """N people with their pictures, in memory. crop (N, 3, S, S) uint8; other tensors as in `Truth`."""

    name: str
    crop: Tensor
    to_crop: Tensor
    truth: Truth

    def __len__(self) -> int:
        return len(self.crop)

    def batch(self, at: Tensor, keypoints_px: Tensor | None = None) -> Batch:
        """Some people. keypoints_px (len(at), 144, 3): what is observed in 2D; without, the true projections."""
        truth = self.truth.rows(at)
        return Batch(
            observed=Observed(
                crop=self.crop[at],
                to_crop=self.to_crop[at],
                has_intrinsics=torch.ones(len(at), dtype=torch.bool),
                keypoints_px=truth.keypoints_px if keypoints_px is None else keypoints_px,
            ),
            truth=truth,
            keys=tuple(f"{self.name}/{number:05d}" for number in at.tolist()),
            sources=((self.name, self.name),) * len(at),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """train from one domain; validation and test from another."""

    train: Split
    validation: Split
    test: Split


def build(config: WorldConfig) -> World:
    """The world of a configuration, drawn when it is not in the cache folder."""
    folder = build_once(cache_dir() / f"meta-world-{_digest(config)}", lambda target: _draw(config, target))
    return World(**{name: _load(folder / f"{name}.npz", name) for name in ("train", "validation", "test")})


def _digest(config: WorldConfig) -> str:
    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode())
    for module in (__file__, *(of.__file__ for of in (meta_people, render, scene, body_models))):
        digest.update(Path(str(module)).read_bytes())
    return digest.hexdigest()[:16]


def _draw(config: WorldConfig, folder: Path) -> None:
    model = BodyModels.open("standin").get("smplx", "neutral")
    splits = (("train", config.train, config.num_train), ("validation", config.test, config.num_validation))
    for number, (name, domain, num) in enumerate((*splits, ("test", config.test, config.num_test))):
        rng = np.random.default_rng([config.seed, number])
        drawn = people(domain, num, rng, model, config.size_px)
        outfits = [_suit(rng, model) for _ in range(_NUM_OUTFITS)]
        np.savez(
            folder / f"{name}.npz",
            crop=_pictures(domain, drawn, model, outfits, rng, config.size_px),
            rotmat=Rotation.from_rotvec(drawn.pose_aa[:, _CHAIN].reshape(-1, 3)).as_matrix().reshape(num, 53, 3, 3),
            betas=drawn.betas,
            expression=drawn.expression,
            joints_m=drawn.joints_m,
            to_crop=drawn.to_crop,
        )


def _pictures(
    domain: Domain,
    drawn: People,
    model: BodyModel,
    outfits: Sequence[Floats],
    rng: np.random.Generator,
    size_px: int,
) -> npt.NDArray[np.uint8]:
    """(N, 3, S, S) RGB: drawn at twice the size and averaged, so that thin limbs leave a trace."""
    num, fine = len(drawn.to_crop), size_px * _FINER
    found = np.empty((num, 3, size_px, size_px), np.uint8)
    for start in range(0, num, _AT_ONCE):
        some = slice(start, min(start + _AT_ONCE, num))
        for at, vertices in enumerate(model.vertices(drawn.body_batch(some)), start):
            to_fine = drawn.to_crop[at] * _FINER
            # `render` counts pixels from their centres, crops from their corners.
            picture = render.render(
                vertices,
                model.faces,
                to_fine[[0, 1], [0, 1]],
                to_fine[:, 2] - 0.5,
                (fine, fine),
                background=scene.background(rng, (fine, fine), rng.uniform(0.2, 0.8) * fine),
                colour=outfits[int(rng.integers(len(outfits)))],
            )
            if rng.random() < domain.occlusion:
                _put_post(picture, rng)
            gain = rng.uniform(*domain.brightness) * (1 + rng.normal(0, domain.tint, 3))
            means = picture.reshape(size_px, _FINER, size_px, _FINER, 3).mean((1, 3)) * gain
            noisy = means + 255 * rng.normal(0, domain.noise, means.shape)
            found[at] = np.rint(noisy.clip(0, 255)).astype(np.uint8).transpose(2, 0, 1)
    return found


def _suit(rng: np.random.Generator, model: BodyModel) -> Floats:
    """(V, 3) RGB 0..1: the patches of `_SUIT`, each a little another colour for every suit."""
    colour_of = np.zeros((model.num_joints, 3))
    for joints, colour in _SUIT:
        colour_of[list(joints)] = np.array(colour) + rng.uniform(-0.1, 0.1, 3)
    return np.asarray(colour_of[model.weights.numpy().argmax(1)].clip(0.02, 1))


def _put_post(picture: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    """A block of one colour before the person, over up to a quarter of the crop."""
    side = len(picture)
    (top, left), (height, width) = rng.uniform(0, 0.75, 2), rng.uniform(0.15, 0.4, 2)
    rows = slice(int(top * side), int((top + height) * side))
    picture[rows, int(left * side) : int((left + width) * side)] = rng.integers(30, 220, 3)


def _load(path: Path, name: str) -> Split:
    with np.load(path) as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    crop = arrays.pop("crop")
    rotmat, betas, expression, joints, to_crop = (
        arrays[key].float() for key in ("rotmat", "betas", "expression", "joints_m", "to_crop")
    )
    ones = torch.ones(len(crop), dtype=torch.bool)
    sure = torch.ones(*joints.shape[:2], 1)
    pelvis = joints[:, 0]
    truth = Truth(
        rotmat=rotmat,
        has_rotation=ones[:, None].expand(-1, rotmat.shape[1]),
        betas=betas,
        has_betas=ones,
        expression=expression,
        has_expression=ones,
        pelvis_m=pelvis,
        has_pelvis=ones,
        joints_m=torch.cat([joints - pelvis[:, None], sure], -1),
        keypoints_px=torch.cat([project(joints, to_crop), sure], -1),
    )
    return Split(name, crop, to_crop, truth)
