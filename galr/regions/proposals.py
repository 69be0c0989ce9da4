r"""Class-agnostic regions without a network: segments of an image, and what they merge into (our extension).

1. The image is fitted into `side` pixels and cut into segments by Felzenszwalb and Huttenlocher's graph-based
   segmentation ("Efficient Graph-Based Image Segmentation", IJCV 2004), as scikit-image has it.
2. Neighbouring segments merge, the most similar pair first, until one is left (scikit-image's hierarchical merging
   of a region adjacency graph). The cost of a merge is Ward's, in CIELAB: with mean colours :math:`\mu`, and areas
   :math:`a` as fractions of the image,

   .. math:: \mathrm{cost}(s, t) = \sqrt{a_s a_t / (a_s + a_t)} \; \lVert \mu_s - \mu_t \rVert

3. Each segment that ever existed, first or merged, is a candidate. It was born at the cost of the merge that made it
   (0 for a first one) and died at the cost of the merge that swallowed it, so

   .. math:: \mathrm{score} = \Bigl(1 - e^{-(\mathrm{death} - \mathrm{birth}) / \mathrm{contrast}}\Bigr)
             \sqrt{\mathrm{area} / \mathrm{area\ of\ its\ box}}

   is high for what differs much from all its neighbours, little within itself, and fills its box.
4. Of boxes that overlap, the one with the lower score is left out.

The last segment is the whole image and no region, so an image of one colour has none.
"""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
from PIL import Image
from skimage.color import rgb2lab
from skimage.graph import RAG, merge_hierarchical
from skimage.segmentation import felzenszwalb

from galr.graphs.detections import overlap_areas
from galr.regions.detector import ImageDetections, ImageLoader, run_ahead
from galr.regions.detector_spec import ProposalConfig, ProposalSpec


class ProposalDetector:
    """Proposals behind the interface of `Detector`."""

    def __init__(self, spec: ProposalSpec) -> None:
        """Open the proposals that a detector file describes."""
        self.classes = spec.classes
        self.provenance = {"name": spec.name, "config_sha256": spec.config_hash()}
        self._config = spec.proposals

    def detect(
        self, loaders: Iterable[ImageLoader], *, threads: int = 1
    ) -> Iterator[ImageDetections]:
        """Propose the regions of each image, in order; several threads are processes here."""
        calls = (partial(_load_and_propose, loader, self._config) for loader in loaders)
        if threads == 1:
            yield from (call() for call in calls)
            return
        # Not forked: a process with PyTorch's threads in it must not be.
        workers = ProcessPoolExecutor(threads, mp_context=get_context("spawn"))
        try:
            yield from run_ahead(workers, calls, 4 * threads)
        finally:
            workers.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Segment:
    """A segment of an image, first or merged.

    Attributes:
        box: x1 y1 x2 y2 in pixels of the segmented image.
        area: in pixels.
        colour: the mean, in CIELAB.
        birth: cost of the merge that made it, 0 for a first one.
    """

    box: tuple[int, int, int, int]
    area: float
    colour: tuple[float, float, float]
    birth: float

    def merge_cost(self, other: "Segment", pixels: int) -> float:
        """Ward's cost of merging two segments of an image of so many pixels."""
        share = self.area * other.area / (self.area + other.area) / pixels
        return math.sqrt(share) * math.dist(self.colour, other.colour)

    def merge(self, other: "Segment", cost: float) -> "Segment":
        """Both segments as one."""
        area = self.area + other.area
        first, second, third = (
            (mine * self.area + theirs * other.area) / area
            for mine, theirs in zip(self.colour, other.colour, strict=True)
        )
        box = (
            min(self.box[0], other.box[0]),
            min(self.box[1], other.box[1]),
            max(self.box[2], other.box[2]),
            max(self.box[3], other.box[3]),
        )
        return Segment(box, area, (first, second, third), max(cost, self.birth, other.birth))


def propose(image: Image.Image, config: ProposalConfig) -> ImageDetections:
    """Propose the regions of an RGB image of any size.

    A quarter turn or a mirrored image turns or mirrors its boxes, as long as no two edges between pixels, no two merges
    and no two scores are equal to the bit: equal ones are taken in the order in which they lie in the image.
    """
    scale = min(1.0, config.side / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    rgb = _resize_float(image, width, height)
    labels = felzenszwalb(
        rgb,
        scale=config.scale,
        sigma=config.sigma,
        min_size=math.ceil(config.min_area * width * height),
        channel_axis=-1,
    )
    merged = merge_segments(labels, rgb2lab(rgb))
    boxes = np.array([segment.box for segment, _ in merged], np.float64).reshape(-1, 4)
    areas = np.array([segment.area for segment, _ in merged])
    lifetimes = np.array([max(death - segment.birth, 0.0) for segment, death in merged])
    box_areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    scores = -np.expm1(-lifetimes / config.contrast) * np.sqrt(areas / box_areas)
    usable = (scores > 0) & (scores >= config.score)
    usable &= (areas >= config.min_area * width * height) & (
        box_areas <= config.max_area * width * height
    )
    boxes, scores = boxes[usable], scores[usable]
    rows = suppress_overlapping(boxes, scores, config.overlap, config.regions)
    in_pixels = boxes[rows] * np.tile(np.divide(image.size, (width, height)), 2)
    return ImageDetections(
        np.minimum(in_pixels, np.tile(image.size, 2)).astype(np.float32),
        scores[rows].astype(np.float32),
        np.zeros(len(rows), np.int32),
        dropped=0,
    )


def merge_segments(labels: np.ndarray, lab: np.ndarray) -> list[tuple[Segment, float]]:
    """Merge the segments of an image until one is left.

    Args:
        labels: (height, width) int, from 0.
        lab: (height, width, 3) float, CIELAB.

    Returns:
        Each segment that was merged into another, with the cost of that merge.
    """
    graph = RAG()
    for node, segment in enumerate(_first_segments(labels, lab)):
        graph.add_node(node, labels=[node], segment=segment)

    def cost(graph: RAG, _: int, target: int, neighbour: int) -> dict[str, float]:
        nodes = graph.nodes
        return {
            "weight": nodes[target]["segment"].merge_cost(nodes[neighbour]["segment"], labels.size)
        }

    for first, second in neighbouring_pairs(labels).tolist():
        graph.add_edge(first, second, cost(graph, first, first, second))
    merged: list[tuple[Segment, float]] = []

    def merge(graph: RAG, source: int, target: int) -> None:
        pair = [graph.nodes[node]["segment"] for node in (source, target)]
        weight = graph[source][target]["weight"]
        merged.extend((segment, weight) for segment in pair)
        graph.nodes[target]["segment"] = pair[0].merge(pair[1], weight)

    merge_hierarchical(
        labels,
        graph,
        thresh=math.inf,
        rag_copy=False,
        in_place_merge=True,
        merge_func=merge,
        weight_func=cost,
    )
    return merged


def neighbouring_pairs(labels: np.ndarray) -> np.ndarray:
    """Return the pairs of segments that share an edge of a pixel, (pairs, 2) int, the smaller label first, sorted.

    scikit-image's own way calls Python for each pixel, which takes longer than all the rest.

    Args:
        labels: (height, width) int, from 0.
    """
    beside = np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()])
    below = np.stack([labels[:-1].ravel(), labels[1:].ravel()])
    pairs = np.sort(np.concatenate([beside, below], axis=1), axis=0)
    num_labels = int(labels.max()) + 1
    keys = np.unique(pairs[0] * num_labels + pairs[1])
    first, second = np.divmod(keys, num_labels)
    return np.stack([first, second], axis=1)[first != second]


def suppress_overlapping(
    boxes: np.ndarray, scores: np.ndarray, max_iou: float, max_regions: int
) -> np.ndarray:
    """Return the rows of boxes that non-maximum suppression keeps, best first; equal scores keep their order.

    Args:
        boxes: (boxes, 4) float, x1 y1 x2 y2.
        scores: (boxes,) float.
        max_iou: of two boxes whose intersection over union is larger, the one with the lower score goes.
        max_regions: the best are kept, at most so many.
    """
    sides = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1).T
    common, union, _ = overlap_areas(sides[:, :, None], sides[:, None])
    overlapping = common > max_iou * union
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if len(kept) == max_regions:
            break
        if not overlapping[row, kept].any():
            kept.append(row)
    return np.array(kept, np.int64)


def _first_segments(labels: np.ndarray, lab: np.ndarray) -> list[Segment]:
    """Describe the segments of an image, in the order of their labels."""
    flat = labels.ravel()
    areas = np.bincount(flat)
    colours = [np.bincount(flat, channel.ravel()) / areas for channel in np.moveaxis(lab, -1, 0)]
    boxes = np.tile([[labels.size], [labels.size], [0], [0]], len(areas))
    for axis, positions in enumerate(np.indices(labels.shape)[::-1]):  # x, then y
        np.minimum.at(boxes[axis], flat, positions.ravel())
        np.maximum.at(boxes[axis + 2], flat, positions.ravel() + 1)
    rows = (table.tolist() for table in (boxes.T, areas, np.stack(colours, axis=1)))
    return [
        Segment(tuple(box), area, tuple(colour), birth=0.0)
        for box, area, colour in zip(*rows, strict=True)
    ]


def _resize_float(image: Image.Image, width: int, height: int) -> np.ndarray:
    """Resize an RGB image without rounding: (height, width, 3) float64 in [0, 1].

    Rounded to 8 bits, first along rows and then along columns, a turned image would have other pixels.
    """
    channels = [
        channel.convert("F").resize((width, height), Image.Resampling.BILINEAR)
        for channel in image.split()
    ]
    return np.stack([np.asarray(channel, np.float64) for channel in channels], axis=-1) / 255


def _load_and_propose(loader: ImageLoader, config: ProposalConfig) -> ImageDetections:
    """Open an image and propose its regions, in any process."""
    return propose(loader(), config)
