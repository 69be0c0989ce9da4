"""Stable orders by a plain sort: a similarity and an index packed into one integer.

Equal similarities are ordered by index, the lower first. A stable sort says the same, ten times slower:
packed keys are unique, so that the fastest unstable sort and partition have no choice left.
"""

import numpy as np

from galr.retrieval.relevance import blocks

INDEX_BITS = 29  # what a float32 leaves free in the mantissa of a float64; 536 million members
INDEX = (1 << INDEX_BITS) - 1


def keys(lists: np.ndarray) -> np.ndarray:
    """Pack each member of each list with its index.

    Args:
        lists: (lists, members) finite real numbers, larger first.

    Returns:
        (lists, members) int64, unique within a list; descending keys are the stable descending order.
    """
    members = lists.shape[1]
    return (ordered(np.ascontiguousarray(lists)) << INDEX_BITS) | np.arange(members - 1, -1, -1)


def index(packed: np.ndarray, members: int) -> np.ndarray:
    """Unpack the index of a key of a list of so many members."""
    return members - 1 - (packed & INDEX)


def first(lists: np.ndarray, k: int) -> np.ndarray:
    """Find the k first of every list.

    Args:
        lists: (lists, members) finite real numbers, larger first.
        k: at most `members`.

    Returns:
        (lists, k) int64 indices in stable descending order.
    """
    count, members = lists.shape
    found = np.empty((count, k), np.int64)
    for rows in blocks(count, members):
        packed = keys(lists[rows])
        if k < members:
            packed = np.partition(packed, members - k, axis=1)[:, members - k :]
        packed.sort(axis=1)
        found[rows] = index(packed[:, ::-1], members)
    return found


def places(lists: np.ndarray, which: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Find where members stand in the stable descending order of lists.

    Args:
        lists: (lists, members) finite real numbers, larger first.
        which: (pairs,) list that is asked.
        member: (pairs,) member whose place is wanted.

    Returns:
        (pairs,) int64 places from 0.
    """
    count, members = lists.shape
    found = np.empty(len(which), np.int64)
    by_list = np.argsort(which)
    sorted_which = which[by_list]
    for rows in blocks(count, members):
        pairs = by_list[slice(*np.searchsorted(sorted_which, (rows.start, rows.stop)))]
        if pairs.size == 0:
            continue
        packed = keys(lists[rows])
        packed.sort(axis=1)
        place = np.empty(packed.shape, np.int64)
        np.put_along_axis(
            place, index(packed, members), np.arange(members - 1, -1, -1)[None], axis=1
        )
        found[pairs] = place[which[pairs] - rows.start, member[pairs]]
    return found


def ordered(values: np.ndarray) -> np.ndarray:
    """Turn numbers into small integers of the same order.

    A float32 is widened to float64, which leaves the low bits of its mantissa empty, and the bits of
    floats of one sign already have the order of the floats. Other numbers are replaced by their rank
    among the distinct values, which is slower and as exact.

    Args:
        values: finite real numbers of any shape.

    Returns:
        int64 of `values`' shape, within ±2^(63 - INDEX_BITS); equal where the values are equal.
    """
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32, copy=False)
    if narrow is not values and (narrow != values).any():
        rank = np.unique(values, return_inverse=True)[1]
        return rank.reshape(values.shape).astype(np.int64)
    bits = (narrow.astype(np.float64) + 0.0).view(np.int64)  # + 0.0: minus zero is zero
    bits ^= (bits >> 63) & np.iinfo(np.int64).max  # of negatives the larger magnitude is smaller
    return bits >> INDEX_BITS
