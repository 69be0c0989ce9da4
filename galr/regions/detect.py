"""Detect the regions of images: cut large images into slices, run the network in batches, merge the detections.

Slices overlap, and non-maximum suppression within a class merges their boxes (our reconstruction; the paper
does not say how large images are handled). Images are opened in threads, and the next batch is prepared while
the network runs on the current one.
"""

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.ops
from PIL import Image

from galr.devices import resolve_device
from galr.provenance import file_sha256
from galr.regions.detector import ImageDetections, ImageLoader, run_ahead
from galr.regions.detector_spec import DetectorSpec, InferenceConfig, SliceConfig
from galr.regions.mmdet_imports import BaseDetector, Compose, suppress_output
from galr.regions.network import load_network
from galr.regions.pipelines import inference_pipeline, to_mmdet
from galr.regions.tiling import tile_offsets


class NetworkDetector:
    """A network behind the interface of `Detector`."""

    def __init__(
        self, spec: DetectorSpec, checkpoint: Path, device: str, threads: int | None
    ) -> None:
        """Load a network as `open_detector` describes."""
        if threads is not None:
            torch.set_num_threads(threads)
        self.classes = spec.classes
        self._model = load_network(spec, checkpoint, resolve_device(device))
        self._inference = spec.inference
        self.provenance = {
            "name": spec.name,
            "config_sha256": spec.config_hash(),
            "checkpoint_sha256": file_sha256(checkpoint),
        }

    def detect(
        self, loaders: Iterable[ImageLoader], *, threads: int = 1
    ) -> Iterator[ImageDetections]:
        """Detect the regions of each image, in order; threads open images while the network runs."""
        return detect(self._model, loaders, self._inference, threads=threads)


@dataclass(frozen=True)
class Slice:
    """A part of an image, or all of it.

    Attributes:
        image_index: 0-based index of the image.
        image_width: width of the image in pixels.
        image_height: height of the image in pixels.
        x: left edge of the slice in the image, in pixels.
        y: top edge of the slice in the image, in pixels.
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
    """Slices that the network processes at once.

    Attributes:
        slices: the slices and their positions.
        inputs: (slices, 3, height, width) uint8, BGR, fitted into the network's input size.
        samples: one mmdet data sample per slice; its metadata map boxes back to the slice's pixels.
    """

    slices: Sequence[Slice]
    inputs: torch.Tensor
    samples: Sequence[Any]


@dataclass(frozen=True)
class SliceDetections:
    """The network's detections in one slice.

    Attributes:
        boxes: (regions, 4) float, x1 y1 x2 y2 in pixels of the slice.
        scores: (regions,) float in [0, 1].
        classes: (regions,) int64, index into the detector's classes.
    """

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
    """Detect the regions of each image, in order.

    Besides the current batch, at most one more batch and one image per thread are in memory. Closing the
    iterator early waits only for the images that the threads are opening.

    Args:
        model: the network, on the device where it runs.
        loaders: one per image, called in a thread when its image is needed; images may have any size.
        config: input size, batch size, thresholds and slices.
        threads: number of threads that open images, at least 1.

    Yields:
        The regions of one image.

    Raises:
        DataError: an image cannot be opened; any other error of a loader is raised too. No further image is
            opened then.
    """
    model.eval()
    pinned = _model_device(model).type == "cuda"
    source = iter_batches(loaders, config, threads=threads, pin_memory=pinned)
    with closing(prefetch(source) if has_spare_core(model) else source) as batches:
        pairs = (
            pair
            for batch in batches
            for pair in zip(batch.slices, detect_slices(model, batch), strict=True)
        )
        for _, parts in groupby(pairs, key=lambda pair: pair[0].image_index):
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
    """Open images in threads, cut them into slices, and collate the slices into batches, in order.

    Args:
        loaders: as for `detect`.
        config: input size, batch size and slices.
        threads: number of threads that open images, at least 1.
        pin_memory: whether batches lie in pinned memory, which a GPU reads without waiting for the CPU.

    Yields:
        A batch of at most `config.batch` slices.
    """
    pipeline = inference_pipeline(config.input)
    workers = ThreadPoolExecutor(threads, "images")
    try:
        images = run_ahead(workers, loaders, threads)
        slices = (
            image_slice
            for index, image in enumerate(images)
            for image_slice in slice_image(index, image, config.slices)
        )
        while batch := list(islice(slices, config.batch)):
            yield collate(batch, pipeline, pin_memory=pin_memory)
    finally:
        workers.shutdown(cancel_futures=True)


def prefetch(batches: Generator[SliceBatch, None, None]) -> Generator[SliceBatch, None, None]:
    """Prepare each batch in one extra thread while the batch before it is in use."""
    with closing(batches), ThreadPoolExecutor(1, "batches") as thread:
        next_batch = thread.submit(next, batches, None)
        while (batch := next_batch.result()) is not None:
            next_batch = thread.submit(next, batches, None)
            yield batch


def has_spare_core(model: BaseDetector) -> bool:
    """Return whether a CPU core is idle while the network runs.

    If none is, preparing the next batch in parallel costs more time than it saves: all threads of a layer wait
    for the slowest one, which shares its core.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return _model_device(model).type != "cpu" or torch.get_num_threads() < (cores or 1)


def slice_image(
    image_index: int, image: Image.Image, slices: SliceConfig | None
) -> Iterator[Slice]:
    """Cut an image into overlapping slices; an image no larger than a slice is one slice.

    Args:
        image_index: 0-based index of the image.
        image: the image, RGB.
        slices: side and overlap of the slices; None makes one slice of every image.

    Yields:
        A slice, row by row.
    """
    width, height = image.size
    bgr = np.frombuffer(image.tobytes("raw", "BGR"), np.uint8).reshape(height, width, 3)
    pixels = bgr[..., ::-1]  # an RGB view; `to_mmdet` reverses it again, so that nothing is copied
    side = max(width, height) if slices is None else slices.size
    overlap = 0.0 if slices is None else slices.overlap
    for y in tile_offsets(height, side, overlap):
        for x in tile_offsets(width, side, overlap):
            yield Slice(image_index, width, height, x, y, pixels[y : y + side, x : x + side])


def collate(slices: Sequence[Slice], pipeline: Compose, *, pin_memory: bool = False) -> SliceBatch:
    """Fit slices into the network's input size and stack them.

    Args:
        slices: one or more.
        pipeline: as `inference_pipeline` returns it.
        pin_memory: as for `iter_batches`.
    """
    items = [pipeline(to_mmdet(image_slice.pixels)) for image_slice in slices]
    shape = (len(items), *items[0]["inputs"].shape)
    inputs = torch.empty(shape, dtype=torch.uint8, pin_memory=pin_memory)
    np.stack([item["inputs"].numpy() for item in items], out=inputs.numpy())
    return SliceBatch(slices, inputs, [item["data_samples"] for item in items])


def detect_slices(model: BaseDetector, batch: SliceBatch) -> list[SliceDetections]:
    """Run the network on a batch and return the detections of each slice, on the CPU.

    One transfer copies the batch to the device and three copy the detections back.
    """
    inputs = batch.inputs.to(_model_device(model), non_blocking=True)
    with suppress_output(), torch.inference_mode():
        samples = model.test_step({"inputs": inputs, "data_samples": batch.samples})
        instances = [sample.pred_instances for sample in samples]
        counts = [len(each.scores) for each in instances]
        boxes, scores, classes = (
            torch.cat([getattr(each, name) for each in instances]).cpu().split(counts)
            for name in ("bboxes", "scores", "labels")
        )
    return [SliceDetections(*fields) for fields in zip(boxes, scores, classes, strict=True)]


def merge_slices(
    parts: Sequence[tuple[Slice, SliceDetections]],
    *,
    min_score: float,
    max_iou: float,
    max_regions: int,
    max_iou_across_classes: float | None = None,
) -> ImageDetections:
    """Merge the detections of one image's slices into the regions of the image.

    Boxes are shifted by the position of their slice and clipped to the image; boxes without area are dropped.
    Non-maximum suppression within a class removes objects that several slices detected. A second, optional
    suppression across classes removes objects that were detected as several classes.

    Args:
        parts: the slices of the image, at least one, each with its detections.
        min_score: regions with a lower score are dropped.
        max_iou: of two regions of one class whose intersection over union is larger, the one with the lower
            score is dropped.
        max_regions: the regions with the highest scores are kept, at most this many.
        max_iou_across_classes: as `max_iou`, but for regions of any classes; None skips this step.
    """
    first = parts[0][0]
    shifts = [torch.tensor([part.x, part.y, part.x, part.y]) for part, _ in parts]
    boxes = torch.cat(
        [found.boxes.float() + shift for shift, (_, found) in zip(shifts, parts, strict=True)]
    )
    scores = torch.cat([found.scores.float() for _, found in parts])
    classes = torch.cat([found.classes for _, found in parts])
    boxes = torchvision.ops.clip_boxes_to_image(boxes, (first.image_height, first.image_width))
    scored = scores >= min_score
    has_area = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
    rows = (scored & has_area).nonzero()[:, 0]
    rows = rows[torchvision.ops.batched_nms(boxes[rows], scores[rows], classes[rows], max_iou)]
    if max_iou_across_classes is not None:
        rows = rows[torchvision.ops.nms(boxes[rows], scores[rows], max_iou_across_classes)]
    rows = rows[:max_regions]
    return ImageDetections(
        boxes[rows].numpy(),
        scores[rows].numpy(),
        classes[rows].to(torch.int32).numpy(),
        int((scored & ~has_area).sum()),
    )


def _model_device(model: BaseDetector) -> torch.device:
    """Return the device of a network."""
    return next(model.parameters()).device
