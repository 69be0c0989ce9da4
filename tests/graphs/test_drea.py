import warnings
from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.errors import ConfigError, DataError
from galr.graphs import detections
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs, feature_names
from galr.graphs.edges import EdgeConfig

CHOICES = {
    "least_score": 0.0,
    "most": 5,
    "measure": "cosine",
    "redundant": 0.98,
    "closeness": "gaussian",
    "bandwidth": 0.2,
}
MEASURES = st.sampled_from(
    [("cosine", 0.98), ("cosine", 0.9), ("iou", 0.4713), ("class_and_place", 0.5713), ("none", 0.5)]
)
CLOSENESS = st.sampled_from(["gaussian", "iou", "giou", "uniform"])
EDGES = st.fixed_dictionaries(
    {
        "closeness": CLOSENESS,
        "salience": st.booleans(),
        "self_loops": st.booleans(),
        "normalisation": st.sampled_from(["symmetric", "none"]),
    }
)


def drea(regions, classes, *, least_score, most, measure, redundant, **edges):
    """DREA with all its choices named side by side."""
    return build_graphs(
        regions,
        classes,
        min_score=least_score,
        max_regions=most,
        similarity=measure,
        similarity_threshold=redundant,
        edges=EdgeConfig(**edges),
    )


def draw(seed, counts, classes=3, size=(400, 300)):
    """Detections on a coarse grid with few scores, so that duplicates and ties are everywhere."""
    random = np.random.default_rng(seed)
    total = sum(counts)
    corner = random.integers(0, 9, size=(total, 2)) * 20
    extent = random.integers(1, 5, size=(total, 2)) * 25
    return Detections(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=np.concatenate([corner, corner + extent], axis=1).astype(np.float32),
        scores=(random.integers(1, 6, size=total) / 5).astype(np.float32),
        classes=random.integers(classes, size=total).astype(np.int32),
        sizes=np.tile(np.array(size, np.int32), (len(counts), 1)),
    )


def one_image(boxes, scores, classes, size=(100, 100)):
    return Detections(
        np.array([0, len(boxes)]),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(scores, np.float64),
        np.array(classes, np.int64),
        np.array([size]),
    )


def slow_overlap(a, b):
    """(intersection, union, hull) of two boxes given as centre and size."""
    sides = []
    for centre, extent in ((0, 2), (1, 3)):
        starts = [box[centre] - box[extent] / 2 for box in (a, b)]
        ends = [box[centre] + box[extent] / 2 for box in (a, b)]
        sides.append((max(0, min(ends) - max(starts)), max(ends) - min(starts)))
    intersection = sides[0][0] * sides[1][0]
    return intersection, a[2] * a[3] + b[2] * b[3] - intersection, sides[0][1] * sides[1][1]


def slow_likeness(measure, kept, other):
    """Likeness of two detections (class, score, box)."""
    (x, y, w, h), (ox, oy, ow, oh) = kept[2], other[2]
    if kept[0] != other[0] or measure == "none":
        return 0
    if measure == "iou":
        intersection, union, _ = slow_overlap(kept[2], other[2])
        return intersection / union
    if measure == "class_and_place":
        return max(0, 1 - max(abs(ox - x) / w, abs(oy - y) / h))
    one, two = (1, 0, 0, 1, 1), (1, (ox - x) / w, (oy - y) / h, ow / w, oh / h)
    dot = sum(p * q for p, q in zip(one, two, strict=True))
    return dot / sqrt(sum(p * p for p in one)) / sqrt(sum(q * q for q in two))


def slow_drea(
    boxes, scores, labels, size, classes, *,
    least_score, most, measure, redundant, closeness, bandwidth, salience, self_loops, normalisation,
):  # fmt: skip
    """Say METHOD 3 out loud for one image, pair by pair: (X, A, how many are redundant)."""
    found = []
    for (x1, y1, x2, y2), score, label in zip(boxes, scores, labels, strict=True):
        if score < least_score:
            continue
        w, h = size
        box = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
        found.append((label, score, box))
    found.sort(key=lambda each: (-each[1], each[0], each[2]))
    kept, dropped = [], 0
    for each in found:
        if any(slow_likeness(measure, other, each) > redundant for other in kept):
            dropped += 1
        elif len(kept) < most:
            kept.append(each)
    x = np.zeros((most, classes + 5))
    for row, (label, score, box) in enumerate(kept):
        x[row, label] = 1
        x[row, classes:] = (score, *box)
    total = sum(score * box[2] * box[3] for _, score, box in kept)
    weights = np.zeros((most, most))
    for i, (_, score, box) in enumerate(kept):
        for j, (_, other_score, other) in enumerate(kept):
            intersection, union, hull = slow_overlap(box, other)
            near = {
                "gaussian": exp(
                    -((box[0] - other[0]) ** 2 + (box[1] - other[1]) ** 2) / 2 / bandwidth**2
                ),
                "iou": intersection / union,
                "giou": (1 + intersection / union - (hull - union) / hull) / 2,
                "uniform": 1,
            }[closeness]
            shares = score * box[2] * box[3] / total * other_score * other[2] * other[3] / total
            weights[i, j] = near * (1 + sqrt(shares)) if salience else near
            if i == j and not self_loops:
                weights[i, j] = 0
    if normalisation == "none":
        return x, weights, dropped
    a = np.zeros((most, most))
    for i in range(len(kept)):
        for j in range(len(kept)):
            if weights[i, j]:
                a[i, j] = weights[i, j] / sqrt(weights[i].sum() * weights[j].sum())
    return x, a, dropped


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 14), min_size=1, max_size=6),
    MEASURES,
    EDGES,
    st.integers(1, 8),
    st.sampled_from([0.0, 0.4]),
)
def test_drea_matches_the_definition(seed, counts, measure, edges, most, least_score):
    regions = draw(seed, counts)
    choices = {"most": most, "measure": measure[0], "redundant": measure[1], **edges}
    choices["least_score"] = least_score
    found = drea(regions, 3, bandwidth=0.2, **choices)
    for image in range(len(counts)):
        own = slice(regions.offsets[image], regions.offsets[image + 1])
        x, a, dropped = slow_drea(
            regions.boxes[own].tolist(),
            regions.scores[own].tolist(),
            regions.classes[own].tolist(),
            regions.sizes[image].tolist(),
            3,
            bandwidth=0.2,
            **choices,
        )
        np.testing.assert_allclose(found.representation[image], x, atol=1e-6)
        np.testing.assert_allclose(found.adjacency[image], a, atol=1e-6)
        assert found.num_redundant[image] == dropped
        assert found.mask[image].tolist() == x.any(axis=1).tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), MEASURES, CLOSENESS)
def test_order_size_and_duplicates_of_detections_change_nothing(seed, measure, closeness):
    random = np.random.default_rng(seed)
    regions = draw(seed, [9])
    choices = CHOICES | {"measure": measure[0], "redundant": measure[1], "closeness": closeness}
    found = drea(regions, 3, **choices)

    def same(rows, scale=1):
        again = drea(
            Detections(
                np.array([0, len(rows)]),
                regions.boxes[rows] * scale,
                regions.scores[rows],
                regions.classes[rows],
                regions.sizes * scale,
            ),
            3,
            **choices,
        )
        np.testing.assert_allclose(again.representation, found.representation, atol=1e-6)
        np.testing.assert_allclose(again.adjacency, found.adjacency, atol=1e-6)
        return again

    shuffled = random.permutation(9)
    kept = same(shuffled).region_index[0]
    for row, column in zip(kept[kept >= 0], found.region_index[0], strict=False):
        for table in (regions.boxes, regions.scores, regions.classes):  # the same, or its twin
            assert np.array_equal(table[shuffled[row]], table[column])
    same(np.arange(9), scale=3)
    if measure[0] != "none":
        twice = same(np.concatenate([np.arange(9), random.integers(9, size=4)]))
        assert twice.num_redundant[0] >= found.num_redundant[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 30), min_size=1, max_size=4), EDGES)
def test_adjacency_is_symmetric_with_its_spectrum_in_minus_one_to_one(seed, counts, edges):
    edges = edges | {"normalisation": "symmetric"}
    found = drea(draw(seed, counts), 3, **CHOICES | {"most": 8} | edges)
    a = found.adjacency
    assert np.array_equal(a, a.transpose(0, 2, 1)) and (a >= 0).all()
    values = np.linalg.eigvalsh(a.astype(np.float64))
    assert (np.abs(values) <= 1 + 1e-6).all()
    linked = a.any(axis=(1, 2))  # a lone region without a self-loop has no edge
    np.testing.assert_allclose(values.max(axis=1), linked, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 9), min_size=2, max_size=9))
@settings(max_examples=20, deadline=None)
def test_images_do_not_feel_their_neighbours(seed, counts):
    regions = draw(seed, counts)
    whole = drea(regions, 3, **CHOICES)
    cells, detections.BATCH_CELLS = detections.BATCH_CELLS, 1  # every image a batch of its own
    try:
        alone = drea(regions, 3, **CHOICES)
    finally:
        detections.BATCH_CELLS = cells
    for name, table in vars(whole).items():
        assert np.array_equal(table, getattr(alone, name)), name


def test_no_detection_and_one():
    found = drea(draw(0, [0, 1, 0]), 3, **CHOICES)
    assert found.mask.sum(axis=1).tolist() == [0, 1, 0]
    assert not found.representation[[0, 2]].any() and not found.adjacency[[0, 2]].any()
    assert found.adjacency[1, 0, 0] == pytest.approx(1)
    assert (found.region_index[[0, 2]] == -1).all()
    nothing = drea(draw(0, [0, 0]), 3, **CHOICES)
    assert not nothing.mask.any() and not nothing.adjacency.any()
    assert drea(draw(0, []), 3, **CHOICES).mask.shape == (0, 5)


def test_ten_thousand_detections_in_one_image_and_a_hundred_classes():
    random = np.random.default_rng(0)
    centre, size = random.random((10_000, 2)) * 1000, random.random((10_000, 2)) * 20 + 1
    boxes = np.concatenate([centre - size, centre + size], axis=1)
    scores, classes = random.random(10_000), random.integers(100, size=10_000)
    found = drea(one_image(boxes, scores, classes, (1000, 1000)), 100, **CHOICES | {"most": 50})
    assert found.representation.shape == (1, 50, 105) and found.mask.all()
    assert len(feature_names([f"{n}" for n in range(100)])) == 105
    best = np.argsort(-scores)[0]
    assert found.region_index[0, 0] == best and found.representation[0, 0, classes[best]] == 1


def test_scores_of_zero_and_boxes_without_area_give_numbers():
    flat = one_image([[10, 10, 10, 30], [10, 10, 10, 30], [0, 0, 50, 50]], [0, 0, 0], [0, 0, 1])
    for measure in ("cosine", "iou", "class_and_place"):
        for closeness in ("gaussian", "iou", "giou"):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = drea(flat, 2, **CHOICES | {"measure": measure, "closeness": closeness})
            assert np.isfinite(found.adjacency).all() and found.mask.sum() == 2


@pytest.mark.parametrize(
    ("pair", "kept"),
    [
        ("ships side by side", 2),
        ("ships moored at 45 degrees", 2),
        ("parked cars", 2),
        ("a ship and a car in one place", 2),
        ("half of the same", 2),
        ("the same, moved by a tenth", 1),
        ("the same, moved by three tenths", 1),
        ("the same, seen weakly", 1),
    ],
)
def test_equal_small_neighbours_stay_and_second_sightings_go(pair, kept):
    boxes, scores, classes = {
        "ships side by side": ([[100, 100, 130, 108], [100, 109, 130, 117]], [0.9, 0.9], [0, 0]),
        "ships moored at 45 degrees": (
            [[100, 100, 126, 126], [113, 100, 139, 126]],
            [0.9, 0.8],
            [0, 0],
        ),
        "parked cars": ([[100, 100, 110, 105], [100, 106, 110, 111]], [0.9, 0.9], [0, 0]),
        "a ship and a car in one place": ([[100, 100, 126, 126]] * 2, [0.9, 0.8], [0, 1]),
        "half of the same": ([[100, 100, 126, 126], [113, 100, 126, 126]], [0.9, 0.8], [0, 0]),
        "the same, moved by a tenth": (
            [[100, 100, 110, 105], [101, 100, 111, 105]],
            [0.9, 0.9],
            [0, 0],
        ),
        "the same, moved by three tenths": (
            [[50, 50, 150, 150], [80, 50, 180, 150]],
            [0.9, 0.9],
            [0, 0],
        ),
        "the same, seen weakly": ([[100, 100, 126, 126]] * 2, [0.9, 0.1], [0, 0]),
    }[pair]
    found = drea(one_image(boxes, scores, classes, (256, 256)), 2, **CHOICES)
    assert (found.mask.sum(), found.num_redundant[0]) == (kept, 2 - kept)


def test_a_likeness_of_one_drops_nothing():
    twins = one_image([[1, 1, 5, 5]] * 4, [0.9] * 4, [0] * 4)
    for measure in ("cosine", "iou", "class_and_place"):
        found = drea(twins, 1, **CHOICES | {"measure": measure, "redundant": 1.0})
        assert found.mask.sum() == 4 and found.num_redundant[0] == 0


def test_prominent_neighbours_hold_together():
    # In a row at equal distances: small, large, large, small.
    boxes = [[5, 45, 15, 55], [20, 35, 40, 65], [50, 35, 70, 65], [75, 45, 85, 55]]
    found = drea(
        one_image(boxes, [0.9, 0.8, 0.7, 0.6], [0] * 4), 1, **CHOICES | {"bandwidth": 10.0}
    )
    raw = found.adjacency[0, :4, :4]
    assert raw[1, 2] > raw[0, 1] > raw[0, 3] and raw[1, 1] > raw[0, 0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"measure": "dice"},
            "measure 'dice' is unknown; choose from cosine, iou, class_and_place",
        ),
        ({"closeness": "near"}, "closeness 'near' is unknown"),
        ({"least_score": 1.5}, r"score in \[0, 1\], got 1.5"),
        ({"most": 0}, "at least 1; got 0"),
        ({"redundant": 98}, r"likeness in \[0, 1\], 1 drops none; got 98"),
        ({"bandwidth": 0.0}, "positive share of the image, got 0.0"),
        ({"bandwidth": float("nan")}, "got nan"),
    ],
)
def test_meaningless_choices_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        drea(draw(0, [2]), 3, **CHOICES | change)


@pytest.mark.parametrize(
    ("table", "value", "says"),
    [
        ("offsets", np.array([0, 2]), "2 offsets do not cut 4 regions into 2 images"),
        ("offsets", np.array([0, 3, 2]), "do not cut 4 regions"),
        ("offsets", np.array([0, 2, 5]), "do not cut 4 regions"),
        ("boxes", np.full((4, 4), np.nan), "not a finite number"),
        ("scores", np.array([1, 1, 1, np.inf]), "not a finite number"),
        ("sizes", np.array([[10, 10], [10, 0]]), "no width or no height"),
        (
            "classes",
            np.array([0, 1, 2, 3]),
            "of classes 0 to 3, expected 0 to 2 of a detector with 3",
        ),
    ],
)
def test_detections_that_contradict_themselves_are_refused(table, value, says):
    with pytest.raises(DataError, match=says):
        drea(Detections(**vars(draw(0, [2, 2])) | {table: value}), 3, **CHOICES)
