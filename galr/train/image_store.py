"""Stored pictures by the batch: held on the device where they fit, else read ahead by a thread."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import h5py
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from galr.errors import ShapeError, StoreError

Rows = Sequence[int] | np.ndarray  # of a dataset: (B,) int

PREFETCH = 2  # batches read before they are asked for; one would do if all reads took equally long
BLOCK_BYTES = 64 * 2**20  # bytes that pass through host memory at a time on their way to the device


class ImageStore(Protocol):
    """Pictures of a dataset, asked for by their rows in it.

    side: of a picture, pixels.
    device: where batches lie.
    """

    image_size: int
    device: torch.device

    def batches(self, rows: Iterable[Rows]) -> Iterator[Tensor]:
        """Give a batch for each list of dataset rows, in the order asked, repeats allowed.

        `rows` may be read some lists ahead of the batch that is given.

        Yields:
            (B, 3, side, side) uint8 on the device, channels last in memory, as convolutions like it.

        Raises:
            StoreError: a picture cannot be read.
        """


class InMemoryImages:
    """Pictures read once and kept on the device: for those that are looked at again and again.

    side: of a picture, pixels.
    device: where they lie.
    """

    def __init__(self, images: h5py.Dataset, rows: Rows, device: torch.device) -> None:
        """Read pictures in ascending order, as they lie on the disk.

        Args:
            images: (images, side, side, 3) uint8.
            rows: those to hold, in any order, repeats allowed.
            device: where to hold them.

        Raises:
            StoreError: a picture cannot be read.
        """
        self.image_size, self.device = images.shape[1], device
        wanted = np.unique(np.asarray(rows, np.int64))
        self._place = np.full(len(images), -1, np.int64)  # of a dataset's row in what is held
        self._place[wanted] = np.arange(len(wanted))
        self._held = torch.empty((len(wanted), *images.shape[1:]), dtype=torch.uint8, device=device)
        block = max(BLOCK_BYTES // _image_bytes(images), 1)
        for start in tqdm(
            range(0, len(wanted), block), "reading pictures", unit="block", disable=None
        ):
            some = read_images(images, wanted[start : start + block], pinned=device.type == "cuda")
            self._held[start : start + block].copy_(some, non_blocking=True)

    def batches(self, rows: Iterable[Rows]) -> Iterator[Tensor]:
        """Gather a batch for each list of dataset rows; see `Pictures`.

        Raises:
            ShapeError: a row is not among those held.
        """
        for some in rows:
            places = self._place[np.asarray(some, np.int64)]
            if (places < 0).any():
                raise ShapeError(
                    f"picture {some[int(places.argmin())]} is not among the {len(self._held)} held;"
                    " open the pictures with every row that is asked for"
                )
            index = torch.from_numpy(places).to(self.device, non_blocking=True)
            yield self._held.index_select(0, index).permute(0, 3, 1, 2)


class StreamedImages:
    """Pictures read when their turn comes, by a thread that is a few batches ahead.

    While a walk over `batches` is under way its thread is the only one that touches the file; the thread
    ends with the walk, also where the walk is left early.

    side: of a picture, pixels.
    device: where batches lie.
    """

    def __init__(self, images: h5py.Dataset, device: torch.device) -> None:
        """Say what to read from and where batches go.

        Args:
            images: (images, side, side, 3) uint8.
            device: where batches go.
        """
        self.image_size, self.device = images.shape[1], device
        self._images = images

    def batches(self, rows: Iterable[Rows]) -> Iterator[Tensor]:
        """Read a batch for each list of dataset rows; see `Pictures`."""
        pinned = self.device.type == "cuda"
        waiting: deque[Future[Tensor]] = deque()
        with ThreadPoolExecutor(1, "pictures") as reader:
            try:
                for some in rows:
                    waiting.append(reader.submit(read_images, self._images, some, pinned=pinned))
                    if len(waiting) > PREFETCH:
                        yield self._to_device(waiting.popleft())
                while waiting:
                    yield self._to_device(waiting.popleft())
            finally:
                reader.shutdown(cancel_futures=True)  # where the walk is left early

    def _to_device(self, batch: Future[Tensor]) -> Tensor:
        """Wait for a batch and send it to the device."""
        return batch.result().to(self.device, non_blocking=True).permute(0, 3, 1, 2)


def open_image_store(
    images: h5py.Dataset, rows: Rows, device: torch.device, *, max_bytes: int
) -> ImageStore:
    """Hold pictures on the device if they fit, else read them as they are asked for; both give the same bits.

    Args:
        images: (images, side, side, 3) uint8.
        rows: every row that will be asked for.
        device: where batches are to lie.
        limit: bytes that may be held; on a GPU never more than half of what is free there.

    Raises:
        StoreError: a picture cannot be read.
    """
    room = max_bytes
    if device.type == "cuda":
        room = min(room, torch.cuda.mem_get_info(device)[0] // 2)
    if len(np.unique(rows)) * _image_bytes(images) <= room:
        return InMemoryImages(images, rows, device)
    return StreamedImages(images, device)


def read_images(images: h5py.Dataset, rows: Rows, *, pinned: bool) -> Tensor:
    """Read pictures in the order asked for, neighbours by one call.

    Args:
        images: (images, side, side, 3) uint8.
        rows: (B,) rows, repeats allowed.
        pinned: into memory that a GPU can fetch from by itself.

    Returns:
        (B, side, side, 3) uint8 on the CPU.

    Raises:
        StoreError: a picture cannot be read.
    """
    shape = (len(rows), *images.shape[1:])
    batch = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
    asked = np.asarray(rows, np.int64)
    starts = np.flatnonzero(np.diff(asked, prepend=-2) != 1)  # where a run of neighbours begins
    for start, stop in zip(starts, [*starts[1:], len(asked)], strict=True):
        first, count = asked[start], stop - start
        try:
            images.read_direct(batch.numpy(), np.s_[first : first + count], np.s_[start:stop])
        except OSError as error:
            raise StoreError(
                f"{images.file.filename} has pictures that cannot be read, from row {first} to"
                f" {first + count - 1} ({error}); delete it and run snakemake again"
            ) from error
    return batch


def _image_bytes(images: h5py.Dataset) -> int:
    """Size of one picture."""
    return int(np.prod(images.shape[1:]))
