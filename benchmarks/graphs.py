"""How much faster than a loop over images and pairs is DREA, in one run on one machine.

    python benchmarks/graphs.py [images] [detections an image]

10,000 images of 100 detections by default, 15 classes, the 20 best kept. The loops say the definition out
loud for a sample of the images, and the time of all is told from it: the first compares every pair of an
image's detections, the second only those that the walk down the list needs. Peak memory is what Python and
NumPy allocate beside the detections themselves; the result is part of it.
"""

import sys
import time
import tracemalloc
from math import exp, sqrt
from typing import Any

import numpy as np

from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs
from galr.graphs.edges import EdgeConfig

CLASSES, MOST, REDUNDANT, BANDWIDTH = 15, 20, 0.98, 0.2
SAMPLE = 20  # images that the loop runs on
Detection = tuple[int, float, tuple[float, float, float, float]]  # class, score, relative box


def main(images: int, each: int) -> None:
    """Time both, print a table."""
    regions = draw(images, each)
    choices: dict[str, Any] = {"most": MOST, "redundant": REDUNDANT, "least_score": 0.0}
    choices |= {"measure": "cosine", "edges": EdgeConfig("gaussian", BANDWIDTH)}
    slow = {}
    for lazy in (False, True):
        start = time.perf_counter()
        for image in range(SAMPLE):
            loop(regions, image, lazy=lazy)
        slow[lazy] = (time.perf_counter() - start) / SAMPLE * images
    build_graphs(draw(1, each), CLASSES, **choices)  # what is loaded at first use
    start = time.perf_counter()
    build_graphs(regions, CLASSES, **choices)
    fast = time.perf_counter() - start
    tracemalloc.start()
    build_graphs(regions, CLASSES, **choices)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{images:,} images of {each} detections, {MOST} kept, NumPy {np.__version__}")
    print(f"ours {fast:.2f} s, peak {peak / 2**20:.0f} MB")
    for lazy, says in ((False, "every pair"), (True, "pairs with kept ones")):
        print(f"loop over {says:21}{slow[lazy]:6.1f} s, ratio {slow[lazy] / fast:.0f}")


def draw(images: int, each: int) -> Detections:
    """Scatter small objects; a fifth of the detections sees another one again."""
    random = np.random.default_rng(0)
    centre = random.random((images, each, 2)) * 512
    size = np.exp(random.normal(3, 0.7, (images, each, 2)))
    classes = random.integers(CLASSES, size=(images, each))
    again, of = random.integers(each, size=(2, images, each // 5))
    rows = np.arange(images)[:, None]
    centre[rows, again] = centre[rows, of] + random.normal(0, 0.1, (*of.shape, 2)) * size[rows, of]
    size[rows, again], classes[rows, again] = size[rows, of], classes[rows, of]
    return Detections(
        offsets=np.arange(images + 1) * each,
        boxes=np.concatenate([centre - size / 2, centre + size / 2], axis=2).reshape(-1, 4),
        scores=-np.sort(-random.random((images, each)), axis=1).ravel(),
        classes=classes.ravel(),
        sizes=np.full((images, 2), 512),
    )


def loop(regions: Detections, image: int, *, lazy: bool) -> None:
    """One image, detection by detection and pair by pair; lazy, only the pairs that are asked for."""
    own = slice(regions.offsets[image], regions.offsets[image + 1])
    width, height = regions.sizes[image].tolist()
    found: list[Detection] = []
    for (x1, y1, x2, y2), score, label in zip(
        regions.boxes[own].tolist(),
        regions.scores[own].tolist(),
        regions.classes[own].tolist(),
        strict=True,
    ):
        box = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
        found.append((label, score, box))
    found.sort(key=lambda each: (-each[1], each[0], each[2]))
    table = [] if lazy else [[likeness(one, other) for other in found] for one in found]
    rows: list[int] = []
    for column, each in enumerate(found):
        alike = (likeness(found[row], each) if lazy else table[row][column] for row in rows)
        if not any(value > REDUNDANT for value in alike) and len(rows) < MOST:
            rows.append(column)
    kept = [found[row] for row in rows]
    representation = np.zeros((MOST, CLASSES + 5))
    for row, (label, score, place) in enumerate(kept):
        representation[row, label] = 1
        representation[row, CLASSES:] = (score, *place)
    total = sum(score * box[2] * box[3] for _, score, box in kept)
    weights = np.zeros((MOST, MOST))
    for i, (_, score, box) in enumerate(kept):
        for j, (_, other_score, other) in enumerate(kept):
            away = (box[0] - other[0]) ** 2 + (box[1] - other[1]) ** 2
            shares = score * box[2] * box[3] * other_score * other[2] * other[3] / total**2
            weights[i, j] = exp(-away / 2 / BANDWIDTH**2) * (1 + sqrt(shares))
    degree = [sum(row) for row in weights.tolist()]
    adjacency = np.zeros((MOST, MOST))
    for i in range(len(kept)):
        for j in range(len(kept)):
            adjacency[i, j] = weights[i, j] / sqrt(degree[i] * degree[j])


def likeness(kept: Detection, other: Detection) -> float:
    """Cosine of two detections in units of the kept one's box; 0 for another class."""
    if kept[0] != other[0]:
        return 0.0
    (x, y, w, h), (ox, oy, ow, oh) = kept[2], other[2]
    length = sqrt(1 + ((ox - x) / w) ** 2 + ((oy - y) / h) ** 2 + (ow / w) ** 2 + (oh / h) ** 2)
    return (1 + ow / w + oh / h) / (sqrt(3) * length)


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:3]) if len(sys.argv) == 3 else (10_000, 100)))
