"""The best recalls that any model can reach where sentences or images repeat.

A model gives equal inputs equal embeddings, so equal sentences tie for every image and equal images for every
sentence, and a tie rule decides what a tie is worth. Each bound is that of its own metric: one model need not reach
all of them. Bounds are of our own derivation; the tests compare them with every possible order of small datasets.
"""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from galr.errors import ShapeError
from galr.evaluate.metrics import RECALL_NAMES
from galr.evaluate.ranks import CUTOFFS, RankCounts


def recall_ceilings(
    texts: Sequence[Hashable],
    image_of_sentence: np.ndarray,
    contents: Sequence[Hashable],
    ties: str,
) -> dict[str, float]:
    """Bound the recalls of both directions.

    The bounds are exact, but for image-to-sentence where images repeat: there they may be a little too high.

    Args:
        texts: (sentences,) text of each sentence, or whatever is equal for sentences that a model cannot tell apart.
        image_of_sentence: (sentences,) int, row of the image that each sentence describes.
        contents: (images,) the same for images, for example a hash of the file.
        ties: `pessimistic` or `expected`.

    Returns:
        i2t_r1 … t2i_r10 by name, and their mean `mr`, in percent.

    Raises:
        ShapeError: the lengths differ, or an image has no sentence.
        ConfigError: the tie rule is unknown.
    """
    if len(texts) != len(image_of_sentence):
        raise ShapeError(
            f"{len(texts)} sentences for {len(image_of_sentence)} images of sentences; expected one for each"
        )
    if not np.array_equal(np.unique(image_of_sentence), np.arange(len(contents))):
        raise ShapeError(f"expected sentences for each of {len(contents)} images and for no other")
    owners = image_of_sentence.tolist()
    hits = np.concatenate(
        [
            _i2t_hits(texts, owners, contents, ties) / len(contents),
            _t2i_hits(texts, owners, contents, ties) / len(texts),
        ]
    )
    values = dict(zip(RECALL_NAMES, (100 * hits).tolist(), strict=True))
    return values | {"mr": float(100 * hits.mean())}


def _i2t_hits(
    texts: Sequence[Hashable], owners: Sequence[int], contents: Sequence[Hashable], ties: str
) -> np.ndarray:
    """Sum the hits of images as queries: (cutoffs,) float64.

    An image does best with one of its texts alone at the first place; then only that text's other sentences tie with
    it. Equal images rank the sentences alike, and among the first K are sentences of at most K of them.
    """
    size_of_text = Counter(texts)
    pairs = Counter(zip(owners, texts, strict=True))  # (image, text) -> its sentences of that text
    own = np.array(list(pairs.values()))
    total = np.array([size_of_text[text] for _, text in pairs])
    by_text = RankCounts(np.zeros_like(own), total - own, own).hits(ties)  # (pairs, cutoffs)
    best = np.zeros((len(contents), len(CUTOFFS)))
    np.maximum.at(best, np.array([image for image, _ in pairs]), by_text)
    _, group = np.unique(_numbered(contents), return_inverse=True)
    by_group = np.zeros((group.max() + 1, len(CUTOFFS)))
    np.add.at(by_group, group, best)
    return np.minimum(by_group, CUTOFFS).sum(axis=0)


def _t2i_hits(
    texts: Sequence[Hashable], owners: Sequence[int], contents: Sequence[Hashable], ties: str
) -> np.ndarray:
    """Sum the hits of sentences as queries: (cutoffs,) float64.

    Equal sentences rank the images alike, so their images share the places, and equal images tie.
    """
    group = _numbered(contents)
    group_size = np.bincount(group)
    weights: dict[Hashable, Counter[int]] = {}  # text -> group of equal images -> its sentences
    for text, image in zip(texts, owners, strict=True):
        weights.setdefault(text, Counter())[int(group[image])] += 1
    fill = _whole_groups if ties == "pessimistic" else _parts_of_groups
    # Most texts belong to one image that has no equal; each of their sentences hits.
    alone = [w for w in weights.values() if len(w) == 1 and group_size[next(iter(w))] == 1]
    total = np.full(len(CUTOFFS), float(sum(sum(w.values()) for w in alone)))
    for weight in weights.values():
        sizes = [int(group_size[number]) for number in weight]
        if len(weight) > 1 or sizes[0] > 1:
            total += [fill(sizes, list(weight.values()), cutoff) for cutoff in CUTOFFS]
    return total


def _whole_groups(sizes: Sequence[int], weights: Sequence[int], cutoff: int) -> float:
    """Choose groups of tied images of at most `cutoff` images together, with the largest weight: a knapsack.

    Under pessimistic ties an image is among the first K only if all its equals are.
    """
    best = [0] * (cutoff + 1)  # largest weight by number of places
    for size, weight in zip(sizes, weights, strict=True):
        for places in range(cutoff, size - 1, -1):
            best[places] = max(best[places], best[places - size] + weight)
    return best[cutoff]


def _parts_of_groups(sizes: Sequence[int], weights: Sequence[int], cutoff: int) -> float:
    """Fill `cutoff` places with groups of tied images, the largest weight an image first.

    Under expected ties a group of g images that has p places hits with probability p / g.
    """
    hits, free = 0.0, cutoff
    for size, weight in sorted(
        zip(sizes, weights, strict=True), key=lambda pair: -pair[1] / pair[0]
    ):
        taken = min(size, free)
        hits += weight * taken / size
        free -= taken
    return hits


def _numbered(values: Sequence[Hashable]) -> np.ndarray:
    """Number values from 0, equal ones alike: (values,) int64."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)
