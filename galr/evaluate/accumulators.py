"""The best members of many lists whose members come a few at a time.

A value and an index are packed into one integer whose order is the stable descending order of the list:
of equal values the lower index is larger. Keys are unique, so that no partial sort has a choice.

How many members of a list are larger than a value, for many lists, values and members at once.

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

from galr.evaluate.ranks import row_blocks

# Members at once. Where all of them tie, each takes 50 bytes.
COMPARE_BLOCK = {"cpu": 1 << 20, "cuda": 1 << 26}
MAX_INDEX = (1 << 31) - 1  # an index must be below it
MAGNITUDE_BITS = (1 << 31) - 1  # the bits of an int32 that are not its sign


def pack_keys(values: Tensor, indices: Tensor) -> Tensor:
    """Pack float32 values and int64 indices into int64 keys; the larger the better."""
    bits = (values + 0.0).view(torch.int32)  # + 0.0: minus zero is zero
    order = bits ^ ((bits >> 31) & MAGNITUDE_BITS)  # of negatives the larger magnitude is smaller
    return (order.to(torch.int64) << 32) | (MAX_INDEX - indices)


def unpack_values(keys: Tensor) -> Tensor:
    """Unpack the float32 values of keys."""
    order = (keys >> 32).to(torch.int32)
    return (order ^ ((order >> 31) & MAGNITUDE_BITS)).view(torch.float32)


def unpack_indices(keys: Tensor) -> Tensor:
    """Unpack the int64 indices of keys."""
    return MAX_INDEX - (keys & MAX_INDEX)


class TopK:
    """The best so far of every list."""

    def __init__(self, lists: int, width: int, device: torch.device) -> None:
        """Begin with nothing.

        Args:
            lists: how many.
            width: how many members to keep of each; in the end each must have been shown as many.
            device: where they are.
        """
        nothing = pack_keys(torch.tensor(-torch.inf), torch.tensor(MAX_INDEX))
        self._keys = torch.full((lists, width), int(nothing), dtype=torch.int64, device=device)

    def update(self, lists: slice, products: Tensor, first_index: int) -> None:
        """Let members compete.

        Args:
            lists: whose.
            products: (lists, members) contiguous float32.
            first: index of the first member; rising from call to call for any one list.
        """
        for some in row_blocks(
            len(products), products.shape[1], COMPARE_BLOCK[products.device.type]
        ):
            self._update_block(self._keys[lists][some], products[some], first_index)

    def _update_block(self, kept: Tensor, products: Tensor, first_index: int) -> None:
        """Let members compete for the places of some lists, (lists, width) keys, in place."""
        # Later members lose a tie, so to come in one must be larger than the last that is kept.
        least = torch.maximum(
            unpack_values(kept[:, -1]), next_below(lower_bound(products, kept.shape[1]))
        )
        row, column = (products > least[:, None]).nonzero(as_tuple=True)
        if len(row) == 0:
            return
        count = torch.bincount(row, minlength=len(kept))
        slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        shown = kept[:, -1:].repeat(1, int(count.max()))  # what cannot come in fills the rest
        shown[row, slot] = pack_keys(products[row, column], column + first_index)
        both = torch.cat([kept, shown], dim=1)
        kept.copy_(both.topk(kept.shape[1], dim=1).values)

    def result(self) -> tuple[Tensor, Tensor]:
        """Who is kept: (lists, width) int64 indices in stable descending order, and float32 values."""
        return unpack_indices(self._keys), unpack_values(self._keys)


def lower_bound(products: Tensor, width: int) -> Tensor:
    """A value that at least `width` members of each list reach, and mostly not many more.

    The best of each of some groups are taken, and of those the one at place `width`: a fraction of the
    work of looking for the member at place `width` itself. Members of a group stand far apart, because
    neighbours (images of a class, sentences of an image) are often good together.

    Args:
        products: (lists, members) contiguous.
        width: members that must reach it.

    Returns:
        (lists,); -inf where there are too few members for groups to help.
    """
    lists, members = products.shape
    groups = 2 * width
    size = members // groups
    if size < 4:
        return products.new_full((lists,), -torch.inf)
    best = products[:, : size * groups].unflatten(1, (size, groups)).amax(dim=1)
    return best.topk(width, dim=1).values[:, -1]


def next_below(bound: Tensor) -> Tensor:
    """The next smaller number: larger than it means at least the bound."""
    return torch.nextafter(bound, torch.full_like(bound, -torch.inf))


LOOKUP_BLOCK = (
    1 << 24
)  # members sifted at once: some hundred bytes of a GPU's memory for each that stays


class RankCounter:
    """Values that are asked of lists, and how many members were found larger so far."""

    def __init__(self, num_lists: int, thresholds: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Put the questions in the order of lists and values, so that a block's are neighbours.

        Args:
            lists: how many there are.
            questions: which list is asked, int64, and what its members are compared with, float32;
                as many of one as of the other.
        """
        which, value = (torch.cat(parts) for parts in zip(*thresholds, strict=True))
        by_value = value.argsort()
        self._place = by_value[which[by_value].argsort(stable=True)]
        self._which, self._value = which[self._place], value[self._place]
        self._count = torch.zeros_like(which)
        self._last = torch.zeros_like(which)  # members that are larger than this and none after it
        ends = torch.bincount(which, minlength=num_lists).cumsum(0)
        self._ends = torch.cat([ends.new_zeros(1), ends])
        self._edges = self._ends.tolist()
        self._sizes = [len(which) for which, _ in thresholds]

    def count_by_sorting(self, lists: slice, products: Tensor, workers: ThreadPoolExecutor) -> None:
        """Count among some members of some lists, on the CPU.

        Args:
            lists: whose.
            products: (lists, members) contiguous float32; given up.
            workers: to sort with.
        """
        asked = slice(self._edges[lists.start], self._edges[lists.stop])
        which = self._which[asked] - lists.start
        self._count[asked] += count_larger(
            sort_ascending(products, workers), which, self._value[asked]
        )

    def count_by_lookup(self, lists: slice, products: Tensor) -> None:
        """Count among some members of some lists, on any device.

        Args:
            lists: whose.
            products: (lists, members) float32.
        """
        for rows in row_blocks(len(products), products.shape[1], LOOKUP_BLOCK):
            start, stop = lists.start + rows.start, lists.start + rows.stop
            asked = slice(self._edges[start], self._edges[stop])
            first, end = self._ends[start:stop], self._ends[start + 1 : stop + 1]
            least = products.new_full((stop - start,), torch.inf)
            some = (first < end).nonzero().squeeze(1)
            least[some] = self._value[first[some]]
            row, column = (products[rows] > least[:, None]).nonzero(as_tuple=True)
            below = _count_below(self._value, first[row], end[row], products[rows][row, column])
            last = first[row] + below - 1 - asked.start
            self._last[asked] += torch.bincount(last, minlength=asked.stop - asked.start)

    def counts(self) -> tuple[Tensor, ...]:
        """What was counted, int64, in the order of the questions."""
        # A member that is larger than a value is larger than the smaller values of the same list too.
        behind = torch.cat([self._last.flip(0).cumsum(0).flip(0), self._last.new_zeros(1)])
        counts = torch.empty_like(self._count)
        counts[self._place] = self._count + behind[:-1] - behind[self._ends[self._which + 1]]
        return counts.split(self._sizes)


def count_larger(sorted_lists: Tensor, list_index: Tensor, thresholds: Tensor) -> Tensor:
    """Count the members of a list that are larger than a value.

    Args:
        ascending: (lists, members) contiguous, sorted along members.
        which: (questions,) int64, the list that is asked.
        value: (questions,), the value.

    Returns:
        (questions,) int64.
    """
    members = sorted_lists.shape[1]
    flat, before = sorted_lists.view(-1), list_index * members - 1
    smaller = torch.zeros_like(list_index)  # so many are known to be at most the value
    step = 1 << (members.bit_length() - 1)
    while step:
        further = smaller + step
        holds = flat.take(before + further.clamp(max=members)) <= thresholds
        smaller = torch.where(holds & (further <= members), further, smaller)
        step >>= 1
    return members - smaller


def sort_ascending(products: Tensor, workers: ThreadPoolExecutor) -> Tensor:
    """Sort every list in place, on the CPU.

    NumPy's sort of bare numbers lets other threads run, and is more than ten times faster than torch's,
    which also tells where they came from.
    """
    parts = np.array_split(products.numpy(), torch.get_num_threads())
    list(workers.map(lambda part: part.sort(axis=1), parts))
    return products


def _count_below(value: Tensor, first: Tensor, end: Tensor, member: Tensor) -> Tensor:
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
