"""The table of results on the console."""

from pathlib import Path

import pandas as pd
import pytest

from galr.__main__ import main
from galr.evaluate.metrics import RECALL_NAMES
from galr.report.results import format_table, read_metrics


def test_the_table_holds_the_means_in_order(draw):
    path = draw().folder / "metrics.csv"
    text = format_table(read_metrics(path))
    table = pd.read_csv(path, dtype={"fold": str})
    means = table[table["fold"] == "mean"]
    spread = table[table["fold"] == "std"]
    lines = [line.split() for line in text.splitlines() if line.startswith(("corrected", "global"))]
    assert len(lines) == len(means) == 4
    for line, (_, mean), (_, std) in zip(lines, means.iterrows(), spread.iterrows(), strict=True):
        assert line[:2] == [mean["variant"], mean["rerank"]]
        numbers = [mean[column] for column in (*RECALL_NAMES, "mr")]
        numbers += [std["mr"], *(mean[name] for name in ("mr_expected", "mr_low", "mr_high"))]
        chance = ["chance"] * (mean["mr_low"] <= mean["chance_mr"])
        assert [part for part in line[2:] if part != "to"] == [
            f"{number:.2f}" for number in numbers
        ] + chance
    assert text.startswith("ucm: 10 test images, 30 sentences, 2 folds\n")
    assert f"mR of {table['chance_mr'].iloc[0]:.2f}" in text


def test_rows_at_chance_are_marked_and_the_word_is_explained_once(draw):
    results = draw(variants=("corrected", "global", "local", "still"))
    text = format_table(read_metrics(results.folder / "metrics.csv"))
    marked = [line for line in text.splitlines() if line.endswith("  chance")]
    assert 0 < len(marked) < 8
    assert text.count("Rows marked 'chance' may be no better") == 1
    assert "chance" not in format_table(
        read_metrics(draw(dataset="one", variants=("corrected",)).folder / "metrics.csv")
    )


def test_the_choice_of_validation_is_named(draw):
    results = draw(validation_mr={("global", "mr-code"): 50})
    text = format_table(read_metrics(results.folder / "metrics.csv"))
    assert text.endswith("\nChosen on validation: global, rerank mr-code.")
    results = draw(dataset="old", validation_mr={("global", "none"): None})
    assert "validation" not in format_table(read_metrics(results.folder / "metrics.csv"))


def test_the_table_is_ascii_with_aligned_columns(draw):
    text = format_table(
        read_metrics(draw(variants=("a_variant_of_a_long_name",)).folder / "metrics.csv")
    )
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 120
    lines = [line for line in text.splitlines() if " to " in line and "%" not in line]
    assert len({line.index(" to ") for line in lines if line.startswith("a_")}) == 1  # in columns


def test_one_fold_has_a_dash_as_spread_and_chance_may_be_missing(draw):
    metrics = read_metrics(draw(folds=1).folder / "metrics.csv").drop(columns="chance_mr")
    text = format_table(metrics)
    assert "1 fold\n" in text
    assert " -  " in text
    assert "random order" not in text


def test_report_and_show_print_the_table_and_the_path(draw, capsys):
    results = draw()
    metrics, page = results.folder / "metrics.csv", results.folder / "report.html"
    expected = f"{format_table(read_metrics(metrics))}\n\n{page}\n"
    assert results.report() == 0
    assert capsys.readouterr().out == expected
    assert main(["show", "--metrics", str(metrics), "--report", str(page)]) == 0
    assert capsys.readouterr().out == expected


def test_show_refuses_a_missing_report(draw, capsys):
    folder = draw().folder
    assert (
        main(["show", "--metrics", str(folder / "metrics.csv"), "--report", str(Path("no.html"))])
        == 2
    )
    assert "no.html does not exist; make it with galr report" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n1,2,3\n4\n"])
def test_a_file_that_is_no_csv_is_refused_in_one_line(tmp_path, capsys, content):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    (tmp_path / "report.html").touch()
    assert main(["show", "--metrics", str(path), "--report", str(tmp_path / "report.html")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
