"""Graphs of ours, for tests that write them in the authors' form or describe them."""

import numpy as np
import pytest

from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs
from galr.graphs.edges import EdgeConfig

CLASSES = 15


@pytest.fixture(scope="session")
def make_graphs():
    """Return a function that computes graphs of random detections."""
    return _make_graphs


def _make_graphs(seed=0, counts=(9, 30, 1, 0)):
    """Compute graphs of random detections: n = 20, d = 20, like the authors'."""
    random = np.random.default_rng(seed)
    total = sum(counts)
    corner, extent = random.random((2, total, 2)) * [[[300]], [[90]]]
    regions = Detections(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=np.concatenate([corner, corner + extent + 1], axis=1),
        scores=random.random(total),
        classes=random.integers(CLASSES, size=total),
        sizes=np.full((len(counts), 2), 400),
    )
    return build_graphs(
        regions,
        CLASSES,
        min_score=0.0,
        max_regions=20,
        similarity="cosine",
        similarity_threshold=0.98,
        edges=EdgeConfig("gaussian", 0.2),
    )
