"""The rows of metrics.csv: one for each variant, fold and rerank, then mean and standard deviation over folds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from galr.errors import DataError
from galr.evaluate.bootstrap import bootstrap_interval
from galr.evaluate.metrics import RECALL_NAMES, expected_mr, random_metrics, retrieval_metrics
from galr.evaluate.ranks import CUTOFFS, RetrievalRanks

MR_NAMES = ("mr", "mr_expected")
METRIC_COLUMNS = (*RECALL_NAMES, *MR_NAMES, "i2t_medr", "t2i_medr", "i2t_meanr", "t2i_meanr")
EXPECTED_NOTE = "The column 'expected' is mR with ties broken at random, whatever the tie rule of the others is."
PARAMETER_COLUMNS = ("k", "w1", "w2", "xi", "beta", "validation_mr")


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One variant on one fold, ranked under every rerank.

    Attributes:
        dataset: name of the dataset.
        variant: name of the variant.
        fold: number of the fold.
        seed: seed of the experiment.
        ties: tie rule of the ranks.
        bootstrap_seed: seed of the intervals.
        image_of_sentence: (sentences,) row of the test image that each sentence describes.
        ranks: ranks by rerank.
        params: parameters and validation mR by rerank; the rerank `none` has no parameters.
        upper_bound: `metrics.t2i_upper_bound` of the sentences; empty if they are not known.
    """

    dataset: str
    variant: str
    fold: int
    seed: int
    ties: str
    bootstrap_seed: int
    image_of_sentence: np.ndarray
    ranks: Mapping[str, RetrievalRanks]
    params: Mapping[str, Mapping[str, float | None]]
    upper_bound: Mapping[str, float]


def build_table(
    fold_results: Sequence[FoldResult], resamples: int, confidence: float
) -> list[dict[str, Any]]:
    """Combine folds and variants into the rows of metrics.csv.

    Variants, their folds and their reranks are in the order of their first appearance. The rows of a variant's
    folds are followed by rows `mean` (interval from the bootstrap of all folds together) and `std` (sample
    standard deviation over folds; empty for a single fold).

    Args:
        fold_results: one for each variant and fold.
        resamples: number of resamples of the intervals mr_low to mr_high.
        confidence: fraction of the resamples inside an interval, in (0, 1).

    Raises:
        DataError: a fold is given twice, or folds of a variant cannot be averaged.
    """
    variants: dict[tuple[str, str], list[FoldResult]] = {}
    for fold_result in fold_results:
        variants.setdefault((fold_result.dataset, fold_result.variant), []).append(fold_result)
    rows: list[dict[str, Any]] = []
    for folds in variants.values():
        _check_folds(folds)
        reranks = list(folds[0].ranks)
        rows += [_fold_row(fold, name, resamples, confidence) for fold in folds for name in reranks]
        rows += [_mean_row(folds, name, resamples, confidence) for name in reranks]
        rows += [_std_row(folds, name) for name in reranks]
    return [row | {"confidence": confidence} for row in rows]


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
        image_of_sentence: (sentences,) row of the image that each sentence describes.
        resamples: number of resamples of the interval mr_low to mr_high.
        confidence: fraction of the resamples inside the interval, in (0, 1).
        bootstrap_seed: seed of the interval.
        seed: value of the column `seed`.

    Raises:
        ConfigError: no resamples, a confidence outside (0, 1), or a negative bootstrap seed.
        ShapeError: no folds, or folds of other images.
    """
    metrics = [_fold_metrics(fold) for fold in folds]
    interval = bootstrap_interval(folds, image_of_sentence, resamples, confidence, bootstrap_seed)
    mean = {name: float(np.mean([fold[name] for fold in metrics])) for name in METRIC_COLUMNS}
    return _ordered_columns(mean, interval, image_of_sentence, seed)


def _fold_metrics(ranks: RetrievalRanks) -> dict[str, float]:
    """The columns of `METRIC_COLUMNS` of one fold."""
    return retrieval_metrics(ranks) | {"mr_expected": expected_mr(ranks)}


def format_rows(
    rows: Mapping[str, Mapping[str, float | int | None]], image_of_sentence: np.ndarray
) -> str:
    """Format the rows of one evaluation as a table for the console.

    Args:
        rows: by rerank, as `metrics_row` returns them.
        image_of_sentence: (sentences,) row of the image that each sentence describes.

    Returns:
        ASCII text: a title, a line for each rerank, and notes; no newline at the end.
    """
    num_images = int(image_of_sentence.max()) + 1
    chance = random_metrics(image_of_sentence, num_images)["mr"]
    numbers: dict[tuple[str, ...], dict[str, float]] = {
        (name,): {key: float(value or 0) for key, value in row.items()}
        for name, row in rows.items()
    }
    return "\n".join(
        (
            f"{num_images} images, {len(image_of_sentence)} sentences",
            "",
            *format_lines(("rerank",), numbers, chance=chance, ranks=True),
            "Percentages, and ranks from 1; the interval is of mR, by bootstrap over images.",
            EXPECTED_NOTE,
            *chance_notes(numbers.values(), chance),
        )
    )


def format_lines(
    names: Sequence[str],
    rows: Mapping[tuple[str, ...], Mapping[str, float]],
    stds: Mapping[tuple[str, ...], float] | None = None,
    *,
    chance: float | None,
    ranks: bool = False,
) -> list[str]:
    """Format results as aligned lines between two rules, below their headings.

    Args:
        names: headings of the columns that name a row.
        rows: columns of metrics.csv by the names of the row.
        stds: standard deviation of mR by the names of the row, NaN where there is none; None for no such column.
        chance: mR of a random order, percent; rows that do not exceed it are marked. None marks none.
        ranks: whether to add the median and mean ranks.
    """
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    recalls = " ".join(f"{f'R@{cutoff}':>6}" for cutoff in CUTOFFS)
    groups, columns = (
        [f"{'image to sentence':^20}", f"{'sentence to image':^20}"],
        [recalls, recalls],
    )
    columns.append(f"{'mR':>6}" + (f" {'std':>5}" if stds is not None else ""))
    columns.append("expected")
    intervals = {key: f"{row['mr_low']:.2f} to {row['mr_high']:.2f}" for key, row in rows.items()}
    interval_width = max(map(len, intervals.values()))
    columns.append(f"{'interval':<{interval_width}}")
    if ranks:
        groups += [
            " " * len("  ".join(columns[2:])),
            f"{'median rank':^15}",
            f"{'mean rank':^15}",
        ]
        columns += [f"{'image':>7} {'sentence':>8}"] * 2
    names_line = "  ".join(f"{name:<{width}}" for name, width in zip(names, widths, strict=True))
    lines = []
    for row_names, row in rows.items():
        cells = [f"{name:<{width}}" for name, width in zip(row_names, widths, strict=True)]
        cells += [
            " ".join(f"{row[name]:>6.2f}" for name in RECALL_NAMES if name.startswith(direction))
            for direction in ("i2t", "t2i")
        ]
        spread = ""
        if stds is not None:
            spread = f" {'-' if isnan(stds[row_names]) else format(stds[row_names], '.2f'):>5}"
        cells.append(f"{row['mr']:>6.2f}{spread}")
        cells.append(f"{row['mr_expected']:>8.2f}")
        cells.append(f"{intervals[row_names]:<{interval_width}}")
        if ranks:
            for kind in ("medr", "meanr"):
                cells.append(f"{row[f'i2t_{kind}']:>7.1f} {row[f't2i_{kind}']:>8.1f}")
        if chance is not None and at_chance(row, chance):
            cells.append("chance")
        lines.append("  ".join(cells).rstrip())
    heads = [f"{' ' * len(names_line)}  {'  '.join(groups)}", f"{names_line}  {'  '.join(columns)}"]
    heads = [head.rstrip() for head in heads]
    rule = "-" * max(map(len, (*heads, *lines)))
    return [*heads, rule, *lines, rule]


def at_chance(row: Mapping[str, float], chance: float) -> bool:
    """Whether the interval of a row's mR does not lie above the mR of a random order."""
    return row["mr_low"] <= chance


def chance_notes(rows: Iterable[Mapping[str, float]], chance: float) -> list[str]:
    """Say what mR a random order has, and what the mark `chance` means where a row has it."""
    note = f"A random order has an mR of {chance:.2f}."
    if any(at_chance(row, chance) for row in rows):
        note += " Rows marked 'chance' may be no better: their interval does not lie above it."
    return [note]


def _fold_row(fold: FoldResult, rerank: str, resamples: int, confidence: float) -> dict[str, Any]:
    """The row of one fold under one rerank."""
    numbers = metrics_row(
        [fold.ranks[rerank]],
        fold.image_of_sentence,
        resamples,
        confidence,
        fold.bootstrap_seed,
        fold.seed,
    )
    return _full_row(fold, fold.fold, rerank, numbers, fold.params[rerank])


def _mean_row(
    folds: Sequence[FoldResult], rerank: str, resamples: int, confidence: float
) -> dict[str, Any]:
    """The row `mean` of all folds under one rerank."""
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
    """The row `std` of all folds under one rerank."""
    first = folds[0]
    std: dict[str, float | None] = dict.fromkeys(METRIC_COLUMNS)
    if len(folds) > 1:
        metrics = [_fold_metrics(fold.ranks[rerank]) for fold in folds]
        std = {
            name: float(np.std([fold[name] for fold in metrics], ddof=1)) for name in METRIC_COLUMNS
        }
    numbers = _ordered_columns(std, (None, None), first.image_of_sentence, first.seed)
    return _full_row(first, "std", rerank, numbers, {})


def _ordered_columns(
    metrics: Mapping[str, float | None],
    interval: tuple[float | None, float | None],
    image_of_sentence: np.ndarray,
    seed: int,
) -> dict[str, float | int | None]:
    """The columns from `i2t_r1` to `seed` in their order."""
    recalls = {name: metrics[name] for name in (*RECALL_NAMES, *MR_NAMES)}
    ranks = {name: metrics[name] for name in METRIC_COLUMNS if name not in recalls}
    low, high = interval
    sizes = {"images": int(image_of_sentence.max()) + 1, "sentences": len(image_of_sentence)}
    return recalls | {"mr_low": low, "mr_high": high} | ranks | sizes | {"seed": seed}


def _full_row(
    result: FoldResult,
    fold: int | str,
    rerank: str,
    numbers: Mapping[str, float | int | None],
    params: Mapping[str, float | None],
) -> dict[str, Any]:
    """All columns but `confidence`: names, numbers, parameters, and what the numbers compare with."""
    names = {"dataset": result.dataset, "variant": result.variant, "fold": fold, "rerank": rerank}
    num_images = int(result.image_of_sentence.max()) + 1
    chance = random_metrics(result.image_of_sentence, num_images)["mr"]
    ceilings = {
        f"ceiling_{name}": result.upper_bound.get(name) for name in RECALL_NAMES if "t2i" in name
    }
    return (
        names
        | dict(numbers)
        | {name: params.get(name) for name in PARAMETER_COLUMNS}
        | {"ties": result.ties, "chance_mr": chance}
        | ceilings
    )


def _check_folds(folds: Sequence[FoldResult]) -> None:
    """Check that the folds of a variant can be averaged.

    Raises:
        DataError: names the fold, and what differs.
    """
    first, numbers = folds[0], set[int]()
    for fold in folds:
        name = f"{fold.dataset}, {fold.variant}, fold {fold.fold}"
        if fold.fold in numbers:
            raise DataError(f"{name} is given twice; give each ranks.h5 once")
        numbers.add(fold.fold)
        if list(fold.ranks) != list(first.ranks) or fold.ties != first.ties:
            raise DataError(
                f"{name} was evaluated under {', '.join(fold.ranks)} with {fold.ties} ties, fold"
                f" {first.fold} under {', '.join(first.ranks)} with {first.ties} ties; evaluate both"
                " with the same options"
            )
        if not np.array_equal(fold.image_of_sentence, first.image_of_sentence):
            raise DataError(
                f"{name} was tested on other images than fold {first.fold};"
                " expected one test split, delete both ranks.h5 and run snakemake again"
            )
