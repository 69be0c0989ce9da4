from dataclasses import astuple
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.errors import ConfigError, ShapeError
from galr.evaluate.metrics import RECALL_NAMES, expected_mr, recalls
from galr.evaluate.ranks import (
    CUTOFFS,
    RankCounts,
    SimilarityMatrix,
    compute_ranks,
    default_image_of_sentence,
)

PAIRS = st.from_type(SimilarityMatrix).map(astuple)


def loop_rank(row, relevant, ties):
    """The first rank of a relevant candidate in the sorted list."""
    sign = {"pessimistic": 1, "optimistic": -1}[ties]
    order = sorted(range(len(row)), key=lambda c: (-row[c], sign * relevant[c]))
    return next(rank for rank, candidate in enumerate(order) if relevant[candidate])


@given(PAIRS, st.sampled_from(["pessimistic", "optimistic"]))
def test_ranks_match_the_definition(drawn, ties):
    similarity, image_of_sentence = drawn
    relevant = image_of_sentence == np.arange(len(similarity))[:, None]
    ranks = compute_ranks(similarity, image_of_sentence, ties)
    assert ranks.i2t.tolist() == [
        loop_rank(row, own, ties) for row, own in zip(similarity, relevant, strict=True)
    ]
    assert ranks.t2i.tolist() == [
        loop_rank(row, own, ties) for row, own in zip(similarity.T, relevant.T, strict=True)
    ]


@pytest.mark.parametrize("above", [0, 1, 4])
@pytest.mark.parametrize("tied", [0, 1, 3, 5])
@pytest.mark.parametrize("own", [1, 2])
def test_expected_is_the_mean_over_all_orders_of_a_tie(above, tied, own):
    group = [False] * tied + [True] * own
    drawn = np.array([above + order.index(True) for order in permutations(group)])
    counts = RankCounts(np.array([above]), np.array([tied]), np.array([own]))
    np.testing.assert_allclose(counts.ranks("expected"), drawn.mean())
    np.testing.assert_allclose(
        counts.hits("expected")[0], [(drawn < cutoff).mean() for cutoff in CUTOFFS]
    )


@given(PAIRS, st.sampled_from(["pessimistic", "expected", "optimistic"]))
def test_ranks_of_every_tie_rule_carry_the_hits_of_ties_broken_at_random(drawn, ties):
    ranks, expected = compute_ranks(*drawn, ties), compute_ranks(*drawn, "expected")
    assert ranks.i2t_expected_hits.tolist() == expected.i2t_hits.tolist()
    assert ranks.t2i_expected_hits.tolist() == expected.t2i_hits.tolist()
    assert expected_mr(ranks) == pytest.approx(np.mean(list(recalls(expected).values())))


@given(PAIRS)
def test_expected_lies_between_the_other_two(drawn):
    low, middle, high = (
        compute_ranks(*drawn, ties) for ties in ("optimistic", "expected", "pessimistic")
    )
    assert (low.i2t <= middle.i2t).all() and (middle.i2t <= high.i2t).all()
    worst, mean, best = (np.array(list(recalls(r).values())) for r in (high, middle, low))
    assert (worst <= mean + 1e-9).all() and (mean <= best + 1e-9).all()


@given(PAIRS, st.randoms(use_true_random=False))
def test_renumbering_images_and_sentences_renumbers_ranks(drawn, shuffle):
    similarity, image_of_sentence = drawn
    images, sentences = (shuffle.sample(range(n), n) for n in similarity.shape)
    renumbered = np.argsort(images)[image_of_sentence[sentences]]
    ranks = compute_ranks(similarity, image_of_sentence)
    again = compute_ranks(similarity[np.ix_(images, sentences)], renumbered)
    assert again.i2t.tolist() == ranks.i2t[images].tolist()
    assert again.t2i.tolist() == ranks.t2i[sentences].tolist()


@settings(max_examples=20)
@given(PAIRS)
def test_number_type_does_not_matter(drawn):
    similarity, image_of_sentence = drawn
    whole = np.round(similarity * 50).astype(np.int16)
    expected = compute_ranks(whole.astype(np.float64), image_of_sentence)
    for kind in (np.int16, np.float16, np.float32):
        assert (
            compute_ranks(whole.astype(kind), image_of_sentence).t2i.tolist()
            == expected.t2i.tolist()
        )


def test_matrix_larger_than_a_block(monkeypatch):
    random = np.random.default_rng(0)
    similarity, image_of_sentence = random.normal(size=(30, 90)), np.repeat(np.arange(30), 3)
    whole = compute_ranks(similarity, image_of_sentence)
    monkeypatch.setattr("galr.evaluate.ranks.BLOCK_ENTRIES", 2)
    cut = compute_ranks(similarity, image_of_sentence)
    assert cut.i2t.tolist() == whole.i2t.tolist() and cut.t2i.tolist() == whole.t2i.tolist()


def test_a_constant_matrix_has_no_hit_with_pessimistic_ties():
    ranks = compute_ranks(np.ones((20, 60)), np.repeat(np.arange(20), 3))
    assert recalls(ranks) == dict.fromkeys(RECALL_NAMES, 0)
    assert set(ranks.i2t) == {57} and set(ranks.t2i) == {19}


@pytest.mark.parametrize(
    ("similarity", "image_of_sentence", "message"),
    [
        (np.ones((2, 2, 2)), [0, 1], r"shape \(2, 2, 2\), expected a non-empty table"),
        (np.ones((0, 2)), [0, 1], r"expected a non-empty table"),
        (np.array([["a", "b"]]), [0, 0], r"expected a non-empty table of real numbers"),
        (np.array([[1, 2], [np.nan, 0]]), [0, 1], r"similarity\[1, 0\] is nan"),
        (np.array([[1, -np.inf], [2, 0]]), [0, 1], r"similarity\[0, 1\] is -inf"),
        (np.ones((2, 3)), [0, 1], r"expected an integer for each of 3 sentences"),
        (np.ones((2, 2)), [0.0, 1.0], r"image_of_sentence is float64"),
        (np.ones((2, 2)), np.array([0, 1], np.uint64), r"image_of_sentence is uint64"),
        (np.ones((2, 3)), [0, 1, 2], r"names image 2, expected rows 0 to 1"),
        (np.ones((2, 3)), [0, 1, -1], r"names image -1"),
        (
            np.ones((3, 3)),
            [0, 2, 2],
            r"image 1 has no sentence and cannot be ranked \(1 of 3 images",
        ),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(similarity, image_of_sentence, message):
    with pytest.raises(ShapeError, match=message):
        compute_ranks(similarity, np.array(image_of_sentence))


def test_unknown_ties_are_refused():
    with pytest.raises(ConfigError, match="ties 'random' is unknown; choose from pessimistic"):
        compute_ranks(np.ones((1, 1)), np.array([0]), "random")


def test_by_default_every_image_has_the_same_number_of_sentences():
    assert default_image_of_sentence(2, 6).tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ShapeError, match="7 sentences cannot be divided equally among 2 images"):
        default_image_of_sentence(2, 7)
