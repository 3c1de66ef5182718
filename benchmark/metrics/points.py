"""What all metrics share: checks of the points given to them, distances, and means over the points that count."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from harmonize.errors import DataError

MM_PER_M = 1000.0
NAMED_SAMPLES = 5

# So many points' temporaries stay in a core's cache, which halves the time of larger batches; a GPU wants them all.
_POINTS_AT_ONCE = {"cpu": 1 << 17}
_POINTS_AT_ONCE_ELSEWHERE = 1 << 26

Errors = dict[str, Tensor]
"""Of each part, one value a sample (N,), NaN where the sample has none."""
Valid = Mapping[str, Tensor]
"""Of each part, whether a sample is labelled (N,) bool; a part that is not named is labelled in all samples."""


def check_pair(pred: Tensor, true: Tensor, num_dims: int = 3) -> None:
    """Both are (N, P, num_dims), float32 or float64, alike in shape, precision and device.

    Raises:
        ValueError: they are not.
    """
    if pred.ndim != 3 or pred.shape[2] != num_dims or pred.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"expected float32 or float64 points (N, P, {num_dims}), found {pred.dtype}{tuple(pred.shape)}"
        )
    if pred.shape != true.shape or pred.dtype != true.dtype or pred.device != true.device:
        raise ValueError(
            f"expected predicted and true points alike, found {pred.dtype}{tuple(pred.shape)} on {pred.device} and "
            f"{true.dtype}{tuple(true.shape)} on {true.device}"
        )


def check_mask(mask: Tensor | None, name: str, shape: tuple[int, ...]) -> None:
    """A mask is bool and of the given shape.

    Raises:
        ValueError: it is not.
    """
    if mask is not None and (mask.dtype != torch.bool or tuple(mask.shape) != shape):
        raise ValueError(f"{name}: expected bool{shape}, found {mask.dtype}{tuple(mask.shape)}")


def check_valid(valid: Valid | None, parts: Mapping[str, object], num_samples: int) -> None:
    """`valid` speaks of the parts that are measured, and of no other: a misspelt one would count unlabelled samples.

    Raises:
        ValueError: it names another part, or a mask is not bool (N,).
    """
    for part, mask in (valid or {}).items():
        if part not in parts:
            raise ValueError(f"valid: expected parts among {', '.join(parts)}, found {part!r}")
        check_mask(mask, f"valid[{part!r}]", (num_samples,))


def check_finite(points: Tensor, what: str) -> None:
    """Every coordinate of every sample (N, ...) is finite.

    Raises:
        DataError: some are not; the message names the first samples, `fields["samples"]` all of them.
    """
    # A sum is not finite if an entry is not, and several times as fast as a look at each entry.
    if bool(points.flatten(1).sum(1).isfinite().all()):
        return
    bad = (~points.flatten(1).isfinite().all(1)).nonzero().flatten().tolist()
    if bad:
        named = ", ".join(str(sample) for sample in bad[:NAMED_SAMPLES])
        more = f" and {len(bad) - NAMED_SAMPLES} more" if len(bad) > NAMED_SAMPLES else ""
        raise DataError(
            f"{what}: expected finite coordinates, found NaN or infinity in {len(bad)} of {len(points)} samples: "
            f"sample {named}{more}",
            fix="predict these samples again, or leave them out of the predictions, which counts them as missing",
            samples=bad,
        )


def check_pair_finite(pred: Tensor, true: Tensor, what: str) -> None:
    """Every coordinate of predicted and of true points is finite; `what` they are, in a message.

    Raises:
        DataError: as `check_finite`, of predicted points first.
    """
    check_finite(pred, f"predicted {what}")
    check_finite(true, f"true {what}")


def axes_first(points: Tensor) -> Tensor:
    """Points (N, P, D) as (N, D, P).

    Everything is computed in this order: arithmetic along an axis of length three is several times slower than along
    that of the points.
    """
    return points.mT.contiguous()


def picked(points: Tensor, some: Tensor | None) -> Tensor:
    """Points (N, D, P) at `some` (K,), or all: (N, D, K). On a CPU `gather` is thrice as fast as `index_select`."""
    return points if some is None else points.gather(2, some.expand(*points.shape[:2], -1))


def lengths(vectors: Tensor) -> Tensor:
    """Euclidean lengths (N, P) of vectors (N, D, P)."""
    first, *rest = vectors.unbind(1)
    total = first.square()
    for axis in rest:
        total.addcmul_(axis, axis)
    return total.sqrt_()


def mean_counted(values: Tensor, counted: Tensor | None) -> Tensor:
    """The mean (N,) of the values (N, P) that count (N, P), NaN where none does; the others may be anything."""
    if counted is None:
        return values.mean(1)
    return torch.where(counted, values, 0.0).sum(1) / counted.sum(1)


def in_blocks(measure: Callable[..., Errors], points: Tensor, *others: Tensor | None) -> Errors:
    """What `measure` says of points (N, P, D) and others (N, ...), taken a block of samples at a time."""
    at_once = _POINTS_AT_ONCE.get(points.device.type, _POINTS_AT_ONCE_ELSEWHERE) // max(points.shape[1], 1)
    blocks = [
        measure(*(of if of is None else of[start : start + max(at_once, 1)] for of in (points, *others)))
        for start in range(0, max(len(points), 1), max(at_once, 1))
    ]
    return {part: torch.cat([block[part] for block in blocks]) for part in blocks[0]}


def reported(errors_m: Errors, valid: Valid | None) -> Errors:
    """Errors in metres as they are reported: in millimetres, NaN where a part is not valid, and "hands" where both are
    there: the mean of left and right, or the only one where one has no error.

    So do the evaluators of OSX and SMPLer-X (data/UBody/UBody.py): a hand without a counted point drops out, and a
    sample without either has no hand error.
    """
    errors = {part: MM_PER_M * error for part, error in errors_m.items()}
    for part, mask in (valid or {}).items():
        errors[part] = errors[part].masked_fill(~mask, float("nan"))
    if "left_hand" in errors and "right_hand" in errors:
        errors["hands"] = torch.stack([errors["left_hand"], errors["right_hand"]]).nanmean(0)
    return errors
