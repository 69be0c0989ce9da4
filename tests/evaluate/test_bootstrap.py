from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.errors import ConfigError, ShapeError
from galr.evaluate.bootstrap import bootstrap_interval, bootstrap_mr
from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.ranks import RetrievalRanks, SimilarityMatrix, compute_ranks

PAIRS = st.from_type(SimilarityMatrix).map(astuple)


def loop_bootstrap(folds, image_of_sentence, resamples, seed):
    """Draw images, copy their ranks and those of their sentences, score, average the folds."""
    random = np.random.default_rng(seed)
    images = len(folds[0].i2t)
    mean_recalls = []
    for _ in range(resamples):
        drawn = random.integers(images, size=images)
        sentences = np.concatenate([np.flatnonzero(image_of_sentence == image) for image in drawn])
        resampled_folds = [
            RetrievalRanks(
                **{
                    name: values[drawn if name.startswith("i2t") else sentences]
                    for name, values in vars(fold).items()
                }
            )
            for fold in folds
        ]
        mean_recalls.append(np.mean([retrieval_metrics(fold)["mr"] for fold in resampled_folds]))
    return mean_recalls


@settings(max_examples=40)
@given(PAIRS, st.sampled_from(["pessimistic", "expected"]), st.integers(0, 99), st.integers(1, 3))
def test_resampling_matches_the_loop(drawn, ties, seed, count):
    similarity, image_of_sentence = drawn
    noise = np.random.default_rng(seed)
    folds = [
        compute_ranks(
            similarity + noise.normal(size=similarity.shape).round(), image_of_sentence, ties
        )
        for _ in range(count)
    ]
    result = bootstrap_mr(folds, image_of_sentence, 8, seed)
    np.testing.assert_allclose(result, loop_bootstrap(folds, image_of_sentence, 8, seed))


def test_resamples_do_not_depend_on_the_blocks_they_are_computed_in(monkeypatch):
    folds = [RetrievalRanks.from_ranks(np.arange(40.0), np.arange(40.0))]
    whole = bootstrap_mr(folds, np.arange(40), 50, seed=1)
    real = "galr.evaluate.bootstrap.row_blocks"
    monkeypatch.setattr(real, lambda rows, *_: (slice(row, row + 1) for row in range(rows)))
    assert bootstrap_mr(folds, np.arange(40), 50, seed=1).tolist() == whole.tolist()


def test_interval_covers_the_truth_as_often_as_it_says():
    truth = 0.4
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        i2t, t2i = (np.where(random.random(150) < truth, 0.0, 99.0) for _ in range(2))
        low, high = bootstrap_interval(
            [RetrievalRanks.from_ranks(i2t, t2i)], np.arange(150), 200, 0.9, trial
        )
        covered += low <= 100 * truth <= high
    assert 165 <= covered <= 195


def test_folds_narrow_the_interval_and_more_confidence_widens_it():
    random = np.random.default_rng(0)
    folds = [
        RetrievalRanks.from_ranks(
            random.integers(0, 20, 90) * 1.0, random.integers(0, 20, 90) * 1.0
        )
        for _ in range(3)
    ]
    one, wide = (bootstrap_interval(folds[:1], np.arange(90), 500, c, 0) for c in (0.9, 0.99))
    all_three = bootstrap_interval(folds, np.arange(90), 500, 0.9, 0)
    assert all_three[1] - all_three[0] < one[1] - one[0] < wide[1] - wide[0]


def test_perfect_ranks_have_an_interval_of_one_point():
    assert bootstrap_interval(
        [RetrievalRanks.from_ranks(np.zeros(3), np.zeros(6))],
        np.repeat(np.arange(3), 2),
        10,
        0.95,
        0,
    ) == (100, 100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resamples": 0}, "resamples must be at least 1, got 0"),
        ({"confidence": 95.0}, r"a fraction in \(0, 1\), such as 0.95; got 95.0"),
        ({"confidence": float("nan")}, "got nan"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_meaningless_intervals_are_refused(change, message):
    flags = {"resamples": 10, "confidence": 0.9, "seed": 0} | change
    with pytest.raises(ConfigError, match=message):
        bootstrap_interval(
            [RetrievalRanks.from_ranks(np.zeros(1), np.zeros(1))], np.array([0]), **flags
        )


def test_folds_of_other_images_are_refused():
    two, three = (RetrievalRanks.from_ranks(np.zeros(n), np.zeros(n)) for n in (2, 3))
    with pytest.raises(ShapeError, match="ranks 3 images and 3 sentences, another 2 and 2"):
        bootstrap_interval([two, three], np.arange(2), 10, 0.9, 0)
    with pytest.raises(ShapeError, match="at least one fold"):
        bootstrap_interval([], np.arange(2), 10, 0.9, 0)
