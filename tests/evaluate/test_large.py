from dataclasses import dataclass, fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.errors import ConfigError, ShapeError
from galr.evaluate.directions import prepare_directions, rerank_and_rank
from galr.evaluate.evaluate import MatrixSource, evaluate
from galr.evaluate.large import EmbeddingSource, rerank_topk, two_pass_search
from galr.evaluate.ranks import SimilarityMatrix
from galr.evaluate.rerank import effective_k, rerank_direction
from galr.evaluate.tiled_products import EmbeddingPair, compute_similarity

CPU = torch.device("cpu")
VARIANTS = st.sampled_from(["code", "paper", "reciprocal"])
KS = st.sampled_from([1, 2, 5, 12, 30, 10**6])
TILES = [None, (64, 64), (64, 128), (128, 64)]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Two tables, their relevance, and the size of the tiles."""

    images: np.ndarray
    sentences: np.ndarray
    image_of_sentence: np.ndarray
    tile: tuple[int, int] | None

    def matrix(self):
        return compute_similarity(self.images, self.sentences, CPU, self.tile)

    def tables(self):
        return EmbeddingPair(self.images, self.sentences, CPU, self.tile)


@st.composite
def drawn_tables(draw, sizes=(70, 150, 8), whole=False):
    """Any number of sentences an image, in any order; whole numbers, which tie often; repeated rows."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = random.integers(1, draw(st.sampled_from(sizes)) + 1)
    counts = random.integers(1, draw(st.integers(1, 4)) + 1, size=images)
    image_of_sentence = random.permutation(np.repeat(np.arange(images), counts))
    sentences, width = len(image_of_sentence), random.integers(1, 25)
    image_table, sentence_table = (
        random.normal(size=(rows, width)) for rows in (images, sentences)
    )
    if draw(st.booleans()):
        image_table, sentence_table = (
            abs(image_table),
            -abs(sentence_table),
        )  # all products are negative
    if whole or draw(st.booleans()):
        image_table, sentence_table = image_table.round(), sentence_table.round()
    if draw(st.booleans()):
        sentence_table[random.integers(sentences, size=sentences // 2)] = sentence_table[0]
        image_table[random.integers(images, size=images // 3)] = image_table[-1]
    if not whole and draw(st.booleans()):
        sentence_table *= 10.0 ** random.integers(
            -5, 6, size=(sentences, 1)
        )  # so that sums are rounded
        image_table *= 10.0 ** random.integers(-5, 6, size=(images, 1))
    tile = draw(st.sampled_from(TILES))
    return Drawn(
        image_table.astype(np.float32), sentence_table.astype(np.float32), image_of_sentence, tile
    )


def assert_same(actual, expected):
    """Equal to the last bit, down to the arrays."""
    for field in fields(expected):
        ours, theirs = getattr(actual, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype
        if isinstance(theirs, np.ndarray | float):
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert_same(ours, theirs)


@settings(max_examples=100)
@given(drawn_tables(), KS)
def test_tables_give_what_their_matrix_gives_to_the_last_bit(drawn, k):
    expected = prepare_directions(SimilarityMatrix(drawn.matrix(), drawn.image_of_sentence), k)
    source = EmbeddingSource(drawn.tables(), drawn.image_of_sentence)
    for result, side in zip(source.prepare_directions(k), expected, strict=True):
        assert_same(result, side)
    for result, side in zip(source.count_ranks(), expected, strict=True):
        assert_same(result, side.baseline)


@settings(max_examples=30)
@given(drawn_tables(sizes=(1, 8, 30), whole=True), st.sampled_from([1, 4, 12]))
def test_whole_numbers_match_the_definition(drawn, k):
    products = drawn.images.astype(int) @ drawn.sentences.astype(int).T
    result = two_pass_search(drawn.tables(), k, ["i2t", "t2i"], drawn.image_of_sentence)
    relevant = drawn.image_of_sentence == np.arange(len(products))[:, None]
    for name, rows, own in (("i2t", products, relevant), ("t2i", products.T, relevant.T)):
        best = result.candidates[name]
        assert best.column_sum.tolist() == rows.sum(axis=0).tolist()
        assert best.min_negative == min(rows.min(), 0)
        for query, row in enumerate(rows):
            order = sorted(range(len(row)), key=lambda c, row=row: (-row[c], c))[: k + 1]
            assert best.indices[query].tolist() == order
            assert best.similarities[query].tolist() == row[order].tolist()
            assert best.reverse_rank[query].tolist() == [
                sum(other[candidate] > row[candidate] for other in rows) for candidate in order
            ]
            reached = row[own[query]].max()
            counts = result.counts[name]
            assert counts.num_above[query] == (row[~own[query]] > reached).sum()
            assert counts.tied_irrelevant[query] == (row[~own[query]] == reached).sum()
            assert counts.tied_relevant[query] == (row[own[query]] == reached).sum()


@settings(max_examples=60)
@given(drawn_tables(), VARIANTS, KS, st.sampled_from(["i2t", "t2i"]), st.sampled_from([0.0, 1.1]))
def test_the_top_is_that_of_the_reranked_matrix(drawn, variant, k, name, w2):
    reranked = rerank_direction(drawn.matrix(), name, variant, k, 0.3, w2, 0.05)
    reranked = reranked if name == "i2t" else reranked.T
    expected = np.argsort(-reranked, axis=1, kind="stable")[:, :k]
    result = two_pass_search(drawn.tables(), effective_k(variant, k), [name])
    assert not result.counts and list(result.candidates) == [name]
    indices, scores = rerank_topk(result.candidates[name], variant, k, 0.3, w2, 0.05)
    assert (indices.dtype, scores.dtype) == (np.int64, np.float32)
    assert indices.tolist() == expected.tolist()
    best = np.take_along_axis(reranked, expected, axis=1).astype(np.float32)
    np.testing.assert_array_equal(scores, best)


@settings(max_examples=30)
@given(drawn_tables(), VARIANTS, st.sampled_from([1, 5, 12]), st.randoms(use_true_random=False))
def test_renumbering_images_and_sentences_renumbers_ranks(drawn, variant, k, shuffle):
    sizes = len(drawn.images), len(drawn.sentences)
    images, sentences = (shuffle.sample(range(n), n) for n in sizes)
    renumbered = np.argsort(images)[drawn.image_of_sentence[sentences]]
    shuffled = Drawn(drawn.images[images], drawn.sentences[sentences], renumbered, drawn.tile)
    result, again = (
        rerank_and_rank(
            EmbeddingSource(case.tables(), case.image_of_sentence).prepare_directions(
                effective_k(variant, k)
            ),
            *(variant, k, 0.3, 1.1, 0.05),
        )
        for case in (drawn, shuffled)
    )
    assert again.i2t.tolist() == result.i2t[images].tolist()
    assert again.t2i.tolist() == result.t2i[sentences].tolist()


def test_k_beyond_the_table_is_the_table():
    random = np.random.default_rng(0)
    image_table, sentence_table = random.normal(size=(9, 4)), random.normal(size=(20, 4))
    tables = EmbeddingPair(image_table, sentence_table, CPU)
    for name, size in (("i2t", 20), ("t2i", 9)):
        whole, beyond = (
            rerank_topk(
                two_pass_search(tables, k, [name]).candidates[name], "paper", k, 0.3, 1.1, 0.05
            )
            for k in (size, 10**9)
        )
        assert whole[0].tolist() == beyond[0].tolist() and whole[0].shape[1] == size
        assert sorted(whole[0][0]) == list(range(size))


@pytest.mark.parametrize("ties", ["pessimistic", "expected"])
def test_an_evaluation_of_tables_equals_that_of_their_matrix(ties):
    random = np.random.default_rng(0)
    image_of_sentence = random.permutation(np.repeat(np.arange(40), 3))
    image_table = random.normal(size=(40, 8)).astype(np.float32)
    sentence_table = (image_table[image_of_sentence] + random.normal(size=(120, 8))).astype(
        np.float32
    )
    sentence_table[::7] = sentence_table[0]
    matrix = SimilarityMatrix(
        compute_similarity(image_table, sentence_table, CPU), image_of_sentence
    )
    source = EmbeddingSource(EmbeddingPair(image_table, sentence_table, CPU), image_of_sentence)
    for reranks in (["none"], ["mr-code", "none", "mr-paper", "reciprocal"]):
        arguments = None, reranks, (12,), (0.3,), (1.1,), 0.05, (20.0,), ties
        result, expected = evaluate(source, *arguments), evaluate(MatrixSource(matrix), *arguments)
        assert list(result) == list(expected) == reranks
        for name in reranks:
            assert_same(result[name].ranks, expected[name].ranks)
    with pytest.raises(
        ConfigError, match=r"two embedding tables have none; evaluate a similarity\.h5"
    ):
        evaluate(source, None, ["qbnorm"], (12,), (0.3,), (1.1,), 0.05, (20.0,))


def test_a_relevance_of_other_tables_is_refused():
    tables = EmbeddingPair(np.ones((3, 2)), np.ones((4, 2)), CPU)
    with pytest.raises(ShapeError, match="expected an integer for each of 4 sentences"):
        EmbeddingSource(tables, np.arange(3))
    with pytest.raises(ShapeError, match="names image 3, expected rows 0 to 2"):
        EmbeddingSource(tables, np.array([0, 1, 2, 3]))


@pytest.mark.gpu
@pytest.mark.parametrize("tile", [None, (64, 128)])
def test_on_a_gpu_tables_give_what_their_matrix_gives(tile):
    gpu = torch.device("cuda")
    random = np.random.default_rng(0)
    image_table = random.normal(size=(300, 64)).astype(np.float32)
    sentence_table = random.normal(size=(900, 64)).astype(np.float32)
    sentence_table[::5] = sentence_table[1]
    relevance = random.permutation(np.repeat(np.arange(300), 3))
    expected = prepare_directions(
        SimilarityMatrix(compute_similarity(image_table, sentence_table, gpu, tile), relevance), 30
    )
    result = EmbeddingSource(
        EmbeddingPair(image_table, sentence_table, gpu, tile), relevance
    ).prepare_directions(30)
    for ours, theirs in zip(result, expected, strict=True):
        assert_same(ours, theirs)
