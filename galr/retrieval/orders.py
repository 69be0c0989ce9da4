"""What reranking asks of lists: their best members, places in them, sums of them. No list is ordered for it."""

import numpy as np

from galr.retrieval.parallel import in_blocks
from galr.retrieval.relevance import BLOCK, blocks

# Members copied at once where lists run across memory: what a cache line brings is used up.
TILE = 64


def first(lists: np.ndarray, count: int, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Find the first members of every list in stable descending order: of equals the lower index first.

    Args:
        lists: (lists, members) finite real numbers, larger first.
        count: how many to find, at most `members`.
        threads: to work with; the result does not depend on it.

    Returns:
        (lists, count) int64 indices, and (lists, count) members.
    """
    size, members = lists.shape
    index, value = np.empty((size, count), np.int64), np.empty((size, count), lists.dtype)

    def search(rows: slice) -> None:
        index[rows], value[rows] = _first(side_by_side(lists, rows), count)

    in_blocks(search, blocks(size, members, 4 * BLOCK), threads)
    return index, value


def ask(
    lists: np.ndarray, which: np.ndarray, value: np.ndarray, largest: float, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Ask lists where values would stand in them, and sum all lists.

    Args:
        lists: (lists, members) finite real numbers.
        which: (pairs,) list that is asked.
        value: (pairs,) what its members are compared with.
        largest: the largest magnitude in the lists.
        threads: to work with; the result does not depend on it.

    Returns:
        (pairs,) int64, how many members are larger: the place from 0, equal ones sharing the best; and
        (lists,) float64, the `sums`.
    """
    size, members = lists.shape
    # By list, and within a list more or less by value: a search near the one before is much faster.
    by_list = np.argsort(which + np.divide(value, 4 * largest or 1, dtype=np.float64))
    ends = np.cumsum(np.bincount(which, minlength=size))
    values, counts, total = value[by_list], np.empty(len(which), np.int64), np.empty(size)

    def search(rows: slice) -> None:
        block = side_by_side(lists, rows)
        total[rows] = sums(block, largest)
        start = ends[rows.start - 1] if rows.start else 0
        for ascending, end in zip(np.sort(block, axis=1), ends[rows], strict=True):
            counts[start:end] = ascending.searchsorted(values[start:end], side="right")
            start = end

    in_blocks(search, blocks(size, members, 4 * BLOCK), threads)
    found = np.empty_like(counts)
    found[by_list] = members - counts
    return found, total


def sums(lists: np.ndarray, largest: float) -> np.ndarray:
    """Sum every list so that no order of its members changes a bit.

    So equal lists have equal sums however they lie in memory and the work is cut, and a last bit never
    decides which of two equals comes first.

    Args:
        lists: (lists, members) finite real numbers.
        largest: the largest magnitude among them, or more; the same for all that is compared.

    Returns:
        (lists,) float64.
    """
    shift = grid_shift(largest, lists.shape[1])
    rounded = lists.astype(np.float64)
    rounded += shift
    rounded -= shift
    return rounded.sum(axis=1)


def grid_shift(largest: float, members: int) -> float:
    """Find what a number is added to and freed of again, in float64, to lie on a grid where sums are exact.

    The grid is about 2^-50 of the largest possible sum, as near as any sum in float64 can hope to be.

    Args:
        largest: the largest magnitude that is summed, or more.
        members: how many are summed.
    """
    exponent = np.frexp(largest)[1] + np.frexp(members)[1]  # no sum reaches 2^exponent
    return float(np.ldexp(1.5, min(exponent + 1, 1022)))  # float64s near it are one grid apart


def side_by_side(lists: np.ndarray, rows: slice) -> np.ndarray:
    """Take some lists, each in one piece of memory: a view where they are, else a copy in tiles."""
    some = lists[rows]
    if some.flags.c_contiguous:
        return some
    copy = np.empty(some.shape, some.dtype)
    for start in range(0, some.shape[1], TILE):
        copy[:, start : start + TILE] = some[:, start : start + TILE]
    return copy


def descending(values: np.ndarray) -> np.ndarray:
    """Sort every row from large to small, equals from left to right: (rows, columns) indices."""
    last = values.shape[1] - 1
    return last - np.argsort(values[:, ::-1], axis=1, kind="stable")[:, ::-1]


def _first(block: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`first` of lists that lie side by side in memory."""
    lists, members = block.shape
    border = np.partition(block, members - count, axis=1)[:, members - count, None]
    inside = block >= border
    found = np.flatnonzero(inside)
    if len(found) > lists * count:  # more tie with the last of them than there is room for
        tied = block == border
        room = count - (inside & ~tied).sum(axis=1, keepdims=True)
        found = np.flatnonzero(inside & (~tied | (np.cumsum(tied, axis=1) <= room)))
    index = (found % members).reshape(lists, count)
    value = np.take_along_axis(block, index, axis=1)
    order = descending(value)
    return np.take_along_axis(index, order, axis=1), np.take_along_axis(value, order, axis=1)
