"""The arrays of the stand-in's model files: three kinds, three genders, and the kid templates.

What a real model has and a careless reader forgets is here too, large enough to be seen in millimetres: genders with
other templates and other shape directions, mean hand poses that differ left and right, pose correctives, and shape
directions beyond the tenth.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from harmonize.bodies.files import NUM_VERTICES
from harmonize.bodies.standin_anatomy import contour_landmarks, extra_vertices, face_landmarks, joint_regressor
from harmonize.bodies.standin_mesh import (
    HEAD,
    JAW,
    LEFT_EYE,
    NECK,
    PARENTS,
    RIGHT_EYE,
    Floats,
    Mesh,
    load_basis,
    reorder,
    resample,
    vertex_normals,
)
from harmonize.record import BodyKind, Gender

Arrays = dict[str, npt.NDArray[Any]]

NUM_SHAPE_DIRECTIONS = 16

# The smplx package takes expression from column 300 on when a file has 400 columns, from column 10 on otherwise; with
# fewer columns than 300 it never uses more than ten betas.
NUM_SMPLX_COLUMNS, FIRST_EXPRESSION_COLUMN = 400, 300

# Units of the basis' own directions: height, weight, gender, muscle, proportions, age, ..., cup size.
GENDER_SHAPE: dict[Gender, tuple[float, ...]] = {
    "neutral": (0.0,) * 10,
    "female": (-1.2, 0.3, -1.4, -0.8, 0.3, 0.0, 0.0, 0.0, 0.8, 0.0),
    "male": (1.2, -0.3, 1.4, 0.8, -0.3, 0.0, 0.0, 0.0, -0.8, 0.0),
}
GENDER_TURN_RAD: dict[Gender, float] = {"neutral": 0.0, "female": 0.25, "male": -0.25}
"""How far a gender's shape directions are turned into their neighbours, so that one beta means another body."""
GENDER_WAVE: dict[Gender, float] = {"neutral": 0.0, "female": 0.6, "male": -0.6}
"""Amount of a girth wave outside the span of ten betas: no neutral betas can reproduce a gendered body exactly."""

CORRECTIVE_M = 0.004
"""Bulge of a joint whose rotation feature (an entry of R - I) is one."""


def build_arrays() -> tuple[dict[tuple[BodyKind, Gender], Arrays], dict[BodyKind, npt.NDArray[np.float32]]]:
    """The arrays of each file by (kind, gender), and the kid template of each kind that has one."""
    from smplx.vertex_ids import vertex_ids

    basis = load_basis()
    files: dict[tuple[BodyKind, Gender], Arrays] = {}
    kids: dict[BodyKind, npt.NDArray[np.float32]] = {}
    # SMPL and SMPL-H share one topology, and the smplx package takes their extra joints from the same vertices.
    topologies: tuple[tuple[BodyKind, ...], ...] = (("smplx",), ("smplh", "smpl"))
    for kinds in topologies:
        mesh, extra_joints = resample(basis, NUM_VERTICES[kinds[0]]), vertex_ids[kinds[0]]
        sources = extra_vertices(mesh)
        mesh = reorder(mesh, {source: extra_joints[name] for name, source in sources.items()})
        regressor = joint_regressor(mesh)
        landmarks = _landmarks(mesh, extra_joints["nose"]) if "smplx" in kinds else {}
        for kind in kinds:
            weights, rows, parents = _skeleton(kind, mesh.weights, regressor)
            for gender in get_args(Gender):
                template, shape = _gendered(mesh, gender)
                files[kind, gender] = {
                    "v_template": template.astype(np.float32),
                    "f": mesh.faces.astype(np.uint32),
                    "shapedirs": _columns(kind, shape, mesh.expression),
                    "posedirs": _correctives(template, mesh, weights, parents),
                    "J_regressor": rows.astype(np.float32),
                    "weights": weights.astype(np.float32),
                    "kintree_table": np.stack([parents, np.arange(len(parents))]).astype(np.int64),
                }
                if kind != "smpl":
                    files[kind, gender] |= _hands()
                if kind == "smplx":
                    files[kind, gender] |= landmarks
            if kind != "smplh":
                kids[kind] = _kid_template(mesh)
    return files, kids


def _skeleton(kind: BodyKind, weights: Floats, regressor: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Skinning weights (V,J), joint regressor (J,V) and parents (J,) of a kind, from those of the 55 joints."""
    parents = np.array(PARENTS)
    if kind == "smplx":
        return weights, regressor, parents
    # No joints in the face: jaw and eyes move with the head.
    weights = weights.copy()
    weights[:, HEAD] += weights[:, [JAW, LEFT_EYE, RIGHT_EYE]].sum(axis=1)
    if kind == "smplh":
        kept = np.r_[0:JAW, 25:55]
        shifted = np.where(parents[25:] >= 25, parents[25:] - 3, parents[25:])
        return weights[:, kept], regressor[kept], np.append(parents[:JAW], shifted)
    # One rigid hand a side, its joint amid the knuckles.
    hands = np.stack([weights[:, 25:40].sum(axis=1), weights[:, 40:55].sum(axis=1)], axis=1)
    knuckles = np.stack([regressor[[25, 28, 31, 34]].mean(axis=0), regressor[[40, 43, 46, 49]].mean(axis=0)])
    return (
        np.concatenate([weights[:, :JAW], hands], axis=1),
        np.concatenate([regressor[:JAW], knuckles]),
        np.append(parents[:JAW], (20, 21)),
    )


def _gendered(mesh: Mesh, gender: Gender) -> tuple[Floats, Floats]:
    """Template (V,3) and shape directions (V,3,16) of a gender."""
    waves = _girth_waves(mesh)
    template = mesh.vertices + mesh.shape @ np.array(GENDER_SHAPE[gender]) + GENDER_WAVE[gender] * waves[:, :, -1]
    turn = GENDER_TURN_RAD[gender]
    turned = np.cos(turn) * mesh.shape + np.sin(turn) * np.roll(mesh.shape, -1, axis=2)
    return template, np.concatenate([turned, waves[:, :, :-1]], axis=2)


def _girth_waves(mesh: Mesh) -> Floats:
    """Seven smooth directions (V,3,7) that thicken and thin the body in waves along its height."""
    base = mesh.vertices[:, 1].min()
    height = (mesh.vertices[:, 1] - base) / np.ptp(mesh.vertices[:, 1])
    number = np.arange(1, NUM_SHAPE_DIRECTIONS - 10 + 2)
    wave = 0.02 * np.sin(np.pi * (number + 1) * height[:, None]) / np.sqrt(number)
    return np.asarray(mesh.vertices[:, :, None] * np.array([1.0, 0.0, 1.0])[None, :, None] * wave[:, None, :])


def _columns(kind: BodyKind, shape: Floats, expression: Floats) -> npt.NDArray[np.float32]:
    """Shape and expression directions as the columns of the file."""
    if kind != "smplx":
        return shape.astype(np.float32)
    columns = np.zeros((*shape.shape[:2], NUM_SMPLX_COLUMNS), np.float32)
    columns[:, :, : shape.shape[2]] = shape
    columns[:, :, FIRST_EXPRESSION_COLUMN : FIRST_EXPRESSION_COLUMN + expression.shape[2]] = expression
    return columns


def _correctives(
    template: Floats, mesh: Mesh, weights: Floats, parents: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Pose correctives (V,3,9(J-1)): a bent joint bulges along the surface normal where its part meets its parent's."""
    normals = vertex_normals(template, mesh.faces)
    # Rotation feature in row order: the diagonal of R - I shrinks when a joint bends, the rest change sign with it.
    mixture = np.array([-1.0, 0.35, -0.25, -0.35, -1.0, 0.45, 0.25, -0.45, -1.0])
    posedirs = np.zeros((len(template), 3, 9 * (len(parents) - 1)), np.float32)
    for joint, parent in enumerate(parents[1:], start=1):
        reach = 4 * weights[:, joint] * weights[:, parent] + 0.1 * weights[:, joint]
        bulge = CORRECTIVE_M * reach[:, None] * normals
        posedirs[:, :, 9 * (joint - 1) : 9 * joint] = bulge[:, :, None] * mixture
    return posedirs


def _hands() -> Arrays:
    """Relaxed mean hand poses (45,), mirrored between the sides, and an orthonormal basis that starts with a curl."""
    arrays: Arrays = {}
    for side, sign in (("l", -1.0), ("r", 1.0)):
        mean, curl = np.zeros((15, 3)), np.zeros((15, 3))
        mean[:12, 2] = sign * np.tile([0.25, 0.35, 0.2], 4)
        mean[12:, 1] = -0.1 * sign
        curl[:12, 2] = sign
        # The reflection that takes the first axis to the curl.
        across = np.eye(45)[0] - curl.ravel() / np.linalg.norm(curl)
        components = np.eye(45) - 2 * np.outer(across, across) / (across @ across)
        arrays[f"hands_mean{side}"] = mean.ravel().astype(np.float32)
        arrays[f"hands_components{side}"] = components.astype(np.float32)
    return arrays


def _landmarks(mesh: Mesh, nose: int) -> Arrays:
    faces, weights = face_landmarks(mesh, nose)
    contour_faces, contour_weights = contour_landmarks(mesh)
    return {
        "lmk_faces_idx": faces.astype(np.int64),
        "lmk_bary_coords": weights.astype(np.float32),
        "dynamic_lmk_faces_idx": contour_faces.astype(np.int64),
        "dynamic_lmk_bary_coords": contour_weights.astype(np.float32),
    }


def _kid_template(mesh: Mesh) -> npt.NDArray[np.float32]:
    """An infant's proportions (V,3): 0.55 of the adult's size, with a head 1.4 times as large for its body."""
    head = mesh.weights[:, [HEAD, JAW, LEFT_EYE, RIGHT_EYE]].sum(axis=1, keepdims=True)
    grown = mesh.vertices + 0.4 * head * (mesh.vertices - mesh.joints[NECK])
    return np.asarray(0.55 * grown, np.float32)
