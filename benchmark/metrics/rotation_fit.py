"""The rotations nearest to many 3x3 matrices at once, by a singular value decomposition that is batched itself.

`torch.linalg.svd` calls LAPACK once a matrix on the CPU, which is most of the time of a Procrustes alignment of joints.
Here all matrices of a batch take each step of the one-sided Jacobi method together (Hestenes 1958; Golub and Van Loan,
Matrix Computations, section 8.6.3): turns in the planes of two columns until all columns are orthogonal; their lengths
are the singular values.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SWEEPS = 4
"""Convergence is quadratic: 20,000 of 20,000 random matrices need no more. Matrices that do are left to LAPACK."""
_FEW = 256
"""On a CPU the steps of so few matrices take longer to call than LAPACK does to solve them."""


def nearest_rotations(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations R (N, 3, 3), determinant 1, with the largest trace of R^T M for matrices M (N, 3, 3), and it (N,).

    With M = U S V^T they are U diag(1, 1, det UV) V^T (Kabsch 1978; Umeyama 1991), the trace s1 + s2 + det(UV) s3.
    Where s2 and det(UV) s3 cancel, many rotations are as good, and one of them is taken. Matrices must be finite.
    """
    if len(matrices) < _FEW and matrices.device.type == "cpu":
        return _by_lapack(matrices)
    largest = matrices.abs().amax((1, 2))
    scaled = matrices / torch.where(largest == 0, 1.0, largest)[:, None, None]
    columns, turned = _orthogonal_columns(scaled)
    squares = columns.square().sum(1)

    # Columns by falling length; the third direction of each side follows from the first two, with determinant 1.
    order = squares.argsort(0, descending=True)
    two = order[:2, None].expand(2, 3, -1)
    images, axes = columns.gather(0, two), turned.gather(0, two)
    first = images[0] / images[0].square().sum(0).sqrt()
    second = images[1] - (first * images[1]).sum(0) * first
    second = second / second.square().sum(0).sqrt()
    sides = torch.stack([first, second, torch.linalg.cross(first, second, dim=0)]).permute(2, 1, 0)
    rows = torch.stack([axes[0], axes[1], torch.linalg.cross(axes[0], axes[1], dim=0)]).permute(2, 0, 1)
    rotations = sides @ rows
    traces = (rotations * matrices).sum((1, 2))

    is_sure = _is_orthogonal(columns, squares.gather(0, order))
    if not bool(is_sure.all()):
        rest = (~is_sure).nonzero()[:, 0]
        rotations[rest], traces[rest] = _by_lapack(matrices[rest])
    return rotations, traces


def _orthogonal_columns(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of M V and of V, (3, 3, N) each: column, axis, sample; those of M V are orthogonal."""
    identity = torch.eye(3).to(matrices)[..., None].expand(3, 3, len(matrices))
    columns = list(torch.cat([matrices.permute(2, 1, 0), identity], 1).unbind(0))
    tiny = torch.finfo(matrices.dtype).tiny
    for _ in range(_SWEEPS):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            one, other = columns[i], columns[j]
            product = (one[:3] * other[:3]).sum(0)
            half = ((other[:3] - one[:3]) * (other[:3] + one[:3])).sum(0) / 2
            # The tangent of the smaller of the two angles that make the columns orthogonal; 0 where they are.
            tangent = product / (half + torch.copysign(torch.hypot(half, product) + tiny, half))
            cosine = torch.rsqrt(1 + tangent.square())
            sine = cosine * tangent
            columns[i], columns[j] = cosine * one - sine * other, sine * one + cosine * other
    turned = torch.stack(columns)
    return turned[:, :3], turned[:, 3:]


def _is_orthogonal(columns: Tensor, squares: Tensor) -> Tensor:
    """(N,) whether columns (3, 3, N) are orthogonal, and not all on one line; squares (3, N): of lengths, falling."""
    rounding = 32 * torch.finfo(columns.dtype).eps
    products = torch.stack([(columns[i] * columns[j]).sum(0) for i, j in ((0, 1), (0, 2), (1, 2))])
    return (products.abs().amax(0) <= rounding * squares[0]) & (squares[1] > rounding * squares[0])


def _by_lapack(matrices: Tensor) -> tuple[Tensor, Tensor]:
    left, singular, right = torch.linalg.svd(matrices)
    turned = left @ right
    sign = torch.where((torch.linalg.cross(turned[:, 0], turned[:, 1]) * turned[:, 2]).sum(1) < 0, -1.0, 1.0)
    signs = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], 1).to(matrices)
    return (left * signs[:, None]) @ right, (singular * signs).sum(1)
