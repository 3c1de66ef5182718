"""NeuralAnnot's releases of studio recordings: json trees of fits and joints in the frame of the world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harmonize.miniatures.world import Person


def smplx_entry(person: Person) -> dict[str, Any]:
    """Neutral SMPL-X without hands and face, metres; the person must be `body_only`."""
    return {
        "root_pose": person.pose_aa[0].tolist(),
        "body_pose": person.pose_aa[1:22].ravel().tolist(),
        "shape": person.betas.tolist(),
        "trans": person.transl_m.tolist(),
    }


def smpl_entry(person: Person) -> dict[str, Any]:
    """Neutral SMPL, metres."""
    return {
        "pose": person.pose_aa.ravel().tolist(),
        "shape": person.betas.tolist(),
        "trans": person.transl_m.tolist(),
    }


def nested(tree: dict[str, Any], *keys: object) -> dict[str, Any]:
    """The dictionary at a path of keys (written as text), made where it is missing."""
    for key in keys:
        tree = tree.setdefault(str(key), {})
    return tree


def write_json(path: Path, content: Any) -> None:
    """Folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
