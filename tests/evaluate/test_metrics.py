from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galr.errors import ShapeError
from galr.evaluate.metrics import random_metrics, retrieval_metrics, t2i_upper_bound
from galr.evaluate.ranks import RetrievalRanks, SimilarityMatrix, compute_ranks

PAIRS = st.from_type(SimilarityMatrix).map(astuple)


def test_scores_of_a_small_table_counted_by_hand():
    metrics = retrieval_metrics(
        RetrievalRanks.from_ranks(i2t=np.array([0.0, 7.0]), t2i=np.array([0.0, 4.0, 5.0, 30.0]))
    )
    assert list(metrics.items()) == [
        ("i2t_r1", 50),
        ("i2t_r5", 50),
        ("i2t_r10", 100),
        ("t2i_r1", 25),
        ("t2i_r5", 50),
        ("t2i_r10", 75),
        ("mr", pytest.approx(350 / 6)),
        ("i2t_medr", 4.5),
        ("t2i_medr", 5.5),
        ("i2t_meanr", 4.5),
        ("t2i_meanr", 10.75),
    ]


@given(PAIRS)
def test_chance_is_a_constant_matrix_under_expected_ties(drawn):
    similarity, image_of_sentence = drawn
    constant = compute_ranks(np.zeros_like(similarity), image_of_sentence, "expected")
    assert random_metrics(image_of_sentence, len(similarity)) == pytest.approx(
        retrieval_metrics(constant)
    )


@pytest.mark.parametrize(("images", "mr"), [(1093, 0.487), (452, 1.176)])
def test_chance_on_the_published_test_splits(images, mr):
    assert random_metrics(np.repeat(np.arange(images), 5), images)["mr"] == pytest.approx(
        mr, abs=5e-4
    )


def test_chance_is_what_random_orders_reach_on_average():
    random = np.random.default_rng(0)
    image_of_sentence = np.array([0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10])
    drawn = [
        retrieval_metrics(compute_ranks(random.random((11, 15)), image_of_sentence, "pessimistic"))[
            "mr"
        ]
        for _ in range(3000)
    ]
    assert random_metrics(image_of_sentence, 11)["mr"] == pytest.approx(np.mean(drawn), abs=0.6)


def test_ceiling_is_the_expected_recall_of_a_perfect_model():
    sentences = ["a plane", "a ship", "a plane", "a plane", "a court", "a plane"]
    image_of_sentence = np.array([0, 0, 1, 1, 2, 2])
    # A perfect model gives the same, highest similarity to every image that has the sentence.
    has = np.zeros((3, 6))
    for column, sentence in enumerate(sentences):
        has[
            [image_of_sentence[j] for j, other in enumerate(sentences) if other == sentence], column
        ] = 1
    reached = retrieval_metrics(compute_ranks(has, image_of_sentence, "expected"))
    bound = t2i_upper_bound(sentences, image_of_sentence)
    assert bound == pytest.approx({name: reached[name] for name in ("t2i_r1", "t2i_r5", "t2i_r10")})
    assert bound["t2i_r1"] == pytest.approx(100 * (2 + 4 / 3) / 6)
    upper_case = [sentence.upper().replace(" ", "  ") for sentence in sentences[:3]] + sentences[3:]
    assert t2i_upper_bound(upper_case, image_of_sentence) == bound


def test_ceiling_of_distinct_sentences_is_everything():
    assert set(t2i_upper_bound(["a", "b", "b"], np.array([0, 1, 1])).values()) == {100}


def test_ceiling_refuses_other_sentences():
    with pytest.raises(ShapeError, match="2 sentences for 1"):
        t2i_upper_bound(["a", "b"], np.array([0]))
