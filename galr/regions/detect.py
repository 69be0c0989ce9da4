"""Find the regions of pictures: cut what is large, look in batches, join what was found.

METHOD section 2: slices overlap, and their boxes are merged by non-maximum suppression within a class.
Pictures are opened in threads, and while the network looks at a batch the next one is prepared.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
import torchvision.ops
from PIL import Image

from galr.regions.detector_spec import InferenceConfig, SliceConfig
from galr.regions.mmdet_imports import BaseDetector, Compose, suppress_output
from galr.regions.pipelines import inference_pipeline, to_mmdet
from galr.regions.tiling import tile_offsets

ImageLoader = Callable[[], Image.Image]  # gives a picture, RGB, when it is called


@dataclass(frozen=True)
class ImageDetections:
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

    image_index: int
    image_width: int
    image_height: int
    x: int
    y: int
    pixels: np.ndarray


@dataclass(frozen=True)
class SliceBatch:
    """Slices that the network sees at once.

    slices: where they lie.
    inputs: (slices, 3, height, width) uint8, BGR, fitted into the network's input.
    samples: one mmdet sample a slice, which knows the way back to the slice's pixels.
    """

    slices: Sequence[Slice]
    inputs: torch.Tensor
    samples: Sequence[Any]


@dataclass(frozen=True)
class SliceDetections:
    """What the network sees in one slice: boxes (n, 4) in its pixels, scores (n,), classes (n,)."""

    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor


def detect(
    model: BaseDetector,
    loaders: Iterable[ImageLoader],
    config: InferenceConfig,
    *,
    threads: int = 1,
) -> Iterator[ImageDetections]:
    """Find the regions of each picture, in order.

    Beside the batch that the network looks at, at most one more and a picture a thread are in memory.
    Whoever stops early waits for what the threads have in hand, and for no more.

    Args:
        model: on the device where it is to run.
        pictures: what opens them; of any sizes, opened as they are needed, in threads.
        how: input size, batch, thresholds, slices.
        threads: that open pictures, at least 1.

    Raises:
        DataError: or whatever else opening a picture raises; no more are then opened.
    """
    model.eval()
    pinned = _model_device(model).type == "cuda"
    source = iter_batches(loaders, config, threads=threads, pin_memory=pinned)
    with closing(prefetch(source) if has_spare_core(model) else source) as batches:
        seen = (
            pair
            for batch in batches
            for pair in zip(batch.slices, detect_slices(model, batch), strict=True)
        )
        for _, parts in groupby(seen, key=lambda pair: pair[0].image_index):
            yield merge_slices(
                list(parts),
                min_score=config.score,
                max_iou=config.overlap,
                max_iou_across_classes=config.agnostic_overlap,
                max_regions=config.regions,
            )


def iter_batches(
    loaders: Iterable[ImageLoader],
    config: InferenceConfig,
    *,
    threads: int,
    pin_memory: bool = False,
) -> Generator[SliceBatch, None, None]:
    """Open pictures in threads, cut them, and fit their slices into batches, in order.

    Args:
        pictures: as in `detect`.
        how: input size, batch, slices.
        threads: that open pictures, at least 1.
        pinned: whether batches lie where a GPU can fetch them while the CPU goes on.
    """
    fit = inference_pipeline(config.input)
    workers = ThreadPoolExecutor(threads, "pictures")
    try:
        opened = _load_ahead(loaders, workers, threads)
        slices = (
            each
            for place, picture in enumerate(opened)
            for each in slice_image(place, picture, config.slices)
        )
        while group := list(islice(slices, config.batch)):
            yield collate(group, fit, pin_memory=pin_memory)
    finally:
        workers.shutdown(cancel_futures=True)


def prefetch(batches: Generator[SliceBatch, None, None]) -> Generator[SliceBatch, None, None]:
    """Prepare each batch in a thread of its own while the one before it is in use."""
    with closing(batches), ThreadPoolExecutor(1, "batches") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def has_spare_core(model: BaseDetector) -> bool:
    """Whether the CPU has something to spare while a network looks.

    Where it has not, a neighbour costs more than it brings: the threads of each layer wait for one
    another, so one of two that is held up holds up both.
    """
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return _model_device(model).type != "cpu" or torch.get_num_threads() < (mine or 1)


def slice_image(
    image_index: int, image: Image.Image, slices: SliceConfig | None
) -> Iterator[Slice]:
    """Cut a picture into overlapping slices; one that is no larger than a slice stays whole.

    Args:
        place: the picture's number.
        picture: RGB.
        slices: side and overlap; None leaves every picture whole.
    """
    width, height = image.size
    bgr = np.frombuffer(image.tobytes("raw", "BGR"), np.uint8).reshape(height, width, 3)
    pixels = bgr[..., ::-1]  # RGB to look at; `shown` turns it back into BGR without moving a byte
    side = max(width, height) if slices is None else slices.size
    overlap = 0.0 if slices is None else slices.overlap
    for y in tile_offsets(height, side, overlap):
        for x in tile_offsets(width, side, overlap):
            yield Slice(image_index, width, height, x, y, pixels[y : y + side, x : x + side])


def collate(slices: Sequence[Slice], pipeline: Compose, *, pin_memory: bool = False) -> SliceBatch:
    """Fit slices into the network's input and lay them side by side.

    Args:
        slices: one or more.
        fit: as `looking.for_detection` gives it, to one size for all.
        pinned: as in `prepared`.
    """
    items = [pipeline(to_mmdet(each.pixels)) for each in slices]
    shape = (len(items), *items[0]["inputs"].shape)
    inputs = torch.empty(shape, dtype=torch.uint8, pin_memory=pin_memory)
    np.stack([item["inputs"].numpy() for item in items], out=inputs.numpy())
    return SliceBatch(slices, inputs, [item["data_samples"] for item in items])


def detect_slices(model: BaseDetector, batch: SliceBatch) -> list[SliceDetections]:
    """Show the network a batch; one transfer brings it to the device, three bring the boxes back."""
    inputs = batch.inputs.to(_model_device(model), non_blocking=True)
    with suppress_output(), torch.inference_mode():
        samples = model.test_step({"inputs": inputs, "data_samples": batch.samples})
        found = [sample.pred_instances for sample in samples]
        counts = [len(each.scores) for each in found]
        boxes, scores, classes = (
            torch.cat([getattr(each, name) for each in found]).cpu().split(counts)
            for name in ("bboxes", "scores", "labels")
        )
    return [SliceDetections(*each) for each in zip(boxes, scores, classes, strict=True)]


def merge_slices(
    parts: Sequence[tuple[Slice, SliceDetections]],
    *,
    min_score: float,
    max_iou: float,
    max_regions: int,
    max_iou_across_classes: float | None = None,
) -> ImageDetections:
    """Make one picture's regions of what was seen in its slices.

    Boxes move to where their slice lies and are clipped to the picture; those of no area go.
    Non-maximum suppression within a class removes what neighbouring slices saw twice; a second one
    among what is left removes, if asked for, what was taken for two things at once.

    Args:
        parts: the picture's slices, one or more, and what was seen in each.
        score: lowest score of a region.
        overlap: of two regions of a class with a larger intersection over union, the lower-scored goes.
        regions: at most so many are kept, best first.
        agnostic_overlap: then, of two regions of any classes with a larger one, the lower-scored goes.
    """
    first = parts[0][0]
    places = [torch.tensor([part.x, part.y, part.x, part.y]) for part, _ in parts]
    boxes = torch.cat(
        [seen.boxes.float() + place for place, (_, seen) in zip(places, parts, strict=True)]
    )
    scores = torch.cat([seen.scores.float() for _, seen in parts])
    classes = torch.cat([seen.classes for _, seen in parts])
    boxes = torchvision.ops.clip_boxes_to_image(boxes, (first.image_height, first.image_width))
    strong = scores >= min_score
    broad = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
    rows = (strong & broad).nonzero()[:, 0]
    rows = rows[torchvision.ops.batched_nms(boxes[rows], scores[rows], classes[rows], max_iou)]
    if max_iou_across_classes is not None:
        rows = rows[torchvision.ops.nms(boxes[rows], scores[rows], max_iou_across_classes)]
    rows = rows[:max_regions]
    return ImageDetections(
        boxes[rows].numpy(),
        scores[rows].numpy(),
        classes[rows].to(torch.int32).numpy(),
        int((strong & ~broad).sum()),
    )


def concatenate_ragged(detections: Sequence[ImageDetections]) -> tuple[dict[str, np.ndarray], int]:
    """Put the regions of many pictures into flat tables.

    Returns:
        offsets (pictures + 1,) int64, boxes, scores and classes as in `Regions`, one picture's rows
        after another's; and how many boxes of no area were dropped.
    """
    counts = [len(each.scores) for each in detections]
    tables = {
        "offsets": np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        "boxes": np.concatenate(
            [np.zeros((0, 4), np.float32), *(each.boxes for each in detections)]
        ),
        "scores": np.concatenate([np.zeros(0, np.float32), *(each.scores for each in detections)]),
        "classes": np.concatenate([np.zeros(0, np.int32), *(each.classes for each in detections)]),
    }
    return tables, sum(each.dropped for each in detections)


def _load_ahead(
    loaders: Iterable[ImageLoader], workers: ThreadPoolExecutor, limit: int
) -> Iterator[Image.Image]:
    """Open pictures in other threads and give them in order; `most` are under way beyond the one given."""
    under_way = deque[Future[Image.Image]]()
    for opening in loaders:
        under_way.append(workers.submit(opening))
        if len(under_way) > limit:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _model_device(model: BaseDetector) -> torch.device:
    """Where a network is."""
    return next(model.parameters()).device
