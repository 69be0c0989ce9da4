"""Why a region was dropped, and the drawing of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from galr.graphs.denoise_report import STATUSES, explain_image
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs
from galr.graphs.edges import EdgeConfig
from galr.graphs.visualize import (
    COLOURS,
    LEGEND_WIDTH,
    OTHER_COLOUR,
    class_colours,
    draw_graph,
    enlargement,
    strongest_edges,
)

OPTIONS = {
    "min_score": 0.3,
    "max_regions": 3,
    "similarity": "cosine",
    "similarity_threshold": 0.98,
    "edges": EdgeConfig("gaussian", 0.2),
}
BOXES = [[10, 10, 40, 40], [11, 10, 41, 40], [60, 10, 90, 40], [10, 60, 40, 90], [60, 60, 90, 90]]
SCORES = [0.9, 0.8, 0.7, 0.6, 0.5]
NAMES = ["plane", "ship"]


def make_detections(boxes=BOXES, scores=SCORES, classes=(0, 0, 1, 1, 1), size=(100, 100)):
    return Detections(
        np.array([0, len(boxes)]),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(classes, np.int32),
        np.array([size], np.int32),
    )


def draw(report, size=(100, 100), background="#203020"):
    image = draw_graph(Image.new("RGB", size, background), report, NAMES, "image")
    return np.asarray(image), enlargement(size)


def rgb(colour):
    return list(ImageColor.getrgb(colour))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 40),
    st.sampled_from(["cosine", "iou", "class_and_place", "none"]),
    st.sampled_from([0.7, 0.2]),
    st.integers(1, 9),
)
def test_status_is_that_of_going_down_the_list(seed, count, similarity, min_score, max_regions):
    random = np.random.default_rng(seed)
    corner = random.integers(0, 9, size=(count, 2)) * 10
    boxes = np.concatenate([corner, corner + random.integers(1, 5, size=(count, 2)) * 10], axis=1)
    detections = make_detections(
        boxes, random.integers(0, 11, size=count) / 10, random.integers(2, size=count), (130, 130)
    )
    options = OPTIONS | {
        "similarity": similarity,
        "min_score": min_score,
        "max_regions": max_regions,
        "similarity_threshold": {"iou": 0.4713}.get(similarity, 0.9),
    }
    report = explain_image(detections, 0, 2, **options)
    graph = build_graphs(detections, 2, **options)
    assert report.count("redundant") == graph.num_redundant[0]
    assert report.count("low_score") == (detections.scores.astype(float) < min_score).sum()
    assert sorted(report.kept) == np.flatnonzero(report.status == "kept").tolist()
    assert report.kept.tolist() == graph.region_index[0][graph.mask[0]].tolist()
    assert sum(map(report.count, STATUSES)) == count
    # Without the limit, regions over it are kept, or are redundant to each other.
    unlimited = build_graphs(detections, 2, **options | {"max_regions": count + 1})
    assert (report.count("over_limit") > 0) == (unlimited.mask.sum() > graph.mask.sum())
    for region in np.flatnonzero(report.status == "over_limit"):
        rows = np.append(report.kept, region)
        with_kept = make_detections(
            boxes[rows], detections.scores[rows], detections.classes[rows], (130, 130)
        )
        graph = build_graphs(with_kept, 2, **options | {"max_regions": count + 1})
        assert graph.num_redundant[0] == 0


def test_each_status_is_described_with_the_option_that_decided_it():
    detections = make_detections(scores=[0.9, 0.8, 0.7, 0.6, 0.1])
    report = explain_image(detections, 0, 2, **OPTIONS | {"max_regions": 2})
    assert report.status.tolist() == ["kept", "redundant", "kept", "over_limit", "low_score"]
    assert report.descriptions == {
        "kept": "kept",
        "redundant": "redundant, cosine > 0.98",
        "over_limit": "beyond the first 2",
        "low_score": "score below 0.3",
    }
    assert report.adjacency.shape == (2, 2)
    plain = explain_image(make_detections(), 0, 2, **OPTIONS | {"similarity": "none"})
    assert "redundant" not in plain.descriptions and plain.count("redundant") == 0


def test_min_score_moves_regions_from_one_line_of_the_legend_to_another():
    reports = [
        explain_image(make_detections(), 0, 2, **OPTIONS | {"min_score": min_score})
        for min_score in (0, 0.55, 0.95)
    ]
    counts = [[report.count(status) for status in STATUSES] for report in reports]
    assert counts == [[3, 1, 1, 0], [3, 1, 0, 1], [0, 0, 0, 5]]
    legends = [draw(report)[0][:, -LEGEND_WIDTH:] for report in reports[:2]]
    assert not np.array_equal(*legends)


def sides(page, box, scale):
    """Return the pixels along the four sides of a box, without its corners."""
    left, top, right, bottom = (round(edge * scale) for edge in box)
    across, down = slice(left + 4, right - 4), slice(top + 4, bottom - 4)
    return page[top, across], page[bottom, across], page[down, left], page[down, right]


@pytest.mark.parametrize("size", [(100, 100), (2000, 1000)])
def test_kept_boxes_are_solid_in_the_colour_of_their_class_and_others_dashed(size):
    boxes = (np.array(BOXES) * size[0] / 100).tolist()
    detections = make_detections(boxes, [0.9, 0.8, 0.7, 0.6, 0.1], size=size)
    report = explain_image(detections, 0, 2, **OPTIONS | {"max_regions": 2})
    page, scale = draw(report, size)
    colours = class_colours(report)
    for box, status, number in zip(boxes, report.status, report.classes, strict=True):
        if max(box) * scale > min(page.shape[0], page.shape[1] - LEGEND_WIDTH):
            continue  # below the wide image
        for index, side in enumerate(sides(page, box, scale)):
            is_coloured = (side == rgb(colours[int(number)])).all(axis=1)
            if status == "kept":  # a label may cover another side
                assert is_coloured.all() or index in (1, 3)
            elif status != "redundant":  # its sides touch the kept one's
                assert 0.2 < is_coloured.mean() < 0.8
                assert 8 < np.abs(np.diff(is_coloured.astype(int))).sum()


def test_a_small_image_is_enlarged_by_a_whole_factor_and_a_huge_one_reduced():
    assert [enlargement((side, 10)) for side in (256, 64, 600, 1300)] == [4, 14, 2, 1]
    assert enlargement((3600, 100)) == 0.5
    for size in ((1, 1), (3000, 2), (2, 3000), (300, 200)):
        detections = make_detections([[0, 0, *size]], [0.9], [0], size)
        page, scale = draw(explain_image(detections, 0, 2, **OPTIONS), size)
        assert page.shape[1] == max(round(size[0] * scale), 1) + LEGEND_WIDTH
        assert page.shape[0] >= round(size[1] * scale)


def test_heavier_edges_are_wider_and_more_opaque():
    # Three small kept boxes in a row, the second nearer to the first than to the third.
    boxes = [[10, 48, 14, 52], [40, 48, 44, 52], [86, 48, 90, 52]]
    detections = make_detections(boxes, [0.9] * 3, [0] * 3)
    report = explain_image(detections, 0, 2, **OPTIONS)
    edges = strongest_edges(report.adjacency)
    assert [(row, column) for row, column, _ in edges] == [(1, 2), (0, 1)]
    page, scale = draw(report)
    near, far = (page[:, round(x * scale)].astype(int) for x in (25, 65))
    lit = [
        (column[round(45 * scale) : round(55 * scale)].sum(axis=1) > 200).sum()
        for column in (near, far)
    ]
    assert lit[0] > lit[1] and near.max() > far.max()
    without_edges = explain_image(detections, 0, 2, **OPTIONS | {"edges": EdgeConfig("iou", 1)})
    page, _ = draw(without_edges)
    assert strongest_edges(without_edges.adjacency) == []
    assert (page[:, round(25 * scale)] == rgb("#203020")).all()


def test_edges_are_dark_on_a_white_image():
    boxes = [[10, 48, 14, 52], [40, 48, 44, 52]]
    detections = make_detections(boxes, [0.9] * 2, [0] * 2)
    page, scale = draw(explain_image(detections, 0, 2, **OPTIONS), background="white")
    assert page[round(50 * scale), round(25 * scale)].max() < 60


def test_an_image_without_regions_is_drawn_unchanged():
    page, scale = draw(explain_image(make_detections([], [], []), 0, 2, **OPTIONS))
    assert (page[: round(100 * scale), : round(100 * scale)] == rgb("#203020")).all()


def test_many_classes_share_a_colour_and_long_odd_names_are_drawn():
    random = np.random.default_rng(0)
    corner = random.random((300, 2)) * 80
    detections = make_detections(
        np.concatenate([corner, corner + 5], axis=1), random.random(300), np.arange(300) % 30
    )
    report = explain_image(detections, 0, 30, **OPTIONS | {"max_regions": 60, "min_score": 0})
    colours = list(class_colours(report).values())
    assert colours == [*COLOURS, *[OTHER_COLOUR] * 23]
    names = [f"_a $class with a long name, and lines\nof them 中 {n}" for n in range(30)]
    page = draw_graph(Image.new("RGB", (100, 100)), report, names, "näme\n" * 40)
    assert page.size[0] == 900 + LEGEND_WIDTH


def test_labels_of_neighbours_do_not_overlap():
    """The label of the weaker of two equal boxes is not where that of the better one is."""
    boxes = [[40, 40, 60, 60], [40, 40, 60, 61]]
    pages = []
    for classes in ([0, 1], [0]):
        detections = make_detections(boxes[: len(classes)], [0.9, 0.8][: len(classes)], classes)
        pages.append(draw(explain_image(detections, 0, 2, **OPTIONS))[0])
    first_label = (slice(340, 358), slice(362, 440))  # above the box, from its left side
    assert np.array_equal(pages[0][first_label], pages[1][first_label])
    assert (pages[1][first_label] == rgb(COLOURS[0])).all(axis=2).mean() > 0.5
