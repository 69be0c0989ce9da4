"""Differences of mR between variants on the same test images: a paired bootstrap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from galr.errors import DataError
from galr.evaluate.bootstrap import bootstrap_mr, check_bootstrap
from galr.evaluate.metrics import expected_mr, retrieval_metrics
from galr.evaluate.ranks import RetrievalRanks
from galr.evaluate.table import FoldResult

DIFFERENCE_COLUMNS = (
    *("dataset", "variant", "against", "rerank"),
    *("difference", "low", "high", "above", "difference_expected"),
    *("ties", "folds", "folds_against", "images", "seed", "resamples", "confidence"),
)

ROUNDING = (
    1e-9  # of sums of equal hits in another order, percentage points; one hit is worth far more
)


@dataclass(frozen=True, eq=False)
class ResampledVariant:
    """The mR of one variant under one rerank, on the test images and on each resample of them.

    Attributes:
        mr: mean over folds, percent.
        mr_expected: the same with ties broken at random.
        resampled_mr: (resamples,) float64, percent; entry r of all variants is of the same images.
    """

    mr: float
    mr_expected: float
    resampled_mr: np.ndarray

    @classmethod
    def resample(
        cls,
        folds: Sequence[RetrievalRanks],
        image_of_sentence: np.ndarray,
        resamples: int,
        seed: int,
    ) -> "ResampledVariant":
        """Resample the images; see `bootstrap_mr` for the arguments and errors."""
        return cls(
            float(np.mean([retrieval_metrics(fold)["mr"] for fold in folds])),
            float(np.mean([expected_mr(fold) for fold in folds])),
            bootstrap_mr(folds, image_of_sentence, resamples, seed),
        )

    def minus(self, other: "ResampledVariant", confidence: float) -> dict[str, float]:
        """Subtract another variant, resample by resample.

        Args:
            other: resampled with the same images, number of resamples and seed.
            confidence: fraction of the resamples inside the interval, in (0, 1).

        Returns:
            `difference` of mR, the ends `low` and `high` of its percentile interval and `difference_expected` (ties
            broken at random), in percentage points; `above`, the fraction of the resamples with a difference above 0.
        """
        differences = self.resampled_mr - other.resampled_mr
        tail = (1 - confidence) / 2
        low, high = np.quantile(differences, [tail, 1 - tail])
        return {
            "difference": self.mr - other.mr,
            "low": float(low),
            "high": float(high),
            "above": float((differences > ROUNDING).mean()),
            "difference_expected": self.mr_expected - other.mr_expected,
        }


def build_differences(
    fold_results: Sequence[FoldResult], resamples: int, confidence: float
) -> list[dict[str, Any]]:
    """Compare every variant with every other one on the same test images.

    Images are hard or easy for all variants alike, so the interval of a difference is usually narrower than two intervals of mR
    side by side suggest. It knows the test images only: another seed or fold may move a difference further.

    Args:
        fold_results: one for each variant and fold; mR is averaged over the folds of a variant.
        resamples: number of resamples of the images, each with all its sentences; the same ones for all variants.
        confidence: fraction of the resamples inside an interval, in (0, 1).

    Returns:
        The rows of differences.csv, `DIFFERENCE_COLUMNS`: for each dataset, each ordered pair of variants and each rerank
        that both have; none where there is one variant.

    Raises:
        ConfigError: no resamples, or a confidence outside (0, 1).
        DataError: variants of a dataset were tested on other images, or ranked under other tie rules.
    """
    check_bootstrap(resamples, confidence, seed=0)
    datasets: dict[str, dict[str, list[FoldResult]]] = {}
    for result in fold_results:
        datasets.setdefault(result.dataset, {}).setdefault(result.variant, []).append(result)
    return [
        row
        for variants in datasets.values()
        if len(variants) > 1
        for row in _dataset_rows(variants, resamples, confidence)
    ]


def _dataset_rows(
    variants: Mapping[str, Sequence[FoldResult]], resamples: int, confidence: float
) -> list[dict[str, Any]]:
    """The rows of one dataset; variants by name, in the order of the table."""
    first = next(iter(variants.values()))[0]
    for result in (fold for folds in variants.values() for fold in folds):
        _check_comparable(first, result)
    seed = first.bootstrap_seed
    resampled = {
        (name, rerank): ResampledVariant.resample(
            [fold.ranks[rerank] for fold in folds], first.image_of_sentence, resamples, seed
        )
        for name, folds in variants.items()
        for rerank in folds[0].ranks
    }
    rows = []
    for name, against in product(variants, variants):
        for rerank in variants[name][0].ranks:
            if name == against or (against, rerank) not in resampled:
                continue
            numbers = resampled[name, rerank].minus(resampled[against, rerank], confidence)
            names = {"dataset": first.dataset, "variant": name, "against": against}
            facts = {
                "ties": first.ties,
                "folds": len(variants[name]),
                "folds_against": len(variants[against]),
                "images": int(first.image_of_sentence.max()) + 1,
                "seed": seed,
                "resamples": resamples,
                "confidence": confidence,
            }
            rows.append(names | {"rerank": rerank} | numbers | facts)
    return rows


def _check_comparable(first: FoldResult, other: FoldResult) -> None:
    """Check that two results can be subtracted.

    Raises:
        DataError: names both, and what differs.
    """
    one, two = (f"{each.variant}, fold {each.fold}" for each in (first, other))
    if not np.array_equal(first.image_of_sentence, other.image_of_sentence):
        raise DataError(
            f"{first.dataset}: {two} was tested on other images than {one}; paired differences need one test split,"
            " so delete both ranks.h5 and run snakemake again"
        )
    if first.ties != other.ties:
        raise DataError(
            f"{first.dataset}: {two} was evaluated with {other.ties} ties, {one} with {first.ties} ties;"
            " evaluate both with the same options"
        )
