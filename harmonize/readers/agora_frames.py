"""AGORA's frames: pickled DataFrames, one row a picture, whose list columns have one entry a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmonize.raw.pickles import load_pickle
from harmonize.readers.fields import MalformedRecord, concerns_file, is_listing, require_keys

CAMERA_COLUMNS = ("camX", "camY", "camZ", "camYaw")
_PERSON_COLUMNS = ("X", "Y", "Z", "Yaw", "gender", "kid", "occlusion", "isValid")
_JOINT_COLUMNS = ("gt_joints_2d", "gt_joints_3d")

Columns = Mapping[str, list[Any]]


def load_columns(path: Path, path_column: str) -> Columns:
    """The columns that are read, of which `path_column` says where each person's fit is; joints where there are any.

    Raises:
        RawFileError: the file is no frame, or a column is missing, there twice, or not of its kind.
    """
    frame = load_pickle(path)
    names = [name for name in getattr(frame, "columns", ()) if isinstance(name, str)]
    needed = ("imgPath", *CAMERA_COLUMNS, *_PERSON_COLUMNS, path_column)
    require_keys(dict.fromkeys(names), needed, str(path))
    with concerns_file(path):
        if len(set(names)) != len(names):
            raise MalformedRecord.of("columns", "each name once", names)
        columns = {name: frame[name].tolist() for name in (*needed, *_JOINT_COLUMNS) if name in names}
        for row, (image, flags) in enumerate(zip(columns["imgPath"], columns["isValid"], strict=True)):
            if not isinstance(image, str):
                raise MalformedRecord.of(f"imgPath, row {row}", "text", image)
            if not is_listing(flags):
                raise MalformedRecord.of(f"isValid, row {row}", "one entry a person", flags)
    return columns


def people(columns: Columns, row: int) -> list[dict[str, Any]]:
    """What a row says about each person.

    The longest list counts, so that nobody is lost. Columns whose list is too short for a person, or no list, are left
    out of that person's record.
    """
    of_picture = {name: columns[name][row] for name in CAMERA_COLUMNS}
    lists = {
        name: column[row]
        for name, column in columns.items()
        if name not in ("imgPath", *CAMERA_COLUMNS) and is_listing(column[row])
    }
    num_people = max(len(values) for name, values in lists.items() if name not in _JOINT_COLUMNS)
    return [
        of_picture | {name: values[person] for name, values in lists.items() if person < len(values)}
        for person in range(num_people)
    ]
