"""Find the regions of pictures: cut what is large, look in batches, join what was found.

METHOD section 2: slices overlap, and their boxes are merged by non-maximum suppression within a class.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import torch
import torchvision.ops
from PIL import Image

from galr.regions.detector import Detection, Slices
from galr.regions.looking import for_detection, shown
from galr.regions.mmlab import BaseDetector, Compose, quiet


@dataclass(frozen=True)
class Regions:
    """What was found in one picture, best first.

    boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the picture, inside it, of some area.
    scores: (n,) float32 in [0, 1], descending.
    classes: (n,) int32, place in the detector's classes.
    dropped: boxes that had no area once they were clipped to the picture.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    dropped: int


@dataclass(frozen=True)
class Slice:
    """A part of a picture, or all of it.

    picture: which picture, counted from 0.
    width, height: of the picture, in pixels.
    x, y: where the slice begins in it.
    pixels: (slice height, slice width, 3) uint8, RGB.
    """

    picture: int
    width: int
    height: int
    x: int
    y: int
    pixels: np.ndarray


@dataclass(frozen=True)
class Sighting:
    """What the network sees in one slice: boxes (n, 4) in its pixels, scores (n,), classes (n,)."""

    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor


def detect(
    model: BaseDetector, pictures: Iterable[Image.Image], how: Detection
) -> Iterator[Regions]:
    """Find the regions of each picture, in order; pictures are taken as they are needed.

    Args:
        model: on the device where it is to run.
        pictures: RGB, of any sizes.
        how: input size, batch, thresholds, slices.
    """
    model.eval()
    fit = for_detection(how.input)
    slices = (
        each for place, picture in enumerate(pictures) for each in cut(place, picture, how.slices)
    )
    seen = (
        pair
        for batch in _batches(slices, how.batch)
        for pair in zip(batch, look(model, batch, fit), strict=True)
    )
    for _, parts in groupby(seen, key=lambda pair: pair[0].picture):
        yield join(list(parts), score=how.score, overlap=how.overlap, regions=how.regions)


def cut(place: int, picture: Image.Image, slices: Slices | None) -> Iterator[Slice]:
    """Cut a picture into overlapping slices; one that is no larger than a slice stays whole.

    Args:
        place: the picture's number.
        picture: RGB.
        slices: side and overlap; None leaves every picture whole.
    """
    pixels = np.asarray(picture)
    width, height = picture.size
    side = max(width, height) if slices is None else slices.size
    overlap = 0.0 if slices is None else slices.overlap
    for y in starts(height, side, overlap):
        for x in starts(width, side, overlap):
            yield Slice(place, width, height, x, y, pixels[y : y + side, x : x + side])


def starts(length: int, side: int, overlap: float) -> list[int]:
    """Where slices begin along a length: as few as possible, evenly spread, from edge to edge.

    Args:
        length: pixels to cover.
        side: of a slice, pixels.
        overlap: least share of the side that neighbours have in common, in [0, 1).
    """
    if length <= side:
        return [0]
    stride = max(side - math.ceil(side * overlap), 1)
    steps = math.ceil((length - side) / stride)
    return [step * (length - side) // steps for step in range(steps + 1)]


def look(model: BaseDetector, slices: Sequence[Slice], fit: Compose) -> list[Sighting]:
    """Show the network some slices at once."""
    items = [fit(shown(each.pixels)) for each in slices]
    batch = {key: [item[key] for item in items] for key in ("inputs", "data_samples")}
    with quiet(), torch.inference_mode():
        found = [sample.pred_instances for sample in model.test_step(batch)]
    return [Sighting(each.bboxes.cpu(), each.scores.cpu(), each.labels.cpu()) for each in found]


def join(
    parts: Sequence[tuple[Slice, Sighting]], *, score: float, overlap: float, regions: int
) -> Regions:
    """Make one picture's regions of what was seen in its slices.

    Boxes move to where their slice lies and are clipped to the picture; those of no area go.
    Non-maximum suppression within a class removes what neighbouring slices saw twice.

    Args:
        parts: the picture's slices, one or more, and what was seen in each.
        score: lowest score of a region.
        overlap: of two regions of a class with a larger intersection over union, the lower-scored goes.
        regions: at most so many are kept, best first.
    """
    first = parts[0][0]
    places = [torch.tensor([part.x, part.y, part.x, part.y]) for part, _ in parts]
    boxes = torch.cat(
        [seen.boxes.float() + place for place, (_, seen) in zip(places, parts, strict=True)]
    )
    scores = torch.cat([seen.scores.float() for _, seen in parts])
    classes = torch.cat([seen.classes for _, seen in parts])
    boxes = torchvision.ops.clip_boxes_to_image(boxes, (first.height, first.width))
    strong = scores >= score
    broad = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
    rows = (strong & broad).nonzero()[:, 0]
    kept = torchvision.ops.batched_nms(boxes[rows], scores[rows], classes[rows], overlap)
    rows = rows[kept[:regions]]
    return Regions(
        boxes[rows].numpy(),
        scores[rows].numpy(),
        classes[rows].to(torch.int32).numpy(),
        int((strong & ~broad).sum()),
    )


def ragged(found: Sequence[Regions]) -> tuple[dict[str, np.ndarray], int]:
    """Put the regions of many pictures into flat tables.

    Returns:
        offsets (pictures + 1,) int64, boxes, scores and classes as in `Regions`, one picture's rows
        after another's; and how many boxes of no area were dropped.
    """
    counts = [len(each.scores) for each in found]
    tables = {
        "offsets": np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        "boxes": np.concatenate([np.zeros((0, 4), np.float32), *(each.boxes for each in found)]),
        "scores": np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)]),
        "classes": np.concatenate([np.zeros(0, np.int32), *(each.classes for each in found)]),
    }
    return tables, sum(each.dropped for each in found)


def _batches(slices: Iterable[Slice], size: int) -> Iterator[list[Slice]]:
    """Group a stream; the last group may be smaller."""
    stream = iter(slices)
    while batch := list(islice(stream, size)):
        yield batch
