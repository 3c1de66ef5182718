"""Change of the frame in which a body's root is given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmonize.geometry.rotations import Float64, aa_to_rotmat, rotmat_to_aa


def change_frame(
    global_orient_aa: npt.ArrayLike,
    transl_m: npt.ArrayLike,
    rest_pelvis_m: npt.ArrayLike,
    rotmat: npt.ArrayLike,
    offset_m: npt.ArrayLike,
) -> tuple[Float64, Float64]:
    """Root orientation and translation after the rigid map x' = R x + T, as (global_orient_aa (B, 3), transl_m (B, 3)).

    SMPL-family bodies turn about the rest pelvis J0, not about the origin: v = R_go (v_rest - J0) + J0 + t. Hence

        R_go' = R R_go            t' = R (t + J0) + T - J0

    Mapping t as if it were a point (R t + T) misplaces the body by R J0 - J0: decimetres for SMPL-X.

    Args:
        global_orient_aa: (B, 3) radians, old frame.
        transl_m: (B, 3) metres, old frame.
        rest_pelvis_m: (B, 3) J0 of the very model, gender and betas the parameters were made with.
        rotmat: R, (3, 3) or (B, 3, 3), old frame to new.
        offset_m: T, (3,) or (B, 3), in the new frame.

    Raises:
        RecordError: R is mirrored or singular.
    """
    rotation = np.asarray(rotmat, np.float64)
    pelvis = np.asarray(rest_pelvis_m, np.float64)
    orient = rotmat_to_aa(rotation @ aa_to_rotmat(global_orient_aa))
    posed_pelvis = np.asarray(transl_m, np.float64) + pelvis
    transl = (rotation @ posed_pelvis[..., None])[..., 0] + np.asarray(offset_m, np.float64) - pelvis
    return orient, transl
