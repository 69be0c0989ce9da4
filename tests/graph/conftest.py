"""Graphs as ours are, for tests that write them down in the authors' form or describe them."""

import numpy as np
import pytest

from galr.graph.adjacency import Edges
from galr.graph.detections import Regions
from galr.graph.drea import graphs

CLASSES = 15


@pytest.fixture(scope="session")
def ours():
    """Make graphs of random detections."""
    return made


def made(seed=0, counts=(9, 30, 1, 0)):
    """Graphs of random detections: n = 20, d = 20, as the authors' are."""
    random = np.random.default_rng(seed)
    total = sum(counts)
    corner, extent = random.random((2, total, 2)) * [[[300]], [[90]]]
    regions = Regions(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=np.concatenate([corner, corner + extent + 1], axis=1),
        scores=random.random(total),
        classes=random.integers(CLASSES, size=total),
        sizes=np.full((len(counts), 2), 400),
    )
    return graphs(
        regions,
        CLASSES,
        least_score=0.0,
        most=20,
        measure="cosine",
        redundant=0.98,
        edges=Edges("gaussian", 0.2),
    )
