"""Moved graphs against DREA on boxes that were moved one by one, by hand."""

from math import cos, radians, sin

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs
from galr.graphs.edges import EdgeConfig
from galr.model.galr import GraphBatch
from galr.train.augment import (
    ViewParams,
    rotate_crop,
    sample_views,
    transform_boxes,
    transform_graph,
)

SIZE, CROP, CLASSES, MOST = 40, 30, 3, 6


def view(degrees, across, down, share=CROP / SIZE):
    """One view: turned by an angle, the crop's centre at (across, down) of what shows there."""
    angle = radians(degrees)
    turn = torch.tensor([[[cos(angle), -sin(angle)], [sin(angle), cos(angle)]]])
    return ViewParams(turn, torch.tensor([[across, down]]), share)


def slow_box(box, degrees, across, down):
    """Turn the four corners in pixels and take their hull, cut at the crop: x1 y1 x2 y2 or None."""
    x1, y1, x2, y2 = box
    turned_back = radians(-degrees)
    corners = []
    for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)):
        dx, dy = x - SIZE / 2, y - SIZE / 2
        rx = dx * cos(turned_back) - dy * sin(turned_back)
        ry = dx * sin(turned_back) + dy * cos(turned_back)
        left, top = (SIZE / 2 * shift - CROP / 2 for shift in (across, down))
        corners.append((rx - left, ry - top))
    xs, ys = zip(*corners, strict=True)
    hull = [max(min(xs), 0), max(min(ys), 0), min(max(xs), CROP), min(max(ys), CROP)]
    return hull if hull[0] < hull[2] and hull[1] < hull[3] else None


def found(boxes, scores, classes, size, edges, measure="none"):
    """DREA of one image, as a batch of one."""
    regions = Detections(
        np.array([0, len(boxes)]),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(scores, np.float64),
        np.array(classes, np.int64),
        np.array([[size, size]]),
    )
    made = build_graphs(
        regions,
        CLASSES,
        min_score=0,
        max_regions=MOST,
        similarity=measure,
        similarity_threshold=1,
        edges=edges,
    )
    return GraphBatch(*map(torch.from_numpy, (made.representation, made.adjacency, made.mask)))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, MOST),
    st.floats(0, 90),
    st.floats(-0.25, 0.25),
    st.floats(-0.25, 0.25),
    st.sampled_from(
        [
            EdgeConfig("gaussian", 0.2),
            EdgeConfig("giou", 1, self_loops=False),
            EdgeConfig("iou", 1, salience=False),
        ]
    ),
)
def test_moved_graphs_are_those_of_moved_boxes(seed, count, degrees, across, down, edges):
    random = np.random.default_rng(seed)
    corner = random.uniform(0, SIZE - 12, (count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(1, 12, (count, 2))], axis=1)
    scores = np.sort(random.choice(np.arange(1, 100), count, replace=False))[::-1] / 100
    classes = random.integers(CLASSES, size=count)
    after = [slow_box(box, degrees, across, down) for box in boxes.tolist()]
    shows = [place for place, box in enumerate(after) if box is not None]
    if any(min(b[2] - b[0], b[3] - b[1]) < 1e-3 for b in after if b is not None):
        return  # on the border by a rounding's width
    expected = found([after[i] for i in shows], scores[shows], classes[shows], CROP, edges)
    graph = found(boxes, scores, classes, SIZE, edges)
    result = transform_graph(graph, view(degrees, across, down), edges)
    assert torch.equal(result.mask, expected.mask)
    torch.testing.assert_close(result.representation, expected.representation, atol=2e-5, rtol=0)
    torch.testing.assert_close(result.adjacency, expected.adjacency, atol=2e-4, rtol=0)


def test_a_view_that_shows_all_changes_nothing():
    edges = EdgeConfig("gaussian", 0.3)
    graph = found([[1, 2, 9, 12], [20, 5, 33, 30]], [0.9, 0.4], [0, 2], SIZE, edges)
    same = transform_graph(graph, view(0, 0, 0, share=1.0), edges)
    for before, after in zip(graph, same, strict=True):
        torch.testing.assert_close(before, after)


def test_boxes_follow_what_the_picture_shows():
    """A bright square in the picture lies where its moved box says."""
    picture = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    picture[:, :, 20:30, 34:50] = 255
    box = torch.tensor([[[42 / 64, 25 / 64, 16 / 64, 10 / 64]]])
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        views = sample_views(1, 48 / 64, 90, generator)
        seen = rotate_crop(picture, views, 48)[0, 0]
        bright = (seen - seen.min()) > (seen.max() - seen.min()) / 2
        rows, columns = (side.nonzero().flatten() for side in (bright.any(1), bright.any(0)))
        x, y, w, h = (transform_boxes(box, views)[0, 0] * 48).tolist()
        assert float(rows[0]) == pytest.approx(y - h / 2, abs=1.6)
        assert float(rows[-1]) + 1 == pytest.approx(y + h / 2, abs=1.6)
        assert float(columns[0]) == pytest.approx(x - w / 2, abs=1.6)
        assert float(columns[-1]) + 1 == pytest.approx(x + w / 2, abs=1.6)


def test_what_no_longer_shows_is_padding_and_the_rest_closes_up():
    edges = EdgeConfig("gaussian", 0.2)
    boxes = [[0, 0, 4, 4], [18, 18, 22, 22], [36, 36, 40, 40], [10, 20, 14, 24]]
    graph = found(boxes, [0.9, 0.8, 0.7, 0.6], [0, 1, 2, 0], SIZE, edges)
    result = transform_graph(graph, view(0, 0, 0, share=0.5), edges)
    assert result.mask[0].tolist() == [True, True, False, False, False, False]
    assert result.representation[0, :2, :CLASSES].argmax(1).tolist() == [1, 0]
    assert not result.representation[0, 2:].any()
    assert not result.adjacency[0, 2:].any()
    assert not result.adjacency[0, :, 2:].any()
