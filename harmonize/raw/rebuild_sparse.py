"""scipy.sparse matrices and chumpy arrays in pickles (body-model files hold both); chumpy is never imported."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused
from harmonize.raw.rebuild import fields_of
from harmonize.raw.values import Pending, Table

MAX_DENSE_ELEMENTS = 1 << 30  # a sparse shape costs nothing to declare, and everything to make dense


class _PendingSparse(Pending):
    def __init__(self, form: str) -> None:
        self.form = form

    def build(self, state: Any) -> Any:
        """The matrix, made by scipy's public constructor from arrays whose indices were checked against the shape."""
        from scipy import sparse

        fields = fields_of(state)
        rows, columns = fields["_shape"]
        if not all(type(size) is int and size >= 0 for size in (rows, columns)) or rows * columns > MAX_DENSE_ELEMENTS:
            raise Refused(f"a sparse matrix of shape ({rows}, {columns})"[:200])
        data = _vector(fields["data"], "biufc")
        if self.form == "coo":
            row, column = fields["coords"] if "coords" in fields else (fields["row"], fields["col"])
            indices = (_vector(row, "iu"), _vector(column, "iu"))
            return sparse.coo_matrix((data, indices), shape=(rows, columns))
        make = {"csc": sparse.csc_matrix, "csr": sparse.csr_matrix}[self.form]
        parts = (data, _vector(fields["indices"], "iu"), _vector(fields["indptr"], "iu"))
        matrix = make(parts, shape=(rows, columns))
        matrix.check_format(full_check=True)
        return matrix


def _vector(value: Any, kinds: str) -> npt.NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in kinds:
        raise Refused("a sparse matrix whose parts are not rows of numbers")
    return value


class _PendingChumpy(Pending):
    """`Ch` holds its numbers in `x`; `Select` takes entries `idxs` of the flattened `a`, in `preferred_shape`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, state: Any) -> npt.NDArray[Any]:
        fields = fields_of(state)
        if self.name == "Ch":
            return _numbers(fields["x"])
        taken: npt.NDArray[Any] = _numbers(fields["a"]).reshape(-1)[_numbers(fields["idxs"])]
        shape = fields.get("preferred_shape")
        return taken if shape is None else taken.reshape(shape)


def _numbers(value: Any) -> npt.NDArray[Any]:
    if isinstance(value, (int, float)):
        return np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise Refused("a chumpy object without its numbers")
    return value


SPARSE: Table = {
    (f"scipy.sparse.{prefix}{form}", f"{form}_{kind}"): lambda *_, form=form: _PendingSparse(form)
    for form in ("csc", "csr", "coo")
    for prefix in ("", "_")
    for kind in ("matrix", "array")
}
CHUMPY: Table = {
    ("chumpy.ch", "Ch"): lambda *_: _PendingChumpy("Ch"),
    ("chumpy", "Ch"): lambda *_: _PendingChumpy("Ch"),
    ("chumpy.reordering", "Select"): lambda *_: _PendingChumpy("Select"),
}
