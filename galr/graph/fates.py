"""What became of one image's detections: kept, or why not."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from galr.graph.adjacency import Edges
from galr.graph.denoise import MEASURES, Measure
from galr.graph.detections import Regions, in_order
from galr.graph.drea import graphs

Fate = Literal["kept", "redundant", "beyond", "weak"]
FATES: tuple[Fate, ...] = get_args(Fate)


@dataclass(frozen=True, eq=False)
class Outcome:
    """One image's detections and what DREA made of them.

    Attributes:
        boxes: (detections, 4), x1 y1 x2 y2 in pixels.
        scores: (detections,) in [0, 1].
        classes: (detections,) int.
        fates: (detections,) text, one of `FATES`.
        kept: (k,) int, the detections that are rows of X, in its order; k is at most n.
        adjacency: (k, k), the edges between them.
        meanings: what each fate means under the choices that were made, in words.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    fates: np.ndarray
    kept: np.ndarray
    adjacency: np.ndarray
    meanings: dict[Fate, str]

    def count(self, fate: Fate) -> int:
        """How many detections had this fate."""
        return int((self.fates == fate).sum())


def outcome(
    regions: Regions,
    image: int,
    classes: int,
    *,
    least_score: float,
    most: int,
    measure: Measure,
    redundant: float,
    edges: Edges,
) -> Outcome:
    """Run DREA on one image, and tell why each detection that is not in the graph is not.

    Args:
        regions: the detections of many images.
        image: which image, from 0.
        classes: how many the detector knows.
        least_score: a lower score is `weak`.
        most: n; what is neither weak nor redundant and no longer fits is `beyond`.
        measure: how alike two detections are.
        redundant: what is more alike than this to a kept one of its class is `redundant`.
        edges: how edges are weighed.

    Raises:
        ConfigError: a choice that does not exist or means nothing.
        DataError: detections that contradict themselves.
    """
    own = slice(int(regions.offsets[image]), int(regions.offsets[image + 1]))
    alone = Regions(
        np.array([0, own.stop - own.start]),
        regions.boxes[own],
        regions.scores[own],
        regions.classes[own],
        regions.sizes[image : image + 1],
    )
    graph = graphs(
        alone,
        classes,
        least_score=least_score,
        most=most,
        measure=measure,
        redundant=redundant,
        edges=edges,
    )
    kept = graph.kept[0][graph.mask[0]]
    fates = np.full(len(alone.scores), "beyond", dtype="U9")
    if measure != "none":
        fates[_repeats(alone, kept, measure, redundant)] = "redundant"
    fates[alone.scores.astype(np.float64) < least_score] = "weak"  # compared as `graphs` does
    fates[kept] = "kept"
    edge = graph.adjacency[0][: len(kept), : len(kept)]
    meanings = _meanings(least_score, most, measure, redundant)
    return Outcome(alone.boxes, alone.scores, alone.classes, fates, kept, edge, meanings)


def _meanings(least_score: float, most: int, measure: Measure, redundant: float) -> dict[Fate, str]:
    """Say in words what each fate means under some choices."""
    said: dict[Fate, str] = {"kept": "kept"}
    if measure != "none":
        said["redundant"] = f"redundant, {measure.replace('_', ' ')} > {redundant:g}"
    return said | {"beyond": f"beyond the first {most}", "weak": f"score below {least_score:g}"}


def _repeats(alone: Regions, kept: np.ndarray, measure: Measure, redundant: float) -> np.ndarray:
    """Find the detections that some kept one of their class makes redundant.

    The walk of `denoise.denoised` only goes on to a detection that none kept before it makes redundant, so
    looking at all that were kept in the end, whatever their order, finds the same.

    Returns:
        (detections,) bool; of kept ones it means nothing.
    """
    source, label, _, boxes = in_order(alone, slice(0, 1))
    found = np.zeros(len(alone.scores), bool)
    if not len(found):
        return found
    of = np.empty_like(source[0])
    of[source[0]] = np.arange(len(of))  # the column of each detection
    for column in of[kept]:
        pairs = np.flatnonzero(label[0] == label[0, column])
        better = np.repeat(boxes[:, 0, [column]], len(pairs), axis=1)
        again = MEASURES[measure](better, boxes[:, 0, pairs]) > redundant
        found[source[0, pairs[again]]] = True
    return found
