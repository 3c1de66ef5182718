"""Which items of a dataset's list an epoch of SMPLer-X shows, under each of its strategies.

Read in SMPLer-X (commit d3e3c10: data/dataset.py, data/humandata.py, the loaders, common/base.py) and SMPLest-X (commit
6d0aea7: datasets/dataset.py); written anew from the facts.

Reproduced exactly:
- the share of a dataset: total_data_len // number of datasets (`balance`), its own length (`concat`), a given length
  (`weighted`);
- the order of a list: for `balance` and `weighted` one shuffle by Python's own `random` seeded with 2023 (not numpy's);
  a dataset in several annotation files (UBody: scenes) is shuffled file by file, each from the same seed, then joined;
  MPII and Human3.6M are not seeded anew and go on from the state that 3DPW's shuffle left;
- a list at least as long as its share: only its first `share` items are ever shown, the same in every epoch;
- a shorter list: repeated whole as often as it fits. `concat` keeps the order of the file.

Reproduced in distribution only: what fills the rest of a shorter list's share. SMPLer-X draws it anew in each epoch,
uniformly and with replacement (`random.randint`), in loader workers whose generator augmentation advances too; here it
is drawn in the same way from a generator of its own. Not reproduced: the order in which the positions of an epoch are
visited, and the last batch that is dropped.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from harmonize.errors import UsageError

Indices = npt.NDArray[np.int64]
Strategy = Literal["balance", "concat", "weighted"]

SHUFFLE_SEED = 2023


def equal_share(total_data_len: int, num_datasets: int) -> int:
    """Positions of each dataset in a balanced epoch. What the division leaves over goes to datasets picked at random.

    Raises:
        UsageError: the epoch has fewer positions than datasets.
    """
    if not 1 <= num_datasets <= total_data_len:
        raise UsageError(f"balance: {num_datasets} datasets in {total_data_len} draws: expected at least one draw each")
    return total_data_len // num_datasets


def stepped_length(num_rows: int, step: int, *, starts_at_first: bool) -> int:
    """Items that a frame step leaves of an annotation file.

    starts_at_first: HumanData loaders keep rows 0, step, 2·step, ...; loaders of COCO-like files count from one and
    keep rows step − 1, 2·step − 1, ... Rows whose box lies outside the picture are lost besides.
    """
    return -(-num_rows // step) if starts_at_first else num_rows // step


def list_order(part_lengths: Sequence[int], seed: int = SHUFFLE_SEED, shuffled_before: Sequence[int] = ()) -> Indices:
    """(sum of part_lengths,) positions in annotation order, in the order of the shuffled list.

    part_lengths: items of each annotation file; most datasets have one. shuffled_before: lengths of lists that were
    shuffled since the seed was set, where a loader does not set it: (3DPW,) for MPII, (3DPW, MPII) for Human3.6M.
    """
    parts, start = [], 0
    for length in part_lengths:
        generator = random.Random(seed)
        for other in shuffled_before:
            generator.shuffle(list(range(other)))
        items = list(range(start, start + length))
        generator.shuffle(items)
        parts.append(np.array(items, dtype=np.int64))
        start += length
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def contribution(
    num_instances: int,
    share: int,
    strategy: Strategy,
    seed: int = SHUFFLE_SEED,
    *,
    draw_seed: int = 0,
    part_lengths: Sequence[int] | None = None,
    shuffled_before: Sequence[int] = (),
) -> Indices:
    """(share,) positions in annotation order of the items that an epoch shows of a list of `num_instances`.

    draw_seed: of the draws that fill up a shorter list's share; another one for each epoch. part_lengths and
    shuffled_before: see `list_order`; one file when None.

    Raises:
        UsageError: the list or the share is empty, the parts do not add up to the list, or `concat` with a share that
            is not the list's own length.
    """
    if num_instances < 1 or share < 1:
        raise UsageError(f"{strategy}: expected at least one instance and one draw, found {num_instances} and {share}")
    parts = [num_instances] if part_lengths is None else list(part_lengths)
    if sum(parts) != num_instances or min(parts) < 1:
        raise UsageError(f"{strategy}: expected parts that add up to {num_instances} instances, found {parts}")
    if strategy == "concat":
        if share != num_instances:
            raise UsageError(
                f"concat: the share of a dataset is its own length {num_instances}, found {share}",
                fix="use balance or weighted for another share",
            )
        return np.arange(num_instances, dtype=np.int64)
    order = list_order(parts, seed, shuffled_before)
    if share <= num_instances:
        return order[:share]
    num_repeats, rest = divmod(share, num_instances)
    generator = random.Random(draw_seed)
    drawn = np.array([generator.randint(0, num_instances - 1) for _ in range(rest)], dtype=np.int64)
    return np.concatenate([np.tile(order, num_repeats), order[drawn]])


def num_distinct(num_instances: int, share: int) -> int:
    """Different items that an epoch shows: all of a shorter list, the first `share` of a longer one."""
    return min(num_instances, share)


def remainder_positions(total_data_len: int, num_datasets: int, draw_seed: int = 0) -> Iterator[tuple[int, int]]:
    """(dataset, position in its share) of each position that equal shares leave over: a dataset picked at random.

    Empty for the published mixtures: 5, 10, 20 and 32 datasets divide their lengths.
    """
    share = equal_share(total_data_len, num_datasets)
    generator = random.Random(draw_seed)
    for position in range(total_data_len - share * num_datasets):
        yield generator.randint(0, num_datasets - 1), position % share
