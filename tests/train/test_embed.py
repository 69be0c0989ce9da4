"""Embedding tables against encoding one by one; graphs that lie together against rows of theirs."""

import h5py
import numpy as np
import pytest
import torch

from galr.train.embed import GraphStore, embed_images, embed_sentences
from galr.train.image_store import InMemoryImages, StreamedImages

CPU = torch.device("cpu")
NUMBERS = [[1, 2, 3], [4], [5, 3, 2, 1, 6, 7], [1, 2, 3], [8, 9], [4], [1, 2, 9]]


@pytest.fixture
def model(world):
    return world.model(words=10, dropout=0.5).eval()


@pytest.fixture
def images(tmp_path):
    held = np.random.default_rng(0).integers(0, 255, (12, 36, 36, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "noise.h5", "w") as file:
        yield file.create_dataset("images", data=held, chunks=(1, 36, 36, 3))


@pytest.fixture
def graphs():
    random = torch.Generator().manual_seed(0)
    mask = torch.rand(12, 3, generator=random) < 0.6
    return GraphStore(
        torch.rand(12, 3, 4, generator=random), torch.rand(12, 3, 3, generator=random), mask, None
    )


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_images_are_embedded_as_if_alone_in_the_order_asked_for(model, images, graphs, kind):
    rows = [7, 1, 4, 10, 2]
    pictures = (
        StreamedImages(images, CPU)
        if kind == "streamed"
        else InMemoryImages(images, range(12), CPU)
    )
    alone = [embed_images(model, pictures, graphs, [r], input_size=32, batch_size=1) for r in rows]
    together = embed_images(model, pictures, graphs, rows, input_size=32, batch_size=3)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-2  # pictures do differ


def test_sentences_are_embedded_as_if_alone_in_the_order_given(model):
    alone = [embed_sentences(model, [each], batch_size=1, device=CPU) for each in NUMBERS]
    together = embed_sentences(model, NUMBERS, batch_size=2, device=CPU)
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_equal_sentences_tie_to_the_last_bit(model, batch):
    random = np.random.default_rng(0)
    base = [random.integers(1, 10, random.integers(2, 9)).tolist() for _ in range(20)]
    drawn = random.integers(20, size=60)
    table = embed_sentences(model, [base[i] for i in drawn], batch_size=batch, device=CPU)
    for which in range(20):
        assert len(np.unique(table[drawn == which], axis=0)) == 1


def test_graphs_of_a_batch_are_the_rows_asked_for(graphs):
    moved = graphs.to(torch.device("meta"))
    assert {t.device.type for t in moved.batch([3, 3])} == {"meta"} and moved.shape == graphs.shape
    for rows in ([5, 0, 5], np.array([5, 0, 5]), torch.tensor([5, 0, 5])):
        batch = graphs.batch(rows)
        assert torch.equal(batch.representation, graphs.representation[[5, 0, 5]])
        assert torch.equal(batch.adjacency, graphs.adjacency[[5, 0, 5]])
        assert torch.equal(batch.mask, graphs.mask[[5, 0, 5]])
