"""What users give to an encoder, checked and converted: images of any form, graphs, regions, embeddings."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image

from galr.errors import ConfigError, DataError, ShapeError, printable
from galr.io.image_kinds import DECODE_ERRORS
from galr.io.images import open_image, read_whole, to_rgb
from galr.io.pixel_options import PixelOptions
from galr.model.galr import GraphBatch
from galr.regions.detector import ImageDetections

ImageInput = (
    str | os.PathLike[str] | Image.Image | np.ndarray
)  # path, PIL image, or (height, width, 3) uint8 RGB
RegionInput = tuple[
    ArrayLike, ArrayLike, ArrayLike
]  # boxes, scores and classes of an image's regions
UNIT_TOLERANCE = 1e-4  # how far from 1 the length of an embedding is after rounding, at most


def as_images(
    images: ImageInput | Iterable[ImageInput],
) -> tuple[Iterable[ImageInput], bool]:
    """Take one image for a list of one, and look for the files of a list, so that a missing one is found at once.

    Returns:
        The images, and whether it was one.

    Raises:
        ConfigError: they are no images.
        DataError: a file does not exist.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        return [images], True
    if isinstance(images, np.ndarray) and images.ndim in (0, 2, 3):
        return [images], True
    given: object = images
    if not isinstance(given, Iterable) or isinstance(given, bytes | bytearray):
        raise ConfigError(
            f"encode_images takes an image or a list of images, got {printable(repr(images))}"
        )
    if isinstance(images, Sequence):
        for position, image in enumerate(images):
            if isinstance(image, str | os.PathLike) and not Path(image).exists():
                raise DataError(f"images[{position}]: {image} does not exist")
    return images, False


class OpenedImages:
    """A batch of images, each decoded once, when it is first needed; only the resized pixels are kept."""

    def __init__(
        self, start: int, images: Sequence[ImageInput], pixels: PixelOptions, size: int
    ) -> None:
        """Open nothing yet.

        Args:
            start: position of the first image among those given.
            images: as given.
            pixels: their bands and range.
            size: side of the dataset's stored images in pixels.
        """
        self._start = start
        self._images = images
        self._pixels = pixels
        self._size = size
        self._opened: dict[int, tuple[np.ndarray, tuple[int, int]]] = {}

    def loaders(self) -> list[Callable[[], Image.Image]]:
        """For each image what decodes it at its full size as RGB, and keeps its resized pixels."""
        return [partial(self._load, row) for row in range(len(self._images))]

    def resized(self) -> list[np.ndarray]:
        """The pixels of each image, (size, size, 3) uint8, resized as `galr data` does."""
        return [pixels for pixels, _ in self._open_all()]

    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each image in pixels."""
        return [size for _, size in self._open_all()]

    def _open_all(self) -> list[tuple[np.ndarray, tuple[int, int]]]:
        """Decode the images that were not needed before."""
        for row in range(len(self._images)):
            if row not in self._opened:
                self._load(row)
        return [self._opened[row] for row in range(len(self._images))]

    def _load(self, row: int) -> Image.Image:
        """Decode an image.

        Raises:
            DataError: it is no image, or cannot be decoded; the message begins with its position.
        """
        try:
            image = _decode(self._images[row], self._pixels)
        except DataError as error:
            raise DataError(f"images[{self._start + row}]: {error}") from error
        square = image.resize((self._size, self._size), Image.Resampling.BILINEAR)
        self._opened[row] = np.asarray(square), image.size
        return image


def _decode(image: object, pixels: PixelOptions) -> Image.Image:
    """Decode an image at its full size as 8-bit RGB.

    Args:
        image: a path, a PIL image, or a (height, width, 3) uint8 RGB array.
        pixels: its bands and range.

    Raises:
        DataError: it is no image, or cannot be decoded.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        with open_image(path, pixels) as opened:
            return read_whole(opened, path)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise DataError(
                f"an image is an array of {image.dtype} {image.shape}, expected uint8 (height, width, 3),"
                " RGB"
            )
        return Image.fromarray(np.ascontiguousarray(image))
    if not isinstance(image, Image.Image):
        raise DataError(
            f"an image is of type {type(image).__name__}; give a path, a PIL image or a uint8 array"
        )
    name = getattr(image, "filename", "") or "the PIL image"
    if 0 in image.size:
        raise DataError(f"{name} is {image.width} x {image.height} pixels, so it shows nothing")
    try:
        return to_rgb(image, pixels)
    except DECODE_ERRORS as error:  # it is read from its file only now
        raise DataError(f"{name} cannot be decoded ({error})") from error


def as_embeddings(given: object, kind: str, width: int) -> np.ndarray | None:
    """Take floating-point numbers for embeddings, and divide those that are not of unit length by it.

    Args:
        given: embeddings, or what is to be encoded.
        kind: `images` or `sentences`, for messages.
        width: of an embedding.

    Returns:
        (rows, width) float32; None if nothing was encoded yet.

    Raises:
        ShapeError: they have another width, or are not finite, or are zero.
    """
    if isinstance(given, torch.Tensor):
        given = given.detach().float().cpu().numpy()
    is_table = isinstance(given, np.ndarray) and np.issubdtype(given.dtype, np.floating)
    if not isinstance(given, np.ndarray) or not is_table or given.ndim > 2:
        return None
    table = np.atleast_2d(np.asarray(given, np.float32))
    if table.shape[1] != width:
        raise ShapeError(
            f"embeddings of {kind} are {given.shape}, expected ({kind}, {width}), as the encoder makes them"
        )
    lengths = np.linalg.norm(table.astype(np.float64), axis=1)
    wrong = ~(np.isfinite(lengths) & (lengths > 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise ShapeError(
            f"{kind}[{row}] has the length {lengths[row]:g}, so it has no direction; give embeddings that the"
            " encoder made"
        )
    if (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():
        return table
    return (table / lengths[:, None]).astype(np.float32)


def as_graphs(graphs: Mapping[str, ArrayLike], count: int, n: int, d: int, one: bool) -> GraphBatch:
    """Read given graphs of a number of images.

    Args:
        graphs: the tables by name.
        count: number of images.
        n: regions of each, padding included.
        d: features of each.
        one: whether one image was given without a list, so that the tables may lack their first axis.

    Raises:
        ShapeError: a table is missing, or its shape does not match the images or the model.
    """
    shapes = {"representation": (count, n, d), "adjacency": (count, n, n), "mask": (count, n)}
    tables = []
    for name, shape in shapes.items():
        if name not in graphs:
            raise ShapeError(f"graphs lack {name}; expected {', '.join(shapes)}")
        table = np.asarray(graphs[name], bool if name == "mask" else np.float32)
        if one and table.shape == shape[1:]:
            table = table[None]
        if table.shape != shape:
            raise ShapeError(
                f"{name} of the graphs is {table.shape}, expected {shape}: {count} images,"
                f" {n} regions each, {d} features a region"
            )
        tables.append(torch.from_numpy(table))
    return GraphBatch(*tables)


def as_regions(
    regions: Sequence[RegionInput] | RegionInput, count: int, one: bool
) -> list[ImageDetections]:
    """Convert the given regions of a number of images.

    Args:
        regions: boxes, scores and classes of each image; or of the one.
        count: number of images.
        one: whether one image was given without a list.

    Raises:
        ShapeError: they are of other images, or contradict themselves.
    """
    of_images: Sequence[Any] = [regions] if one and len(regions) == 3 else regions
    if len(of_images) != count:
        raise ShapeError(
            f"regions of {len(of_images)} images were given with {count} images;"
            " give those of each image, empty for an image without regions"
        )
    converted = []
    for position, each in enumerate(of_images):
        try:
            if len(each) != 3:
                raise ShapeError(f"{len(each)} values, expected boxes, scores and classes")
            converted.append(ImageDetections(*_region_arrays(*each), dropped=0))
        except ShapeError as error:
            raise ShapeError(f"regions[{position}]: {error}") from None
    return converted


def _region_arrays(
    boxes: ArrayLike, scores: ArrayLike, classes: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert the regions of an image to arrays; all empty for an image without regions.

    Args:
        boxes: (regions, 4), x1 y1 x2 y2 in pixels.
        scores: (regions,) in [0, 1].
        classes: (regions,) int.

    Raises:
        ShapeError: their lengths differ, or a box is not four numbers.
    """
    score_array, class_array = np.asarray(scores, np.float32), np.asarray(classes, np.int32)
    box_array = np.asarray(boxes, np.float32)
    if box_array.size == 0:
        box_array = box_array.reshape(0, 4)
    count = len(box_array)
    shapes = (box_array.shape, score_array.shape, class_array.shape)
    if shapes != ((count, 4), (count,), (count,)):
        raise ShapeError(
            f"regions of an image are boxes {shapes[0]}, scores {shapes[1]} and classes {shapes[2]};"
            " expected (regions, 4), (regions,) and (regions,)"
        )
    return box_array, score_array, class_array
