"""Counts of kept and dropped regions, against those of DREA on each image alone."""

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
MIN_SCORE = float(np.float32(0.3))  # as a score of 0.3 is stored, so that such a score is just kept
SETTINGS = {
    "min_score": MIN_SCORE,
    "max_regions": 4,
    "similarity": "iou",
    "similarity_threshold": 0.3,
}
EDGES = EdgeConfig("gaussian", 0.2)


def draw_detections(counts=(9, 0, 1, 14, 3, 40), seed=0):
    """Draw detections; many overlap, and some scores equal the minimum."""
    random = np.random.default_rng(seed)
    total = sum(counts)
    corners = random.uniform(0, 60, (total, 2))
    scores = random.random(total).astype("f4")
    scores[::5] = MIN_SCORE
    return detections.Detections(
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=int)]),
        boxes=np.hstack([corners, corners + random.uniform(10, 40, (total, 2))]).astype("f4"),
        scores=scores,
        classes=random.integers(0, len(CLASSES), total),
        sizes=np.tile([100, 100], (len(counts), 1)),
    )


def as_report(regions):
    """Convert detections to the class of the report."""
    names = [f"scene {image}" for image in range(len(regions.sizes))]
    return DetectedRegions(
        names, regions.offsets, regions.boxes, regions.scores, regions.classes, list(CLASSES)
    )


def graphs_of(regions, edges=EDGES, **changes):
    """Build the graphs of detections, as the report reads them."""
    settings = SETTINGS | changes
    drea = build_graphs(regions, len(CLASSES), **settings, edges=edges)
    names = as_report(regions).names
    return VariantGraphs(
        names,
        drea.mask,
        drea.region_index,
        drea.num_redundant,
        settings | vars(edges),
        hash_tables(vars(drea).values()),
        Path("graphs.h5"),
    )


def imported_graphs(images, rows=(2, 0, 3)):
    """Graphs with this many regions each, as if imported from published matrices."""
    mask = np.resize(rows, images)[:, None] > np.arange(4)
    return VariantGraphs(
        [f"scene {image}" for image in range(images)],
        mask,
        np.full(mask.shape, -1),
        np.zeros(images, int),
        {"published": "RSITMD"},
        hash_tables([mask]),
        Path("graphs.h5"),
    )


@pytest.mark.parametrize(
    ("similarity", "threshold"), [("iou", 0.3), ("cosine", 0.95), ("none", 0.3)]
)
def test_the_counts_are_the_sums_over_all_images(similarity, threshold):
    regions = draw_detections()
    settings = SETTINGS | {"similarity": similarity, "similarity_threshold": threshold}
    alone = [
        explain_image(regions, image, len(CLASSES), **settings, edges=EDGES)
        for image in range(len(regions.sizes))
    ]
    counts = count_regions("iou", graphs_of(regions, **settings), as_report(regions))
    assert counts.detected == len(regions.scores)
    for name in ("low_score", "redundant", "over_limit", "kept"):
        assert getattr(counts, name) == sum(each.count(name) for each in alone), name
    assert counts.low_score + counts.redundant + counts.over_limit + counts.kept == counts.detected
    assert counts.low_score and counts.over_limit
    assert counts.mean_per_image == pytest.approx(np.mean([each.count("kept") for each in alone]))
    assert counts.num_empty == sum(not each.count("kept") for each in alone) >= 1


def test_without_a_minimum_score_low_scores_are_unknown():
    regions = draw_detections()
    graphs = graphs_of(regions)
    counts = count_regions(
        "iou", replace(graphs, settings={"similarity": "iou"}), as_report(regions)
    )
    known = count_regions("iou", graphs, as_report(regions))
    assert counts == replace(known, low_score=None, over_limit=None)


def test_the_same_graphs_share_a_row_and_other_settings_are_named():
    regions = draw_detections()
    no_salience = EdgeConfig("gaussian", 0.2, salience=False)
    all_graphs = {
        "corrected": graphs_of(regions),
        "no_salience": graphs_of(regions, no_salience),  # keeps the same regions, other edges
        "still": graphs_of(regions),
        "wide": graphs_of(regions, max_regions=5),
        "published": imported_graphs(6),
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


def test_settings_that_change_no_number_are_all_named_in_the_row():
    regions = draw_detections((1, 1))
    table = make_drea_rows(
        as_report(regions),
        {
            "a": graphs_of(regions),
            "b": graphs_of(regions, similarity="cosine", similarity_threshold=1),
        },
    )
    (row,) = table.rows
    assert (row.variants, row.changed_settings) == (
        ("a", "b"),
        "similarity iou or cosine, similarity threshold 0.3 or 1",
    )


def test_the_same_graphs_with_other_counts_do_not_share_a_row():
    regions = draw_detections((0, 0, 40))
    few = {
        name: graphs_of(regions, min_score=min_score, similarity="none")
        for name, min_score in (("a", 0.1), ("b", 0.2))
    }
    assert few["a"].content_hash == few["b"].content_hash  # the best four are the same
    table = make_drea_rows(as_report(regions), few)
    assert [(row.variants, row.changed_settings) for row in table.rows] == [
        (("a",), ""),
        (("b",), "min score 0.2"),
    ]


def test_of_imported_graphs_only_the_kept_regions_are_known():
    table = make_drea_rows(
        as_report(draw_detections()), {"published": imported_graphs(6, rows=(2, 0, 3))}
    )
    counts = table.rows[0].counts
    assert (counts.detected, counts.low_score, counts.redundant, counts.over_limit) == (None,) * 4
    assert (counts.kept, counts.mean_per_image, counts.num_empty) == (10, pytest.approx(10 / 6), 2)
    assert (table.baseline, table.settings) == (None, "")


def test_without_graphs_or_images_there_is_nothing_to_count():
    assert make_drea_rows(as_report(draw_detections()), {}).rows == ()
    no_images = draw_detections(())
    counts = count_regions("iou", graphs_of(no_images), as_report(no_images))
    assert (counts.detected, counts.kept, counts.mean_per_image, counts.num_empty) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_redundant": np.full(6, 20)}, r"use \d+ regions of image scene 0, .* has 9"),
        ({"region_index": np.full((6, 4), 14)}, "numbers up to 14, but .* has 9"),
        ({"names": ["scene 0"] * 6}, "name different images"),
    ],
)
def test_graphs_of_other_regions_are_refused(change, message):
    regions = draw_detections()
    with pytest.raises(ShapeError, match=message) as caught:
        make_drea_rows(as_report(regions), {"iou": replace(graphs_of(regions), **change)})
    assert "the graphs of iou" in str(caught.value)


def test_tables_of_another_shape_type_or_order_have_another_hash():
    table = np.arange(6.0)
    assert hash_tables([table]) == hash_tables([table.copy()])
    others = [table.reshape(2, 3), table.astype("f4"), table[::-1], table[:0]]
    assert len({hash_tables([each]) for each in [table, *others]}) == 5


def test_settings_are_formatted_as_text():
    assert (
        format_settings([{"self_loops": "false", "similarity_threshold": "0.5"}])
        == "no self loops, similarity threshold 0.5"
    )
    assert (
        format_settings([{"salience": "true"}, {"salience": "false"}]) == "salience or no salience"
    )
    assert format_settings([{}]) == ""


def test_the_boxes_are_of_the_shown_variant_or_of_the_first_with_known_regions():
    regions = draw_detections()
    drea = graphs_of(regions)
    graphs = {"published": imported_graphs(6), "corrected": drea, "iou": drea}
    assert select_boxes_variant("iou", graphs) == "iou"
    assert select_boxes_variant("global", graphs) == "corrected"
    assert select_boxes_variant("published", graphs) is None
    assert select_boxes_variant("global", {"published": imported_graphs(6)}) is None
    assert select_boxes_variant("global", {}) is None


def test_the_variant_of_graphs_is_read_from_their_path():
    runs = [RunId("corrected", 0), RunId("global", 0)]
    assert variant_from_path(Path("results/ucm/corrected/graphs.h5"), runs) == "corrected"
    for path in ("results/ucm/graphs.h5", "corrected/fold0/graphs.h5", "/graphs.h5"):
        with pytest.raises(DataError, match=r"expected <variant>/graphs\.h5.* corrected, global"):
            variant_from_path(Path(path), runs)


def test_the_page_names_the_variant_of_the_boxes(draw):
    stand_in = draw(variants=("global", "iou")).page()
    assert "Regions that the graphs of iou keep, as global uses no regions:" in stand_in
    assert re.search(r'<rect class="box', stand_in)
    own = draw(dataset="sydney", variants=("iou", "global")).page()
    assert "Regions that the graphs of iou keep:" in own
    unknown = draw(dataset="demo", variants=("published", "global")).page()
    assert "do not name the regions that they were built from, so no regions are drawn" in unknown
    assert not re.search(r'<rect class="box', unknown)


def test_graphs_of_no_variant_are_refused(draw, capsys):
    results = draw()
    graphs = results.folder / "corrected" / "graphs.h5"
    shutil.copy(graphs, results.folder / "graphs.h5")
    assert results.report("--graphs", str(results.folder / "graphs.h5")) == 2
    assert "names no variant" in capsys.readouterr().err


def test_the_command_refuses_graphs_of_other_regions(draw, capsys):
    results = draw()
    other = draw(dataset="demo", regions=False)
    assert results.report(regions=other.folder / "regions.h5") == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert "make it anew with galr graphs" in errors[0]
