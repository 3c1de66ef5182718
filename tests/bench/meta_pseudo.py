"""Why pseudo labels help or not: what the auxiliary network's bodies are worth on the test split, which way their terms
pull, and how good they would have to be.

Pseudo bodies of known quality lie between the true body and the auxiliary network's own: each rotation turned a share
of the way from the one to the other, all else interpolated. So their errors have the structure of the network's.
"""

from __future__ import annotations

from typing import Any

import torch
from meta_adaptation import DETECTORS, STEPS, observed
from meta_errors import HEADLINE, errors, true_points
from meta_training import Trained
from meta_world import Split
from scipy.spatial.transform import Rotation
from torch import Tensor

from train.body import Body
from train.camera import weak_from_pelvis
from train.data.batch import Batch, Truth
from train.losses.objectives import InnerLoss, OuterLoss
from train.losses.parts import PARTS
from train.losses.pseudo import agreement
from train.losses.supervised import UNIFIED
from train.meta.config import AdaptConfig
from train.meta.objectives import Pseudo, points_of
from train.meta.test_time import Adapted, adapt
from train.models.prediction import Prediction
from train.steps import Regressor, predict

SHARES = (0.0, 0.125, 0.25, 0.5, 1.0)
_SOURCE = "jittered"
_NUM_PEOPLE = 64


class _Says(Regressor):
    """Answers with the given bodies, in the order of the batch."""

    def __init__(self, prediction: Prediction, size_px: int) -> None:
        super().__init__()
        self.prediction, self.size_px = prediction, (size_px, size_px)

    def encode(self, crop: Tensor, condition: Tensor) -> Tensor:
        return crop.flatten(1)[:, :1]

    def decode(self, tokens: Tensor, condition: Tensor) -> Prediction:
        return self.prediction


def examined(trained: Trained, body: Body, test: Split) -> dict[str, Any]:
    """Of the dual-meta networks, at the learned rates on jittered points: error and gates of the auxiliary network,
    cosines with the true gradient by step, and errors by step for pseudo bodies of each share and for none."""
    if trained.auxiliary is None or trained.rates is None:
        raise ValueError("expected networks of dual-meta training, found no auxiliary network or no rates")
    batch = observed(test, DETECTORS[_SOURCE]).rows(slice(0, _NUM_PEOPLE))
    true = true_points(body, batch.truth)
    with torch.no_grad():
        own = predict(trained.auxiliary, batch.observed)
        pseudo = Pseudo(own, points_of(body, own))
    gates = agreement(*pseudo, batch.observed).mean(0).tolist()

    def run(auxiliary: Regressor | None) -> Adapted:
        assert trained.rates is not None
        return adapt(
            trained.regressor,
            auxiliary,
            batch.observed,
            body=body,
            inner=InnerLoss(UNIFIED),
            rates=trained.rates,
            config=AdaptConfig(steps=STEPS[-1], tolerance=0, keep_best=False),
        )

    def by_step(done: Adapted) -> list[float]:
        return [float(errors(body, done.path[k], true)[HEADLINE].mean()) for k in STEPS]

    size_px = test.crop.shape[-1]
    shares = {share: between(batch.truth, batch, own, share, size_px) for share in SHARES}
    done = run(trained.auxiliary)
    return {
        "auxiliary_mm": {part: float(value.mean()) for part, value in errors(body, own, true).items()},
        "gates": dict(zip(PARTS, gates, strict=True)),
        "cosines": [list(_cosines(body, done.path[k], batch, pseudo)) for k in STEPS],
        "alone": by_step(run(None)),
        "shares": [
            [float(errors(body, said, true)[HEADLINE].mean()), *by_step(run(_Says(said, size_px)))]
            for said in shares.values()
        ],
    }


def between(truth: Truth, batch: Batch, other: Prediction, share: float, size_px: int) -> Prediction:
    """Bodies at a share of the way from the true ones, 0, to others, 1."""
    start = truth.rotmat.reshape(-1, 3, 3).numpy()
    turn = Rotation.from_matrix(start).inv() * Rotation.from_matrix(other.rotmat.reshape(-1, 3, 3).numpy())
    turned = Rotation.from_matrix(start) * Rotation.from_rotvec(share * turn.as_rotvec())
    camera = weak_from_pelvis(truth.pelvis_m, batch.observed.to_crop, (size_px, size_px))
    return Prediction(
        torch.from_numpy(turned.as_matrix()).to(truth.rotmat.dtype).reshape(truth.rotmat.shape),
        torch.lerp(truth.betas, other.betas, share),
        torch.lerp(truth.expression, other.expression, share),
        torch.lerp(camera, other.weak_camera, share),
    )


def _cosines(body: Body, at: Prediction, batch: Batch, pseudo: Pseudo) -> tuple[float, float]:
    """Mean cosine, over people, of the gradient of the supervised loss with that of the pseudo terms, and with that of
    the 2D term; gradients in the tangents of the 53 rotations."""
    inner, outer = InnerLoss(UNIFIED), OuterLoss(body, UNIFIED)
    at = at._replace(rotmat=at.rotmat.detach().requires_grad_())

    def turning(loss: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(loss.sum(), at.rotmat, retain_graph=True)
        local = at.rotmat.detach().mT @ gradient
        return (local - local.mT).flatten(1)

    points = points_of(body, at)
    flat = inner(at, points, batch.observed, None)
    wanted = turning(outer(at, points, batch.truth, batch.observed))
    by_pseudo, by_2d = turning(inner(at, points, batch.observed, pseudo) - flat), turning(flat)
    of_pseudo, of_2d = (torch.cosine_similarity(by, wanted, dim=1).mean() for by in (by_pseudo, by_2d))
    return float(of_pseudo), float(of_2d)
