"""Images or sentences that stand several times in a matrix or a table of embeddings, and one row of each.

Retrieval scripts after VSE++ hold an image once for each of its sentences. Saved as they are, their matrices have each
image's row five times, and the copies compete with each other for a rank. Only whoever made the matrix knows what a row
is, so repeats are noticed and described, and taken out on request alone.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from galr.errors import ConfigError, ShapeError
from galr.evaluate.ranks import default_image_of_sentence
from galr.evaluate.topk import row_blocks

SAMPLE = 64  # numbers of each row that are compared first; whole rows only where these are equal
BLOCK = 1 << 24  # numbers in memory at once
# Copies may differ by rounding, relative to the largest number: at the edge of a matrix a BLAS adds in another order.
TOLERANCE = 1e-5
ANY = "any"  # instead of a number: as often as each row stands


@dataclass(frozen=True, eq=False)
class KeptRows:
    """The rows of a table of which one of each is kept.

    Attributes:
        index: the kept rows, as a slice or (kept,) int64.
        group: (rows,) int64, which of the kept rows each row repeats.
    """

    index: slice | np.ndarray
    group: np.ndarray

    @property
    def count(self) -> int:
        """Number of kept rows."""
        return int(self.group.max(initial=-1)) + 1

    def take(self, table: np.ndarray) -> np.ndarray:
        """The kept rows of a table; a view where they stand in a regular order."""
        keeps_all = isinstance(self.index, slice) and self.index == slice(None)
        return table if keeps_all else table[self.index]


def check_repeat(repeat: str, flag: str) -> None:
    """Check how often rows are said to stand.

    Raises:
        ConfigError: it is neither a number of at least 1 nor `any`.
    """
    if repeat != ANY and not (repeat.isdecimal() and int(repeat) > 0):
        raise ConfigError(
            f"{flag} is how often each stands: a number of at least 1, or {ANY} where the numbers differ;"
            f" got {repeat}"
        )


def is_table(array: np.ndarray) -> bool:
    """Whether an array is a non-empty table of real numbers."""
    return array.ndim == 2 and array.size > 0 and array.dtype.kind in "fiu"


def keep_one(table: np.ndarray, repeat: str | None, name: str, flag: str) -> KeptRows:
    """Keep one of the identical rows of a table.

    Args:
        table: (rows, columns) finite numbers.
        repeat: how often each row stands: a number, with copies one after another, or as several copies of the whole
            table, or anywhere; `any` for whatever numbers there are; None keeps all rows.
        name: what messages call the table.
        flag: what messages call `repeat`.

    Raises:
        ShapeError: rows that should be identical differ by more than rounding, or it is no table of numbers.
    """
    rows = np.arange(table.shape[0] if table.ndim else 0)
    if repeat is None or repeat == "1":
        return KeptRows(slice(None), rows)
    if not is_table(table):
        raise ShapeError(
            f"{name}: {table.dtype} of shape {table.shape}, expected a non-empty table of real numbers"
        )
    if repeat == ANY:
        return KeptRows(*np.unique(first_identical(table), return_inverse=True))
    times = int(repeat)
    if len(table) % times:
        raise ShapeError(
            f"{name}: {len(table)} is no multiple of {times}, so they cannot all stand {times} times; correct {flag},"
            f" or say {flag} {ANY}"
        )
    period = len(table) // times
    runs = KeptRows(slice(None, None, times), rows // times)
    copies = KeptRows(slice(period), rows % period)
    for kept in (runs, copies):
        if _first_difference(table, kept) is None:
            return kept
    index, group, counts = np.unique(
        first_identical(table), return_inverse=True, return_counts=True
    )
    if (counts == times).all():
        return KeptRows(index, group)
    row = _first_difference(table, runs)
    assert row is not None
    raise ShapeError(
        f"{name}: number {row} differs from number {row - row % times} (counted from 0), expected {times} identical ones"
        f" in a run; correct {flag}, or say {flag} {ANY} where the numbers differ"
    )


def first_identical(table: np.ndarray) -> np.ndarray:
    """Find for each row of a table the first row that is identical to it.

    A table without repeats costs the first `SAMPLE` numbers of each row.

    Args:
        table: (rows, columns) numbers, in memory or memory-mapped; may be a transposed view.

    Returns:
        (rows,) int64.
    """
    first = _first_of(_sample_hashes(table))
    alike = np.flatnonzero(np.bincount(first, minlength=len(first))[first] > 1)
    first = np.arange(len(table))
    if len(alike):
        first[alike] = alike[_first_of(_row_digests(table, alike))]
    return first


def describe_repeats(table: np.ndarray, rows: str, item: str, flag: str) -> str | None:
    """Describe repeated rows in one line that says how to keep one of each.

    Args:
        table: (rows, columns) numbers.
        rows: what the line calls the rows: `rows`, or `columns` for a transposed matrix.
        item: what a row stands for: `image`, or `sentence`, of which equal ones are common and only described where
            all stand equally often.
        flag: the flag that keeps one.

    Returns:
        None where there is nothing to say.
    """
    first = first_identical(table)
    kept, counts = np.unique(first, return_counts=True)
    if len(kept) == len(table):
        return None
    if len(kept) == 1:
        return f"all {len(table):,} {rows} are identical: no {item} differs from another"
    times = int(np.bincount(counts, weights=counts).argmax())  # as most rows stand
    advice = f"each copy counts as {'an' if item == 'image' else 'a'} {item} of its own; to keep one of each, add {flag}"
    size = f"{len(table):,}, {len(kept):,} of them different"
    try:
        equal = keep_one(table, str(times), rows, flag) if times > 1 else None
    except ShapeError:
        equal = None
    if equal is not None:
        runs = isinstance(equal.index, slice) and equal.index.step == times
        how = (
            f"come in identical runs of {times}" if runs else f"stand {times} times each, identical"
        )
        transposed = ", or transpose the matrix if its columns are images"
        return f"{rows} {how} ({size}), and {advice} {times}" + transposed * (rows == "columns")
    if item != "image":
        return None
    if 2 * len(kept) <= len(table):
        return f"{rows} stand {counts.min()} to {counts.max()} times each, identical ({size}), and {advice} {ANY}"
    row = int(np.flatnonzero(first != np.arange(len(table)))[0])
    return (
        f"{len(table) - len(kept):,} of {len(table):,} {rows} are identical to an earlier one (number {row} to"
        f" number {first[row]}, counted from 0), and {advice} {ANY}"
    )


def kept_relevance(
    image_of_sentence: np.ndarray | None, images: KeptRows, sentences: KeptRows
) -> np.ndarray:
    """Find the image of each kept sentence, as a row of the kept images.

    Args:
        image_of_sentence: (all or kept sentences,) integers, rows of all or of the kept images; None where the images
            have equal blocks of neighbouring sentences. Row i of as many images as sentences is the image of sentence i.
        images: which images are kept.
        sentences: which sentences are kept.

    Returns:
        (kept sentences,) integers; what does not fit is returned as it is, for the check of a relevance to name.

    Raises:
        ShapeError: sentences cannot be divided equally, or identical ones describe different images.
    """
    num_images, num_sentences = len(images.group), sentences.count
    owners = image_of_sentence
    if owners is None:
        if num_images == 0 or num_sentences % num_images:
            return default_image_of_sentence(images.count, num_sentences)
        owners = default_image_of_sentence(num_images, num_sentences)
    elif owners.ndim != 1 or owners.dtype.kind not in "iu" or not len(owners):
        return owners
    elif len(owners) == len(sentences.group) != num_sentences:
        all_owners, owners = owners, owners[sentences.index]
        differs = np.flatnonzero(owners[sentences.group] != all_owners)
        if len(differs):
            sentence = int(differs[0])
            raise ShapeError(
                f"sentence {sentence} is identical to another one, but describes image {all_owners[sentence]} and not"
                f" image {owners[sentences.group[sentence]]}; leave --sentences-repeat out: equal sentences of"
                " different images are ranked as ties"
            )
    if owners.max() < images.count and image_of_sentence is not None:
        return owners
    if owners.min() < 0 or owners.max() >= num_images:
        return owners
    return images.group[owners]


def _first_of(keys: np.ndarray) -> np.ndarray:
    """Find for each of some keys (rows,) the first row with the same key: (rows,) int64."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse]


def _sample_hashes(table: np.ndarray) -> np.ndarray:
    """Hash the first numbers of each row: (rows,) uint64. Different rows may have the same hash."""
    sample = table[:, :SAMPLE]
    hashes = np.empty(len(table), np.uint64)
    factors = None
    for rows in row_blocks(len(sample), sample.shape[1], BLOCK >> 4):
        words = _positive_zero(sample[rows]).view(np.uint8)
        words = words.reshape(len(words), -1)
        words = np.pad(words, ((0, 0), (0, -words.shape[1] % 4))).view(np.uint32)
        if factors is None:
            random = np.random.default_rng(0)
            factors = random.integers(1 << 62, size=words.shape[1], dtype=np.uint64) * 2 + 1
        hashes[rows] = (words * factors).sum(axis=1, dtype=np.uint64)
    return hashes


def _row_digests(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Hash some rows in full, reading the table in the order of its memory: (rows,) uint64."""
    hashes = [blake2b(digest_size=8) for _ in rows]
    if table.strides[1] == table.itemsize:
        for row, hash_ in zip(rows, hashes, strict=True):
            hash_.update(_positive_zero(table[row]).data)
    else:
        for columns in row_blocks(table.shape[1], len(table), BLOCK):
            block = _positive_zero(table[:, columns][rows])
            for numbers, hash_ in zip(block, hashes, strict=True):
                hash_.update(numbers.data)
    return np.frombuffer(b"".join(hash_.digest() for hash_ in hashes), np.uint64)


def _positive_zero(block: np.ndarray) -> np.ndarray:
    """Copy numbers, contiguous, with 0 in place of -0, which is equal but has other bits."""
    return np.add(block, 0, dtype=block.dtype, order="C")


def _first_difference(table: np.ndarray, kept: KeptRows) -> int | None:
    """Find the first row that differs by more than rounding from the kept one that it should repeat."""
    representative = np.arange(len(table))[kept.index][kept.group]
    for rows in row_blocks(len(table), table.shape[1], BLOCK >> 2):
        copies = np.flatnonzero(representative[rows] != np.arange(len(table))[rows])
        block = table[rows][copies].astype(np.float64)
        original = table[representative[rows][copies]].astype(np.float64)
        limit = TOLERANCE * np.abs(original).max(initial=0)
        differs = ~(np.abs(block - original).max(axis=1, initial=0) <= limit)
        if differs.any():
            return int(rows.start + copies[np.flatnonzero(differs)[0]])
    return None
