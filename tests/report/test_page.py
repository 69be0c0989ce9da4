"""The page, parsed: its numbers are those of the files, text is escaped, and it needs no other file."""

import json
import re
from html.parser import HTMLParser

import h5py
import numpy as np
import pandas as pd
import pytest

from galr.evaluate.metrics import RECALL_NAMES
from galr.io.formats import Dataset, Graphs, Regions, Similarity
from galr.report.published_results import PUBLISHED_CSV

ALL = "99"  # more examples than there are queries


class Reader(HTMLParser):
    """The elements of a page, its text, and the cells of its tables by the table's id."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.tables, self.text = [], {}, ""
        self.table, self.cell = None, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag == "table":
            self.table = self.tables.setdefault(given.get("id"), [])
        elif tag == "tr" and self.table is not None:
            self.table.append([])
        elif tag in ("td", "th") and self.table is not None:
            self.cell = [given.get("data-column"), ""]
            self.table[-1].append(self.cell)
        elif tag == "small" or given.get("class") == "source":
            self.cell = None  # the spread below a mean, the settings below the name of a variant

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = None
        elif tag == "table":
            self.table = None

    def handle_data(self, data):
        self.text += data
        if self.cell is not None:
            self.cell[1] += data.strip()

    def rows(self, table):
        """Yield the data rows of a table: the cells without a column's name, and the others by name."""
        for row in self.tables[table]:
            named = {column: text for column, text in row if column}
            if named:
                yield [text for column, text in row if not column], named


def metrics_of(results):
    dtypes = dict.fromkeys(("variant", "fold", "rerank"), str)
    return pd.read_csv(results.folder / "metrics.csv", dtype=dtypes).set_index(
        ["variant", "rerank", "fold"]
    )


def test_the_tables_hold_the_numbers_of_the_csv(draw):
    results = draw()
    page, metrics = Reader(results.page()), metrics_of(results)
    seen = set()
    for table in ("means", "folds"):
        for names, cells in page.rows(table):
            key = (*names[:2], names[2] if table == "folds" else "mean")
            row = metrics.loc[key]
            seen.add(key)
            for column in (*RECALL_NAMES, "mr", "mr_expected"):
                assert cells[column] == f"{row[column]:.2f}"
            assert cells["interval"] == f"{row['mr_low']:.2f} to {row['mr_high']:.2f}"
            assert cells["i2t_medr"] == f"{row['i2t_medr']:.1f}"
    assert seen == {key for key in metrics.index if key[2] != "std"}


def test_the_other_columns_are_all_there(draw):
    results = draw()
    page, metrics = Reader(results.page()), metrics_of(results)
    heads = [text for _, text in page.tables["others"][0]]
    shown = {
        "dataset",
        *RECALL_NAMES,
        "mr",
        "mr_expected",
        "mr_low",
        "mr_high",
        "i2t_medr",
        "t2i_medr",
    }
    assert set(heads) == set(metrics.reset_index().columns) - shown
    for _, cells in page.rows("others"):
        row = metrics.loc[(cells["variant"], cells["rerank"], cells["fold"])]
        for column in ("i2t_meanr", "k", "chance_mr"):
            number = float("nan") if cells[column] == "–" else float(cells[column])  # noqa: RUF001
            assert number == pytest.approx(row[column], rel=1e-5, nan_ok=True)


def header_of(html):
    """The text above the first section."""
    return re.sub(r"\s+", " ", Reader(html).text.split("Results")[0])


def headline_of(html):
    return re.search(r'id="headline">([^<]*)<', html)[1]


@pytest.mark.parametrize(
    "chosen", [("corrected", "none"), ("global", "none"), ("global", "mr-code")]
)
def test_the_headline_is_chosen_on_validation_whatever_the_test_says(draw, chosen):
    results = draw(validation_mr={chosen: 50})
    html, metrics = results.page(), metrics_of(results)
    means = metrics.xs("mean", level="fold")
    best = means["mr"].idxmax()
    assert headline_of(html) == f"{means.loc[chosen, 'mr']:.2f}"
    text = header_of(html)
    label = chosen[0] if chosen[1] == "none" else " · ".join(chosen)
    assert f"chosen on validation{label}" in text
    assert "validation images, 50.00: it was chosen on validation" in text
    assert (f"reached more ({means.loc[best, 'mr']:.2f})" in text) == (best != chosen)
    shaded = re.search(r'<tr class="leads.*?</th><td class="left">(.*?)</td>', html, re.DOTALL)
    assert shaded[1] == chosen[1]


def test_without_validation_of_all_the_headline_says_how_it_was_chosen(draw):
    results = draw(validation_mr={("global", "mr-code"): None, ("global", "none"): 99})
    html = results.page()
    assert headline_of(html) == f"{metrics_of(results).xs('mean', level='fold')['mr'].max():.2f}"
    text = header_of(html)
    assert "chosen by the test results themselves" in text
    assert "holds no validation mR of global · mr-code; with that" in text
    assert "The shaded row was chosen on validation" not in html


def test_every_row_whose_interval_holds_chance_is_marked(draw):
    results = draw(variants=("corrected", "global", "local", "still"))
    html, metrics = results.page(), metrics_of(results)
    chance = metrics["chance_mr"].iloc[0]
    rows = metrics[metrics.index.get_level_values("fold") != "std"]
    expected = sorted(
        f"{row['mr_low']:.2f} to {row['mr_high']:.2f}"
        for _, row in rows.iterrows()
        if row["mr_low"] <= chance
    )
    marked = re.findall(r'<td data-column="interval">([^<]*)<small class="chance">chance<', html)
    assert sorted(marked) == expected
    assert 0 < len(expected) < len(rows)
    assert html.count("Rows marked “chance”") == 1
    assert "may be no better than chance" not in header_of(html)
    results = draw(
        dataset="other", variants=("corrected", *"abcd"), validation_mr={("d", "none"): 90}
    )
    assert "may be no better than chance" in header_of(results.page())


def test_the_headline_has_its_interval_and_chance(draw):
    results = draw()
    metrics = metrics_of(results)
    row = metrics.loc[("corrected", "none", "mean")]
    text = header_of(results.page())
    for number in (row["mr"], row["mr_low"], row["mr_high"], metrics["chance_mr"].iloc[0]):
        assert f"{number:.2f}" in text
    assert "10 test images" in text
    assert "30 test sentences" in text
    assert "2 folds" in text


def test_the_fraction_of_correct_queries_is_the_recall_of_the_shown_fold(draw):
    results = draw()
    row = metrics_of(results).loc[("corrected", "none", "0")]
    percentages = re.findall(r"\((\d+\.\d) %\) have a correct", Reader(results.page()).text)
    assert percentages == [f"{row['t2i_r1']:.1f}", f"{row['i2t_r1']:.1f}"]


def test_text_is_escaped(draw):
    results = draw()
    page = Reader(results.page("--examples", ALL))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "i"}
    with Dataset.open(results.folder / "dataset.h5") as file:
        odd = file.sentences[6]
    assert "<script>" in odd
    assert page.text.count(odd) >= 2  # as a query and as a candidate
    assert "<b>dock</b>" in page.text
    assert "holds no word: '<i>'" in page.text


def test_the_page_needs_no_other_file(draw):
    html = draw().page()
    page = Reader(html)
    for tag, given in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "xlink:href", "action", "poster", "srcset"):
            address = given.get(name, "#")
            assert address.startswith(("#", "data:image/jpeg;base64,"))
        assert not any(name.startswith("on") for name in given)
    assert "@import" not in html
    assert "url(" not in html
    ids = {given["id"] for _, given in page.elements if "id" in given}
    links = {given["href"][1:] for tag, given in page.elements if tag == "a"}
    assert links <= ids


def test_every_figure_has_a_caption(draw):
    """A figure has a caption of its own before it ends."""
    depth = []
    for tag in re.findall(r"<(/?fig(?:ure|caption))\b", draw().page()):
        if tag == "figure":
            depth.append(False)
        elif tag == "figcaption":
            depth[-1] = True
        elif tag == "/figure":
            assert depth.pop()
    assert depth == []


def test_the_same_files_give_the_same_page_and_another_seed_other_examples(draw):
    results = draw()
    first = results.page("--examples", "2")
    assert results.page("--examples", "2") == first
    assert results.page("--examples", "2", "--seed", "5") != first


def test_the_boxes_are_the_kept_regions_in_their_pixels(draw):
    results = draw()
    html = results.page("--examples", ALL)
    with (
        Regions.open(results.folder / "regions.h5") as detections,
        Graphs.open(results.folder / "corrected" / "graphs.h5") as graph,
    ):
        offsets, boxes, kept = detections.offsets[:], detections.boxes[:], graph.region_index[:]
    svgs = re.findall(r'<svg class="image".*?</svg>', html, flags=re.DOTALL)
    assert svgs
    for svg in svgs:
        image = int(re.search(r"scene (\d+),", svg)[1])
        drawn = re.findall(
            r'<rect class="box box\d" x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)"', svg
        )
        x1, y1, x2, y2 = boxes[offsets[image] + kept[image][kept[image] >= 0]].T
        expected = np.stack([x1, y1, x2 - x1, y2 - y1], axis=1)
        np.testing.assert_allclose(np.array(drawn, float).reshape(-1, 4), expected, atol=0.11)
        assert 'viewBox="0 0 60 40"' in svg
        assert (
            'width="60" height="40" preserveAspectRatio="none"' in svg
        )  # the stored one is square


def test_published_results_are_shown_as_in_the_file(draw):
    results = draw(dataset="sydney")
    page = Reader(results.page())
    ours, at_random, *rows = [row for row in page.tables["peers"] if len(row) > 2][1:]
    mean = metrics_of(results).loc["corrected", "none", "mean"]
    assert [text for _, text in ours][:2] == ["pessimistic ties", f"{mean['mr']:.2f}"]
    assert [text for _, text in at_random][:2] == [
        "ties broken at random",
        f"{mean['mr_expected']:.2f}",
    ]
    assert [text for _, text in ours][4:] == [f"{mean[column]:.2f}" for column in RECALL_NAMES]
    assert "Papers do not say how they rank equal similarities" in page.text
    table = pd.read_csv(PUBLISHED_CSV)
    for row, (_, given) in zip(rows, table[table["dataset"] == "sydney"].iterrows(), strict=True):
        texts = [text for _, text in row]
        assert texts[0].startswith(given["method"])
        assert texts[1:4] == [f"{given['mr']:.2f}", given["pretraining"], given["protocol"]]
        assert texts[4:] == [f"{given[column]:.2f}" for column in RECALL_NAMES]


def test_paired_differences_to_the_chosen_variant_are_shown_as_in_the_file(draw):
    results = draw(
        variants=("corrected", "global", "local"), validation_mr={("global", "none"): 50}
    )
    page = Reader(results.page())
    table = pd.read_csv(results.folder / "differences.csv")
    rows = table[(table["against"] == "global") & (table["rerank"] == "none")]
    shown = list(page.rows("differences"))
    assert [names for names, _ in shown] == [["corrected"], ["local"]]
    for (_, cells), (_, row) in zip(shown, rows.iterrows(), strict=True):
        assert cells == {
            "difference": f"{row['difference']:+.2f}",
            "interval": f"{row['low']:+.2f} to {row['high']:+.2f}",
            "above": f"{100 * row['above']:.1f} %",
            "difference_expected": f"{row['difference_expected']:+.2f}",
        }
    held = sum(row["low"] <= 0 <= row["high"] for _, row in rows.iterrows())
    assert page.text.count("holds 0") == held


def test_one_variant_has_no_paired_differences(draw):
    results = draw(variants=("corrected",))
    assert (results.folder / "differences.csv").read_text().count("\n") == 1  # the header
    page = Reader(results.page())
    assert "differences" not in page.tables and "paired" not in page.text


def test_a_dataset_without_published_results_has_a_sentence_instead(draw):
    page = Reader(draw(dataset="demo").page())
    assert "peers" not in page.tables
    assert "We know of no published results on demo" in page.text


def test_one_fold_has_no_spread(draw):
    page = Reader(draw(folds=1).page())
    assert "±" not in page.text
    assert "One fold has no spread" in page.text


def test_a_dataset_without_regions_has_a_sentence_instead(draw):
    results = draw(regions=False)
    html = results.page()
    assert not re.search(r'<rect class="box', html)
    assert "The detector found no region on any of 14 images" in Reader(html).text


def drea_rows(page):
    """Return the rows of the table of kept and dropped regions, by their first cell."""
    return {
        names[0]: {column: text.replace(",", "") for column, text in cells.items()}
        for names, cells in page.rows("drea")
    }


def test_every_set_of_equal_graphs_has_a_row(draw):
    variants = ("corrected", "still", "iou", "no_drea", "published", "global")
    results = draw(variants=variants, folds=1)
    html = results.page()
    page = Reader(html)
    rows = drea_rows(page)
    assert list(rows) == [
        "corrected, still",
        "iou",
        "no_drea",
        "published",
    ]
    below = re.findall(r'class="names">(\w+)<span class="source">(.*?)</span>', html)
    assert below == [
        ("iou", "similarity iou, similarity threshold 0.5"),
        ("no_drea", "proximity uniform, no salience, similarity none"),
        ("published", "published UCM"),
    ]
    with Regions.open(results.folder / "regions.h5") as file:
        scores = file.scores[:]
    for name, row in rows.items():
        path = results.folder / name.split(",")[0] / "graphs.h5"
        with Graphs.open(path) as file:
            mask, redundant = file.mask[:], file.num_redundant[:]
        assert int(row["kept"]) == mask.sum()
        assert int(row["num_empty"]) == (~mask.any(axis=1)).sum()
        assert row["mean_per_image"] == f"{mask.sum() / len(mask):.2f}"
        if name == "published":
            continue
        counts = [int(row[name]) for name in ("low_score", "redundant", "over_limit", "kept")]
        assert sum(counts) == int(row["detected"]) == len(scores)
        assert counts[:2] == [(scores < 0.3).sum(), redundant.sum()]
    assert {
        rows["published"][name] for name in ("detected", "low_score", "redundant", "over_limit")
    } == {"not known"}
    assert "The settings of corrected: bandwidth 0.2, max regions 3, min score 0.3," in page.text
    listed = [f"<summary>{variant}/graphs.h5</summary>" in html for variant in variants]
    assert listed == [True] * 5 + [False]


def test_where_no_variant_uses_regions_the_page_has_a_sentence_instead(draw):
    html = draw(variants=("global",)).page()
    page = Reader(html)
    assert "No variant uses them" in page.text
    assert "drea" not in page.tables
    assert "No variant uses regions, so none are drawn" in page.text
    assert not re.search(r'<rect class="box', html)
    assert "graphs.h5" not in html


def edit(path, change):
    table = pd.read_csv(path)
    change(table).to_csv(path, index=False)


REFUSALS = {
    "a column is missing": ("metrics.csv", lambda t: t.drop(columns="mr_low"), "lacks mr_low"),
    "no rows": ("metrics.csv", lambda t: t.head(0), "has no rows"),
    "no mean": ("metrics.csv", lambda t: t[t["fold"] != "mean"], "lacks the mean of corrected"),
    "text as a number": ("metrics.csv", lambda t: t.assign(mr="high"), "holds text"),
    "a difference is missing": (
        "differences.csv",
        lambda t: t.assign(low=None),
        "has an empty cell in a row",
    ),
    "text as a difference": ("differences.csv", lambda t: t.assign(high="x"), "holds text"),
    "no share": ("differences.csv", lambda t: t.drop(columns="above"), "lacks above"),
    "no best epoch": (
        "corrected/fold0/history.csv",
        lambda t: t.drop(columns="best"),
        "lacks best",
    ),
    "no reasons": ("data_report.csv", lambda t: t.drop(columns="reason"), "lacks reason"),
}


@pytest.mark.parametrize(("file", "change", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_broken_table_is_refused_in_one_line(draw, capsys, file, change, message):
    results = draw()
    edit(results.folder / file, change)
    assert results.report() == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert file in errors[0]
    assert message in errors[0]
    assert not (results.folder / "report.html").exists()


def test_files_of_other_images_are_refused(draw, capsys):
    results = draw()
    with Regions.open(results.folder / "regions.h5") as file:
        tables, names, classes = file.arrays(), file.names, file.class_names
    with Regions.create(results.folder / "regions.h5", {}) as file:
        file.write(names=names[::-1], class_names=classes, **tables)
    assert results.report() == 2
    assert "name different images" in capsys.readouterr().err


def test_a_missing_metrics_file_is_refused(draw, capsys, tmp_path):
    assert draw().report(metrics=tmp_path / "none.csv") == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_detector_is_named_beside_its_regions(draw):
    regions = draw().page().split('<section id="regions">')[1].split("</section>")[0]
    assert re.search(r"detector</th><td[^>]*>drawn<", regions)


@pytest.mark.parametrize("flag", ["--examples", "--seed"])
def test_a_negative_number_is_refused(draw, capsys, flag):
    assert draw().report(flag, "-1") == 2
    assert "must be 0 or more" in capsys.readouterr().err


def test_a_page_without_examples_differs_in_nothing_else(draw):
    results = draw()
    with_examples, without = results.page(), results.page("--examples", "0")
    section = without.split('<section id="examples">')[1].split("</section>")[0]
    assert len(re.findall(r"have a correct candidate at rank 1", section)) == 2
    assert re.findall(r"Of (\d+) test (sentences|images)", section) == [
        ("30", "sentences"),
        ("10", "images"),
    ]
    for mark in ("<figure", "<li", "<image ", "no region"):
        assert mark not in section
    assert "<image " in with_examples
    assert Reader(without).tables == Reader(with_examples).tables

    def other_sections(html):
        return re.sub(r'<section id="examples">.*?</section>', "", html, flags=re.DOTALL)

    assert other_sections(without) == other_sections(with_examples)


def test_the_training_panels_name_the_loss_of_their_variant(draw):
    html = draw(variants=("corrected", "still")).page()
    titles = re.findall(r"<figcaption>(Training loss.*?)\.</figcaption>", html)
    assert titles == [
        "Training loss triplet_sum, mean over pairs",
        "Training loss infonce, mean over pairs",
    ]


def test_a_test_image_that_is_not_in_the_dataset_is_refused(draw, capsys):
    results = draw()
    path = results.folder / "corrected" / "fold0" / "similarity.h5"
    with Similarity.open(path) as file:
        tables, names, sentences = file.arrays(), file.names, file.sentences
    with Similarity.create(path, {}) as file:
        file.write(names=["other", *names[1:]], sentences=sentences, **tables)
    assert results.report() == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "the test image other of corrected, fold 0 is not in dataset.h5" in error
    assert error.endswith("make it anew with galr similarity")


def test_the_warnings_of_the_trainings_are_shown_with_their_runs(draw):
    results = draw(folds=2)
    assert "Warning" not in Reader(results.page()).text
    for fold in range(2):
        with h5py.File(results.folder / f"global/fold{fold}/similarity.h5", "r+") as file:
            provenance = json.loads(file.attrs["provenance"])
            warnings = ["60 % of the words of the <test> split are unknown"]
            file.attrs["provenance"] = json.dumps(provenance | {"warnings": warnings})
    html = results.page()
    assert "<test>" not in html
    text = " ".join(Reader(html).text.split())
    assert "Warning (global, fold 0; global, fold 1): 60 % of the words of the <test> split" in text
