from dataclasses import astuple
from math import exp, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galr.errors import ConfigError, ShapeError
from galr.evaluate import topk
from galr.evaluate.ranks import SimilarityMatrix
from galr.evaluate.rerank import rerank, rerank_direction, rerank_terms
from galr.evaluate.topk import find_candidates

PAIRS = st.from_type(SimilarityMatrix).map(astuple)

VARIANTS = st.sampled_from(["code", "paper", "reciprocal"])
KS = st.sampled_from([1, 2, 3, 5, 12, 10**6])
WEIGHTS = st.sampled_from([0.0, 0.3, 1.1])
XIS = st.sampled_from([0.05, 0.7])


def stable_order(values):
    """Best first; of equals the lower index first."""
    return sorted(range(len(values)), key=lambda index: (-values[index], index))


def loop_rerank(similarity, variant, k, w1, w2, xi, limit=None):
    """The definition of docs/how/rerank.md as a loop, with its ties: {candidate: score} of the reranked ones of every query."""
    queries, candidates = similarity.shape
    similarity = [[float(value) for value in row] for row in similarity]
    k = min(max(10, k) if variant == "code" else k, candidates)
    limit = limit or k
    lowest = min(0.0, min(min(row) for row in similarity)) if variant == "paper" else 0.0
    scores_of_queries = []
    for query in range(queries):
        mine = similarity[query]
        forward = [sum(other > value for other in mine) for value in mine]
        reverse = [sum(row[c] > mine[c] for row in similarity) for c in range(candidates)]
        reranked = [c for c in range(candidates) if sum(other >= mine[c] for other in mine) <= k]
        scores = {}
        for c in reranked:
            position = sum((reverse[o], forward[o]) < (reverse[c], forward[c]) for o in reranked)
            total = sum(row[c] - lowest for row in similarity)
            share = (mine[c] - lowest) / total if abs(total) >= 1e-12 else 0.0
            if variant == "code":
                reverse_term = exp(-xi * (position + 1))
            else:
                reverse_term = exp(-xi * (reverse[c] + 1)) if reverse[c] < limit else 0.0
            scores[c] = w1 * share + exp(-xi * (forward[c] + 1)) + w2 * reverse_term
            if variant == "reciprocal":
                scores[c] = -position
        scores_of_queries.append(scores)
    return scores_of_queries


def released_rerank(similarity, k, w1, w2, xi):
    """The released script as a loop; its stable sorts break all ties by index."""
    queries, candidates = similarity.shape
    k = min(max(10, k), candidates)
    scores_of_queries = []
    for query in range(queries):
        forward = stable_order(similarity[query])[:k]
        reverse = [stable_order(similarity[:, c]).index(query) for c in forward]
        by_reverse = sorted(range(k), key=lambda j: reverse[j])  # sorted is stable
        scores = {}
        for j, c in enumerate(forward):
            share = float(similarity[query, c]) / float(similarity[:, c].sum())
            back = exp(-xi * (by_reverse.index(j) + 1))
            scores[c] = w1 * share + exp(-xi * (j + 1)) + w2 * back
        scores_of_queries.append(scores)
    return scores_of_queries


def distinct_similarities(random, queries, candidates):
    """A matrix of distinct numbers with exact sums and products."""
    return (random.permutation(queries * candidates).reshape(queries, candidates) + 1.0) / 2**12


@given(PAIRS, VARIANTS, KS, WEIGHTS, WEIGHTS, XIS, st.sampled_from([None, 1, 3]))
def test_rerank_matches_the_definition(drawn, variant, k, w1, w2, xi, limit):
    for similarity in (drawn[0], drawn[0].T):
        result = rerank(similarity, variant, k, w1, w2, xi, limit)
        assert result.shape == similarity.shape and result.dtype == np.float64
        expected = loop_rerank(similarity, variant, k, w1, w2, xi, limit)
        for before, after, scores in zip(similarity, result, expected, strict=True):
            reranked = list(scores)
            np.testing.assert_allclose(after[reranked], list(scores.values()), rtol=1e-9, atol=1e-9)
            behind = [candidate for candidate in stable_order(before) if candidate not in scores]
            assert stable_order(after)[len(scores) :] == behind
            assert np.isfinite(after).all()
            assert after[behind].max(initial=-inf) < after[reranked].min(initial=inf)
            assert (np.diff(after[behind]) == 0).tolist() == (np.diff(before[behind]) == 0).tolist()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 10, 14, 99]), WEIGHTS, WEIGHTS, XIS)
def test_code_equals_the_released_script_to_the_bit_where_nothing_ties(seed, k, w1, w2, xi):
    similarity = distinct_similarities(np.random.default_rng(seed), 9, 20)
    decay = np.exp(-xi * np.arange(1, 21))
    terms = rerank_terms(find_candidates(similarity, 99), "code", k, xi)
    scores = terms.scores(w1, w2)
    for order, ours, theirs in zip(
        terms.indices, scores, released_rerank(similarity, k, w1, w2, xi), strict=True
    ):
        assert order.tolist() == list(theirs)
        np.testing.assert_allclose(ours, list(theirs.values()), rtol=1e-14)
    reverse = np.argsort(np.argsort(-similarity, axis=0), axis=0)
    by_reverse = np.argsort(np.take_along_axis(reverse, terms.indices, axis=1), kind="stable")
    np.testing.assert_array_equal(terms.reverse, decay[np.argsort(by_reverse, axis=1)])
    np.testing.assert_array_equal(terms.forward, np.broadcast_to(decay[: len(order)], scores.shape))
    share = similarity / similarity.sum(axis=0)
    np.testing.assert_array_equal(
        terms.significance, np.take_along_axis(share, terms.indices, axis=1)
    )


@given(PAIRS, VARIANTS, KS, st.randoms(use_true_random=False))
def test_renumbering_images_and_sentences_renumbers_the_result_ties_included(
    drawn, variant, k, shuffle
):
    similarity, _ = drawn
    images, sentences = np.ix_(*(shuffle.sample(range(n), n) for n in similarity.shape))
    for direction in ("i2t", "t2i"):
        result = rerank_direction(similarity, direction, variant, k, 0.3, 1.1, 0.05)
        again = rerank_direction(
            similarity[images, sentences], direction, variant, k, 0.3, 1.1, 0.05
        )
        np.testing.assert_array_equal(again, result[images, sentences])


@given(PAIRS, VARIANTS, KS, st.data())
def test_equal_sentences_get_equal_scores(drawn, variant, k, data):
    similarity, _ = drawn
    doubled = data.draw(st.integers(0, similarity.shape[1] - 1))
    similarity = np.column_stack([similarity, similarity[:, doubled]])
    result = rerank(similarity, variant, k, 0.3, 1.1, 0.05)
    np.testing.assert_array_equal(result[:, -1], result[:, doubled])
    result = rerank(similarity.T, variant, k, 0.3, 1.1, 0.05)
    np.testing.assert_array_equal(result[-1], result[doubled])


def test_no_candidate_of_a_tie_at_the_k_th_place_is_reranked():
    similarity = np.array([[0.9, 0.5, 0.8, 0.5], [0.95, 0.2, 0.3, 0.4]])
    result = rerank(similarity, "reciprocal", 3, 0, 0, 0)[0]
    assert result.tolist() == [-1, result[3], 0, result[3]] and result[3] < -1
    assert rerank(similarity, "reciprocal", 4, 0, 0, 0)[0].tolist() == [-3, -1, 0, -1]


@given(PAIRS, VARIANTS, KS, st.integers(2, 3))
def test_t2i_is_i2t_of_the_transposed_matrix_and_threads_change_nothing(drawn, variant, k, threads):
    similarity, _ = drawn
    across = rerank_direction(similarity, "t2i", variant, k, 0.3, 1.1, 0.05)
    for matrix in (similarity.T, np.ascontiguousarray(similarity.T)):
        along = rerank_direction(matrix, "i2t", variant, k, 0.3, 1.1, 0.05, threads=threads)
        np.testing.assert_array_equal(across, along.T)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("variant", ["code", "paper", "reciprocal"])
def test_a_matrix_larger_than_a_block_is_reranked_alike_by_any_threads(monkeypatch, variant, kind):
    similarity = np.random.default_rng(0).normal(size=(70, 200)).round(1).astype(kind)
    directions = "i2t", "t2i"
    whole = [
        rerank_direction(similarity, direction, variant, 20, 0.3, 1.1, 0.05)
        for direction in directions
    ]
    for module in ("topk", "rerank"):
        monkeypatch.setattr(f"galr.evaluate.{module}.BLOCK_ENTRIES", 150)
    for direction, expected in zip(directions, whole, strict=True):
        result = rerank_direction(similarity, direction, variant, 20, 0.3, 1.1, 0.05, threads=3)
        np.testing.assert_array_equal(result, expected)


@given(PAIRS, VARIANTS)
def test_k_beyond_the_table_is_the_table(drawn, variant):
    similarity, _ = drawn
    whole = rerank(similarity, variant, similarity.shape[1], 0.3, 1.1, 0.05)
    np.testing.assert_array_equal(rerank(similarity, variant, 10**9, 0.3, 1.1, 0.05), whole)


@given(PAIRS, VARIANTS, KS, st.integers(0, 20))
def test_candidates_of_a_larger_k_serve_a_smaller_one(drawn, variant, k, more):
    similarity, _ = drawn
    needed = max(10, k)
    own, others = (
        rerank_terms(find_candidates(similarity, max_k), variant, k, 0.05)
        for max_k in (needed, needed + more)
    )
    for mine, theirs in zip(astuple(own), astuple(others), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_fewer_candidates_than_are_reranked_are_refused():
    candidates = find_candidates(np.random.default_rng(0).random((3, 20)), 4)
    with pytest.raises(
        ShapeError, match="5 candidates of every query are given, 11 needed to rerank 10"
    ):
        rerank_terms(candidates, "code", 4, 0.05)


def test_rerank_helps_where_the_reverse_search_is_right():
    # Sentence 0 is the first of every image; its own first is image 0.
    similarity = np.array([[0.9, 0.1, 0.05], [0.8, 0.7, 0.1], [0.8, 0.1, 0.7]])
    assert similarity.argmax(axis=1).tolist() == [0, 0, 0]
    for variant in ("code", "reciprocal"):
        result = rerank(similarity, variant, 3, 0.3, 1.1, 0.05)
        assert result.argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e20])
def test_order_behind_the_k_survives_a_hundred_thousand_candidates(scale):
    random = np.random.default_rng(0)
    similarity = (random.normal(size=(2, 100_000)) ** 9 * scale).astype(
        np.float32
    )  # many near zero
    similarity[1] = -similarity[0] * np.float32(1 - 2**-20)  # released significance: a million
    for variant in ("code", "paper"):
        result = rerank(similarity, variant, 30, 0.3, 1.1, 0.05)
        assert np.isfinite(result).all()
        for before, after in zip(similarity, result, strict=True):
            old, new = (np.argsort(-row, kind="stable") for row in (before, after))
            assert old[30:].tolist() == new[30:].tolist()
            assert after[old[30]] < after[old[:30]].min()


@given(PAIRS, st.sampled_from([1.0, 1 / 3, -1 / 7]), st.integers(1, 9), st.integers(1, 2))
def test_the_top_k_are_those_of_a_stable_sort_and_counts_are_of_larger_members(
    drawn, factor, count, threads
):
    for lists in (drawn[0] * drawn[0].dtype.type(factor), drawn[0].T):
        count = min(count, lists.shape[1])
        expected = np.argsort(-lists, axis=1, kind="stable")
        index, value = topk.topk_stable(lists, count, threads)
        assert index.tolist() == expected[:, :count].tolist()
        np.testing.assert_array_equal(value, np.take_along_axis(lists, index, axis=1))
        which, member = (axis.ravel() for axis in np.indices(lists.shape))
        result, total = topk.count_larger_and_sum(
            lists, which, lists[which, member], np.abs(lists).max(), threads
        )
        expected = (lists[:, None] > lists[:, :, None]).sum(axis=2)
        assert result.reshape(lists.shape).tolist() == expected.tolist()
        np.testing.assert_allclose(total, lists.sum(axis=1, dtype=float), atol=1e-12)


def test_floats_that_are_easily_confused_are_sorted_and_kept_in_order():
    tiny, huge = np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max
    easy = np.array([[0.0, -0.0, tiny, -tiny, huge, -huge, np.nextafter(np.float32(1), 0), 1, 0.0]])
    finer = np.array([[1.0, 1 + 1e-15, 1 - 1e-15, 1e300, -1e300]])  # beyond float32
    for row in (easy.astype(np.float32), easy, finer):
        expected = np.argsort(-row, axis=1, kind="stable")
        assert topk.topk_stable(row, row.size)[0].tolist() == expected.tolist()
        behind = rerank(row, "reciprocal", 1, 0, 0, 0)
        assert np.argsort(-behind, axis=1, kind="stable").tolist() == expected.tolist()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-300, 1e-8, 1.0, 1e30]))
def test_sums_are_exact_enough_and_the_same_in_any_order(seed, scale):
    random = np.random.default_rng(seed)
    lists = random.normal(size=(30, 40)) ** 5 * scale
    largest = np.abs(lists).max()
    result = topk.exact_sums(lists, largest)
    np.testing.assert_allclose(result, lists.sum(axis=1), atol=40 * largest * 2.0**-46)
    shuffled = lists[:, random.permutation(40)]
    for same in (shuffled, np.asfortranarray(shuffled)):
        np.testing.assert_array_equal(topk.exact_sums(same, largest), result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "thesis"}, "variant 'thesis' is unknown; choose from code, paper"),
        ({"k": 0}, "at least 1; got 0"),
        ({"xi": -1.0}, "0 or more; got -1.0"),
        ({"w2": float("inf")}, "finite weights, got inf"),
        ({"reverse_limit": 0}, "at least 1; got 0"),
        ({"direction": "i2i"}, "direction 'i2i' is unknown"),
    ],
)
def test_meaningless_parameters_are_refused(change, message):
    flags = {
        "direction": "i2t",
        "variant": "paper",
        "k": 1,
        "w1": 1.0,
        "w2": 1.0,
        "xi": 0.05,
    } | change
    with pytest.raises(ConfigError, match=message):
        rerank_direction(np.ones((2, 2)), **flags)


def test_a_matrix_with_nan_is_refused():
    with pytest.raises(ShapeError, match=r"similarity\[0, 1\] is nan"):
        rerank(np.array([[0, np.nan]]), "code", 1, 0.3, 1.1, 0.05)
