"""Axes, intervals and curves: the position of a mark, read with the ticks, is the number that it shows."""

import math

import numpy as np
import pandas as pd
import pytest

from galr.errors import DataError
from galr.report.comparison import compare_results, overlap_statements
from galr.report.curves import BOTTOM, LEFT, RIGHT, TOP, epoch_axis, make_axis, make_panels
from galr.report.results import RunId, VariantResult, run_from_path


def value_at(position, first, last):
    """Read the value at a position from two ticks, each a position and a value."""
    (a, low), (b, high) = first, last
    return low + (position - a) / (b - a) * (high - low)


def outer_ticks(ticks):
    return (ticks[0].position, float(ticks[0].label)), (ticks[-1].position, float(ticks[-1].label))


def result(variant, mr, low, high, rerank="none", folds=()):
    mean = {"mr": mr, "mr_low": low, "mr_high": high}
    return VariantResult(
        variant, rerank, mean, {"mr": math.nan}, {str(k): {"mr": v} for k, v in enumerate(folds)}
    )


@pytest.mark.parametrize("top", [0.003, 0.9, 1, 7, 33.3, 99.99, 100, 12345])
def test_an_axis_covers_its_values_with_round_ticks(top):
    axis = make_axis([0.1 * top, top], 0, 100)
    marked = [float(tick.label) for tick in axis.ticks()]
    assert marked[0] == 0
    assert marked[-1] >= top
    assert marked[-2] < top
    assert 3 <= len(marked) <= 7
    steps = np.diff(marked)
    assert np.allclose(steps, steps[0])
    assert round(steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9), 6) in (1, 2, 2.5, 5)


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [5.0, 5.0], [math.inf, 2.0]])
def test_an_axis_without_two_different_values_has_a_range(values):
    axis = make_axis(values, 0, 100)
    assert axis.low < axis.high
    assert all(0 <= axis.position(v) <= 100 for v in values if math.isfinite(v))


def test_bars_are_at_the_positions_of_their_numbers():
    results = [result("a", 40.2, 38.1, 42.9, folds=(39, 41.4)), result("b", 30, 28, 38.2)]
    comparison = compare_results(results, chance=2.5)
    ticks = outer_ticks(comparison.ticks)
    for bar, expected in zip(comparison.bars, results, strict=True):
        for position, column in ((bar.low, "mr_low"), (bar.mean, "mr"), (bar.high, "mr_high")):
            assert value_at(position, *ticks) == pytest.approx(expected.mean[column], abs=0.02)
    assert [value_at(x, *ticks) for x in comparison.bars[0].folds] == pytest.approx(
        [39, 41.4], abs=0.02
    )
    assert value_at(comparison.chance, *ticks) == pytest.approx(2.5, abs=0.02)
    assert [bar.is_best for bar in comparison.bars] == [True, False]


@pytest.mark.parametrize(
    ("low", "high", "overlaps"),
    [
        (20, 37.9, False),
        (20, 38, True),
        (39, 40, True),
        (20, 60, True),
        (42, 50, True),
        (43, 50, False),
    ],
)
def test_intervals_overlap_when_they_share_a_point(low, high, overlaps):
    leader, other = result("a", 70, 38, 42), result("b", 30, low, high)
    assert leader.overlaps(other) == other.overlaps(leader) == overlaps
    assert compare_results([other, leader], 1).bars[0].overlaps == overlaps
    (sentence,) = overlap_statements([other, leader])
    assert sentence.endswith(": the intervals overlap.") == overlaps


def test_overlap_is_stated_for_results_of_the_same_rerank():
    results = [
        result("a", 40, 39, 41),
        result("a", 50, 49, 51, "mr-code"),
        result("b", 45, 44, 46, "mr-code"),
    ]
    assert overlap_statements(results) == []
    (sentence,) = overlap_statements([*results, result("b", 30, 29, 31)])
    assert (
        sentence
        == "a 40.00 (39.00 to 41.00) and b 30.00 (29.00 to 31.00): the intervals do not overlap."
    )


def history(epochs, loss, mr, best):
    table = pd.DataFrame({"epoch": epochs, "loss": loss, "mr": mr})
    return table.assign(best=table["epoch"] == best)


def test_curves_are_at_the_positions_of_their_numbers():
    histories = {
        RunId("b", 0): history([1, 2, 3, 4], [9.0, 5.0, 4.0, 3.5], [3.0, 12.0, 11.0, 10.0], 2),
        RunId("a", 1): history(
            [1, 2], [8.0, 6.0], [math.nan, 7.5], 2
        ),  # the first was not validated
        RunId("a", 0): history([1, 2], [7.0, 6.5], [2.0, 1.0], 1),
    }
    panels = make_panels(histories)
    assert [(p.variant, p.quantity) for p in panels] == [
        ("b", "loss"), ("b", "mr"), ("a", "loss"), ("a", "mr"),
    ]  # fmt: skip
    assert len({p.y_ticks for p in panels if p.quantity == "mr"}) == 1
    for panel in panels:
        x_ticks, y_ticks = outer_ticks(panel.x_ticks), outer_ticks(panel.y_ticks)
        for curve in panel.curves:
            table = histories[RunId(panel.variant, curve.fold)].dropna()
            points = [tuple(map(float, point.split(","))) for point in curve.points.split()]
            assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in points)
            read = [(value_at(x, *x_ticks), value_at(y, *y_ticks)) for x, y in points]
            kept = table[table["best"]].iloc[0]
            if panel.quantity == "loss":
                table = histories[RunId(panel.variant, curve.fold)]
            expected = table[["epoch", panel.quantity]].to_numpy()
            np.testing.assert_allclose(read, expected, atol=0.05)
            assert curve.best.epoch == kept["epoch"]
            assert value_at(curve.best.y, *y_ticks) == pytest.approx(kept[panel.quantity], abs=0.05)
            assert (curve.best.x, curve.best.y) in points


@pytest.mark.parametrize("last", [2, 3, 7, 12, 13, 20, 70, 1000])
def test_ticks_of_epochs_are_whole_numbers_up_to_the_last(last):
    axis = epoch_axis(last, LEFT, RIGHT)
    marked = [float(tick.label) for tick in axis.ticks()]
    assert (axis.position(1), axis.position(last)) == (LEFT, RIGHT)
    assert all(mark.is_integer() and 1 <= mark <= last for mark in marked)
    assert 2 <= len(marked) <= 7
    assert len(set(np.diff(marked))) == 1
    assert [tick.position for tick in axis.ticks()] == [axis.position(mark) for mark in marked]


def test_one_epoch_is_a_point_and_no_history_is_no_panel():
    (loss, _) = make_panels({RunId("a", 0): history([1], [2.0], [5.0], 1)})
    (tick,) = loss.x_ticks
    assert (tick.label, tick.position) == ("1", loss.curves[0].best.x)
    assert make_panels({}) == []


def test_a_variant_that_was_not_trained_is_a_point_at_epoch_zero():
    untrained = history([0], [math.nan], [33.0], 0)
    trained = history([1, 2], [2.0, 1.0], [5.0, 6.0], 2)
    loss, mr, *_ = make_panels({RunId("zeroshot", 0): untrained, RunId("a", 0): trained})
    assert (loss.curves[0].points, loss.curves[0].best) == ("", None)
    (point,) = mr.curves[0].points.split()
    assert point.startswith(f"{LEFT},") and mr.curves[0].best.epoch == 0
    assert [tick.label for tick in mr.x_ticks] == ["0", "1", "2"]
    _, alone = make_panels({RunId("zeroshot", 0): untrained})
    assert [tick.label for tick in alone.x_ticks] == ["0"]


def test_titles_name_the_loss_of_the_variant_if_it_is_known():
    one = history([1], [2.0], [5.0], 1)
    panels = make_panels({RunId("a", 0): one, RunId("b", 0): one}, {"a": "infonce"})
    assert [panel.title for panel in panels] == [
        "Training loss infonce, mean over pairs",
        "Validation mR, percent",
        "Training loss, mean over pairs",
        "Validation mR, percent",
    ]


def test_a_run_is_read_from_its_path(tmp_path):
    assert run_from_path(tmp_path / "ucm" / "no_drea" / "fold12" / "history.csv") == RunId(
        "no_drea", 12
    )
    with pytest.raises(DataError, match=r"expected <variant>/fold<k>/history\.csv"):
        run_from_path(tmp_path / "history.csv")
