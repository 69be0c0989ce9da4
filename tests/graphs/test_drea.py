"""DREA against its definition, its invariants, and its refusals."""

import warnings
from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.errors import ConfigError, DataError
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs, build_kwargs, feature_names

OPTIONS = {
    "min_score": 0.0,
    "max_regions": 5,
    "similarity": "cosine",
    "similarity_threshold": 0.98,
    "proximity": "gaussian",
    "bandwidth": 0.2,
}
SIMILARITIES = st.sampled_from(
    [("cosine", 0.98), ("cosine", 0.9), ("iou", 0.4713), ("class_and_place", 0.5713), ("none", 0.5)]
)
PROXIMITIES = st.sampled_from(["gaussian", "iou", "giou", "uniform"])
EDGES = st.fixed_dictionaries(
    {
        "proximity": PROXIMITIES,
        "salience": st.booleans(),
        "self_loops": st.booleans(),
        "normalisation": st.sampled_from(["symmetric", "none"]),
    }
)


def drea(detections, num_classes, **options):
    """Run DREA with all its options side by side, as in a config."""
    return build_graphs(detections, num_classes, **build_kwargs(options))


def random_detections(seed, counts, classes=3, size=(400, 300)):
    """Draw detections on a coarse grid with few scores, so that many are equal or tied."""
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
    """Return intersection, union and hull of two boxes given as centre and size."""
    sides = []
    for centre, extent in ((0, 2), (1, 3)):
        starts = [box[centre] - box[extent] / 2 for box in (a, b)]
        ends = [box[centre] + box[extent] / 2 for box in (a, b)]
        sides.append((max(0, min(ends) - max(starts)), max(ends) - min(starts)))
    intersection = sides[0][0] * sides[1][0]
    return intersection, a[2] * a[3] + b[2] * b[3] - intersection, sides[0][1] * sides[1][1]


def slow_similarity(similarity, kept, other):
    """Return the similarity of two detections (class, score, box)."""
    (x, y, w, h), (ox, oy, ow, oh) = kept[2], other[2]
    if kept[0] != other[0] or similarity == "none":
        return 0
    if similarity == "iou":
        intersection, union, _ = slow_overlap(kept[2], other[2])
        return intersection / union
    if similarity == "class_and_place":
        return max(0, 1 - max(abs(ox - x) / w, abs(oy - y) / h))
    one, two = (1, 0, 0, 1, 1), (1, (ox - x) / w, (oy - y) / h, ow / w, oh / h)
    dot = sum(p * q for p, q in zip(one, two, strict=True))
    return dot / sqrt(sum(p * p for p in one)) / sqrt(sum(q * q for q in two))


def slow_drea(
    boxes, scores, classes, size, num_classes, *, min_score, max_regions, similarity,
    similarity_threshold, proximity, bandwidth, salience, self_loops, normalisation,
):  # fmt: skip
    """Compute docs/how/drea.md for one image, pair by pair: X, A and the number of redundant detections."""
    detections = []
    for (x1, y1, x2, y2), score, number in zip(boxes, scores, classes, strict=True):
        if score < min_score:
            continue
        w, h = size
        box = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
        detections.append((number, score, box))
    detections.sort(key=lambda detection: (-detection[1], detection[0], detection[2]))
    kept, dropped = [], 0
    for detection in detections:
        if any(
            slow_similarity(similarity, other, detection) > similarity_threshold for other in kept
        ):
            dropped += 1
        elif len(kept) < max_regions:
            kept.append(detection)
    x = np.zeros((max_regions, num_classes + 5))
    for row, (number, score, box) in enumerate(kept):
        x[row, number] = 1
        x[row, num_classes:] = (score, *box)
    total = sum(score * box[2] * box[3] for _, score, box in kept)
    weights = np.zeros((max_regions, max_regions))
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
            }[proximity]
            saliences = score * box[2] * box[3] / total * other_score * other[2] * other[3] / total
            weights[i, j] = near * (1 + sqrt(saliences)) if salience else near
            if i == j and not self_loops:
                weights[i, j] = 0
    if normalisation == "none":
        return x, weights, dropped
    a = np.zeros((max_regions, max_regions))
    for i in range(len(kept)):
        for j in range(len(kept)):
            if weights[i, j]:
                a[i, j] = weights[i, j] / sqrt(weights[i].sum() * weights[j].sum())
    return x, a, dropped


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 14), min_size=1, max_size=6),
    SIMILARITIES,
    EDGES,
    st.integers(1, 8),
    st.sampled_from([0.0, 0.4]),
)
def test_drea_matches_the_definition(seed, counts, similarity, edges, max_regions, min_score):
    detections = random_detections(seed, counts)
    options = {"max_regions": max_regions, "min_score": min_score, "bandwidth": 0.2, **edges}
    options["similarity"], options["similarity_threshold"] = similarity
    graphs = drea(detections, 3, **options)
    for image in range(len(counts)):
        rows = slice(detections.offsets[image], detections.offsets[image + 1])
        x, a, dropped = slow_drea(
            detections.boxes[rows].tolist(),
            detections.scores[rows].tolist(),
            detections.classes[rows].tolist(),
            detections.sizes[image].tolist(),
            3,
            **options,
        )
        np.testing.assert_allclose(graphs.representation[image], x, atol=1e-6)
        np.testing.assert_allclose(graphs.adjacency[image], a, atol=1e-6)
        assert graphs.num_redundant[image] == dropped
        assert graphs.mask[image].tolist() == x.any(axis=1).tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), SIMILARITIES, PROXIMITIES)
def test_order_size_and_duplicates_of_detections_change_nothing(seed, similarity, proximity):
    random = np.random.default_rng(seed)
    detections = random_detections(seed, [9])
    options = OPTIONS | {"proximity": proximity}
    options["similarity"], options["similarity_threshold"] = similarity
    graphs = drea(detections, 3, **options)

    def assert_same(rows, scale=1):
        changed = Detections(
            np.array([0, len(rows)]),
            detections.boxes[rows] * scale,
            detections.scores[rows],
            detections.classes[rows],
            detections.sizes * scale,
        )
        again = drea(changed, 3, **options)
        np.testing.assert_allclose(again.representation, graphs.representation, atol=1e-6)
        np.testing.assert_allclose(again.adjacency, graphs.adjacency, atol=1e-6)
        return again

    shuffled = random.permutation(9)
    kept = assert_same(shuffled).region_index[0]
    for row, column in zip(kept[kept >= 0], graphs.region_index[0], strict=False):
        for table in (detections.boxes, detections.scores, detections.classes):  # it or its equal
            assert np.array_equal(table[shuffled[row]], table[column])
    assert_same(np.arange(9), scale=3)
    if similarity[0] != "none":
        duplicated = assert_same(np.concatenate([np.arange(9), random.integers(9, size=4)]))
        assert duplicated.num_redundant[0] >= graphs.num_redundant[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 30), min_size=1, max_size=4), EDGES)
def test_adjacency_is_symmetric_with_its_spectrum_in_minus_one_to_one(seed, counts, edges):
    edges = edges | {"normalisation": "symmetric"}
    a = drea(random_detections(seed, counts), 3, **OPTIONS | {"max_regions": 8} | edges).adjacency
    assert np.array_equal(a, a.transpose(0, 2, 1)) and (a >= 0).all()
    values = np.linalg.eigvalsh(a.astype(np.float64))
    assert (np.abs(values) <= 1 + 1e-6).all()
    has_edges = a.any(axis=(1, 2))  # one region without a self-loop has none
    np.testing.assert_allclose(values.max(axis=1), has_edges, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 9), min_size=2, max_size=9))
@settings(max_examples=20, deadline=None)
def test_batches_change_nothing(seed, counts):
    detections = random_detections(seed, counts)
    together = drea(detections, 3, **OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galr.graphs.detections.BATCH_CELLS", 1)  # each image is a batch
        alone = drea(detections, 3, **OPTIONS)
    for name, table in vars(together).items():
        assert np.array_equal(table, getattr(alone, name)), name


def test_images_with_no_detection_and_with_one():
    graphs = drea(random_detections(0, [0, 1, 0]), 3, **OPTIONS)
    assert graphs.mask.sum(axis=1).tolist() == [0, 1, 0]
    assert not graphs.representation[[0, 2]].any() and not graphs.adjacency[[0, 2]].any()
    assert graphs.adjacency[1, 0, 0] == pytest.approx(1)
    assert (graphs.region_index[[0, 2]] == -1).all()
    empty = drea(random_detections(0, [0, 0]), 3, **OPTIONS)
    assert not empty.mask.any() and not empty.adjacency.any()
    assert drea(random_detections(0, []), 3, **OPTIONS).mask.shape == (0, 5)


def test_ten_thousand_detections_in_one_image_and_a_hundred_classes():
    random = np.random.default_rng(0)
    centre, size = random.random((10_000, 2)) * 1000, random.random((10_000, 2)) * 20 + 1
    boxes = np.concatenate([centre - size, centre + size], axis=1)
    scores, classes = random.random(10_000), random.integers(100, size=10_000)
    detections = one_image(boxes, scores, classes, (1000, 1000))
    graphs = drea(detections, 100, **OPTIONS | {"max_regions": 50})
    assert graphs.representation.shape == (1, 50, 105) and graphs.mask.all()
    assert len(feature_names([f"{n}" for n in range(100)])) == 105
    best = np.argsort(-scores)[0]
    assert graphs.region_index[0, 0] == best
    assert graphs.representation[0, 0, classes[best]] == 1


def test_scores_of_zero_and_boxes_without_area_give_finite_numbers():
    flat = one_image([[10, 10, 10, 30], [10, 10, 10, 30], [0, 0, 50, 50]], [0, 0, 0], [0, 0, 1])
    for similarity in ("cosine", "iou", "class_and_place"):
        for proximity in ("gaussian", "iou", "giou"):
            options = OPTIONS | {"similarity": similarity, "proximity": proximity}
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                graphs = drea(flat, 2, **options)
            assert np.isfinite(graphs.adjacency).all() and graphs.mask.sum() == 2


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
        ("the same, detected weakly", 1),
    ],
)
def test_equal_small_neighbours_are_kept_and_second_detections_dropped(pair, kept):
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
        "the same, detected weakly": ([[100, 100, 126, 126]] * 2, [0.9, 0.1], [0, 0]),
    }[pair]
    graphs = drea(one_image(boxes, scores, classes, (256, 256)), 2, **OPTIONS)
    assert (graphs.mask.sum(), graphs.num_redundant[0]) == (kept, 2 - kept)


def test_a_threshold_of_one_drops_nothing():
    equal = one_image([[1, 1, 5, 5]] * 4, [0.9] * 4, [0] * 4)
    for similarity in ("cosine", "iou", "class_and_place"):
        options = OPTIONS | {"similarity": similarity, "similarity_threshold": 1.0}
        graphs = drea(equal, 1, **options)
        assert graphs.mask.sum() == 4 and graphs.num_redundant[0] == 0


def test_edges_between_prominent_regions_are_heavier():
    # In a row at equal distances: small, large, large, small.
    boxes = [[5, 45, 15, 55], [20, 35, 40, 65], [50, 35, 70, 65], [75, 45, 85, 55]]
    detections = one_image(boxes, [0.9, 0.8, 0.7, 0.6], [0] * 4)
    a = drea(detections, 1, **OPTIONS | {"bandwidth": 10.0}).adjacency[0]
    assert a[1, 2] > a[0, 1] > a[0, 3] and a[1, 1] > a[0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"similarity": "dice"},
            "similarity 'dice' is unknown; choose from cosine, iou, class_and_place",
        ),
        ({"proximity": "near"}, "proximity 'near' is unknown"),
        ({"min_score": 1.5}, r"min_score must be in \[0, 1\], got 1.5"),
        ({"max_regions": 0}, "max_regions must be at least 1, got 0"),
        ({"similarity_threshold": 98}, r"in \[0, 1\], where 1 drops none; got 98"),
        ({"bandwidth": 0.0}, "bandwidth must be positive, relative to the image; got 0.0"),
        ({"bandwidth": float("nan")}, "got nan"),
    ],
)
def test_options_out_of_range_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        drea(random_detections(0, [2]), 3, **OPTIONS | change)


@pytest.mark.parametrize(
    ("table", "value", "message"),
    [
        ("offsets", np.array([0, 2]), "2 offsets do not split 4 regions into 2 images"),
        ("offsets", np.array([0, 3, 2]), "do not split 4 regions"),
        ("offsets", np.array([0, 2, 5]), "do not split 4 regions"),
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
def test_detections_that_contradict_themselves_are_refused(table, value, message):
    with pytest.raises(DataError, match=message):
        drea(Detections(**vars(random_detections(0, [2, 2])) | {table: value}), 3, **OPTIONS)
