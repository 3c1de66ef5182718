"""Where the stand-in's nose, fingertips, joints and face landmarks are, found from its geometry and skinning weights.

The order of joints, extra joints and landmarks is that of the `smplx` package's output; positions are our own.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from harmonize.bodies.standin_mesh import HEAD, JAW, LEFT_EYE, NECK, PARENTS, RIGHT_EYE, Floats, Ints, Mesh

NUM_CONTOUR_ROWS = 79
"""Contour landmarks exist for head yaws of 0..39 degrees and then -1..-39 degrees."""
NUM_CONTOUR_POINTS = 17


def extra_vertices(mesh: Mesh) -> dict[str, int]:
    """The vertices that serve as extra joints, under the names of the `smplx` package's `vertex_ids`."""
    points, joints = mesh.vertices, mesh.joints

    def part(joint: int) -> Ints:
        return np.flatnonzero(mesh.weights[:, joint] > 0.5)

    def best(candidates: Ints, score: Floats) -> int:
        return int(candidates[np.argmax(score)])

    head = part(HEAD)
    x, y = points[head, 0], points[head, 1]
    ridge = head[(np.abs(x) < 0.012) & (y < joints[LEFT_EYE, 1]) & (y > mesh.mouth[1])]
    found = {"nose": best(ridge, points[ridge, 2])}
    ears = head[np.abs(y - joints[LEFT_EYE, 1] + 0.02) < 0.035]
    sides = (("l", "L", 1.0, LEFT_EYE, 10, 7, 25), ("r", "R", -1.0, RIGHT_EYE, 11, 8, 40))
    for lower, upper, sign, eye_joint, foot_joint, ankle_joint, first_finger_joint in sides:
        eye = part(eye_joint)
        found[f"{lower}eye"] = best(eye, points[eye, 2])
        off_level = np.abs(points[ears, 1] - joints[LEFT_EYE, 1])
        found[f"{lower}ear"] = best(ears, sign * points[ears, 0] - 0.3 * off_level)
        foot, outward = part(foot_joint), sign * points[part(foot_joint), 0]
        found[f"{upper}BigToe"] = best(foot, points[foot, 2] - 0.35 * outward - 0.3 * points[foot, 1])
        found[f"{upper}SmallToe"] = best(foot, 0.55 * points[foot, 2] + outward - 0.3 * points[foot, 1])
        ankle = part(ankle_joint)
        found[f"{upper}Heel"] = best(ankle, -points[ankle, 2] - points[ankle, 1])
        for number, finger in enumerate(("index", "middle", "pinky", "ring", "thumb")):
            last_joint = first_finger_joint + 3 * number + 2
            tip = part(last_joint)
            found[f"{lower}{finger}"] = best(tip, np.linalg.norm(points[tip] - joints[last_joint], axis=1))
    return found


def joint_regressor(mesh: Mesh) -> Floats:
    """Non-negative weights (55,V), rows summing to 1, that give the rig's joints at rest and under shape changes.

    Each row is a non-negative least-squares fit over the 400 nearest vertices of the joint and its parent, to the rest
    position and to four bodies of other height, weight, build and muscle.
    """
    bodies = [(0, 0.0), (0, 2.0), (1, 3.0), (2, 2.0), (3, 2.0)]
    points = np.stack([mesh.vertices + amount * mesh.shape[:, :, beta] for beta, amount in bodies], axis=1)
    targets = np.stack([mesh.joints + amount * mesh.joint_shape[:, :, beta] for beta, amount in bodies], axis=1)
    sum_to_one = 3.0
    regressor = np.zeros((len(PARENTS), len(mesh.vertices)))
    for joint, parent in enumerate(PARENTS):
        near = np.flatnonzero(mesh.weights[:, joint] + mesh.weights[:, max(parent, 0)] > 0.05)
        distance = np.linalg.norm(mesh.vertices[near] - mesh.joints[joint], axis=1)
        near = near[np.argsort(distance, kind="stable")[:400]]
        system = np.concatenate([points[near].reshape(len(near), -1).T, np.full((1, len(near)), sum_to_one)])
        solution, _ = nnls(system, np.append(targets[joint].ravel(), sum_to_one))
        regressor[joint, near] = solution / solution.sum()
    return regressor


def face_landmarks(mesh: Mesh, nose: int) -> tuple[Ints, Floats]:
    """The 51 inner landmarks (brows, nose, eyes, lips) as faces (51,) and barycentric weights (51,3).

    Drawn as a plan in the frontal plane, in units of the distance between the eyes, and projected onto the face.
    """
    left, right = mesh.joints[LEFT_EYE], mesh.joints[RIGHT_EYE]
    eye_y, span = (left[1] + right[1]) / 2, left[0] - right[0]
    tip, mouth_y = mesh.vertices[nose], mesh.mouth[1]

    def arc(count: int, centre: tuple[float, float], radii: tuple[float, float], start: float, stop: float) -> Floats:
        angle = np.linspace(start, stop, count)
        return np.stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], axis=1)

    brow = np.array([(0.85, 0.38), (0.68, 0.48), (0.50, 0.50), (0.34, 0.46), (0.20, 0.40)]) * span + (0, eye_y)
    bridge = np.array([(0.0, eye_y + (tip[1] - eye_y) * along) for along in (0.1, 0.4, 0.7, 1.0)])
    nostrils = np.array([(along * span, tip[1] - 0.18 * span) for along in (-0.22, -0.11, 0.0, 0.11, 0.22)])
    pi = np.pi
    eye_radii, lip_radii, gap_radii = (0.24 * span, 0.10 * span), (0.42 * span, 0.16 * span), (0.32 * span, 0.05 * span)
    plan = np.concatenate(
        [
            brow * (-1, 1),
            brow[::-1],
            bridge,
            nostrils,
            arc(6, (right[0], right[1]), eye_radii, pi, -2 * pi / 3),
            arc(6, (left[0], left[1]), eye_radii, pi, -2 * pi / 3),
            arc(7, (0, mouth_y), lip_radii, pi, 0),
            arc(7, (0, mouth_y), lip_radii, 0, -pi)[1:-1],
            arc(5, (0, mouth_y), gap_radii, pi, 0),
            arc(5, (0, mouth_y), gap_radii, 0, -pi)[1:-1],
        ]
    )
    origins = np.column_stack([plan, np.full(len(plan), mesh.joints[HEAD, 2])])
    return _cast_to_head(mesh, origins, np.tile([0.0, 0.0, 1.0], (len(plan), 1)))


def contour_landmarks(mesh: Mesh) -> tuple[Ints, Floats]:
    """The 17 points of the face's outline for each head yaw: faces (79,17) and barycentric weights (79,17,3)."""
    left, right = mesh.joints[LEFT_EYE], mesh.joints[RIGHT_EYE]
    jaw = np.flatnonzero(mesh.weights[:, JAW] > 0.5)
    chin = mesh.vertices[jaw[np.argmin(mesh.vertices[jaw, 1] - 0.5 * mesh.vertices[jaw, 2])]]
    ear_y = (left[1] + right[1]) / 2 - 0.1 * (left[0] - right[0])
    yaw = np.deg2rad(np.concatenate([np.arange(40), -np.arange(1, 40)]))[:, None]
    around = np.linspace(-np.pi / 2, np.pi / 2, NUM_CONTOUR_POINTS)[None, :]
    height = chin[1] + 0.004 + (ear_y - chin[1]) * np.abs(around / (np.pi / 2)) ** 1.6
    angle = np.clip(around - yaw, -1.9, 1.9)
    zero = np.zeros_like(angle)
    origins = np.stack([zero, zero + height, zero + left[2] - 0.07], axis=-1)
    directions = np.stack([np.sin(angle), zero, np.cos(angle)], axis=-1)
    faces, weights = _cast_to_head(mesh, origins.reshape(-1, 3), directions.reshape(-1, 3))
    return faces.reshape(angle.shape), weights.reshape(*angle.shape, 3)


def _cast_to_head(mesh: Mesh, origins: Floats, directions: Floats) -> tuple[Ints, Floats]:
    """The farthest triangle of the head that each ray hits (Moeller-Trumbore): faces (N,), barycentric weights (N,3).

    A ray that slips through an opening takes the middle of the triangle nearest to it.
    """
    of_head = mesh.weights[:, [NECK, HEAD, JAW, LEFT_EYE, RIGHT_EYE]].sum(axis=1) > 0.8
    faces = np.flatnonzero(of_head[mesh.faces].all(axis=1))
    corner, second, third = (mesh.vertices[mesh.faces[faces, k]] for k in range(3))
    edge1, edge2 = second - corner, third - corner
    hits, weights = [], []
    for origin, direction in zip(origins, directions, strict=True):
        across = np.cross(direction, edge2)
        determinant = (edge1 * across).sum(axis=1)
        determinant[np.abs(determinant) < 1e-12] = np.inf
        offset = origin - corner
        u = (offset * across).sum(axis=1) / determinant
        turned = np.cross(offset, edge1)
        v = (turned @ direction) / determinant
        distance = (edge2 * turned).sum(axis=1) / determinant
        inside = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6) & (distance > 0)
        if inside.any():
            hit = int(np.flatnonzero(inside)[np.argmax(distance[inside])])
            weight = np.clip([1 - u[hit] - v[hit], u[hit], v[hit]], 0.0, 1.0)
        else:
            centre = corner + (edge1 + edge2) / 3 - origin
            along = centre @ direction
            hit = int(np.argmin(np.linalg.norm(centre - along[:, None] * direction, axis=1) - 0.1 * along))
            weight = np.ones(3)
        hits.append(faces[hit])
        weights.append(weight / weight.sum())
    return np.array(hits), np.array(weights)
