import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.errors import DeviceError, ShapeError
from galr.evaluate.tiled_products import EmbeddingPair, compute_similarity

CPU = torch.device("cpu")
SIZES = st.sampled_from([1, 3, 12, 64, 65, 127, 130, 200, 333])
WIDTHS = st.sampled_from([1, 2, 7, 16, 63, 100, 256, 511, 512, 600])
TILES = st.sampled_from([None, (64, 64), (64, 128), (128, 64)])


def drawn_tables(seed, images, sentences, width):
    random = np.random.default_rng(seed)
    image_table = random.normal(size=(images, width)).astype(np.float32)
    sentence_table = random.normal(size=(sentences, width)).astype(np.float32)
    return image_table / np.linalg.norm(image_table, axis=1, keepdims=True), sentence_table


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), SIZES, SIZES, WIDTHS, TILES)
def test_a_product_is_the_same_in_any_row_and_column(seed, images, sentences, width, tile):
    image_table, sentence_table = drawn_tables(seed, images, sentences, width)
    random = np.random.default_rng(seed)
    matrix = compute_similarity(image_table, sentence_table, CPU, tile)
    np.testing.assert_allclose(matrix, image_table @ sentence_table.T, rtol=1e-4, atol=1e-4)
    rows, columns = (random.integers(n, size=n + 50) for n in (images, sentences))  # some twice
    again = compute_similarity(image_table[rows], sentence_table[columns], CPU, tile)
    np.testing.assert_array_equal(again, matrix[np.ix_(rows, columns)])
    transposed = compute_similarity(
        sentence_table, image_table, CPU, None if tile is None else tile[::-1]
    )
    np.testing.assert_array_equal(transposed.T, matrix)


def test_threads_change_no_bit():
    image_table, sentence_table = drawn_tables(0, 300, 700, 512)
    before = torch.get_num_threads()
    try:
        products = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            products.append(compute_similarity(image_table, sentence_table, CPU))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(products[0], products[1])
    np.testing.assert_array_equal(products[0], products[2])


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4"])
def test_other_floats_are_taken_as_float32(kind):
    image_table, sentence_table = drawn_tables(0, 5, 7, 4)
    image_table, sentence_table = (
        table.astype(np.float16) for table in (image_table, sentence_table)
    )
    expected = compute_similarity(
        image_table.astype(np.float32), sentence_table.astype(np.float32), CPU
    )
    result = compute_similarity(
        image_table.astype(kind), np.asfortranarray(sentence_table.astype(kind)), CPU
    )
    np.testing.assert_array_equal(result, expected)


FINE = np.ones((3, 2), np.float32)


@pytest.mark.parametrize(
    ("images", "sentences", "message"),
    [
        (np.array([[1, 2], [np.nan, 0]]), FINE, r"images\[1, 0\] is nan, expected finite float32"),
        (FINE, np.array([[1, -np.inf]]), r"sentences\[0, 1\] is -inf"),
        (FINE, np.array([[1, 1e39]]), r"sentences\[0, 1\] is 1e\+39"),
        (FINE * 1e20, FINE * 1e20, r"reach norms 1.41e\+20 .* products overflow float32"),
        (np.ones((0, 2)), FINE, r"images are float64 of shape \(0, 2\), expected a non-empty"),
        (FINE, np.ones((2, 0)), r"sentences are float64 of shape \(2, 0\)"),
        (FINE, np.ones(2), r"sentences are float64 of shape \(2,\)"),
        (FINE.astype(int), FINE, r"images are int64 of shape \(3, 2\), .* floating-point numbers"),
        (FINE, np.ones((3, 5)), r"images are 2 numbers wide and sentences 5"),
    ],
)
def test_tables_that_cannot_be_multiplied_are_refused(images, sentences, message):
    with pytest.raises(ShapeError, match=message):
        EmbeddingPair(images, sentences, CPU)


def test_the_row_that_is_not_finite_is_named_wherever_it_is():
    table = np.ones((600_000, 2), np.float32)
    table[567_890, 1] = np.nan
    with pytest.raises(ShapeError, match=r"images\[567890, 1\] is nan"):
        EmbeddingPair(table, FINE, CPU)


def test_an_untested_kind_of_device_is_refused():
    with pytest.raises(DeviceError, match="on cpu or cuda, got meta"):
        EmbeddingPair(FINE, FINE, torch.device("meta"))
