"""What became of the regions, against DREA itself told one image at a time."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from galr.errors import DataError, ShapeError
from galr.graphs import detections
from galr.graphs.denoise_report import explain_image
from galr.graphs.drea import build_graphs
from galr.graphs.edges import EdgeConfig
from galr.report.drea_summary import (
    VariantGraphs,
    count_regions,
    format_settings,
    hash_tables,
    make_drea_rows,
)
from galr.report.examples_view import select_boxes_variant
from galr.report.render_images import DetectedRegions
from galr.report.results import RunId, variant_from_path

CLASSES = ("ship", "dock")
LEAST = float(np.float32(0.3))  # as a score of 0.3 is stored: one that is just not too weak
CHOICES = {"min_score": LEAST, "max_regions": 4, "similarity": "iou", "similarity_threshold": 0.3}
EDGES = EdgeConfig("gaussian", 0.2)


def found(each=(9, 0, 1, 14, 3, 40), seed=0):
    """Detections of images as DREA takes them; many overlap, some score exactly what is asked for."""
    random = np.random.default_rng(seed)
    total = sum(each)
    corners = random.uniform(0, 60, (total, 2))
    scores = random.random(total).astype("f4")
    scores[::5] = LEAST
    return detections.Detections(
        offsets=np.concatenate([[0], np.cumsum(each, dtype=int)]),
        boxes=np.hstack([corners, corners + random.uniform(10, 40, (total, 2))]).astype("f4"),
        scores=scores,
        classes=random.integers(0, len(CLASSES), total),
        sizes=np.tile([100, 100], (len(each), 1)),
    )


def as_report(regions):
    """The same detections as the report reads them."""
    names = [f"scene {image}" for image in range(len(regions.sizes))]
    return DetectedRegions(
        names, regions.offsets, regions.boxes, regions.scores, regions.classes, list(CLASSES)
    )


def made(regions, edges=EDGES, **changed):
    """Graphs of those detections as the report reads them."""
    choices = CHOICES | changed
    drea = build_graphs(regions, len(CLASSES), **choices, edges=edges)
    settings = choices | vars(edges)
    names = as_report(regions).names
    return VariantGraphs(
        names,
        drea.mask,
        drea.region_index,
        drea.num_redundant,
        settings,
        hash_tables(vars(drea).values()),
    )


def imported(images, rows=(2, 0, 3)):
    """The authors' own matrices."""
    mask = np.resize(rows, images)[:, None] > np.arange(4)
    return VariantGraphs(
        [f"scene {image}" for image in range(images)],
        mask,
        np.full(mask.shape, -1),
        np.zeros(images, int),
        {"published": "RSITMD"},
        hash_tables([mask]),
    )


@pytest.mark.parametrize(
    ("similarity", "threshold"), [("iou", 0.3), ("cosine", 0.95), ("none", 0.3)]
)
def test_the_counts_are_those_of_every_image_counted_alone(similarity, threshold):
    regions = found()
    choices = CHOICES | {"similarity": similarity, "similarity_threshold": threshold}
    alone = [
        explain_image(regions, image, len(CLASSES), **choices, edges=EDGES)
        for image in range(len(regions.sizes))
    ]
    told = count_regions("iou", made(regions, **choices), as_report(regions))
    assert told.detected == len(regions.scores)
    for name in ("low_score", "redundant", "over_limit", "kept"):
        assert getattr(told, name) == sum(each.count(name) for each in alone), name
    assert told.low_score + told.redundant + told.over_limit + told.kept == told.detected
    assert told.low_score and told.over_limit
    assert told.mean_per_image == pytest.approx(np.mean([each.count("kept") for each in alone]))
    assert told.num_empty == sum(not each.count("kept") for each in alone) >= 1


def test_without_a_minimum_score_low_scores_are_unknown():
    regions = found()
    whole = made(regions)
    told = count_regions("iou", replace(whole, settings={"similarity": "iou"}), as_report(regions))
    known = count_regions("iou", whole, as_report(regions))
    assert told == replace(known, low_score=None, over_limit=None)


def test_the_same_graphs_share_a_row_and_other_settings_are_named():
    regions = found()
    no_salience = EdgeConfig("gaussian", 0.2, salience=False)
    all_graphs = {
        "corrected": made(regions),
        "no_salience": made(regions, no_salience),  # keeps the same regions, other edges
        "still": made(regions),
        "wide": made(regions, max_regions=5),
        "published": imported(6),
    }
    table = make_drea_rows(as_report(regions), all_graphs)
    assert [(row.variants, row.changed_settings) for row in table.rows] == [
        (("corrected", "still"), ""),
        (("no_salience",), "no salience"),
        (("wide",), "max regions 5"),
        (("published",), "published RSITMD"),
    ]
    for row in table.rows:
        for variant in row.variants:
            assert row.counts == count_regions(variant, all_graphs[variant], as_report(regions))
    assert (table.baseline, table.imported) == ("corrected", True)
    assert "max regions 4, similarity iou, similarity threshold 0.3, " in table.settings
    assert table.settings.endswith("salience, self loops, normalisation symmetric")


def test_settings_that_changed_no_number_are_all_named_in_the_row():
    regions = found((1, 1))
    table = make_drea_rows(
        as_report(regions),
        {"a": made(regions), "b": made(regions, similarity="cosine", similarity_threshold=1)},
    )
    (row,) = table.rows
    assert (row.variants, row.changed_settings) == (
        ("a", "b"),
        "similarity iou or cosine, similarity threshold 0.3 or 1",
    )


def test_the_same_graphs_with_other_counts_do_not_share_a_row():
    regions = found((0, 0, 40))
    few = {
        name: made(regions, min_score=least, similarity="none")
        for name, least in (("a", 0.1), ("b", 0.2))
    }
    assert few["a"].content_hash == few["b"].content_hash  # the best four are the same
    table = make_drea_rows(as_report(regions), few)
    assert [(row.variants, row.changed_settings) for row in table.rows] == [
        (("a",), ""),
        (("b",), "min score 0.2"),
    ]


def test_of_imported_graphs_only_the_rows_are_known():
    table = make_drea_rows(as_report(found()), {"published": imported(6, rows=(2, 0, 3))})
    told = table.rows[0].counts
    assert (told.detected, told.low_score, told.redundant, told.over_limit) == (None,) * 4
    assert (told.kept, told.mean_per_image, told.num_empty) == (10, pytest.approx(10 / 6), 2)
    assert (table.baseline, table.settings) == (None, "")


def test_no_graphs_and_no_images():
    assert make_drea_rows(as_report(found()), {}).rows == ()
    nothing = found(())
    told = count_regions("iou", made(nothing), as_report(nothing))
    assert (told.detected, told.kept, told.mean_per_image, told.num_empty) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_redundant": np.full(6, 20)}, r"account for \d+ regions of image scene 0, .* has 9"),
        ({"region_index": np.full((6, 4), 14)}, "highest number 14, but .* has 9"),
        ({"names": ["scene 0"] * 6}, "name different images"),
    ],
)
def test_graphs_of_other_regions_are_refused(change, says):
    regions = found()
    with pytest.raises(ShapeError, match=says) as caught:
        make_drea_rows(as_report(regions), {"iou": replace(made(regions), **change)})
    assert "the graphs of iou" in str(caught.value)


def test_a_table_of_the_same_bytes_in_another_shape_has_other_content():
    table = np.arange(6.0)
    assert hash_tables([table]) == hash_tables([table.copy()])
    others = [table.reshape(2, 3), table.astype("f4"), table[::-1], table[:0]]
    assert len({hash_tables([each]) for each in [table, *others]}) == 5


def test_settings_in_words():
    assert (
        format_settings([{"self_loops": "false", "similarity_threshold": "0.5"}])
        == "no self loops, similarity threshold 0.5"
    )
    assert (
        format_settings([{"salience": "true"}, {"salience": "false"}]) == "salience or no salience"
    )
    assert format_settings([{}]) == ""


def test_the_boxes_are_of_the_shown_variant_or_of_the_first_that_knows():
    regions = found()
    drea = made(regions)
    known = {"published": imported(6), "corrected": drea, "iou": drea}
    assert select_boxes_variant("iou", known) == "iou"
    assert select_boxes_variant("global", known) == "corrected"
    assert select_boxes_variant("published", known) is None
    assert select_boxes_variant("global", {"published": imported(6)}) is None
    assert select_boxes_variant("global", {}) is None


def test_where_graphs_lie_says_whose_they_are():
    runs = [RunId("corrected", 0), RunId("global", 0)]
    assert variant_from_path(Path("results/ucm/corrected/graphs.h5"), runs) == "corrected"
    for path in ("results/ucm/graphs.h5", "corrected/fold0/graphs.h5", "/graphs.h5"):
        with pytest.raises(DataError, match=r"expected <variant>/graphs\.h5.* corrected, global"):
            variant_from_path(Path(path), runs)


def test_whose_boxes_are_drawn_is_said(draw):
    stand_in = draw(variants=("global", "iou")).page()
    assert "Regions that the graphs of iou keep, as global looks at none:" in stand_in
    assert re.search(r'<rect class="box', stand_in)
    own = draw(dataset="sydney", variants=("iou", "global")).page()
    assert "Regions that the graphs of iou keep:" in own
    unknown = draw(dataset="demo", variants=("published", "global")).page()
    assert "do not tell which regions they were made of, so none are drawn" in unknown
    assert not re.search(r'<rect class="box', unknown)


def test_graphs_of_no_variant_are_refused(draw, capsys):
    results = draw()
    graphs = results.folder / "corrected" / "graphs.h5"
    shutil.copy(graphs, results.folder / "graphs.h5")
    assert results.report("--graphs", str(results.folder / "graphs.h5")) == 2
    assert "does not say which variant it is of" in capsys.readouterr().err


def test_the_stage_refuses_graphs_of_other_regions(draw, capsys):
    results = draw()
    other = draw(dataset="demo", regions=False)
    assert results.report(regions=other.folder / "regions.h5") == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert "make the graphs again from this regions.h5" in errors[0]
