from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galr.errors import ShapeError
from galr.retrieval.metrics import ceiling, chance, scores
from galr.retrieval.ranks import Ranks, ranks
from galr.retrieval.relevance import Pairs

PAIRS = st.from_type(Pairs).map(astuple)


def test_scores_of_a_small_table_counted_by_hand():
    found = scores(Ranks.sharp(i2t=np.array([0.0, 7.0]), t2i=np.array([0.0, 4.0, 5.0, 30.0])))
    assert list(found.items()) == [
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
    constant = ranks(np.zeros_like(similarity), image_of_sentence, "expected")
    assert chance(image_of_sentence, len(similarity)) == pytest.approx(scores(constant))


@pytest.mark.parametrize(("images", "mr"), [(1093, 0.487), (452, 1.176)])
def test_chance_on_the_published_test_splits(images, mr):
    assert chance(np.repeat(np.arange(images), 5), images)["mr"] == pytest.approx(mr, abs=5e-4)


def test_chance_is_what_random_orders_reach_on_average():
    random = np.random.default_rng(0)
    image_of_sentence = np.array([0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10])
    drawn = [
        scores(ranks(random.random((11, 15)), image_of_sentence, "pessimistic"))["mr"]
        for _ in range(3000)
    ]
    assert chance(image_of_sentence, 11)["mr"] == pytest.approx(np.mean(drawn), abs=0.6)


def test_ceiling_is_what_a_perfect_reader_expects():
    sentences = ["a plane", "a ship", "a plane", "a plane", "a court", "a plane"]
    image_of_sentence = np.array([0, 0, 1, 1, 2, 2])
    # A perfect reader gives every image that has the sentence the same, highest similarity.
    has = np.zeros((3, 6))
    for column, sentence in enumerate(sentences):
        has[
            [image_of_sentence[j] for j, other in enumerate(sentences) if other == sentence], column
        ] = 1
    reached = scores(ranks(has, image_of_sentence, "expected"))
    found = ceiling(sentences, image_of_sentence)
    assert found == pytest.approx({name: reached[name] for name in ("t2i_r1", "t2i_r5", "t2i_r10")})
    assert found["t2i_r1"] == pytest.approx(100 * (2 + 4 / 3) / 6)
    shouted = [sentence.upper().replace(" ", "  ") for sentence in sentences[:3]] + sentences[3:]
    assert ceiling(shouted, image_of_sentence) == found


def test_ceiling_of_distinct_sentences_is_everything():
    assert set(ceiling(["a", "b", "b"], np.array([0, 1, 1])).values()) == {100}


def test_ceiling_refuses_other_sentences():
    with pytest.raises(ShapeError, match="2 sentences for 1"):
        ceiling(["a", "b"], np.array([0]))
