"""The table of results for a console: plain text, ASCII, under 100 columns."""

from math import isnan

import pandas as pd

from galr.evaluate.metrics import RECALL_NAMES
from galr.report.metrics import Result, results, told


def text(metrics: pd.DataFrame) -> str:
    """Set the mean over folds of every variant and rerank as text.

    Args:
        metrics: as `galr.report.metrics.read` returns it.

    Returns:
        A heading, a line for each result, and what the numbers are; no newline at the end.

    Raises:
        DataError: a variant and rerank has no row `mean`.
    """
    found = results(metrics)
    first = found[0]
    wide = max(len("variant"), *(len(result.variant) for result in found))
    high = max(len("rerank"), *(len(result.rerank) for result in found))
    names = f"{'variant':<{wide}}  {'rerank':<{high}}"
    recalls = _cells(("R@1", "R@5", "R@10"))
    title = (
        f"{metrics['dataset'].iloc[0]}: {first.mean['images']:.0f} test images,"
        f" {first.mean['sentences']:.0f} sentences, {_folds(first)}"
    )
    above = f"{'':<{len(names)}}  {'image to sentence':^20}  {'sentence to image':^20}"
    heads = f"{names}  {recalls}  {recalls}  {'mR':>6} {'std':>5}  interval"
    lines = [f"{r.variant:<{wide}}  {r.rerank:<{high}}  {_numbers(r)}" for r in found]
    rule = "-" * max(map(len, (heads, *lines)))
    note = "Percentages, mean over folds; the interval is of mR, by bootstrap over test images."
    chance = told(metrics, "chance_mr")
    if chance is not None:
        note += f"\nA random order gets an mR of {chance:.2f}."
    return "\n".join([title, "", above.rstrip(), heads, rule, *lines, rule, note])


def _folds(result: Result) -> str:
    """How many folds a mean is of."""
    return f"{len(result.folds)} fold{'s' * (len(result.folds) != 1)}"


def _cells(words: tuple[str, ...]) -> str:
    """Three right-aligned words under one direction."""
    return " ".join(f"{word:>6}" for word in words)


def _numbers(result: Result) -> str:
    """A result's recalls, mR, spread and interval, as wide as the heading."""
    recalls = [f"{result.mean[column]:.2f}" for column in RECALL_NAMES]
    std = result.std["mr"]
    spread = "-" if isnan(std) else f"{std:.2f}"  # one fold has no spread
    return (
        f"{_cells(tuple(recalls[:3]))}  {_cells(tuple(recalls[3:]))}  {result.mean['mr']:>6.2f}"
        f" {spread:>5}  {result.mean['mr_low']:.2f} to {result.mean['mr_high']:.2f}"
    )
