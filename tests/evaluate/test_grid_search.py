from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.errors import ConfigError
from galr.evaluate.directions import prepare_directions
from galr.evaluate.evaluate import MatrixSource, evaluate
from galr.evaluate.grid_search import QBNormParams, RerankParams, grid_search, grid_search_beta
from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.qbnorm import QueryBank
from galr.evaluate.ranks import (
    RetrievalRanks,
    SimilarityMatrix,
    compute_ranks,
    count_ranks,
    view_direction,
)
from galr.evaluate.rerank import rerank_direction

PAIRS = st.from_type(SimilarityMatrix)
TIES = st.sampled_from(["pessimistic", "expected"])

GRID = (2, 5, 20), (0.0, 0.5), (0.3, 2.0)


def ranks_of_matrices(pairs, variant, k, w1, w2, xi, ties):
    """Rerank both directions into matrices and rank those."""
    images, sentences = (
        compute_ranks(
            rerank_direction(pairs.similarity, direction, variant, k, w1, w2, xi),
            pairs.image_of_sentence,
            ties,
        )
        for direction in ("i2t", "t2i")
    )
    return RetrievalRanks(
        images.i2t,
        sentences.t2i,
        images.i2t_hits,
        sentences.t2i_hits,
        images.i2t_expected_hits,
        sentences.t2i_expected_hits,
    )


def loop_grid_search(pairs, variant, k, w1, w2, xi, ties):
    """Rerank and score at every point of the grid, keep the first of the best."""
    best = None
    for point in product(k, w1, w2):
        mr = retrieval_metrics(ranks_of_matrices(pairs, variant, *point, xi, ties))["mr"]
        if best is None or mr > best.validation_mr:
            best = RerankParams(*point, xi, mr)
    return best


@settings(max_examples=30)
@given(PAIRS, st.sampled_from(["code", "paper"]), TIES)
def test_grid_search_matches_a_loop_over_the_grid(pairs, variant, ties):
    params = grid_search(prepare_directions(pairs, 20), variant, *GRID, 0.05, ties)
    assert params == loop_grid_search(pairs, variant, *GRID, 0.05, ties)


@settings(max_examples=30)
@given(PAIRS, TIES)
def test_reciprocal_has_no_parameter_but_k(pairs, ties):
    params = grid_search(prepare_directions(pairs, 20), "reciprocal", *GRID, 0.05, ties)
    slow = loop_grid_search(pairs, "reciprocal", GRID[0], (0.0,), (0.0,), 0.05, ties)
    assert params == RerankParams(slow.k, validation_mr=slow.validation_mr)


def random_source(random, images=12, sentences_per_image=2):
    """A matrix of random embeddings, with a bank of other queries."""
    embeddings = tuple(random.normal(size=(n, 4)) for n in (images, images * sentences_per_image))
    bank = tuple(random.normal(size=(n, 4)) for n in (9, 21))
    image_of_sentence = np.repeat(np.arange(images), sentences_per_image)
    matrix = SimilarityMatrix(embeddings[0] @ embeddings[1].T, image_of_sentence)
    banks = QueryBank(bank[0], embeddings[1]), QueryBank(bank[1], embeddings[0])
    return MatrixSource(matrix, banks)


def test_the_test_split_takes_no_part_in_the_choice():
    random = np.random.default_rng(0)
    validation, tests = random_source(random), [random_source(random) for _ in range(5)]
    for rerank in ("mr-code", "mr-paper", "reciprocal", "qbnorm"):
        results = [
            evaluate(test, validation, [rerank], *GRID, 0.05, (1.0, 5.0, 25.0))[rerank]
            for test in tests
        ]
        assert len({result.params for result in results}) == 1
        assert len({tuple(result.ranks.t2i) for result in results}) > 1


@pytest.mark.parametrize("ties", ["pessimistic", "expected"])
def test_evaluation_is_choice_and_rank_of_each_rerank_by_itself(ties):
    random = np.random.default_rng(1)
    test, validation = random_source(random), random_source(random)
    reranks = ["qbnorm", "mr-paper", "none", "reciprocal", "mr-code"]
    results = evaluate(test, validation, reranks, *GRID, 0.05, (1.0, 5.0), ties)
    assert list(results) == reranks
    plain = compute_ranks(test.matrix.similarity, test.matrix.image_of_sentence, ties)
    assert results["none"].params is None
    expected = {"none": plain}
    for rerank, variant in (("mr-code", "code"), ("mr-paper", "paper"), ("reciprocal",) * 2):
        choice = results[rerank].params
        assert choice == grid_search(
            prepare_directions(validation.matrix, 20), variant, *GRID, 0.05, ties
        )
        expected[rerank] = ranks_of_matrices(
            test.matrix, variant, choice.k, *choice.weights, 0.05, ties
        )
    choice = results["qbnorm"].params
    assert choice == grid_search_beta(validation.count_ranks_qbnorm, (1.0, 5.0), ties)
    expected["qbnorm"] = RetrievalRanks.from_counts(*test.count_ranks_qbnorm(choice.beta), ties)
    for rerank, result in results.items():
        for name in ("i2t", "t2i", "i2t_hits", "t2i_hits"):
            np.testing.assert_array_equal(
                getattr(result.ranks, name), getattr(expected[rerank], name)
            )


def test_the_best_beta_is_chosen_and_the_first_of_equals():
    perfect, poor = (
        tuple(count_ranks(view_direction(table, np.arange(3), name)) for name in ("i2t", "t2i"))
        for table in (np.eye(3), -np.eye(3))
    )
    reached = {1.0: poor, 2.0: perfect, 3.0: perfect}
    assert grid_search_beta(reached.__getitem__, (1.0, 2.0, 3.0)) == QBNormParams(2.0, 100.0)


def test_one_set_of_parameters_needs_no_validation():
    test = MatrixSource(SimilarityMatrix(np.eye(3), np.arange(3)))
    one = (2,), (0.3,), (1.1,), 0.05, (20.0,)
    results = evaluate(test, None, ["none", "mr-paper", "reciprocal"], *one)
    assert list(results) == ["none", "mr-paper", "reciprocal"]
    assert results["none"].params is None and results["mr-paper"].params == RerankParams(
        2, 0.3, 1.1, 0.05
    )
    assert results["reciprocal"].params == RerankParams(2)
    for rerank in ("mr-paper", "reciprocal"):
        message = (
            rf"{rerank} has 2 sets .* no validation matrix to choose on; give one value of each"
        )
        with pytest.raises(ConfigError, match=message):
            evaluate(test, None, [rerank], (2, 3), *one[1:])
    with pytest.raises(ConfigError, match="qbnorm has 2 sets"):
        evaluate(test, None, ["qbnorm"], *one[:4], (20.0, 30.0))
    assert list(evaluate(test, None, ["none"], (2, 3), *one[1:])) == ["none"]


def test_an_empty_grid_an_unknown_rerank_and_a_missing_bank_are_refused():
    test = MatrixSource(SimilarityMatrix(np.eye(3), np.arange(3)))
    one = (2,), (0.3,), (1.1,), 0.05, (20.0,)
    with pytest.raises(ConfigError, match="each need at least one value"):
        grid_search(test.prepare_directions(10), "code", (), (0.3,), (1.1,), 0.05)
    with pytest.raises(ConfigError, match="beta needs at least one value to choose from"):
        evaluate(test, None, ["qbnorm"], *one[:4], ())
    with pytest.raises(
        ConfigError, match=r"beta is an inverse temperature above 0, such as 20; got 0\.0"
    ):
        evaluate(test, None, ["qbnorm"], *one[:4], (0.0,))
    with pytest.raises(
        ConfigError, match="rerank 'mr' is unknown; choose from none, mr-code, mr-paper, reciprocal"
    ):
        evaluate(test, None, ["mr"], *one)
    with pytest.raises(ConfigError, match="a bank of training queries, and there is none"):
        evaluate(test, None, ["qbnorm"], *one)
    with pytest.raises(ConfigError, match="k is the number of candidates to rerank"):
        evaluate(test, replace(test), ["reciprocal"], (0,), *one[1:])
