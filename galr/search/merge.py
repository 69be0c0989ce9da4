"""Near-identical tiles of an answer, merged: a query finds different things instead of one thing many times."""

from collections.abc import Sequence

import numpy as np

from galr.io.windows import Window
from galr.search.index import Index

# Two tiles of one image are near-identical if they share more of the smaller one's area than this. Neighbours of the
# default tiling share a quarter or more of it, tiles that touch at a corner a sixteenth.
MERGED_SHARE = 0.2
# So are two tiles with this cosine, of whichever images. Copies of an image reach it, also re-encoded ones; of the
# demo's 400 different images no two do.
MERGED_COSINE = 0.999


def merge_rows(index: Index, rows: Sequence[int], k: int) -> list[list[int]]:
    """Merge each row into the first one before it that it is near-identical to.

    Args:
        index: of the rows.
        rows: in order of rank.
        k: largest number of groups; rows behind the last row of the first k groups are left out.

    Returns:
        The groups in order of their first rows, which were merged into none; the others follow in order.
    """
    images = index.images_of_rows(rows)
    shared = {
        image
        for image, count in zip(*np.unique(images, return_counts=True), strict=True)
        if count > 1
    }
    windows = index.windows([r for r, image in zip(rows, images, strict=True) if image in shared])
    embeddings = index.vectors.embeddings[np.asarray(rows, np.int64)]
    # Embeddings and images of the groups' first rows.
    kept = np.empty((min(k, len(rows)), embeddings.shape[1]), np.float32)
    kept_images = np.empty(len(kept), np.int64)
    groups: list[list[int]] = []
    for row, image, embedding in zip(rows, images, embeddings, strict=True):
        num = len(groups)
        near = kept[:num] @ embedding >= MERGED_COSINE
        for group in np.flatnonzero(kept_images[:num] == image):
            near[group] |= _overlap(windows[groups[group][0]], windows[row]) > MERGED_SHARE
        if near.any():
            groups[int(near.argmax())].append(row)
        elif num == k:
            break
        else:
            kept[num], kept_images[num] = embedding, image
            groups.append([row])
    return groups


def _overlap(one: Window, other: Window) -> float:
    """The area that two windows share, as a fraction of the smaller one's."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    smaller = min(one.width * one.height, other.width * other.height)
    return max(width, 0) * max(height, 0) / smaller
