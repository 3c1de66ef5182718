"""Everyone in the same pictures: the people of a split by source picture, whatever shard they were scattered to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harmonize.shards.index import INDEX_SCHEMA, REJECTS_SCHEMA, read_table
from harmonize.shards.names import INDEX, REJECTS

COLUMNS = ("key", "image_path", "is_reject", "box_xywh_px")
"""box_xywh_px: x, y, width, height, confidence in the oriented SOURCE picture; zeros for people that were refused."""

_READS = ["key", "image_path", "image_crop_x_px", "image_crop_y_px", "boxes_person_xywh_px"]


@dataclass(frozen=True, slots=True)
class SplitPeople:
    """The people of one split, ordered by picture; `starts[c]:starts[c+1]` are those of picture c."""

    table: Any
    starts: npt.NDArray[np.intp]
    pictures: Mapping[str, npt.NDArray[np.intp]]

    def beside(self, shard: str) -> Any:
        """Everyone in the pictures that a shard's samples are from, ordered by picture, then key."""
        codes = self.pictures[shard]
        spans = [np.arange(self.starts[code], self.starts[code + 1]) for code in codes]
        return self.table.take(pa.array(np.concatenate(spans) if spans else np.zeros(0, np.intp)))


def split_people(folder: Path, shards: Sequence[str]) -> SplitPeople:
    """The people of all shards of a split.

    Raises:
        StoreError: an index or reject file is damaged.
    """
    parts, owners = [], []
    for number, shard in enumerate(shards):
        index = read_table(folder / f"{shard}{INDEX}", INDEX_SCHEMA, _READS)
        rejects = read_table(folder / f"{shard}{REJECTS}", REJECTS_SCHEMA, ["key", "image_path"])
        parts += [_of_index(index), _of_rejects(rejects)]
        owners += [np.full(index.num_rows, number), np.full(rejects.num_rows, -1)]
    table, owner = pa.concat_tables(parts), np.concatenate(owners)
    paths = table.column("image_path").combine_chunks().dictionary_encode()
    # A picture without a path is nobody's neighbour.
    known = np.asarray(pa.compute.not_equal(table.column("image_path"), ""))
    codes = np.where(known, paths.indices.to_numpy(), -1)
    keys = np.array(table.column("key").to_pylist(), dtype=np.str_)
    order = np.lexsort((keys, codes))
    order = order[codes[order] >= 0]
    starts = np.searchsorted(codes[order], np.arange(len(paths.dictionary) + 1))
    pictures = {shard: np.unique(codes[(owner == number) & (codes >= 0)]) for number, shard in enumerate(shards)}
    return SplitPeople(table.take(pa.array(order)).combine_chunks(), starts, pictures)


def people_digest(people: Any) -> str:
    """Hash of what a family can see of the people in the same pictures."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, people.schema) as stream:
        stream.write_table(people.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _of_index(index: Any) -> Any:
    boxes = index.column("boxes_person_xywh_px").combine_chunks().flatten().to_numpy().reshape(-1, 5).copy()
    boxes[:, 0] += index.column("image_crop_x_px").to_numpy()
    boxes[:, 1] += index.column("image_crop_y_px").to_numpy()
    return _table(index, boxes, is_reject=False)


def _of_rejects(rejects: Any) -> Any:
    return _table(rejects, np.zeros((rejects.num_rows, 5), np.float32), is_reject=True)


def _table(people: Any, boxes: npt.NDArray[np.float32], *, is_reject: bool) -> Any:
    flat = pa.array(np.ascontiguousarray(boxes, np.float32).reshape(-1))
    return pa.table(
        {
            "key": people.column("key").combine_chunks(),
            "image_path": people.column("image_path").combine_chunks(),
            "is_reject": pa.array(np.full(len(boxes), is_reject)),
            "box_xywh_px": pa.FixedSizeListArray.from_arrays(flat, 5),
        }
    )
