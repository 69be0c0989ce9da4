"""Boxes are compared with the image itself and with a slow definition of coverage."""

from dataclasses import replace

import numpy as np
import pytest

from galr.demo import objects
from galr.demo.objects import world_silhouette
from galr.demo.samples import render_sample, render_scene, sample_scene
from galr.demo.scene import KINDS


def inside(points, polygon):
    """The definition: a ray to the right crosses the outline an odd number of times."""
    x, y = points.T
    odd = np.zeros(len(points), bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        crosses = (ay > y) != (by > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            odd ^= crosses & (x < ax + (y - ay) / (by - ay) * (bx - ax))
    return odd


def slow_box(item, size, fine=8):
    """The box of the pixels that the silhouette covers by half, from points on a fine grid."""
    scale = size / 256
    reach = int(np.hypot(item.length, item.width) * scale / 2) + 2
    left, top = int(item.x * scale) - reach, int(item.y * scale) - reach
    steps = (np.arange(2 * reach * fine) + 0.5) / fine
    grid = np.stack(np.meshgrid(steps + left, steps + top), -1).reshape(-1, 2)
    covered = np.zeros(len(grid), bool)
    for part in world_silhouette(item):
        covered |= inside(grid, part * scale)
    coverage = covered.reshape(2 * reach, fine, 2 * reach, fine).mean((1, 3))
    rows, columns = np.nonzero(coverage >= 0.5)
    return left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1


def render(scene, size):
    return render_scene(scene, size, np.random.default_rng(5))


@pytest.mark.parametrize("size", [64, 256, 300])
def test_boxes_match_the_slow_definition(size):
    for index in range(8):
        scene = sample_scene(2, index)
        _, boxes = render(scene, size)
        for item, box in zip(scene.objects, boxes, strict=True):
            assert box == pytest.approx(slow_box(item, size), abs=1)


def test_a_box_contains_exactly_what_its_object_changes_in_the_image(monkeypatch):
    for kind in KINDS:
        monkeypatch.setitem(objects.OBJECT_HEIGHTS, kind, 0)  # a shadow lies outside of the box
    tested = set()
    for index in range(14):
        scene = replace(sample_scene(4, index), trees=())
        full, boxes = render(scene, 256)
        start = 0
        for position, group in enumerate(scene.groups):
            rest = (*group.objects[1:],)
            groups = list(scene.groups)
            groups[position : position + 1] = [replace(group, objects=rest)] if rest else []
            without, _ = render(replace(scene, groups=tuple(groups)), 256)
            rows, columns = np.nonzero(np.abs(full.astype(int) - without).max(-1) > 3)
            changed = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert boxes[start] == pytest.approx(changed, abs=1), group.kind
            start += len(group.objects)
            tested.add(group.kind)
    assert tested == set(KINDS)


@pytest.mark.parametrize("size", [64, 256])
def test_boxes_lie_inside_the_image_and_do_not_overlap(size):
    for index in range(20):
        _, sample = render_sample(9, index, size=size, sentences=1)
        for i, (left, top, right, bottom) in enumerate(sample.boxes):
            assert 0 <= left < right <= size and 0 <= top < bottom <= size
            for other in sample.boxes[:i]:
                assert (
                    right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
                )


def test_objects_are_13_to_62_pixels_long_at_size_256():
    sides = []
    for index in range(25):
        _, sample = render_sample(7, index, size=256, sentences=1)
        sides += [max(right - left, bottom - top) for left, top, right, bottom in sample.boxes]
    assert 13 <= min(sides) and max(sides) <= 62


def test_brightness_varies_within_a_landscape():
    means = {}
    for index in range(40):
        scene = sample_scene(7, index)
        image, _ = render_sample(7, index, size=64, sentences=1)
        means.setdefault(scene.landscape.name, []).append(image.mean())
    spreads = [np.std(values) for values in means.values() if len(values) > 3]
    assert spreads and min(spreads) > 3


def test_a_scene_is_the_same_at_every_size():
    small, small_sample = render_sample(7, 3, size=64, sentences=2)
    large, large_sample = render_sample(7, 3, size=256, sentences=2)
    assert small_sample.sentences == large_sample.sentences
    assert small_sample.kinds == large_sample.kinds
    reduced = large.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(reduced - small).mean() < 6
