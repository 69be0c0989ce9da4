"""Paired differences of mR between variants."""

import numpy as np
import pandas as pd
import pytest

from galr.errors import ConfigError, DataError
from galr.evaluate.differences import DIFFERENCE_COLUMNS, build_differences
from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.ranks import compute_ranks
from galr.evaluate.table import FoldResult

IMAGE_OF_SENTENCE = np.repeat(np.arange(15), [1, 5, 2] * 5)
RERANKS = {"none": 0.0, "reciprocal": 0.7}


def fold_result(variant, fold, noise, **changes):
    """A fold of a variant; rounded similarities tie, and two variants share the hard images."""
    shared, own = np.random.default_rng(5), np.random.default_rng([fold, len(variant)])
    correct = IMAGE_OF_SENTENCE == np.arange(15)[:, None]
    similarity = correct + 0.8 * shared.normal(size=correct.shape)
    similarity = (similarity + noise * own.normal(size=correct.shape)).round(1)
    fields = {
        "dataset": "ucm",
        "variant": variant,
        "fold": fold,
        "seed": 42,
        "ties": "pessimistic",
        "bootstrap_seed": 3,
        "image_of_sentence": IMAGE_OF_SENTENCE,
        "ranks": {
            name: compute_ranks(similarity + more * correct, IMAGE_OF_SENTENCE)
            for name, more in RERANKS.items()
        },
        "params": {name: {} for name in RERANKS},
        "upper_bound": {},
    }
    return FoldResult(**fields | changes)


@pytest.fixture
def runs():
    noises = {"corrected": 0.2, "global": 0.5, "no_drea": 0.5}
    return [
        fold_result(variant, fold, noise) for variant, noise in noises.items() for fold in (0, 1)
    ]


def loop_differences(runs, variant, against, rerank, resamples, seed):
    """Draw images; on the same ones, score every fold of both variants from copied ranks; subtract the means."""
    random = np.random.default_rng(seed)
    differences = []
    for _ in range(resamples):
        drawn = random.integers(15, size=15)
        sentences = [s for image in drawn for s in np.flatnonzero(IMAGE_OF_SENTENCE == image)]
        means = []
        for name in (variant, against):
            scores = []
            for run in runs:
                if run.variant == name:
                    ranks = run.ranks[rerank]
                    hits = (
                        *ranks.i2t_hits[drawn].mean(axis=0),
                        *ranks.t2i_hits[sentences].mean(axis=0),
                    )
                    scores.append(100 * sum(hits) / 6)
            means.append(sum(scores) / len(scores))
        differences.append(means[0] - means[1])
    return np.array(differences)


def test_differences_match_the_loop(runs):
    rows = build_differences(runs, resamples=40, confidence=0.8)
    assert len(rows) == 6 * len(RERANKS)  # ordered pairs
    for row in rows:
        assert tuple(row) == DIFFERENCE_COLUMNS
        looped = loop_differences(runs, row["variant"], row["against"], row["rerank"], 40, 3)
        assert [row["low"], row["high"]] == pytest.approx(np.quantile(looped, [0.1, 0.9]))
        assert row["above"] == pytest.approx((looped > 1e-9).mean())
        mr = {
            name: np.mean(
                [
                    retrieval_metrics(run.ranks[row["rerank"]])["mr"]
                    for run in runs
                    if run.variant == name
                ]
            )
            for name in (row["variant"], row["against"])
        }
        assert row["difference"] == pytest.approx(mr[row["variant"]] - mr[row["against"]])
        assert (row["ties"], row["folds"], row["images"], row["seed"]) == ("pessimistic", 2, 15, 3)


def test_differences_are_antisymmetric(runs):
    table = pd.DataFrame(build_differences(runs, resamples=60, confidence=0.9))
    table = table.set_index(["rerank", "variant", "against"])
    assert (table["difference"].abs() > 0.5).any()
    for (rerank, variant, against), row in table.iterrows():
        twin = table.loc[(rerank, against, variant)]
        assert row["difference"] == pytest.approx(-twin["difference"])
        assert row["difference_expected"] == pytest.approx(-twin["difference_expected"])
        assert row["low"] == pytest.approx(-twin["high"])
        assert row["above"] + twin["above"] <= 1


def test_a_variant_that_equals_another_one_differs_by_0_in_every_resample(runs):
    twins = [run for run in runs if run.variant == "global"]
    twins += [FoldResult(**vars(run) | {"variant": "twin"}) for run in twins]
    for row in build_differences(twins, resamples=50, confidence=0.95):
        assert (row["difference"], row["low"], row["high"], row["above"]) == (0, 0, 0, 0)
        assert row["difference_expected"] == 0


def test_the_interval_of_a_paired_difference_is_narrower_than_of_unpaired_ones(runs):
    (row, *_) = build_differences(runs, resamples=400, confidence=0.95)
    spread = 0.0
    for name in (row["variant"], row["against"]):  # independent resamples: variances add up
        looped = loop_differences(
            [*runs, *never_hitting(runs)], name, "never", row["rerank"], 400, seed=9
        )
        spread += np.var(looped)
    assert row["high"] - row["low"] < 0.8 * 2 * 1.96 * np.sqrt(spread)


def never_hitting(runs):
    """A variant without a hit, so that the difference to it is mR itself."""
    similarity = -(IMAGE_OF_SENTENCE == np.arange(15)[:, None]).astype(float)
    ranks = compute_ranks(similarity, IMAGE_OF_SENTENCE)
    return [
        FoldResult(**vars(runs[0]) | {"variant": "never", "ranks": dict.fromkeys(RERANKS, ranks)})
    ]


def test_a_difference_above_0_in_every_resample_says_so(runs):
    rows = build_differences([*runs, *never_hitting(runs)], resamples=30, confidence=0.95)
    (row,) = (
        r for r in rows if (r["variant"], r["against"], r["rerank"]) == ("global", "never", "none")
    )
    assert row["above"] == 1 and row["low"] > 0 and (row["folds"], row["folds_against"]) == (2, 1)


def test_pairs_are_of_one_dataset_and_of_reranks_that_both_have(runs):
    other = [
        FoldResult(**vars(run) | {"dataset": "sydney"}) for run in runs if run.variant == "global"
    ]
    assert {row["dataset"] for row in build_differences([*runs, *other], 5, 0.9)} == {"ucm"}
    assert build_differences(other, 5, 0.9) == []
    plain = FoldResult(
        **vars(runs[0]) | {"variant": "plain", "ranks": {"none": runs[0].ranks["none"]}}
    )
    rows = build_differences([runs[0], plain], 5, 0.9)
    assert [(row["variant"], row["against"], row["rerank"]) for row in rows] == [
        ("corrected", "plain", "none"),
        ("plain", "corrected", "none"),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_of_sentence": IMAGE_OF_SENTENCE[::-1]}, "other, fold 0 was tested on other images than corrected, fold 0"),
        ({"ties": "expected"}, "evaluated with expected ties, corrected, fold 0 with pessimistic ties"),
    ],
)  # fmt: skip
def test_what_cannot_be_paired_is_refused(runs, changes, message):
    with pytest.raises(DataError, match=message):
        build_differences([*runs, fold_result("other", 0, 0.5, **changes)], 5, 0.9)


def test_a_meaningless_interval_is_refused(runs):
    with pytest.raises(ConfigError, match="a fraction in"):
        build_differences(runs, 5, 95.0)
