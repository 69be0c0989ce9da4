"""How much faster DREA is than a loop over images and pairs, in one run on one machine.

    python benchmarks/graphs.py [images] [detections an image]

10,000 images of 100 detections by default, 15 classes, the 20 best kept. The loops compute the definition for a
sample of the images, and their time is scaled to all images: the first compares every pair of an image's
detections, the second only the pairs that going down the list needs. Peak memory is what Python and NumPy allocate
beside the detections themselves; the result is part of it.
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

NUM_CLASSES, MAX_REGIONS, THRESHOLD, BANDWIDTH = 15, 20, 0.98, 0.2
SAMPLE = 20  # images of the loops
Detection = tuple[int, float, tuple[float, float, float, float]]  # class, score, relative box


def main(images: int, per_image: int) -> None:
    """Time DREA and both loops, print a table."""
    detections = random_detections(images, per_image)
    options: dict[str, Any] = {
        "min_score": 0.0,
        "max_regions": MAX_REGIONS,
        "similarity": "cosine",
        "similarity_threshold": THRESHOLD,
        "edges": EdgeConfig("gaussian", BANDWIDTH),
    }
    slow = {}
    for lazy in (False, True):
        start = time.perf_counter()
        for image in range(SAMPLE):
            loop(detections, image, lazy=lazy)
        slow[lazy] = (time.perf_counter() - start) / SAMPLE * images
    build_graphs(random_detections(1, per_image), NUM_CLASSES, **options)  # first-use imports
    start = time.perf_counter()
    build_graphs(detections, NUM_CLASSES, **options)
    fast = time.perf_counter() - start
    tracemalloc.start()
    build_graphs(detections, NUM_CLASSES, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"{images:,} images of {per_image} detections, {MAX_REGIONS} kept, NumPy {np.__version__}"
    )
    print(f"ours {fast:.2f} s, peak {peak / 2**20:.0f} MB")
    for lazy, name in ((False, "every pair"), (True, "pairs with kept ones")):
        print(f"loop over {name:21}{slow[lazy]:6.1f} s, ratio {slow[lazy] / fast:.0f}")


def random_detections(images: int, per_image: int) -> Detections:
    """Scatter small objects; a fifth of the detections repeats another one."""
    random = np.random.default_rng(0)
    centre = random.random((images, per_image, 2)) * 512
    size = np.exp(random.normal(3, 0.7, (images, per_image, 2)))
    classes = random.integers(NUM_CLASSES, size=(images, per_image))
    again, of = random.integers(per_image, size=(2, images, per_image // 5))
    rows = np.arange(images)[:, None]
    centre[rows, again] = centre[rows, of] + random.normal(0, 0.1, (*of.shape, 2)) * size[rows, of]
    size[rows, again], classes[rows, again] = size[rows, of], classes[rows, of]
    return Detections(
        offsets=np.arange(images + 1) * per_image,
        boxes=np.concatenate([centre - size / 2, centre + size / 2], axis=2).reshape(-1, 4),
        scores=-np.sort(-random.random((images, per_image)), axis=1).ravel(),
        classes=classes.ravel(),
        sizes=np.full((images, 2), 512),
    )


def loop(detections: Detections, image: int, *, lazy: bool) -> None:
    """Compute one image, detection by detection and pair by pair; lazy, only the pairs that are needed."""
    rows = slice(detections.offsets[image], detections.offsets[image + 1])
    width, height = detections.sizes[image].tolist()
    found: list[Detection] = []
    for (x1, y1, x2, y2), score, label in zip(
        detections.boxes[rows].tolist(),
        detections.scores[rows].tolist(),
        detections.classes[rows].tolist(),
        strict=True,
    ):
        box = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
        found.append((label, score, box))
    found.sort(key=lambda each: (-each[1], each[0], each[2]))
    table = [] if lazy else [[similarity(one, other) for other in found] for one in found]
    kept_index: list[int] = []
    for column, each in enumerate(found):
        to_kept = (
            similarity(found[row], each) if lazy else table[row][column] for row in kept_index
        )
        if not any(value > THRESHOLD for value in to_kept) and len(kept_index) < MAX_REGIONS:
            kept_index.append(column)
    kept = [found[row] for row in kept_index]
    representation = np.zeros((MAX_REGIONS, NUM_CLASSES + 5))
    for row, (label, score, box) in enumerate(kept):
        representation[row, label] = 1
        representation[row, NUM_CLASSES:] = (score, *box)
    total = sum(score * box[2] * box[3] for _, score, box in kept)
    weights = np.zeros((MAX_REGIONS, MAX_REGIONS))
    for i, (_, score, box) in enumerate(kept):
        for j, (_, other_score, other) in enumerate(kept):
            distance = (box[0] - other[0]) ** 2 + (box[1] - other[1]) ** 2
            saliences = score * box[2] * box[3] * other_score * other[2] * other[3] / total**2
            weights[i, j] = exp(-distance / 2 / BANDWIDTH**2) * (1 + sqrt(saliences))
    degree = [sum(row) for row in weights.tolist()]
    adjacency = np.zeros((MAX_REGIONS, MAX_REGIONS))
    for i in range(len(kept)):
        for j in range(len(kept)):
            adjacency[i, j] = weights[i, j] / sqrt(degree[i] * degree[j])


def similarity(kept: Detection, other: Detection) -> float:
    """Cosine of two detections in units of the kept one's box; 0 for another class."""
    if kept[0] != other[0]:
        return 0.0
    (x, y, w, h), (ox, oy, ow, oh) = kept[2], other[2]
    length = sqrt(1 + ((ox - x) / w) ** 2 + ((oy - y) / h) ** 2 + (ow / w) ** 2 + (oh / h) ** 2)
    return (1 + ow / w + oh / h) / (sqrt(3) * length)


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:3]) if len(sys.argv) == 3 else (10_000, 100)))
