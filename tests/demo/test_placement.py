"""Composed scenes: positions of objects, and the definition of every arrangement."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from galr.demo.objects import object_bounds
from galr.demo.placement import surface_masks
from galr.demo.samples import sample_scene
from galr.demo.scene import KINDS


@cache
def scenes():
    return [sample_scene(11, index) for index in range(120)]


def all_groups():
    return [(scene, group) for scene in scenes() for group in scene.groups]


def centres(objects):
    return np.array([[item.x, item.y] for item in objects])


def groups_in(arrangement):
    groups = [(scene, group) for scene, group in all_groups() if group.arrangement == arrangement]
    assert len(groups) > 2, f"120 scenes should hold more groups in the arrangement {arrangement}"
    return groups


def distances(points):
    return np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + np.diag(
        np.full(len(points), np.inf)
    )


def anchors_of(scene, group):
    (anchors,) = (centres(other.objects) for other in scene.groups if other.kind == group.anchor)
    return anchors


def distance_from_line(points):
    """The distance of points from the straight line that fits them best."""
    return np.linalg.svd(points - points.mean(0))[1][1]


def test_every_kind_occurs_in_several_landscapes_and_every_count_occurs():
    pairs = Counter((scene.landscape.name, group.kind) for scene, group in all_groups())
    for kind in KINDS:
        assert len({name for name, other in pairs if other == kind}) >= 4
    assert {len(group.objects) for _, group in all_groups()} == set(range(1, 9))
    assert {len(scene.groups) for scene in scenes()} == {1, 2, 3}


def test_all_counts_are_about_equally_frequent():
    counts = Counter(len(group.objects) for _, group in all_groups())
    assert max(counts.values()) < 5 * min(counts.values())


def test_a_scene_has_at_most_one_group_of_a_kind_and_counts_its_objects():
    for scene in scenes():
        assert len({group.kind for group in scene.groups}) == len(scene.groups)
        assert scene.counts == {
            kind: sum(item.kind == kind for item in scene.objects) for kind in KINDS
        }


def test_objects_lie_inside_the_world_and_do_not_overlap():
    for scene in scenes():
        boxes = [object_bounds(item) for item in scene.objects]
        for left, top, right, bottom in boxes:
            assert min(left, top) > 2 and max(right, bottom) < 254
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_objects_stand_on_the_surface_of_their_group():
    for scene, group in all_groups():
        mask = surface_masks(scene.landscape.layers)[group.surface]
        columns, rows = centres(group.objects).astype(int).T
        assert mask[rows, columns].all()


def test_trees_do_not_touch_objects():
    for scene in scenes():
        for tree in scene.trees:
            for left, top, right, bottom in map(object_bounds, scene.objects):
                nearest = np.clip((tree.x, tree.y), (left, top), (right, bottom))
                assert np.hypot(*(nearest - (tree.x, tree.y))) > tree.radius


def test_a_row_is_straight_and_evenly_spaced():
    for _, group in groups_in("row"):
        points = centres(group.objects)
        assert len(points) > 2
        assert distance_from_line(points) < 1e-6
        steps = np.hypot(*np.diff(points, axis=0).T)
        assert np.ptp(steps) < 1e-6


def test_two_rows_are_parallel_and_equal():
    for _, group in groups_in("rows"):
        near, far = np.split(centres(group.objects), 2)
        assert distance_from_line(near) < 1e-6 and distance_from_line(far) < 1e-6
        assert np.ptp(far - near, axis=0) == pytest.approx(0, abs=1e-6)


def test_a_ring_is_round():
    for _, group in groups_in("ring"):
        points = centres(group.objects)
        assert len(points) > 4
        assert np.ptp(np.hypot(*(points - points.mean(0)).T)) < 1e-6


def test_a_group_around_an_object_has_it_in_the_middle():
    for scene, group in groups_in("around"):
        anchors, points = anchors_of(scene, group), centres(group.objects)
        assert len(anchors) == 1 and len(points) > 4
        assert points.mean(0) == pytest.approx(anchors[0])


def test_a_group_between_two_objects_lies_on_the_line_between_them():
    for scene, group in groups_in("between"):
        (first, second), points = anchors_of(scene, group), centres(group.objects)
        fraction = (points - first) @ (second - first) / ((second - first) @ (second - first))
        assert distance_from_line(np.vstack([points, first, second])) < 1e-6
        assert (fraction > 0).all() and (fraction < 1).all()


def test_a_group_beside_an_object_is_near_it():
    for scene, group in groups_in("beside"):
        (anchor,) = anchors_of(scene, group)
        middle = centres(group.objects).mean(0)
        others = [
            (item.x, item.y)
            for other in scene.groups
            if other.kind not in (group.kind, group.anchor)
            for item in other.objects
        ]
        reach = np.hypot(*(middle - anchor))
        assert reach < 70
        assert all(np.hypot(*(middle - other)) > reach / 2 for other in others)


def test_groups_that_are_together_are_denser_than_scattered_ones():
    def nearest(group):
        size = np.hypot(group.objects[0].length, group.objects[0].width)
        return distances(centres(group.objects)).min(1) / size

    for _, group in groups_in("together"):
        assert nearest(group).max() < 1.4
    for _, group in groups_in("scattered"):
        assert len(group.objects) > 2 and nearest(group).min() >= 1.5


def test_a_group_along_a_feature_keeps_one_distance_from_it():
    for scene, group in groups_in("along"):
        points = centres(group.objects)
        offsets = []
        for feature in scene.landscape.features:
            if feature.name == group.anchor:
                ahead = (feature.end - feature.start) / np.hypot(*(feature.end - feature.start))
                offset = points - feature.start
                offsets.append(np.abs(offset[:, 0] * ahead[1] - offset[:, 1] * ahead[0]))
        assert any(np.ptp(distances) < 1e-6 and distances[0] < 50 for distances in offsets)
