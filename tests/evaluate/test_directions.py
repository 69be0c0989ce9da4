from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galr.errors import ConfigError
from galr.evaluate.directions import prepare_directions, rerank_and_rank
from galr.evaluate.ranks import RetrievalRanks, SimilarityMatrix, compute_ranks
from galr.evaluate.rerank import check_rerank_parameters, effective_k, rerank_direction

PAIRS = st.from_type(SimilarityMatrix).map(astuple)
VARIANTS = st.sampled_from(["code", "paper", "reciprocal"])
KS = st.sampled_from([1, 2, 3, 5, 12, 10**6])
TIES = st.sampled_from(["pessimistic", "expected", "optimistic"])


def reranked_ranks(
    similarity, image_of_sentence, variant, k, w1, w2, xi, ties="pessimistic", threads=1
):
    """Rerank both directions of a matrix and rank the result."""
    check_rerank_parameters(variant, k, xi, w1, w2)
    matrix = SimilarityMatrix(similarity, image_of_sentence)
    both = prepare_directions(matrix, effective_k(variant, k), threads)
    return rerank_and_rank(both, variant, k, w1, w2, xi, ties)


def assert_same(actual, expected):
    for ours, theirs in zip(astuple(actual), astuple(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(PAIRS, VARIANTS, KS, TIES, st.integers(1, 3))
def test_ranks_without_the_reranked_matrix_are_those_of_the_matrix(
    drawn, variant, k, ties, threads
):
    similarity, image_of_sentence = drawn
    images, sentences = (
        compute_ranks(
            rerank_direction(similarity, direction, variant, k, 0.3, 1.1, 0.05),
            image_of_sentence,
            ties,
        )
        for direction in ("i2t", "t2i")
    )
    expected = RetrievalRanks(
        images.i2t,
        sentences.t2i,
        images.i2t_hits,
        sentences.t2i_hits,
        images.i2t_expected_hits,
        sentences.t2i_expected_hits,
    )
    ranks = reranked_ranks(similarity, image_of_sentence, variant, k, 0.3, 1.1, 0.05, ties, threads)
    assert_same(ranks, expected)
    assert_same(
        rerank_and_rank(
            prepare_directions(SimilarityMatrix(*drawn), 99), variant, k, 0.3, 1.1, 0.05, ties
        ),
        expected,
    )  # prepared for more candidates


@given(PAIRS, VARIANTS, KS, TIES, st.randoms(use_true_random=False))
def test_renumbering_images_and_sentences_renumbers_ranks_ties_included(
    drawn, variant, k, ties, shuffle
):
    similarity, image_of_sentence = drawn
    images, sentences = (shuffle.sample(range(n), n) for n in similarity.shape)
    renumbered = np.argsort(images)[image_of_sentence[sentences]]
    ranks = reranked_ranks(similarity, image_of_sentence, variant, k, 0.3, 1.1, 0.05, ties)
    again = reranked_ranks(
        similarity[np.ix_(images, sentences)], renumbered, variant, k, 0.3, 1.1, 0.05, ties
    )
    assert again.i2t.tolist() == ranks.i2t[images].tolist()
    assert again.t2i.tolist() == ranks.t2i[sentences].tolist()


@pytest.mark.parametrize("variant", ["code", "paper", "reciprocal"])
@pytest.mark.parametrize("sentences_per_image", [1, 3])
def test_a_perfect_matrix_stays_perfect(variant, sentences_per_image):
    image_of_sentence = np.repeat(np.arange(40), sentences_per_image)
    noise = np.random.default_rng(0).random((40, 40 * sentences_per_image)) / 10
    similarity = noise + 0.8 * (image_of_sentence == np.arange(40)[:, None])
    ranks = reranked_ranks(similarity, image_of_sentence, variant, 20, 0.3, 1.1, 0.05)
    assert not ranks.i2t.any() and not ranks.t2i.any()


@pytest.mark.parametrize("variant", ["code", "paper", "reciprocal"])
def test_a_constant_matrix_gains_nothing_from_a_rerank(variant):
    similarity, image_of_sentence = np.ones((20, 60)), np.repeat(np.arange(20), 3)
    for k in (1, 30, 60):
        ranks = reranked_ranks(similarity, image_of_sentence, variant, k, 0.3, 1.1, 0.05)
        assert set(ranks.i2t) == {57} and set(ranks.t2i) == {19}


@pytest.mark.parametrize("variant", ["code", "paper", "reciprocal"])
def test_a_rerank_does_not_choose_between_equal_sentences(variant):
    # Every sentence belongs to two images, so with pessimistic ties no relevant sentence can be first.
    once = np.random.default_rng(0).random((30, 30))
    image_of_sentence = np.concatenate([np.arange(30), np.roll(np.arange(30), 1)])
    ranks = reranked_ranks(np.hstack([once, once]), image_of_sentence, variant, 20, 0.3, 1.1, 0.05)
    assert (ranks.i2t >= 1).all()


def test_meaningless_parameters_are_refused():
    with pytest.raises(ConfigError, match="finite weights, got nan"):
        reranked_ranks(np.eye(2), np.arange(2), "code", 1, float("nan"), 1.0, 0.05)
