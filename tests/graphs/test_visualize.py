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
    NO_COLOUR,
    WIDTH,
    class_colours,
    dashes,
    draw_graph,
    enlargement,
    fitting,
    font,
    strongest,
)

CHOICES = {
    "least_score": 0.3,
    "most": 3,
    "measure": "cosine",
    "redundant": 0.98,
    "edges": EdgeConfig("gaussian", 0.2),
}
BOXES = [[10, 10, 40, 40], [11, 10, 41, 40], [60, 10, 90, 40], [10, 60, 40, 90], [60, 60, 90, 90]]
SCORES = [0.9, 0.8, 0.7, 0.6, 0.5]
NAMES = ["plane", "ship"]


def regions(boxes=BOXES, scores=SCORES, classes=(0, 0, 1, 1, 1), size=(100, 100)):
    return Detections(
        np.array([0, len(boxes)]),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(classes, np.int32),
        np.array([size], np.int32),
    )


def drawn(found, size=(100, 100), ground="#203020"):
    picture = draw_graph(Image.new("RGB", size, ground), found, NAMES, "image")
    return np.asarray(picture), enlargement(size)


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
def test_fates_are_those_of_walking_down_the_list(seed, count, measure, least_score, most):
    random = np.random.default_rng(seed)
    corner = random.integers(0, 9, size=(count, 2)) * 10
    boxes = np.concatenate([corner, corner + random.integers(1, 5, size=(count, 2)) * 10], axis=1)
    found = regions(
        boxes, random.integers(0, 11, size=count) / 10, random.integers(2, size=count), (130, 130)
    )
    choices = CHOICES | {"measure": measure, "least_score": least_score, "most": most}
    choices["redundant"] = {"iou": 0.4713}.get(measure, 0.9)
    told = explain_image(found, 0, 2, **choices)
    graph = build_graphs(found, 2, **choices)
    assert told.count("redundant") == graph.num_redundant[0]
    assert told.count("weak") == (found.scores.astype(float) < least_score).sum()
    assert sorted(told.kept) == np.flatnonzero(told.status == "kept").tolist()
    assert told.kept.tolist() == graph.region_index[0][graph.mask[0]].tolist()
    assert sum(map(told.count, STATUSES)) == count
    # With room for all, those that did not fit are kept, or repeat one another.
    roomy = build_graphs(found, 2, **choices | {"most": count + 1})
    beyond = np.flatnonzero(told.status == "beyond")
    assert (told.count("beyond") > 0) == (roomy.mask.sum() > graph.mask.sum())
    for alone in beyond:
        with_kept = np.append(told.kept, alone)
        few = regions(
            boxes[with_kept], found.scores[with_kept], found.classes[with_kept], (130, 130)
        )
        assert build_graphs(few, 2, **choices | {"most": count + 1}).num_redundant[0] == 0


def test_each_fate_is_told_and_its_meaning():
    found = explain_image(regions(scores=[0.9, 0.8, 0.7, 0.6, 0.1]), 0, 2, **CHOICES | {"most": 2})
    assert found.status.tolist() == ["kept", "redundant", "kept", "beyond", "weak"]
    assert found.descriptions == {
        "kept": "kept",
        "redundant": "redundant, cosine > 0.98",
        "beyond": "beyond the first 2",
        "weak": "score below 0.3",
    }
    assert found.adjacency.shape == (2, 2)
    plain = explain_image(regions(), 0, 2, **CHOICES | {"measure": "none"})
    assert "redundant" not in plain.descriptions and plain.count("redundant") == 0


def test_least_score_moves_detections_from_one_line_of_the_legend_to_another():
    counts = [
        [
            explain_image(regions(), 0, 2, **CHOICES | {"least_score": least}).count(f)
            for f in STATUSES
        ]
        for least in (0, 0.55, 0.95)
    ]
    assert counts == [[3, 1, 1, 0], [3, 1, 0, 1], [0, 0, 0, 5]]
    pages = [
        drawn(explain_image(regions(), 0, 2, **CHOICES | {"least_score": least}))[0]
        for least in (0, 0.55)
    ]
    strips = [page[:, -WIDTH:] for page in pages]
    assert not np.array_equal(*strips)


def sides(page, box, scale):
    """Pixels along the four sides of a box, its corners left out."""
    left, top, right, bottom = (round(edge * scale) for edge in box)
    across, down = slice(left + 4, right - 4), slice(top + 4, bottom - 4)
    return page[top, across], page[bottom, across], page[down, left], page[down, right]


@pytest.mark.parametrize("size", [(100, 100), (2000, 1000)])
def test_kept_boxes_are_solid_in_the_colour_of_their_class_and_others_broken(size):
    factor = size[0] / 100
    boxes = (np.array(BOXES) * factor).tolist()
    found = explain_image(
        regions(boxes, [0.9, 0.8, 0.7, 0.6, 0.1], size=size), 0, 2, **CHOICES | {"most": 2}
    )
    page, scale = drawn(found, size)
    colours = class_colours(found)
    for box, fate, number in zip(boxes, found.status, found.classes, strict=True):
        if max(box) * scale > min(page.shape[0], page.shape[1] - WIDTH):
            continue  # the wide picture ends above it
        for place, side in enumerate(sides(page, box, scale)):
            is_coloured = (side == rgb(colours[int(number)])).all(axis=1)
            if fate == "kept":  # a label may lie upon another side
                assert is_coloured.all() or place in (1, 3)
            elif fate != "redundant":  # that one's sides meet the kept one's
                assert 0.2 < is_coloured.mean() < 0.8
                assert 8 < np.abs(np.diff(is_coloured.astype(int))).sum()


def test_a_picture_is_enlarged_by_a_whole_factor_and_a_huge_one_shrunk():
    assert [enlargement((side, 10)) for side in (256, 64, 600, 1300)] == [4, 14, 2, 1]
    assert enlargement((3600, 100)) == 0.5
    for size in ((1, 1), (3000, 2), (2, 3000), (300, 200)):
        page, scale = drawn(
            explain_image(regions([[0, 0, *size]], [0.9], [0], size), 0, 2, **CHOICES), size
        )
        assert page.shape[1] == max(round(size[0] * scale), 1) + WIDTH
        assert page.shape[0] >= round(size[1] * scale)


def test_heavier_edges_are_wider_and_more_opaque():
    # Three small kept boxes in a row, the second nearer to the first than to the third.
    boxes = [[10, 48, 14, 52], [40, 48, 44, 52], [86, 48, 90, 52]]
    found = explain_image(regions(boxes, [0.9] * 3, [0] * 3), 0, 2, **CHOICES)
    edges = strongest(found.adjacency)
    assert [(one, other) for one, other, _ in edges] == [(1, 2), (0, 1)]
    page, scale = drawn(found)
    near, far = (page[:, round(x * scale)].astype(int) for x in (25, 65))
    lit = [
        (column[round(45 * scale) : round(55 * scale)].sum(axis=1) > 200).sum()
        for column in (near, far)
    ]
    assert lit[0] > lit[1] and near.max() > far.max()
    alone = explain_image(
        regions(boxes, [0.9] * 3, [0] * 3), 0, 2, **CHOICES | {"edges": EdgeConfig("iou", 1)}
    )
    page, _ = drawn(alone)
    assert strongest(alone.adjacency) == []
    assert (page[:, round(25 * scale)] == rgb("#203020")).all()


def test_edges_show_on_white_too():
    boxes = [[10, 48, 14, 52], [40, 48, 44, 52]]
    page, scale = drawn(
        explain_image(regions(boxes, [0.9] * 2, [0] * 2), 0, 2, **CHOICES), ground="white"
    )
    assert page[round(50 * scale), round(25 * scale)].max() < 60


def test_an_empty_image_is_drawn_as_it_is():
    found = explain_image(regions([], [], []), 0, 2, **CHOICES)
    page, scale = drawn(found)
    assert (page[: round(100 * scale), : round(100 * scale)] == rgb("#203020")).all()


def test_many_classes_share_a_colour_and_many_labels_find_a_place():
    random = np.random.default_rng(0)
    corner = random.random((300, 2)) * 80
    found = explain_image(
        regions(
            np.concatenate([corner, corner + 5], axis=1), random.random(300), np.arange(300) % 30
        ),
        0,
        30,
        **CHOICES | {"most": 60, "least_score": 0},
    )
    colours = list(class_colours(found).values())
    assert colours == [*COLOURS, *[NO_COLOUR] * 23]
    names = [f"a class with a long name, and lines\nof them {n}" for n in range(30)]
    page = draw_graph(Image.new("RGB", (100, 100)), found, names, "näme\n" * 40)
    assert page.size[0] == 900 + WIDTH


@given(
    st.integers(1, 200), st.lists(st.integers(1, 9), max_size=6).filter(lambda p: len(p) % 2 == 0)
)
def test_dashes_repeat_their_pattern(length, pattern):
    painted = np.zeros(length, bool)
    for start, stop in dashes(length, pattern):
        painted[start : stop + 1] = True
    period = [place % 2 == 0 for place, run in enumerate(pattern) for _ in range(run)] or [True]
    assert painted.tolist() == [period[place % len(period)] for place in range(length)]


def test_a_text_is_cut_to_what_fits():
    assert fitting("plane", 12, 100) == "plane"
    cut = fitting("a very long name of a class", 12, 60)
    assert cut.endswith("…") and font(12).getlength(cut) <= 60
    missing = bytes(font(12).getmask("\ue000"))
    assert all(bytes(font(12).getmask(letter)) != missing for letter in "äéßЖλ…")
