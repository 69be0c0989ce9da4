"""Embedding tables against encoding one by one; batches of graphs against plain indexing."""

import h5py
import numpy as np
import pytest
import torch

from galr.train.embed import embed_images, embed_images_in_memory, embed_sentences
from galr.train.graph_store import GraphStore, empty_graphs
from galr.train.image_store import InMemoryImages, StreamedImages

CPU = torch.device("cpu")
TOKEN_IDS = [[1, 2, 3], [4], [5, 3, 2, 1, 6, 7], [1, 2, 3], [8, 9], [4], [1, 2, 9]]


@pytest.fixture
def model(toy):
    return toy.build_model(vocab_size=10, dropout=0.5).eval()


@pytest.fixture
def images(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (12, 36, 36, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "noise.h5", "w") as file:
        yield file.create_dataset("images", data=noise, chunks=(1, 36, 36, 3))


@pytest.fixture
def graphs():
    random = torch.Generator().manual_seed(0)
    mask = torch.rand(12, 3, generator=random) < 0.6
    return GraphStore(
        torch.rand(12, 3, 4, generator=random), torch.rand(12, 3, 3, generator=random), mask, None
    )


@pytest.mark.parametrize("kind", ["in memory", "streamed"])
def test_images_are_embedded_as_if_alone_in_the_order_of_rows(model, images, graphs, kind):
    rows = [7, 1, 4, 10, 2]
    store = (
        StreamedImages(images, CPU)
        if kind == "streamed"
        else InMemoryImages(images, range(12), CPU)
    )
    alone = [embed_images(model, store, graphs, [r], input_size=32, batch_size=1) for r in rows]
    together = embed_images(model, store, graphs, rows, input_size=32, batch_size=3)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-2  # the images do differ


def test_images_in_memory_are_embedded_as_stored_ones(model, images, graphs):
    rows = [3, 8, 3]
    stored = embed_images(
        model, StreamedImages(images, CPU), graphs, rows, input_size=32, batch_size=3
    )
    pixels = [images[row] for row in rows]
    in_memory = embed_images_in_memory(
        model, pixels, graphs.batch(rows), edges=None, input_size=32, device=CPU
    )
    assert np.array_equal(in_memory, stored)


def test_sentences_are_embedded_as_if_alone_in_the_order_given(model):
    alone = [embed_sentences(model, [sentence], batch_size=1, device=CPU) for sentence in TOKEN_IDS]
    together = embed_sentences(model, TOKEN_IDS, batch_size=2, device=CPU)
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_equal_sentences_tie_to_the_last_bit(model, batch_size):
    random = np.random.default_rng(0)
    distinct = [random.integers(1, 10, random.integers(2, 9)).tolist() for _ in range(20)]
    index = random.integers(20, size=60)
    table = embed_sentences(model, [distinct[i] for i in index], batch_size=batch_size, device=CPU)
    for sentence in range(20):
        assert len(np.unique(table[index == sentence], axis=0)) == 1


def test_graphs_of_a_batch_are_those_of_its_rows(graphs):
    moved = graphs.to(torch.device("meta"))
    assert {t.device.type for t in moved.batch([3, 3])} == {"meta"} and moved.shape == graphs.shape
    for rows in ([5, 0, 5], np.array([5, 0, 5]), torch.tensor([5, 0, 5])):
        batch = graphs.batch(rows)
        assert torch.equal(batch.representation, graphs.representation[[5, 0, 5]])
        assert torch.equal(batch.adjacency, graphs.adjacency[[5, 0, 5]])
        assert torch.equal(batch.mask, graphs.mask[[5, 0, 5]])


def test_a_model_without_a_local_branch_gets_empty_graphs():
    store = GraphStore.open(None, ["a", "b", "c"])
    assert store.shape == (0, 0) and store.edges is None
    for table, empty in zip(store.batch([2, 0]), empty_graphs(2), strict=True):
        assert table.shape == empty.shape and table.dtype == empty.dtype
