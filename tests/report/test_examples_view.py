"""The draw of queries and the lists of candidates, against their definitions."""

from pathlib import Path

import numpy as np
import pytest

from galr.errors import ShapeError
from galr.report.examples_view import RunScores, draw_examples, draw_queries, select_run
from galr.report.results import RunId, VariantResult

ALL = 10_000  # more than there are queries


def draw_scores(seed=0, images=9, per_image=4):
    """Draw the similarities of a test split with ties and repeated sentences."""
    random = np.random.default_rng(seed)
    owners = np.repeat(np.arange(images), per_image)
    relevant = np.arange(images)[:, None] == owners
    similarity = (relevant + random.normal(size=relevant.shape)).round(1)  # rounding makes ties
    sentences = [f"sentence {number}" for number in random.integers(0, 20, len(owners))]
    return RunScores(
        similarity, [f"image {i}" for i in range(images)], sentences, owners, Path("similarity.h5")
    )


def slow_order(row, relevant):
    """Sort by similarity, and of equally similar candidates put relevant ones last."""
    return sorted(range(len(row)), key=lambda i: (-row[i], relevant[i]))


def check(example, row, relevant, same_words, top_k):
    order = slow_order(row, relevant)
    rank = next(rank for rank, i in enumerate(order) if relevant[i])
    assert example.rank == rank + 1
    assert [one.index for one in example.candidates] == order[:top_k]
    assert [one.rank for one in example.candidates] == list(range(1, top_k + 1))
    assert (example.best_relevant is None) == (rank < top_k)
    for one in (*example.candidates, *([example.best_relevant] if example.best_relevant else [])):
        assert one.similarity == row[one.index]
        assert one.relevant == relevant[one.index]
        assert one.same_sentence == (same_words(one.index) and not relevant[one.index])
    if example.best_relevant:
        assert (example.best_relevant.index, example.best_relevant.rank) == (order[rank], rank + 1)


@pytest.mark.parametrize("seed", range(5))
def test_every_example_matches_the_definition(seed):
    scores = draw_scores(seed)
    owners, sentences = scores.image_of_sentence, scores.sentences
    own_words = [
        {sentences[s] for s in np.flatnonzero(owners == i)} for i in range(len(scores.names))
    ]
    t2i, i2t = draw_examples(scores, count=ALL, top_k=3, seed=0)
    assert t2i.num_queries == len(t2i.examples) == len(sentences)
    assert i2t.num_queries == len(i2t.examples) == len(scores.names)
    for each in t2i.examples:
        query = each.query
        relevant = [i == owners[query] for i in range(len(scores.names))]
        row = scores.similarity[:, query]
        check(each, row, relevant, lambda i, words=sentences[query]: words in own_words[i], top_k=3)
    for each in i2t.examples:
        query = each.query
        relevant = [owner == query for owner in owners]
        row = scores.similarity[query]
        check(each, row, relevant, lambda s, own=own_words[query]: sentences[s] in own, top_k=3)


@pytest.mark.parametrize("seed", range(5))
def test_the_number_of_correct_queries_is_that_of_the_examples(seed):
    for direction in draw_examples(draw_scores(seed), count=ALL, top_k=1, seed=0):
        assert direction.num_top1 == sum(each.rank == 1 for each in direction.examples)


def test_half_are_correct_and_half_are_wrong():
    top1 = np.arange(100) % 3 == 0
    for count in (1, 2, 5, 6):
        drawn = draw_queries(top1, count, seed=3)
        assert top1[drawn].tolist() == [True] * ((count + 1) // 2) + [False] * (count // 2)
        assert len(set(drawn)) == count


@pytest.mark.parametrize("num_correct", [0, 1, 9, 10])
def test_where_one_half_has_too_few_more_are_drawn_of_the_other(num_correct):
    top1 = np.arange(10) < num_correct
    drawn = draw_queries(top1, 6, seed=0)
    assert len(set(drawn)) == 6
    assert top1[drawn].sum() == {0: 0, 1: 1, 9: 5, 10: 6}[num_correct]


def test_the_draw_depends_on_the_seed_alone():
    top1 = np.random.default_rng(0).random(500) < 0.3
    assert draw_queries(top1, 6, seed=1) == draw_queries(top1, 6, seed=1)
    assert draw_queries(top1, 6, seed=1) != draw_queries(top1, 6, seed=2)
    times_drawn = np.bincount(
        np.concatenate([draw_queries(top1, 6, seed) for seed in range(2000)]), minlength=500
    )
    assert times_drawn.min() > 0  # every query can be drawn


def test_no_query_is_drawn_for_a_count_of_0():
    assert draw_queries(np.array([True, False]), 0, seed=0) == []


def test_a_similarity_that_is_not_finite_is_refused():
    scores = draw_scores()
    scores.similarity[2, 3] = np.nan
    with pytest.raises(ShapeError, match=r"similarity\[2, 3\] is nan"):
        draw_examples(scores, count=2, top_k=5, seed=0)


def test_the_leaders_first_fold_is_shown():
    runs = [RunId("global", 0), RunId("corrected", 1), RunId("corrected", 0)]
    assert select_run(runs, VariantResult("corrected", "mr-code", {}, {}, {})) == RunId(
        "corrected", 0
    )
    assert select_run(runs, VariantResult("other", "none", {}, {}, {})) == RunId("corrected", 0)
