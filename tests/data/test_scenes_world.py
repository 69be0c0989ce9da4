"""Composed scenes: where things stand, and that what is said of their standing is so."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from galr.data.scenes.album import scene_of
from galr.data.scenes.ground import places_of
from galr.data.scenes.outline import bounds
from galr.data.scenes.scene import KINDS


@cache
def scenes():
    return [scene_of(11, number) for number in range(120)]


def all_groups():
    return [(scene, group) for scene in scenes() for group in scene.groups]


def centres(things):
    return np.array([[thing.x, thing.y] for thing in things])


def groups_in(manner):
    found = [(scene, group) for scene, group in all_groups() if group.manner == manner]
    assert len(found) > 2, f"so many scenes should hold more groups that stand {manner}"
    return found


def distances(points):
    return np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + np.diag(
        np.full(len(points), np.inf)
    )


def anchors_of(scene, group):
    (anchors,) = (centres(other.things) for other in scene.groups if other.kind == group.other)
    return anchors


def off_the_line(points):
    """How far points are from the straight line that fits them best."""
    return np.linalg.svd(points - points.mean(0))[1][1]


def test_every_kind_occurs_in_several_landscapes_and_in_every_number():
    seen = Counter((scene.landscape.name, group.kind) for scene, group in all_groups())
    for kind in KINDS:
        assert len({name for name, other in seen if other == kind}) >= 4
    assert {len(group.things) for _, group in all_groups()} == set(range(1, 9))
    assert {len(scene.groups) for scene in scenes()} == {1, 2, 3}


def test_numbers_of_a_kind_are_not_far_from_even():
    counts = Counter(len(group.things) for _, group in all_groups())
    assert max(counts.values()) < 5 * min(counts.values())


def test_a_scene_has_one_group_of_a_kind_and_counts_it():
    for scene in scenes():
        assert len({group.kind for group in scene.groups}) == len(scene.groups)
        assert scene.counts == {
            kind: sum(thing.kind == kind for thing in scene.things) for kind in KINDS
        }


def test_things_stand_inside_and_clear_of_one_another():
    for scene in scenes():
        boxes = [bounds(thing) for thing in scene.things]
        for left, top, right, bottom in boxes:
            assert min(left, top) > 2 and max(right, bottom) < 254
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_things_stand_on_the_place_that_is_named():
    for scene, group in all_groups():
        grid = places_of(scene.landscape.layers)[group.place]
        columns, rows = centres(group.things).astype(int).T
        assert grid[rows, columns].all()


def test_trees_grow_clear_of_things():
    for scene in scenes():
        for tree in scene.trees:
            for left, top, right, bottom in map(bounds, scene.things):
                nearest = np.clip((tree.x, tree.y), (left, top), (right, bottom))
                assert np.hypot(*(nearest - (tree.x, tree.y))) > tree.radius


def test_a_row_is_straight_and_even():
    for _, group in groups_in("row"):
        points = centres(group.things)
        assert len(points) > 2
        assert off_the_line(points) < 1e-6
        steps = np.hypot(*np.diff(points, axis=0).T)
        assert np.ptp(steps) < 1e-6


def test_two_rows_are_two_rows():
    for _, group in groups_in("rows"):
        near, far = np.split(centres(group.things), 2)
        assert off_the_line(near) < 1e-6 and off_the_line(far) < 1e-6
        assert np.ptp(far - near, axis=0) == pytest.approx(0, abs=1e-6)


def test_a_ring_is_round():
    for _, group in groups_in("ring"):
        points = centres(group.things)
        assert len(points) > 4
        assert np.ptp(np.hypot(*(points - points.mean(0)).T)) < 1e-6


def test_what_is_around_has_its_other_in_the_middle():
    for scene, group in groups_in("around"):
        anchors, points = anchors_of(scene, group), centres(group.things)
        assert len(anchors) == 1 and len(points) > 4
        assert points.mean(0) == pytest.approx(anchors[0])


def test_what_is_between_lies_on_the_way_from_one_other_to_the_next():
    for scene, group in groups_in("between"):
        (first, second), points = anchors_of(scene, group), centres(group.things)
        share = (points - first) @ (second - first) / ((second - first) @ (second - first))
        assert off_the_line(np.vstack([points, first, second])) < 1e-6
        assert (share > 0).all() and (share < 1).all()


def test_what_is_beside_something_is_nearest_to_it():
    for scene, group in groups_in("beside"):
        (anchor,) = anchors_of(scene, group)
        middle = centres(group.things).mean(0)
        others = [
            (thing.x, thing.y)
            for other in scene.groups
            if other.kind not in (group.kind, group.other)
            for thing in other.things
        ]
        reach = np.hypot(*(middle - anchor))
        assert reach < 70
        assert all(np.hypot(*(middle - other)) > reach / 2 for other in others)


def test_what_is_close_together_is_closer_than_what_is_scattered():
    def nearest(group):
        size = np.hypot(group.things[0].length, group.things[0].width)
        return distances(centres(group.things)).min(1) / size

    for _, group in groups_in("together"):
        assert nearest(group).max() < 1.4
    for _, group in groups_in("scattered"):
        assert len(group.things) > 2 and nearest(group).min() >= 1.5


def test_what_is_along_a_line_keeps_one_distance_from_it():
    for scene, group in groups_in("along"):
        points = centres(group.things)
        offsets = []
        for line in scene.landscape.lines:
            if line.name == group.other:
                ahead = (line.end - line.start) / np.hypot(*(line.end - line.start))
                off = points - line.start
                offsets.append(np.abs(off[:, 0] * ahead[1] - off[:, 1] * ahead[0]))
        assert any(np.ptp(each) < 1e-6 and each[0] < 50 for each in offsets)
