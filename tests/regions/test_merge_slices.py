"""Where slices lie, and what becomes of what was seen in them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from galr.regions.detect import (
    Slice,
    SliceDetections,
    merge_slices,
    slice_image,
)
from galr.regions.detector import concatenate_ragged
from galr.regions.detector_spec import SliceConfig
from galr.regions.tiling import tile_offsets


@pytest.mark.parametrize("length", [1, 63, 64, 65, 127, 128, 500, 1001])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5, 0.9])
def test_slices_cover_every_pixel_and_overlap_as_asked(length, overlap):
    begins = tile_offsets(length, 64, overlap)
    covered = np.zeros(length, bool)
    for begin in begins:
        assert begin >= 0
        assert begin + min(64, length) <= length
        covered[begin : begin + 64] = True
    assert covered.all()
    assert all(a + 64 - b >= 64 * overlap for a, b in pairwise(begins))


def test_a_slice_shows_its_part_of_the_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 150, 3), np.uint8)
    parts = list(slice_image(7, Image.fromarray(pixels), SliceConfig(64, 0.25)))
    assert len(parts) == 2 * 3
    for part in parts:
        assert (part.image_index, part.image_width, part.image_height) == (7, 150, 90)
        seen = pixels[part.y : part.y + 64, part.x : part.x + 64]
        np.testing.assert_array_equal(part.pixels, seen)


def sighted(*rows):
    """What a network saw, from (class, score, x1, y1, x2, y2)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return SliceDetections(table[:, 2:].float(), table[:, 1].float(), table[:, 0].long())


def slice_at(x, y, width=100, height=80):
    return Slice(0, width, height, x, y, np.zeros((64, 64, 3), np.uint8))


def test_joining_moves_merges_clips_drops_and_sorts():
    left = sighted(
        (0, 0.6, 40, 10, 60, 30),  # the same square as in the right slice
        (1, 0.7, 41, 10, 61, 30),  # there as well, but of another class
        (0, 0.2, 0, 0, 9, 9),  # weak
        (0, 0.9, -20, -20, -1, -1),  # no area once clipped
    )
    right = sighted((0, 0.8, 4, 10, 24, 30), (1, 0.5, 50, 60, 90, 99))  # the last juts out
    found = merge_slices(
        [(slice_at(0, 0), left), (slice_at(36, 0), right)],
        min_score=0.3,
        max_iou=0.5,
        max_regions=9,
    )
    np.testing.assert_allclose(found.scores, [0.8, 0.7, 0.5])
    assert found.classes.tolist() == [0, 1, 1]
    assert found.boxes.tolist() == [[40, 10, 60, 30], [41, 10, 61, 30], [86, 60, 100, 80]]
    assert found.dropped == 1


def test_joining_keeps_the_best_where_too_many_are_seen():
    rows = [(0, score, 10 * i, 0, 10 * i + 5, 5) for i, score in enumerate((0.4, 0.9, 0.6))]
    found = merge_slices(
        [(slice_at(0, 0), sighted(*rows))], min_score=0.1, max_iou=0.5, max_regions=2
    )
    np.testing.assert_allclose(found.scores, [0.9, 0.6])


def area(box):
    """Width times height, or nought."""
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def overlap_of(a, b):
    """Intersection over union of two boxes x1 y1 x2 y2."""
    shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return shared / (area(a) + area(b) - shared)


def slow_merge(rows, min_score, max_iou, max_iou_across_classes, max_regions):
    """Go down the list once within classes, once across them, and keep what overlaps nothing kept."""
    left = sorted(
        (row for row in rows if row[1] >= min_score and area(row[2:])), key=lambda row: -row[1]
    )
    for limit, meet in ((max_iou, False), (max_iou_across_classes, True)):
        kept = []
        for row in left if limit is not None else []:
            rivals = [other for other in kept if meet or other[0] == row[0]]
            if all(overlap_of(other[2:], row[2:]) <= limit for other in rivals):
                kept.append(row)
        left = kept if limit is not None else left
    return left[:max_regions]


@pytest.mark.parametrize("agnostic_overlap", [None, 0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("overlap", [0.2, 0.5, 0.9])
def test_suppression_within_and_across_classes_matches_the_definition(overlap, agnostic_overlap):
    draws = np.random.default_rng(4)
    corners = draws.integers(0, 40, (80, 2))
    boxes = np.hstack([corners, corners + draws.integers(0, 30, (80, 2))])  # some of no area
    scores = draws.permutation(80) / 80
    rows = [
        (label, score, *box)
        for label, score, box in zip(draws.integers(0, 3, 80), scores, boxes.tolist(), strict=True)
    ]
    limits = {
        "min_score": 0.1,
        "max_iou": overlap,
        "max_iou_across_classes": agnostic_overlap,
        "max_regions": 30,
    }
    found = merge_slices([(slice_at(0, 0), sighted(*rows))], **limits)
    expected = slow_merge(rows, **limits)
    assert found.classes.tolist() == [row[0] for row in expected]
    assert found.boxes.tolist() == [list(row[2:]) for row in expected]
    assert found.dropped == sum(row[1] >= 0.1 and not area(row[2:]) for row in rows) > 0


def test_scores_that_are_no_number_are_no_regions():
    found = merge_slices(
        [(slice_at(0, 0), sighted((0, np.nan, 0, 0, 9, 9)))], min_score=0, max_iou=1, max_regions=5
    )
    assert len(found.scores) == 0


def test_ragged_tables_give_each_picture_its_rows():
    parts = [[(0, 0.9, 0, 0, 5, 5)], [], [(1, 0.8, 1, 1, 5, 5), (0, 0.7, 9, 9, 20, 20)]]
    found = [
        merge_slices([(slice_at(0, 0), sighted(*rows))], min_score=0, max_iou=0.5, max_regions=9)
        for rows in parts
    ]
    tables, dropped = concatenate_ragged(found)
    assert tables["offsets"].tolist() == [0, 1, 1, 3]
    for each, begin, end in zip(found, tables["offsets"], tables["offsets"][1:], strict=False):
        np.testing.assert_array_equal(tables["boxes"][begin:end], each.boxes)
    assert dropped == 0
    empty, _ = concatenate_ragged([])
    assert empty["offsets"].tolist() == [0]
    assert empty["boxes"].shape == (0, 4)
