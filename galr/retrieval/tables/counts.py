"""How many members of a list are larger than a value, for many lists, values and members at once.

Comparing every member with every value is far too slow: an image is among the best of a hundred
sentences or more. One of the two must be sorted, and the other looked up. The CPU sorts the members: it
does so in about the time it takes to look at them, however the values lie. A GPU has no such sort; it looks
members up among the sorted values, after dropping those that are below all of them, which most are.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from galr.retrieval.relevance import blocks

SIFTED = 1 << 24  # members sifted at once: some hundred bytes of a GPU's memory for each that stays


class Asked:
    """Values that are asked of lists, and how many members were found larger so far."""

    def __init__(self, lists: int, questions: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Put the questions in the order of lists and values, so that a block's are neighbours.

        Args:
            lists: how many there are.
            questions: which list is asked, int64, and what its members are compared with, float32;
                as many of one as of the other.
        """
        which, value = (torch.cat(parts) for parts in zip(*questions, strict=True))
        by_value = value.argsort()
        self._place = by_value[which[by_value].argsort(stable=True)]
        self._which, self._value = which[self._place], value[self._place]
        self._count = torch.zeros_like(which)
        self._last = torch.zeros_like(which)  # members that are larger than this and none after it
        ends = torch.bincount(which, minlength=lists).cumsum(0)
        self._ends = torch.cat([ends.new_zeros(1), ends])
        self._edges = self._ends.tolist()
        self._sizes = [len(which) for which, _ in questions]

    def sort(self, lists: slice, products: Tensor, workers: ThreadPoolExecutor) -> None:
        """Count among some members of some lists, on the CPU.

        Args:
            lists: whose.
            products: (lists, members) contiguous float32; given up.
            workers: to sort with.
        """
        asked = slice(self._edges[lists.start], self._edges[lists.stop])
        which = self._which[asked] - lists.start
        self._count[asked] += larger(ascending(products, workers), which, self._value[asked])

    def sift(self, lists: slice, products: Tensor) -> None:
        """Count among some members of some lists, on any device.

        Args:
            lists: whose.
            products: (lists, members) float32.
        """
        for rows in blocks(len(products), products.shape[1], SIFTED):
            start, stop = lists.start + rows.start, lists.start + rows.stop
            asked = slice(self._edges[start], self._edges[stop])
            first, end = self._ends[start:stop], self._ends[start + 1 : stop + 1]
            least = products.new_full((stop - start,), torch.inf)
            some = (first < end).nonzero().squeeze(1)
            least[some] = self._value[first[some]]
            row, column = (products[rows] > least[:, None]).nonzero(as_tuple=True)
            below = _below(self._value, first[row], end[row], products[rows][row, column])
            last = first[row] + below - 1 - asked.start
            self._last[asked] += torch.bincount(last, minlength=asked.stop - asked.start)

    def counts(self) -> tuple[Tensor, ...]:
        """What was counted, int64, in the order of the questions."""
        # A member that is larger than a value is larger than the smaller values of the same list too.
        behind = torch.cat([self._last.flip(0).cumsum(0).flip(0), self._last.new_zeros(1)])
        counts = torch.empty_like(self._count)
        counts[self._place] = self._count + behind[:-1] - behind[self._ends[self._which + 1]]
        return counts.split(self._sizes)


def larger(ascending: Tensor, which: Tensor, value: Tensor) -> Tensor:
    """Count the members of a list that are larger than a value.

    Args:
        ascending: (lists, members) contiguous, sorted along members.
        which: (questions,) int64, the list that is asked.
        value: (questions,), the value.

    Returns:
        (questions,) int64.
    """
    members = ascending.shape[1]
    flat, before = ascending.view(-1), which * members - 1
    smaller = torch.zeros_like(which)  # so many are known to be at most the value
    step = 1 << (members.bit_length() - 1)
    while step:
        further = smaller + step
        holds = flat.take(before + further.clamp(max=members)) <= value
        smaller = torch.where(holds & (further <= members), further, smaller)
        step >>= 1
    return members - smaller


def ascending(products: Tensor, workers: ThreadPoolExecutor) -> Tensor:
    """Sort every list in place, on the CPU.

    NumPy's sort of bare numbers lets other threads run, and is more than ten times faster than torch's,
    which also tells where they came from.
    """
    parts = np.array_split(products.numpy(), torch.get_num_threads())
    list(workers.map(lambda part: part.sort(axis=1), parts))
    return products


def _below(value: Tensor, first: Tensor, end: Tensor, member: Tensor) -> Tensor:
    """Count the values of a range that are less than a member.

    Args:
        value: (values,) ascending within every range.
        first: (members,) int64, where the range begins.
        end: (members,) int64, where it ends.
        member: (members,).

    Returns:
        (members,) int64.
    """
    size = end - first
    below = torch.zeros_like(first)
    step = 1 << int(size.max()).bit_length() if len(size) else 0
    while step:
        further = below + step
        holds = value.take(first + further.clamp(max=size) - 1) < member
        below = torch.where(holds & (further <= size), further, below)
        step >>= 1
    return below
