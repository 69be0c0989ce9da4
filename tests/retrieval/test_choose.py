from dataclasses import astuple
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.errors import ConfigError
from galr.retrieval.choose import Choice, choose
from galr.retrieval.evaluation import evaluate
from galr.retrieval.metrics import scores
from galr.retrieval.ranks import Ranks, ranks
from galr.retrieval.relevance import Pairs
from galr.retrieval.rerank import rerank_direction

PAIRS = st.from_type(Pairs).map(astuple)

GRID = (2, 5, 20), (0.0, 0.5), (0.3, 2.0)


def slow_choose(similarity, image_of_sentence, variant, k, w1, w2, xi, ties):
    """Rerank and score at every point of the grid, keep the first best."""
    best = None
    for point in product(k, w1, w2):
        images, sentences = (
            ranks(rerank_direction(similarity, side, variant, *point, xi), image_of_sentence, ties)
            for side in ("i2t", "t2i")
        )
        mr = scores(Ranks(images.i2t, sentences.t2i, images.i2t_hits, sentences.t2i_hits))["mr"]
        if best is None or mr > best.validation_mr:
            best = Choice(*point, xi, mr)
    return best


@settings(max_examples=30)
@given(
    PAIRS,
    st.sampled_from(["code", "paper"]),
    st.sampled_from(["pessimistic", "expected"]),
)
def test_choice_matches_a_search_over_the_grid(drawn, variant, ties):
    assert choose(*drawn, variant, *GRID, 0.05, ties) == slow_choose(
        *drawn, variant, *GRID, 0.05, ties
    )


def test_test_matrix_takes_no_part_in_the_choice():
    random = np.random.default_rng(0)
    relevance = np.repeat(np.arange(12), 2)
    validation = Pairs(random.normal(size=(12, 24)), relevance)
    tests = [Pairs(random.normal(size=(12, 24)), relevance) for _ in range(5)]
    found = [evaluate(test, validation, ["mr-code"], *GRID, 0.05)["mr-code"] for test in tests]
    assert len({each.choice for each in found}) == 1
    assert len({tuple(each.ranks.t2i) for each in found}) > 1


def test_one_set_of_parameters_needs_no_validation():
    test = Pairs(np.eye(3), np.arange(3))
    found = evaluate(test, None, ["none", "mr-paper"], (2,), (0.3,), (1.1,), 0.05)
    assert list(found) == ["none", "mr-paper"]
    assert found["none"].choice is None and found["mr-paper"].choice == Choice(2, 0.3, 1.1, 0.05)
    with pytest.raises(
        ConfigError, match=r"2 k, 1 w1 and 1 w2 .* no validation matrix to choose on"
    ):
        evaluate(test, None, ["mr-paper"], (2, 3), (0.3,), (1.1,), 0.05)
    assert list(evaluate(test, None, ["none"], (2, 3), (0.3,), (1.1,), 0.05)) == ["none"]


def test_an_empty_grid_and_an_unknown_rerank_are_refused():
    test = Pairs(np.eye(3), np.arange(3))
    with pytest.raises(ConfigError, match="one value each at least"):
        choose(test.similarity, test.image_of_sentence, "code", (), (0.3,), (1.1,), 0.05)
    with pytest.raises(
        ConfigError, match="rerank 'mr' is unknown; choose from none, mr-code, mr-paper"
    ):
        evaluate(test, None, ["mr"], (2,), (0.3,), (1.1,), 0.05)
