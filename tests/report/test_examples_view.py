"""The rule that chooses examples, and the lists it shows, against their definitions."""

import numpy as np
import pytest

from galr.errors import ShapeError
from galr.report.examples_view import RunScores, draw_examples, draw_queries, select_run
from galr.report.results import RunId, VariantResult

EVERY = 10_000  # more than there are queries


def scored(seed=0, images=9, each=4):
    """A test split with ties and with sentences that repeat."""
    random = np.random.default_rng(seed)
    owners = np.repeat(np.arange(images), each)
    own = np.arange(images)[:, None] == owners
    similarity = (own + random.normal(size=own.shape)).round(1)  # rounding makes ties
    said = [f"sentence {number}" for number in random.integers(0, 20, len(owners))]
    return RunScores(similarity, [f"image {i}" for i in range(images)], said, owners)


def slow_order(row, relevant):
    """Say the rule out loud: the most alike first, and of equals the wrong one first."""
    return sorted(range(len(row)), key=lambda i: (-row[i], relevant[i]))


def check(example, row, relevant, same_words, top):
    order = slow_order(row, relevant)
    rank = next(place for place, i in enumerate(order) if relevant[i])
    assert example.rank == rank + 1
    assert [one.index for one in example.candidates] == order[:top]
    assert [one.rank for one in example.candidates] == list(range(1, top + 1))
    assert (example.best_relevant is None) == (rank < top)
    for one in (*example.candidates, *([example.best_relevant] if example.best_relevant else [])):
        assert one.similarity == row[one.index]
        assert one.relevant == relevant[one.index]
        assert one.same_sentence == (same_words(one.index) and not relevant[one.index])
    if example.best_relevant:
        assert (example.best_relevant.index, example.best_relevant.rank) == (order[rank], rank + 1)


@pytest.mark.parametrize("seed", range(5))
def test_every_example_matches_the_definition(seed):
    given = scored(seed)
    owners, said = given.image_of_sentence, given.sentences
    own_words = [{said[s] for s in np.flatnonzero(owners == i)} for i in range(len(given.names))]
    to_pictures, to_sentences = draw_examples(given, count=EVERY, top=3, seed=0)
    assert to_pictures.num_queries == len(to_pictures.examples) == len(said)
    assert to_sentences.num_queries == len(to_sentences.examples) == len(given.names)
    for each in to_pictures.examples:
        query = each.query
        relevant = [i == owners[query] for i in range(len(given.names))]
        row = given.similarity[:, query]
        check(each, row, relevant, lambda i, words=said[query]: words in own_words[i], top=3)
    for each in to_sentences.examples:
        query = each.query
        relevant = [owner == query for owner in owners]
        row = given.similarity[query]
        check(each, row, relevant, lambda s, own=own_words[query]: said[s] in own, top=3)


@pytest.mark.parametrize("seed", range(5))
def test_the_count_of_right_answers_is_that_of_the_examples(seed):
    for found in draw_examples(scored(seed), count=EVERY, top=1, seed=0):
        assert found.num_top1 == sum(each.rank == 1 for each in found.examples)


def test_half_are_right_and_half_are_wrong():
    first = np.arange(100) % 3 == 0
    for count in (1, 2, 5, 6):
        drawn = draw_queries(first, count, seed=3)
        assert first[drawn].tolist() == [True] * ((count + 1) // 2) + [False] * (count // 2)
        assert len(set(drawn)) == count


@pytest.mark.parametrize("rights", [0, 1, 9, 10])
def test_a_kind_that_runs_out_is_filled_up(rights):
    first = np.arange(10) < rights
    drawn = draw_queries(first, 6, seed=0)
    assert len(set(drawn)) == 6
    assert first[drawn].sum() == {0: 0, 1: 1, 9: 5, 10: 6}[rights]


def test_nothing_but_the_seed_decides():
    first = np.random.default_rng(0).random(500) < 0.3
    assert draw_queries(first, 6, seed=1) == draw_queries(first, 6, seed=1)
    assert draw_queries(first, 6, seed=1) != draw_queries(first, 6, seed=2)
    often = np.bincount(
        np.concatenate([draw_queries(first, 6, seed) for seed in range(2000)]), minlength=500
    )
    assert often.min() > 0  # whoever can be drawn is drawn by some seed


def test_no_example_is_asked_for():
    assert draw_queries(np.array([True, False]), 0, seed=0) == []


def test_a_similarity_that_is_no_number_is_refused():
    given = scored()
    given.similarity[2, 3] = np.nan
    with pytest.raises(ShapeError, match=r"similarity\[2, 3\] is nan"):
        draw_examples(given, count=2, top=5, seed=0)


def test_the_leaders_first_fold_is_shown():
    runs = [RunId("global", 0), RunId("corrected", 1), RunId("corrected", 0)]
    assert select_run(runs, VariantResult("corrected", "mr-code", {}, {}, {})) == RunId(
        "corrected", 0
    )
    assert select_run(runs, VariantResult("other", "none", {}, {}, {})) == RunId("corrected", 0)
