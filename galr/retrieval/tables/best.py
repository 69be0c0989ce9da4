"""The best members of many lists whose members come a few at a time.

A value and an index are packed into one integer whose order is the stable descending order of the list:
of equal values the lower index is larger. Keys are unique, so that no partial sort has a choice.
"""

import torch
from torch import Tensor

from galr.retrieval.relevance import blocks

# Members at once. Where all of them tie, each takes 50 bytes.
SHOWN = {"cpu": 1 << 20, "cuda": 1 << 26}
INDEX = (1 << 31) - 1  # an index must be below it
SIGN = (1 << 31) - 1  # the bits of an int32 that are not its sign


def pack(values: Tensor, index: Tensor) -> Tensor:
    """Pack float32 values and int64 indices into int64 keys; the larger the better."""
    bits = (values + 0.0).view(torch.int32)  # + 0.0: minus zero is zero
    order = bits ^ ((bits >> 31) & SIGN)  # of negatives the larger magnitude is smaller
    return (order.to(torch.int64) << 32) | (INDEX - index)


def values(keys: Tensor) -> Tensor:
    """Unpack the float32 values of keys."""
    order = (keys >> 32).to(torch.int32)
    return (order ^ ((order >> 31) & SIGN)).view(torch.float32)


def index(keys: Tensor) -> Tensor:
    """Unpack the int64 indices of keys."""
    return INDEX - (keys & INDEX)


class Best:
    """The best so far of every list."""

    def __init__(self, lists: int, width: int, device: torch.device) -> None:
        """Begin with nothing.

        Args:
            lists: how many.
            width: how many members to keep of each; in the end each must have been shown as many.
            device: where they are.
        """
        nothing = pack(torch.tensor(-torch.inf), torch.tensor(INDEX))
        self._keys = torch.full((lists, width), int(nothing), dtype=torch.int64, device=device)

    def show(self, lists: slice, products: Tensor, first: int) -> None:
        """Let members compete.

        Args:
            lists: whose.
            products: (lists, members) contiguous float32.
            first: index of the first member; rising from call to call for any one list.
        """
        for some in blocks(len(products), products.shape[1], SHOWN[products.device.type]):
            self._show(self._keys[lists][some], products[some], first)

    def _show(self, kept: Tensor, products: Tensor, first: int) -> None:
        """Let members compete for the places of some lists, (lists, width) keys, in place."""
        # Later members lose a tie, so to come in one must be larger than the last that is kept.
        least = torch.maximum(values(kept[:, -1]), below(enough(products, kept.shape[1])))
        row, column = (products > least[:, None]).nonzero(as_tuple=True)
        if len(row) == 0:
            return
        count = torch.bincount(row, minlength=len(kept))
        slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        shown = kept[:, -1:].repeat(1, int(count.max()))  # what cannot come in fills the rest
        shown[row, slot] = pack(products[row, column], column + first)
        both = torch.cat([kept, shown], dim=1)
        kept.copy_(both.topk(kept.shape[1], dim=1).values)

    def members(self) -> tuple[Tensor, Tensor]:
        """Who is kept: (lists, width) int64 indices in stable descending order, and float32 values."""
        return index(self._keys), values(self._keys)


def enough(products: Tensor, width: int) -> Tensor:
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


def below(bound: Tensor) -> Tensor:
    """The next smaller number: larger than it means at least the bound."""
    return torch.nextafter(bound, torch.full_like(bound, -torch.inf))
