"""The table of numbers: a row for each variant, fold and rerank, then the mean and spread of the folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from galr.errors import DataError
from galr.evaluate.bootstrap import bootstrap_interval
from galr.evaluate.metrics import RECALL_NAMES, random_metrics, retrieval_metrics
from galr.evaluate.ranks import RetrievalRanks

METRIC_COLUMNS = (*RECALL_NAMES, "mr", "i2t_medr", "t2i_medr", "i2t_meanr", "t2i_meanr")
PARAMETER_COLUMNS = ("k", "w1", "w2", "xi", "beta", "validation_mr")


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One variant on one fold, ranked under every rerank.

    Attributes:
        dataset: its name.
        variant: its name.
        fold: its number.
        seed: of the experiment.
        ties: the tie rule that its ranks were counted by.
        bootstrap_seed: of the draws behind its interval.
        image_of_sentence: (sentences,) row of the test image a sentence speaks of.
        ranks: by rerank.
        chosen: parameters of each rerank and the validation mR they reached; empty for no rerank.
        ceiling: `metrics.ceiling` of its sentences; empty where they are not known.
    """

    dataset: str
    variant: str
    fold: int
    seed: int
    ties: str
    bootstrap_seed: int
    image_of_sentence: np.ndarray
    ranks: Mapping[str, RetrievalRanks]
    params: Mapping[str, Mapping[str, float]]
    upper_bound: Mapping[str, float]


def metrics_row(
    folds: Sequence[RetrievalRanks],
    image_of_sentence: np.ndarray,
    resamples: int,
    confidence: float,
    bootstrap_seed: int,
    seed: int,
) -> dict[str, float | int | None]:
    """The columns of metrics.csv from `i2t_r1` to `seed`, averaged over folds.

    Args:
        folds: ranks of one fold, or of several that were tested on the same images.
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
        resamples: bootstrap draws behind mr_low and mr_high.
        confidence: share of the draws between them.
        bootstrap_seed: of the draws.
        seed: what the column `seed` says.
    """
    each = [retrieval_metrics(fold) for fold in folds]
    bounds = bootstrap_interval(folds, image_of_sentence, resamples, confidence, bootstrap_seed)
    mean = {name: float(np.mean([fold[name] for fold in each])) for name in METRIC_COLUMNS}
    return _ordered_columns(mean, bounds, image_of_sentence, seed)


def build_table(
    fold_results: Sequence[FoldResult], resamples: int, confidence: float
) -> list[dict[str, Any]]:
    """Gather runs into the rows of metrics.csv.

    Variants come in the order of their first run, and so do the folds and reranks of each; behind its
    folds a variant has rows `mean` (interval by the joint bootstrap of all folds) and `std` (sample
    standard deviation over folds; empty where there is one).

    Args:
        runs: one for each variant and fold.
        resamples: bootstrap draws behind mr_low and mr_high.
        confidence: share of the draws between them.

    Raises:
        DataError: a fold that comes twice, or folds of a variant that do not belong together.
    """
    variants: dict[tuple[str, str], list[FoldResult]] = {}
    for run in fold_results:
        variants.setdefault((run.dataset, run.variant), []).append(run)
    table: list[dict[str, Any]] = []
    for folds in variants.values():
        _check_folds(folds)
        reranks = list(folds[0].ranks)
        table += [
            _fold_row(run, rerank, resamples, confidence) for run in folds for rerank in reranks
        ]
        table += [_mean_row(folds, rerank, resamples, confidence) for rerank in reranks]
        table += [_std_row(folds, rerank) for rerank in reranks]
    return [each | {"confidence": confidence} for each in table]


def _fold_row(
    fold_result: FoldResult, rerank: str, resamples: int, confidence: float
) -> dict[str, Any]:
    """One fold under one rerank."""
    numbers = metrics_row(
        [fold_result.ranks[rerank]],
        fold_result.image_of_sentence,
        resamples,
        confidence,
        fold_result.bootstrap_seed,
        fold_result.seed,
    )
    return _full_row(fold_result, fold_result.fold, rerank, numbers, fold_result.params[rerank])


def _mean_row(
    folds: Sequence[FoldResult], rerank: str, resamples: int, confidence: float
) -> dict[str, Any]:
    """All folds under one rerank."""
    first = folds[0]
    numbers = metrics_row(
        [fold.ranks[rerank] for fold in folds],
        first.image_of_sentence,
        resamples,
        confidence,
        first.bootstrap_seed,
        first.seed,
    )
    return _full_row(first, "mean", rerank, numbers, {})


def _std_row(folds: Sequence[FoldResult], rerank: str) -> dict[str, Any]:
    """How far the folds lie apart."""
    first = folds[0]
    each = [retrieval_metrics(fold.ranks[rerank]) for fold in folds]
    spread: dict[str, float | None] = dict.fromkeys(METRIC_COLUMNS)
    if len(folds) > 1:
        spread = {name: float(np.std([s[name] for s in each], ddof=1)) for name in METRIC_COLUMNS}
    numbers = _ordered_columns(spread, (None, None), first.image_of_sentence, first.seed)
    return _full_row(first, "std", rerank, numbers, {})


def _ordered_columns(
    measures: Mapping[str, float | None],
    bounds: tuple[float | None, float | None],
    image_of_sentence: np.ndarray,
    seed: int,
) -> dict[str, float | int | None]:
    """Put numbers in the order of the columns."""
    recalls = {name: measures[name] for name in (*RECALL_NAMES, "mr")}
    others = {name: measures[name] for name in METRIC_COLUMNS if name not in recalls}
    low, high = bounds
    size = {"images": int(image_of_sentence.max()) + 1, "sentences": len(image_of_sentence)}
    return recalls | {"mr_low": low, "mr_high": high} | others | size | {"seed": seed}


def _full_row(
    fold_result: FoldResult,
    fold: int | str,
    rerank: str,
    numbers: Mapping[str, float | int | None],
    chosen: Mapping[str, float],
) -> dict[str, Any]:
    """Put names before the numbers, and behind them what explains them."""
    names = {
        "dataset": fold_result.dataset,
        "variant": fold_result.variant,
        "fold": fold,
        "rerank": rerank,
    }
    ceilings = {
        f"ceiling_{name}": fold_result.upper_bound.get(name)
        for name in RECALL_NAMES
        if "t2i" in name
    }
    return (
        names
        | dict(numbers)
        | {name: chosen.get(name) for name in PARAMETER_COLUMNS}
        | {
            "ties": fold_result.ties,
            "chance_mr": random_metrics(
                fold_result.image_of_sentence, int(fold_result.image_of_sentence.max()) + 1
            )["mr"],
        }
        | ceilings
    )


def _check_folds(folds: Sequence[FoldResult]) -> None:
    """Refuse folds of a variant that cannot be averaged.

    Raises:
        DataError: says which, and why.
    """
    first, seen = folds[0], set[int]()
    for run in folds:
        name = f"{run.dataset}, {run.variant}, fold {run.fold}"
        if run.fold in seen:
            raise DataError(f"{name} comes twice; give each ranks.h5 once")
        seen.add(run.fold)
        if list(run.ranks) != list(first.ranks) or run.ties != first.ties:
            raise DataError(
                f"{name} was evaluated under {', '.join(run.ranks)} with {run.ties} ties, fold"
                f" {first.fold} under {', '.join(first.ranks)} with {first.ties} ties; evaluate both alike"
            )
        if not np.array_equal(run.image_of_sentence, first.image_of_sentence):
            raise DataError(
                f"{name} was tested on other images than fold {first.fold};"
                " expected one test split, delete both ranks.h5 and run snakemake again"
            )
