"""Where overlapping slices begin: for detection, for training on DOTA, and for the tiles of a search."""

import math


def tile_offsets(length: int, tile_size: int, overlap: float) -> list[int]:
    """Where slices begin along a length: as few as possible, evenly spread, from edge to edge.

    Args:
        length: pixels to cover.
        side: of a slice, pixels.
        overlap: least share of the side that neighbours have in common, in [0, 1).
    """
    if length <= tile_size:
        return [0]
    stride = max(tile_size - math.ceil(tile_size * overlap), 1)
    steps = math.ceil((length - tile_size) / stride)
    return [step * (length - tile_size) // steps for step in range(steps + 1)]
