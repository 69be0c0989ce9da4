"""Batches of a dataset's stored images: kept on the device if they fit, else read ahead by a thread."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import h5py
import numpy as np
import torch
from torch import Tensor

from galr.errors import ShapeError, StoreError
from galr.progress import ProgressBar

Rows = Sequence[int] | np.ndarray  # (B,) int, rows of a dataset

PREFETCH = 2  # batches read in advance; one would do if every read took equally long
BLOCK_BYTES = 64 * 2**20  # passing through host memory at a time on the way to the device


class ImageStore(Protocol):
    """The stored images of a dataset, retrieved by their rows.

    Attributes:
        image_size: side of the stored images in pixels.
        device: where batches are.
    """

    image_size: int
    device: torch.device

    def batches(self, rows: Iterable[Rows]) -> Iterator[Tensor]:
        """Yield a batch for each list of dataset rows, in that order; rows may repeat.

        `rows` may be iterated some lists ahead of the batch that is yielded.

        Yields:
            (B, 3, image_size, image_size) uint8 on the device, channels last in memory, which makes
            convolutions fast.

        Raises:
            StoreError: an image cannot be read.
        """


class InMemoryImages:
    """Images read once and kept in the device's memory, for those that are used again and again.

    Args:
        images: (images, size, size, 3) uint8.
        rows: rows to keep, in any order, repeats allowed; they are read in ascending order, as on disk.
        device: where to keep them.

    Attributes:
        image_size: side of the stored images in pixels.
        device: where they are.

    Raises:
        StoreError: an image cannot be read.
    """

    def __init__(self, images: h5py.Dataset, rows: Rows, device: torch.device) -> None:
        self.image_size, self.device = images.shape[1], device
        kept = np.unique(np.asarray(rows, np.int64))
        self._index = np.full(len(images), -1, np.int64)  # dataset row → index into _images
        self._index[kept] = np.arange(len(kept))
        self._images = torch.empty((len(kept), *images.shape[1:]), dtype=torch.uint8, device=device)
        block = max(BLOCK_BYTES // _image_bytes(images), 1)
        for start in ProgressBar(
            range(0, len(kept), block), "reading images", unit="block", disable=None
        ):
            batch = read_images(images, kept[start : start + block], pinned=device.type == "cuda")
            self._images[start : start + block].copy_(batch, non_blocking=True)

    def batches(self, rows: Iterable[Rows]) -> Iterator[Tensor]:
        """Yield a batch for each list of dataset rows, as `ImageStore.batches`.

        Yields:
            (B, 3, image_size, image_size) uint8 on the device, channels last in memory.

        Raises:
            ShapeError: a row is not among those kept.
        """
        for batch_rows in rows:
            index = self._index[np.asarray(batch_rows, np.int64)]
            if (index < 0).any():
                raise ShapeError(
                    f"image {batch_rows[int(index.argmin())]} is not among the {len(self._images)} in"
                    " memory; open the image store with all rows that will be used"
                )
            on_device = torch.from_numpy(index).to(self.device, non_blocking=True)
            yield self._images.index_select(0, on_device).permute(0, 3, 1, 2)


class StreamedImages:
    """Images read from the file by a thread that is a few batches ahead.

    During an iteration over `batches` its thread alone uses the file. The thread ends with the iteration,
    also if that is left early.

    Args:
        images: (images, size, size, 3) uint8.
        device: where batches go.

    Attributes:
        image_size: side of the stored images in pixels.
        device: where batches go.
    """

    def __init__(self, images: h5py.Dataset, device: torch.device) -> None:
        self.image_size, self.device = images.shape[1], device
        self._images = images

    def batches(self, rows: Iterable[Rows]) -> Iterator[Tensor]:
        """Yield a batch for each list of dataset rows, as `ImageStore.batches`.

        Yields:
            (B, 3, image_size, image_size) uint8 on the device, channels last in memory.

        Raises:
            StoreError: an image cannot be read.
        """
        pinned = self.device.type == "cuda"
        pending: deque[Future[Tensor]] = deque()
        with ThreadPoolExecutor(1, "images") as reader:
            try:
                for batch_rows in rows:
                    pending.append(
                        reader.submit(read_images, self._images, batch_rows, pinned=pinned)
                    )
                    if len(pending) > PREFETCH:
                        yield self._to_device(pending.popleft())
                while pending:
                    yield self._to_device(pending.popleft())
            finally:
                reader.shutdown(cancel_futures=True)  # the iteration may have been left early

    def _to_device(self, batch: Future[Tensor]) -> Tensor:
        """Wait for a batch and copy it to the device."""
        return batch.result().to(self.device, non_blocking=True).permute(0, 3, 1, 2)


def open_image_store(
    images: h5py.Dataset, rows: Rows, device: torch.device, *, max_bytes: int
) -> ImageStore:
    """Keep images on the device if they fit, else read them ahead; both give the same bits.

    Args:
        images: (images, size, size, 3) uint8.
        rows: all rows that will be used.
        device: where batches go.
        max_bytes: largest memory for images; on a GPU also at most half of what is free there.

    Raises:
        StoreError: an image cannot be read.
    """
    available = max_bytes
    if device.type == "cuda":
        available = min(available, torch.cuda.mem_get_info(device)[0] // 2)
    if len(np.unique(rows)) * _image_bytes(images) <= available:
        return InMemoryImages(images, rows, device)
    return StreamedImages(images, device)


def read_images(images: h5py.Dataset, rows: Rows, *, pinned: bool) -> Tensor:
    """Read images in the order of their rows, consecutive rows by one call.

    Args:
        images: (images, size, size, 3) uint8.
        rows: (B,) rows, repeats allowed.
        pinned: whether to read into page-locked memory, which a GPU copies from asynchronously.

    Returns:
        (B, size, size, 3) uint8 on the CPU.

    Raises:
        StoreError: an image cannot be read.
    """
    shape = (len(rows), *images.shape[1:])
    batch = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
    index = np.asarray(rows, np.int64)
    starts = np.flatnonzero(np.diff(index, prepend=-2) != 1)  # where consecutive rows begin
    for start, stop in zip(starts, [*starts[1:], len(index)], strict=True):
        first, count = index[start], stop - start
        try:
            images.read_direct(batch.numpy(), np.s_[first : first + count], np.s_[start:stop])
        except OSError as error:
            raise StoreError(
                f"{images.file.filename} has images that cannot be read, from row {first} to"
                f" {first + count - 1} ({error}); try again, or write it again with galr data"
            ) from error
    return batch


def _image_bytes(images: h5py.Dataset) -> int:
    """Size of one image in bytes."""
    return int(np.prod(images.shape[1:]))
