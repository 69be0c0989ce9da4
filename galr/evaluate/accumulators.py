"""Accumulators over lists whose members arrive in pieces: the top k, and counts of larger members.

`TopK` packs a value and an index into one integer key whose order is the stable descending order of the list: of
equal values the lower index is larger. All keys differ, so a partial sort has only one result.

`RankCounter` counts for many pairs of a list and a threshold. To compare every member with every threshold would be
far too slow, since an image is among the candidates of a hundred sentences or more. One of the two is sorted and
the other searched in it: on the CPU the members, since sorting them takes about as long as reading them. On a GPU
it is the thresholds; the members below all of them, which are most, are dropped first.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from galr.evaluate.topk import row_blocks

COMPARE_BLOCK = {"cpu": 1 << 20, "cuda": 1 << 26}  # members at once; if all tie, 50 bytes for each
LOOKUP_BLOCK = 1 << 24  # members at once; about 100 bytes of a GPU's memory for each that is kept
MAX_INDEX = (1 << 31) - 1  # an index must be below it
MAGNITUDE_BITS = (1 << 31) - 1  # the bits of an int32 without its sign


class TopK:
    """The first k members of every list so far, in stable descending order.

    Args:
        num_lists: number of lists.
        width: k; in the end each list must have received at least as many members.
        device: where the members are.
    """

    def __init__(self, num_lists: int, width: int, device: torch.device) -> None:
        empty = pack_keys(torch.tensor(-torch.inf), torch.tensor(MAX_INDEX))
        self._keys = torch.full((num_lists, width), int(empty), dtype=torch.int64, device=device)

    def update(self, lists: slice, products: Tensor, first_index: int) -> None:
        """Add members to some lists.

        Args:
            lists: which lists.
            products: (lists, members) contiguous float32.
            first_index: index of the first member; increases from call to call for the same list.
        """
        for rows in row_blocks(
            len(products), products.shape[1], COMPARE_BLOCK[products.device.type]
        ):
            self._update_block(self._keys[lists][rows], products[rows], first_index)

    def _update_block(self, keys: Tensor, products: Tensor, first_index: int) -> None:
        """Update the keys (lists, width) of some lists in place."""
        # Later members lose a tie, so a new member must be larger than the last one kept.
        threshold = torch.maximum(
            unpack_values(keys[:, -1]), next_below(lower_bound(products, keys.shape[1]))
        )
        row, column = (products > threshold[:, None]).nonzero(as_tuple=True)
        if len(row) == 0:
            return
        count = torch.bincount(row, minlength=len(keys))
        slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        new_keys = keys[:, -1:].repeat(1, int(count.max()))  # padding that cannot enter
        new_keys[row, slot] = pack_keys(products[row, column], column + first_index)
        keys.copy_(torch.cat([keys, new_keys], dim=1).topk(keys.shape[1], dim=1).values)

    def result(self) -> tuple[Tensor, Tensor]:
        """(lists, width) int64 indices in stable descending order, and float32 values."""
        return unpack_indices(self._keys), unpack_values(self._keys)


def pack_keys(values: Tensor, indices: Tensor) -> Tensor:
    """Pack float32 values and int64 indices of one shape into int64 keys; larger is earlier in the order."""
    bits = (values + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    order = bits ^ ((bits >> 31) & MAGNITUDE_BITS)  # negative floats: a larger magnitude is smaller
    return (order.to(torch.int64) << 32) | (MAX_INDEX - indices)


def unpack_values(keys: Tensor) -> Tensor:
    """The float32 values of int64 keys."""
    order = (keys >> 32).to(torch.int32)
    return (order ^ ((order >> 31) & MAGNITUDE_BITS)).view(torch.float32)


def unpack_indices(keys: Tensor) -> Tensor:
    """The int64 indices of int64 keys."""
    return MAX_INDEX - (keys & MAX_INDEX)


def lower_bound(products: Tensor, width: int) -> Tensor:
    """A lower bound of the `width`-th largest member of each list that few other members exceed.

    It is the `width`-th largest of the maxima of some groups of members, which takes a fraction of the time of
    finding the `width`-th largest member itself. The members of a group are far apart, because neighbours (images
    of a class, sentences of an image) are often large together.

    Args:
        products: (lists, members) contiguous float32.
        width: number of members that reach the bound.

    Returns:
        (lists,) float32; -inf if there are too few members for groups to help.
    """
    num_lists, num_members = products.shape
    num_groups = 2 * width
    size = num_members // num_groups
    if size < 4:
        return products.new_full((num_lists,), -torch.inf)
    maxima = products[:, : size * num_groups].unflatten(1, (size, num_groups)).amax(dim=1)
    return maxima.topk(width, dim=1).values[:, -1]


def next_below(bound: Tensor) -> Tensor:
    """The next smaller float of each entry: to be larger than it is to be at least the bound."""
    return torch.nextafter(bound, torch.full_like(bound, -torch.inf))


class RankCounter:
    """Counts the members that are larger than a threshold, for many pairs of a list and a threshold.

    Args:
        num_lists: number of lists.
        thresholds: groups of pairs: (pairs,) int64 lists and (pairs,) float32 thresholds.
    """

    def __init__(self, num_lists: int, thresholds: Sequence[tuple[Tensor, Tensor]]) -> None:
        list_index, values = (torch.cat(parts) for parts in zip(*thresholds, strict=True))
        # Sorted by list and threshold, so that the pairs of neighbouring lists are one slice.
        by_value = values.argsort()
        self._position = by_value[list_index[by_value].argsort(stable=True)]
        self._list_index, self._thresholds = list_index[self._position], values[self._position]
        self._counts = torch.zeros_like(list_index)
        # Members larger than this threshold of a list and not than the next one.
        self._largest_below = torch.zeros_like(list_index)
        ends = torch.bincount(list_index, minlength=num_lists).cumsum(0)
        self._offsets = torch.cat([ends.new_zeros(1), ends])  # (lists + 1,)
        self._offset_list = self._offsets.tolist()
        self._group_sizes = [len(lists) for lists, _ in thresholds]

    def count_by_sorting(self, lists: slice, products: Tensor, workers: ThreadPoolExecutor) -> None:
        """Add members to some lists, on the CPU.

        Args:
            lists: which lists.
            products: (lists, members) contiguous float32; sorted in place.
            workers: threads that sort.
        """
        pairs = slice(self._offset_list[lists.start], self._offset_list[lists.stop])
        list_index = self._list_index[pairs] - lists.start
        sorted_lists = sort_ascending(products, workers)
        self._counts[pairs] += count_larger(sorted_lists, list_index, self._thresholds[pairs])

    def count_by_lookup(self, lists: slice, products: Tensor) -> None:
        """Add members to some lists, on any device.

        Args:
            lists: which lists.
            products: (lists, members) float32.
        """
        for rows in row_blocks(len(products), products.shape[1], LOOKUP_BLOCK):
            start, stop = lists.start + rows.start, lists.start + rows.stop
            pairs = slice(self._offset_list[start], self._offset_list[stop])
            first, end = self._offsets[start:stop], self._offsets[start + 1 : stop + 1]
            lowest = products.new_full((stop - start,), torch.inf)
            nonempty = (first < end).nonzero().squeeze(1)
            lowest[nonempty] = self._thresholds[first[nonempty]]
            row, column = (products[rows] > lowest[:, None]).nonzero(as_tuple=True)
            num_below = _count_below(
                self._thresholds, first[row], end[row], products[rows][row, column]
            )
            largest_below = first[row] + num_below - 1 - pairs.start
            self._largest_below[pairs] += torch.bincount(
                largest_below, minlength=pairs.stop - pairs.start
            )

    def counts(self) -> tuple[Tensor, ...]:
        """The counts of each group of pairs, (pairs,) int64."""
        # A member larger than a threshold is larger than all smaller thresholds of the same list.
        from_here = self._largest_below.flip(0).cumsum(0).flip(0)
        from_here = torch.cat([from_here, from_here.new_zeros(1)])
        counts = torch.empty_like(self._counts)
        counts[self._position] = (
            self._counts + from_here[:-1] - from_here[self._offsets[self._list_index + 1]]
        )
        return counts.split(self._group_sizes)


def count_larger(sorted_lists: Tensor, list_index: Tensor, thresholds: Tensor) -> Tensor:
    """Count the members of a list that are larger than a threshold, by binary search.

    Args:
        sorted_lists: (lists, members) contiguous, ascending along members.
        list_index: (pairs,) int64, list of each pair.
        thresholds: (pairs,) threshold of each pair.

    Returns:
        (pairs,) int64.
    """
    num_members = sorted_lists.shape[1]
    flat, before = sorted_lists.view(-1), list_index * num_members - 1
    num_up_to = torch.zeros_like(list_index)  # members known to be at most the threshold
    step = 1 << (num_members.bit_length() - 1)
    while step:
        further = num_up_to + step
        holds = flat.take(before + further.clamp(max=num_members)) <= thresholds
        num_up_to = torch.where(holds & (further <= num_members), further, num_up_to)
        step >>= 1
    return num_members - num_up_to


def sort_ascending(products: Tensor, workers: ThreadPoolExecutor) -> Tensor:
    """Sort every list of (lists, members) in place, on the CPU, and return it.

    NumPy's sort releases the interpreter's lock and is more than ten times faster than torch's, which also
    returns indices.
    """
    parts = np.array_split(products.numpy(), torch.get_num_threads())
    list(workers.map(lambda part: part.sort(axis=1), parts))
    return products


def _count_below(thresholds: Tensor, first: Tensor, end: Tensor, members: Tensor) -> Tensor:
    """Count the thresholds of a range that are less than a member, by binary search.

    Args:
        thresholds: (thresholds,) ascending within every range.
        first: (members,) int64, start of each member's range.
        end: (members,) int64, end of each member's range.
        members: (members,) the members.

    Returns:
        (members,) int64.
    """
    size = end - first
    num_below = torch.zeros_like(first)
    step = 1 << int(size.max()).bit_length() if len(size) else 0
    while step:
        further = num_below + step
        holds = thresholds.take(first + further.clamp(max=size) - 1) < members
        num_below = torch.where(holds & (further <= size), further, num_below)
        step >>= 1
    return num_below
