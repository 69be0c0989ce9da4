"""Held and streamed pictures against plain indexing; what is left early or cannot be read."""

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
COUNT, SIDE = 12, 6
HELD = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
SIZE = SIDE * SIDE * 3  # bytes of a picture


@pytest.fixture
def path(tmp_path):
    """A file as dataset.h5 is: one chunk an image."""
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file.create_dataset("images", data=HELD, chunks=(1, SIDE, SIDE, 3))
    return tmp_path / "images.h5"


@pytest.fixture
def images(path):
    with h5py.File(path) as file:
        yield file["images"]


def readers():
    return [each for each in threading.enumerate() if each.name.startswith("pictures")]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=5), max_size=8))
def test_both_kinds_give_what_plain_indexing_gives(images, asked):
    """Any order, repeats within a batch and between batches, more batches than are read ahead."""
    every = sorted({row for rows in asked for row in rows})
    for kind in (InMemoryImages(images, every, CPU), StreamedImages(images, CPU)):
        batches = list(kind.batches(iter(asked)))
        assert len(batches) == len(asked)
        for batch, rows in zip(batches, asked, strict=True):
            assert batch.shape == (len(rows), 3, SIDE, SIDE) and batch.dtype == torch.uint8
            assert batch.is_contiguous(memory_format=torch.channels_last)
            assert np.array_equal(batch.permute(0, 2, 3, 1).numpy(), HELD[rows])


@pytest.mark.parametrize("block", [1, 3 * SIZE, 100 * SIZE])
def test_pictures_are_held_whatever_the_block_they_are_read_by(images, monkeypatch, block):
    monkeypatch.setattr(image_store, "BLOCK", block)
    rows = [9, 1, 2, 3, 9, 11, 5]
    kind = InMemoryImages(images, rows, CPU)
    (batch,) = kind.batches([rows])
    assert np.array_equal(batch.permute(0, 2, 3, 1).numpy(), HELD[rows])


def test_what_is_not_held_is_refused(images):
    with pytest.raises(ShapeError, match="picture 4 is not among the 3 held"):
        next(InMemoryImages(images, [1, 2, 3], CPU).batches([[1, 4]]))


def test_a_walk_that_is_left_early_leaves_no_thread_and_reads_no_further(images):
    asked = []

    def rows():
        for row in range(COUNT):
            asked.append(row)
            yield [row]

    for _ in StreamedImages(images, CPU).batches(rows()):
        assert readers()
        break
    assert not readers() and len(asked) < COUNT
    with pytest.raises(RuntimeError, match="the consumer's own"):
        for _ in StreamedImages(images, CPU).batches(rows()):
            raise RuntimeError("the consumer's own")
    assert not readers()
    assert len(list(StreamedImages(images, CPU).batches([[0], [1]]))) == 2
    assert not readers()


def test_what_was_to_be_read_ahead_is_not_once_nobody_asks(images, monkeypatch):
    began, busy, left = [], threading.Event(), threading.Event()

    def slow(images, rows, *, pinned):
        began.append(rows[0])
        if rows[0] == 1:
            busy.set()
            left.wait(5)
        return plain(images, rows, pinned=pinned)

    plain = image_store.read_images
    monkeypatch.setattr(image_store, "read", slow)
    for _ in StreamedImages(images, CPU).batches([row] for row in range(COUNT)):
        assert busy.wait(5)
        threading.Timer(0.1, left.set).start()  # while the walk is being left
        break
    assert began == [0, 1]


@pytest.mark.parametrize("ahead", [1, 3])
def test_batches_are_read_while_the_one_before_is_worked_on(images, monkeypatch, ahead):
    began = [threading.Event() for _ in range(COUNT)]

    def watched(images, rows, *, pinned):
        began[rows[0]].set()
        return plain(images, rows, pinned=pinned)

    plain = image_store.read_images
    monkeypatch.setattr(image_store, "AHEAD", ahead)
    monkeypatch.setattr(image_store, "read", watched)
    for place, _ in enumerate(StreamedImages(images, CPU).batches([row] for row in range(COUNT))):
        for row in range(place, min(place + ahead, COUNT - 1) + 1):
            assert began[row].wait(5)  # the reader gets there though nobody asks for more
        assert not any(event.is_set() for event in began[place + ahead + 1 :])


def test_a_picture_that_cannot_be_read_surfaces_in_our_words(tmp_path):
    path = tmp_path / "damaged.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=HELD, chunks=(1, SIDE, SIDE, 3), fletcher32=True)
    with h5py.File(path) as file:
        place = file["images"].id.get_chunk_info(2).byte_offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes(8))  # the chunk's checksum no longer fits
    says = r"damaged.h5 has pictures that cannot be read, from row 2 to 2 .*run snakemake again"
    with h5py.File(path) as file:
        with pytest.raises(StoreError, match=says):
            for _ in StreamedImages(file["images"], CPU).batches([[0], [2], [4]]):
                pass
        assert not readers()
        with pytest.raises(StoreError, match=says):
            InMemoryImages(file["images"], [0, 2, 4], CPU)


def test_pictures_are_held_where_the_limit_lets_them(images):
    rows = [3, 3, 5, 8]  # three of them
    assert isinstance(open_image_store(images, rows, CPU, max_bytes=3 * SIZE), InMemoryImages)
    assert isinstance(open_image_store(images, rows, CPU, max_bytes=3 * SIZE - 1), StreamedImages)


@pytest.mark.parametrize(
    ("free", "kind"), [(6 * SIZE, InMemoryImages), (6 * SIZE - 2, StreamedImages)]
)
def test_a_gpu_holds_at_most_half_of_what_is_free(images, monkeypatch, free, kind):
    opened = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    monkeypatch.setattr(InMemoryImages, "__init__", lambda self, *args: opened.append(self))
    monkeypatch.setattr(StreamedImages, "__init__", lambda self, *args: opened.append(self))
    open_image_store(images, [3, 5, 8], torch.device("cuda"), max_bytes=10**9)
    assert [type(each) for each in opened] == [kind]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_on_a_gpu_both_kinds_give_the_same_bits_and_nobody_waits(images):
    device = torch.device("cuda")
    asked = [[0, 5, 5], [7], [2, 1]]
    kinds = (InMemoryImages(images, range(COUNT), device), StreamedImages(images, device))
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [list(kind.batches(asked)) for kind in kinds]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for batches in found:
        for batch, rows in zip(batches, asked, strict=True):
            assert np.array_equal(batch.permute(0, 2, 3, 1).cpu().numpy(), HELD[rows])
