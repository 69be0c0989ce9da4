"""Offsets of overlapping tiles, for detection, for DOTA and for the index.

The module stands alone because the tiling of the index and of DOTA must not import torch.
"""

import math


def tile_offsets(length: int, tile_size: int, overlap: float) -> list[int]:
    """Return where tiles begin along one axis: as few tiles as possible, evenly spaced, from edge to edge.

    Args:
        length: length of the axis in pixels.
        tile_size: side of a tile in pixels.
        overlap: smallest fraction of the side that neighbours share, in [0, 1).
    """
    if length <= tile_size:
        return [0]
    stride = max(tile_size - math.ceil(tile_size * overlap), 1)
    steps = math.ceil((length - tile_size) / stride)
    return [step * (length - tile_size) // steps for step in range(steps + 1)]
