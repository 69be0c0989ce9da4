from dataclasses import astuple
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galr.errors import ConfigError, ShapeError
from galr.retrieval import orders
from galr.retrieval.ranks import ranks
from galr.retrieval.relevance import Pairs
from galr.retrieval.rerank import rerank, rerank_direction, reranked_ranks

PAIRS = st.from_type(Pairs).map(astuple)

VARIANTS = st.sampled_from(["code", "paper"])
KS = st.sampled_from([1, 2, 3, 5, 12, 10**6])
WEIGHTS = st.sampled_from([0.0, 0.3, 1.1])
XIS = st.sampled_from([0.05, 0.7])


def stable_order(values):
    """Best first; of equals the lower index first."""
    return sorted(range(len(values)), key=lambda index: (-values[index], index))


def slow_rerank(similarity, variant, k, w1, w2, xi, limit=None):
    """Say METHOD 6 out loud: {candidate: score} of the k best candidates of every query."""
    queries, candidates = similarity.shape
    similarity = [[float(value) for value in row] for row in similarity]
    k = min(max(10, k) if variant == "code" else k, candidates)
    limit = limit or k
    lowest = min(0.0, min(min(row) for row in similarity)) if variant == "paper" else 0.0
    found = []
    for query in range(queries):
        forward = stable_order(similarity[query])[:k]
        reverse_place = {}
        for candidate in forward:
            column = [similarity[other][candidate] for other in range(queries)]
            reverse_place[candidate] = stable_order(column).index(query)
        among = sorted(forward, key=lambda candidate: reverse_place[candidate])  # sorted is stable
        scores = {}
        for j, candidate in enumerate(forward):
            total = sum(row[candidate] - lowest for row in similarity)
            share = (similarity[query][candidate] - lowest) / total if abs(total) >= 1e-12 else 0.0
            if variant == "code":
                reverse = exp(-xi * (among.index(candidate) + 1))
            else:
                place = reverse_place[candidate]
                reverse = exp(-xi * (place + 1)) if place < limit else 0.0
            scores[candidate] = w1 * share + exp(-xi * (j + 1)) + w2 * reverse
        found.append(scores)
    return found


@given(PAIRS, VARIANTS, KS, WEIGHTS, WEIGHTS, XIS, st.sampled_from([None, 1, 3]))
def test_rerank_matches_the_definition(drawn, variant, k, w1, w2, xi, limit):
    for similarity in (drawn[0], drawn[0].T):
        found = rerank(similarity, variant, k, w1, w2, xi, limit)
        assert found.shape == similarity.shape and found.dtype == np.float64
        slow = slow_rerank(similarity, variant, k, w1, w2, xi, limit)
        for before, after, scores in zip(similarity, found, slow, strict=True):
            reranked = list(scores)
            np.testing.assert_allclose(after[reranked], list(scores.values()), rtol=1e-9, atol=1e-9)
            behind = [candidate for candidate in stable_order(before) if candidate not in scores]
            assert stable_order(after)[len(scores) :] == behind
            assert np.isfinite(after).all()
            assert all(after[candidate] < after[reranked].min() for candidate in behind)


@given(PAIRS, VARIANTS, KS, st.sampled_from(["pessimistic", "expected", "optimistic"]))
def test_ranks_without_the_matrix_are_those_of_the_matrix(drawn, variant, k, ties):
    similarity, image_of_sentence = drawn
    images, sentences = (
        ranks(
            rerank_direction(similarity, side, variant, k, 0.3, 1.1, 0.05), image_of_sentence, ties
        )
        for side in ("i2t", "t2i")
    )
    found = reranked_ranks(similarity, image_of_sentence, variant, k, 0.3, 1.1, 0.05, ties)
    for of_matrix, of_places in (
        (images.i2t, found.i2t),
        (sentences.t2i, found.t2i),
        (images.i2t_hits, found.i2t_hits),
        (sentences.t2i_hits, found.t2i_hits),
    ):
        np.testing.assert_array_equal(of_matrix, of_places)


@given(st.integers(0, 2**32 - 1), VARIANTS, st.sampled_from([1, 4, 12]))
def test_renumbering_images_and_sentences_renumbers_the_result(seed, variant, k):
    random = np.random.default_rng(seed)
    similarity = random.permutation(77).reshape(7, 11) / 77 - 0.3  # no two alike
    images, sentences = np.ix_(random.permutation(7), random.permutation(11))
    for side in ("i2t", "t2i"):
        found = rerank_direction(similarity, side, variant, k, 0.3, 1.1, 0.05)
        again = rerank_direction(similarity[images, sentences], side, variant, k, 0.3, 1.1, 0.05)
        np.testing.assert_allclose(again, found[images, sentences])


@given(PAIRS, VARIANTS, KS)
def test_directions_are_the_same_thing_transposed(drawn, variant, k):
    similarity, _ = drawn
    across = rerank_direction(similarity, "t2i", variant, k, 0.3, 1.1, 0.05)
    along = rerank_direction(similarity.T, "i2t", variant, k, 0.3, 1.1, 0.05)
    np.testing.assert_array_equal(across, along.T)


@pytest.mark.parametrize("variant", ["code", "paper"])
@pytest.mark.parametrize("each", [1, 3])
def test_a_perfect_matrix_stays_perfect(variant, each):
    image_of_sentence = np.repeat(np.arange(40), each)
    noise = np.random.default_rng(0).random((40, 40 * each)) / 10
    similarity = noise + 0.8 * (image_of_sentence == np.arange(40)[:, None])
    found = reranked_ranks(similarity, image_of_sentence, variant, 20, 0.3, 1.1, 0.05)
    assert not found.i2t.any() and not found.t2i.any()


@given(PAIRS, VARIANTS)
def test_k_beyond_the_table_is_the_table(drawn, variant):
    similarity, _ = drawn
    whole = rerank(similarity, variant, similarity.shape[1], 0.3, 1.1, 0.05)
    np.testing.assert_array_equal(rerank(similarity, variant, 10**9, 0.3, 1.1, 0.05), whole)


def test_rerank_helps_where_the_reverse_search_knows_better():
    # Sentence 0 is everybody's favourite; asked back, it names image 0.
    similarity = np.array([[0.9, 0.1, 0.1], [0.8, 0.7, 0.1], [0.8, 0.1, 0.7]])
    found = rerank(similarity, "code", 3, 0.3, 1.1, 0.05)
    assert similarity.argmax(axis=1).tolist() == [0, 0, 0]
    assert found.argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e20])
def test_order_behind_the_k_survives_a_hundred_thousand_candidates(scale):
    random = np.random.default_rng(0)
    similarity = (random.normal(size=(2, 100_000)) ** 9 * scale).astype(
        np.float32
    )  # many near zero
    similarity[1] = -similarity[0] * np.float32(1 - 2**-20)  # released significance: a million
    for variant in ("code", "paper"):
        found = rerank(similarity, variant, 30, 0.3, 1.1, 0.05)
        assert np.isfinite(found).all()
        for before, after in zip(similarity, found, strict=True):
            old, new = (np.argsort(-row, kind="stable") for row in (before, after))
            assert old[30:].tolist() == new[30:].tolist()
            assert after[old[30]] < after[old[:30]].min()


@given(PAIRS, st.sampled_from([1.0, 1 / 3, -1 / 7]), st.integers(1, 9))
def test_packed_keys_order_as_a_stable_sort(drawn, factor, k):
    for lists in (drawn[0] * drawn[0].dtype.type(factor), drawn[0].T):
        k = min(k, lists.shape[1])
        expected = np.argsort(-lists, axis=1, kind="stable")
        assert orders.first(lists, k).tolist() == expected[:, :k].tolist()
        which, member = (axis.ravel() for axis in np.indices(lists.shape))
        found = orders.places(lists, which, member).reshape(lists.shape)
        assert found.tolist() == np.argsort(expected, axis=1).tolist()


def test_packed_keys_of_floats_that_are_easy_to_confuse():
    tiny, huge = np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max
    easy = np.array([[0.0, -0.0, tiny, -tiny, huge, -huge, np.nextafter(np.float32(1), 0), 1, 0.0]])
    for kind in (np.float32, np.float64):
        expected = np.argsort(-easy.astype(kind), axis=1, kind="stable")
        assert orders.first(easy.astype(kind), 9).tolist() == expected.tolist()
    finer = np.array([[1.0, 1 + 1e-15, 1 - 1e-15, 1e300, -1e300]])  # beyond float32
    assert orders.first(finer, 5).tolist() == [[3, 1, 0, 2, 4]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"variant": "thesis"}, "variant 'thesis' is unknown; choose from code, paper"),
        ({"k": 0}, "at least 1; got 0"),
        ({"xi": -1.0}, "0 or more; got -1.0"),
        ({"w2": float("inf")}, "finite weights, got inf"),
        ({"limit": 0}, "at least 1; got 0"),
        ({"name": "i2i"}, "direction 'i2i' is unknown"),
    ],
)
def test_meaningless_parameters_are_refused(change, says):
    flags = {"name": "i2t", "variant": "paper", "k": 1, "w1": 1.0, "w2": 1.0, "xi": 0.05} | change
    with pytest.raises(ConfigError, match=says):
        rerank_direction(np.ones((2, 2)), **flags)


def test_a_matrix_with_nan_is_refused():
    with pytest.raises(ShapeError, match=r"similarity\[0, 1\] is nan"):
        rerank(np.array([[0, np.nan]]), "code", 1, 0.3, 1.1, 0.05)
