"""Images in memory and streamed against plain indexing; iterations that are left early; damaged images."""

import threading

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galr.errors import ShapeError, StoreError
from galr.train import image_store
from galr.train.image_store import InMemoryImages, StreamedImages, open_image_store

CPU = torch.device("cpu")
COUNT, SIZE = 12, 6
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
IMAGE_BYTES = SIZE * SIZE * 3


@pytest.fixture
def path(tmp_path):
    """A file with one chunk an image, as dataset.h5."""
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file.create_dataset("images", data=IMAGES, chunks=(1, SIZE, SIZE, 3))
    return tmp_path / "images.h5"


@pytest.fixture
def images(path):
    with h5py.File(path) as file:
        yield file["images"]


def reader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("images")]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=5), max_size=8))
def test_both_kinds_give_what_plain_indexing_gives(images, batch_rows):
    """In any order, with repeats in a batch and between batches, and more batches than are read ahead."""
    every = sorted({row for rows in batch_rows for row in rows})
    for store in (InMemoryImages(images, every, CPU), StreamedImages(images, CPU)):
        batches = list(store.batches(iter(batch_rows)))
        assert len(batches) == len(batch_rows)
        for batch, rows in zip(batches, batch_rows, strict=True):
            assert batch.shape == (len(rows), 3, SIZE, SIZE) and batch.dtype == torch.uint8
            assert batch.is_contiguous(memory_format=torch.channels_last)
            assert np.array_equal(batch.permute(0, 2, 3, 1).numpy(), IMAGES[rows])


@pytest.mark.parametrize("block", [1, 3 * IMAGE_BYTES, 100 * IMAGE_BYTES])
def test_images_in_memory_do_not_depend_on_the_block_size(images, monkeypatch, block):
    monkeypatch.setattr(image_store, "BLOCK_BYTES", block)
    rows = [9, 1, 2, 3, 9, 11, 5]
    store = InMemoryImages(images, rows, CPU)
    (batch,) = store.batches([rows])
    assert np.array_equal(batch.permute(0, 2, 3, 1).numpy(), IMAGES[rows])


def test_an_image_that_is_not_in_memory_is_an_error(images):
    with pytest.raises(ShapeError, match="image 4 is not among the 3 in memory"):
        next(InMemoryImages(images, [1, 2, 3], CPU).batches([[1, 4]]))


def test_an_iteration_that_is_left_early_ends_its_thread(images):
    requested = []

    def rows():
        for row in range(COUNT):
            requested.append(row)
            yield [row]

    for _ in StreamedImages(images, CPU).batches(rows()):
        assert reader_threads()
        break
    assert not reader_threads() and len(requested) < COUNT
    with pytest.raises(RuntimeError, match="raised by the caller"):
        for _ in StreamedImages(images, CPU).batches(rows()):
            raise RuntimeError("raised by the caller")
    assert not reader_threads()
    assert len(list(StreamedImages(images, CPU).batches([[0], [1]]))) == 2
    assert not reader_threads()


def test_pending_reads_are_cancelled_when_an_iteration_is_left(images, monkeypatch):
    begun, reading, leave = [], threading.Event(), threading.Event()

    def slow_read(images, rows, *, pinned):
        begun.append(rows[0])
        if rows[0] == 1:
            reading.set()
            leave.wait(5)
        return plain_read(images, rows, pinned=pinned)

    plain_read = image_store.read_images
    monkeypatch.setattr(image_store, "read_images", slow_read)
    for _ in StreamedImages(images, CPU).batches([row] for row in range(COUNT)):
        assert reading.wait(5)
        threading.Timer(0.1, leave.set).start()  # while the iteration is being left
        break
    assert begun == [0, 1]


@pytest.mark.parametrize("prefetch", [1, 3])
def test_the_next_batches_are_read_during_the_work_on_one(images, monkeypatch, prefetch):
    begun = [threading.Event() for _ in range(COUNT)]

    def watched_read(images, rows, *, pinned):
        begun[rows[0]].set()
        return plain_read(images, rows, pinned=pinned)

    plain_read = image_store.read_images
    monkeypatch.setattr(image_store, "PREFETCH", prefetch)
    monkeypatch.setattr(image_store, "read_images", watched_read)
    batches = StreamedImages(images, CPU).batches([row] for row in range(COUNT))
    for number, _ in enumerate(batches):
        for row in range(number, min(number + prefetch, COUNT - 1) + 1):
            assert begun[row].wait(5)  # read before it is requested
        assert not any(event.is_set() for event in begun[number + prefetch + 1 :])


def test_a_damaged_image_is_one_clear_error(tmp_path):
    path = tmp_path / "damaged.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=IMAGES, chunks=(1, SIZE, SIZE, 3), fletcher32=True)
    with h5py.File(path) as file:
        offset = file["images"].id.get_chunk_info(2).byte_offset
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(8))  # the chunk no longer matches its checksum
    message = r"damaged.h5 has images that cannot be read, from row 2 to 2 .*write it again with galr data"
    with h5py.File(path) as file:
        with pytest.raises(StoreError, match=message):
            for _ in StreamedImages(file["images"], CPU).batches([[0], [2], [4]]):
                pass
        assert not reader_threads()
        with pytest.raises(StoreError, match=message):
            InMemoryImages(file["images"], [0, 2, 4], CPU)


def test_images_are_kept_in_memory_up_to_the_limit(images):
    rows = [3, 3, 5, 8]  # three images
    limit = 3 * IMAGE_BYTES
    assert isinstance(open_image_store(images, rows, CPU, max_bytes=limit), InMemoryImages)
    assert isinstance(open_image_store(images, rows, CPU, max_bytes=limit - 1), StreamedImages)


@pytest.mark.parametrize(
    ("free", "kind"), [(6 * IMAGE_BYTES, InMemoryImages), (6 * IMAGE_BYTES - 2, StreamedImages)]
)
def test_a_gpu_keeps_at_most_half_of_its_free_memory(images, monkeypatch, free, kind):
    opened = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    monkeypatch.setattr(InMemoryImages, "__init__", lambda self, *args: opened.append(self))
    monkeypatch.setattr(StreamedImages, "__init__", lambda self, *args: opened.append(self))
    open_image_store(images, [3, 5, 8], torch.device("cuda"), max_bytes=10**9)
    assert [type(store) for store in opened] == [kind]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_on_a_gpu_both_kinds_give_the_same_bits_without_waiting(images):
    device = torch.device("cuda")
    batch_rows = [[0, 5, 5], [7], [2, 1]]
    stores = (InMemoryImages(images, range(COUNT), device), StreamedImages(images, device))
    torch.cuda.set_sync_debug_mode("error")
    try:
        results = [list(store.batches(batch_rows)) for store in stores]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for batches in results:
        for batch, rows in zip(batches, batch_rows, strict=True):
            assert np.array_equal(batch.permute(0, 2, 3, 1).cpu().numpy(), IMAGES[rows])
