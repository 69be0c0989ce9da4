"""Several threads over the blocks of one array; NumPy lets go of the interpreter while it works.

What reranking asks of lists: their best members, places in them, sums of them. No list is ordered for it.

What every rerank needs to know of a query's best candidates, and of what they would answer.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from galr.errors import ConfigError
from galr.evaluate.ranks import BLOCK_ENTRIES, row_blocks


def map_blocks(work: Callable[[slice], None], blocks: Iterable[slice], threads: int) -> None:
    """Work on blocks of rows, each once, in any order.

    Args:
        work: writes what it finds for a block into rows that no other block writes.
        rows: the blocks; where they are cut must not depend on `threads`.
        threads: how many at once, at least 1.
    """
    if threads == 1:
        for block in blocks:
            work(block)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, blocks):  # raises what a block raised
            pass


def check_threads(threads: int) -> None:
    """Refuse a number of threads that does no work.

    Raises:
        ConfigError: says which.
    """
    if threads < 1:
        raise ConfigError(f"threads must be at least 1, got {threads}")


# Members copied at once where lists run across memory: what a cache line brings is used up.
COPY_TILE = 64


def topk_stable(lists: np.ndarray, k: int, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Find the first members of every list in stable descending order: of equals the lower index first.

    Args:
        lists: (lists, members) finite real numbers, larger first.
        count: how many to find, at most `members`.
        threads: to work with; the result does not depend on it.

    Returns:
        (lists, count) int64 indices, and (lists, count) members.
    """
    num_lists, num_members = lists.shape
    indices, values = np.empty((num_lists, k), np.int64), np.empty((num_lists, k), lists.dtype)

    def search(rows: slice) -> None:
        indices[rows], values[rows] = _topk_block(contiguous_rows(lists, rows), k)

    map_blocks(search, row_blocks(num_lists, num_members, 4 * BLOCK_ENTRIES), threads)
    return indices, values


def count_larger_and_sum(
    lists: np.ndarray,
    list_index: np.ndarray,
    thresholds: np.ndarray,
    max_magnitude: float,
    threads: int = 1,
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
    num_lists, num_members = lists.shape
    # By list, and within a list more or less by value: a search near the one before is much faster.
    by_list = np.argsort(
        list_index + np.divide(thresholds, 4 * max_magnitude or 1, dtype=np.float64)
    )
    ends = np.cumsum(np.bincount(list_index, minlength=num_lists))
    values, counts, total = (
        thresholds[by_list],
        np.empty(len(list_index), np.int64),
        np.empty(num_lists),
    )

    def search(rows: slice) -> None:
        block = contiguous_rows(lists, rows)
        total[rows] = exact_sums(block, max_magnitude)
        start = ends[rows.start - 1] if rows.start else 0
        for ascending, end in zip(np.sort(block, axis=1), ends[rows], strict=True):
            counts[start:end] = ascending.searchsorted(values[start:end], side="right")
            start = end

    map_blocks(search, row_blocks(num_lists, num_members, 4 * BLOCK_ENTRIES), threads)
    found = np.empty_like(counts)
    found[by_list] = num_members - counts
    return found, total


def exact_sums(lists: np.ndarray, max_magnitude: float) -> np.ndarray:
    """Sum every list so that no order of its members changes a bit.

    So equal lists have equal sums however they lie in memory and the work is cut, and a last bit never
    decides which of two equals comes first.

    Args:
        lists: (lists, members) finite real numbers.
        largest: the largest magnitude among them, or more; the same for all that is compared.

    Returns:
        (lists,) float64.
    """
    shift = rounding_shift(max_magnitude, lists.shape[1])
    rounded = lists.astype(np.float64)
    rounded += shift
    rounded -= shift
    return rounded.sum(axis=1)


def rounding_shift(max_magnitude: float, num_members: int) -> float:
    """Find what a number is added to and freed of again, in float64, to lie on a grid where sums are exact.

    The grid is about 2^-50 of the largest possible sum, as near as any sum in float64 can hope to be.

    Args:
        largest: the largest magnitude that is summed, or more.
        members: how many are summed.
    """
    exponent = np.frexp(max_magnitude)[1] + np.frexp(num_members)[1]  # no sum reaches 2^exponent
    return float(np.ldexp(1.5, min(exponent + 1, 1022)))  # float64s near it are one grid apart


def contiguous_rows(lists: np.ndarray, rows: slice) -> np.ndarray:
    """Take some lists, each in one piece of memory: a view where they are, else a copy in tiles."""
    some = lists[rows]
    if some.flags.c_contiguous:
        return some
    copy = np.empty(some.shape, some.dtype)
    for start in range(0, some.shape[1], COPY_TILE):
        copy[:, start : start + COPY_TILE] = some[:, start : start + COPY_TILE]
    return copy


def argsort_descending(values: np.ndarray) -> np.ndarray:
    """Sort every row from large to small, equals from left to right: (rows, columns) indices."""
    last = values.shape[1] - 1
    return last - np.argsort(values[:, ::-1], axis=1, kind="stable")[:, ::-1]


def _topk_block(block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`first` of lists that lie side by side in memory."""
    lists, members = block.shape
    border = np.partition(block, members - k, axis=1)[:, members - k, None]
    inside = block >= border
    found = np.flatnonzero(inside)
    if len(found) > lists * k:  # more tie with the last of them than there is room for
        tied = block == border
        room = k - (inside & ~tied).sum(axis=1, keepdims=True)
        found = np.flatnonzero(inside & (~tied | (np.cumsum(tied, axis=1) <= room)))
    index = (found % members).reshape(lists, k)
    value = np.take_along_axis(block, index, axis=1)
    order = argsort_descending(value)
    return np.take_along_axis(index, order, axis=1), np.take_along_axis(value, order, axis=1)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The best of every query's candidates: one more than are reranked, to see where a tie ends.

    Attributes:
        order: (queries, width) int64, the candidates in stable descending order of similarity.
        similarity: (queries, width) of each, descending along a row.
        reverse: (queries, width) int64, how many queries are more alike to the candidate than this one.
        total: (candidates,) float64, sum of a candidate's similarities over all queries.
        lowest: the least similarity of all where that is negative, else 0.
    """

    indices: np.ndarray
    similarities: np.ndarray
    reverse_rank: np.ndarray
    column_sum: np.ndarray
    min_negative: float

    @property
    def num_candidates(self) -> int:
        """How many candidates there are, the width's best included."""
        return len(self.column_sum)

    @property
    def forward_rank(self) -> np.ndarray:
        """(queries, width) int64, how many candidates are more alike: the forward place from 0."""
        return run_starts(self.similarities)

    @property
    def tied_or_above(self) -> np.ndarray:
        """(queries, width) int64, how many candidates are at least as alike, as far as the width shows.

        A tie that goes on behind the width counts up to it, which is one more than are ever reranked.
        """
        return self.indices.shape[1] - run_starts(self.similarities[:, ::-1])[:, ::-1]


def find_candidates(similarity: np.ndarray, max_k: int, threads: int = 1) -> Candidates:
    """Search a matrix for what reranking up to k candidates needs.

    Args:
        similarity: (queries, candidates) finite real numbers, larger is more alike.
        k: most candidates that will be reranked, at least 1; beyond the table is the table.
        threads: to work with; the result does not depend on it.
    """
    width = min(max_k + 1, similarity.shape[1])
    indices, similarities = topk_stable(similarity, width, threads)
    low, high = float(similarity.min()), float(similarities[:, 0].max())
    reverse_rank, column_sum = count_larger_and_sum(
        similarity.T, indices.ravel(), similarities.ravel(), max(-low, high), threads
    )
    return Candidates(
        indices, similarities, reverse_rank.reshape(indices.shape), column_sum, min(low, 0.0)
    )


def run_starts(rows: np.ndarray) -> np.ndarray:
    """Find where each entry's run of equal neighbours begins: (rows, columns) to the same, int64."""
    begins = np.zeros(rows.shape, np.int64)
    begins[:, 1:] = np.where(rows[:, 1:] != rows[:, :-1], np.arange(1, rows.shape[1]), 0)
    return np.maximum.accumulate(begins, axis=1)
