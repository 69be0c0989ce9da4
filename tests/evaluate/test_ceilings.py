"""Bounds of recalls against every weak order of small datasets, and against the bound that `evaluate` stores."""

from itertools import product

import numpy as np
import pytest

from galr.errors import ConfigError, ShapeError
from galr.evaluate.ceilings import recall_ceilings
from galr.evaluate.metrics import RECALL_NAMES, t2i_upper_bound
from galr.evaluate.ranks import CUTOFFS, count_ranks, view_direction

RULES = "pessimistic", "expected"


def best_of_all_orders(texts, image_of_sentence, contents, ties):
    """The best recalls over all similarities that are equal for equal texts and equal images, by trying them.

    A row of the matrix decides an image's ranks and a column a sentence's, so each is tried alone.
    """
    groups = {"i2t": (contents, texts), "t2i": (texts, contents)}
    values = []
    for direction, (queries, candidates) in groups.items():
        kinds = sorted(set(candidates))
        hits = np.zeros(len(CUTOFFS))
        for query in set(queries):
            members = [row for row, value in enumerate(queries) if value == query]
            best = np.zeros(len(CUTOFFS))
            for levels in product(range(len(kinds)), repeat=len(kinds)):
                line = np.array([levels[kinds.index(value)] for value in candidates], float)
                rows = np.tile(line, (len(queries), 1))
                similarity = rows if direction == "i2t" else rows.T
                counts = count_ranks(view_direction(similarity, image_of_sentence, direction))
                best = np.maximum(best, counts.hits(ties)[members].sum(axis=0))
            hits += best
        values += (100 * hits / len(queries)).tolist()
    return dict(zip(RECALL_NAMES, values, strict=True))


def random_dataset(seed, *, images, sentences, num_texts, num_contents):
    """Texts, image of each sentence, and contents; every image has a sentence."""
    random = np.random.default_rng(seed)
    image_of_sentence = np.r_[np.arange(images), random.integers(0, images, sentences - images)]
    texts = [f"text {number}" for number in random.integers(0, num_texts, sentences)]
    contents = [f"content {number}" for number in random.integers(0, num_contents, images)]
    return texts, image_of_sentence, contents


@pytest.mark.parametrize("ties", RULES)
@pytest.mark.parametrize("seed", range(6))
def test_bounds_are_exact_where_sentences_repeat(seed, ties):
    texts, owners, _ = random_dataset(seed, images=4, sentences=14, num_texts=4, num_contents=1)
    contents = list("abcd")
    ceilings = recall_ceilings(texts, owners, contents, ties)
    best = best_of_all_orders(texts, owners, contents, ties)
    assert {name: ceilings[name] for name in RECALL_NAMES} == pytest.approx(best)
    assert ceilings["mr"] == pytest.approx(np.mean(list(best.values())))


@pytest.mark.parametrize("ties", RULES)
@pytest.mark.parametrize("seed", range(6))
def test_bounds_hold_where_images_repeat_too(seed, ties):
    texts, owners, contents = random_dataset(
        seed, images=12, sentences=16, num_texts=4, num_contents=4
    )
    ceilings = recall_ceilings(texts, owners, contents, ties)
    best = best_of_all_orders(texts, owners, contents, ties)
    for name in RECALL_NAMES:
        if name.startswith("t2i"):
            assert ceilings[name] == pytest.approx(best[name])
        else:
            assert ceilings[name] >= best[name] - 1e-9


@pytest.mark.parametrize("ties", RULES)
def test_without_repetition_all_can_be_found(ties):
    texts = [f"text {number}" for number in range(20)]
    ceilings = recall_ceilings(texts, np.arange(20) // 5, list("abcd"), ties)
    assert ceilings == dict.fromkeys((*RECALL_NAMES, "mr"), 100.0)


def test_equal_images_hide_each_other():
    """Twelve equal images: each is first with probability 1 / 12, and last under pessimistic ties."""
    texts = [f"text {number}" for number in range(12)]
    ceilings = {ties: recall_ceilings(texts, np.arange(12), ["same"] * 12, ties) for ties in RULES}
    assert [ceilings["pessimistic"][f"t2i_r{k}"] for k in CUTOFFS] == [0, 0, 0]
    expected = [100 * k / 12 for k in CUTOFFS]
    assert [ceilings["expected"][f"t2i_r{k}"] for k in CUTOFFS] == pytest.approx(expected)
    assert [ceilings["pessimistic"][f"i2t_r{k}"] for k in CUTOFFS] == pytest.approx(expected)


def test_the_stored_bound_of_sentences_that_tie_evenly_is_the_same():
    """Where each image has a shared text as often as the others, no order is better than another."""
    texts = ["shared"] * 4 + ["a", "b"] + ["other"] * 2
    owners = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    ceilings = recall_ceilings(texts, owners, list("abcd"), "expected")
    stored = t2i_upper_bound(texts, owners)
    assert {name: ceilings[name] for name in stored} == pytest.approx(stored)


def test_bad_input_is_refused():
    with pytest.raises(ShapeError, match="2 sentences for 3 images of sentences"):
        recall_ceilings(["a", "b"], np.array([0, 0, 1]), ["x", "y"], "expected")
    with pytest.raises(ShapeError, match="expected sentences for each of 3 images"):
        recall_ceilings(["a", "b"], np.array([0, 1]), ["x", "y", "z"], "expected")
    with pytest.raises(ConfigError, match="ties 'none' is unknown"):
        recall_ceilings(["a"], np.array([0]), ["x"], "none")
