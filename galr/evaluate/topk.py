"""Top-k, counts and exact sums over the rows of a large matrix, and the candidates that reranks work on.

A row is called a list and its entries are its members. Rows are processed in blocks that fit a CPU cache, by
several threads; no list is sorted as a whole to find its top k.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from galr.errors import ConfigError

BLOCK_ENTRIES = 1 << 16  # entries of a block: a few float64 tables of this size fit a core's cache
COPY_TILE = 64  # columns copied at once from rows across memory, to use up every cache line read


@dataclass(frozen=True, eq=False)
class Candidates:
    """The most similar candidates of every query, one more than are reranked, to see where a tie ends.

    Attributes:
        indices: (queries, width) int64, the candidates in stable descending order of similarity.
        similarities: (queries, width) of each, descending along a row.
        reverse_rank: (queries, width) int64, number of queries that are more similar to the candidate than this
            one.
        column_sum: (candidates,) float64, sum of a candidate's similarities over all queries.
        min_negative: the minimum of all similarities if it is negative, else 0.
    """

    indices: np.ndarray
    similarities: np.ndarray
    reverse_rank: np.ndarray
    column_sum: np.ndarray
    min_negative: float

    @property
    def num_candidates(self) -> int:
        """Number of all candidates, those in `indices` included."""
        return len(self.column_sum)

    @property
    def forward_rank(self) -> np.ndarray:
        """(queries, width) int64, number of candidates that are more similar to the query."""
        return run_starts(self.similarities)

    @property
    def tied_or_above(self) -> np.ndarray:
        """(queries, width) int64, number of candidates that are at least as similar to the query.

        A tie that continues beyond the width is counted up to the width, which is one more than are reranked.
        """
        return self.indices.shape[1] - run_starts(self.similarities[:, ::-1])[:, ::-1]


def find_candidates(similarity: np.ndarray, max_k: int, threads: int = 1) -> Candidates:
    """Find what reranking up to `max_k` candidates of every query needs.

    Args:
        similarity: (queries, candidates) finite real numbers, larger is more similar.
        max_k: largest number of candidates that will be reranked, at least 1; may exceed the candidates.
        threads: number of threads; the result does not depend on it.
    """
    width = min(max_k + 1, similarity.shape[1])
    indices, similarities = topk_stable(similarity, width, threads)
    lowest, highest = float(similarity.min()), float(similarities[:, 0].max())
    reverse_rank, column_sum = count_larger_and_sum(
        similarity.T, indices.ravel(), similarities.ravel(), max(-lowest, highest), threads
    )
    return Candidates(
        indices, similarities, reverse_rank.reshape(indices.shape), column_sum, min(lowest, 0.0)
    )


def topk_stable(lists: np.ndarray, k: int, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Find the first k members of every list in stable descending order: equal ones by index.

    Args:
        lists: (lists, members) finite real numbers.
        k: number of members to find, at most `members`.
        threads: number of threads; the result does not depend on it.

    Returns:
        (lists, k) int64 indices, and (lists, k) members.
    """
    num_lists, num_members = lists.shape
    indices, values = np.empty((num_lists, k), np.int64), np.empty((num_lists, k), lists.dtype)

    def search(rows: slice) -> None:
        indices[rows], values[rows] = _topk_block(contiguous_rows(lists, rows), k)

    map_blocks(search, row_blocks(num_lists, num_members, 4 * BLOCK_ENTRIES), threads)
    return indices, values


def _topk_block(block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`topk_stable` of contiguous lists (lists, members)."""
    num_lists, num_members = block.shape
    kth = np.partition(block, num_members - k, axis=1)[:, num_members - k, None]
    selected = block >= kth
    flat = np.flatnonzero(selected)
    if len(flat) > num_lists * k:  # more members tie with the k-th than there is room for
        tied = block == kth
        room = k - (selected & ~tied).sum(axis=1, keepdims=True)
        flat = np.flatnonzero(selected & (~tied | (np.cumsum(tied, axis=1) <= room)))
    indices = (flat % num_members).reshape(num_lists, k)
    values = np.take_along_axis(block, indices, axis=1)
    order = argsort_descending(values)
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(values, order, axis=1)


def count_larger_and_sum(
    lists: np.ndarray,
    list_index: np.ndarray,
    thresholds: np.ndarray,
    max_magnitude: float,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Count the members of a list that are larger than a threshold, for many pairs of both; sum all lists.

    Args:
        lists: (lists, members) finite real numbers.
        list_index: (pairs,) integers, list of each pair.
        thresholds: (pairs,) threshold of each pair.
        max_magnitude: largest absolute value in the lists.
        threads: number of threads; the result does not depend on it.

    Returns:
        (pairs,) int64 counts, and (lists,) float64 `exact_sums`.
    """
    num_lists, num_members = lists.shape
    # By list, and in a list roughly by threshold: a binary search near the one before is much faster.
    by_list = np.argsort(
        list_index + np.divide(thresholds, 4 * max_magnitude or 1, dtype=np.float64)
    )
    ends = np.cumsum(np.bincount(list_index, minlength=num_lists))
    ordered, positions = thresholds[by_list], np.empty(len(list_index), np.int64)
    sums = np.empty(num_lists)

    def search(rows: slice) -> None:
        block = contiguous_rows(lists, rows)
        sums[rows] = exact_sums(block, max_magnitude)
        start = ends[rows.start - 1] if rows.start else 0
        for ascending, end in zip(np.sort(block, axis=1), ends[rows], strict=True):
            positions[start:end] = ascending.searchsorted(ordered[start:end], side="right")
            start = end

    map_blocks(search, row_blocks(num_lists, num_members, 4 * BLOCK_ENTRIES), threads)
    counts = np.empty_like(positions)
    counts[by_list] = num_members - positions
    return counts, sums


def exact_sums(lists: np.ndarray, max_magnitude: float) -> np.ndarray:
    """Sum every list so that the order of its members changes no bit.

    Equal lists then have equal sums, whatever their memory layout and the blocks, so rounding never decides
    which of two equal candidates comes first.

    Args:
        lists: (lists, members) finite real numbers.
        max_magnitude: upper bound of their absolute values; the same for all sums that are compared.

    Returns:
        (lists,) float64.
    """
    shift = rounding_shift(max_magnitude, lists.shape[1])
    rounded = lists.astype(np.float64)
    rounded += shift
    rounded -= shift
    return rounded.sum(axis=1)


def rounding_shift(max_magnitude: float, num_members: int) -> float:
    """The float64 that, added and subtracted again, rounds numbers to a grid on which their sums are exact.

    The grid is about 2^-50 of the largest possible sum, close to the rounding of any sum in float64.

    Args:
        max_magnitude: upper bound of the absolute values that are summed.
        num_members: how many are summed.
    """
    exponent = (
        np.frexp(max_magnitude)[1] + np.frexp(num_members)[1]
    )  # every sum is below 2^exponent
    return float(np.ldexp(1.5, min(exponent + 1, 1022)))  # float64 near it are one grid step apart


def argsort_descending(values: np.ndarray) -> np.ndarray:
    """Stable argsort of every row in descending order: (rows, columns) to indices of the same shape."""
    last = values.shape[1] - 1
    return last - np.argsort(values[:, ::-1], axis=1, kind="stable")[:, ::-1]


def run_starts(rows: np.ndarray) -> np.ndarray:
    """The column where each entry's run of equal neighbours starts: (rows, columns) to int64 of that shape."""
    starts = np.zeros(rows.shape, np.int64)
    starts[:, 1:] = np.where(rows[:, 1:] != rows[:, :-1], np.arange(1, rows.shape[1]), 0)
    return np.maximum.accumulate(starts, axis=1)


def row_blocks(
    num_rows: int, num_columns: int, max_entries: int = BLOCK_ENTRIES
) -> Iterator[slice]:
    """Divide rows into blocks of at most `max_entries` entries, and at least one row."""
    step = max(1, max_entries // max(num_columns, 1))
    return (slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step))


def map_blocks(work: Callable[[slice], None], blocks: Iterable[slice], threads: int) -> None:
    """Call a function once for each block of rows, in any order, in several threads.

    NumPy releases the interpreter's lock in most of its functions, so threads run at the same time.

    Args:
        work: writes its result into rows that no other block writes.
        blocks: the blocks; they must not depend on `threads`.
        threads: number of threads, at least 1.
    """
    if threads == 1:
        for block in blocks:
            work(block)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, blocks):  # raises what a block raised
            pass


def check_threads(threads: int) -> None:
    """Check a number of threads.

    Raises:
        ConfigError: it is below 1.
    """
    if threads < 1:
        raise ConfigError(f"threads must be at least 1, got {threads}")


def contiguous_rows(matrix: np.ndarray, rows: slice) -> np.ndarray:
    """Take some rows of a matrix in contiguous memory: a view if they are contiguous, else a copy."""
    block = matrix[rows]
    if block.flags.c_contiguous:
        return block
    copy = np.empty(block.shape, block.dtype)
    for start in range(0, block.shape[1], COPY_TILE):
        copy[:, start : start + COPY_TILE] = block[:, start : start + COPY_TILE]
    return copy
