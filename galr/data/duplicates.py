"""Find images that are the same: by the bytes of their files, and by a perceptual hash that outlives re-encoding.

The hash is imagehash's `phash`: 64 signs of the lowest frequencies of the grey image at 32 by 32 pixels. Measured on
UCM and RSICD: of images saved again (JPEG quality 40 to 75, half or 1.5 times the size), 99 % are within 4 bits,
and no two images of different scenes are. `dhash` was tried; within 4 bits it joins different scenes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, permutations

import numpy as np

HASH_BITS = 64
BLOCK_PAIRS = 1 << 20  # pairs that are compared at a time, 8 MB an array
MAX_COLOUR_DIFFERENCE = (
    10.0  # mean over a grid of colours, 0 to 255; images that were saved again are within 2
)
MAX_LISTED = 1_000_000  # pairs; further ones are counted
_BITS_OF_UINT16 = np.unpackbits(
    np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2), axis=1
).sum(axis=1, dtype=np.uint8)  # np.bitwise_count came with NumPy 2


@dataclass(frozen=True)
class ImageHashes:
    """What two images are compared by.

    Attributes:
        content: SHA-256 of the file.
        perceptual: `HASH_BITS` bits about light and dark; None for an image that is nearly of one colour, where they
            mean nothing.
        colours: means of a grid of 4 by 4 parts of the image, red, green and blue of each: 48 bytes.
    """

    content: str
    perceptual: int | None
    colours: bytes


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The pairs of images that are the same.

    Attributes:
        pairs: (pairs, 4) int64: row of the first image, of the second, which is larger, number of bits in which
            their hashes differ, and 1 if their files are equal to the byte, else 0. Pairs across splits come first,
            then equal files, then the nearest; at most `MAX_LISTED`.
        num_equal: number of pairs of equal files.
        num_similar: number of other pairs.
        num_across: number of pairs of either kind across splits.
        images_in: images of one split that have a duplicate in another, by (split, other split); those above 0.
    """

    pairs: np.ndarray
    num_equal: int
    num_similar: int
    num_across: int
    images_in: dict[tuple[str, str], int]


def find_duplicates(
    hashes: Sequence[ImageHashes],
    splits: Sequence[str],
    max_distance: int,
    num_compared: int | None = None,
) -> Duplicates:
    """Find all pairs of images with equal files, or with similar hashes and colours.

    Args:
        hashes: (images,) of each image.
        splits: (images,) split of each image.
        max_distance: the largest number of bits in which two hashes may differ, at least 0.
        num_compared: a pair is found only if its first image is among so many first ones; None for all.
    """
    names = list(dict.fromkeys(splits))
    split = np.array([names.index(name) for name in splits], np.int64)
    numbers: dict[str, int] = {}
    content = np.array([numbers.setdefault(each.content, len(numbers)) for each in hashes], int)
    rows = np.array([row for row, each in enumerate(hashes) if each.perceptual is not None], int)
    perceptual = np.array([hashes[row].perceptual for row in rows], np.uint64)
    colours = np.frombuffer(b"".join(each.colours for each in hashes), np.uint8).astype(np.int16)
    colours = colours.reshape(len(hashes), -1)
    seen = np.zeros((len(hashes), len(names)), bool)  # whether an image has a duplicate in a split
    counts = np.zeros((2, 2), np.int64)  # equal files or not, within a split or across
    listed = [np.zeros((0, 4), np.int64)]
    num_listed = 0
    blocks = chain(
        (np.c_[block, np.ones(len(block), int)] for block in equal_pairs(content)),
        (
            _similar(block, rows, content, colours)
            for block in similar_pairs(perceptual, max_distance)
        ),
    )
    for block in blocks:
        if num_compared is not None:
            block = block[block[:, 0] < num_compared]
        first, second, equal = block[:, 0], block[:, 1], block[:, 3]
        across = (split[first] != split[second]).astype(np.int64)
        np.add.at(counts, (equal, across), 1)
        seen[first, split[second]] = seen[second, split[first]] = True
        listed.append(block[: MAX_LISTED - num_listed])
        num_listed += len(listed[-1])
    pairs = np.concatenate(listed)
    within = split[pairs[:, 0]] == split[pairs[:, 1]]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], pairs[:, 2], -pairs[:, 3], within))
    images_in = {
        (one, other): int(seen[split == names.index(one), names.index(other)].sum())
        for one, other in permutations(names, 2)
    }
    return Duplicates(
        pairs[order],
        int(counts[1].sum()),
        int(counts[0].sum()),
        int(counts[:, 1].sum()),
        {key: count for key, count in images_in.items() if count},
    )


def _similar(
    pairs: np.ndarray, rows: np.ndarray, content: np.ndarray, colours: np.ndarray
) -> np.ndarray:
    """Turn pairs of hashes into pairs of images; those of equal files or of other colours are left out.

    Args:
        pairs: (pairs, 3) int64, from `similar_pairs`.
        rows: (hashes,) int64, ascending, row of each hash's image.
        content: (images,) int64, equal where files are.
        colours: (images, 48) int16, of `ImageHashes`.

    Returns:
        (fewer pairs, 4) int64, as in `Duplicates.pairs`.
    """
    first, second = rows[pairs[:, 0]], rows[pairs[:, 1]]
    difference = np.abs(colours[first] - colours[second]).mean(axis=1)
    kept = (content[first] != content[second]) & (difference <= MAX_COLOUR_DIFFERENCE)
    return np.stack([first, second, pairs[:, 2], np.zeros_like(first)], axis=1)[kept]


def similar_pairs(hashes: np.ndarray, max_distance: int) -> Iterator[np.ndarray]:
    """Find all pairs of hashes that differ in few bits.

    Two hashes within d bits are equal in one of d + 1 parts of their bits, so only hashes that have a part in common
    are compared. That finds every pair, each once; memory does not grow with the number of pairs.

    Args:
        hashes: (hashes,) uint64.
        max_distance: the largest number of different bits, at least 0.

    Yields:
        (pairs, 3) int64: row of the first hash, of the second, which is larger, and the number of different bits.
    """
    edges = np.linspace(0, HASH_BITS, max_distance + 2).astype(int)
    masks = [np.uint64(((1 << int(high - low)) - 1) << int(low)) for low, high in pairwise(edges)]
    for number, mask in enumerate(masks):
        for rows in equal_groups(hashes & mask):
            for first, second in _all_pairs(rows):
                different = hashes[first] ^ hashes[second]
                distance = count_bits(different)
                near = distance <= max_distance
                for earlier in masks[:number]:  # such a pair was found there
                    near &= (different & earlier) != 0
                if near.any():
                    yield np.stack([first[near], second[near], distance[near]], axis=1)


def equal_pairs(values: np.ndarray) -> Iterator[np.ndarray]:
    """Find all pairs of equal values.

    Args:
        values: (values,) of any type that can be sorted.

    Yields:
        (pairs, 3) int64: row of the first value, of the second, which is larger, and 0.
    """
    for rows in equal_groups(values):
        for first, second in _all_pairs(rows):
            yield np.stack([first, second, np.zeros_like(first)], axis=1)


def equal_groups(values: np.ndarray) -> Iterator[np.ndarray]:
    """Group equal values.

    Args:
        values: (values,) of any type that can be sorted.

    Yields:
        (group,) int64, ascending rows of values that are equal, at least two.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    for rows in np.split(order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1):
        if len(rows) > 1:
            yield rows


def count_bits(values: np.ndarray) -> np.ndarray:
    """Count the bits that are set: (values,) uint64 to (values,) int64."""
    parts = np.ascontiguousarray(values).view(np.uint16).reshape(len(values), 4)
    return _BITS_OF_UINT16[parts].sum(axis=1, dtype=np.int64)


def _all_pairs(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield all pairs of ascending rows in blocks: (pairs,) int64 each, the smaller row first."""
    height = max(1, BLOCK_PAIRS // len(rows))
    for start in range(0, len(rows) - 1, height):
        block = rows[start : start + height]
        first, second = np.triu_indices(len(block), k=1, m=len(rows) - start)
        yield block[first], rows[start:][second]
