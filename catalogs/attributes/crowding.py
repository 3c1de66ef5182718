"""Who else is in the picture: numbers of people and overlap of boxes, for all samples of a shard at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from catalogs.attributes.family import Rows, to_numpy
from harmonize.geometry.boxes import iou

Ints = npt.NDArray[np.intp]


def crowding(rows: Rows) -> tuple[Any, npt.NDArray[np.float64]]:
    """People in each sample's picture (N,), masked without a picture, and the largest overlap (N,), NaN without a box.

    Reads `key` and `people`, in which each picture's people are neighbours; boxes are those of the source
    picture.
    """
    paths = rows.people.column("image_path").combine_chunks()
    boxes = to_numpy(rows.people.column("box_xywh_px"), (5,))
    is_reject = rows.people.column("is_reject").combine_chunks()
    person = _place_of(rows, is_reject)
    num_people = np.zeros(len(rows), np.intp)
    largest = np.full(len(rows), np.nan)
    found = np.flatnonzero(person >= 0)
    if len(found):
        own = person[found]
        first, length = _pictures(paths)
        num_people[found] = length[own]
        overlap = _largest_iou(boxes, own, first[own], length[own])
        largest[found] = np.where(boxes[own, 4] > 0, overlap, np.nan)
    return np.ma.masked_array(num_people, mask=person < 0), largest


def _place_of(rows: Rows, is_reject: Any) -> Ints:
    """(N,) the row of `people` that each sample is; -1 for those without a picture's name."""
    kept = np.flatnonzero(~np.asarray(is_reject))
    keys = rows.people.column("key").combine_chunks().take(kept)
    at = pc.index_in(rows.table.column("key").combine_chunks(), value_set=keys).fill_null(-1).to_numpy()
    return np.where(at >= 0, np.append(kept, -1)[at], -1)


def _pictures(paths: Any) -> tuple[Ints, Ints]:
    """For each person the first person of the same picture, and how many there are in it."""
    codes = paths.dictionary_encode().indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(starts, append=len(codes))
    return np.repeat(starts, lengths), np.repeat(lengths, lengths)


def _largest_iou(boxes: npt.NDArray[np.float32], own: Ints, first: Ints, length: Ints) -> npt.NDArray[np.float64]:
    """Largest overlap (M,) of the boxes of people `own` with another box of their pictures; 0 where there is none."""
    largest = np.zeros(len(own))
    many = np.flatnonzero(length > 1)
    if len(many):
        num = length[many]
        starts = np.cumsum(num) - num
        mine = np.repeat(own[many], num)
        other = np.arange(num.sum()) - np.repeat(starts - first[many], num)
        overlap = np.where(
            (mine != other) & (boxes[mine, 4] > 0) & (boxes[other, 4] > 0), iou(boxes[mine], boxes[other]), 0.0
        )
        largest[many] = np.maximum.reduceat(overlap, starts)
    return largest
