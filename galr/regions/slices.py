"""Where overlapping slices begin: for detection, for training on DOTA, and for the tiles of a search."""

import math


def starts(length: int, side: int, overlap: float) -> list[int]:
    """Where slices begin along a length: as few as possible, evenly spread, from edge to edge.

    Args:
        length: pixels to cover.
        side: of a slice, pixels.
        overlap: least share of the side that neighbours have in common, in [0, 1).
    """
    if length <= side:
        return [0]
    stride = max(side - math.ceil(side * overlap), 1)
    steps = math.ceil((length - side) / stride)
    return [step * (length - side) // steps for step in range(steps + 1)]
