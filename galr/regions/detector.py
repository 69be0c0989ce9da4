"""One interface for every detector: a network of mmdet, or proposals that need no network.

Neither torch nor mmdet is loaded before a network is opened, nor scikit-image before proposals are.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from PIL import Image

from galr.errors import ConfigError, DataError, explain_missing_extra
from galr.io.images import AS_STORED, load_rgb
from galr.io.pixel_options import PixelOptions
from galr.regions.detector_spec import DetectorSpec, ProposalSpec

Result = TypeVar("Result")
ImageLoader = Callable[[], Image.Image]  # opens an RGB image when called


@dataclass(frozen=True)
class ImageDetections:
    """The regions of one image, in descending order of score.

    Attributes:
        boxes: (regions, 4) float32, x1 y1 x2 y2 in pixels, inside the image and of positive area.
        scores: (regions,) float32 in [0, 1].
        classes: (regions,) int32, index into the detector's classes.
        dropped: number of boxes without area after clipping to the image.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    dropped: int


class Detector(Protocol):
    """Finds the regions of images of any sizes.

    Attributes:
        classes: names of the classes of its regions.
        provenance: the name and the hashes of all that determines its regions; `checkpoint_sha256` for a network alone.
    """

    classes: tuple[str, ...]
    provenance: dict[str, str]

    def detect(
        self, loaders: Iterable[ImageLoader], *, threads: int = 1
    ) -> Iterator[ImageDetections]:
        """Find the regions of each image, in order.

        Args:
            loaders: one per image, called when its image is needed. With several threads it may be called in
                another thread or process, so that it must be picklable.
            threads: how many images are opened, or searched, at a time; changes no box.

        Raises:
            DataError: an image cannot be opened; any other error of a loader is raised too.
        """
        ...


def open_detector(
    spec: DetectorSpec | ProposalSpec,
    checkpoint: Path | None,
    device: str = "auto",
    threads: int | None = None,
) -> Detector:
    """Open a detector.

    Args:
        spec: the content of its file.
        checkpoint: the weights of a network; None for proposals.
        device: auto, cpu, cuda or cuda:N, of a network; proposals run on the CPU.
        threads: of a network on a CPU, in the whole process; None leaves PyTorch's setting.

    Raises:
        ConfigError: a network has no checkpoint, or its config is unknown; or proposals have one.
        DataError: the checkpoint is missing or damaged, or belongs to another network.
        DeviceError: this machine has no such device.
        ExtraError: the detector needs a package that is not installed.
    """
    if isinstance(spec, ProposalSpec):
        if checkpoint is not None:
            raise ConfigError(
                f"detector {spec.name} has no network, and {checkpoint} was given as its weights; leave it out"
            )
        with explain_missing_extra("proposals"):
            from galr.regions.proposals import ProposalDetector
        return ProposalDetector(spec)
    if checkpoint is None:
        raise ConfigError(f"detector {spec.name} is a network; give its weights with --checkpoint")
    with explain_missing_extra():
        from galr.regions.detect import NetworkDetector
    return NetworkDetector(spec, checkpoint, device, threads)


def find_regions(
    detector: Detector, images: Sequence[Image.Image | np.ndarray]
) -> list[ImageDetections]:
    """Find the regions of images that are in memory.

    Args:
        detector: as `open_detector` returns it.
        images: RGB images of any sizes; PIL images, or (height, width, 3) uint8.
    """
    return list(detector.detect(partial(_as_image, image) for image in images))


def load_checked(path: Path, size: Sequence[int], pixels: PixelOptions = AS_STORED) -> Image.Image:
    """Decode an image as RGB and check its size.

    Args:
        path: the file of the image.
        size: width and height in pixels, as stored in the dataset.
        pixels: the dataset's bands and range.

    Raises:
        DataError: as for `load_rgb`, or the image no longer has this size.
    """
    image = load_rgb(path, pixels)
    if image.size != tuple(size):
        raise DataError(
            f"{path} is {image.size[0]} x {image.size[1]} pixels, and was {size[0]} x {size[1]}"
            " when the dataset was made; delete dataset.h5 and run snakemake again"
        )
    return image


def run_ahead(
    workers: Executor, calls: Iterable[Callable[[], Result]], limit: int
) -> Iterator[Result]:
    """Run calls in workers and yield their results in order; at most `limit` are begun ahead."""
    pending = deque[Future[Result]]()
    for call in calls:
        pending.append(workers.submit(call))
        if len(pending) > limit:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def concatenate_ragged(detections: Sequence[ImageDetections]) -> tuple[dict[str, Any], int]:
    """Concatenate the regions of many images into the tables of `regions.h5`.

    Returns:
        The tables by name, with the rows of one image after another: offsets (images + 1,) int64, boxes
        (regions, 4) float32, scores (regions,) float32, classes (regions,) int32; and the number of boxes
        dropped for having no area.
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


def _as_image(image: Image.Image | np.ndarray) -> Image.Image:
    """Load an image that is in memory already."""
    return Image.fromarray(image) if isinstance(image, np.ndarray) else image
